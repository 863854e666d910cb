"""Ranked retrieval over stored vectors: a phrase or a picture in, the most alike images out, exactly.

Vectors are streamed in batches and only the best are kept, so memory does not grow with the collection. This stage
knows nothing of encoders: it is handed a direction.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sextant.maths import calibration as curves
from sextant.maths import logits as maths
from sextant.maths.calibration import Calibration
from sextant.tables import steadily
from sextant.types import Floats, Hit, SearchResult
from sextant.vectors import Vectors


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best images of a ranking, best first: ids (k) and logits (k)."""

    ids: list[str]
    logits: NDArray[np.float32]


def nearest(
    vectors: Vectors,
    positive: Floats,
    negatives: Floats | None = None,
    *,
    scale: float,
    bias: float,
    limit: int,
    among: frozenset[str] | None = None,
) -> Ranked:
    """The `limit` images of highest logit for a direction (dim,); ties go by id, so an answer is always the same.

    `among` keeps the answer to these ids; nothing outside it is ever traded for something inside it.
    """

    def ranked() -> Ranked:
        best: list[tuple[float, str]] = []
        for ids, rows in vectors.batches():
            values = maths.logits(rows, positive, negatives, scale=scale, bias=bias)
            best = heapq.nsmallest(limit, best + _leaders(ids, values, limit, among))
        return Ranked([i for _, i in best], np.array([-v for v, _ in best], np.float32))

    return steadily(ranked)


def answer(
    query: str, ranked: Ranked, paths: Mapping[str, str], curve: Calibration, *, scale: float, bias: float
) -> SearchResult:
    """A ranking as hits with their paths and what a curve makes of their logits; `query` is what they resemble."""
    confidence = curves.confidence(curve, ranked.logits)
    hits = [
        Hit(image, paths[image], (float(z) - bias) / scale, float(z), float(p), query)
        for image, z, p in zip(ranked.ids, ranked.logits, confidence, strict=True)
    ]
    return SearchResult(query, "uncalibrated", tuple(hits))


def _leaders(ids: Sequence[str], values: Floats, limit: int, among: frozenset[str] | None) -> list[tuple[float, str]]:
    """The candidates of one batch as (−logit, id). Every tie with the last of them is kept, for the ids to decide."""
    allowed = np.arange(len(ids)) if among is None else np.array([k for k, i in enumerate(ids) if i in among], np.intp)
    scores = values[allowed]
    if len(scores) > limit:
        cut = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        allowed = allowed[scores >= cut]
    return [(-float(values[k]), ids[k]) for k in allowed]
