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
