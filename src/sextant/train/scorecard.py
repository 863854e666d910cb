"""What a run is worth, before and after, on images that nothing was learnt from or chosen by; and the seven gates.

Collects the figures of `gates`; how they look is elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sextant.maths import metrics
from sextant.train import gates, strangers
from sextant.types import Floats

if TYPE_CHECKING:
    from sextant.train.pair import Pair
    from sextant.train.run import Run

Rows = NDArray[np.intp]
Pixels = NDArray[np.uint8]
EXAMPLES = 3
MAP_AT_MOST = 600


def of_run(run: Run) -> dict[str, Any]:
    """The scorecard of a run as plain values, its Markdown and its page beside it."""
    from sextant.train import scorecard_page

    rows = run.part("test")
    clusters = run.clusters()
    groups = np.array(run.to("split")["groups"], np.intp)[rows]
    outside = outside_pictures(run)
    temperatures, exported = run.to("temperature"), run.to("export")
    found: dict[str, Any] = {"images": len(rows), "classes": list(run.classes), "recipe": run.recipe.to_dict()}
    for name, pair in (("base", run.base), ("tuned", run.tuned)):
        prompts = run.prompt_rows(pair)
        images = pair.image_rows(run.pictures[rows])
        scale = temperatures[name]
        found[name] = side(
            images, run.labels[rows], prompts, run.classes, clusters=clusters, groups=groups,
            plain=scale["scale"], scale=scale["effective_scale"],
        )  # fmt: skip
        canonical = np.stack([part[0] for part in prompts])
        seen = {kind: pair.image_rows(pictures) for kind, pictures in outside.items()}
        found[name]["outside"] = {k: gates.confidence(v, canonical, scale["effective_scale"]) for k, v in seen.items()}
        found[name]["stability"] = stability(pair, run.pictures[rows], images, canonical)
        if name == "tuned":
            found["confused"] = confused(images, canonical, run.labels[rows], rows, run)
            found["map"] = embedding_map(images, run.labels[rows])
    found["latency"] = {kind: exported[kind].get("latency_p95_ms") for kind in ("fp32", "int8")}
    found["gates"] = [gate_line(gate) for gate in run_gates(found)]
    found["ready"] = all(gate["passed"] for gate in found["gates"])
    scorecard_page.write(run, found)
    return found


def run_gates(found: dict[str, Any]) -> tuple[gates.Gate, ...]:
    """The gates on the tuned pair's figures."""
    figures: dict[str, gates.Figure | None] = {k: gates.Figure(**v) for k, v in found["tuned"]["figures"].items()}
    noise = found["tuned"]["outside"].get("noise")
    figures["noise_confidence_p95"] = gates.Figure(noise["p95"]) if noise else None
    latency = found["latency"]["int8"]
    figures["int8_latency_p95_ms"] = gates.Figure(latency) if latency is not None else None
    return gates.gates(figures)


def gate_line(gate: gates.Gate) -> dict[str, Any]:
    """One gate as plain values."""
    return {**asdict(gate), "passed": gate.passed}


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
    from scipy.special import softmax

    p = softmax(scale * (images @ canonical.T).astype(np.float64), axis=1)
    right = (p.argmax(1) == labels).astype(np.float64)
    quality = metrics.evaluate(p.max(1)[:, None], right[:, None], bins=10).pooled
    return [asdict(bar) for bar in quality.curve]


def outside_pictures(run: Run) -> dict[str, Pixels]:
    """Pictures that are none of the classes, by kind."""
    side_, pair = 2 * run.base.card.image_size, run.base
    kinds = {"noise": strangers.noise(side_), "blank": strangers.blank(side_)}
    found = {kind: np.stack([pair.pixels.square(p) for p in pictures]) for kind, pictures in kinds.items()}
    others = run.strangers(strangers.OTHER_SEED, strangers.EACH)
    if len(others):
        found["photos" if run.order.photos else "space scenes"] = others
    return found


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
        found[name] = {
            "mean_cosine": float(cosines.mean()),
            "least_cosine": float(cosines.min()),
            "same_answer": float(((rows @ canonical.T).argmax(1) == answers).mean()),
        }
    return found


def _clipped(values: NDArray[Any]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _blurred(pictures: Pixels) -> Pixels:
    from scipy.ndimage import gaussian_filter

    return _clipped(gaussian_filter(pictures.astype(np.float32), sigma=(0, 1, 1, 0)))


def confused(images: Floats, canonical: Floats, labels: Rows, rows: Rows, run: Run) -> list[dict[str, Any]]:
    """The most frequent confusions, each with the numbers of a few pictures."""
    answers = (images @ canonical.T).argmax(1)
    matrix = gates.confusion(labels, answers, len(run.classes))
    np.fill_diagonal(matrix, 0)
    found = []
    for flat in np.argsort(-matrix, axis=None, kind="stable")[:12]:
        truth, answer = np.unravel_index(flat, matrix.shape)
        if not matrix[truth, answer]:
            break
        mine = rows[(labels == truth) & (answers == answer)]
        found.append({
            "truth": run.classes[truth], "answer": run.classes[answer], "n": int(matrix[truth, answer]),
            "examples": mine[:EXAMPLES].tolist(),
        })  # fmt: skip
    return found


def embedding_map(images: Floats, labels: Rows) -> list[list[float]]:
    """Up to 600 vectors as points (x, y, class) of the plane in which the classes' means differ most."""
    means = np.stack([images[labels == k].mean(0) for k in np.unique(labels)])
    _, _, directions = np.linalg.svd(means - means.mean(0), full_matrices=False)
    chosen = np.unique(np.linspace(0, len(images) - 1, MAP_AT_MOST).astype(int))
    points = (images[chosen] - means.mean(0)) @ directions[:2].T
    return [[round(float(x), 4), round(float(y), 4), int(k)] for (x, y), k in zip(points, labels[chosen], strict=True)]
