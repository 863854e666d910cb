"""A collection as if it held only some of its images: for work that asks about a few of very many.

What is read and what it costs follows those few. Their ids, logits and background are those of the whole collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.store import Store
from sextant.vectors import Snapshot, Vectors
from sextant.view import View
from sextant.vocabulary import did_you_mean


def view(
    edges: Edges, codes: Sequence[str] | None, images: Iterable[str], *, read: Iterable[str] | None = None
) -> View:
    """What the collection says of these images; `codes` as for `Edges.view_of`, None for all there are.

    `read` are the columns to read at once, `codes` where it is not given.

    Raises:
        UsageError: a code is not known; the message names the nearest that is.
    """
    few = pa.array(sorted(set(images)), pa.string())
    vectors = edges.vectors
    wanted = codes or () if read is None else read
    found = View(_Files(edges.store, few), edges.catalog, _Rows(vectors, edges.store, few), edges.vocabulary, wanted)
    known = found.codes()
    for code in codes or ():
        if code not in known:
            raise UsageError(f"no attribute '{code}'.{did_you_mean(code, known)}")
    return found


class _Files(Store):
    """The store, with the files of some images."""

    def __init__(self, store: Store, images: pa.Array) -> None:
        super().__init__(store.root, store.place)
        self._few = images

    def files(self, columns: Sequence[str] | None = None) -> pa.Table:
        """As of the store, for these images."""
        found = super().files(columns)
        return found.filter(pc.is_in(found["id"], value_set=self._few))


class _Rows(Vectors):
    """A table of vectors, of which a snapshot holds the rows of some images."""

    def __init__(self, vectors: Vectors, store: Store, images: pa.Array) -> None:
        super().__init__(vectors.path, vectors.name, store.writing)
        self._few = images

    def snapshot(self, codes: Sequence[str] = (), images: pa.Array | None = None) -> Snapshot:
        """As of the table, for these images."""
        return super().snapshot(codes, self._few if images is None else images)
