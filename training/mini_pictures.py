"""Draws the pictures that `mini` learns from, once, into a cache outside version control.

A set is a folder of `pixels.npy` (n, 96, 96, 3) uint8 and `labels.npy` (n, attributes) int8 (1 true, 0 false, -1 not
known); captions need no pixels and are told anew each time. Its name holds a hash of the drawing code, so that changed
drawing code draws anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import sextant.demo
from sextant.demo import facades, scenes

SIZE = 96
DRAWN_SIZES = (256, 256, 192, 128)
CAPTIONS = 10
COARSE = ("building", "arch", "column", "dome", "tower")
LABELS: tuple[str, ...] = (*scenes.ATTRIBUTES, *COARSE)
COARSE_PHRASES: dict[str, tuple[str, ...]] = {
    "building": ("a building", "a house", "buildings", "a facade", "the front of a building", "architecture"),
    "arch": ("an arch", "arches", "a building with arches", "an arcade", "arched openings"),
    "column": ("a column", "columns", "a building with columns", "pillars", "a colonnade"),
    "dome": ("a dome", "domes", "a building with a dome", "a domed building", "a cupola"),
    "tower": ("a tower", "towers", "a building with a tower", "a tall tower", "a steeple"),
}
PHRASES: dict[str, tuple[str, ...]] = {
    **{code: tuple(scenes.PHRASES[code]) for code in scenes.ATTRIBUTES},
    **COARSE_PHRASES,
}
# Façades may show these by accident, and these things of the scenes look like a building: no label either way.
_UNSURE_ON_FACADES = (
    "photograph", "artistic_rendering", "dark_frame", "black_and_white", "blurred", "surface", "earth_surface",
    "horizon", "habitat", "earth", "atmosphere", "stars",
)  # fmt: skip
_NOT_DRAWING = ("captions", "parallel", "series", "scenes", "sheet", "tour", "truth_table", "prevalences", "__init__")
_UNSURE_BUILDINGS = ("launch_pad", "habitat", "mission_control", "launch", "rocket", "interior")


@dataclass(frozen=True, slots=True)
class PictureSet:
    """Pictures with their truth; row i of each belongs together."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int8]
    captions: list[list[str]]


def drawing_hash(kind: str) -> str:
    """A hash of the code that draws that kind, so that a cache never outlives it."""
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(Path(sextant.demo.__file__).parent.glob("*.py")):
        if path.name.startswith("facade") == (kind == "facades") and path.stem not in _NOT_DRAWING:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def shrink(image: Image.Image, size: int = SIZE) -> NDArray[np.uint8]:
    """What the bundle's own preparation does: shortest side to `size`, bicubic, then the middle square."""
    wide, high = image.size
    scale = size / min(wide, high)
    if (wide, high) != (size, size):
        image = image.resize((round(wide * scale), round(high * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)).convert("RGB"))


def scene_labels(attributes: frozenset[str]) -> NDArray[np.int8]:
    """One row of labels for a scene."""
    row = np.array([code in attributes for code in LABELS], dtype=np.int8)
    if attributes.intersection(_UNSURE_BUILDINGS):
        row[-len(COARSE) :] = -1
    return row


def facade_labels(coarse: frozenset[str]) -> NDArray[np.int8]:
    """One row of labels for a façade."""
    row = np.array([code in coarse for code in LABELS], dtype=np.int8)
    for code in _UNSURE_ON_FACADES:
        if code in LABELS:
            row[LABELS.index(code)] = -1
    return row


_Row = tuple[NDArray[np.uint8], NDArray[np.int8]]


def _scene(job: tuple[int, str | None]) -> _Row:
    seed, style = job
    scene = scenes.draw(seed, size=DRAWN_SIZES[seed % len(DRAWN_SIZES)], style=style)
    return shrink(scene.image), scene_labels(scene.attributes)


def _facade(job: tuple[int, str | None]) -> _Row:
    facade = facades.draw(job[0], size=DRAWN_SIZES[job[0] % len(DRAWN_SIZES)])
    return shrink(facade.image), facade_labels(facade.coarse)


def scene_set(cache: Path, seeds: Sequence[int], *, style: str | None = None, held_out: bool = False) -> PictureSet:
    """Scenes with several captions each, or with one in held-out words."""
    pixels, labels = _drawn(cache, "scenes", seeds, style)
    captions = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 77])
        captions.append(scenes.retellings(seed, rng, 1 if held_out else CAPTIONS, style=style, held_out=held_out))
    return PictureSet(pixels, labels, captions)


def facade_set(cache: Path, seeds: Sequence[int]) -> PictureSet:
    """Façades, told coarsely: by what there is of building, arch, column, dome and tower, never by style."""
    pixels, labels = _drawn(cache, "facades", seeds, None)
    captions = []
    for row in labels:
        things = [code for code in COARSE[1:] if row[LABELS.index(code)] == 1]
        captions.append(list(COARSE_PHRASES[things[0] if things else "building"]))
    return PictureSet(pixels, labels, captions)


def _drawn(
    cache: Path, kind: str, seeds: Sequence[int], style: str | None, processes: int = 2
) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    folder = cache / f"{kind}-{style or 'own'}-{seeds[0]}-{len(seeds)}-{drawing_hash(kind)}"
    if not (folder / "labels.npy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [(seed, style) for seed in seeds]
        pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, (len(jobs), SIZE, SIZE, 3))
        labels = np.zeros((len(jobs), len(LABELS)), dtype=np.int8)
        draw = {"scenes": _scene, "facades": _facade}[kind]
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for number, row in enumerate(pool.map(draw, jobs, chunksize=64)):
                pixels[number], labels[number] = row
        pixels.flush()
        np.save(folder / "labels.npy", labels)
    return np.load(folder / "pixels.npy", mmap_mode="r"), np.load(folder / "labels.npy")
