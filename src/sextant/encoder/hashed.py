"""A model-free encoder: the same bytes give the same vector. For tests and dry runs; its scores mean nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sextant.types import Floats

if TYPE_CHECKING:
    from PIL import Image

DIM = 256
SHARED = 0.2
"""The cosine that any two vectors share. The free part adds (1 - SHARED) / √DIM = 0.05 of spread: logits of 20 ± 5."""


class HashEncoder:
    """Vectors from a hash of the pixels or of the text, without any model. **Its scores are meaningless by design.**

    It takes any number of attributes and gives each picture and phrase its own fixed vector, so a whole pipeline can be
    tried in seconds. All vectors lean the same way, so that logits spread about 20 with a standard deviation of 5, and
    the fixed calibration (25.5, 1.5) finds accepted, tentative and rejected cells alike.
    """

    name = "hash"
    revision = "1"
    dim = DIM
    logit_scale = 100.0
    logit_bias = 0.0

    def __init__(self) -> None:
        self.decode_side: int | None = None  # scaled decoding would change the pixels, and with them the hash

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        """RGB images to (n, 256) float32 unit rows."""
        return self.encode_prepared([self.prepare(image) for image in images])

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Texts to (n, 256) float32 unit rows."""
        return _vectors([b"text:" + text.encode("utf-8", "surrogatepass") for text in texts])

    def prepare(self, image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """One RGB image to the 16 bytes of its hash."""
        state = hashlib.blake2b(f"{image.mode}{image.size}".encode(), digest_size=16)
        state.update(image.tobytes())
        return np.frombuffer(state.digest(), np.uint8)

    def encode_prepared(self, batch: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]) -> Floats:
        """Hashes to (n, 256) float32 unit rows."""
        return _vectors([b"image:" + prepared.tobytes() for prepared in batch])


def _vectors(keys: Sequence[bytes]) -> Floats:
    """One axis is common to all vectors; the rest is a direction of the key's own, straight from its hash."""
    rows = np.empty((len(keys), DIM), dtype=np.float32)
    for row, key in zip(rows, keys, strict=True):
        words = np.frombuffer(hashlib.shake_256(key).digest(2 * (DIM - 1)), "<u2")
        free = words.astype(np.float64) - 32767.5
        row[0] = SHARED**0.5
        row[1:] = free * ((1 - SHARED) ** 0.5 / np.linalg.norm(free))
    return rows
