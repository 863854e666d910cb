"""Pictures and texts that are none of the classes: what the base should go on knowing, and what must not be confident.

For `mini` the world it knows is the demo's, which can be drawn; for others a folder of photos stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sextant import images
from sextant.background import background_prompts
from sextant.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]
EACH = 100
KEPT_SEED, HELD_SEED, OTHER_SEED = 8_600_000, 10_700_000, 11_700_000
"""Seeds of drawn scenes: to keep by, to choose by, and to measure on. No other part of the demo has them."""


def noise(side: int, n: int = EACH) -> list[Image.Image]:
    """Every pixel drawn anew, and coarser spots, which a network cannot dismiss as texture."""
    rng, found = np.random.default_rng(0), []
    for number in range(n):
        step = (1, 1, 4, 16)[number % 4]
        small = rng.integers(0, 256, (-(-side // step), -(-side // step), 3), np.uint8)
        found.append(images.from_pixels(np.repeat(np.repeat(small, step, 0), step, 1)[:side, :side]))
    return found


def blank(side: int, n: int = EACH) -> list[Image.Image]:
    """One colour each."""
    rng = np.random.default_rng(1)
    return [images.from_pixels(np.broadcast_to(rng.integers(0, 256, 3, np.uint8), (side, side, 3)).copy())
            for _ in range(n)]  # fmt: skip


def senseless(pictures: Pixels, rng: np.random.Generator, n: int) -> Pixels:
    """Pictures (n, s, s, 3) that show nothing: pieces of `pictures` (m, s, s, 3) mixed up, clouds, waves, plain shapes.

    To learn doubt from. None is made as `noise` and `blank` are, by which doubt is measured.
    """
    side = pictures.shape[1]
    kinds = (
        lambda: _mixed_up(pictures[int(rng.integers(len(pictures)))], rng),
        lambda: _clouds(side, rng),
        lambda: _waves(side, rng),
        lambda: _shapes(side, rng),
    )
    return np.stack([kinds[number % len(kinds)]() for number in range(n)])


def _mixed_up(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Its squares in another order, each mirrored or not."""
    across = int(rng.integers(3, 9))
    edges = np.linspace(0, len(picture), across + 1).astype(int)
    least = int(np.diff(edges).min())
    pieces = [picture[y : y + least, x : x + least] for y in edges[:-1] for x in edges[:-1]]
    found = picture.copy()
    for place, piece in enumerate(rng.permutation(len(pieces))):
        y, x = edges[place // across], edges[place % across]
        chosen = pieces[piece]
        found[y : y + least, x : x + least] = chosen[:, ::-1] if rng.random() < 0.5 else chosen
    return found


def _clouds(side: int, rng: np.random.Generator) -> Pixels:
    """Noise whose amplitude falls with a power of the frequency, of a random colour and contrast."""
    y, x = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    fall = np.maximum(np.hypot(y, x), 1 / side) ** -rng.uniform(0.3, 2.0)
    waves = np.fft.rfft2(rng.normal(size=(side, side, 3)), axes=(0, 1)) * fall[..., None]
    field = np.fft.irfft2(waves, s=(side, side), axes=(0, 1))
    field /= field.std((0, 1)) + 1e-9
    if rng.random() < 0.3:
        field[:] = field[..., :1]
    return _bytes(rng.uniform(40, 215, 3) + rng.uniform(10, 70) * field)


def _waves(side: int, rng: np.random.Generator) -> Pixels:
    """Two waves of any direction and length across a slope of colour."""
    y, x = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    found = rng.uniform(0, 255, 3) + rng.normal(0, 80, 3) * (x * rng.normal() + y * rng.normal())[..., None]
    for _ in range(2):
        angle, length = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(0.03), np.log(1.0)))
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / length + rng.uniform(0, 6))
        wave = np.sign(wave) if rng.random() < 0.5 else wave
        found = found + wave[..., None] * rng.normal(0, 40, 3)
    return _bytes(found)


def _shapes(side: int, rng: np.random.Generator) -> Pixels:
    """A few boxes and ellipses of plain colours on a plain ground, with a little grain."""
    y, x = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    found = np.broadcast_to(rng.uniform(0, 255, 3), (side, side, 3)).copy()
    for _ in range(int(rng.integers(1, 8))):
        (cy, cx), (h, w) = rng.uniform(0, side, 2), rng.uniform(side / 20, side / 2.5, 2)
        down, across = np.abs(y - cy) / h, np.abs(x - cx) / w
        inside = np.maximum(down, across) < 1 if rng.random() < 0.5 else np.hypot(down, across) < 1
        found[inside] = rng.uniform(0, 255, 3)
    return _bytes(found + rng.normal(0, rng.uniform(0, 12), (side, side, 3)))


def _bytes(values: NDArray[np.float64]) -> Pixels:
    return np.clip(values, 0, 255).astype(np.uint8)


def scenes(seed: int, n: int) -> list[Image.Image]:
    """Drawn scenes of space, which no façade data set knows."""
    from sextant.demo import scenes as drawn

    return [drawn.draw(seed + number).image for number in range(n)]


def phrases() -> list[str]:
    """The phrases of those scenes."""
    from sextant.demo import scenes as drawn

    return [phrase for phrases in drawn.PHRASES.values() for phrase in phrases]


def told_scenes(seed: int, n: int) -> tuple[list[Image.Image], list[str], NDArray[np.bool_]]:
    """Drawn scenes, a phrase of each attribute that three of them show, and which scene shows which, (n, phrases)."""
    from sextant.demo import scenes as drawn

    found = [drawn.draw(seed + number) for number in range(n)]
    shown = np.array([[code in scene.attributes for code in drawn.ATTRIBUTES] for scene in found])
    some = np.flatnonzero(shown.sum(0) >= min(3, n // 2))
    return [s.image for s in found], [drawn.PHRASES[drawn.ATTRIBUTES[k]][0] for k in some], shown[:, some]


def photos(folder: Path, n: int = 3 * EACH) -> Iterator[Image.Image]:
    """Pictures of a folder, evenly from all of it; what cannot be read is passed over."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in images.SUFFIXES)
    for index in np.unique(np.linspace(0, len(paths) - 1, min(n, len(paths))).astype(int)) if paths else ():
        try:
            yield images.decode(paths[index].read_bytes(), least_side=256)[0]
        except (ImageError, OSError):
            continue


def texts(extra: Sequence[str] = ()) -> list[str]:
    """What the base should go on saying: the background prompts, and further phrases."""
    return list(dict.fromkeys([*extra, *background_prompts()]))
