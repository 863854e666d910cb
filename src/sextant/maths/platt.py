"""A slope and an offset per attribute on the log-odds of its unlabelled curve, from a few labels each.

Twenty-five labels cannot fix two numbers for one attribute, but the labels of all attributes say together how far such
corrections go: each attribute is drawn towards their common correction, the more the fewer its own labels (empirical
Bayes). Knows nothing of images or of where labels come from; `fitting` decides whether a fit is used at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sextant.maths.calibration import sigmoid

Doubles = NDArray[np.float64]

START = np.array([1.0, 0.0])  # slope and offset that change nothing
START_SPREAD = np.array([0.35, 1.0])  # how far the common correction may lie from that
SPREAD = np.array([0.15, 0.5])  # how far attributes differ from one another, before the labels speak
WORTH = 4.0  # attributes that this last guess counts for
ROUNDS = 12
STEPS = 4  # Newton steps a round, each starting where the last ended
HEAVIEST = 1.0  # of the mean weight of an attribute's labels: docs/calibration.md compares others
LONGEST = 2.0  # a Newton step on a nearly flat likelihood must not run away
CELLS_AT_ONCE = 2**16  # more of them leave the processor's cache: then one fold or attribute after another is quicker


@dataclass(frozen=True, slots=True)
class Sample:
    """Labels of one attribute: log-odds of its unlabelled curve (n,), truth (n,) of 0 and 1, weights (n,).

    A weight is an inverse inclusion probability; only their ratios count.
    """

    log_odds: Doubles
    truth: Doubles
    weight: Doubles


@dataclass(frozen=True, slots=True)
class Lines:
    """Slopes and offsets (a, 2) of all attributes, their common mean (2,) and their spread (2,)."""

    own: Doubles
    common: Doubles
    spread: Doubles


def fit_lines(samples: Sequence[Sample]) -> Lines:
    """Slope (never below 0) and offset of every attribute by MAP, with common mean and spread fitted to all of them."""
    return fit_lines_by_fold(samples, [], 0)[0]


def fit_lines_by_fold(samples: Sequence[Sample], places: Sequence[NDArray[np.intp]], folds: int) -> list[Lines]:
    """`fit_lines` of all labels; then, for each fold, of the labels outside it. Many at once, as one array.

    `places` are the folds (n,) of each attribute's labels, from 0.
    """
    x, y, weight = _stacked(samples)
    fold = np.full(x.shape, -1)
    for row, place in zip(fold, places, strict=False):
        row[: len(place)] = place
    found: list[Lines] = []
    at_once = max(1, CELLS_AT_ONCE // x.size)
    for start in range(-1, folds, at_once):
        left_out = np.arange(start, min(start + at_once, folds))
        kept = weight * ((fold != left_out[:, None, None]) | (left_out < 0)[:, None, None])
        found += _fitted(x, y, _evened(kept))
    return found


def _fitted(x: Doubles, y: Doubles, w: Doubles) -> list[Lines]:
    """Lines by labels (a, n), once for each of several weights (f, a, n) of theirs that know nothing of each other."""
    common, spread = np.tile(START, (len(w), 1)), np.tile(SPREAD, (len(w), 1))
    own = np.tile(START, (*w.shape[:2], 1))
    doubt, at_once = np.empty_like(own), max(1, CELLS_AT_ONCE // w[:, 0].size)
    some = [np.s_[start : start + at_once] for start in range(0, len(x), at_once)]
    for _ in range(ROUNDS):
        for a in some:
            own[:, a], doubt[:, a] = _newton(x[a], y[a], w[:, a], own[:, a], common, spread)
        certainty = 1 / (spread[:, None] ** 2 + doubt)
        common = ((certainty * own).sum(axis=1) + START / START_SPREAD**2) / (
            certainty.sum(axis=1) + 1 / START_SPREAD**2
        )
        scatter = ((own - common[:, None]) ** 2 + doubt).sum(axis=1) + WORTH * SPREAD**2
        spread = np.sqrt(scatter / (len(x) + WORTH))
    return [Lines(*parts) for parts in zip(own, common, spread, strict=True)]


def apply_line(line: Doubles, log_odds: Doubles) -> Doubles:
    """Confidences (n,) of the line (slope, offset) on log-odds (n,)."""
    return sigmoid(line[0] * log_odds + line[1])


def _stacked(samples: Sequence[Sample]) -> tuple[Doubles, Doubles, Doubles]:
    """All samples as rows of equal length, padded with labels of no weight."""
    longest = max(len(sample.truth) for sample in samples)
    x, y, w = np.zeros((3, len(samples), max(longest, 1)))
    for a, sample in enumerate(samples):
        n = len(sample.truth)
        x[a, :n], y[a, :n], w[a, :n] = sample.log_odds, sample.truth, sample.weight
    return x, y, w


def _evened(weight: Doubles) -> Doubles:
    """What labels (..., n) of these weights count for, 0 for one that is not there.

    Weights above the mean count as the mean: two of 25 labels that speak for nine tenths of a collection would leave
    others next to nothing to say. Then those of one attribute sum to the number of equal ones that say as much (Kish).
    """
    there = np.maximum((weight > 0).sum(axis=-1, keepdims=True), 1)
    light = np.minimum(weight, HEAVIEST * weight.sum(axis=-1, keepdims=True) / there)
    squares: Doubles = (light**2).sum(axis=-1, keepdims=True)
    evened: Doubles = light * light.sum(axis=-1, keepdims=True) / np.where(squares > 0, squares, 1.0)
    return evened


def _newton(
    x: Doubles, y: Doubles, w: Doubles, start: Doubles, common: Doubles, spread: Doubles
) -> tuple[Doubles, Doubles]:
    """MAP lines (f, a, 2) and the variances (f, a, 2) of their posterior, by labels (a, n) and weights (f, a, n)."""
    own, prior, common = start.copy(), 1 / spread[:, None] ** 2, common[:, None]
    for _ in range(STEPS):
        p = sigmoid(own[..., :1] * x + own[..., 1:])
        slack = w * (p - y)
        bend = w * (p * (1 - p))
        tilt = bend * x
        slope, offset = np.moveaxis(prior * (own - common), -1, 0)
        slope, offset = slope + np.einsum("fan,an->fa", slack, x), offset + slack.sum(axis=-1)
        a = np.einsum("fan,an->fa", tilt, x) + prior[..., 0]
        b = tilt.sum(axis=-1)
        c = bend.sum(axis=-1) + prior[..., 1]
        whole = a * c - b * b
        step = np.stack([(c * slope - b * offset) / whole, (a * offset - b * slope) / whole], axis=-1)
        before, own = own, own - np.clip(step, -LONGEST, LONGEST)
        level = own[..., 0] < 0
        # A falling line would turn the attribute inside out: hold it level, and let the offset alone move.
        own[level, 0] = 0.0
        own[level, 1] = before[level, 1] - np.clip(offset / c, -LONGEST, LONGEST)[level]
    return own, np.stack([c / whole, a / whole], axis=-1)
