"""Timber frames and glass grids: the two clusters whose styles differ by how a wall is divided."""

from __future__ import annotations

import numpy as np

from sextant.demo.facade_canvas import Canvas, Colour, lighter, mix
from sextant.demo.facade_paint import Paint, cornice

_PLASTERS: tuple[Colour, ...] = ((240, 234, 218), (232, 214, 178), (222, 196, 170), (206, 216, 206), (238, 222, 200))
_OAKS: tuple[Colour, ...] = ((64, 44, 32), (46, 36, 32), (96, 62, 42), (112, 44, 36), (58, 66, 62))


def timber(canvas: Canvas, paint: Paint, rng: np.random.Generator, kind: str) -> None:
    """A timber-framed house; `kind` is how the panels are filled."""
    plaster, oak = (options[rng.integers(len(options))] for options in (_PLASTERS, _OAKS))
    half, storeys = float(rng.uniform(0.22, 0.38)), int(rng.integers(2, 4))
    high = float(rng.uniform(0.15, 0.19)) if storeys == 3 else float(rng.uniform(0.19, 0.24))
    thick = float(rng.uniform(0.011, 0.016))
    cells = int(rng.integers(4, 7))
    for storey in range(storeys):
        bottom = 0.9 - storey * high
        jetty = half + 0.015 * storey
        box = (0.5 - jetty, bottom - high, 0.5 + jetty, bottom)
        canvas.rectangle(*box, plaster)
        glazed = set(rng.choice(cells, size=max(1, cells // 3), replace=False).tolist())
        _panels(canvas, oak, kind, box, (cells, thick), glazed)
        _lights(canvas, paint, oak, box, (cells, thick), glazed)
        canvas.rectangle(box[0], bottom - thick, box[2], bottom + thick * 0.6, oak, outlined=False)
    _gable(canvas, paint, rng, (plaster, oak), (half + 0.015 * storeys, 0.9 - storeys * high, thick))


def _panels(
    canvas: Canvas,
    oak: Colour,
    kind: str,
    box: tuple[float, float, float, float],
    grid: tuple[int, float],
    glazed: set[int],
) -> None:
    left, top, right, bottom = box
    cells, thick = grid
    wide, middle = (right - left) / cells, (top + bottom) / 2
    for cell in range(cells + 1):
        x = left + cell * wide
        canvas.line([(x, top), (x, bottom)], oak, thick)
    canvas.line([(left, top), (right, top)], oak, thick)
    for cell in range(cells):
        if cell in glazed:
            continue
        x0, x1 = left + cell * wide, left + (cell + 1) * wide
        if kind == "studs":
            for share in (0.33, 0.67):
                canvas.line([(x0 + wide * share, top), (x0 + wide * share, bottom)], oak, thick)
        elif kind == "squares":
            canvas.line([(x0, middle), (x1, middle)], oak, thick)
        elif kind == "crosses":
            canvas.line([(x0, top), (x1, bottom)], oak, thick)
            canvas.line([(x0, bottom), (x1, top)], oak, thick)
        else:
            for share in (0.0, 0.33, 0.67):
                y, drop = top + (bottom - top) * (share + 0.3), (bottom - top) * 0.26
                canvas.line([(x0, y), ((x0 + x1) / 2, y - drop), (x1, y)], oak, thick * 0.8)


def _lights(
    canvas: Canvas,
    paint: Paint,
    oak: Colour,
    box: tuple[float, float, float, float],
    grid: tuple[int, float],
    glazed: set[int],
) -> None:
    left, top, right, bottom = box
    wide = (right - left) / grid[0]
    for cell in glazed:
        x = left + cell * wide
        inner = (x + wide * 0.16, top + (bottom - top) * 0.2, x + wide * 0.84, bottom - (bottom - top) * 0.22)
        canvas.rectangle(*inner, paint.glass)
        middle = (inner[0] + inner[2]) / 2
        canvas.line([(middle, inner[1]), (middle, inner[3])], lighter(oak, 0.5), 0.006)


def _gable(
    canvas: Canvas,
    paint: Paint,
    rng: np.random.Generator,
    colours: tuple[Colour, Colour],
    place: tuple[float, float, float],
) -> None:
    plaster, oak = colours
    half, top, thick = place
    peak = top - float(rng.uniform(0.12, 0.2))
    if rng.random() < 0.5:
        canvas.polygon(
            [(0.5 - half - 0.03, top), (0.5 - half + 0.06, peak), (0.5 + half - 0.06, peak), (0.5 + half + 0.03, top)],
            paint.roof,
        )
        return
    canvas.polygon([(0.5 - half - 0.03, top), (0.5, peak - 0.03), (0.5 + half + 0.03, top)], paint.roof)
    canvas.polygon([(0.5 - half + 0.03, top), (0.5, peak + 0.02), (0.5 + half - 0.03, top)], plaster)
    canvas.line([(0.5 - half, top), (0.5 + half, top)], oak, thick)
    canvas.line([(0.5, peak + 0.02), (0.5, top)], oak, thick)


def curtain_wall(canvas: Canvas, paint: Paint, rng: np.random.Generator, kind: str) -> None:
    """An office block behind glass; `kind` is how the glass is divided."""
    half, top = float(rng.uniform(0.2, 0.42)), float(rng.uniform(0.12, 0.34))
    left, right = 0.5 - half, 0.5 + half
    glass = mix(paint.glass, (int(rng.integers(60, 170)), 170, 210), float(rng.uniform(0.3, 0.7)))
    frame = lighter(paint.trim, float(rng.uniform(-0.2, 0.4)))
    if sum(abs(a - b) for a, b in zip(glass, frame, strict=True)) < 120:
        frame = lighter(frame, -0.6)
    canvas.rectangle(left, top, right, 0.9, glass)
    _reflections(canvas, rng, glass, (left, top, right))
    _GRIDS[kind](canvas, rng, frame, (left, top, right))
    cornice(canvas, paint, left, right, top, 0.014)
    canvas.rectangle(left, 0.86, right, 0.9, lighter(paint.dark, 0.1))


def _reflections(canvas: Canvas, rng: np.random.Generator, glass: Colour, box: tuple[float, float, float]) -> None:
    left, top, right = box
    bands = int(rng.integers(4, 9))
    high = (0.9 - top) / bands
    for band in range(bands):
        tone = lighter(glass, 0.32 * (1 - band / bands) + float(rng.uniform(-0.12, 0.06)))
        canvas.rectangle(left, top + band * high, right, top + (band + 1) * high, tone, outlined=False)
    for _ in range(int(rng.integers(3, 9))):
        x, y = float(rng.uniform(left, right - 0.06)), float(rng.uniform(top, 0.8))
        canvas.rectangle(x, y, x + 0.05, y + 0.05, lighter(glass, float(rng.uniform(-0.35, 0.4))), outlined=False)


def _squares(canvas: Canvas, rng: np.random.Generator, frame: Colour, box: tuple[float, float, float]) -> None:
    left, top, right = box
    pitch = float(rng.uniform(0.055, 0.085))
    for x in np.linspace(left, right, round((right - left) / pitch) + 1):
        canvas.line([(float(x), top), (float(x), 0.88)], frame, 0.009)
    for y in np.linspace(top, 0.88, round((0.88 - top) / pitch) + 1):
        canvas.line([(left, float(y)), (right, float(y))], frame, 0.009)


def _ribbons(canvas: Canvas, rng: np.random.Generator, frame: Colour, box: tuple[float, float, float]) -> None:
    left, top, right = box
    count = int(rng.integers(4, 8))
    high = (0.88 - top) / count
    for band in range(count):
        y = top + band * high
        canvas.rectangle(left, y, right, y + high * float(rng.uniform(0.42, 0.48)), frame)


def _fins(canvas: Canvas, rng: np.random.Generator, frame: Colour, box: tuple[float, float, float]) -> None:
    left, top, right = box
    for x in np.linspace(left, right, round((right - left) / float(rng.uniform(0.04, 0.06))) + 1):
        canvas.line([(float(x), top), (float(x), 0.88)], frame, 0.014)
        canvas.line([(float(x) + 0.009, top), (float(x) + 0.009, 0.88)], lighter(frame, -0.35), 0.004)


def _diagonals(canvas: Canvas, rng: np.random.Generator, frame: Colour, box: tuple[float, float, float]) -> None:
    left, top, right = box
    across, down = int(rng.integers(3, 6)), int(rng.integers(3, 6))
    wide, high = (right - left) / across, (0.88 - top) / down
    for row in range(down):
        for cell in range(across):
            x, y = left + cell * wide, top + row * high
            canvas.line([(x, y), (x + wide, y + high)], frame, 0.01)
            canvas.line([(x, y + high), (x + wide, y)], frame, 0.01)


_GRIDS = {"squares": _squares, "ribbons": _ribbons, "fins": _fins, "diagonals": _diagonals}
