"""How far confidences can be believed: calibration error, Brier score, likelihood, precision, each with its doubt.

Takes confidences and truths that the fit never saw; that is the caller's promise and cannot be checked here. Intervals
are bootstrap intervals over images, so answers about the same image stay together. Knows nothing of calibrations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import UsageError
from sextant.types import Spread

Doubles = NDArray[np.float64]
Cells = tuple[Doubles, ...]
"""Confidence, truth and weight of the same labels, (n,) each."""

BINS = 15
RESAMPLES = 200
LEVEL = 0.95
OUTER = 0.005, 0.995
SUMS_AT_ONCE = 2**24  # 64 MiB of them
CERTAIN = 1e-7  # a confidence of exactly 0 or 1 that is wrong would cost an infinite likelihood


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a reliability diagram: confidences from `low` to `high`, their mean, and how often they were right.

    `n` counts the labels; `rate_low` and `rate_high` bound the rate at 95 %.
    """

    low: float
    high: float
    n: int
    confidence: float
    rate: float
    rate_low: float
    rate_high: float


@dataclass(frozen=True, slots=True)
class Quality:
    """What n labels say of confidences. ECE is over `bins` of equal width, `ece_mass` over bins of equal content.

    `ece_debiased` takes off what a perfect calibration would show by chance alone; the interval of `ece` is for it.
    `brier` = `reliability` − `resolution` + `uncertainty` + `within`, the last being what happens inside the bins.
    """

    n: int
    positives: int
    bins: int
    ece: Estimate
    ece_mass: Estimate
    ece_debiased: float
    brier: Estimate
    nll: Estimate
    average_precision: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float
    curve: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What n labels say of confidences, in brief: ECE over `bins` of equal width, Brier score, and log likelihood."""

    n: int
    bins: int
    ece: Estimate
    brier: float
    nll: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The quality of every attribute, None for one without labels, and of all their answers together."""

    attributes: tuple[Quality | None, ...]
    pooled: Quality


def evaluate(
    confidence: ArrayLike,
    truth: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bins: int | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    spread: Spread | None = None,
) -> Evaluation:
    """The quality of confidences (n, a) against truth (n, a), which is 1, 0 or NaN where nobody knows.

    `weights` (n, a) are inverse inclusion probabilities where labels were picked by score. A confidence that is NaN
    counts as not labelled. Without `bins`, each attribute has `bins_for` its labels. Raises `UsageError` when nothing
    is labelled or a confidence lies outside 0 to 1. With `spread` other processes resample, an attribute each.
    """
    p, y, w = _cells(confidence, truth, weights)
    whole = tuple(column[w > 0] for column in (p, y, w))
    pooled = bins or bins_for(len(whole[0]))
    edges = _width_edges(pooled), _mass_edges(whole[0], pooled)
    make = partial(_judge, len(p), resamples, seed, bins, edges)
    columns = [(p[:, k], y[:, k], w[:, k]) for k in range(p.shape[1])]
    attributes: list[Quality | None] = []
    total = np.zeros((4 * pooled + 3, resamples))
    for quality, sums in map(make(), columns) if spread is None else spread(make, columns):
        attributes.append(quality)
        if quality is not None:
            total += sums
    return Evaluation(tuple(attributes), _quality(whole, total, edges))


def _judge(
    images: int, resamples: int, seed: int, bins: int | None, edges: tuple[Doubles, Doubles]
) -> Callable[[Cells], tuple[Quality | None, Doubles]]:
    """What judges one attribute by its confidence, truth and weight (n,): its quality, and its part of all together."""
    draws, pooled = _draws(images, resamples, seed), len(edges[0]) - 1

    def one(column: Cells) -> tuple[Quality | None, Doubles]:
        rows = np.flatnonzero(column[2])
        if not len(rows):
            return None, np.zeros(0)
        cells = column[0][rows], column[1][rows], column[2][rows]
        times = draws if len(rows) == len(draws) else draws[rows]
        count = bins or bins_for(len(rows))
        own = _width_edges(count), _mass_edges(cells[0], count)
        again, pooled_mass = _resampled(cells, times, own, edges[1] if count == pooled else own[1])
        quality = _quality(cells, again, own)
        if count != pooled:
            again, pooled_mass = _resampled(cells, times, edges, edges[1])
        return quality, np.concatenate([again[: 3 * pooled], pooled_mass, again[4 * pooled :]])

    return one


def summaries(columns: Sequence[Cells], *, resamples: int = RESAMPLES, seed: int = 0) -> list[Summary]:
    """In brief, and quickly, what `evaluate` says of each of many attributes alone: of cells (n,), each its own n.

    A confidence that is NaN counts as not labelled. Raises `UsageError` as `evaluate` does.
    """
    known = [tuple(part[:, 0] for part in _cells(*map(_column, column))) for column in columns]
    longest = max((len(cells[0]) for cells in known), default=1)
    draws = _draws(longest, resamples, seed)
    at_once = max(1, SUMS_AT_ONCE // (longest * (BINS + 1)))
    starts = range(0, len(known), at_once)
    return [found for start in starts for found in _summaries(known[start : start + at_once], draws)]


def _summaries(columns: Sequence[Cells], draws: NDArray[np.float32]) -> list[Summary]:
    """All of them by one matrix product. `draws` are of as many images as the longest column has, or more."""
    lengths = np.array([len(column[0]) for column in columns])
    attribute, at = np.repeat(np.arange(len(columns)), lengths), np.concatenate([np.arange(n) for n in lengths])
    p, y, w = (np.concatenate([column[k] for column in columns]) for k in range(3))
    there = w > 0
    attribute, at, p, y, w = attribute[there], at[there], p[there], y[there], w[there]
    counts = np.bincount(attribute)
    bins = np.array([bins_for(n) for n in counts])
    first = np.cumsum(bins) - bins
    slot = first[attribute]
    for count in np.unique(bins):
        some = bins[attribute] == count
        slot[some] += _bin_of(p[some], _width_edges(count))
    weight = np.bincount(attribute, w)
    ece, brier, nll = (
        np.add.reduceat(np.abs(np.bincount(slot, w * (p - y), bins.sum())), first) / weight,
        np.bincount(attribute, w * (p - y) ** 2) / weight,
        np.bincount(attribute, w * surprise(p, y)) / weight,
    )
    parts = np.zeros((bins.sum() + len(columns), at.max() + 1), np.float32)
    parts[slot, at], parts[bins.sum() + attribute, at] = w * (p - y), w
    again = (parts @ draws[: parts.shape[1]]).astype(np.float64)
    gaps = np.add.reduceat(np.abs(again[: bins.sum()]), first) / np.maximum(again[bins.sum() :], 1e-12)
    doubt = np.quantile(gaps, OUTER, axis=1).T
    return [
        Summary(int(counts[a]), int(bins[a]), _around(float(ece[a]), doubt[a]), float(brier[a]), float(nll[a]))
        for a in range(len(columns))
    ]


def bins_for(n: int) -> int:
    """Fewer bins for fewer labels: about ten in each, at least two bins and at most fifteen."""
    return int(np.clip(n // 10, 2, BINS))


def _draws(images: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """How often each image comes up in each resample (images, resamples): Poisson with mean 1, from a table."""
    return _times()[np.random.default_rng(seed).integers(0, 2**16, (images, resamples), dtype=np.uint16)]


@cache
def _times() -> NDArray[np.float32]:
    """Where 2¹⁶ even steps from 0 to 1 fall in the Poisson distribution with mean 1."""
    often = np.exp(-1) / np.cumprod(np.maximum(np.arange(10), 1))  # 1 / (e k!), written out: scipy.stats loads slowly
    return np.searchsorted(np.cumsum(often), (np.arange(2**16) + 0.5) / 2**16).astype(np.float32)


def expected_calibration_error(
    confidence: ArrayLike,
    truth: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bins: int = BINS,
    equal_mass: bool = False,
) -> float:
    """Mean gap between confidence and rate over bins, each weighted by its share of the labels."""
    p, y, w = (column[:, 0] for column in _cells(_column(confidence), _column(truth), _column(weights)))
    edges = _mass_edges(p, bins) if equal_mass else _width_edges(bins)
    sums = _sums(p, y, w, edges)
    return float(np.abs(sums[1] - sums[2]).sum() / sums[0].sum())


def average_precision(scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean precision at the ranks of the true, equal scores sharing a rank; NaN when nothing is true."""
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    w = np.ones_like(s) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(-s, kind="stable")
    s, hits, seen = s[order], np.cumsum((w * y)[order]), np.cumsum(w[order])
    if not hits.size or hits[-1] <= 0:
        return float("nan")
    ends = np.append(np.flatnonzero(np.diff(s)), len(s) - 1)
    return float((hits[ends] / seen[ends]) @ np.diff(hits[ends], prepend=0.0) / hits[-1])


def _column(values: ArrayLike | None) -> Doubles | None:
    return None if values is None else np.asarray(values, dtype=np.float64).reshape(-1, 1)


def _cells(
    confidence: ArrayLike | None, truth: ArrayLike | None, weights: ArrayLike | None
) -> tuple[Doubles, Doubles, Doubles]:
    p = np.atleast_2d(np.asarray(confidence, dtype=np.float64))
    y = np.atleast_2d(np.asarray(truth, dtype=np.float64))
    w = np.ones_like(p) if weights is None else np.array(np.atleast_2d(weights), dtype=np.float64)
    if not p.shape == y.shape == w.shape:
        raise UsageError(f"confidences {p.shape}, truth {y.shape} and weights {w.shape} differ in shape")
    if (p < 0).any() or (p > 1).any():
        raise UsageError(f"a confidence lies between 0 and 1, not at {np.nanmin(p):.4g} or {np.nanmax(p):.4g}")
    known = np.isfinite(p) & np.isfinite(y)
    if not (known & (w > 0)).any():
        raise UsageError("there is no label to evaluate against: give some with `sextant label`")
    return np.where(known, p, 0.0), np.where(known, y, 0.0), np.where(known, w, 0.0)


def _width_edges(bins: int) -> Doubles:
    return np.linspace(0, 1, bins + 1)


def _mass_edges(p: Doubles, bins: int) -> Doubles:
    edges = np.quantile(p, np.linspace(0, 1, bins + 1))
    edges[0], edges[-1] = 0.0, 1.0
    return edges


def _bin_of(p: Doubles, edges: Doubles) -> NDArray[np.intp]:
    return np.clip(np.searchsorted(edges, p, side="right") - 1, 0, len(edges) - 2)


def _sums(p: Doubles, y: Doubles, w: Doubles, edges: Doubles) -> Doubles:
    """(3, bins): weight, weighted confidence and weighted truth."""
    place, bins = _bin_of(p, edges), len(edges) - 1
    return np.stack([np.bincount(place, part, bins) for part in (w, w * p, w * y)])


def _quality(cells: Cells, again: Doubles, edges: tuple[Doubles, Doubles]) -> Quality:
    (p, y, w), bins = cells, len(edges[0]) - 1
    place = _bin_of(p, edges[0])
    sums, mass_sums = _sums(p, y, w, edges[0]), _sums(p, y, w, edges[1])
    weight = np.maximum(again[-3], 1e-12)
    by_bin = again[: 3 * bins].reshape(3, bins, -1)
    gaps = np.abs(by_bin[1] - by_bin[2]).sum(axis=0) / weight
    mass_gaps = np.abs(again[3 * bins : 4 * bins]).sum(axis=0) / weight
    ece, chance = _gap(sums), _chance(sums, np.bincount(place, w**2, bins).astype(np.float64))
    reliability, resolution, uncertainty = _murphy(sums)
    score = float(np.average((p - y) ** 2, weights=w))
    return Quality(
        n=len(p),
        positives=int(y.sum()),
        bins=bins,
        ece=_pivotal(ece, gaps),
        ece_mass=_pivotal(_gap(mass_sums), mass_gaps),
        ece_debiased=max(0.0, ece - max(0.0, chance - ece)),
        brier=_percentile(score, again[-2] / weight),
        nll=_percentile(float(np.average(surprise(p, y), weights=w)), again[-1] / weight),
        average_precision=average_precision(p, y, w),
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within=score - (reliability - resolution + uncertainty),
        curve=_curve(sums, np.bincount(place, minlength=bins), by_bin, edges[0]),
    )


def surprise(p: Doubles, y: Doubles) -> Doubles:
    """What each truth (n,) costs a confidence (n,), in nats; a little less than endless where it was certain."""
    sure = np.clip(p, CERTAIN, 1 - CERTAIN)
    return np.asarray(-np.where(y > 0.5, np.log(sure), np.log1p(-sure)))


def _resampled(
    cells: Cells, times: NDArray[np.float32], edges: tuple[Doubles, Doubles], pooled_mass: Doubles
) -> tuple[Doubles, Doubles]:
    """The sums behind every figure, once per resample, in one matrix product; and those by the pooled mass bins.

    Rows of the first: weight, confidence and truth by bin of equal width, gap by bin of equal content; then weight,
    squared error and surprise of all.
    """
    (p, y, w), bins = cells, len(edges[0]) - 1
    place = _bin_of(p, edges[0])
    slots = [k * bins + place for k in range(3)]
    slots += [3 * bins + _bin_of(p, edges[1]), 4 * bins + _bin_of(p, pooled_mass)]
    slots += [np.full(len(p), 5 * bins + k) for k in range(3)]
    gap = w * (p - y)
    parts = [w, w * p, w * y, gap, gap, w, gap * (p - y), w * surprise(p, y)]
    # Eight numbers an image in 78 rows: a sparse product does a tenth of the work of a dense one, in one thread.
    at = np.tile(np.arange(len(p)), len(parts))
    values = np.concatenate(parts).astype(np.float32)
    from scipy.sparse import csr_array  # loads slowly, and a calibration does without

    rows = csr_array((values, (np.concatenate(slots), at)), shape=(5 * bins + 3, len(p)))
    total = (rows @ times).astype(np.float64)
    return np.delete(total, np.s_[4 * bins : 5 * bins], axis=0), total[4 * bins : 5 * bins]


def _gap(sums: Doubles) -> float:
    return float(np.abs(sums[1] - sums[2]).sum() / sums[0].sum())


def _chance(sums: Doubles, squares: Doubles) -> float:
    """The mean ECE of repeated samples whose bins have just these gaps: each gap's absolute normal mean."""
    from scipy.special import ndtr  # as above

    weight = np.maximum(sums[0], 1e-12)
    gap, rate = np.abs(sums[1] - sums[2]) / weight, sums[2] / weight
    sd = np.sqrt(np.maximum(rate * (1 - rate), 1e-12) * squares / weight**2) + 1e-12
    folded = sd * np.sqrt(2 / np.pi) * np.exp(-0.5 * (gap / sd) ** 2) + gap * (1 - 2 * ndtr(-gap / sd))
    return float((sums[0] @ folded) / sums[0].sum())


def _murphy(sums: Doubles) -> tuple[float, float, float]:
    """Reliability, resolution and uncertainty of the Brier score (Murphy, 1973)."""
    weight = np.maximum(sums[0], 1e-12)
    share, mean, rate = sums[0] / sums[0].sum(), sums[1] / weight, sums[2] / weight
    overall = float(sums[2].sum() / sums[0].sum())
    return (
        float(share @ (mean - rate) ** 2),
        float(share @ (rate - overall) ** 2),
        overall * (1 - overall),
    )


def _percentile(value: float, again: Doubles) -> Estimate:
    low, high = np.quantile(again, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def _pivotal(value: float, again: Doubles) -> Estimate:
    """An interval for the true ECE. Resampling adds to it the upward bias that sampling added: it is taken off twice.

    The outer quantiles are those of 99 %: at 95 % a sum of folded gaps was covered only 89 times in 100.
    """
    return _around(value, np.quantile(again, OUTER))


def _around(value: float, outer: Doubles) -> Estimate:
    low, high = outer
    return Estimate(value, max(0.0, 2 * value - float(high)), max(value, 2 * value - float(low)))


def _curve(sums: Doubles, counts: NDArray[np.intp], again: Doubles, edges: Doubles) -> tuple[Bin, ...]:
    rates = again[2] / np.maximum(again[0], 1e-12)  # (bins, resamples)
    bars = []
    for i in np.flatnonzero(counts):
        seen = again[0, i] > 0
        low, high = np.quantile(rates[i, seen], [0.025, 0.975]) if seen.any() else (0.0, 1.0)
        mean, rate = float(sums[1, i] / sums[0, i]), float(sums[2, i] / sums[0, i])
        bars.append(Bin(float(edges[i]), float(edges[i + 1]), int(counts[i]), mean, rate, float(low), float(high)))
    return tuple(bars)
