"""One version of an encoder's table, held open for several reads in which a row keeps its number.

Knows nothing of what is asked of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sextant import tables
from sextant.types import Floats
from sextant.vectors import Vectors

ROWS_A_BATCH = 8192

Numbers = NDArray[np.int64]


class Pinned:
    """The newest version of a table of vectors; rows are numbered from 0, and appended ones come last.

    Every read raises `tables.Vanished` if a vacuum took the version away, and so does making one of a table that is
    not there `CollectionError`.
    """

    def __init__(self, vectors: Vectors) -> None:
        self.path = vectors.path
        self._dataset = tables.opened(self.path)
        self.version = int(self._dataset.version)
        self.dim = int(self._dataset.schema.field("vector").type.list_size)

    def __len__(self) -> int:
        return int(self._dataset.count_rows())

    def is_newest(self) -> bool:
        """Whether nobody has written to the table since."""
        return self.version == int(tables.opened(self.path).version)

    def ids(self) -> pa.Array:
        """The image ids, (n,)."""
        return self._column("id")

    def background(self) -> Floats:
        """The background of every image, (n,)."""
        return np.asarray(self._column("background").to_numpy(zero_copy_only=False), np.float32)

    def take(self, rows: Numbers) -> Floats:
        """The vectors (k, dim) of some rows, numbered in rising order."""
        if not len(rows):
            return np.zeros((0, self.dim), np.float32)
        with tables.reading(self.path):
            found = self._dataset.take(rows.tolist(), columns=["vector"])["vector"]
        return np.concatenate([_rows(chunk) for chunk in found.chunks])

    def batches(self) -> Iterator[Floats]:
        """All vectors, a batch at a time."""
        with tables.reading(self.path):
            for batch in self._dataset.to_batches(columns=["vector"], batch_size=ROWS_A_BATCH):
                if batch.num_rows:
                    yield _rows(batch["vector"])

    def _column(self, name: str) -> pa.Array:
        with tables.reading(self.path):
            found = self._dataset.to_table(columns=[name])[name].combine_chunks()
        return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found


def _rows(vectors: pa.FixedSizeListArray) -> Floats:
    out: Floats = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
    return out
