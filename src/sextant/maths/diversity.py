"""A few rows that stand for many: greedy max-min, and maximal marginal relevance (MMR). Knows nothing of images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sextant.types import Floats

Rows = NDArray[np.intp]


def spread(vectors: Floats, k: int, quality: NDArray[np.float64]) -> Rows:
    """k rows as far apart as greed gets them: the best first, then always the one farthest from all chosen.

    `vectors` (n, dim) are unit rows, `quality` (n,) breaks ties; then the lower row wins. The least distance between
    two chosen rows is at least half of the largest that any k rows have, wherever one starts (Gonzalez 1985, Ravi,
    Rosenkrantz and Tayi 1994): balls of half the optimum around fewer than k rows miss one row of the optimum.
    """
    if not min(k, len(vectors)):
        return np.zeros(0, np.intp)
    rank = _rank(quality)
    chosen = [int(np.argmin(rank))]
    nearest = vectors @ vectors[chosen[0]]  # the cosine of each row with the chosen one that is nearest to it
    while len(chosen) < min(k, len(vectors)):
        nearest[chosen] = np.inf
        farthest = np.flatnonzero(nearest == nearest.min())
        chosen.append(int(farthest[np.argmin(rank[farthest])]))
        np.maximum(nearest, vectors @ vectors[chosen[-1]], out=nearest)
    return np.array(chosen, np.intp)


def relevant(vectors: Floats, k: int, quality: NDArray[np.float64], weight: float) -> Rows:
    """k rows by λ · quality − (1 − λ) · (cosine with the most similar chosen row), λ = `weight`, one after another.

    λ = 1 is the plain order by quality; at 0 only difference counts after the first. Ties go to the better row, then
    to the lower one. Carbonell and Goldstein 1998.
    """
    if not min(k, len(vectors)):
        return np.zeros(0, np.intp)
    rank = _rank(quality)
    order = np.argsort(rank)
    if weight >= 1:
        return order[:k]
    chosen = [int(order[0])]
    nearest = vectors @ vectors[chosen[0]]
    while len(chosen) < min(k, len(vectors)):
        value = weight * quality - (1 - weight) * nearest
        value[chosen] = -np.inf
        best = np.flatnonzero(value == value.max())
        chosen.append(int(best[np.argmin(rank[best])]))
        np.maximum(nearest, vectors @ vectors[chosen[-1]], out=nearest)
    return np.array(chosen, np.intp)


def least_distance(vectors: Floats) -> float:
    """The least Euclidean distance between two unit rows; infinite for fewer than two."""
    if len(vectors) < 2:
        return float("inf")
    cosine = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(cosine, -1.0)
    return float(np.sqrt(max(0.0, 2 - 2 * cosine.max())))


def _rank(quality: NDArray[np.float64]) -> Rows:
    """0 for the best row; equal ones by row."""
    rank = np.empty(len(quality), np.intp)
    rank[np.argsort(-quality, kind="stable")] = np.arange(len(quality))
    return rank
