"""Targets that are not text: pictures, encoders in folders, vectors made elsewhere."""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_mutations import damaged, json_bytes, png_repaired
from fuzz_target import PHOTOS, ROOT, Broken, Target

from sextant.errors import (
    ExchangeError,
    ImageError,
    ModelError,
)


class Images(Target):
    """Small pictures of every format, and real photos where they are, through `images.decode`."""

    allowed = (ImageError,)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.drawn = list(_drawn())
        files = sorted(p for p in PHOTOS.rglob("*.*") if p.suffix in (".jpg", ".bmp") and p.stat().st_size < 40_000)
        self.photos = [p.read_bytes() for p in random.Random(0).sample(files, min(80, len(files)))]

    def make(self, rng: random.Random) -> tuple[bytes, int | None]:
        seeds = self.photos if self.photos and rng.random() < 0.2 else self.drawn
        return damaged(rng, seeds, repair=png_repaired), rng.choice((None, None, 8, 64, 256))

    def check(self, case: tuple[bytes, int | None]) -> None:
        from sextant import images

        picture, facts = images.decode(case[0], least_side=case[1])
        if picture.mode != "RGB" or min(facts.width, facts.height) < images.MIN_SIDE:
            raise Broken(f"{picture.mode} {facts}")
        if not all(np.isfinite([facts.sharpness, facts.darkness, facts.brightness])):
            raise Broken(str(facts))


def _drawn() -> Iterable[bytes]:
    from PIL import Image

    generator = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(24), np.arange(32))[:, :, None] * np.array([3, 2, 4]) % 256
    colour = Image.fromarray(np.where(generator.random((24, 32, 1)) < 0.2, 255 - smooth, smooth).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = 6, "Canon", "Canon EOS 5D"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    exif.get_ifd(0x8825)[1] = "N"
    shapes = {
        "RGB": colour,
        "L": colour.convert("L"),
        "1": colour.convert("1"),
        "P": colour.quantize(16),
        "RGBA": Image.merge("RGBA", (*colour.split(), colour.convert("L"))),
        "LA": Image.merge("LA", (colour.convert("L"), colour.convert("L"))),
        "CMYK": colour.convert("CMYK"),
        "I;16": Image.fromarray((smooth[:, :, 0] * 257).astype(np.uint16)),
        "F": Image.fromarray(smooth[:, :, 0].astype(np.float32)),
    }
    wanted: list[tuple[str, str, dict[str, Any]]] = [
        *[("JPEG", mode, {"exif": exif, "progressive": p}) for mode in ("RGB", "L", "CMYK") for p in (False, True)],
        *[("PNG", mode, {"exif": exif}) for mode in ("RGB", "L", "1", "P", "RGBA", "LA", "I;16")],
        *[("TIFF", mode, {}) for mode in ("RGB", "L", "1", "P", "RGBA", "CMYK", "I;16", "F")],
        *[("TIFF", "RGB", {"compression": c}) for c in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")],
        *[("TIFF", "1", {"compression": c}) for c in ("group3", "group4")],
        *[("WEBP", "RGB", {"exif": exif}), ("WEBP", "RGBA", {"lossless": True})],
        *[("GIF", "P", {}), ("BMP", "RGB", {}), ("BMP", "P", {}), ("DIB", "RGB", {}), ("AVIF", "RGB", {"speed": 10})],
        *[("AVIF", "RGBA", {"speed": 10}), ("PPM", "RGB", {}), ("TGA", "RGB", {}), ("ICO", "RGBA", {})],
        *[("PCX", "RGB", {}), ("JPEG2000", "RGB", {}), ("SGI", "RGB", {}), ("DDS", "RGBA", {})],
        *[(k, "RGB", {"save_all": True, "append_images": [colour]}) for k in ("GIF", "WEBP", "TIFF", "PNG", "MPO")],
    ]  # fmt: skip
    for kind, mode, options in wanted:
        out = io.BytesIO()
        try:
            shapes[mode].save(out, kind, **options)
        except (KeyError, OSError, ValueError):  # a Pillow built without this format
            continue
        yield out.getvalue()
    yield from _heic(colour)


def _heic(picture: Any) -> Iterable[bytes]:
    try:
        import pillow_heif
    except ImportError:
        return
    out = io.BytesIO()
    pillow_heif.from_pillow(picture).save(out, quality=60)
    yield out.getvalue()


class Bundles(Target):
    """Encoders in folders with one damaged file: the card, a graph, the tokenizer; then one picture and one text."""

    allowed = (ModelError,)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        sys.path.insert(0, str(ROOT / "tests"))
        from PIL import Image

        from tiny_bundles import bundle, hub

        self.folders = {"bundle": bundle(scratch / "bundle"), "hub": hub(scratch / "hub")}
        self.picture = Image.new("RGB", (12, 9), (200, 30, 30))
        self.parts = [(f, p.relative_to(self.folders[f])) for f in self.folders for p in self.folders[f].rglob("*.*")]
        self.good = {(f, p): (self.folders[f] / p).read_bytes() for f, p in self.parts}

    def make(self, rng: random.Random) -> tuple[str, str, bytes]:
        folder, part = rng.choice(self.parts)
        good = self.good[folder, part]
        data = json_bytes(rng, json.loads(good)) if part.suffix == ".json" else damaged(rng, [good])
        return folder, str(part), data

    def check(self, case: tuple[str, str, bytes]) -> None:
        from sextant.encoder.bundle import OnnxEncoder

        folder, part, data = case
        path = self.folders[folder] / part
        try:
            path.write_bytes(data)
            encoder = OnnxEncoder(self.folders[folder], device="cpu", precision="fp32", threads=1)
            encoder.encode_texts(["a red thing"])
            encoder.encode_images([self.picture])
        finally:
            path.write_bytes(self.good[folder, Path(part)])


class Vectors(Target):
    """Vectors made elsewhere, as `.npy` and as Parquet."""

    allowed = (ExchangeError,)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
        self.names = scratch / "names.txt"
        self.names.write_text("a\nb\nc\nd\n")
        out = io.BytesIO()
        np.save(out, rows)
        self.npy = [out.getvalue()]
        self.parquet = []
        for compression in ("none", "snappy", "zstd"):
            sink = io.BytesIO()
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 8)
            pq.write_table(pa.table({"path": list("abcd"), "vector": vectors}), sink, compression=compression)
            self.parquet.append(sink.getvalue())

    def make(self, rng: random.Random) -> tuple[str, bytes]:
        suffix = rng.choice((".npy", ".parquet"))
        return suffix, damaged(rng, self.npy if suffix == ".npy" else self.parquet)

    def check(self, case: tuple[str, bytes]) -> None:
        from sextant import exchange

        brought = exchange.read_vectors(self.written(case[1], case[0]), self.names)
        for rows in brought.batches():
            if rows.shape[1] != brought.dim:
                raise Broken(str(rows.shape))
