"""Spacecraft and what flies or floats.

Local coordinates: centred on the origin, one unit across, unless it says otherwise.
"""

from __future__ import annotations

from math import cos, pi, sin

from sextant.demo.looks import Colour, times
from sextant.demo.pen import Pen

PANEL: Colour = (0.1, 0.16, 0.42)
FRAME: Colour = (0.75, 0.75, 0.78)
DARK: Colour = (0.1, 0.1, 0.13)
GOLD: Colour = (0.84, 0.62, 0.2)


def panel(pen: Pen, x: float, y: float, width: float, height: float) -> None:
    """A solar panel: dark blue cells in a light frame."""
    warm = (0.42, 0.24, 0.1) if pen.rng.random() < 0.2 else PANEL
    pen.box(x, y, width, height, warm)
    across, down = (5, 2) if width > height else (2, 5)
    for i in range(1, across):
        pen.line([(x + width * i / across, y), (x + width * i / across, y + height)], 0.008, FRAME)
    for i in range(1, down):
        pen.line([(x, y + height * i / down), (x + width, y + height * i / down)], 0.008, FRAME)
    if not pen.look.flat:
        pen.poly(
            [(x + width * 0.12, y), (x + width * 0.3, y), (x + width * 0.16, y + height), (x, y + height)],
            times(warm, 1.7),
            False,
        )


def station(pen: Pen, colour: Colour) -> None:
    """Modules on a truss with four pairs of solar wings."""
    for x in (-0.5, -0.3, 0.14, 0.34):
        panel(pen, x, -0.42, 0.15, 0.36)
        panel(pen, x, 0.06, 0.15, 0.36)
    pen.tube(-0.5, 0, 0.5, 0, 0.05, 0.05, FRAME)
    for i in range(12):
        pen.line([(-0.5 + i / 12, -0.024), (-0.46 + i / 12, 0.024)], 0.01, DARK)
    pen.tube(0, -0.3, 0, 0.34, 0.13, 0.13, colour)
    pen.tube(-0.13, 0.1, 0.13, 0.1, 0.1, 0.1, times(colour, 0.92))
    pen.tube(0, -0.4, 0, -0.3, 0.06, 0.12, times(colour, 0.8))
    pen.box(-0.2, 0.2, 0.14, 0.06, (0.92, 0.92, 0.9))
    for y in (-0.14, 0.22):
        pen.box(-0.064, y, 0.128, 0.02, times(colour, 0.6), False)
    pen.ellipse(0, 0.0, 0.025, 0.025, DARK, False)


def satellite(pen: Pen, colour: Colour) -> None:
    """A boxy body, two wings, a dish antenna."""
    panel(pen, -0.5, -0.11, 0.33, 0.22)
    panel(pen, 0.17, -0.11, 0.33, 0.22)
    pen.line([(-0.2, 0), (0.2, 0)], 0.025, FRAME)
    pen.box(-0.12, -0.17, 0.24, 0.34, GOLD if pen.rng.random() < 0.5 else colour)
    pen.poly([(-0.12, -0.17), (0.12, -0.17), (0.07, -0.22), (-0.08, -0.22)], times(colour, 0.8))
    pen.box(-0.08, -0.1, 0.07, 0.1, times(colour, 0.55), False)
    pen.line([(0, 0.17), (0, 0.27)], 0.02, FRAME)
    pen.ellipse(0, 0.3, 0.14, 0.06, (0.93, 0.93, 0.92))
    pen.ellipse(0, 0.31, 0.08, 0.03, (0.6, 0.6, 0.62), False)
    pen.line([(0, 0.3), (0, 0.42)], 0.014, DARK)


def capsule(pen: Pen, colour: Colour) -> None:
    """A cone with windows on a service module with an engine bell."""
    pen.tube(0, 0.4, 0, 0.5, 0.12, 0.24, (0.3, 0.3, 0.33))
    pen.tube(0, -0.06, 0, 0.4, 0.44, 0.44, times(colour, 0.93))
    for x in (-0.18, 0.12):
        pen.box(x, 0.1, 0.06, 0.14, times(colour, 0.55), False)
    pen.box(-0.22, 0.3, 0.44, 0.03, DARK, False)
    pen.tube(0, -0.38, 0, -0.06, 0.15, 0.46, colour)
    pen.tube(0, -0.5, 0, -0.38, 0.08, 0.12, (0.5, 0.5, 0.52))
    pen.poly([(-0.06, -0.13), (0.08, -0.13), (0.06, -0.27), (-0.04, -0.27)], times(colour, 0.7))
    pen.poly([(-0.03, -0.19), (0.055, -0.19), (0.045, -0.25), (-0.02, -0.25)], DARK, False)
    pen.box(-0.16, -0.15, 0.05, 0.06, (0.75, 0.2, 0.15), False)
    pen.box(-0.235, -0.075, 0.47, 0.03, times(colour, 0.5), False)


def shuttle(pen: Pen, colour: Colour) -> None:
    """A winged orbiter seen from above, its bay open."""
    pen.poly([(0, -0.1), (0.42, 0.34), (0.42, 0.42), (-0.42, 0.42), (-0.42, 0.34)], times(colour, 0.85))
    pen.poly([(0.1, 0.16), (0.42, 0.36), (0.42, 0.42), (0.1, 0.42)], DARK, False)
    pen.tube(0, -0.3, 0, 0.44, 0.22, 0.24, colour)
    pen.ellipse(0, -0.32, 0.11, 0.17, colour)
    pen.ellipse(0, -0.46, 0.05, 0.04, DARK, False)
    pen.poly([(-0.07, -0.33), (0.07, -0.33), (0.055, -0.28), (-0.055, -0.28)], DARK)
    pen.box(-0.08, -0.18, 0.16, 0.4, (0.42, 0.44, 0.46))
    for y in (-0.12, 0.0, 0.12):
        pen.box(-0.05, y, 0.1, 0.06, GOLD, False)
    for x in (-0.07, 0.07):
        pen.tube(x, 0.42, x, 0.5, 0.07, 0.11, (0.3, 0.3, 0.32))
    pen.tube(0, 0.28, 0, 0.46, 0.03, 0.05, times(colour, 0.7))


def lander(pen: Pen, colour: Colour) -> None:
    """A lunar lander standing on y = 0, one unit high."""
    for side in (-1, 1):
        pen.line([(side * 0.2, -0.34), (side * 0.42, -0.03)], 0.035, GOLD)
        pen.line([(side * 0.14, -0.2), (side * 0.42, -0.03)], 0.02, FRAME)
        pen.ellipse(side * 0.42, -0.02, 0.08, 0.025, FRAME)
    pen.tube(0, -0.2, 0, -0.08, 0.12, 0.22, (0.3, 0.3, 0.32))
    pen.poly(
        [
            (-0.3, -0.46),
            (0.3, -0.46),
            (0.33, -0.4),
            (0.33, -0.24),
            (0.28, -0.18),
            (-0.28, -0.18),
            (-0.33, -0.24),
            (-0.33, -0.4),
        ],
        GOLD,
    )
    for x in (-0.2, 0.0, 0.18):
        pen.poly(
            [(x - 0.06, -0.46), (x + 0.03, -0.46), (x + 0.05, -0.18), (x - 0.03, -0.18)],
            times(GOLD, 0.72 if x else 1.2),
            False,
        )
    pen.poly(
        [
            (-0.2, -0.9),
            (0.16, -0.92),
            (0.27, -0.76),
            (0.27, -0.54),
            (0.17, -0.46),
            (-0.2, -0.46),
            (-0.28, -0.58),
            (-0.28, -0.76),
        ],
        colour,
    )
    pen.poly([(0.16, -0.92), (0.27, -0.76), (0.27, -0.54), (0.17, -0.46)], times(colour, 0.66))
    for x in (-0.13, 0.08):
        pen.poly([(x - 0.06, -0.8), (x + 0.06, -0.8), (x, -0.68)], DARK)
    pen.box(-0.08, -0.63, 0.14, 0.15, times(colour, 0.5))
    pen.line([(0.05, -0.9), (0.05, -1.0)], 0.015, FRAME)
    pen.ellipse(-0.12, -0.96, 0.08, 0.04, FRAME)
    pen.line([(-0.12, -0.94), (-0.12, -0.9)], 0.02, FRAME)
    for y in (-0.36, -0.28, -0.2, -0.12):
        pen.line([(-0.07, y), (0.07, y)], 0.018, FRAME)


def flying_lander(pen: Pen, colour: Colour) -> None:
    """The same, centred."""
    lander(pen.at(0, 0.5), colour)


def rocket(pen: Pen, colour: Colour, boosters: int) -> None:
    """A rocket standing on y = 0, one unit high, with up to two side boosters."""
    accent: Colour = ((0.8, 0.16, 0.12), (0.1, 0.1, 0.12), (0.14, 0.3, 0.7))[int(pen.rng.integers(3))]
    if boosters:
        for side in (-1, 1):
            pen.tube(side * 0.12, -0.5, side * 0.12, -0.02, 0.075, 0.085, (0.9, 0.9, 0.88))
            pen.poly([(side * 0.12 - 0.038, -0.5), (side * 0.12, -0.6), (side * 0.12 + 0.038, -0.5)], accent)
    for side in (-1, 1):
        pen.poly([(side * 0.06, -0.16), (side * 0.15, 0.0), (side * 0.06, -0.02)], accent)
    pen.tube(0, 0.0, 0, -0.06, 0.14, 0.1, (0.25, 0.25, 0.28))
    pen.tube(0, -0.62, 0, -0.03, 0.155, 0.155, colour)
    pen.tube(0, -0.8, 0, -0.62, 0.115, 0.13, times(colour, 0.96))
    pen.poly([(-0.058, -0.8), (-0.04, -0.88), (0, -0.93), (0.04, -0.88), (0.058, -0.8)], accent)
    pen.line([(0, -0.92), (0, -1.0)], 0.014, accent)
    pen.box(-0.078, -0.62, 0.156, 0.045, (0.1, 0.1, 0.12), False)
    pen.box(-0.078, -0.3, 0.156, 0.025, accent, False)
    if boosters > 1:
        pen.box(-0.045, -0.26, 0.05, 0.14, (0.1, 0.1, 0.12), False)


def floating_capsule(pen: Pen, colour: Colour) -> None:
    """A capsule in the water with its orange collar; y = 0 is the water line."""
    pen.ellipse(0, 0.02, 0.5, 0.09, (0.85, 0.92, 0.95), False)
    pen.tube(0, -0.62, 0, 0.0, 0.2, 0.78, colour)
    pen.tube(0, -0.66, 0, -0.6, 0.15, 0.19, (0.45, 0.45, 0.47))
    pen.poly([(-0.1, -0.2), (0.12, -0.2), (0.09, -0.44), (-0.07, -0.44)], times(colour, 0.7))
    pen.poly([(-0.05, -0.3), (0.08, -0.3), (0.065, -0.4), (-0.035, -0.4)], DARK, False)
    pen.box(-0.26, -0.24, 0.09, 0.1, (0.16, 0.3, 0.7), False)
    pen.ellipse(0, 0.01, 0.46, 0.075, (0.95, 0.48, 0.1))
    pen.ellipse(0, -0.03, 0.38, 0.045, times(colour, 0.7), False)
    for x, y in ((-0.1, -0.78), (0.05, -0.84), (0.17, -0.76)):
        pen.line([(0, -0.64), (x, y)], 0.012, FRAME)
        pen.ball(x, y, 0.09, (0.95, 0.85, 0.3))


def chutes(pen: Pen, colour: Colour, count: int) -> None:
    """A capsule under one to three parachutes, centred."""
    spread = {1: (0.0,), 2: (-0.2, 0.2), 3: (-0.29, 0.29, 0.0)}[count]
    radius = 0.27 if count == 1 else 0.2
    for x in spread:
        y = -0.28 - (0.04 if x == 0 and count > 1 else 0)
        pen.line([(x - radius * 0.95, y), (0, 0.28)], 0.006, (0.2, 0.2, 0.2))
        pen.line([(x + radius * 0.95, y), (0, 0.28)], 0.006, (0.2, 0.2, 0.2))
        pen.line([(x, y), (0, 0.28)], 0.006, (0.2, 0.2, 0.2))
        for i in range(8):
            a0, a1 = pi + pi * i / 8, pi + pi * (i + 1) / 8
            points = [(x, y - radius * 0.92)] + [
                (x + radius * cos(a), y + radius * 0.92 * sin(a)) for a in (a0, (a0 + a1) / 2, a1)
            ]
            points.append((x + radius * 0.55 * cos((a0 + a1) / 2), y + 0.03))
            tone = colour if i % 2 else (0.93, 0.93, 0.9)
            pen.poly(points, times(tone, 1.0 if pen.look.flat else 0.75 + 0.3 * sin(pi * (i + 0.5) / 8)))
    pen.tube(0, 0.24, 0, 0.42, 0.08, 0.26, (0.82, 0.82, 0.8))
    pen.ellipse(0, 0.425, 0.13, 0.025, (0.3, 0.25, 0.22))


def flag(pen: Pen, colour: Colour, pole: bool) -> None:
    """A striped flag: on a pole standing on y = 0, or hanging, centred."""
    if pole:
        pen.line([(-0.3, 0), (-0.3, -1.0)], 0.035, FRAME)
        pen = pen.at(0.08, -0.76, 1.0)
    kind = int(pen.rng.integers(3))
    second: Colour = (0.95, 0.95, 0.93)
    wave = [(-0.38 + 0.76 * i / 6, 0.025 * sin(i * 1.3)) for i in range(7)]

    def band(low: float, high: float, tone: Colour, outline: bool) -> None:
        pen.poly([(x, y + low) for x, y in wave] + [(x, y + high) for x, y in reversed(wave)], tone, outline)

    band(-0.25, 0.25, second, True)
    if kind == 0:
        for i in range(0, 5, 2):
            band(-0.25 + i * 0.1, -0.15 + i * 0.1, colour, False)
        pen.poly([(-0.38, -0.25), (-0.06, -0.24), (-0.06, 0.04), (-0.38, 0.03)], (0.12, 0.18, 0.5), False)
    elif kind == 1:
        band(-0.25, -0.083, colour, False)
        band(0.083, 0.25, times(colour, 0.45), False)
    else:
        band(-0.25, 0.25, colour, False)
        pen.ellipse(0, 0, 0.14, 0.14, second, False)
