"""Turns outlines in picture units into pixels: a supersampled canvas with one perspective, and the colours of a day.

Knows nothing about architecture: `facade_parts` draws buildings with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

_SUPERSAMPLING = 2
_NOISE_SIDE = 512


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0 to 1) of `second` in it."""
    r, g, b = (round(a + (c - a) * share) for a, c in zip(first, second, strict=True))
    return r, g, b


def lighter(colour: Colour, share: float) -> Colour:
    """Towards white for a positive share, towards black for a negative one."""
    return mix(colour, (255, 255, 255), share) if share >= 0 else mix(colour, (10, 10, 16), -share)


def arc(centre: Point, radii: Point, start: float, end: float, steps: int = 14) -> list[Point]:
    """Points on an ellipse; angles in turns, 0 to the right, counted through the top of the picture."""
    (cx, cy), (rx, ry) = centre, radii
    angles = (2 * pi * (start + (end - start) * i / steps) for i in range(steps + 1))
    return [(cx + rx * cos(a), cy - ry * sin(a)) for a in angles]


@dataclass(frozen=True, slots=True)
class View:
    """Where the picture is taken from: zoom, shift, and how much the far side shrinks (0: straight on)."""

    zoom: float = 1.0
    shift: Point = (0.0, 0.0)
    turn: float = 0.0
    lean: float = 0.0

    def place(self, point: Point) -> Point:
        """A point of the façade (0 to 1, y down, ground at 0.9) to a point of the picture."""
        x, y = (point[0] - 0.5) * self.zoom, (point[1] - 0.9) * self.zoom
        # Far things shrink towards the eye's height, which lies a little above the ground.
        depth = 1 + self.turn * x
        eye = -0.08
        x = x * (1 - 0.25 * abs(self.turn)) * (1 + self.lean * y)
        return 0.5 + self.shift[0] + x, 0.9 + self.shift[1] + eye + (y - eye) * depth


class Canvas:
    """A square picture being drawn, in units of its side, twice as fine as it will be."""

    def __init__(self, size: int, view: View, ink: Colour | None) -> None:
        self.size = size
        self.view = view
        self.ink = ink
        self.side = size * _SUPERSAMPLING
        self.image = Image.new("RGB", (self.side, self.side))
        self._pen = ImageDraw.Draw(self.image)

    def _pixels(self, points: Iterable[Point], flat: bool) -> list[Point]:
        place = (lambda p: p) if flat else self.view.place
        return [(x * self.side, y * self.side) for x, y in map(place, points)]

    def polygon(self, points: Sequence[Point], fill: Colour, *, outlined: bool = True, flat: bool = False) -> None:
        """A filled outline; `flat` leaves the perspective out (sky, trees in front)."""
        pixels = self._pixels(points, flat)
        self._pen.polygon(pixels, fill=fill)
        if self.ink is not None and outlined:
            self._pen.line([*pixels, pixels[0]], fill=self.ink, width=max(1, self.side // 256))

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: Colour, **how: bool) -> None:
        """An upright rectangle of the façade."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill, **how)

    def disc(self, centre: Point, radius: float, fill: Colour, **how: bool) -> None:
        """A circle, as a polygon so that the perspective holds."""
        self.polygon(arc(centre, (radius, radius), 0, 1, 18), fill, **how)

    def line(self, points: Sequence[Point], fill: Colour, width: float, *, flat: bool = False) -> None:
        """A stroke; `width` in units of the picture's side."""
        self._pen.line(self._pixels(points, flat), fill=fill, width=max(1, round(width * self.side)), joint="curve")

    def blob(self, centre: Point, radii: Point, fill: Colour) -> None:
        """An ellipse in front of or behind everything, without perspective and never outlined: leaves, clouds."""
        (x, y), (rx, ry) = centre, radii
        box = ((x - rx) * self.side, (y - ry) * self.side, (x + rx) * self.side, (y + ry) * self.side)
        self._pen.ellipse(box, fill=fill)

    def gradient(self, top: Colour, bottom: Colour, bottom_at: float) -> None:
        """The sky: `top` at the upper edge, `bottom` from `bottom_at` down."""
        ramp = np.clip(np.linspace(0, 1, 64) / bottom_at, 0, 1)[:, None, None]
        rows = np.array(top) * (1 - ramp) + np.array(bottom) * ramp
        strip = Image.fromarray(rows.astype(np.uint8)).resize((1, self.side), Image.Resampling.BILINEAR)
        self.image.paste(strip.resize((self.side, self.side)))

    def pixels(self) -> NDArray[np.uint8]:
        """The picture at its own size, (size, size, 3)."""
        return np.asarray(self.image.reduce(_SUPERSAMPLING))


@lru_cache(maxsize=1)
def _grain() -> NDArray[np.int16]:
    """A fixed sheet of normal noise with standard deviation 32, cut anew for every picture: 10 times faster."""
    sheet = np.random.default_rng(20_250).normal(0, 32, (_NOISE_SIDE, _NOISE_SIDE, 3))
    return sheet.astype(np.int16)


def add_grain(pixels: NDArray[np.uint8], rng: np.random.Generator, strength: float) -> NDArray[np.uint8]:
    """Noise of about `strength` grey levels, the same for the same state of `rng`."""
    side = pixels.shape[0]
    if strength <= 0:
        return pixels
    reach = max(1, _NOISE_SIDE - side + 1)
    row, column = rng.integers(0, reach, 2)
    cut = _grain()[row : row + side, column : column + side]
    if cut.shape[0] < side:  # larger pictures repeat the sheet
        repeats = -(-side // _NOISE_SIDE)
        cut = np.tile(_grain(), (repeats, repeats, 1))[:side, :side]
    factor = np.int16(max(1, round(strength * 8)))
    return np.clip(pixels + ((cut * factor) >> 8), 0, 255).astype(np.uint8)


def relight(pixels: NDArray[np.uint8], rng: np.random.Generator, gain: float, tint: Point) -> NDArray[np.uint8]:
    """Exposure `gain`, a (red, blue) `tint`, light falling off to one side."""
    side = pixels.shape[0]
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    slope_x, slope_y = rng.uniform(-0.14, 0.14, 2).astype(np.float32)
    field = np.float32(gain) * (1 + slope_x * ramp[None, :] + slope_y * ramp[:, None])
    shades = np.array([1 + tint[0], 1.0, 1 + tint[1]], dtype=np.float32)
    lit: NDArray[np.float32] = pixels * (field[:, :, None] * shades)
    return np.clip(lit, 0, 255).astype(np.uint8)
