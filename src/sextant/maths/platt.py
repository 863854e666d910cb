"""A slope and an offset per attribute on the log-odds of its unlabelled curve, from a few labels each.

Twenty-five labels cannot fix two numbers for one attribute, but the labels of all attributes say together how far such
corrections go: each attribute is drawn towards their common correction, the more the fewer its own labels (empirical
Bayes). Knows nothing of images or of where labels come from; `fitting` decides whether a fit is used at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Doubles = NDArray[np.float64]

START = np.array([1.0, 0.0])  # slope and offset that change nothing
START_SPREAD = np.array([0.35, 1.0])  # how far the common correction may lie from that
SPREAD = np.array([0.15, 0.5])  # how far attributes differ from one another, before the labels speak
WORTH = 4.0  # attributes that this last guess counts for
ROUNDS = 12
STEPS = 4  # Newton steps a round, each starting where the last ended
HEAVIEST = 1.0  # of the mean weight of an attribute's labels: docs/calibration.md compares others
LONGEST = 2.0  # a Newton step on a nearly flat likelihood must not run away


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
    x, y, w = _stacked(samples)
    common, spread = START.copy(), SPREAD.copy()
    own = np.tile(common, (len(samples), 1))
    for _ in range(ROUNDS):
        own, doubt = _newton(x, y, w, own, common, spread)
        certainty = 1 / (spread**2 + doubt)
        common = ((certainty * own).sum(axis=0) + START / START_SPREAD**2) / (
            certainty.sum(axis=0) + 1 / START_SPREAD**2
        )
        scatter = ((own - common) ** 2 + doubt).sum(axis=0) + WORTH * SPREAD**2
        spread = np.sqrt(scatter / (len(samples) + WORTH))
    return Lines(own, common, spread)


def apply_line(line: Doubles, log_odds: Doubles) -> Doubles:
    """Confidences (n,) of the line (slope, offset) on log-odds (n,)."""
    return cast("Doubles", expit(line[0] * log_odds + line[1]))


def _stacked(samples: Sequence[Sample]) -> tuple[Doubles, Doubles, Doubles]:
    """All samples as rows of equal length, padded with labels of no weight.

    Weights above the mean count as the mean: two of 25 labels that speak for nine tenths of a collection would leave
    others next to nothing to say. Then those of one attribute sum to the number of equal ones that say as much (Kish).
    """
    longest = max(len(sample.truth) for sample in samples)
    x, y, w = np.zeros((3, len(samples), max(longest, 1)))
    for a, sample in enumerate(samples):
        n = len(sample.truth)
        x[a, :n], y[a, :n] = sample.log_odds, sample.truth
        if n:
            light = np.minimum(sample.weight, HEAVIEST * sample.weight.mean())
            w[a, :n] = light * light.sum() / (light**2).sum()
    return x, y, w


def _newton(
    x: Doubles, y: Doubles, w: Doubles, start: Doubles, common: Doubles, spread: Doubles
) -> tuple[Doubles, Doubles]:
    """MAP lines (a, 2) and the variances (a, 2) of their posterior, all attributes at once."""
    own, prior = start.copy(), 1 / spread**2
    inverse = np.empty((len(x), 2, 2))
    for _ in range(STEPS):
        p = expit(own[:, :1] * x + own[:, 1:])
        slack, bend = w * (p - y), w * p * (1 - p)
        gradient = np.stack([(slack * x).sum(axis=1), slack.sum(axis=1)], axis=1) + prior * (own - common)
        a = (bend * x * x).sum(axis=1) + prior[0]
        b = (bend * x).sum(axis=1)
        c = bend.sum(axis=1) + prior[1]
        inverse = (
            np.stack([np.stack([c, -b], axis=1), np.stack([-b, a], axis=1)], axis=1) / (a * c - b * b)[:, None, None]
        )
        step = np.einsum("aij,aj->ai", inverse, gradient)
        own = own - np.clip(step, -LONGEST, LONGEST)
        level = own[:, 0] < 0
        # A falling line would turn the attribute inside out: hold it level, and let the offset alone move.
        own[level, 0] = 0.0
        own[level, 1] = (start - np.clip(gradient / np.stack([a, c], axis=1), -LONGEST, LONGEST))[level, 1]
        start = own.copy()
    return own, np.stack([inverse[:, 0, 0], inverse[:, 1, 1]], axis=1)
