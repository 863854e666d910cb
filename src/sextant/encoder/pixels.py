"""Turns an RGB picture into the float array that an image tower takes, just as the model's own reference does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sextant.encoder.card import Card
from sextant.types import Floats

if TYPE_CHECKING:
    from PIL import Image

# Pillow's own numbers for its filters: this module works on pictures without importing Pillow.
_FILTERS = {"bilinear": 2, "bicubic": 3}


class PixelPreparation:
    """Resize, crop, rescale to 0–1, normalise. Safe to call from several threads."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self._filter = _FILTERS[card.interpolation]
        # (x / 255 - mean) / std in one multiplication and one addition
        self._gain = (1 / (255 * np.asarray(card.std, np.float64))).astype(np.float32)
        self._offset = (-np.asarray(card.mean, np.float64) / np.asarray(card.std, np.float64)).astype(np.float32)

    def __call__(self, image: Image.Image) -> Floats:
        """One RGB image of any size to a (3, s, s) float32 array."""
        return self.normalise(self.square(image))

    def square(self, image: Image.Image) -> NDArray[np.uint8]:
        """One RGB image of any size to the (s, s, 3) bytes that the network sees, not yet normalised."""
        side = self.card.image_size
        resized = self._resize(image if image.mode == "RGB" else image.convert("RGB"))
        if resized.size != (side, side):
            resized = self._crop(resized)
        return np.asarray(resized)

    def normalise(self, pixels: NDArray[np.uint8]) -> Floats:
        """(s, s, 3) bytes to a (3, s, s) float32 array."""
        return np.ascontiguousarray((pixels.astype(np.float32) * self._gain + self._offset).transpose(2, 0, 1))

    def _resize(self, image: Image.Image) -> Image.Image:
        side = self.card.image_size
        (width, height), box = _extent(image)
        if self.card.resize_mode == "squash":
            return image.resize((side, side), self._filter, box=box)
        # the longer side is cut off, not rounded: so do torchvision and transformers
        size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
        return image if image.size == size else image.resize(size, self._filter, box=box)

    def _crop(self, image: Image.Image) -> Image.Image:
        """The middle. Where it falls between two pixels, transformers goes left, torchvision to the nearest even."""
        side = self.card.image_size
        left, top = ((long - side) / 2 for long in image.size)
        if self.card.crop_rounding == "nearest":
            left, top = round(left), round(top)
        return image.crop((int(left), int(top), int(left) + side, int(top) + side))


def _extent(image: Image.Image) -> tuple[tuple[int, int], tuple[float, float, float, float] | None]:
    """The full size of a picture and the box to resize from: `images.decode` notes both where it scaled a JPEG.

    A note that has travelled on to a cut or resized copy does not fit its size any more, and is left aside.
    """
    full, box = image.info.get("extent", (image.size, None))
    if box is None:
        return image.size, None
    fits = 0 <= image.width - (box[2] - box[0]) < 1 and 0 <= image.height - (box[3] - box[1]) < 1
    return (full, box) if fits else (image.size, None)
