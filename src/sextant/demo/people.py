"""Astronauts in suits, crews in coveralls, selfies and hands."""

from __future__ import annotations

from math import cos, pi, sin

from sextant.demo.looks import SKINS, Colour, mix, times
from sextant.demo.pen import Pen

VISOR: Colour = (0.78, 0.58, 0.18)
HAIR: tuple[Colour, ...] = (
    (0.1, 0.07, 0.05),
    (0.3, 0.18, 0.08),
    (0.66, 0.48, 0.2),
    (0.5, 0.5, 0.5),
    (0.42, 0.16, 0.06),
)


def helmet(pen: Pen, x: float, y: float, r: float, colour: Colour) -> None:
    """A white helmet with a gleaming visor."""
    gold = pen.rng.random() < 0.6
    pen.ball(x, y, r, colour)
    glass: Colour = VISOR if gold else (0.12, 0.14, 0.2)
    pen.ellipse(x, y + 0.06 * r, r * 0.72, r * 0.6, glass)
    pen.ellipse(x - 0.24 * r, y - 0.16 * r, r * 0.26, r * 0.16, mix(glass, (1, 1, 1), 0.65), False)


def astronaut(pen: Pen, colour: Colour, floating: bool) -> None:
    """A suited astronaut, one unit high, centred (floating) or standing on y = 0."""
    if not floating:
        pen = pen.at(0, -0.5)
    draw = pen.rng.random
    stripe: Colour = ((0.8, 0.1, 0.1), (0.1, 0.2, 0.6), (0.5, 0.5, 0.5))[int(pen.rng.integers(3))]
    spread = 0.06 + 0.1 * draw() if floating else 0.05
    pen.box(-0.17, -0.27, 0.34, 0.36, times(colour, 0.72))
    for side in (-1, 1):
        bend = (0.1 * draw() if floating else 0.03 * draw()) * side
        pen.limb(
            [(side * 0.075, 0.08), (side * (0.09 + spread) + bend, 0.28), (side * (0.085 + spread), 0.46)], 0.14, colour
        )
        pen.ellipse(side * (0.095 + spread), 0.47, 0.085, 0.04, times(colour, 0.62))
    for side in (-1, 1):
        lift = 0.34 * draw() if floating else 0.1 + 0.12 * draw()
        elbow, wrist = (side * 0.24, -0.02 - lift * 0.4), (side * (0.28 + 0.06 * draw()), 0.1 - lift)
        pen.limb([(side * 0.14, -0.16), elbow, wrist], 0.11, colour)
        pen.ball(wrist[0], wrist[1], 0.06, times(colour, 0.6))
        pen.ellipse(elbow[0], elbow[1], 0.058, 0.03, stripe, False)
    pen.tube(0, -0.22, 0, 0.13, 0.33, 0.27, colour)
    pen.box(-0.09, -0.13, 0.18, 0.13, (0.62, 0.64, 0.68))
    pen.box(-0.07, -0.11, 0.05, 0.04, stripe, False)
    pen.box(0.01, -0.11, 0.05, 0.03, (0.16, 0.17, 0.2), False)
    pen.ellipse(0.05, -0.04, 0.02, 0.02, (0.9, 0.75, 0.2), False)
    helmet(pen, 0, -0.34, 0.155, colour)


def _face(pen: Pen, x: float, y: float, r: float, skin: Colour) -> None:
    hair = HAIR[int(pen.rng.integers(len(HAIR)))]
    long = pen.rng.random() < 0.4
    pen.ellipse(x, y - 0.18 * r, r * 1.06, r * 0.98, hair)
    if long:
        for side in (-1, 1):
            pen.tube(x + side * r * 0.82, y - 0.2 * r, x + side * r * 0.98, y + 1.25 * r, r * 0.5, r * 0.62, hair)
    for side in (-1, 1):
        pen.ellipse(x + side * r * 0.92, y + 0.1 * r, r * 0.14, r * 0.22, times(skin, 0.85), False)
    pen.ball(x, y + 0.1 * r, r * 0.92, skin, r * 1.08)
    pen.poly(
        [(x + r * 0.95 * cos(a), y - 0.15 * r + r * 0.95 * sin(a)) for a in (pi + pi * i / 10 for i in range(11))],
        hair,
        False,
    )
    for side in (-1, 1):
        pen.ellipse(x + side * r * 0.36, y + 0.02 * r, r * 0.14, r * 0.11, (0.96, 0.96, 0.95), False)
        pen.ellipse(x + side * r * 0.36, y + 0.02 * r, r * 0.075, r * 0.09, (0.1, 0.1, 0.14), False)
    pen.line([(x, y + 0.1 * r), (x + 0.05 * r, y + 0.34 * r)], 0.05 * r, times(skin, 0.7))
    smile = [(x + r * 0.36 * cos(a), y + 0.46 * r + r * 0.24 * sin(a)) for a in (pi * i / 6 for i in range(7))]
    pen.poly(smile, (0.96, 0.95, 0.93) if pen.rng.random() < 0.6 else (0.62, 0.22, 0.2))


def person(pen: Pen, x: float, y: float, r: float, colour: Colour) -> None:
    """Head and shoulders in a coverall; (x, y) is the middle of the face, r its radius."""
    skin = SKINS[int(pen.rng.integers(len(SKINS)))]
    wide = 1.9 * r
    shoulders = [
        (x - wide, y + 3.6 * r),
        (x - wide, y + 2.0 * r),
        (x - wide * 0.72, y + 1.5 * r),
        (x - 0.4 * r, y + 1.25 * r),
        (x + 0.4 * r, y + 1.25 * r),
        (x + wide * 0.72, y + 1.5 * r),
        (x + wide, y + 2.0 * r),
        (x + wide, y + 3.6 * r),
    ]
    pen.poly(shoulders, colour)
    pen.poly(
        [
            (x + 0.5 * wide, y + 1.4 * r),
            (x + wide, y + 2.0 * r),
            (x + wide, y + 3.6 * r),
            (x + 0.6 * wide, y + 3.6 * r),
        ],
        times(colour, 0.75),
        False,
    )
    pen.tube(x, y + 0.8 * r, x, y + 1.5 * r, 0.7 * r, 0.8 * r, times(skin, 0.85))
    pen.poly([(x - 0.5 * r, y + 1.25 * r), (x, y + 1.9 * r), (x + 0.5 * r, y + 1.25 * r)], times(colour, 0.6))
    pen.ellipse(x + 0.8 * r, y + 2.2 * r, 0.26 * r, 0.26 * r, (0.95, 0.85, 0.3))
    pen.box(x - 1.15 * r, y + 2.05 * r, 0.6 * r, 0.24 * r, (0.92, 0.92, 0.9), False)
    _face(pen, x, y, r, skin)


def crew(pen: Pen, colour: Colour, count: int) -> None:
    """One to four people side by side; y = 0 is the picture's lower edge, one unit the height of a single one."""
    r = (0.24, 0.2, 0.165, 0.135)[count - 1]
    step = 3.5 * r
    for i in range(count):
        lift = 0.35 * r if i % 2 else 0.0
        person(pen, (i - (count - 1) / 2) * step, -3.3 * r - lift, r, colour)


def _arm(pen: Pen, x: float, y: float, colour: Colour, skin: Colour) -> None:
    """An arm that reaches out of the lower corner towards the viewer, its hand in sight."""
    pen.tube(x, y + 0.12, 0.5, 0.42, 0.16, 0.2, colour)
    pen.tube(0.5, 0.42, 0.52, 0.2, 0.16, 0.12, times(colour, 0.9))
    hand(pen.at(0.52, 0.1, 0.3, -0.2), skin)


def crew_selfie(pen: Pen, colour: Colour, count: int) -> None:
    """A close face with an arm stretched towards the camera, colleagues behind."""
    for i in range(count - 1):
        side = -1 if i == 0 else 1
        person(pen, side * 0.42 - 0.02, -0.12, 0.13, colour)
    person(pen, -0.06, -0.02, 0.25, colour)
    _arm(pen, 0.2, 0.5, colour, SKINS[int(pen.rng.integers(len(SKINS)))])


def suit_selfie(pen: Pen, colour: Colour) -> None:
    """A helmet close up, a gloved hand stretched towards the camera."""
    pen.poly([(-0.5, 0.75), (-0.44, 0.34), (-0.2, 0.22), (0.14, 0.22), (0.36, 0.34), (0.42, 0.75)], colour)
    pen.box(-0.2, 0.42, 0.3, 0.2, (0.6, 0.62, 0.66))
    helmet(pen, -0.04, -0.08, 0.36, colour)
    _arm(pen, 0.2, 0.5, colour, times(colour, 0.7))


def hand(pen: Pen, skin: Colour) -> None:
    """An open hand with five fingers; the wrist points down, about one unit high."""
    for x, lean, length in ((-0.2, -0.34, 0.42), (-0.07, -0.1, 0.52), (0.07, 0.08, 0.5), (0.2, 0.3, 0.4)):
        tip = (x + sin(lean) * length, 0.0 - cos(lean) * length)
        pen.tube(x, 0.06, tip[0], tip[1], 0.13, 0.11, skin)
        pen.ellipse(tip[0], tip[1], 0.055, 0.055, skin, False)
    pen.tube(0.2, 0.3, 0.48, 0.02, 0.15, 0.12, times(skin, 0.95))
    pen.ellipse(0.48, 0.02, 0.06, 0.06, times(skin, 0.95), False)
    pen.ball(0, 0.2, 0.29, skin, 0.27)
    pen.tube(0, 0.36, 0, 0.62, 0.36, 0.34, times(skin, 0.92))
    pen.line([(-0.12, 0.16), (0.1, 0.22)], 0.015, times(skin, 0.7))
    pen.line([(-0.1, 0.28), (0.12, 0.3)], 0.015, times(skin, 0.7))


def cuff(pen: Pen, colour: Colour) -> None:
    """The sleeve below the wrist of `hand`, reaching far down."""
    pen.tube(0, 2.6, 0, 0.58, 0.62, 0.46, colour)
    pen.tube(0, 0.62, 0, 0.55, 0.48, 0.46, times(colour, 0.6))
