"""Ranked retrieval over stored vectors: a phrase or a picture in, the most alike images out, exactly.

Vectors are streamed in batches, so memory grows by a few bytes an image. This stage knows nothing of encoders or
calibrations: it is handed a direction, and gives back logits or a ranking.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sextant.maths import logits as maths
from sextant.tables import steadily
from sextant.types import Floats
from sextant.vectors import Vectors


def logits(
    vectors: Vectors, positive: Floats, negatives: Floats | None, *, scale: float, bias: float
) -> tuple[pa.Array, Floats]:
    """Ids and logits (n,) of every image for a direction (dim,)."""

    def read() -> tuple[pa.Array, Floats]:
        names: list[pa.Array] = [pa.array([], pa.string())]
        values: list[Floats] = [np.zeros(0, np.float32)]
        for ids, rows in vectors.batches():
            names.append(pa.array(ids, pa.string()))
            values.append(maths.logits(rows, positive, negatives, scale=scale, bias=bias))
        return pa.concat_arrays(names), np.concatenate(values)

    return steadily(read)


def best(scores: NDArray[np.float64], ids: pa.Array, limit: int, allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The rows of the `limit` highest scores among the allowed ones; ties go by id, NaN is never ranked.

    The choice is made after the filter, so no match is lost to it.
    """
    rows = np.flatnonzero(allowed & ~np.isnan(scores))
    if len(rows) > limit:
        cut = np.partition(scores[rows], len(rows) - limit)[len(rows) - limit]
        rows = rows[scores[rows] >= cut]  # every tie with the last, for the ids to decide
    names = ids.take(pa.array(rows)).to_pylist()
    order = sorted(range(len(rows)), key=lambda k: (-scores[rows[k]], names[k]))
    return rows[np.array(order[:limit], np.intp)]
