"""Everything in a street picture that is not the façade: sky, ground, trees and cables in front, and the light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sextant.demo.facade_canvas import Canvas, Colour, add_grain, arc, lighter, mix, relight

_SKIES: tuple[tuple[str, Colour, Colour], ...] = (
    ("a blue sky", (70, 130, 200), (190, 216, 236)),
    ("a grey sky", (150, 158, 168), (206, 210, 214)),
    ("an evening sky", (88, 84, 140), (244, 176, 120)),
    ("a pale sky", (190, 206, 220), (236, 238, 236)),
    ("a night sky", (16, 20, 44), (52, 58, 92)),
)
_LEAVES: tuple[Colour, ...] = ((62, 104, 52), (88, 122, 60), (150, 104, 44), (44, 84, 60))


@dataclass(frozen=True, slots=True)
class Setting:
    """The day a façade is seen on, and what stands in front of it; `words` is how a caption says so."""

    sky: tuple[Colour, Colour]
    words: str
    clouds: int
    trees: int
    cables: int
    gain: float
    tint: tuple[float, float]
    grain: float

    @classmethod
    def random(cls, rng: np.random.Generator, *, drawn: bool) -> Setting:
        """A day at random; `drawn` pictures keep clean colours and no noise."""
        number = int(rng.choice(len(_SKIES), p=(0.36, 0.2, 0.14, 0.2, 0.1)))
        words, top, bottom = _SKIES[number]
        night = number == 4
        return cls(
            sky=(mix(top, bottom, float(rng.uniform(0, 0.4))), bottom),
            words=words,
            clouds=0 if night else int(rng.integers(0, 4)),
            trees=int(rng.choice([0, 0, 1, 1, 2, 3])),
            cables=int(rng.choice([0, 0, 0, 1, 3])),
            gain=1.0 if drawn else float(rng.uniform(0.5, 0.75) if night else rng.uniform(0.82, 1.16)),
            tint=(0.0, 0.0) if drawn else (float(rng.uniform(-0.06, 0.1)), float(rng.uniform(-0.1, 0.06))),
            grain=0.0 if drawn else float(rng.gamma(2.0, 2.5)),
        )


def behind(canvas: Canvas, rng: np.random.Generator, setting: Setting) -> None:
    """Sky, clouds and the ground the façade stands on."""
    canvas.gradient(*setting.sky, 0.85)
    for _ in range(setting.clouds):
        x, y, reach = (float(v) for v in rng.uniform((0, 0.04, 0.06), (1, 0.35, 0.14)))
        tone = lighter(setting.sky[1], 0.45)
        for part in range(5):
            dx, dy = float(rng.uniform(-reach, reach)), float(rng.uniform(-0.2, 0.2)) * reach
            canvas.blob((x + dx, y + dy), (reach * (0.7 - 0.06 * part), reach * 0.28), tone)
    ground = mix(((120, 116, 110), (96, 118, 76), (150, 138, 116))[rng.integers(3)], setting.sky[1], 0.12)
    canvas.polygon([(0, 0.87), (1, 0.87), (1, 1), (0, 1)], ground, outlined=False, flat=True)
    level = canvas.view.place((0.5, 0.9))[1]
    canvas.polygon([(0, level), (1, level), (1, 1), (0, 1)], ground, outlined=False, flat=True)


def in_front(canvas: Canvas, rng: np.random.Generator, setting: Setting) -> None:
    """Trees and cables that hide a part of the façade."""
    for _ in range(setting.trees):
        _tree(canvas, rng)
    start = float(rng.uniform(0.05, 0.4))
    for number in range(setting.cables):
        left, right, sag = (
            start + 0.03 * number,
            start + float(rng.uniform(-0.12, 0.12)),
            float(rng.uniform(0.03, 0.08)),
        )
        xs = np.linspace(0, 1, 12)
        points = [(float(x), float(left + (right - left) * x + 4 * sag * x * (1 - x))) for x in xs]
        canvas.line(points, (34, 34, 40), 0.004, flat=True)


def _tree(canvas: Canvas, rng: np.random.Generator) -> None:
    x = float(
        rng.choice([rng.uniform(0.0, 0.24), rng.uniform(0.76, 1.0), rng.uniform(0.25, 0.75)], p=(0.42, 0.42, 0.16))
    )
    reach, foot = float(rng.uniform(0.06, 0.13)), float(rng.uniform(0.9, 0.97))
    crown = foot - reach * float(rng.uniform(2.0, 3.2))
    leaf = mix(_LEAVES[rng.integers(len(_LEAVES))], (20, 30, 20), float(rng.uniform(0, 0.3)))
    canvas.line([(x, foot), (x, crown)], (74, 56, 44), reach * 0.16, flat=True)
    for depth in range(16):
        dx, dy = rng.uniform(-1, 1, 2)
        size = reach * float(rng.uniform(0.25, 0.5))
        tone = lighter(leaf, -0.25 + 0.028 * depth - 0.12 * float(dy))
        canvas.blob((x + dx * reach * 0.8, crown + dy * reach), (size, size * 0.9), tone)


def develop(canvas: Canvas, rng: np.random.Generator, setting: Setting, *, drawn: bool) -> NDArray[np.uint8]:
    """The finished pixels, (size, size, 3): exposure, tint, falling light and grain."""
    pixels = canvas.pixels()
    if drawn:
        return pixels
    return add_grain(relight(pixels, rng, setting.gain, setting.tint), rng, setting.grain)


def lamp(canvas: Canvas, rng: np.random.Generator) -> None:
    """A street lamp in front, now and then."""
    x = float(rng.uniform(0.08, 0.92))
    canvas.line([(x, 0.96), (x, 0.62)], (40, 42, 48), 0.01, flat=True)
    canvas.polygon(arc((x, 0.6), (0.018, 0.024), 0, 1, 10), (246, 232, 180), outlined=False, flat=True)
