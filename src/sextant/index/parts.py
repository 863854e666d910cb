"""The pieces of an index: float16 rows by the shard, and codes of all rows. Only this file imports faiss."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import MissingExtra
from sextant.pinned import Numbers
from sextant.types import Floats

SHARD = 1 << 17  # rows of float16 in one file, and in one thread at a time; a multiple of 8
CODED = 2  # dimensions that share one code; four of them lose twice as much of a phrase
BITS = 4  # of a code: sixteen centres, which a vector register holds

Mask = NDArray[np.bool_]


class Halves:
    """At most `SHARD` rows in float16."""

    def __init__(self, part: Any) -> None:
        self._part = part
        flat = _faiss().rev_swig_ptr(part.codes.data(), part.ntotal * part.code_size)
        self.rows: NDArray[np.float16] = flat.view(np.float16).reshape(part.ntotal, -1)

    @classmethod
    def of(cls, rows: Floats) -> Halves:
        """These rows (n, dim)."""
        faiss = _faiss()
        part = faiss.IndexScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        part.train(rows[:1])
        part.add(rows)
        return cls(part)

    @classmethod
    def read(cls, path: Path) -> Halves:
        """What `write` wrote, mapped into memory. Raises `ValueError` or `OSError`."""
        return cls(_read(path, mapped=True))

    def write(self, path: Path) -> None:
        """Into a file of its own."""
        _faiss().write_index(self._part, str(path))

    def __len__(self) -> int:
        return int(self._part.ntotal)

    def search(self, directions: Floats, count: int, bits: NDArray[np.uint8] | None) -> tuple[Floats, Numbers]:
        """Scores and places (k, count) of the best for each direction; a place of −1 is none.

        `bits`, the least significant first, says which places are allowed.
        """
        faiss = _faiss()
        chosen = None if bits is None else faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        scores, places = self._part.search(directions, count, params=chosen)
        return scores, places


class Codes:
    """Codes of any number of rows: product quantisation of what is left of a row after its collection's mean."""

    def __init__(self, part: Any) -> None:
        self._part = part

    @classmethod
    def fitted(cls, sample: Floats) -> Codes:
        """Without rows yet, made for rows like these (n, dim)."""
        faiss, rows = _faiss(), _padded(sample)
        part = faiss.IndexPQFastScan(rows.shape[1], rows.shape[1] // CODED, BITS, faiss.METRIC_INNER_PRODUCT)
        part.pq.cp.min_points_per_centroid = 1  # or it complains of small collections on standard error
        part.train(np.resize(rows, (max(len(rows), 1 << BITS), rows.shape[1])))
        return cls(part)

    @classmethod
    def read(cls, path: Path) -> Codes:
        """What `write` wrote. Raises `ValueError` or `OSError`."""
        return cls(_read(path, mapped=False))

    def write(self, path: Path) -> None:
        """Into a file of its own."""
        _faiss().write_index(self._part, str(path))

    def add(self, rows: Floats) -> None:
        """Appends rows (n, dim)."""
        self._part.add(_padded(rows))

    def __len__(self) -> int:
        return int(self._part.ntotal)

    def search(self, directions: Floats, count: int) -> Numbers:
        """The places (k, count) that are best for each direction by their codes, roughly; −1 is none."""
        _, places = self._part.search(_padded(directions), count)
        found: Numbers = places
        return found


def one_thread() -> None:
    """Keeps faiss to the thread that calls this, for threads of which there are several."""
    _faiss().omp_set_num_threads(1)


def _padded(rows: Floats) -> Floats:
    """Rows with as many zeros at their end as make the number of dimensions a multiple of `CODED`."""
    spare = -rows.shape[1] % CODED
    return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, spare))) if spare else rows, np.float32)


def _read(path: Path, *, mapped: bool) -> Any:
    faiss = _faiss()
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError as error:  # all that faiss ever raises
        raise ValueError(f"{path}: not a part of an index") from error


def _faiss() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its wrapper, when it is imported
            import faiss
    except ImportError as error:
        raise MissingExtra("a vector index", "ann") from error
    return faiss
