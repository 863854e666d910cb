"""A large collection's index and sample, aligned with a view: which of its images may fit some directions best.

Kept as long as the view lasts. Knows nothing of phrases or confidences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sextant.background import background_prompts
from sextant.edges import Edges
from sextant.errors import ModelError
from sextant.maths import logits as maths
from sextant.types import Floats
from sextant.view import View

if TYPE_CHECKING:
    from sextant.index import Index
    from sextant.sample import Sample

NEAR = "index and sample"
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Near:
    """An index with its sample. `of_view` (n,) is the index's row of every image of the view, −1 for none.

    `in_view` is the other way round; `centre` (dim,) the mean of the background prompts; `scale`, `bias` make logits.
    """

    index: Index
    sample: Sample
    of_view: Rows
    in_view: Rows
    centre: Floats
    scale: float
    bias: float

    def evidence(self, direction: Floats, weight: float) -> Floats:
        """The direction (dim,) near which evidence is highest: less λ · background, which is linear in the vector."""
        return np.asarray(direction - weight * self.centre, np.float32)

    def sample_logits(self, directions: Floats) -> Floats:
        """Logits (m, k) of the sample, good enough for quantiles."""
        return np.asarray(self.scale * (self.sample.vectors @ directions.T) + self.bias, np.float32)

    def candidates(self, directions: Floats, limit: int, allowed: NDArray[np.bool_] | None) -> Rows:
        """Rows of the view among which the `limit` nearest are, in rising order; of those `allowed` (n,) exactly."""
        inside = None
        if allowed is not None:
            inside = np.zeros(len(self.in_view), np.bool_)
            inside[self.in_view >= 0] = allowed[self.in_view[self.in_view >= 0]]
        found = self.in_view[self.index.candidates(directions, limit, allowed=inside)]
        return np.sort(found[found >= 0])

    def with_vector(self, rows: Rows) -> Rows:
        """Those of some rows of the view that the index knows."""
        return rows[self.of_view[rows] >= 0]

    def vectors(self, rows: Rows) -> Floats:
        """The vectors (m, dim) of some rows of the view that the index knows."""
        return self.index.take(self.of_view[rows].astype(np.int64))

    def logits(self, rows: Rows, directions: Floats) -> Floats:
        """Logits (m, k) of some rows of the view that the index knows, to the last bit."""
        return maths.logit_matrix(
            self.vectors(rows), np.asarray(directions, np.float32), scale=self.scale, bias=self.bias
        )


def near(edges: Edges, view: View) -> Near | None:
    """The index of a collection that is large enough to need one and has one; None otherwise."""
    if NEAR not in view.kept:
        view.kept[NEAR] = _opened(edges, view)
    kept: Near | None = view.kept[NEAR]
    return kept


def _opened(edges: Edges, view: View) -> Near | None:
    if len(edges.vectors) <= edges.settings.exact_rows:
        return None
    from sextant import indexing
    from sextant.sample import Sample

    index = indexing.opened(edges)
    if index is None:
        return None
    try:
        prompts = edges.phrases()(background_prompts())
    except ModelError:
        return None
    centre = np.asarray(prompts, np.float64).mean(axis=0).astype(np.float32)
    return Near(index, Sample.of(index), _rows(view.ids, index.ids), _rows(index.ids, view.ids), centre, *edges.scale)


def _rows(these: pa.Array, among: pa.Array) -> Rows:
    found = pc.index_in(these, value_set=among)
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.intp)
