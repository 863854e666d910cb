"""Labelled pictures in the spirit of a space agency's archive: a seed becomes a picture, its truth and its caption.

    plan      what stands where (`kinds`, `planning`), without a pixel
    draw      the plan as a picture (`render` and what it uses)
    describe  the plan in words (`captions`)

The same seed gives the same pixels on the same machine, in any order and any process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from PIL import Image

from sextant.demo.captions import caption_of, captions, describe
from sextant.demo.kinds import plan
from sextant.demo.parallel import mapped
from sextant.demo.render import render
from sextant.demo.series import collection
from sextant.demo.truth import (
    ATTRIBUTES,
    BASE,
    CHOICE_SEEDS,
    DEMO_SEEDS,
    DERIVED,
    HARD_STYLE,
    MILD_STYLE,
    QUALITIES,
    STYLES,
    TEST_SEEDS,
    TRAIN_SEEDS,
    TRAINED_STYLES,
)
from sextant.demo.wording import HELD_OUT_PHRASES, PHRASES
from sextant.errors import UsageError

__all__ = [
    "ATTRIBUTES",
    "BASE",
    "CHOICE_SEEDS",
    "DEMO_SEEDS",
    "DERIVED",
    "HARD_STYLE",
    "HELD_OUT_PHRASES",
    "MILD_STYLE",
    "PHRASES",
    "QUALITIES",
    "STYLES",
    "TEST_SEEDS",
    "TRAINED_STYLES",
    "TRAIN_SEEDS",
    "Scene",
    "caption_of",
    "captions",
    "collection",
    "describe",
    "draw",
    "draw_many",
    "plan",
    "retellings",
]


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture with everything that is true of it. `attributes` holds base, quality and derived codes."""

    seed: int
    style: str
    attributes: frozenset[str]
    caption: str
    series: str | None
    image: Image.Image


def retellings(
    seed: int, rng: np.random.Generator, n: int, *, style: str | None = None, held_out: bool = False
) -> list[str]:
    """`n` captions of the picture with that seed, as detailed as its own, in other words. Needs no pixels."""
    whole = plan(seed, style)
    return [describe(whole, rng, held_out=held_out) for _ in range(n)]


def draw(seed: int, *, size: int = 256, style: str | None = None, aspect: bool = False, take: int = 0) -> Scene:
    """The picture of that seed, its longer side `size` pixels: square, or of varied shape with `aspect=True`.

    `style=None` lets the seed choose among the trained styles; `take` > 0 is a near-duplicate of take 0.
    Raises UsageError for a bad seed, size or style.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 16 <= size <= 4096:
        raise UsageError(f"a picture is 16 to 4096 pixels wide, not {size!r}")
    whole = replace(plan(seed, style, aspect=aspect), take=take)
    return Scene(
        seed=whole.seed,
        style=whole.style,
        attributes=whole.attributes,
        caption=caption_of(whole),
        series=f"series-{whole.seed}" if take else None,
        image=render(whole, size),
    )


def draw_many(
    seeds: Iterable[int],
    *,
    size: int = 256,
    style: str | None = None,
    aspect: bool = False,
    processes: int | None = None,
) -> Iterator[Scene]:
    """The pictures of many seeds in their order, drawn by several processes (None: one for each core)."""
    return mapped(partial(draw, size=size, style=style, aspect=aspect), seeds, processes)
