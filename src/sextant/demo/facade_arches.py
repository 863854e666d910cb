"""Arcades and colonnades: the two clusters whose styles differ by a curve or by a capital."""

from __future__ import annotations

from math import pi, sin

import numpy as np

from sextant.demo.facade_canvas import Canvas, Point, arc, lighter
from sextant.demo.facade_paint import Paint, cornice, opening, wall, windows


def arch(kind: str, x: float, base: float, width: float, height: float) -> list[Point]:
    """The outline of an opening: `x` its middle, `base` its foot, `height` up to where the curve begins."""
    half, spring = width / 2, base - height
    head = _HEADS[kind](x, spring, half)
    return [(x + half * _JAMB.get(kind, 1.0), base), *head, (x - half * _JAMB.get(kind, 1.0), base)]


def _round(x: float, spring: float, half: float) -> list[Point]:
    return arc((x, spring), (half, half), 0, 0.5)


def _pointed(x: float, spring: float, half: float) -> list[Point]:
    # Two arcs of 2.3 half widths' radius, struck from beyond the opposite springings, meet above the middle.
    radius = 2.3 * half
    turn = float(np.arccos((radius - half) / radius)) / (2 * pi)
    right = arc((x + half - radius, spring), (radius, radius), 0, turn, 8)
    left = arc((x - half + radius, spring), (radius, radius), 0.5 - turn, 0.5, 8)
    return right + left


def _horseshoe(x: float, spring: float, half: float) -> list[Point]:
    return arc((x, spring - half * 0.5), (half, half), -0.11, 0.61, 20)


def _ogee(x: float, spring: float, half: float) -> list[Point]:
    # Convex at the shoulder, concave towards the tip: an S on either side.
    shares = np.linspace(0, 1, 12)
    side = [(half * (1 - s) + half * 0.2 * sin(2 * pi * s), 1.9 * half * s) for s in shares]
    return [(x + dx, spring - dy) for dx, dy in side] + [(x - dx, spring - dy) for dx, dy in reversed(side)]


_HEADS = {"round": _round, "pointed": _pointed, "horseshoe": _horseshoe, "ogee": _ogee}
_JAMB = {"horseshoe": 0.78}
_RISE = {"round": 1.0, "pointed": 1.85, "horseshoe": 1.5, "ogee": 1.9}


def _arch_row(canvas: Canvas, paint: Paint, kind: str, box: tuple[float, float, float, float], bays: int) -> None:
    left, top, right, bottom = box
    pitch = (right - left) / bays
    width = min(pitch * 0.62, (bottom - top) * 0.6)
    rise = width / 2 * _RISE[kind]
    height = max(width * 0.25, bottom - top - rise - width * 0.3)
    for bay in range(bays):
        x = left + (bay + 0.5) * pitch
        canvas.polygon(arch(kind, x, bottom, width * 1.22, height), paint.trim)
        opening(canvas, paint, arch(kind, x, bottom, width, height))
        if bay:
            edge = left + bay * pitch
            canvas.rectangle(edge - 0.006, top + 0.02, edge + 0.006, bottom, lighter(paint.trim, -0.08))


def arcade(canvas: Canvas, paint: Paint, rng: np.random.Generator, kind: str) -> None:
    """A building whose openings are all arches of one kind."""
    half, top = float(rng.uniform(0.3, 0.46)), float(rng.uniform(0.2, 0.42))
    left, right = 0.5 - half, 0.5 + half
    wall(canvas, paint, rng, (left, top, right, 0.9))
    if rng.random() < 0.35:
        canvas.polygon(
            [(left - 0.03, top), (0.5, top - float(rng.uniform(0.08, 0.2))), (right + 0.03, top)], paint.roof
        )
    cornice(canvas, paint, left, right, top)
    storeys, bays = int(rng.integers(1, 3)), int(rng.integers(2, 5))
    high = (0.9 - top - 0.06) / storeys
    for storey in range(storeys):
        upper = top + 0.06 + storey * high
        factor = 2 if storey < storeys - 1 and rng.random() < 0.4 and bays < 4 else 1
        _arch_row(canvas, paint, kind, (left + 0.02, upper, right - 0.02, upper + high - 0.015), bays * factor)
        if storey:
            cornice(canvas, paint, left, right, upper - 0.01, 0.012)


def _fluting(canvas: Canvas, paint: Paint, x: float, top: float, bottom: float, half: float) -> None:
    shade = lighter(paint.trim, -0.22)
    for share in (-0.45, 0.0, 0.45):
        canvas.line([(x + share * half, top), (x + share * half, bottom)], shade, 0.003)
    dark = -paint.light
    edge = [
        (x + dark * half * 0.5, top),
        (x + dark * half, top),
        (x + dark * half, bottom),
        (x + dark * half * 0.5, bottom),
    ]
    canvas.polygon(edge, lighter(paint.trim, -0.2), outlined=False)


def _doric(canvas: Canvas, paint: Paint, x: float, top: float, half: float) -> float:
    canvas.rectangle(x - half * 1.5, top, x + half * 1.5, top + half * 0.5, paint.trim)
    echinus = [
        (x - half * 1.4, top + half * 0.5),
        (x + half * 1.4, top + half * 0.5),
        (x + half * 0.85, top + half),
        (x - half * 0.85, top + half),
    ]
    canvas.polygon(echinus, lighter(paint.trim, -0.12))
    return top + half


def _ionic(canvas: Canvas, paint: Paint, x: float, top: float, half: float) -> float:
    canvas.rectangle(x - half * 1.6, top, x + half * 1.6, top + half * 0.55, paint.trim)
    for side in (-1, 1):
        centre = (x + side * half * 1.5, top + half * 0.75)
        canvas.disc(centre, half * 0.72, paint.trim)
        canvas.disc(centre, half * 0.44, lighter(paint.trim, -0.4), outlined=False)
        canvas.disc(centre, half * 0.22, paint.trim, outlined=False)
    return top + half * 1.1


def _corinthian(canvas: Canvas, paint: Paint, x: float, top: float, half: float) -> float:
    high = half * 2.6
    flare = [(x - half * 1.6, top), (x + half * 1.6, top), (x + half * 0.9, top + high), (x - half * 0.9, top + high)]
    canvas.polygon(flare, lighter(paint.trim, -0.1))
    for tier in (0.3, 0.65):
        y, reach = top + high * tier, half * (1.45 - 0.5 * tier)
        for share in (-0.9, -0.3, 0.3, 0.9):
            leaf = [
                (x + share * reach - half * 0.28, y + high * 0.33),
                (x + share * reach, y - high * 0.08),
                (x + share * reach + half * 0.28, y + high * 0.33),
            ]
            canvas.polygon(leaf, lighter(paint.trim, 0.15 if tier > 0.5 else -0.25), outlined=False)
    canvas.rectangle(x - half * 1.7, top, x + half * 1.7, top + half * 0.35, paint.trim)
    return top + high


def _papyrus(canvas: Canvas, paint: Paint, x: float, top: float, half: float) -> float:
    high = half * 2.4
    bell = arc((x, top), (half * 2.0, high), 0.5, 1.0, 12)
    canvas.rectangle(x - half * 0.7, top - half * 0.1, x + half * 0.7, top + half * 0.4, paint.trim)
    canvas.polygon([(px, py) for px, py in bell], paint.roof)
    for share in (0.45, 0.8):
        canvas.line([(x - half * 1.2, top + high * share), (x + half * 1.2, top + high * share)], paint.trim, 0.006)
    return top + high * 0.9


_CAPITALS = {"doric": _doric, "ionic": _ionic, "corinthian": _corinthian, "papyrus": _papyrus}
_SLENDER = {"doric": 0.2, "ionic": 0.15, "corinthian": 0.15, "papyrus": 0.2}


def _column(canvas: Canvas, paint: Paint, kind: str, x: float, box: tuple[float, float], half: float) -> None:
    top, bottom = box
    foot = half * 1.15 if kind in ("doric", "papyrus") else half
    if kind in ("ionic", "corinthian"):
        canvas.rectangle(x - half * 1.45, bottom - half * 0.8, x + half * 1.45, bottom, paint.trim)
        bottom -= half * 0.8
    below = top + half
    shaft = [(x - half * 0.85, below), (x + half * 0.85, below), (x + foot, bottom), (x - foot, bottom)]
    canvas.polygon(shaft, paint.trim)
    capital = _CAPITALS[kind](canvas, paint, x, top, half)
    if kind != "papyrus":
        _fluting(canvas, paint, x, capital + 0.004, bottom, half * 0.82)
        return
    for share in (0.12, 0.16, 0.9):
        y = capital + (bottom - capital) * share
        canvas.line([(x - half, y), (x + half, y)], paint.roof, 0.008)


def temple(canvas: Canvas, paint: Paint, rng: np.random.Generator, kind: str) -> None:
    """A portico: steps, a row of columns of one order, an entablature, mostly a gable."""
    half, top = float(rng.uniform(0.3, 0.44)), float(rng.uniform(0.3, 0.42))
    left, right = 0.5 - half, 0.5 + half
    for step in range(3):
        spread = 0.02 * (3 - step)
        canvas.rectangle(
            left - spread,
            0.9 - 0.02 * (step + 1),
            right + spread,
            0.9 - 0.02 * step,
            lighter(paint.trim, -0.08 * (2 - step)),
        )
    canvas.rectangle(left + 0.02, top, right - 0.02, 0.84, lighter(paint.wall, -0.35))
    if rng.random() < 0.6:
        windows(canvas, paint, (left + 0.05, top + 0.12, right - 0.05, 0.8), int(rng.integers(2, 4)), 1)
    count = int(rng.integers(3, 6))
    pitch = 2 * half / count
    thick = min(pitch * 0.26, (0.84 - top) * _SLENDER[kind] / 2)
    for number in range(count + 1):
        x = left + thick * 1.6 + (2 * half - thick * 3.2) * number / count
        _column(canvas, paint, kind, x, (top, 0.84), thick)
    canvas.rectangle(left - 0.02, top - 0.07, right + 0.02, top, paint.trim)
    canvas.line([(left - 0.02, top - 0.035), (right + 0.02, top - 0.035)], lighter(paint.trim, -0.3), 0.005)
    if kind != "papyrus" and rng.random() < 0.8:
        peak = top - 0.07 - float(rng.uniform(0.1, 0.16))
        canvas.polygon([(left - 0.04, top - 0.07), (0.5, peak), (right + 0.04, top - 0.07)], paint.trim)
        canvas.polygon(
            [(left + 0.05, top - 0.085), (0.5, peak + 0.04), (right - 0.05, top - 0.085)], lighter(paint.wall, -0.2)
        )
    else:
        cornice(canvas, paint, left - 0.02, right + 0.02, top - 0.08)
