"""The figures of a scorecard from unit rows, and the seven gates: a figure that is missing fails.

numpy only. Nothing here can know which images were trained on: the caller hands held-out ones, and
`refuse_trained` checks that by their hashes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest

from sextant.errors import UsageError
from sextant.maths.metrics import expected_calibration_error
from sextant.train.retrieval import ranks
from sextant.types import Floats

Rows = NDArray[np.intp]
Doubles = NDArray[np.float64]
BINS = 15
RESAMPLES = 1000
STEPS = 20
SMALL = 10
"""A class with fewer held-out images than this is flagged: its figures say little."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % interval; `low` and `high` are None where it has none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate: `better` says whether the figure must be at least (`>=`) or below (`<`) the limit.

    `low` and `high` are the figure's 95 % interval, None where it has none.
    """

    name: str
    better: str
    limit: float
    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def sure(self) -> bool:
        """Whether it would pass at the worse end of its interval, too."""
        worse = self.low if self.better == ">=" else self.high
        return self.passed and worse is not None and Gate(self.name, self.better, self.limit, worse).passed

    @property
    def passed(self) -> bool:
        """Whether the figure is there, is a number, and is on the right side."""
        if self.value is None or self.value != self.value:
            return False
        return self.value >= self.limit if self.better == ">=" else self.value < self.limit


LIMITS: tuple[tuple[str, str, float], ...] = (
    ("accuracy", ">=", 0.90),
    ("macro_f1", ">=", 0.90),
    ("hard_negative_pass_rate", ">=", 0.80),
    ("semantic_r1", ">=", 0.70),
    ("ece", "<", 0.10),
    ("noise_confidence_p95", "<", 0.50),
    ("int8_latency_p95_ms", "<", 200.0),
)


def gates(figures: Mapping[str, Figure | None]) -> tuple[Gate, ...]:
    """The seven gates on what was measured."""
    found = []
    for name, better, limit in LIMITS:
        figure = figures.get(name)
        known = (None, None, None) if figure is None else (figure.value, figure.low, figure.high)
        found.append(Gate(name, better, limit, *known))
    return tuple(found)


def refuse_trained(held_out: Collection[str], trained: Collection[str]) -> None:
    """Raises `UsageError` where an image to be measured on was trained on."""
    both = set(held_out) & set(trained)
    if both:
        raise UsageError(
            f"{len(both):,} of the {len(held_out):,} images were trained on, so they cannot say how good it is on "
            "others. Name held-out images with --data, or leave --data out to use the run's own test part"
        )


def temperature(logits: Floats, labels: Rows) -> float:
    """What logits (n, classes) are to be divided by so that a softmax of them is believable (Guo et al. 2017)."""
    z = np.asarray(logits, np.float64)

    def loss(log_t: float) -> float:
        return float(-log_softmax(z / np.exp(log_t), axis=1)[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))


def f1_scores(labels: Rows, answers: Rows, classes: int) -> Doubles:
    """F1 of each class, (classes,); of a class that is neither shown nor answered, 0."""
    matrix = confusion(labels, answers, classes)
    right = np.diag(matrix)
    return np.asarray(2 * right / np.maximum(matrix.sum(0) + matrix.sum(1), 1))


def confusion(labels: Rows, answers: Rows, classes: int) -> Doubles:
    """Counts (classes, classes): the truth down, the answer across."""
    found = np.zeros((classes, classes))
    np.add.at(found, (labels, answers), 1)
    return found


def by_class(labels: Rows, answers: Rows, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall (with exact 95 % intervals) and F1 of each class; a small support is flagged."""
    matrix = confusion(labels, answers, len(classes))
    f1, table = f1_scores(labels, answers, len(classes)), []
    for k, code in enumerate(classes):
        right, shown, said = int(matrix[k, k]), int(matrix[k].sum()), int(matrix[:, k].sum())
        table.append({
            "class": code, "support": shown, "small": shown < SMALL, "f1": float(f1[k]),
            "precision": _share(right, said), "recall": _share(right, shown),
        })  # fmt: skip
    return table


def _share(right: int, n: int) -> dict[str, float | None]:
    if not n:
        return {"value": None, "low": None, "high": None}
    interval = binomtest(right, n).proportion_ci(method="exact")
    return {"value": right / n, "low": float(interval.low), "high": float(interval.high)}


def hard_negatives(
    images: Floats, labels: Rows, prompts: Sequence[Floats], clusters: Sequence[Sequence[int]]
) -> Doubles:
    """The margin of each image whose class is in a cluster: its nearest own prompt over the nearest of its rivals'."""
    margins = []
    for cluster in clusters:
        for k in cluster:
            rivals = [prompts[other] for other in cluster if other != k]
            mine = images[labels == k]
            if rivals and len(mine):
                margins.append((mine @ prompts[k].T).max(1) - (mine @ np.concatenate(rivals).T).max(1))
    return np.concatenate(margins) if margins else np.empty(0)


def measured(
    images: Floats,
    labels: Rows,
    prompts: Sequence[Floats],
    *,
    scale: float,
    clusters: Sequence[Sequence[int]],
    groups: Rows | None = None,
) -> dict[str, Figure]:
    """Accuracy, macro-F1, ECE, hard negatives and retrieval on held-out images, each with a bootstrap interval.

    `prompts` are unit rows by class, canonical first; `scale` turns cosines into the calibrated softmax's logits.
    """
    canonical = np.stack([rows[0] for rows in prompts])
    probability = softmax(scale * (images @ canonical.T).astype(np.float64), axis=1)
    answers, top = probability.argmax(1), probability.max(1)
    right = (answers == labels).astype(np.float64)
    text_labels = np.concatenate([np.full(len(rows), k) for k, rows in enumerate(prompts)])
    place = ranks(images, np.concatenate(list(prompts)), text_labels, labels)
    margin = np.full(len(images), np.nan)
    for cluster in clusters:
        for k in cluster:
            mine = labels == k
            margin[mine] = hard_negatives(images[mine], labels[mine], prompts, [cluster])
    draws = resampled(len(images) if groups is None else groups)
    classes = len(prompts)

    def figure(function: Any) -> Figure:
        values = [function(rows) for rows in draws]
        return Figure(float(function(np.arange(len(images)))), *map(float, np.nanquantile(values, (0.025, 0.975))))

    found = {
        "accuracy": figure(lambda r: right[r].mean()),
        "macro_f1": figure(lambda r: f1_scores(labels[r], answers[r], classes).mean()),
        "ece": figure(lambda r: expected_calibration_error(top[r], right[r], bins=BINS)),
        "semantic_r1": figure(lambda r: (place[r] <= 1).mean()),
        "semantic_r3": figure(lambda r: (place[r] <= 3).mean()),
        "semantic_r5": figure(lambda r: (place[r] <= 5).mean()),
        "semantic_mrr": figure(lambda r: (1 / place[r]).mean()),
    }
    if np.isfinite(margin).any():
        passed = np.where(np.isnan(margin), np.nan, margin > 0)
        found["hard_negative_pass_rate"] = figure(lambda r: _known_mean(passed[r]))
        found["hard_negative_margin"] = figure(lambda r: _known_mean(margin[r]))
    return found


def _known_mean(values: Doubles) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def resampled(rows: int | Rows) -> list[Rows]:
    """Rows drawn with replacement, `RESAMPLES` times; given the group (n,) of each row, whole groups are drawn."""
    rng = np.random.default_rng(0)
    if isinstance(rows, int):
        return [rng.integers(0, rows, rows) for _ in range(RESAMPLES)]
    members = [np.flatnonzero(rows == g) for g in np.unique(rows)]
    return [np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))]) for _ in range(RESAMPLES)]


class Sureness(TypedDict):
    """How sure a softmax is of pictures: see `confidence`."""

    n: int
    mean: float
    median: float
    p95: float
    p95_low: float
    p95_high: float
    counts: list[int]


def confidence(images: Floats, canonical: Floats, scale: float) -> Sureness:
    """How sure the softmax is of pictures that are none of the classes: mean, median, 95th percentile, and counts.

    The percentile has an interval; `counts` are pictures in `STEPS` equal steps of confidence.
    """
    top = softmax(scale * (images @ canonical.T).astype(np.float64), axis=1).max(1)
    low, high = percentile_interval(top)
    return {
        "n": len(top),
        "mean": float(top.mean()),
        "median": float(np.median(top)),
        "p95": float(np.quantile(top, 0.95)),
        "p95_low": low,
        "p95_high": high,
        "counts": np.histogram(top, STEPS, (0, 1))[0].tolist(),
    }


def percentile_interval(values: Doubles) -> tuple[float, float]:
    """The 95 % interval of a 95th percentile, by resampling."""
    draws = [np.quantile(values[rows], 0.95) for rows in resampled(len(values))]
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)
