"""How fast photos become vectors: decoding, preparing, encoding, and the whole way, against the usual plain loop.

    python benchmarks/encode.py [--photos 300] [--write]

The encoder is a CLIP ViT-B/32 of true size with random weights, converted on the spot; the photos are drawn, about
2000 × 1500 pixels each. `--write` puts the figures into docs/performance.md. Needs the extras `train` and `openvino`.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

import sextant
from sextant import images
from sextant.encoder import OnnxEncoder
from sextant.errors import SextantError

CACHE = Path(__file__).parent / ".cache"
DOCS = Path(__file__).parents[1] / "docs" / "performance.md"
THREADS = os.cpu_count() or 2
PLAIN_BATCH = 64
FIDELITY = 64


def photo(index: int) -> bytes:
    """A drawn photo: clouds of falling strength with frequency, a few shapes, sensor noise; JPEG quality 90."""
    random = np.random.default_rng(index)
    width, height = 2000 + int(random.integers(-60, 61)), 1500 + int(random.integers(-60, 61))
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(1, 9):
        small = random.normal(size=(2 * 2**octave * 3 // 4 + 1, 2 * 2**octave + 1, 3)).astype(np.float32)
        planes = [Image.fromarray(small[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(3)]
        total += np.stack([np.asarray(plane) for plane in planes], axis=-1) * 1.7**-octave
    y, x = np.mgrid[0:height, 0:width]
    for _ in range(4):
        cx, cy, r = random.uniform(0, width), random.uniform(0, height), random.uniform(80, 500)
        total[np.hypot(x - cx, y - cy) < r] += random.normal(size=3) * 0.8
    total += random.normal(scale=0.02, size=(height, width, 1)).astype(np.float32)
    pixels = np.clip(128 + 90 * total, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def photos(count: int) -> list[bytes]:
    """The drawn photos, kept in the cache folder between runs."""
    folder = CACHE / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        path = folder / f"{index:04}.jpg"
        if not path.is_file():
            path.write_bytes(photo(index))
    return [(folder / f"{index:04}.jpg").read_bytes() for index in range(count)]


def bundle() -> tuple[Path, Any]:
    """The bundle, and the torch model that it was made from."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    checkpoint, target = CACHE / "vit-b-32", CACHE / "vit-b-32-bundle"
    if not (target / "card.json").is_file():
        sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
        import checkpoints
        from sextant.train.export import convert

        model = CLIPModel(CLIPConfig())
        checkpoints.spread(model, gain=1.0)
        model.save_pretrained(checkpoint)
        checkpoints.clip_tokenizer().save_pretrained(checkpoint)
        convert(checkpoint, target)
    torch.set_num_threads(THREADS)
    return target, CLIPModel.from_pretrained(checkpoint).eval()


def plain_loop(files: Sequence[bytes], model: Any) -> np.ndarray:
    """What most scripts do: Pillow decodes every pixel, transformers prepares, torch encodes, one after the other."""
    import torch
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor, rows = CLIPImageProcessorPil(), []
    for start in range(0, len(files), PLAIN_BATCH):
        pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in files[start : start + PLAIN_BATCH]]
        pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            rows.append(model.get_image_features(pixel_values=pixels).pooler_output.numpy())
    stacked = np.concatenate(rows)
    return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)


def added(folder: Path, count: int, model: Path, precision: str) -> float:
    """Seconds of `sextant add` of the photos into a new collection, the encoder already loaded and warm."""
    with TemporaryDirectory(dir=CACHE) as scratch:
        place = Path(scratch)
        (place / "photos").mkdir()
        (place / "warm").mkdir()
        for index, path in enumerate(sorted((folder).glob("*.jpg"))[:count]):
            (place / "photos" / path.name).hardlink_to(path)
            if index < 16:
                data = path.read_bytes()
                (place / "warm" / path.name).write_bytes(data + b"another file with the same picture")
        with sextant.open(place, create=True, model=str(model), precision=precision, device="cpu") as collection:
            collection.add(place / "warm")
            started = time.perf_counter()
            report = collection.add(place / "photos")
            seconds = time.perf_counter() - started
        if report.encoded != count:
            raise SystemExit(f"{report.encoded} of {count} photos were encoded: {report.skipped[:3]}")
    return seconds


def vectors(files: Sequence[bytes], encoder: OnnxEncoder) -> np.ndarray:
    """The product's vectors of some photos."""
    return encoder.encode_images([images.decode(data, least_side=encoder.decode_side)[0] for data in files])


def rate(count: int, work: Callable[[], Any]) -> tuple[float, Any]:
    """Photos a second, and what the work returned."""
    started = time.perf_counter()
    result = work()
    return count / (time.perf_counter() - started), result


def fidelity(exact: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Mean and least cosine after the mean of the exact rows is taken from both."""
    a, b = exact - exact.mean(axis=0), other - exact.mean(axis=0)
    cosines = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return float(cosines.mean()), float(cosines.min())


def parts(files: Sequence[bytes], folder: Path) -> list[tuple[str, float]]:
    """Decoding and encoding on their own: decoding on one thread, encoding on all."""
    sample = files[:40]
    side = OnnxEncoder(folder, precision="bf16").card.image_size
    prepare = OnnxEncoder(folder, precision="fp32").prepare
    whole = [images.decode(data)[0] for data in sample[:20]]
    found = [
        ("Pillow, every pixel", rate(40, lambda: [Image.open(io.BytesIO(d)).convert("RGB") for d in sample])[0]),
        ("`images.decode`, every pixel", rate(40, lambda: [images.decode(d) for d in sample])[0]),
        (f"`images.decode`, at least {side}", rate(40, lambda: [images.decode(d, least_side=side) for d in sample])[0]),
        ("prepare, from every pixel", rate(20, lambda: [prepare(p) for p in whole])[0]),
    ]
    ready = [prepare(picture) for picture in whole[:16]] * 4
    for precision in ("fp32", "bf16", "int8"):
        try:
            encoder = OnnxEncoder(folder, precision=precision)
            encoder.encode_prepared(ready[:16])
            found.append((f"network, {precision}", rate(64, lambda e=encoder: e.encode_prepared(ready))[0]))  # type: ignore[misc]
        except SextantError as error:
            print(f"{precision}: {error}", file=sys.stderr)
    return found


def report(count: int) -> list[str]:
    """Run everything; the lines of the section in docs/performance.md."""
    files = photos(count)
    folder, model = bundle()
    lines = [f"Machine: {machine()}. {count} drawn photos of about 2000 × 1500, CLIP ViT-B/32 of true size.", ""]
    lines += ["| part | photos a second |", "|---|---|"]
    lines += [f"| {name} | {value:.0f} |" for name, value in parts(files, folder)]
    plain_loop(files[:4], model)
    base, exact = rate(count, lambda: plain_loop(files, model))
    lines += ["", "| whole way | photos a second | ratio | cosine, mean removed: mean (least) |", "|---|---|---|---|"]
    lines.append(f"| plain loop (Pillow, torch fp32, batch {PLAIN_BATCH}) | {base:.1f} | 1.0 | |")
    ways = {"fp32": "`add --precision fp32`, strict", "auto": "`add`, as it comes", "int8": "`add --precision int8`"}
    for precision, label in ways.items():
        try:
            encoder = OnnxEncoder(folder, precision=precision, device="cpu")
        except SextantError as error:
            print(f"{precision}: {error}", file=sys.stderr)
            continue
        speed = count / added(CACHE / "photos", count, folder, precision)
        mean, least = fidelity(exact[:FIDELITY], vectors(files[:FIDELITY], encoder))
        revision = encoder.revision.partition("+")[2] or "plain"
        lines.append(f"| {label} ({revision}) | {speed:.1f} | {speed / base:.1f} | {mean:.5f} ({least:.5f}) |")
        print(lines[-1], file=sys.stderr)
    return lines


def machine() -> str:
    """The processor and its cores, in words."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8"))
        name = found[1].strip() if found else name
    flags = "with" if info.is_file() and "avx512_bf16" in info.read_text(encoding="utf-8") else "without"
    return f"{name}, {THREADS} cores, {flags} bf16"


def write(lines: Iterable[str], marker: str) -> None:
    """Put the lines between their markers in docs/performance.md; everything else there stays."""
    first, last = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    text = DOCS.read_text(encoding="utf-8") if DOCS.is_file() else "# Performance\n"
    section = "\n".join([first, *lines, last])
    if first in text:
        text = text[: text.index(first)] + section + text[text.index(last) + len(last) :]
    else:
        text = f"{text.rstrip()}\n\n## From photos to vectors\n\n`python benchmarks/encode.py --write`\n\n{section}\n"
    DOCS.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lines = report(options.photos)
    print("\n".join(lines))
    if options.write:
        write(lines, "encode")


if __name__ == "__main__":
    main()
