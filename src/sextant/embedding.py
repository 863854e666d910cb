"""Pictures to unit vectors by any encoder: one bad picture, or an encoder that stumbles over it, never spoils the rest.

Knows nothing of collections: bytes and an encoder come in, rows and reasons go out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import ImageError, ModelError, SextantError, UsageError
from sextant.maths.logits import unit
from sextant.place import Place, read
from sextant.types import Encoder, Floats, ImageFacts, PreparingEncoder

UNIT_SLACK = 1e-2  # bf16 rounds a unit vector's length by less


def embed_file(path: Place, encoder: Encoder) -> tuple[str, Floats]:
    """The id and the unit vector (dim,) of one image file that need not belong to a collection.

    Raises:
        ImageError: it cannot be read, or the encoder makes nothing of it.
        ModelError: the encoder makes nothing of any picture.
    """
    from sextant import images

    try:
        data = read(path)
        pixels, _ = prepared(data, encoder)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    row = encode(encoder, [pixels])[0]
    if isinstance(row, str):
        raise ImageError(f"{path}: {row}")
    return images.identify(data), row


def prepared(data: bytes, encoder: Encoder) -> tuple[Any, ImageFacts]:
    """Bytes to what the encoder takes, and the facts. Raises `ImageError`."""
    from sextant import images

    if not isinstance(encoder, PreparingEncoder):
        return images.decode(data)
    picture, facts = images.decode(data, least_side=encoder.decode_side)
    try:
        return encoder.prepare(picture), facts
    except Exception as error:  # an encoder is anybody's code, and one picture must not end a run
        raise ImageError(_failure(error)) from error


def encode(encoder: Encoder, pixels: Sequence[Any]) -> list[Floats | str]:
    """A unit row for every picture, or the reason why it has none. One bad picture does not spoil its batch.

    Raises:
        UsageError: the encoder gives rows of another shape than it promises.
        ModelError: it fails on a plain grey picture too, so it is not the pictures that are at fault.
    """
    if not pixels:
        return []
    call = encoder.encode_prepared if isinstance(encoder, PreparingEncoder) else encoder.encode_images
    try:
        rows = np.asarray(call(pixels), np.float32)
    except Exception as error:  # noqa: BLE001 – an encoder is anybody's code, and one picture must not end a run
        _try_grey(encoder)
        if len(pixels) == 1:
            return [_failure(error)]
        return [encode(encoder, [one])[0] for one in pixels]
    if rows.shape != (len(pixels), encoder.dim):
        raise UsageError(f"{encoder.name} gave rows of shape {rows.shape}, not ({len(pixels)}, {encoder.dim})")
    fine = _sound(rows)
    unsound = "the encoder makes nothing of it: it gave no vector of unit length"
    # What stands beside a bad picture may have been spoiled by it, so each is asked for again on its own.
    if len(pixels) > 1 and not fine.all():
        return [encode(encoder, [one])[0] for one in pixels]
    return [row if good else unsound for row, good in zip(unit(rows), fine, strict=True)]


def _try_grey(encoder: Encoder) -> None:
    """Raises `ModelError` where the encoder fails on a plain grey picture: every other would only be skipped."""
    from sextant import images

    try:
        encoder.encode_images([images.from_pixels(np.full((32, 32, 3), 128, np.uint8))])
    except ModelError:
        raise
    except Exception as error:  # an encoder is anybody's code
        raise ModelError(f"{encoder.name} fails on every picture, even a plain grey one: {_said(error)}") from error


def _failure(error: Exception) -> str:
    return f"the encoder failed on it: {_said(error)}"


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, SextantError) else f"{type(error).__name__}: {error}"


def _sound(rows: Floats) -> NDArray[np.bool_]:
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    return np.asarray(np.isfinite(lengths) & (np.abs(lengths - 1) < UNIT_SLACK))
