"""A perceptual hash: 64 bytes of how a picture's light is spread, nearly the same after a crop, a resize, a new JPEG.

The luma of 32 × 32 pixels, its 8 × 8 slowest cosine waves without the mean, and of each the square root with its sign,
so that a few large waves do not drown the others. One more number stands for flatness: pictures without any shape
resemble each other. The bits of pHash (Zauner 2010) are the signs of nearly the same waves;
with their sizes, more bursts are told from strangers. Hashes are kept in one file by image id; it can be deleted.
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
LENGTH = WAVES * WAVES
FLATNESS = 1000.0  # the sum of all waves' sizes in a picture that is nothing but noise of one level of luma
FILE = "fingerprints.npz"

_COSINES = np.cos(np.pi / SIDE * np.outer(np.arange(WAVES), np.arange(SIDE) + 0.5))  # (WAVES, SIDE)


def fingerprint(picture: Image.Image) -> bytes:
    """The hash of a picture, 64 signed bytes."""
    luma = np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    waves = (_COSINES @ luma @ _COSINES.T).ravel()
    waves[0] = FLATNESS  # in the place of the mean, which says nothing of the shape
    roots = np.sign(waves) * np.sqrt(np.abs(waves))
    return bytes(np.round(127 * roots / np.abs(roots).max()).astype(np.int8).tobytes())


def rows(hashes: list[bytes]) -> NDArray[np.float32]:
    """Hashes as rows (n, 64) of length one."""
    found = np.frombuffer(b"".join(hashes), np.int8).reshape(-1, LENGTH).astype(np.float32)
    out: NDArray[np.float32] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return out


def read(folder: Path) -> dict[str, bytes]:
    """The hashes that are kept in a folder, by image id; none where the file is absent or damaged."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as held:
            ids, hashes = held["ids"].astype(str).tolist(), held["hashes"]
            if hashes.dtype != np.int8 or hashes.shape != (len(ids), LENGTH):
                return {}
            return {name: row.tobytes() for name, row in zip(ids, hashes, strict=True)}
    except (OSError, ValueError, KeyError, BadZipFile, EOFError):
        return {}


def write(folder: Path, hashes: Mapping[str, bytes]) -> None:
    """Keeps hashes, whole or not at all; where the folder cannot be written nothing is kept."""
    partial = folder / f".{FILE}.{os.getpid()}.partial"
    try:
        with partial.open("wb") as out:
            values = np.frombuffer(b"".join(hashes.values()), np.int8).reshape(-1, LENGTH)
            np.savez(out, ids=np.array(list(hashes), np.bytes_), hashes=values)
        partial.replace(folder / FILE)
    except OSError:
        partial.unlink(missing_ok=True)
