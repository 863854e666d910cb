"""What the parts of one façade share: its colours and its random state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sextant.demo.facade_canvas import Canvas, Colour, Point, lighter, mix

_WALLS: tuple[Colour, ...] = (
    (214, 196, 164), (196, 164, 128), (172, 96, 72), (228, 220, 204), (160, 150, 140), (204, 150, 104),
    (188, 176, 150), (150, 78, 62), (222, 190, 140), (176, 186, 190), (206, 168, 156), (236, 226, 190),
)  # fmt: skip
_ROOFS: tuple[Colour, ...] = (
    (150, 74, 52),
    (92, 98, 110),
    (78, 120, 108),
    (110, 84, 66),
    (190, 150, 70),
    (64, 96, 130),
)
_DARKS: tuple[Colour, ...] = ((40, 42, 52), (56, 44, 38), (34, 46, 60), (60, 60, 66))


@dataclass(frozen=True, slots=True)
class Paint:
    """The materials of one façade and where its light comes from (-1 left, 1 right)."""

    wall: Colour
    trim: Colour
    roof: Colour
    dark: Colour
    glass: Colour
    light: int

    @classmethod
    def random(cls, rng: np.random.Generator) -> Paint:
        """Materials that go together, jittered so that no two façades share them."""
        wall = _jitter(rng, _WALLS[rng.integers(len(_WALLS))])
        trim = lighter(wall, float(rng.choice([0.35, 0.5, -0.25, 0.2])))
        roof = _jitter(rng, _ROOFS[rng.integers(len(_ROOFS))])
        dark = _jitter(rng, _DARKS[rng.integers(len(_DARKS))])
        glass = mix(dark, (120, 160, 190), float(rng.uniform(0.1, 0.6)))
        return cls(wall, trim, roof, dark, glass, 1 if rng.random() < 0.5 else -1)


def _jitter(rng: np.random.Generator, colour: Colour) -> Colour:
    r, g, b = (int(np.clip(c + d, 0, 255)) for c, d in zip(colour, rng.integers(-18, 19, 3), strict=True))
    return r, g, b


def wall(canvas: Canvas, paint: Paint, rng: np.random.Generator, box: tuple[float, float, float, float]) -> None:
    """A wall (left, top, right, bottom) in plaster, brick courses or ashlar."""
    left, top, right, bottom = box
    canvas.rectangle(left, top, right, bottom, paint.wall)
    kind = rng.integers(3)
    if kind == 0:
        return
    joint = lighter(paint.wall, -0.1 if rng.random() < 0.7 else 0.15)
    step = float(rng.uniform(0.018, 0.03)) if kind == 1 else float(rng.uniform(0.04, 0.06))
    for number in range(1, int((bottom - top) / step) + 1):
        y = top + number * step
        canvas.line([(left, y), (right, y)], joint, 0.003)
    for _ in range(int(rng.integers(6, 16))):
        x, y = (
            float(rng.uniform(left, right - 0.06)),
            top + step * int(rng.integers(0, max(1, int((bottom - top) / step) - 1))),
        )
        tone = lighter(paint.wall, float(rng.uniform(-0.12, 0.12)))
        canvas.rectangle(x, y, min(right, x + step * 2), y + step, tone, outlined=False)


def cornice(canvas: Canvas, paint: Paint, left: float, right: float, y: float, depth: float = 0.022) -> None:
    """A moulding along the top of a wall, with its shadow."""
    canvas.rectangle(left, y, right, y + depth * 1.6, lighter(paint.wall, -0.28), outlined=False)
    canvas.rectangle(left - depth * 0.7, y - depth * 0.4, right + depth * 0.7, y + depth * 0.6, paint.trim)


def opening(canvas: Canvas, paint: Paint, outline: list[Point], *, inner: Colour | None = None) -> None:
    """A hole in the wall with a reveal on the lit side."""
    canvas.polygon(outline, lighter(paint.wall, -0.45))
    xs = [x for x, _ in outline]
    shift = 0.08 * (max(xs) - min(xs)) * paint.light
    canvas.polygon([(x - shift, y) for x, y in outline], inner or paint.glass, outlined=False)


def windows(canvas: Canvas, paint: Paint, box: tuple[float, float, float, float], columns: int, rows: int) -> None:
    """Plain upright windows spread over a box (left, top, right, bottom)."""
    left, top, right, bottom = box
    wide, high = (right - left) / columns, (bottom - top) / rows
    for row in range(rows):
        for column in range(columns):
            x, y = left + (column + 0.5) * wide, top + row * high
            half = min(0.3 * wide, 0.05)
            canvas.rectangle(x - half * 1.25, y + high * 0.16, x + half * 1.25, y + high * 0.9, paint.trim)
            opening(
                canvas,
                paint,
                [
                    (x - half, y + high * 0.2),
                    (x + half, y + high * 0.2),
                    (x + half, y + high * 0.86),
                    (x - half, y + high * 0.86),
                ],
            )
            canvas.line([(x, y + high * 0.2), (x, y + high * 0.86)], paint.trim, 0.004)
