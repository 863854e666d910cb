"""Several rankings become one, and a ranking is measured against what is relevant. Knows nothing of images or texts.

Fusion is by reciprocal rank (Cormack, Clarke and Büttcher 2009): it needs no common scale, and adds only. An item that
a ranking does not name keeps what the others give it, so a missing field costs nothing. `diversity` has MMR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import UsageError

RANK_CONSTANT = 60.0
"""How slowly the worth of a rank falls off; 60 is the source's, and nearly every search engine's."""

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Measures:
    """What the first k of a ranking are worth, each from 0 to 1. `hit` is 1 where any of them is relevant.

    `precision` divides by k, however few were returned; `reciprocal_rank` is 1 / the rank of the first relevant one.
    """

    precision: float
    recall: float
    hit: float
    ndcg: float
    reciprocal_rank: float


def fuse(
    rankings: Sequence[ArrayLike], weights: Sequence[float] | None = None, *, k: float = RANK_CONSTANT
) -> NDArray[np.intp]:
    """Every row that some ranking names, best first, by Σ weight / (k + rank); ranks begin at 1.

    A ranking lists row numbers, best first. Rows of equal worth go by the first ranking that tells them apart.
    Raises `UsageError` for a row named twice or below 0, or weights that do not fit.
    """
    rows, _ = fused(rankings, weights, k=k)
    return rows


def fused(
    rankings: Sequence[ArrayLike], weights: Sequence[float] | None = None, *, k: float = RANK_CONSTANT
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """As `fuse`, with the worth (n,) of each row."""
    lists = [np.asarray(ranking, np.intp).ravel() for ranking in rankings]
    shares = _checked(lists, weights, k)
    size = 1 + max((int(rows.max()) for rows in lists if len(rows)), default=-1)
    worth, seen = np.zeros(size), np.zeros(size, np.bool_)
    named = [np.zeros(0, np.intp)]  # in the order in which ties are decided
    for rows, share in zip(lists, shares, strict=True):
        worth[rows] += share / (k + np.arange(1, len(rows) + 1))
        named.append(rows[~seen[rows]])
        seen[rows] = True
    found = np.concatenate(named)
    order = found[np.argsort(-worth[found], kind="stable")]
    return order, worth[order]


def _checked(lists: Sequence[Rows], weights: Sequence[float] | None, k: float) -> Sequence[float]:
    shares = [1.0] * len(lists) if weights is None else list(weights)
    if len(shares) != len(lists):
        raise UsageError(f"{len(lists)} rankings need as many weights, not {len(shares)}")
    if not all(np.isfinite(share) and share >= 0 for share in shares):
        raise UsageError(f"the weight of a ranking is a number from 0 on, and of {shares} one is not")
    if not k >= 0:
        raise UsageError(f"the rank constant is a number from 0 on, not {k}")
    for number, rows in enumerate(lists, 1):
        if len(rows) and rows.min() < 0:
            raise UsageError(f"ranking {number} names row {rows.min()}, and rows are counted from 0")
        if len(np.unique(rows)) < len(rows):
            raise UsageError(f"ranking {number} names a row twice, and a row has one rank")
    return shares


def measure(gains: ArrayLike, relevant: int, k: int) -> Measures:
    """What the first k of a ranking are worth, when `relevant` items are.

    `gains` (n,) says of each item of the ranking, best first, whether it is relevant (1 or 0). Raises `UsageError`
    where k is below 1, nothing is relevant, or the ranking holds more relevant items than there are.
    """
    right = np.asarray(gains, np.float64).ravel()
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}")
    if relevant < max(1, right.sum()):
        raise UsageError(f"{relevant} relevant items cannot be measured by a ranking with {int(right.sum())} of them")
    first = right[:k]
    found = float(first.sum())
    hits = np.flatnonzero(first)
    return Measures(
        precision=found / k,
        recall=found / relevant,
        hit=float(found > 0),
        ndcg=dcg(first, k) / dcg(np.ones(min(relevant, k)), k),
        reciprocal_rank=1 / (1 + float(hits[0])) if len(hits) else 0.0,
    )


def dcg(gains: ArrayLike, k: int) -> float:
    """Discounted cumulative gain of the first k: Σ gain / log₂(1 + rank) (Järvelin and Kekäläinen 2002)."""
    first = np.asarray(gains, np.float64).ravel()[:k]
    return float(first @ (1 / np.log2(np.arange(2, len(first) + 2))))


def ndcg(gains: ArrayLike, ideal: ArrayLike, k: int) -> float:
    """DCG of a ranking over that of the best one; `ideal` holds the gains of everything there is, in any order.

    0 where nothing has a gain.
    """
    best = dcg(-np.sort(-np.asarray(ideal, np.float64).ravel()), k)
    return dcg(gains, k) / best if best > 0 else 0.0
