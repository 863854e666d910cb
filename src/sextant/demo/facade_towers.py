"""Domes and towers: the two clusters whose styles differ by an outline against the sky."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np

from sextant.demo.facade_canvas import Canvas, Point, arc, lighter
from sextant.demo.facade_paint import Paint, cornice, wall, windows

# Half width at shares of the height, foot to tip: the profile is the style.
_PROFILES: dict[str, tuple[float, tuple[float, ...]]] = {
    "hemisphere": (0.95, tuple(cos(i * pi / 20) for i in range(11))),
    "onion": (2.0, (0.72, 0.98, 1.12, 1.15, 1.05, 0.86, 0.6, 0.36, 0.2, 0.1, 0.03)),
    "bulb": (1.45, (0.92, 1.02, 1.06, 1.05, 1.0, 0.92, 0.8, 0.65, 0.47, 0.26, 0.02)),
    "lantern": (1.25, (1.0, 0.99, 0.97, 0.93, 0.87, 0.79, 0.69, 0.57, 0.44, 0.31, 0.22)),
}


def _heights(count: int, kind: str) -> list[float]:
    # A round head needs points evenly spread by angle, the free profiles by height.
    if kind == "hemisphere":
        return [sin(i * pi / 20) for i in range(count)]
    return [i / (count - 1) for i in range(count)]


def dome(canvas: Canvas, paint: Paint, kind: str, x: float, base: float, half: float) -> None:
    """One dome: `x` its middle, `base` its foot, `half` its half width."""
    ratio, profile = _PROFILES[kind]
    heights = [base - h * half * ratio for h in _heights(len(profile), kind)]
    right = [(x + half * w, y) for w, y in zip(profile, heights, strict=True)]
    left = [(x - half * w, y) for w, y in zip(profile, heights, strict=True)]
    canvas.polygon(right + left[::-1], paint.roof)
    side = right if paint.light < 0 else left
    shadow = side + [(x + (px - x) * 0.45, py) for px, py in reversed(side)]
    canvas.polygon(shadow, lighter(paint.roof, -0.25), outlined=False)
    glow = [(x + paint.light * abs(px - x) * 0.45, py) for px, py in right]
    canvas.line(glow[1:8], lighter(paint.roof, 0.35), 0.008)
    if kind == "lantern":
        _ribs_and_lantern(canvas, paint, x, heights, profile, half)
    elif kind != "hemisphere":
        tip = heights[-1]
        canvas.line([(x, tip), (x, tip - half * 0.35)], lighter(paint.roof, -0.4), 0.008)
        canvas.disc((x, tip - half * 0.1), half * 0.07, paint.trim, outlined=False)


def _ribs_and_lantern(
    canvas: Canvas, paint: Paint, x: float, heights: list[float], profile: tuple[float, ...], half: float
) -> None:
    for share in (-0.6, -0.2, 0.2, 0.6):
        rib = [(x + half * w * share, y) for w, y in zip(profile, heights, strict=True)]
        canvas.line(rib, lighter(paint.roof, 0.25), 0.006)
    top, reach = heights[-1], half * 0.24
    canvas.rectangle(x - reach, top - half * 0.45, x + reach, top, paint.trim)
    for share in (-0.4, 0.4):
        canvas.line([(x + reach * share, top - half * 0.38), (x + reach * share, top - half * 0.05)], paint.dark, 0.012)
    canvas.polygon(arc((x, top - half * 0.45), (reach * 1.2, reach * 1.1), 0, 0.5, 8), paint.roof)


def domed(canvas: Canvas, paint: Paint, rng: np.random.Generator, kind: str) -> None:
    """A block under one, three or five domes of one kind, on drums."""
    half, top = float(rng.uniform(0.26, 0.42)), float(rng.uniform(0.52, 0.64))
    left, right = 0.5 - half, 0.5 + half
    main = float(rng.uniform(0.13, 0.22)) * (0.8 if kind == "onion" else 1.0)
    small = int(rng.choice([0, 2, 2]))
    drum = float(rng.uniform(0.04, 0.09))
    for number in range(small):
        x = 0.5 + (half - 0.07) * (-1 if number % 2 else 1)
        _drum(canvas, paint, x, top, main * 0.4, drum * 0.7)
        dome(canvas, paint, kind, x, top - drum * 0.7, main * 0.36)
    _drum(canvas, paint, 0.5, top, main, drum)
    dome(canvas, paint, kind, 0.5, top - drum, main * 0.95)
    wall(canvas, paint, rng, (left, top, right, 0.9))
    cornice(canvas, paint, left, right, top)
    windows(
        canvas, paint, (left + 0.03, top + 0.05, right - 0.03, 0.88), int(rng.integers(3, 7)), int(rng.integers(1, 3))
    )


def _drum(canvas: Canvas, paint: Paint, x: float, base: float, half: float, high: float) -> None:
    canvas.rectangle(x - half, base - high, x + half, base + 0.01, paint.wall)
    for share in (-0.66, -0.22, 0.22, 0.66):
        canvas.line([(x + half * share, base - high * 0.8), (x + half * share, base - high * 0.2)], paint.dark, 0.014)


def tower(canvas: Canvas, paint: Paint, rng: np.random.Generator, kind: str) -> None:
    """A tower of one kind, mostly with a low nave or house beside it."""
    half, top = float(rng.uniform(0.085, 0.15)), float(rng.uniform(0.3, 0.42))
    if kind == "spire":  # half of its height is roof
        half, top = half * 0.85, top + 0.17
    x = 0.5 + float(rng.uniform(-0.12, 0.12))
    if rng.random() < 0.75:
        _annex(canvas, paint, rng, x)
    wall(canvas, paint, rng, (x - half, top, x + half, 0.9))
    shade = (x - half, x - half * 0.4) if paint.light > 0 else (x + half * 0.4, x + half)
    canvas.rectangle(shade[0], top, shade[1], 0.9, lighter(paint.wall, -0.16), outlined=False)
    for share in (0.4, 0.7):
        y = top + (0.9 - top) * share
        canvas.rectangle(x - half * 0.18, y, x + half * 0.18, y + 0.07, paint.dark)
    _TOPS[kind](canvas, paint, x, top, half)


def _annex(canvas: Canvas, paint: Paint, rng: np.random.Generator, x: float) -> None:
    side = 1 if x < 0.5 else -1
    near, far = x, x + side * float(rng.uniform(0.3, 0.5))
    left, right, top = min(near, far), max(near, far), float(rng.uniform(0.62, 0.7))
    canvas.polygon(
        [(left - 0.02, top), (left + 0.06, top - 0.09), (right - 0.06, top - 0.09), (right + 0.02, top)], paint.roof
    )
    wall(canvas, paint, rng, (left, top, right, 0.9))
    windows(canvas, paint, (left + 0.02, top + 0.03, right - 0.02, 0.88), int(rng.integers(3, 5)), 1)


def _belfry(canvas: Canvas, paint: Paint, x: float, top: float, half: float) -> None:
    canvas.rectangle(x - half * 1.06, top - half * 1.1, x + half * 1.06, top + 0.01, paint.wall)
    for share in (-0.5, 0.5):
        canvas.rectangle(
            x + half * share - half * 0.24,
            top - half * 0.85,
            x + half * share + half * 0.24,
            top - half * 0.1,
            paint.dark,
        )
    cornice(canvas, paint, x - half * 1.06, x + half * 1.06, top - half * 1.1, 0.016)


def _campanile(canvas: Canvas, paint: Paint, x: float, top: float, half: float) -> None:
    _belfry(canvas, paint, x, top, half)
    _pyramid(canvas, paint, x, top - half * 1.15, half * 1.15, half * 0.9)


def _spire(canvas: Canvas, paint: Paint, x: float, top: float, half: float) -> None:
    _belfry(canvas, paint, x, top, half)
    _pyramid(canvas, paint, x, top - half * 1.15, half, max(half * 2.4, top * 0.92 - half * 1.15))


def _pyramid(canvas: Canvas, paint: Paint, x: float, base: float, half: float, high: float) -> None:
    tip: Point = (x, base - high)
    canvas.polygon([(x - half, base), tip, (x + half, base)], paint.roof)
    dark = -paint.light * half
    canvas.polygon([(x, base), tip, (x + dark, base)], lighter(paint.roof, -0.22), outlined=False)
    canvas.line([tip, (x, tip[1] - 0.03)], paint.dark, 0.006)


def _battlement(canvas: Canvas, paint: Paint, x: float, top: float, half: float) -> None:
    wide = half * 1.22
    canvas.rectangle(x - wide, top - half * 0.5, x + wide, top + half * 0.12, paint.wall)
    for bracket in np.linspace(-0.9, 0.9, 6):
        canvas.rectangle(
            x + wide * bracket - 0.008,
            top + half * 0.12,
            x + wide * bracket + 0.008,
            top + half * 0.28,
            lighter(paint.wall, -0.3),
        )
    merlon = wide * 2 / 7
    for number in range(0, 7, 2):
        left = x - wide + number * merlon
        canvas.rectangle(left, top - half * 0.9, left + merlon, top - half * 0.48, paint.wall)


def _clock(canvas: Canvas, paint: Paint, x: float, top: float, half: float) -> None:
    _pyramid(canvas, paint, x, top, half * 1.15, half * 1.1)
    cornice(canvas, paint, x - half, x + half, top, 0.016)
    centre = (x, top + half * 1.05)
    canvas.disc(centre, half * 0.78, paint.dark)
    canvas.disc(centre, half * 0.66, (240, 234, 214), outlined=False)
    canvas.line([(x, centre[1] - half * 0.5), centre, (x + half * 0.36, centre[1] + half * 0.12)], (30, 26, 24), 0.009)


_TOPS = {"campanile": _campanile, "spire": _spire, "battlement": _battlement, "clock": _clock}
