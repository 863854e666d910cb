"""Turns the bytes of an image file into an upright RGB picture and the facts about it; knows nothing about encoders.

Everything that can be wrong with a file becomes one `ImageError` in words that a person can act on. JPEGs go through
simplejpeg, which can decode at a fraction of the size; everything else, and every JPEG that simplejpeg declines, goes
through Pillow. All functions are safe to call from several threads.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from sextant.errors import ImageError, MissingExtra
from sextant.types import ImageFacts

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
SUFFIXES = HEIF_SUFFIXES | {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif"),
    ".mpo",
}
"""File name endings, in lower case, that a walk through a folder looks at. The bytes decide what a file really is."""

MAX_PIXELS = 178_956_970
"""More pixels than this (twice Pillow's own warning level, 0.5 GB as RGB) are refused before anything is decoded."""
BOMB_PIXELS = 50_000_000
BOMB_RATIO = 200
"""Above `BOMB_PIXELS`, a file with more than `BOMB_RATIO` pixels a byte is a decompression bomb, not a picture."""
MIN_SIDE = 2
"""An image with a side shorter than this shows nothing that could be scored."""

_PILLOW = r"PIL\."
FACTS_SIDE = 256
DARK_LEVEL = 20

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_OR_AVIF_BRANDS = frozenset({b"mif1", b"msf1"})
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_KNOWN_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"<svg", "an SVG drawing; export it as PNG first"),
    (b"<?xml", "an XML or SVG file; export a drawing as PNG first"),
    (b"<!doctype", "a web page, perhaps an error page saved by a download"),
    (b"<html", "a web page, perhaps an error page saved by a download"),
    (b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull` to get the picture"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
)


def identify(data: bytes) -> str:
    """The id of a file: the BLAKE2b hash of its bytes, 128 bits as 32 hexadecimal characters."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def decode(data: bytes, *, least_side: int | None = None) -> tuple[Image.Image, ImageFacts]:
    """The upright RGB picture in a file, and the facts about it.

    `least_side` allows a JPEG to be decoded at a fraction of its size whose shorter side has at least so many pixels;
    None decodes every pixel. Such a picture's `info["extent"]` says where in it the file's pixels lie: see
    `_note_extent`. The facts always give the full size. Transparent pixels are laid on white; of an
    animation the first frame counts. Raises `ImageError`.
    """
    if not data:
        raise ImageError("the file is empty")
    _silence_pillow()
    try:
        opened = _open(data)
        _check_size(opened, data)
        exif = _exif(opened)
        picture = _pixels(opened, data, least_side)
    except ImageError:
        raise
    except Exception as error:  # on broken bytes the decoders raise anything, KeyError to struct.error
        raise ImageError(_reason(error, data)) from error
    turn = _TURNS.get(_orientation(exif))
    if turn is not None:
        picture = picture.transpose(turn)
    upright = opened.size if turn is None or turn in _KEEP_SHAPE else opened.size[::-1]
    _note_extent(picture, upright, turn)
    return picture, _facts(picture, upright, "JPEG" if opened.format == "MPO" else str(opened.format), exif)


def _note_extent(picture: Image.Image, full: tuple[int, int], turn: Image.Transpose | None) -> None:
    """Write into a scaled picture's `info["extent"]` the full size, and the box that the file's pixels cover.

    A JPEG is scaled by eighths, and its last row and column are whole pixels even where the file ends within them: 1500
    rows at 2/8 are 188, of which 187.5 are picture. Stretching all 188 would shift everything by up to half a pixel,
    which costs more of a vector than bf16 does.
    """
    if picture.size == full:
        return
    eighths = next(
        (n for n in range(1, 8) if all(-(-f * n // 8) == p for f, p in zip(full, picture.size, strict=True))), 0
    )
    if not eighths:
        return
    width, height = (side * eighths / 8 for side in full)
    left = picture.width - width if turn in _FROM_THE_RIGHT else 0.0
    top = picture.height - height if turn in _FROM_BELOW else 0.0
    picture.info["extent"] = (full, (left, top, left + width, top + height))


def thumbnail(data: bytes, side: int) -> bytes:
    """A JPEG of the picture whose longer side has at most `side` pixels. Raises `ImageError`."""
    picture, _ = decode(data, least_side=side)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


def from_pixels(pixels: NDArray[np.uint8]) -> Image.Image:
    """A picture from (height, width, 3) bytes."""
    return Image.fromarray(pixels)


# where the partial row and column of a scaled picture come to lie after turning it
_FROM_THE_RIGHT = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
)
_FROM_BELOW = (
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_90,
    Image.Transpose.TRANSVERSE,
)
_KEEP_SHAPE = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM)


def _silence_pillow() -> None:
    """What Pillow warns of here is either harmless (odd EXIF) or becomes an `ImageError`.

    The filter stays: taking it away again while other threads decode would let their warnings through.
    """
    if not any(str(getattr(module, "pattern", "")) == _PILLOW for _, _, _, module, _ in tuple(warnings.filters)):
        warnings.filterwarnings("ignore", module=_PILLOW)


def _open(data: bytes) -> Image.Image:
    """The header only: no pixel is decoded yet."""
    if _is_heif(data):
        return _open_heif(data)
    return Image.open(io.BytesIO(data))


def _is_heif(data: bytes) -> bool:
    if data[4:8] != b"ftyp":
        return False
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(int.from_bytes(data[:4], "big"), 128), 4))}
    return bool(brands & _HEIF_BRANDS) or (data[8:12] in _HEIF_OR_AVIF_BRANDS and b"avif" not in brands)


def _open_heif(data: bytes) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise ImageError(str(MissingExtra("A HEIC picture", "heif"))) from None
    opened: Image.Image = HeifImageFile(io.BytesIO(data))
    return opened


def _check_size(opened: Image.Image, data: bytes) -> None:
    width, height = opened.size
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"it is only {width} × {height} pixels; there is nothing in it to score")
    pixels = width * height
    if pixels > MAX_PIXELS or (pixels > BOMB_PIXELS and pixels > BOMB_RATIO * len(data)):
        raise ImageError(_bomb(width, height, data))


def _bomb(width: int, height: int, data: bytes) -> str:
    return (
        f"it would unpack to {width} × {height} pixels from {len(data):,} bytes: too large, perhaps a decompression "
        "bomb; make a smaller copy of it if it is genuine"
    )


def _pixels(opened: Image.Image, data: bytes, least_side: int | None) -> Image.Image:
    if opened.format in ("JPEG", "MPO") and opened.mode in ("RGB", "L"):
        smallest = least_side or 0
        try:
            return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB", min_height=smallest, min_width=smallest))
        except ValueError:  # simplejpeg stops at every blemish; Pillow knows which ones matter
            return opened.convert("RGB")
    opened.load()
    return _to_rgb(opened)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy() if type(image) is not Image.Image else image
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _eight_bits(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values of 16 or 32 bits, or floating point, to 0–255. Pillow would clip them, to almost pure white."""
    if grey.dtype.kind == "f":
        scale = 255.0 if float(np.nanmax(grey, initial=0.0)) <= 1.0 else 1.0
    else:
        scale = 1.0 if grey.dtype.itemsize > 2 and int(grey.max(initial=0)) <= 255 else 255.0 / 65535.0
    return np.clip(np.nan_to_num(grey * scale) + 0.5, 0, 255).astype(np.uint8)


def _exif(opened: Image.Image) -> Image.Exif | None:
    exif: Image.Exif | None = _or_none(opened.getexif)
    return exif


def _or_none(read: Callable[[], Any]) -> Any:
    """EXIF is written by thousands of programs, many of them wrong: what cannot be read is not there."""
    try:
        return read()
    except Exception:  # noqa: BLE001 - a broken tag raises anything, and must not cost the picture
        return None


def _orientation(exif: Image.Exif | None) -> int:
    value = _or_none(lambda: exif.get(ExifTags.Base.Orientation)) if exif else None
    return value if isinstance(value, int) else 1


def _facts(picture: Image.Image, size: tuple[int, int], kind: str, exif: Image.Exif | None) -> ImageFacts:
    luma = _small_luma(picture)
    return ImageFacts(
        width=size[0],
        height=size[1],
        format=kind,
        taken_at=_taken_at(exif) if exif else None,
        camera=_camera(exif) if exif else None,
        gps=bool(exif and _or_none(lambda: exif.get_ifd(ExifTags.IFD.GPSInfo))),
        sharpness=_sharpness(luma),
        darkness=float((luma < DARK_LEVEL).mean()),
        brightness=float(luma.mean()) / 255.0,
    )


def _small_luma(picture: Image.Image) -> NDArray[np.float32]:
    """The luma, 0–255, of a copy whose longer side has at most `FACTS_SIDE` pixels."""
    longest = max(picture.size)
    if longest > FACTS_SIDE:
        picture = picture.reduce(max(1, longest // (2 * FACTS_SIDE)))
        scale = FACTS_SIDE / max(picture.size)
        if scale < 1:
            width, height = (max(1, round(side * scale)) for side in picture.size)
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture.convert("L"), dtype=np.float32)


def _sharpness(luma: NDArray[np.float32]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    return float(laplacian.var())


def _taken_at(exif: Image.Exif) -> datetime | None:
    details = _or_none(lambda: exif.get_ifd(ExifTags.IFD.Exif)) or {}
    for tag in (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized):
        text = str(details.get(tag, "")).replace("\0", "").strip()[:19]
        moment = _or_none(lambda text=text: datetime.strptime(text, "%Y:%m:%d %H:%M:%S"))  # type: ignore[misc]
        if isinstance(moment, datetime):
            return moment
    return None


def _camera(exif: Image.Exif) -> str | None:
    """Make and model; makers who repeat the make within the model are not said twice."""
    make, model = (_words(_or_none(lambda tag=tag: exif.get(tag))) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))  # type: ignore[misc]
    if make and not model.lower().startswith(make.split()[0].lower()):
        return f"{make} {model}".strip()
    return model or None


def _words(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    return " ".join("".join(c if c.isprintable() else " " for c in text.split("\0")[0]).split())


def _reason(error: Exception, data: bytes) -> str:
    """What is wrong with the file, in a person's words."""
    if isinstance(error, Image.DecompressionBombError):
        return (
            "it would unpack to far too many pixels: perhaps a decompression bomb; make a smaller copy if it is genuine"
        )
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if isinstance(error, UnidentifiedImageError):
        return _not_an_image(data)
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return "the file is truncated: its end is missing, perhaps from an interrupted copy or download"
    return f"the file is damaged and cannot be decoded ({str(error) or type(error).__name__})"


def _not_an_image(data: bytes) -> str:
    start = data[:64].lstrip().lower()
    for magic, what in _KNOWN_OTHERS:
        if start.startswith(magic.lower()):
            return f"it is not an image: it is {what}"
    if data[4:8] == b"ftyp":
        return "it is a video, or an image in a container that cannot be read"
    if data.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")):
        return "the file is damaged or truncated: it starts like an image, but its header cannot be read"
    if not any(data[:4096]):
        return "it is not an image: it holds nothing but zeros, perhaps from a failed copy"
    return "it is not an image in a known format, whatever its name says"
