"""What fine-tuning costs at the size of CLIP ViT-B/32: training and export, with random weights in the true formats.

    OMP_NUM_THREADS=1 python benchmarks/finetune_size.py [--images 256]

Prints images a second of both stages, the peak of memory, and for the exported bundle fp32 beside int8: cosine, bytes
and the latency of one picture. Random weights cost what trained ones cost; what they say means nothing, so accuracy is
not among the figures (of `mini` it is, by benchmarks/finetune.py). Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

CACHE = Path(__file__).parent / ".cache"
CLASSES, TIMED = 8, 40


def main() -> None:
    asked = arguments()
    base = checkpoint()
    with TemporaryDirectory(dir=CACHE) as scratch:
        rows = [*training(base, Path(scratch), asked.images)]
        rows += exported(base, Path(scratch))
    print("| what | figure |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256, help="pictures to train on")
    return parser.parse_args()


def checkpoint() -> Path:
    """CLIP ViT-B/32 as transformers writes it, safetensors; made once."""
    import torch
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    import checkpoints

    folder = CACHE / "clip-vit-b-32"
    if not (folder / "model.safetensors").is_file():
        torch.manual_seed(0)
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = checkpoints.clip_tokenizer()
        ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        model = CLIPModel(CLIPConfig(text_config={**ends, "pad_token_id": tokenizer.pad_token_id}))
        checkpoints.spread(model)
        with torch.no_grad():
            model.logit_scale.fill_(4.6052)
        tokenizer.save_pretrained(folder)
        CLIPImageProcessorPil().save_pretrained(folder)
        model.save_pretrained(folder)
    return folder


def pictures(n: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, s, s, 3) of coarse spots around a colour a class, and their classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % CLASSES
    colours = rng.integers(40, 216, (CLASSES, 3))
    coarse = rng.normal(0, 50, (n, 14, 14, 3)).repeat(side // 14, 1).repeat(side // 14, 2)
    return np.clip(colours[labels][:, None, None] + coarse, 0, 255).astype(np.uint8), labels


def training(base: Path, scratch: Path, n: int) -> list[tuple[str, str]]:
    """Images a second: features once, stage 1 on them, stage 2 on pictures; and the peak of memory."""
    import torch

    from sextant.train.fit import Fitting, Material
    from sextant.train.pair import open_pair
    from sextant.train.recipe import Recipe

    pair = open_pair(str(base), scratch / "base")
    size = pair.card.image_size
    shown, labels = pictures(n, size)
    fields: dict[str, Any] = {
        "pictures": shown, "labels": labels, "train": np.arange(n - n // 4), "choice": np.arange(n - n // 4, n),
        "prompts": [(f"a photo of a dog {k}",) for k in range(CLASSES)], "clusters": [],
        "kept_pictures": np.zeros((0, size, size, 3), np.uint8), "kept_texts": [],
    }  # fmt: skip
    known = set(Material.__dataclass_fields__)
    fields |= {name: np.zeros((0, size, size, 3), np.uint8) for name in known - set(fields)}
    material = Material(**fields)
    begun = time.perf_counter()
    pair.feature_rows(shown[:64])
    found = [("features of pictures, once", f"{64 / (time.perf_counter() - begun):.1f} images a second")]
    recipe = Recipe("size", batch=32, heads_epochs=1, blocks_epochs=1, blocks=2, keep=0.0, interpolate=False)
    for stage, name in (("heads", "stage 1, on features"), ("blocks", "stage 2, the last 2 of 12 blocks, on pictures")):
        single = recipe.changed(**{"blocks_epochs" if stage == "heads" else "heads_epochs": 0})
        found.append((name, f"{rate(Fitting, pair, single, material, scratch / stage):.1f} images a second"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [*found, ("peak of memory", f"{peak:.2f} GiB"), ("threads", str(torch.get_num_threads()))]


def rate(fitting: Any, pair: Any, recipe: Any, material: Any, folder: Path) -> float:
    """Images a second at the median step of one epoch."""
    marks: list[float] = []
    run = fitting(pair, recipe, material, folder, seed=0, progress=lambda _: marks.append(time.perf_counter()))
    run.fit()
    return len(run.rows) / len(marks) / float(np.median(np.diff(marks)))


def exported(base: Path, scratch: Path) -> list[tuple[str, str]]:
    """The bundle of the pair: fp32 against the weights, int8 against fp32, the latency of one picture."""
    from sextant.encoder import OnnxEncoder
    from sextant.errors import SextantError
    from sextant.train import bundle
    from sextant.train.pair import open_pair

    pair = open_pair(str(base), scratch / "again")
    begun = time.perf_counter()
    bundle.write(pair, scratch / "bundle", {"name": "clip-vit-b-32+size", "description": "random weights"})
    found = [("export", f"{time.perf_counter() - begun:.0f} s")]
    shown, _ = pictures(32, pair.card.image_size)
    exact = pair.image_rows(shown)
    prepared = [pair.pixels.normalise(picture) for picture in shown]
    for precision in ("fp32", "int8"):
        try:
            encoder = OnnxEncoder(scratch / "bundle", device="cpu", precision=precision)
            rows = encoder.encode_prepared(prepared)
        except SextantError as error:
            found.append((precision, f"refused: {error}"))
            continue
        cosines, times = (rows * exact).sum(1), []
        for k in range(TIMED):
            begun = time.perf_counter()
            encoder.encode_prepared([prepared[k % len(prepared)]])
            times.append(1000 * (time.perf_counter() - begun))
        told = f"cosine mean {cosines.mean():.4f}, least {cosines.min():.4f}; one picture: "
        middle, high = np.median(times), np.quantile(times, 0.95)
        found.append((precision, told + f"median {middle:.0f} ms, 95 % below {high:.0f} ms"))
    size = sum(path.stat().st_size for path in (scratch / "bundle").iterdir()) / 2**20
    name = json.loads((scratch / "bundle" / "card.json").read_text())["name"]
    return [*found, (f"bundle {name}", f"{size:.0f} MiB")]


if __name__ == "__main__":
    main()
