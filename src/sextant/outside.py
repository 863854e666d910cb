"""What columns make of pictures that show nothing they ask about: noise, blank sheets, pages of text, other photos.

A confidence is only worth something if such pictures get low ones. They are drawn here, embedded by the collection's
encoder and judged by the calibrations in use; nothing is kept.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sextant import columns, embedding, images, walk
from sextant.background import background_prompts
from sextant.edges import Edges
from sextant.errors import ImageError, UsageError
from sextant.maths import calibration as curves
from sextant.maths import logits as maths
from sextant.place import read
from sextant.types import Floats
from sextant.view import View
from sextant.vocabulary import Attribute

EACH = 20
"""Drawn pictures of a kind."""
SIDE = 256
MOST = 500
"""Photos of a folder that are looked at."""
LETTERS = "etaoin shrdlu cmfwyp vbgkjq xz"


@dataclass(frozen=True, slots=True)
class Outside:
    """One kind of picture: the median and 95th percentile of its highest confidence, and what it was mistaken for."""

    kind: str
    n: int
    median: float
    p95: float
    accepted: int
    worst_code: str
    worst: float


def check(edges: Edges, photos: Path | None) -> list[Outside]:
    """How high the highest confidence of such pictures is, by kind; `photos` is a folder of off-topic ones.

    Attributes of exclusive groups, of which one always wins, and controls are left out. Raises `UsageError` where no
    other attribute has a column.
    """
    view = edges.view(edges.codes())
    kinds: dict[str, Iterator[bytes]] = {"noise": _noise(), "blank": _blank(), "text page": _pages()}
    if photos is not None:
        kinds[f"photos in {photos.name}"] = _files(photos)
    judged = [c for c in view.columns if isinstance(a := view.describe(c), Attribute) and not (a.control or a.group)]
    if not judged:
        raise UsageError("there is no attribute that stands alone to try outside pictures on")
    found = []
    for kind, pictures in kinds.items():
        vectors = _embedded(edges, pictures)
        if len(vectors):
            found.append(_outside(kind, judged, _confidences(edges, view, judged, vectors), view))
    return found


def _outside(kind: str, codes: Sequence[str], confidence: NDArray[np.float64], view: View) -> Outside:
    top, which = confidence.max(axis=1), confidence.argmax(axis=1)
    edges = np.array([view.thresholds(code).accepted for code in codes])
    worst = int(top.argmax())
    return Outside(
        kind=kind,
        n=len(top),
        median=float(np.median(top)),
        p95=float(np.quantile(top, 0.95)),
        accepted=int((confidence >= edges).any(axis=1).sum()),
        worst_code=codes[int(which[worst])],
        worst=float(top[worst]),
    )


def _confidences(edges: Edges, view: View, codes: Sequence[str], vectors: Floats) -> NDArray[np.float64]:
    """What the calibrations in use make of vectors (n, dim): (n, codes)."""
    scale, bias = edges.scale
    texts = edges.phrases()
    directions = {code: columns.recorded_direction(view.columns[code], texts, edges.head) for code in codes}
    logits: Mapping[str, Floats] = columns.logits_by_code(vectors, directions, scale, bias)
    background = maths.background(vectors, texts(background_prompts()), scale=scale, bias=bias)
    judged = [curves.confidence(view.calibration(code), logits[code], background) for code in codes]
    return np.stack(judged, axis=1)


def _embedded(edges: Edges, pictures: Iterator[bytes]) -> Floats:
    """Unit vectors of the pictures that the encoder makes something of."""
    encoder = edges.encoder()
    prepared = []
    for data in pictures:
        try:
            prepared.append(embedding.prepared(data, encoder)[0])
        except ImageError:
            continue  # a file of the folder that is no picture
    rows: list[Floats] = []
    for start in range(0, len(prepared), EACH):
        found = embedding.encode(encoder, prepared[start : start + EACH])
        rows += [row for row in found if not isinstance(row, str)]
    return np.stack(rows) if rows else np.zeros((0, encoder.dim), np.float32)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    images.from_pixels(pixels).save(out, "PNG")
    return out.getvalue()


def _noise() -> Iterator[bytes]:
    numbers = np.random.default_rng(0)
    for _ in range(EACH):
        yield _png(numbers.integers(0, 256, (SIDE, SIDE, 3), np.uint8))


def _blank() -> Iterator[bytes]:
    for level in np.linspace(1, 255, EACH):
        yield _png(np.full((SIDE, SIDE, 3), int(level), np.uint8))


def _pages() -> Iterator[bytes]:
    from PIL import Image, ImageDraw

    numbers = np.random.default_rng(1)
    letters = np.array(list(LETTERS))
    for _ in range(EACH):
        page = Image.new("RGB", (2 * SIDE, 2 * SIDE), "white")
        lines = ["".join(numbers.choice(letters, 70)) for _ in range(38)]
        ImageDraw.Draw(page).multiline_text((24, 20), "\n".join(lines), fill="black", spacing=2)
        yield _png(np.asarray(page))


def _files(folder: Path) -> Iterator[bytes]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: is not a folder of photos")
    found = (c for c in walk.walk([folder], folder) if isinstance(c, walk.Candidate))
    for _, candidate in zip(range(MOST), found, strict=False):
        try:
            yield read(candidate.path)
        except OSError:
            continue
