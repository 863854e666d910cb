"""The pieces of an index, by the shard: rows in two halves, and their codes. Only this file imports faiss."""

from __future__ import annotations

import mmap
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import MissingExtra
from sextant.pinned import Numbers
from sextant.types import Floats

SHARD = 1 << 17  # rows in one file, and in one thread at a time; a multiple of 8
CODED = 2  # dimensions that share one code; four of them lose twice as much of a phrase
CHUNK = 1 << 16  # bytes that are written at a time
BITS = 4  # of a code: sixteen centres, which a vector register holds
MANY = 250  # rows whose reading maps some megabytes of a file, since what lies around each comes with it

Mask = NDArray[np.bool_]


class Halves:
    """At most `SHARD` rows: the upper 16 bits of every number apart from the lower ones.

    The upper half alone, a bfloat16, is read to compare many rows; both are the float32 that came in, to the last bit.
    """

    def __init__(self, part: Any, lower: NDArray[np.int16]) -> None:
        self._part, self._lower, self._mapped = part, lower, 0
        flat = _faiss().rev_swig_ptr(part.codes.data(), part.ntotal * part.code_size)
        self._upper: NDArray[np.uint16] = flat.view(np.uint16).reshape(part.ntotal, -1)
        if lower.shape != self._upper.shape or lower.dtype != np.int16:
            raise ValueError("two halves of an index do not belong together")

    @classmethod
    def of(cls, rows: Floats) -> Halves:
        """These rows (n, dim)."""
        faiss = _faiss()
        part = faiss.IndexScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_bf16, faiss.METRIC_INNER_PRODUCT)
        part.train(rows[:1])
        bits = np.ascontiguousarray(rows, np.float32).view(np.uint32)
        rounded = bits + np.uint32(0x8000)  # to the nearest, as faiss would
        rounded >>= np.uint32(16)
        upper = rounded.astype(np.uint16)
        faiss.copy_array_to_vector(upper.view(np.uint8).ravel(), part.codes)
        part.ntotal = len(rows)
        return cls(part, bits.astype(np.uint16).view(np.int16))

    @classmethod
    def read(cls, folder: Path, number: int) -> Halves:
        """What `write` wrote, mapped into memory. Raises `ValueError` or `OSError`."""
        upper, lower = _names(folder, number)
        return cls(_read(upper, mapped=True), np.asarray(np.load(lower, mmap_mode="r", allow_pickle=False)))

    def write(self, folder: Path, number: int) -> None:
        """Into two files of its own."""
        upper, lower = _names(folder, number)
        _write(self._part, upper)
        np.save(lower, self._lower, allow_pickle=False)

    def __len__(self) -> int:
        return int(self._part.ntotal)

    def roughly(self, places: Numbers | slice) -> Floats:
        """Rows (m, dim) from their upper halves."""
        return (self._upper[places].astype(np.uint32) << 16).view(np.float32)

    def exactly(self, places: Numbers) -> Floats:
        """Rows (m, dim) as they came in."""
        upper = self._upper[places].astype(np.uint32) << 16
        lower = self._lower[places].astype(np.uint32)  # modulo 2^32: it has a sign
        self._mapped += len(places)
        if self._mapped >= MANY:
            self._mapped = 0
            _forgotten(self._lower)
        return (upper + lower).view(np.float32)

    def search(self, directions: Floats, count: int, bits: NDArray[np.uint8] | None) -> tuple[Floats, Numbers]:
        """Scores by the upper halves and places (k, count) of the best for each direction; a place of −1 is none.

        `bits`, the least significant first, says which places are allowed.
        """
        faiss = _faiss()
        chosen = None if bits is None else faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        scores, places = self._part.search(directions, count, params=chosen)
        return scores, places


class Codes:
    """Codes of at most `SHARD` rows by product quantisation."""

    def __init__(self, part: Any) -> None:
        self._part = part

    @classmethod
    def fitted(cls, sample: Floats) -> Codes:
        """Without rows, made for rows like these (n, dim)."""
        faiss, rows = _faiss(), _padded(sample)
        part = faiss.IndexPQFastScan(rows.shape[1], rows.shape[1] // CODED, BITS, faiss.METRIC_INNER_PRODUCT)
        part.pq.cp.min_points_per_centroid = 1  # or it complains of small collections on standard error
        part.train(np.resize(rows, (max(len(rows), 1 << BITS), rows.shape[1])))
        return cls(part)

    def of(self, rows: Floats) -> Codes:
        """Others of the same making, of these rows (n, dim)."""
        part = _faiss().clone_index(self._part)
        part.add(_padded(rows))
        return Codes(part)

    @classmethod
    def read(cls, path: Path) -> Codes:
        """What `write` wrote. Raises `ValueError` or `OSError`."""
        return cls(_read(path, mapped=False))

    def write(self, path: Path) -> None:
        """Into a file of its own."""
        _write(self._part, path)

    def __len__(self) -> int:
        return int(self._part.ntotal)

    def search(self, directions: Floats, count: int) -> tuple[Floats, Numbers]:
        """Scores, roughly, and places (k, count) that are best for each direction by their codes; −1 is none."""
        scores, places = self._part.search(_padded(directions), count)
        return scores, places


def _forgotten(mapped: NDArray[np.int16]) -> None:
    """Gives back the pages of a mapped file, which count as memory that is in use; they are read again when needed."""
    pages = getattr(mapped.base, "_mmap", None)
    if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)


def one_thread() -> None:
    """Keeps faiss to the thread that calls this, for threads of which there are several."""
    _faiss().omp_set_num_threads(1)


def _names(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"upper-{number:05d}.faiss", folder / f"lower-{number:05d}.npy"


def _padded(rows: Floats) -> Floats:
    """Rows with as many zeros at their end as make the number of dimensions a multiple of `CODED`."""
    spare = -rows.shape[1] % CODED
    return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, spare))) if spare else rows, np.float32)


def _write(part: Any, path: Path) -> None:
    """Into a file of Python's: faiss's own says nothing where the disk is full when it is closed. Raises `OSError`."""
    faiss = _faiss()
    with path.open("wb") as file:
        faiss.write_index(part, faiss.PyCallbackIOWriter(file.write, CHUNK))


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
