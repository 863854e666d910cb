"""Average precision and caption hit rate, by their definitions; knows nothing about networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def average_precision(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Mean precision at the rank of every true picture; nan where nothing is true. Ties count as the worst order."""
    if not truth.any():
        return float("nan")
    order = np.lexsort((truth, -scores))  # among equal scores, false ones first
    hits = np.cumsum(truth[order])
    ranks = np.flatnonzero(truth[order]) + 1
    return float(np.mean(hits[ranks - 1] / ranks))


def average_precisions(scores: NDArray[np.floating], labels: NDArray[np.int8]) -> NDArray[np.float64]:
    """Per column of scores and labels (n, a); unknown labels (-1) are left out."""
    columns = zip(scores.T, labels.T, strict=True)
    return np.array([average_precision(score[label >= 0], label[label >= 0] == 1) for score, label in columns])


def hit_rate(similarity: NDArray[np.floating], same: NDArray[np.bool_]) -> float:
    """The share of captions (rows) whose best picture (column) is a right one by `same`.

    A tie counts against the caption: a wrong picture with the same similarity makes it a miss.
    """
    right = np.where(same, similarity, -np.inf).max(axis=1)
    wrong = np.where(same, -np.inf, similarity).max(axis=1)
    return float(np.mean(right > wrong))


def calibration_error(probability: NDArray[np.floating], truth: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error over equal-width bins."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = [
        abs(probability[place == b].mean() - truth[place == b].mean()) * np.mean(place == b)
        for b in range(bins)
        if (place == b).any()
    ]
    return float(np.sum(gaps))
