"""What stands on the ground: rover, truck, ship, habitat, solar array, launch pad.

y = 0 is the ground; each is one unit wide or high.
"""

from __future__ import annotations

from math import cos, pi, sin

from sextant.demo.craft import DARK, FRAME, GOLD, panel
from sextant.demo.looks import Colour, times
from sextant.demo.pen import Pen


def _wheel(pen: Pen, x: float, r: float) -> None:
    pen.ellipse(x, -r, r, r, (0.16, 0.16, 0.18))
    pen.ellipse(x, -r, r * 0.55, r * 0.55, (0.6, 0.6, 0.62), False)
    pen.ellipse(x, -r, r * 0.2, r * 0.2, DARK, False)


def rover(pen: Pen, colour: Colour) -> None:
    """An open rover with a dish, seats and big wheels."""
    pen.box(-0.46, -0.28, 0.92, 0.07, times(colour, 0.85))
    pen.box(-0.42, -0.34, 0.3, 0.06, GOLD)
    for x in (-0.06, 0.14):
        pen.box(x, -0.36, 0.15, 0.06, colour)
        pen.poly([(x, -0.36), (x - 0.05, -0.56), (x, -0.56), (x + 0.04, -0.36)], colour)
    pen.line([(0.36, -0.28), (0.36, -0.66)], 0.025, FRAME)
    pen.ellipse(0.36, -0.7, 0.15, 0.1, (0.94, 0.94, 0.92))
    pen.ellipse(0.36, -0.69, 0.08, 0.05, (0.66, 0.66, 0.68), False)
    pen.line([(0.28, -0.3), (0.3, -0.44)], 0.02, FRAME)
    for x in (-0.34, 0.34) if pen.rng.random() < 0.6 else (-0.36, 0.0, 0.36):
        _wheel(pen, x, 0.135)


def truck(pen: Pen, colour: Colour) -> None:
    """A lorry with a closed box or a tank."""
    pen.box(-0.48, -0.16, 0.96, 0.05, DARK)
    if pen.rng.random() < 0.5:
        pen.box(-0.48, -0.5, 0.62, 0.35, colour)
        pen.box(-0.48, -0.34, 0.62, 0.04, times(colour, 0.6), False)
    else:
        pen.tube(-0.48, -0.33, 0.14, -0.33, 0.3, 0.3, (0.85, 0.85, 0.86))
    pen.poly([(0.18, -0.14), (0.18, -0.44), (0.36, -0.44), (0.46, -0.28), (0.48, -0.14)], times(colour, 0.92))
    pen.poly([(0.26, -0.4), (0.35, -0.4), (0.42, -0.28), (0.26, -0.28)], (0.5, 0.68, 0.8))
    for x in (-0.34, -0.12, 0.33):
        _wheel(pen, x, 0.095)


def ship(pen: Pen, colour: Colour) -> None:
    """A recovery ship; y = 0 is the water line."""
    pen.poly([(-0.5, -0.16), (0.5, -0.2), (0.42, 0.0), (-0.42, 0.0)], times(colour, 0.75))
    pen.poly([(-0.47, -0.06), (0.45, -0.06), (0.42, 0.0), (-0.42, 0.0)], (0.55, 0.14, 0.12), False)
    pen.box(-0.22, -0.34, 0.36, 0.17, colour)
    pen.box(-0.12, -0.46, 0.2, 0.12, times(colour, 0.95))
    for i in range(4):
        pen.box(-0.1 + i * 0.045, -0.43, 0.03, 0.04, DARK, False)
    pen.line([(-0.02, -0.46), (-0.02, -0.7)], 0.02, FRAME)
    pen.line([(-0.08, -0.6), (0.04, -0.6)], 0.014, FRAME)
    pen.line([(0.3, -0.18), (0.22, -0.42)], 0.02, times(colour, 0.6))
    pen.ellipse(0, 0.01, 0.5, 0.022, (0.9, 0.95, 0.97), False)


def habitat(pen: Pen, colour: Colour) -> None:
    """A dome with a lit door and windows, joined to a lying cylinder."""
    wide = pen.rng.random() < 0.6
    if wide:
        pen.tube(0.0, -0.17, 0.46, -0.17, 0.3, 0.3, times(colour, 0.9))
        pen.ellipse(0.46, -0.17, 0.045, 0.15, times(colour, 0.7))
        for x in (0.2, 0.33):
            pen.ellipse(x, -0.2, 0.035, 0.04, (1.0, 0.88, 0.5))
    x, r = (-0.14, 0.36) if wide else (0.0, 0.46)
    sides = 5 if pen.look.facets else 16
    pen.poly(
        [(x + r * cos(pi + pi * i / sides), r * 1.02 * sin(pi + pi * i / sides)) for i in range(sides + 1)], colour
    )
    if not pen.look.flat and not pen.look.facets:
        for step in range(1, 5):
            q = r * (1 - 0.17 * step)
            lean = -0.25 * (r - q)
            pen.poly(
                [(x + lean + q * cos(pi + pi * i / 12), q * sin(pi + pi * i / 12)) for i in range(13)],
                times(colour, 0.72 + 0.09 * step),
                False,
            )
    for share in (-0.55, 0.55):
        pen.line([(x + share * r, -0.8 * r), (x + share * r * 1.25, 0)], 0.012, times(colour, 0.6))
    pen.box(x - 0.09, -0.2, 0.18, 0.2, times(colour, 0.5))
    pen.box(x - 0.055, -0.16, 0.11, 0.16, (1.0, 0.86, 0.45), False)
    for share in (-0.5, 0.5):
        pen.ellipse(x + share * r, -0.36 * r, 0.045, 0.045, (1.0, 0.88, 0.5))
    pen.line([(x, -r), (x, -r - 0.13)], 0.016, FRAME)
    pen.ellipse(x, -r - 0.14, 0.05, 0.03, FRAME)


def solar_array(pen: Pen, _: Colour) -> None:
    """A tilted solar panel on a mast."""
    pen.line([(0, 0), (0, -0.5)], 0.04, FRAME)
    pen.line([(-0.18, 0), (0, -0.2), (0.18, 0)], 0.025, FRAME)
    tilted = pen.at(0, -0.58, 1.0, -0.2)
    panel(tilted, -0.5, -0.22, 1.0, 0.44)


def pad(pen: Pen, mirror: bool) -> None:
    """A gantry beside the middle and a platform under it; one unit high."""
    steel: Colour = ((0.62, 0.2, 0.14), (0.5, 0.52, 0.55), (0.36, 0.38, 0.42))[int(pen.rng.integers(3))]
    side = -1.0 if mirror else 1.0
    pen.poly([(-0.52, 0.0), (-0.42, -0.09), (0.42, -0.09), (0.52, 0.0)], (0.62, 0.62, 0.6))
    pen.box(-0.4, -0.13, 0.8, 0.05, (0.42, 0.42, 0.44))
    x0, x1 = side * 0.17, side * 0.33
    for x in (x0, x1):
        pen.tube(x, -0.95, x, -0.12, 0.03, 0.03, steel)
    floors = 9
    for i in range(floors):
        y0, y1 = -0.12 - 0.83 * i / floors, -0.12 - 0.83 * (i + 1) / floors
        pen.line([(x0, y1), (x1, y1)], 0.016, steel)
        pen.line([(x0, y0), (x1, y1)] if i % 2 else [(x1, y0), (x0, y1)], 0.012, times(steel, 0.8))
    for y in (-0.8, -0.5):
        pen.tube(side * 0.06, y, x0, y, 0.03, 0.035, times(steel, 1.1))
    pen.line([((x0 + x1) / 2, -0.95), ((x0 + x1) / 2, -1.1)], 0.014, FRAME)
    pen.tube(-side * 0.38, -0.62, -side * 0.38, -0.12, 0.025, 0.04, (0.7, 0.7, 0.72))
    pen.ball(-side * 0.38, -0.62, 0.075, (0.9, 0.9, 0.9))
