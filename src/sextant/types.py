"""The values that travel between the layers: plain frozen dataclasses and two protocols, nothing that computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

Floats = NDArray[np.float32]
Band = Literal["accepted", "tentative", "rejected", "unknown"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16", "int8"]
Decode = Literal["auto", "full", "scaled"]


@runtime_checkable
class Encoder(Protocol):
    """An image-text pair of towers. Rows are unit length; `logit = logit_scale · cosine + logit_bias`."""

    name: str
    revision: str
    dim: int
    logit_scale: float
    logit_bias: float

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        """RGB images of any size to (n, dim) float32 unit rows."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Texts to (n, dim) float32 unit rows."""
        ...


@runtime_checkable
class PreparingEncoder(Encoder, Protocol):
    """An encoder whose pixel work can run ahead in threads, apart from the network.

    `decode_side` is the least shortest side, in pixels, that a scaled decode must keep; None asks for every pixel.
    """

    decode_side: int | None

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """One RGB image to what the network takes, without the batch axis. Safe to call from several threads."""
        ...

    def encode_prepared(self, batch: Sequence[NDArray[Any]]) -> Floats:
        """Prepared images to (n, dim) float32 unit rows."""
        ...


@dataclass(frozen=True, slots=True)
class Skipped:
    """One input that was left out, and why, in words a person can act on."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a file says of itself and what its pixels say at a glance.

    `darkness` is the share of pixels below 20/255 (0 to 1); `sharpness` the variance of the Laplacian of the luma, on
    a copy of at most 256 pixels' side; `brightness` the mean luma (0 to 1).
    """

    width: int
    height: int
    format: str
    taken_at: datetime | None
    camera: str | None
    gps: bool
    sharpness: float
    darkness: float
    brightness: float
