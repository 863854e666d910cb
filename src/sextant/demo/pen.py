"""A pen that draws shapes in a style: shaded, flat and outlined, or folded from facets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import atan2, cos, hypot, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from sextant.demo.canvas import Frame
from sextant.demo.looks import Colour, Look, mix, times

Point = tuple[float, float]
OVERSAMPLING = 2


def bytes_of(colour: Colour) -> tuple[int, int, int]:
    """0..1 floats to 0..255 whole numbers."""
    red, green, blue = (min(max(int(part * 255 + 0.5), 0), 255) for part in colour)
    return (red, green, blue)


class Pen:
    """Shapes in local coordinates, whose origin, unit and turn are set by `at`; y points down."""

    def __init__(self, picture: Image.Image, frame: Frame, look: Look, light: float, bright: float = 1.0) -> None:
        self.picture, self.frame, self.look, self.light, self.bright = picture, frame, look, light, bright
        self.draw = ImageDraw.Draw(picture)
        self.k = frame.scale * OVERSAMPLING
        self.a, self.b, self.c, self.d = self.k, 0.0, 0.0, self.k
        self.e, self.f = -frame.left * self.k, -frame.top * self.k
        self.unit = 1.0
        self.rng = np.random.default_rng(0)

    def at(
        self, x: float, y: float, size: float = 1.0, turn: float = 0.0, mirror: bool = False, seed: int | None = None
    ) -> Pen:
        """The same pen with its origin at (x, y), `size` as its unit, turned clockwise by `turn` radians."""
        pen = object.__new__(type(self))
        pen.__dict__.update(self.__dict__)
        pen.e, pen.f = self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f
        cs, sn, flip = cos(turn) * size, sin(turn) * size, -1.0 if mirror else 1.0
        pen.a, pen.b = (self.a * cs + self.c * sn) * flip, (self.b * cs + self.d * sn) * flip
        pen.c, pen.d = self.c * cs - self.a * sn, self.d * cs - self.b * sn
        pen.unit = self.unit * size
        if seed is not None:
            pen.rng = np.random.default_rng([seed, 20])
        return pen

    def px(self, points: Sequence[Point]) -> list[Point]:
        """Local points to pixels of the oversampled picture."""
        return [(self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f) for x, y in points]

    @property
    def edge(self) -> int:
        """Outline width in pixels of the oversampled picture; 0 for looks without."""
        return max(1, round(self.look.outline * self.k)) if self.look.outline else 0

    def _fill(self, colour: Colour) -> tuple[int, int, int]:
        if self.look.pale:
            colour = mix(colour, (0.97, 0.95, 0.9), self.look.pale)
        return bytes_of(times(colour, self.bright))

    def raw(self, points: Sequence[Point], colour: Colour, outline: bool = True) -> None:
        """A polygon given in pixels."""
        self.draw.polygon(points, fill=self._fill(colour))
        if outline and self.edge:
            self.draw.line(
                [*points, points[0], points[1]], fill=bytes_of(self.look.ink), width=self.edge, joint="curve"
            )

    def poly(self, points: Sequence[Point], colour: Colour, outline: bool = True) -> None:
        """A filled polygon."""
        pixels = self.px(points)
        if not self.look.facets or len(points) < 3:
            self.raw(pixels, colour, outline)
            return
        cx, cy = sum(p[0] for p in pixels) / len(pixels), sum(p[1] for p in pixels) / len(pixels)
        self.raw(pixels, colour, outline)
        for (x0, y0), (x1, y1) in zip(pixels, [*pixels[1:], pixels[0]], strict=True):
            tone = 0.9 + 0.22 * cos(atan2((y0 + y1) / 2 - cy, (x0 + x1) / 2 - cx) - self.light)
            self.draw.polygon([(x0, y0), (x1, y1), (cx, cy)], fill=self._fill(times(colour, tone)))

    def box(self, x: float, y: float, width: float, height: float, colour: Colour, outline: bool = True) -> None:
        """A rectangle by its upper left corner."""
        self.poly([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], colour, outline)

    def round(self, x: float, y: float, rx: float, ry: float, sides: int = 28) -> list[Point]:
        """The corners of an ellipse; low-poly looks cut it to six or seven."""
        turn = 0.0
        if self.look.facets:
            sides, turn = 7, 0.35
        return [
            (x + rx * cos(turn + 2 * pi * i / sides), y + ry * sin(turn + 2 * pi * i / sides)) for i in range(sides)
        ]

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, outline: bool = True) -> None:
        """A filled ellipse."""
        self.poly(self.round(x, y, rx, ry), colour, outline)

    def shadow(self, half: float) -> None:
        """A contact shadow around the origin: the ground there, darker."""
        x, y = self.px([(0, 0)])[0]
        width, height = self.picture.size
        red, green, blue = self.picture.getpixel((min(max(int(x), 0), width - 1), min(max(int(y) + 2, 0), height - 1)))  # type: ignore[misc]
        side = 0.25 * half if self._lx < 0 else -0.25 * half
        points = self.px(self.round(side, 0.0, half, 0.13 * half))
        self.draw.polygon(points, fill=(int(red * 0.42), int(green * 0.42), int(blue * 0.45)))

    def ball(self, x: float, y: float, r: float, colour: Colour, ry: float | None = None) -> None:
        """A sphere or egg, lit from the pen's light."""
        ry = r if ry is None else ry
        if self.look.flat or self.look.facets:
            self.ellipse(x, y, r, ry, colour)
            if self.look.bands and not self.look.facets:
                self.ellipse(
                    x + 0.22 * r * self._lx, y + 0.22 * ry * self._ly, r * 0.62, ry * 0.62, times(colour, 1.13), False
                )
            return
        for step in range(6):
            share = step / 5
            self.ellipse(
                x + 0.4 * r * share * self._lx,
                y + 0.4 * ry * share * self._ly,
                r * (1 - 0.78 * share),
                ry * (1 - 0.78 * share),
                times(colour, 0.5 + 0.62 * share),
                False,
            )

    @property
    def _lx(self) -> float:
        return (cos(self.light) * self.a + sin(self.light) * self.b) / max(hypot(self.a, self.b), 1e-9)

    @property
    def _ly(self) -> float:
        return (cos(self.light) * self.c + sin(self.light) * self.d) / max(hypot(self.c, self.d), 1e-9)

    def tube(self, x0: float, y0: float, x1: float, y1: float, w0: float, w1: float, colour: Colour) -> None:
        """A limb or tank from one point to another, `w0` and `w1` wide at its ends, shaded across."""
        length = max(hypot(x1 - x0, y1 - y0), 1e-9)
        nx, ny = -(y1 - y0) / length, (x1 - x0) / length

        def strip(low: float, high: float) -> list[Point]:
            return [
                (x0 + nx * w0 * low / 2, y0 + ny * w0 * low / 2),
                (x1 + nx * w1 * low / 2, y1 + ny * w1 * low / 2),
                (x1 + nx * w1 * high / 2, y1 + ny * w1 * high / 2),
                (x0 + nx * w0 * high / 2, y0 + ny * w0 * high / 2),
            ]

        side = 1.0 if nx * self._lx + ny * self._ly >= 0 else -1.0
        if self.look.facets:
            self.raw(self.px(strip(-1, 1)), times(colour, 0.72))
            self.raw(self.px(strip(0.1 * side, side)), times(colour, 1.1), False)
        elif self.look.flat:
            self.raw(self.px(strip(-1, 1)), colour)
            self.raw(self.px(strip(-0.85 * side, -0.35 * side)), times(colour, 0.78), False)
        else:
            cuts = (-1.0, -0.72, -0.4, 0.0, 0.35, 0.62, 0.84, 1.0)
            tones = (0.4, 0.55, 0.72, 0.9, 1.08, 1.0, 0.86)
            for low, high, tone in zip(cuts, cuts[1:], tones, strict=False):
                self.raw(self.px(strip(low * side, high * side)), times(colour, tone), False)

    def limb(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A jointed arm or leg."""
        for (x0, y0), (x1, y1) in pairwise(points):
            self.tube(x0, y0, x1, y1, width, width * 0.92, colour)
        for x, y in points[1:-1]:
            self.ellipse(x, y, width * 0.48, width * 0.48, times(colour, 0.85), False)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A stroke, `width` in local units."""
        self.draw.line(
            self.px(points), fill=self._fill(colour), width=max(1, round(width * self.unit * self.k)), joint="curve"
        )
