"""Reading image files: formats, orientation, facts, and every way a file can be bad."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, features

from sextant import images
from sextant.errors import ImageError


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """Smooth enough for JPEG to keep, and different in all four corners."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 9 + y / 13)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def difference(a: Image.Image, b: Image.Image) -> float:
    assert a.size == b.size
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).mean())


def test_the_id_is_the_hash_of_the_bytes() -> None:
    assert images.identify(b"abc") == hashlib.blake2b(b"abc", digest_size=16).hexdigest()
    assert len(images.identify(b"")) == 32


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG", "AVIF"])
def test_every_format_gives_its_picture(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}, "AVIF": {"quality": 95}}.get(kind, {})
    picture, facts = images.decode(saved(scene(), kind, **options))
    assert picture.mode == "RGB"
    assert (facts.width, facts.height, facts.format) == (96, 64, kind)
    assert difference(picture, scene()) < {"JPEG": 2, "AVIF": 3, "GIF": 6}.get(kind, 0.001)


def test_heic_with_the_extra_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    heif.from_pillow(scene()).save(out, quality=95, exif=exif.tobytes())
    picture, facts = images.decode(out.getvalue())
    assert facts.format == "HEIF"
    assert (facts.width, facts.height) == picture.size
    straight = scene() if picture.size == (96, 64) else scene().transpose(Image.Transpose.ROTATE_270)
    assert difference(picture, straight) < 4
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"sextant-images\[heif\]"):
        images.decode(out.getvalue())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("least_side", [None, 40])
def test_orientation_is_applied(kind: str, orientation: int, least_side: int | None) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(scene(480, 320), kind, exif=exif)
    picture, facts = images.decode(data, least_side=least_side)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert (facts.width, facts.height) == upright.size
    assert difference(picture, upright.resize(picture.size)) < 3


def test_jpeg_pixels_are_pillows() -> None:
    for options in ({}, {"subsampling": 0}, {"subsampling": 2, "progressive": True}, {"quality": 30}):
        data = saved(scene(333, 221), "JPEG", **options)
        assert difference(images.decode(data)[0], Image.open(io.BytesIO(data))) == 0
    grey = saved(scene().convert("L"), "JPEG")
    assert difference(images.decode(grey)[0], Image.open(io.BytesIO(grey)).convert("RGB")) == 0


def test_real_photos_are_pillows_pixel_for_pixel(real: Path) -> None:
    folder = real / "photos"
    photos = sorted((folder / "caltech101").glob("*/*.jpg"))[::40] + sorted((folder / "coral").iterdir())
    assert len(photos) > 20
    for path in photos:
        with Image.open(path) as opened:
            reference = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        assert np.array_equal(np.asarray(images.decode(path.read_bytes())[0]), reference), path


@pytest.mark.parametrize(
    ("least", "expected"), [(None, (2000, 1504)), (752, (1000, 752)), (300, (500, 376)), (100, (250, 188))]
)
def test_scaled_decoding_keeps_the_least_side(least: int | None, expected: tuple[int, int]) -> None:
    data = saved(scene(2000, 1504), "JPEG", quality=90)
    picture, facts = images.decode(data, least_side=least)
    assert picture.size == expected
    assert (facts.width, facts.height) == (2000, 1504), "the facts are the file's, not the copy's"
    assert difference(picture, scene(2000, 1504).resize(picture.size, Image.Resampling.BOX)) < 1.5


def test_cmyk_palette_sixteen_bit_and_alpha() -> None:
    cmyk = saved(scene().convert("CMYK"), "JPEG", quality=95)
    assert difference(images.decode(cmyk)[0], scene()) < 4
    palette = scene().quantize(64)
    assert difference(images.decode(saved(palette, "PNG"))[0], palette.convert("RGB")) == 0
    ramp = np.linspace(0, 65535, 96 * 64).astype(np.uint16).reshape(64, 96)
    for kind in ("PNG", "TIFF"):
        picture, _ = images.decode(saved(Image.fromarray(ramp), kind))
        assert np.abs(np.asarray(picture, np.float64)[..., 0] - ramp / 257).max() <= 1, kind
    floating = Image.fromarray(np.linspace(0, 1, 96 * 64, dtype=np.float32).reshape(64, 96))
    assert np.asarray(images.decode(saved(floating, "TIFF"))[0]).max() == 255


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_is_white(mode: str) -> None:
    layer = Image.new("RGBA", (20, 10), (200, 0, 0, 255))
    layer.paste((0, 0, 0, 0), (10, 0, 20, 10))
    if mode == "P":
        data = saved(layer.quantize(4), "PNG")
    elif mode == "PA":
        data = saved(layer, "GIF")
    else:
        data = saved(layer.convert(mode), "PNG")
    picture, _ = images.decode(data)
    assert picture.getpixel((15, 5)) == (255, 255, 255)
    assert picture.getpixel((5, 5)) != (255, 255, 255)


def test_a_colour_declared_transparent_in_a_png_is_white() -> None:
    data = saved(Image.new("RGB", (8, 8), (10, 20, 30)), "PNG", transparency=(10, 20, 30))
    assert images.decode(data)[0].getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert images.decode(data)[0].getpixel((8, 8)) == (255, 0, 0)


def test_facts_from_exif() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "NIKON CORPORATION\0\0", "NIKON D90\0junk"
    exif.get_ifd(0x8769)[0x9003] = "2019:08:04 17:30:05"
    exif.get_ifd(0x8825)[1] = "N"
    _, facts = images.decode(saved(scene(), "JPEG", exif=exif))
    assert facts.taken_at == datetime(2019, 8, 4, 17, 30, 5)
    assert facts.camera == "NIKON D90"
    assert facts.gps is True
    exif[0x010F], exif[0x0110] = "Apple", "iPhone 12"
    assert images.decode(saved(scene(), "JPEG", exif=exif))[1].camera == "Apple iPhone 12"


def test_absent_and_nonsensical_exif_is_none() -> None:
    _, facts = images.decode(saved(scene(), "JPEG"))
    assert (facts.taken_at, facts.camera, facts.gps) == (None, None, False)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "0000:00:00 00:00:00"
    exif[0x0112] = 99
    assert images.decode(saved(scene(), "JPEG", exif=exif))[1].taken_at is None
    whole = saved(scene(), "JPEG", exif=exif)
    picture, facts = images.decode(whole.replace(b"Exif\0\0MM", b"Exif\0\0??").replace(b"Exif\0\0II", b"Exif\0\0??"))
    assert picture.size == (96, 64)
    assert facts.taken_at is None


def test_darkness_brightness_and_sharpness() -> None:
    black, white = (images.decode(saved(Image.new("RGB", (600, 400), c), "PNG"))[1] for c in ("black", "white"))
    assert (black.darkness, black.brightness, black.sharpness) == (1.0, 0.0, 0.0)
    assert (white.darkness, white.brightness, white.sharpness) == (0.0, 1.0, 0.0)
    half = Image.new("RGB", (200, 100), "white")
    half.paste("black", (0, 0, 100, 100))
    facts = images.decode(saved(half, "PNG"))[1]
    assert facts.darkness == pytest.approx(0.5)
    assert facts.brightness == pytest.approx(0.5)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8))
    blurred = noise.resize((20, 20)).resize((200, 200), Image.Resampling.BICUBIC)
    sharp, soft = (images.decode(saved(picture, "PNG"))[1].sharpness for picture in (noise, blurred))
    assert sharp > 20 * soft > 0


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    picture = Image.new("L", (5, 5), 0)
    picture.putpixel((2, 2), 100)
    # the nine inner values: -400 in the middle, 100 at four sides, 0 at four corners
    expected = np.var([-400, 100, 100, 100, 100, 0, 0, 0, 0])
    assert images.decode(saved(picture, "PNG"))[1].sharpness == pytest.approx(expected)


def bomb_png(width: int, height: int) -> bytes:
    """A PNG whose header promises more than memory holds, in a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def bomb_jpeg(width: int, height: int) -> bytes:
    data = bytearray(saved(scene(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def bomb_gif(width: int, height: int) -> bytes:
    data = bytearray(saved(scene(), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        bomb_png(30_000, 30_000),
        bomb_png(2_000_000_000, 2),
        bomb_png(9_000, 9_000),
        bomb_jpeg(60_000, 60_000),
        bomb_gif(65_000, 65_000),
        bomb_gif(12_000, 12_000),
    ],
    ids=["png", "wide png", "81 megapixels from nothing", "jpeg", "gif", "144 megapixel gif"],
)
def test_bombs_are_refused_before_they_go_off(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="decompression bomb"):
            images.decode(data)


def test_a_large_genuine_picture_is_no_bomb() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1024, 1024), dtype=np.uint8)
    data = saved(Image.fromarray(np.tile(noise, (8, 8))), "JPEG", quality=60)
    picture, facts = images.decode(data, least_side=100)
    assert facts.width * facts.height > images.BOMB_PIXELS
    assert min(picture.size) == 1024


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (saved(scene(800, 600), "JPEG", quality=95)[:-4000], "truncated"),
        (saved(scene(800, 600), "PNG")[:-3000], "truncated"),
        (saved(scene(), "JPEG")[:30], "truncated"),
        (b"RIFF\x10\0\0\0WEBPwhat", "header cannot be read"),
        (b"just some text, whatever the name says", "not an image"),
        (b"\0" * 5000, "nothing but zeros"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"<svg xmlns='...'/>", "SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video"),
        (saved(Image.new("RGB", (1, 1)), "PNG"), "1 × 1"),
        (saved(Image.new("RGB", (500, 1)), "PNG"), "500 × 1"),
    ],
)
def test_bad_files_are_named_in_a_persons_words(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        images.decode(data)


def test_a_wrong_ending_does_not_matter_to_the_bytes() -> None:
    assert images.decode(saved(scene(), "PNG"))[1].format == "PNG"
    assert {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tiff", ".heic", ".avif"} <= images.SUFFIXES


KINDS = st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])


@given(at=st.integers(0, 3000), byte=st.integers(0, 255), kind=KINDS)
@settings(max_examples=150, deadline=None)
def test_broken_bytes_give_a_picture_or_an_image_error(at: int, byte: int, kind: str) -> None:
    data = bytearray(saved(scene(), kind))
    data[at % len(data)] = byte
    with suppress(ImageError):  # anything else is a failure
        assert images.decode(bytes(data))[0].mode == "RGB"


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_noise_is_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        images.decode(b"\x89PNG\r\n\x1a\n" + data)


def test_many_threads_see_what_one_sees() -> None:
    files = [saved(scene(300 + i, 200), kind) for i in range(8) for kind in ("JPEG", "PNG", "GIF", "WEBP")]
    alone = [np.asarray(images.decode(data, least_side=64)[0]).sum() for data in files]
    with ThreadPoolExecutor(8) as pool:
        decoded = pool.map(lambda data: images.decode(data, least_side=64)[0], files)
        together = [np.asarray(picture).sum() for picture in decoded]
    assert alone == together


def test_a_thumbnail_is_a_small_upright_jpeg() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    small = Image.open(io.BytesIO(images.thumbnail(saved(scene(800, 400), "JPEG", exif=exif), 100)))
    assert small.format == "JPEG"
    assert small.size == (50, 100)
    tiny = Image.open(io.BytesIO(images.thumbnail(saved(scene(30, 20), "PNG"), 100)))
    assert tiny.size == (30, 20), "never enlarged"
