"""A perceptual hash: 64 bits of how a picture's light is spread, nearly the same after a crop, a resize or a new JPEG.

The luma of 32 × 32 pixels, its 8 × 8 slowest cosine waves, and for each whether it is above their median (pHash,
Zauner 2010). Hashes are kept in one file by image id; the file is a cache and can be deleted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE, WAVES = 32, 8
FILE = "fingerprints.npz"

_PLACES = np.arange(SIDE)
_COSINES = np.cos(np.pi / SIDE * np.outer(np.arange(WAVES), _PLACES + 0.5))  # (WAVES, SIDE)
_WEIGHTS = np.uint64(1) << np.arange(WAVES * WAVES, dtype=np.uint64)


def fingerprint(picture: Image.Image) -> int:
    """The hash of a picture, 64 bits."""
    luma = np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    waves = (_COSINES @ luma @ _COSINES.T).ravel()
    waves[0] = 0.0  # the mean brightness says nothing of the shape
    return int((_WEIGHTS * (waves > np.median(waves[1:]))).sum(dtype=np.uint64))


def differing_bits(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """In how many of the 64 bits hashes differ, pair by pair: 0 for the same shape, about 32 for strangers."""
    return np.asarray(np.bitwise_count(left ^ right), np.uint8)


def read(folder: Path) -> dict[str, int]:
    """The hashes that are kept in a folder, by image id; none where the file is absent or damaged."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as held:
            return dict(zip(held["ids"].astype(str).tolist(), held["hashes"].tolist(), strict=True))
    except (OSError, ValueError, KeyError, BadZipFile):
        return {}


def write(folder: Path, hashes: Mapping[str, int]) -> None:
    """Keeps hashes, whole or not at all; where the folder cannot be written nothing is kept."""
    partial = folder / f".{FILE}.{os.getpid()}.partial"
    try:
        with partial.open("wb") as out:
            ids = np.array(list(hashes), np.bytes_)
            np.savez(out, ids=ids, hashes=np.fromiter(hashes.values(), np.uint64, len(hashes)))
        partial.replace(folder / FILE)
    except OSError:
        partial.unlink(missing_ok=True)
