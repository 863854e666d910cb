"""A light head: what turns a vector into the log-odds of one attribute, learned from labels instead of read from words.

A head is several linear ones. Vectors fall into folds by their own bits, and each fold is judged by a head that learned
from no label in it: so a logit never comes from a head that has seen the label of its own image, whether the image was
labelled before or will be. Knows nothing of images, labels or files; `probing` fits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import UsageError
from sextant.maths.logits import logit_matrix
from sextant.types import Floats

Rows = NDArray[np.intp]
FOLDS = 5
_MIXER = np.random.default_rng(20_260_101)
_ODD = 2 * _MIXER.integers(0, 2**62, 8192, dtype=np.uint64) + 1


@dataclass(frozen=True, slots=True)
class Head:
    """Log-odds `rows · directions[fold] + offsets[fold]`; `directions` (folds, dim), `offsets` (folds,), float32.

    `about` is what is told of it: its kind, and how many labels it learned from.
    """

    directions: Floats
    offsets: Floats
    about: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """32 hex digits of its numbers."""
        content = self.directions.astype("<f4").tobytes() + self.offsets.astype("<f4").tobytes()
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    @property
    def kind(self) -> str:
        """`probe` or `prototypes`."""
        return str(self.about.get("kind", "probe"))

    def logits(self, rows: Floats) -> Floats:
        """Log-odds (n,) of unit vectors (n, dim), each by the head that saw no label of its fold.

        Raises:
            UsageError: vectors of another length.
        """
        if rows.shape[1] != self.directions.shape[1]:
            raise UsageError(f"a head for {self.directions.shape[1]} dimensions got vectors of {rows.shape[1]}")
        lengths = np.linalg.norm(self.directions.astype(np.float64), axis=1)
        unit = (self.directions / np.where(lengths > 0, lengths, 1.0)[:, None]).astype(np.float32)
        fold = fold_of(rows, len(unit))
        cosine = logit_matrix(rows, unit, scale=1.0)[np.arange(len(rows)), fold].astype(np.float64)
        return np.asarray(lengths[fold] * cosine + self.offsets[fold], np.float32)

    def to_bytes(self) -> bytes:
        """Directions and offsets as they are kept: little-endian float32, (folds, dim + 1)."""
        return np.hstack([self.directions, self.offsets[:, None]]).astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, raw: bytes, folds: int, about: Mapping[str, Any]) -> Head:
        """What `to_bytes` wrote. Raises `UsageError` for anything else."""
        values = np.frombuffer(raw, "<f4")
        if folds < 1 or len(values) % folds or len(values) < 2 * folds or not np.isfinite(values).all():
            raise UsageError(f"a head of {len(raw)} bytes in {folds} folds is none")
        table = values.reshape(folds, -1)
        return cls(np.ascontiguousarray(table[:, :-1]), np.ascontiguousarray(table[:, -1]), about)


def fold_of(rows: Floats, folds: int = FOLDS) -> Rows:
    """The fold (n,) of each vector (n, dim), by its bits alone: equal vectors share one, wherever they are met."""
    bits = np.ascontiguousarray(rows, np.float32).view(np.uint32)
    odd = _ODD if bits.shape[1] <= len(_ODD) else np.resize(_ODD, bits.shape[1])
    mixed = np.zeros(len(bits), np.uint64)
    for start in range(0, len(bits), 4096):  # widened to 64 bits a part at a time
        part = bits[start : start + 4096].astype(np.uint64)
        mixed[start : start + 4096] = (part * odd[: bits.shape[1]]).sum(axis=1, dtype=np.uint64)  # wraps, as it should
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray((mixed >> np.uint64(33)) % np.uint64(folds), np.intp)
