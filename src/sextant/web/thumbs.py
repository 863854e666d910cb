"""Small copies of pictures, made when first asked for and kept in `.sextant/thumbs`, which can be deleted at any time.

A grid shows sixty at once, so one takes at most 8 KB: the quality goes down until it fits. Knows nothing of HTTP.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from sextant.errors import ImageError
from sextant.manifest import replacing
from sextant.place import Place, read

Size = Literal["small", "large"]
SIDES = {"small": 320, "large": 1280}
MOST_BYTES = {"small": 8_000, "large": 240_000}
QUALITIES = (72, 60, 48, 36, 26, 16)
MEDIA_TYPE = "image/webp"
_decoding = threading.BoundedSemaphore(max(2, len(os.sched_getaffinity(0))))
"""A decoded picture can take half a gigabyte: only so many at a time."""


def thumb(cache: Path, image: str, size: Size, file: Callable[[], Place]) -> bytes:
    """The small copy of an image; `file` is asked for its file where there is none yet.

    Raises:
        ImageError: the file is gone, or cannot be decoded any more.
    """
    target = cache / size / image[:2] / f"{image}.webp"
    try:
        return target.read_bytes()
    except OSError:
        pass
    path = file()
    try:
        data = read(path)
    except OSError as error:
        raise ImageError(f"{path.name}: cannot be read: {error.strerror or error}") from error
    with _decoding:
        made = shrunk(data, SIDES[size], MOST_BYTES[size])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as out:
            out.write(made)
    except OSError:  # a collection that can only be read is looked at all the same
        pass
    return made


def shrunk(data: bytes, side: int, most: int) -> bytes:
    """A WebP of a picture whose longer side has at most `side` pixels, of at most `most` bytes where that can be."""
    from PIL import Image  # a gallery that was looked at before decodes nothing

    from sextant import images

    picture, _ = images.decode(data, least_side=side)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    while True:
        for quality in QUALITIES:
            out = io.BytesIO()
            picture.save(out, "WEBP", quality=quality, method=4)
            if out.tell() <= most:
                return out.getvalue()
        smaller = tuple(max(1, int(length * 0.8)) for length in picture.size)
        if max(smaller) < 64:
            return out.getvalue()
        picture = picture.resize((smaller[0], smaller[1]), Image.Resampling.LANCZOS)
