"""Rooms and sheets: cabins with portholes, mission control, halls, technical charts, maps and lettering."""

from __future__ import annotations

from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sextant.demo import fields
from sextant.demo.craft import DARK
from sextant.demo.looks import NAMED, Colour, mix, times
from sextant.demo.pen import Pen, bytes_of

WORDS = (
    "ORION",
    "VEGA",
    "STS",
    "LUNA",
    "MISSION",
    "CREW",
    "DAY",
    "ORBIT",
    "ALTAIR",
    "POLARIS",
    "EVA",
    "STATION",
    "FLIGHT",
    "CAM",
    "FRAME",
    "ROLL",
    "TEST",
    "SOL",
    "HALO",
    "PHASE",
)
SHORT = tuple(word for word in WORDS if len(word) < 6)
SCREENS: tuple[Colour, ...] = ((0.15, 0.55, 0.75), (0.12, 0.6, 0.35), (0.2, 0.3, 0.7), (0.8, 0.55, 0.15))


def cabin(pen: Pen, colour: Colour, seed: int) -> None:
    """A wall of racks, panels, lamps and cables, seen down a short corridor or head on."""
    rng = np.random.default_rng([seed, 30])
    f = pen.frame
    wall = mix(colour, (0.8, 0.8, 0.78), 0.55)
    pen.poly([(f.left, f.top), (f.right, f.top), (f.right, f.bottom), (f.left, f.bottom)], wall, False)
    deep = rng.random() < 0.5
    inner = 0.26 if deep else 0.0
    if deep:
        corners = [
            (0.5 - inner, 0.5 - inner),
            (0.5 + inner, 0.5 - inner),
            (0.5 + inner, 0.5 + inner),
            (0.5 - inner, 0.5 + inner),
        ]
        outer = [(f.left, f.top), (f.right, f.top), (f.right, f.bottom), (f.left, f.bottom)]
        for i, tone in enumerate((1.12, 0.84, 0.62, 0.92)):
            j = (i + 1) % 4
            pen.poly([outer[i], outer[j], corners[j], corners[i]], times(wall, tone))
            for step in (0.25, 0.5, 0.72):
                a = _between(outer[i], corners[i], step)
                b = _between(outer[j], corners[j], step)
                pen.line([a, b], 0.008, times(wall, 0.45))
            for share in (0.33, 0.66):
                pen.line(
                    [_between(outer[i], outer[j], share), _between(corners[i], corners[j], share)],
                    0.006,
                    times(wall, 0.5),
                )
            _wall(pen, [outer[i], outer[j], corners[j], corners[i]], times(wall, tone), rng)
        pen.poly(corners, times(wall, 0.45))
        if rng.random() < 0.6:
            hatch = times(wall, float(rng.uniform(0.55, 0.8)))
            pen.ellipse(0.5, 0.5, 0.2, 0.2, times(hatch, 0.6))
            pen.ellipse(0.5, 0.5, 0.17, 0.17, hatch)
            pen.line([(0.42, 0.5), (0.58, 0.5)], 0.02, times(hatch, 0.5))
        for share in (0.25, 0.75):
            pen.line(
                [_between(outer[0], outer[1], share), _between(corners[0], corners[1], share)], 0.03, (1.0, 1.0, 0.92)
            )
    else:
        _racks(pen, wall, rng)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(f.left, f.right), rng.uniform(0.05, 0.9)
        points = [(x + 0.12 * i, y + 0.05 * sin(i * 1.7 + x * 9)) for i in range(5)]
        pen.line(points, 0.012, ((0.75, 0.2, 0.15), (0.15, 0.25, 0.6), (0.15, 0.15, 0.15))[int(rng.integers(3))])


def _wall(pen: Pen, corners: list[tuple[float, float]], tone: Colour, rng: np.random.Generator) -> None:
    """Lockers, screens and hand rails on one receding wall, from its outer to its inner edge."""
    a, b, c, d = corners

    def spot(u: float, v: float) -> tuple[float, float]:
        return _between(_between(a, b, u), _between(d, c, u), v)

    for u in (0.08, 0.38, 0.7):
        for v in (0.1, 0.42, 0.68):
            if rng.random() < 0.5:
                continue
            width, depth = 0.22, 0.22 - 0.12 * v
            quad = [spot(u, v), spot(u + width, v), spot(u + width, v + depth), spot(u, v + depth)]
            box = (SCREENS[int(rng.integers(4))], times(tone, 1.18), times(tone, 0.66), (0.85, 0.83, 0.78))[
                int(rng.integers(4))
            ]
            pen.poly(quad, box)
            if rng.random() < 0.4:
                pen.line([spot(u + 0.04, v + depth / 2), spot(u + width - 0.04, v + depth / 2)], 0.009, times(box, 0.5))
    pen.line([spot(0.03, 0.05), spot(0.03, 0.95)], 0.013, (0.25, 0.4, 0.75))


def _between(a: tuple[float, float], b: tuple[float, float], share: float) -> tuple[float, float]:
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)


def _racks(pen: Pen, wall: Colour, rng: np.random.Generator) -> None:
    f = pen.frame
    across = int(rng.integers(3, 6))
    width, rows = (f.right - f.left) / across, int(rng.integers(3, 5))
    height = (f.bottom - f.top) / rows
    for i in range(across):
        for j in range(rows):
            x, y = f.left + i * width, f.top + j * height
            pen.box(x + 0.008, y + 0.008, width - 0.016, height - 0.016, times(wall, float(rng.uniform(0.72, 1.08))))
            what = rng.random()
            if what < 0.3:
                pen.box(x + width * 0.2, y + height * 0.2, width * 0.6, height * 0.42, DARK)
                screen = SCREENS[int(rng.integers(4))]
                pen.box(x + width * 0.24, y + height * 0.25, width * 0.52, height * 0.32, screen, False)
            elif what < 0.6:
                for k in range(6):
                    tone = ((0.8, 0.2, 0.15), (0.9, 0.75, 0.2), (0.2, 0.6, 0.3), DARK)[int(rng.integers(4))]
                    pen.box(
                        x + width * (0.16 + 0.25 * (k % 3)),
                        y + height * (0.25 + 0.28 * (k // 3)),
                        width * 0.14,
                        height * 0.12,
                        tone,
                        False,
                    )
            elif what < 0.8:
                pen.line(
                    [(x + width * 0.2, y + height * 0.5), (x + width * 0.8, y + height * 0.5)], 0.02, times(wall, 0.4)
                )
            if rng.random() < 0.5:
                pen.box(x + width * 0.3, y + height * 0.78, width * 0.3, height * 0.08, (0.95, 0.95, 0.92), False)


def porthole(picture: Image.Image, outside: Image.Image, pen: Pen, rim: Colour) -> None:
    """Cut a round window into the wall, show the outside in it and set its bolted ring."""
    (x0, y0), (x1, y1) = pen.px([(-0.5, -0.5), (0.5, 0.5)])
    box = (round(x0), round(y0), round(x1), round(y1))
    pen.ellipse(0, 0, 0.585, 0.585, times(rim, 0.62))
    pen.ellipse(-0.012, -0.012, 0.56, 0.56, rim)
    pen.ellipse(0, 0, 0.47, 0.47, times(rim, 0.38), False)
    mask = Image.new("L", (box[2] - box[0], box[3] - box[1]))
    points = [(x - box[0], y - box[1]) for x, y in pen.px(pen.round(0, 0, 0.43, 0.43, 48))]
    ImageDraw.Draw(mask).polygon(points, fill=255)
    picture.paste(outside.crop(box), box[:2], mask)
    if pen.edge:
        ring = pen.px(pen.round(0, 0, 0.43, 0.43, 48))
        pen.draw.line([*ring, ring[0]], fill=bytes_of(pen.look.ink), width=pen.edge)
    for i in range(10):
        angle = 2 * pi * i / 10 + 0.2
        pen.ellipse(0.52 * cos(angle), 0.52 * sin(angle), 0.018, 0.018, times(rim, 0.45), False)


def control(pen: Pen, colour: Colour, seed: int) -> None:
    """Rows of consoles with lit screens and the backs of heads before a wall of big screens."""
    rng = np.random.default_rng([seed, 31])
    f = pen.frame
    wall = mix(times(colour, 0.35), (0.2, 0.22, 0.26), 0.5)
    pen.poly([(f.left, f.top), (f.right, f.top), (f.right, f.bottom), (f.left, f.bottom)], wall, False)
    pen.poly([(f.left, 0.46), (f.right, 0.46), (f.right, f.bottom), (f.left, f.bottom)], times(wall, 0.75), False)
    for x, width in ((0.03, 0.27), (0.33, 0.34), (0.7, 0.27)):
        screen = times(SCREENS[int(rng.integers(4))], 0.8)
        pen.box(x - 0.012, 0.08, width + 0.024, 0.32, DARK)
        pen.box(x, 0.095, width, 0.29, screen, False)
        _curve(pen, x, 0.11, width, 0.25, rng)
    for y, size in ((0.5, 0.12), (0.66, 0.17), (0.88, 0.24)):
        _row(pen, y, size, colour, rng)


def _curve(pen: Pen, x: float, y: float, width: float, height: float, rng: np.random.Generator) -> None:
    phase, turns = rng.uniform(0, 6), rng.uniform(4, 9)
    points = [(x + width * i / 16, y + height * (0.5 + 0.32 * sin(phase + turns * i / 16))) for i in range(17)]
    pen.line(points, 0.008, (0.95, 0.95, 0.75))
    pen.line([(x + 0.02, y + height * 0.9), (x + width * 0.7, y + height * 0.9)], 0.008, (0.9, 0.95, 0.98))


def _row(pen: Pen, y: float, size: float, colour: Colour, rng: np.random.Generator) -> None:
    f = pen.frame
    x = f.left - size * float(rng.random())
    desk = mix(times(colour, 0.5), (0.5, 0.5, 0.52), 0.5)
    pen.box(f.left, y, f.right - f.left, size * 0.55, desk)
    while x < f.right:
        pen.box(x, y - size * 0.42, size * 0.62, size * 0.46, DARK)
        pen.box(x + size * 0.05, y - size * 0.37, size * 0.52, size * 0.34, SCREENS[int(rng.integers(4))], False)
        if rng.random() < 0.62:
            hair = ((0.1, 0.08, 0.06), (0.32, 0.2, 0.1), (0.5, 0.5, 0.5))[int(rng.integers(3))]
            middle = x + size * 0.31
            shirt: Colour = ((0.85, 0.85, 0.88), (0.3, 0.4, 0.6), (0.6, 0.3, 0.25))[int(rng.integers(3))]
            pen.poly(
                [
                    (middle - size * 0.36, y + size * 0.6),
                    (middle - size * 0.28, y + size * 0.2),
                    (middle + size * 0.28, y + size * 0.2),
                    (middle + size * 0.36, y + size * 0.6),
                ],
                shirt,
            )
            pen.ball(middle, y + size * 0.02, size * 0.19, hair, size * 0.22)
        x += size * 1.02


def hall(pen: Pen, colour: Colour, horizon: float) -> None:
    """A big bright hall with beams, tall doors and a shining floor."""
    f = pen.frame
    wall = mix(colour, (0.82, 0.82, 0.8), 0.6)
    pen.poly([(f.left, f.top), (f.right, f.top), (f.right, horizon), (f.left, horizon)], wall, False)
    pen.poly([(f.left, horizon), (f.right, horizon), (f.right, f.bottom), (f.left, f.bottom)], times(wall, 0.68))
    for i in range(-3, 10):
        x = i / 6
        pen.box(x, f.top, 0.022, horizon - f.top, times(wall, 0.72), False)
        pen.line([(0.5 + (x - 0.5) * 1.0, horizon), (0.5 + (x - 0.5) * 2.4, f.bottom)], 0.005, times(wall, 0.5))
    for y in (0.14, 0.3):
        pen.box(f.left, y, f.right - f.left, 0.024, times(wall, 0.66), False)
    for i in range(-1, 5):
        pen.box(0.08 + i * 0.24, 0.05, 0.13, 0.025, (1.0, 1.0, 0.95), False)
    pen.box(0.62, 0.36, 0.3, horizon - 0.36, times(wall, 0.52))


@lru_cache(maxsize=64)
def font(pixels: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font in that height."""
    return ImageFont.load_default(pixels)


def lettering(pen: Pen, x: float, y: float, height: float, words: str, colour: Colour) -> None:
    """Words whose middle is at (x, y), `height` in units."""
    px, py = pen.px([(x, y)])[0]
    pen.draw.text((px, py), words, fill=bytes_of(colour), font=font(max(6, int(height * pen.k))), anchor="mm")


def words(rng: np.random.Generator, most: int) -> str:
    """A made-up label of a mission picture."""
    chosen = [WORDS[int(rng.integers(len(WORDS)))] for _ in range(most)]
    return " ".join([*chosen, str(int(rng.integers(1, 990)))])


def text_overlay(pen: Pen, y: float, lines: int, seed: int) -> None:
    """One or two burnt-in lines at the upper or lower edge, with or without a bar."""
    rng = np.random.default_rng([seed, 32])
    f = pen.frame
    height = 0.075 if lines == 1 else 0.06
    ink: Colour = ((1.0, 1.0, 1.0), (1.0, 0.85, 0.2), (1.0, 1.0, 1.0))[int(rng.integers(3))]
    span = 0.5 * height * (lines + 0.5) + 0.01
    y = f.top + span + 0.01 if y < 0.5 else f.bottom - span - 0.01
    if rng.random() < 0.75:
        bar: Colour = ((0.02, 0.02, 0.03), (0.1, 0.14, 0.35), (0.9, 0.9, 0.88))[int(rng.integers(3))]
        ink = (0.08, 0.08, 0.1) if bar[0] > 0.5 else ink
        (x0, y0), (x1, y1) = pen.px([(f.left, y - span), (f.right, y + span)])
        pen.draw.rectangle((x0, y0, x1, y1), fill=bytes_of(bar))
    for i in range(lines):
        at = y + (i - (lines - 1) / 2) * height * 1.15
        label = words(rng, 2)
        lettering(pen, 0.5 + 0.006, at + 0.006, height, label, (0.0, 0.0, 0.0) if ink[0] > 0.5 else (0.9, 0.9, 0.88))
        lettering(pen, 0.5, at, height, label, ink)


def chart(pen: Pen, paper: str, seed: int, orbital: bool) -> None:
    """A sheet with a grid, a frame, a title and leader lines to labels; an orbit chart gets paths."""
    rng = np.random.default_rng([seed, 33])
    f = pen.frame
    sheet: Colour = {
        "blue": (0.1, 0.24, 0.5),
        "white": (0.96, 0.95, 0.9),
        "grey": (0.82, 0.84, 0.84),
        "green": (0.1, 0.3, 0.26),
    }[paper]
    line: Colour = (0.88, 0.94, 1.0) if sheet[0] < 0.5 else (0.15, 0.2, 0.35)
    (x0, y0), (x1, y1) = pen.px([(f.left, f.top), (f.right, f.bottom)])
    pen.draw.rectangle((x0, y0, x1, y1), fill=bytes_of(sheet))
    faint = bytes_of(mix(sheet, line, 0.22))
    for i in range(-8, 20):
        (gx, gy), _ = pen.px([(i / 12, i / 12), (0, 0)])
        pen.draw.line([(gx, y0), (gx, y1)], fill=faint, width=1)
        pen.draw.line([(x0, gy), (x1, gy)], fill=faint, width=1)
    corners = [
        (f.left + 0.03, f.top + 0.03),
        (f.right - 0.03, f.top + 0.03),
        (f.right - 0.03, f.bottom - 0.03),
        (f.left + 0.03, f.bottom - 0.03),
    ]
    pen.draw.line(pen.px([*corners, corners[0]]), fill=bytes_of(line), width=max(2, round(0.008 * pen.k)))
    lettering(pen, 0.5, 0.1, 0.07, words(rng, 2), line)
    for i in range(4):
        side = -1 if i % 2 else 1
        x, y = 0.5 + side * 0.36, (0.28, 0.34, 0.78, 0.72)[i] + rng.uniform(-0.04, 0.04)
        lettering(pen, x, y, 0.045, SHORT[int(rng.integers(len(SHORT)))], line)
        pen.draw.line(
            pen.px([(x - side * 0.1, y + 0.03), (0.5 + side * 0.06, 0.5 + (y - 0.5) * 0.3)]),
            fill=bytes_of(line),
            width=max(2, round(0.006 * pen.k)),
        )
    if orbital:
        for k, r in enumerate((0.2, 0.27, 0.36)):
            dash = [(0.26 + (r + 0.2) * cos(a), 0.55 + r * 0.7 * sin(a)) for a in np.linspace(0, 2 * pi, 60)]
            for i in range(0, 58, 2 if k % 2 else 1):
                pen.draw.line(
                    pen.px(dash[i : i + 2]),
                    fill=bytes_of(line if k != 1 else (0.9, 0.4, 0.2)),
                    width=max(2, round(0.007 * pen.k)),
                )


def map_pixels(
    height: int, width: int, scheme: str, seed: int, pale: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A flat map's land and water with contour steps, (height, width, 3)."""
    rng = np.random.default_rng([seed, 34])
    water, land = {
        "blue": ((0.55, 0.75, 0.9), (0.85, 0.8, 0.6)),
        "green": ((0.7, 0.85, 0.92), (0.55, 0.72, 0.45)),
        "yellow": ((0.93, 0.88, 0.72), (0.78, 0.6, 0.36)),
        "grey": ((0.8, 0.82, 0.84), (0.6, 0.6, 0.58)),
    }[scheme]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    level = fields.sample(fields.fractal(1, 1.8), x * 0.8 + rng.random(), y * 0.8 + rng.random())
    steps = np.clip(np.floor((level - 0.5) * 12), 0, 3) / 3
    sheet = np.where(
        (level > 0.5)[..., None],
        np.asarray(land, np.float32) * (1.08 - 0.3 * steps[..., None]),
        np.asarray(water, np.float32),
    )
    shore = np.abs(level - 0.5) < 0.008
    sheet[shore] = (0.25, 0.25, 0.3)
    return (sheet + pale * (0.95 - sheet)).astype(np.float32)


def atlas(pen: Pen, scheme: str, seed: int, route: int) -> None:
    """A map that fills the frame: coasts, grid, route, compass."""
    f = pen.frame
    sheet = map_pixels(f.height, f.width, scheme, seed, pen.look.pale * 0.6)
    picture = Image.fromarray((np.clip(sheet, 0, 1) * 255).astype(np.uint8)).resize(pen.picture.size)
    pen.picture.paste(picture)
    _map_marks(pen, f.left, f.top, f.right - f.left, f.bottom - f.top, np.random.default_rng([seed, 35]), route)


def wall_map(pen: Pen, seed: int) -> None:
    """A world map on a big screen, one unit wide, centred."""
    (x0, y0), (x1, y1) = pen.px([(-0.5, -0.3), (0.5, 0.3)])
    pen.box(-0.52, -0.32, 1.04, 0.64, DARK)
    sheet = map_pixels(int(y1 - y0), int(x1 - x0), "blue", seed, 0.0) * np.float32(0.85)
    pen.picture.paste(Image.fromarray((np.clip(sheet, 0, 1) * 255).astype(np.uint8)), (int(x0), int(y0)))
    _map_marks(pen, -0.5, -0.3, 1.0, 0.6, np.random.default_rng([seed, 35]), 1)


def _map_marks(pen: Pen, x: float, y: float, width: float, height: float, rng: np.random.Generator, route: int) -> None:
    for i in range(1, 8):
        pen.line([(x + width * i / 8, y), (x + width * i / 8, y + height)], 0.004, (0.4, 0.45, 0.55))
    for i in range(1, 6):
        pen.line([(x, y + height * i / 6), (x + width, y + height * i / 6)], 0.004, (0.4, 0.45, 0.55))
    if route:
        phase = rng.uniform(0, 6)
        for k in range(route):
            path = [
                (x + width * i / 24, y + height * (0.5 + 0.34 * sin(phase + k * 1.3 + 2 * pi * i / 24)))
                for i in range(25)
            ]
            pen.line(path, 0.014, (0.85, 0.15, 0.12) if k == 0 else (0.9, 0.6, 0.1))
    spot = (x + width * rng.uniform(0.2, 0.8), y + height * rng.uniform(0.25, 0.75))
    pen.ellipse(spot[0], spot[1], 0.025, 0.025, NAMED["red"])
    rose = pen.at(x + width * 0.88, y + height * 0.84, 0.09 * min(1.0, height))
    for i in range(4):
        a = pi * i / 2
        rose.poly(
            [
                (cos(a), sin(a)),
                (0.22 * cos(a + 0.8), 0.22 * sin(a + 0.8)),
                (0, 0),
                (0.22 * cos(a - 0.8), 0.22 * sin(a - 0.8)),
            ],
            (0.2, 0.2, 0.25),
        )
