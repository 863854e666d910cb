"""What a run is worth, before and after, on images that nothing was learnt from or chosen by; and the seven gates.

Collects the figures of `gates`; how they look is elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import binomtest

from sextant.maths import metrics
from sextant.train import gates
from sextant.types import Floats

if TYPE_CHECKING:
    from sextant.train.pair import Pair
    from sextant.train.run import Run

Rows = NDArray[np.intp]
Pixels = NDArray[np.uint8]
MAP_AT_MOST = 600


def of_run(run: Run) -> dict[str, Any]:
    """The scorecard of a run as plain values, its Markdown and its page beside it."""
    from sextant.train import outsiders, scorecard_page

    rows = run.part("test")
    outside, exported = outsiders.of_run(run), run.to("export")
    found: dict[str, Any] = {
        "images": len(rows), "classes": list(run.classes), "recipe": run.recipe.to_dict(), "about": about(run),
        "test": {"ids": [run.ids[k] for k in rows], "labels": run.labels[rows].tolist(),
                 "groups": np.array(run.to("split")["groups"], np.intp)[rows].tolist(), "rows": rows.tolist()},
    }  # fmt: skip
    for name, pair in (("base", run.base), ("tuned", run.tuned)):
        found[name] = one(run, name, pair, outside, found)
    found["latency"] = {kind: exported[kind].get("latency_p95_ms") for kind in ("fp32", "int8")}
    found["latency_interval"] = {kind: exported[kind].get("latency_interval") for kind in ("fp32", "int8")}
    found["latency_n"] = exported["fp32"].get("latency_n")
    found["gates"] = [gate_line(gate) for gate in run_gates(found)]
    found["ready"] = all(gate["passed"] for gate in found["gates"])
    scorecard_page.write(run.folder, found)
    return found


def about(run: Run) -> dict[str, Any]:
    """What a reader needs to get the same figures: data, split, base, seed, versions."""
    import platform

    import torch

    data, parts, order = run.to("data"), run.to("split"), run.order
    card = run.base.card
    return {
        "base": f"{card.name}@{card.revision}", "seed": order.seed, "files": len(order.pairs),
        "examples": len(data["examples"]), "skipped": len(data["skipped"]), "parts": parts["sizes"],
        "near_duplicates": parts["near_duplicates"], "digest": order.digest(),
        "versions": {name: _version(name) for name in ("sextant-images", "torch", "numpy", "onnxruntime")},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }  # fmt: skip


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a folder
        return "not installed"


def one(run: Run, name: str, pair: Pair, outside: dict[str, Pixels], found: dict[str, Any]) -> dict[str, Any]:
    """The figures of one pair, `base` or `tuned`, on the run's test part and on the pictures outside it."""
    rows = np.array(found["test"]["rows"], np.intp)
    labels, scale = run.labels[rows], run.to("temperature")[name]
    prompts, images = run.prompt_rows(pair), pair.image_rows(run.pictures[rows])
    canonical = np.stack([part[0] for part in prompts])
    groups = np.array(found["test"]["groups"], np.intp)
    told = side(
        images, labels, prompts, run.classes, clusters=run.clusters(), groups=groups,
        plain=scale["scale"], scale=scale["effective_scale"],
    )  # fmt: skip
    p = softmax(scale["effective_scale"] * (images @ canonical.T).astype(np.float64), axis=1)
    seen = {kind: pair.image_rows(pictures) for kind, pictures in outside.items()}
    return {
        **told,
        "answers": p.argmax(1).tolist(),
        "confidence": [round(float(value), 4) for value in p.max(1)],
        "outside": {k: gates.confidence(v, canonical, scale["effective_scale"]) for k, v in seen.items()},
        "stability": stability(pair, run.pictures[rows], images, canonical),
        "map": embedding_map(images, labels),
        "temperature": scale["temperature"],
    }


def run_gates(found: dict[str, Any]) -> tuple[gates.Gate, ...]:
    """The gates on the tuned pair's figures."""
    figures: dict[str, gates.Figure | None] = {k: gates.Figure(**v) for k, v in found["tuned"]["figures"].items()}
    noise = found["tuned"]["outside"].get("noise")
    figures["noise_confidence_p95"] = gates.Figure(noise["p95"], noise["p95_low"], noise["p95_high"]) if noise else None
    latency = found["latency"]["int8"]
    between = (found.get("latency_interval") or {}).get("int8") or (None, None)
    figures["int8_latency_p95_ms"] = gates.Figure(latency, *between) if latency is not None else None
    return gates.gates(figures)


def gate_line(gate: gates.Gate) -> dict[str, Any]:
    """One gate as plain values."""
    return {**asdict(gate), "passed": gate.passed, "sure": gate.sure}


def side(
    images: Floats,
    labels: Rows,
    prompts: Sequence[Floats],
    classes: Sequence[str],
    *,
    clusters: Sequence[Sequence[int]],
    groups: Rows,
    plain: float,
    scale: float,
) -> dict[str, Any]:
    """One pair's figures: with its own scale `plain` before calibration, with `scale` after."""
    figures = gates.measured(images, labels, prompts, scale=scale, clusters=clusters, groups=groups)
    before = gates.measured(images, labels, prompts, scale=plain, clusters=clusters, groups=groups)["ece"]
    canonical = np.stack([part[0] for part in prompts])
    answers = (images @ canonical.T).argmax(1)
    return {
        "figures": {name: asdict(figure) for name, figure in figures.items()},
        "ece_uncalibrated": asdict(before),
        "by_class": gates.by_class(labels, answers, classes),
        "confusion": gates.confusion(labels, answers, len(classes)).astype(int).tolist(),
        "reliability": {
            "before": curve(images, canonical, labels, plain), "after": curve(images, canonical, labels, scale)
        },
    }  # fmt: skip


def curve(images: Floats, canonical: Floats, labels: Rows, scale: float) -> list[dict[str, Any]]:
    """How often answers of each confidence are right, bin by bin."""
    p = softmax(scale * (images @ canonical.T).astype(np.float64), axis=1)
    right = (p.argmax(1) == labels).astype(np.float64)
    quality = metrics.evaluate(p.max(1)[:, None], right[:, None], bins=10).pooled
    return [asdict(bar) for bar in quality.curve]


def stability(pair: Pair, pictures: Pixels, images: Floats, canonical: Floats) -> dict[str, dict[str, float]]:
    """How far a vector moves, and how often the answer stays, when light, contrast or sharpness change a little."""
    answers, found = (images @ canonical.T).argmax(1), {}
    for name, changed in (
        ("brightness +10 %", _clipped(pictures * 1.1)),
        ("contrast +10 %", _clipped((pictures - pictures.mean((1, 2, 3), keepdims=True)) * 1.1
                                    + pictures.mean((1, 2, 3), keepdims=True))),
        ("blur of 1 pixel", _blurred(pictures)),
    ):  # fmt: skip
        rows = pair.image_rows(changed)
        cosines = (rows * images).sum(1)
        same = (rows @ canonical.T).argmax(1) == answers
        between = binomtest(int(same.sum()), len(same)).proportion_ci(method="exact")
        found[name] = {
            "n": len(same),
            "mean_cosine": float(cosines.mean()),
            "least_cosine": float(cosines.min()),
            "same_answer": float(same.mean()),
            "low": float(between.low),
            "high": float(between.high),
        }
    return found


def _clipped(values: NDArray[Any]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _blurred(pictures: Pixels) -> Pixels:
    from scipy.ndimage import gaussian_filter

    return _clipped(gaussian_filter(pictures.astype(np.float32), sigma=(0, 1, 1, 0)))


def embedding_map(images: Floats, labels: Rows) -> dict[str, Any]:
    """Up to 600 vectors as points (x, y, row) of the plane in which the classes' means differ most, (row of the test).

    `share` is how much of the squared difference of the means the plane shows, `centres` are the classes' means in it.
    """
    known = np.unique(labels)
    means = np.stack([images[labels == k].mean(0) for k in known])
    _, sizes, directions = np.linalg.svd(means - means.mean(0), full_matrices=False)
    chosen = np.unique(np.linspace(0, len(images) - 1, MAP_AT_MOST).astype(int))
    plane = directions[:2].T
    points, centres = (images[chosen] - means.mean(0)) @ plane, (means - means.mean(0)) @ plane
    return {
        "share": float((sizes[:2] ** 2).sum() / max(float((sizes**2).sum()), 1e-12)),
        "points": [
            [round(float(x), 4), round(float(y), 4), int(row)] for (x, y), row in zip(points, chosen, strict=True)
        ],
        "centres": [[round(float(x), 4), round(float(y), 4), int(k)] for (x, y), k in zip(centres, known, strict=True)],
    }
