"""The scorecard of a run's own test part, or of a run or any bundle on other pictures that were not trained on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from sextant.encoder import OnnxEncoder
from sextant.errors import SextantError, UsageError
from sextant.train import beside as compare
from sextant.train import classes, dataset, gates, outsiders, scorecard_page, split, strangers
from sextant.train.scorecard import gate_line, run_gates, side

TIMED = 30


def scorecard(
    source: str, *, data: Path | None, prompts: Path | None, clusters: Path | None, beside: Path | None = None
) -> dict[str, Any]:
    """The figures and gates as plain values; `beside` is another run, with which this one is compared.

    Raises:
        UsageError: a run that is not finished, a bundle without data, images that were trained on, another run with
            other test images.
    """
    folder = Path(source.removeprefix("local-dir:")).expanduser()
    is_run = (folder / "run.json").is_file()
    if data is None:
        if not is_run:
            raise UsageError(f"{source} is no run; a bundle is measured on pictures of yours: --data FOLDER")
        return _own(folder, beside)
    if beside is not None:
        raise UsageError("--beside compares two runs on their own test images: leave --data out")
    bundle = folder / "bundle" if is_run else folder
    if not (bundle / "card.json").is_file():
        raise UsageError(f"{source} is neither a run with a bundle nor a bundle; `sextant finetune` makes both")
    run = folder if is_run else folder.parent if (folder.parent / "run.json").is_file() else None
    return _measured(bundle, run, data, prompts, clusters)


def _own(folder: Path, other: Path | None) -> dict[str, Any]:
    path = folder / "scorecard.json"
    if not path.is_file():
        raise UsageError(f"{folder} is not finished: run the same `sextant finetune` again, and it goes on")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "test" not in found:
        raise UsageError(f"{path} was written by an older program: delete it, and run `sextant finetune` again")
    compared = None if other is None else compare.compare(folder, other)
    scorecard_page.write(folder, found, compared)  # anew: an ablation table may have come, or another run
    return {**found, "beside": compared} if compared else found


def _measured(
    bundle: Path, run: Path | None, data: Path, prompts: Path | None, clusters: Path | None
) -> dict[str, Any]:
    encoder = OnnxEncoder(bundle, device="cpu", precision="fp32")
    prepared: list[Any] = []
    pairs = dataset.pairs_of(data)
    found = dataset.read(pairs, side=2 * encoder.card.image_size, least=1,
                         seen=lambda _, picture: prepared.append(encoder.prepare(picture)))  # fmt: skip
    if run is not None:
        gates.refuse_trained([e.id for e in found.examples], _trained(run))
    words = classes.prompts(found.classes, prompts)
    if clusters is not None:
        groups = [[found.classes.index(c) for c in part] for part in classes.clusters(found.classes, clusters)]
    else:
        groups = _clusters(run, found.classes)
    rows = [encoder.encode_texts(list(words[code])) for code in found.classes]
    images, labels = encoder.encode_prepared(prepared), np.array([e.label for e in found.examples], np.intp)
    held = json.loads((bundle / "card.json").read_text(encoding="utf-8")).get("tuned") or {}
    scale = float((held.get("temperature") or {}).get("effective_scale") or encoder.logit_scale)
    card: dict[str, Any] = {
        "images": len(images),
        "classes": list(found.classes),
        "skipped": [item.path for item in found.skipped],
        "tuned": side(images, labels, rows, found.classes, clusters=groups, groups=np.arange(len(images)),
                      plain=encoder.logit_scale, scale=scale),
        "latency": {"int8": _latency(encoder, prepared)},
    }  # fmt: skip
    canonical = np.stack([part[0] for part in rows])
    size = 2 * encoder.card.image_size
    kinds = {"noise": strangers.noise(size), "blank": strangers.blank(size), "text page": outsiders.pages(size)}
    card["tuned"]["outside"] = {
        kind: gates.confidence(encoder.encode_images(pictures), canonical, scale) for kind, pictures in kinds.items()
    }
    card["gates"] = [gate_line(gate) for gate in run_gates(card)]
    return {**card, "ready": all(gate["passed"] for gate in card["gates"])}


def _trained(run: Path) -> list[str]:
    """The hashes of all that a run learnt from, chose by or calibrated on."""
    examples = json.loads((run / "data.json").read_text(encoding="utf-8"))["examples"]
    parts = json.loads((run / "split.json").read_text(encoding="utf-8"))["parts"]
    test = split.PARTS.index("test")
    return [example["id"] for example, part in zip(examples, parts, strict=True) if part != test]


def taught(run: Path) -> list[str]:
    """The hashes of the images that a run's weights were learned from or chosen by."""
    examples = json.loads((run / "data.json").read_text(encoding="utf-8"))["examples"]
    parts = json.loads((run / "split.json").read_text(encoding="utf-8"))["parts"]
    learned = [split.PARTS.index(name) for name in ("train", "choice")]
    return [example["id"] for example, part in zip(examples, parts, strict=True) if part in learned]


def _clusters(run: Path | None, known: tuple[str, ...]) -> list[list[int]]:
    """The run's clusters, as far as the data has their classes."""
    path = run / "clusters.json" if run else None
    if path is None or not path.is_file():
        return []
    held = json.loads(path.read_text(encoding="utf-8"))["clusters"]
    found = [[known.index(code) for code in part if code in known] for part in held]
    return [part for part in found if len(part) > 1]


def _latency(encoder: OnnxEncoder, prepared: list[Any]) -> float | None:
    """The 95th percentile of one picture's time in int8, in milliseconds; None where int8 is refused."""
    try:
        small, times = encoder.at("int8"), []
    except SextantError:
        return None
    for number in range(TIMED):
        begun = time.perf_counter()
        small.encode_prepared([prepared[number % len(prepared)]])
        times.append(1000 * (time.perf_counter() - begun))
    return float(np.quantile(times[3:], 0.95))
