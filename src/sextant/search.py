"""Directions to logits for every image of a view, and the best rows of a ranking.

Vectors are kept in memory while a view lasts where they are small enough; else they are streamed, so that memory grows
by a few bytes an image. This stage knows nothing of phrases or calibrations: it is handed directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sextant.edges import Edges
from sextant.maths import logits as maths
from sextant.tables import steadily
from sextant.types import Floats
from sextant.view import View

MIB = 1 << 20
RESIDENT = "vectors in memory"


def logits(edges: Edges, view: View, directions: Floats) -> Floats:
    """Logits (n, k) of every image of a view for directions (k, dim); NaN for an image that has no vector.

    Good to about 1e-5 where the vectors are kept in memory; `exact` gives the last bits of the rows that matter.
    """
    scale, bias = edges.scale
    kept = resident(edges, view)
    if kept is None:
        return streamed(edges, view, directions)
    found = kept.matrix @ np.asarray(directions, np.float32).T
    found *= np.float32(scale)
    found += np.float32(bias)
    return taken(found, kept.place)


def exact(edges: Edges, view: View, rows: NDArray[np.intp], directions: Floats, found: Floats) -> Floats:
    """Of the logits (n, k) that `logits` found, those of some rows (m, k) to the last bit."""
    kept = resident(edges, view)
    if kept is None:
        return found[rows]
    scale, bias = edges.scale
    own = taken(kept.matrix, kept.place[rows])
    return maths.logit_matrix(own, np.asarray(directions, np.float32), scale=scale, bias=bias)


def vectors_of(edges: Edges, view: View, rows: NDArray[np.intp]) -> Floats:
    """The vectors (m, dim) of some rows of a view; NaN for an image that has none."""
    kept = resident(edges, view)
    if kept is not None:
        return taken(kept.matrix, kept.place[rows])
    wanted = view.ids.take(pa.array(rows))
    ids, found = edges.vectors.some(wanted.to_pylist())
    place = pc.fill_null(pc.index_in(wanted, value_set=pa.array(ids, pa.string())), -1)
    return taken(found, np.asarray(place.to_numpy(), np.intp))


@dataclass(frozen=True, slots=True)
class Resident:
    """All vectors (rows, dim) of a table, and for every image of a view the row (n,) that is its, -1 for none."""

    matrix: Floats
    place: NDArray[np.intp]


def resident(edges: Edges, view: View) -> Resident | None:
    """All vectors, kept as long as nothing is added; None where they are too large for the setting `resident_mb`."""
    if RESIDENT not in view.kept:
        vectors = edges.vectors
        if 4 * len(vectors) * vectors.dim > edges.settings.resident_mb * MIB:
            view.kept[RESIDENT] = None
        else:
            ids, matrix = vectors.matrix()
            view.kept[RESIDENT] = Resident(matrix, rows_of(view, pa.array(ids, pa.string())))
    kept: Resident | None = view.kept[RESIDENT]
    return kept


def streamed(edges: Edges, view: View, directions: Floats) -> Floats:
    """The same logits from disk, a batch of vectors at a time, to the last bit."""
    scale, bias = edges.scale
    wanted = np.asarray(directions, np.float32)

    def read() -> Floats:
        ids, pieces = [pa.array([], pa.string())], [np.zeros((0, len(wanted)), np.float32)]
        for names, rows in edges.vectors.batches():
            ids.append(names)
            pieces.append(maths.logit_matrix(rows, wanted, scale=scale, bias=bias))
        return taken(np.concatenate(pieces), rows_of(view, pa.concat_arrays(ids)))

    return steadily(read)


def rows_of(view: View, ids: pa.Array) -> NDArray[np.intp]:
    """The place among `ids` of every image of a view; -1 for none."""
    return np.asarray(pc.fill_null(view.among(ids).cast(pa.int64()), -1).to_numpy(), np.intp)


def taken(table: Floats, place: NDArray[np.intp]) -> Floats:
    """Rows of a table (rows, k) by place; NaN where there is none."""
    if not len(table):
        return np.full((len(place), table.shape[1]), np.nan, np.float32)
    out = table[place]
    out[place < 0] = np.nan
    return out


def best(scores: NDArray[np.float64], ids: pa.Array, limit: int, allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The rows of the `limit` highest scores among the allowed ones; ties go by id, NaN is never ranked.

    The choice is made after the filter, so no match is lost to it.
    """
    rows = candidates(scores, limit, allowed)
    found: NDArray[np.intp] = rows[order(scores[rows], ids.take(pa.array(rows)))[:limit]]
    return found


def candidates(
    scores: NDArray[np.float64], limit: int, allowed: NDArray[np.bool_], *, slack: float = 0.0
) -> NDArray[np.intp]:
    """The allowed rows, unordered, whose score is at least that of the `limit`-th, less `slack`."""
    rows = np.flatnonzero(allowed & ~np.isnan(scores))
    if len(rows) <= limit:
        return rows
    cut = np.partition(scores[rows], len(rows) - limit)[len(rows) - limit]
    near: NDArray[np.intp] = rows[scores[rows] >= cut - slack]  # every tie with the last, for the ids to decide
    return near


def order(scores: NDArray[np.float64], ids: pa.Array) -> NDArray[np.intp]:
    """The order from the highest score to the lowest; ties go by id."""
    table = pa.table({"score": scores, "id": ids})
    found = pc.sort_indices(table, [("score", "descending"), ("id", "ascending")])
    return np.asarray(found.to_numpy(), np.intp)
