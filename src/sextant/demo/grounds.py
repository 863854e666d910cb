"""What lies behind and below: space, sky, lunar ground, desert, field, sea."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.demo import fields
from sextant.demo.canvas import Canvas
from sextant.demo.looks import Colour, mix, named, times
from sextant.demo.planning import Item

Floats = NDArray[np.floating[Any]]
HOURS: dict[str, tuple[Colour, Colour, float]] = {
    "day": ((0.2, 0.45, 0.85), (0.68, 0.84, 0.97), 1.0),
    "cloudy": ((0.52, 0.58, 0.64), (0.78, 0.8, 0.82), 0.8),
    "dawn": ((0.32, 0.4, 0.68), (1.0, 0.72, 0.55), 0.75),
    "dusk": ((0.2, 0.16, 0.42), (0.98, 0.48, 0.22), 0.6),
    "night": ((0.03, 0.04, 0.12), (0.1, 0.13, 0.28), 0.34),
}


def space(canvas: Canvas, item: Item) -> None:
    """Black space: sometimes bluish, sometimes with a cloud of gas (`count` 2)."""
    rng = np.random.default_rng([item.seed, 11])
    deep: Colour = ((0.012, 0.012, 0.02), (0.015, 0.02, 0.05), (0.03, 0.03, 0.045), (0.05, 0.045, 0.05))[
        int(rng.integers(4))
    ]
    if canvas.look.flat and item.count:
        deep = ((0.05, 0.06, 0.16), (0.03, 0.04, 0.08), (0.12, 0.1, 0.24), (0.08, 0.13, 0.22))[int(rng.integers(4))]
    if canvas.look.pale and rng.random() < 0.5 and item.count:
        deep = (0.2, 0.22, 0.34)
    canvas.pixels[:] = np.asarray(deep, np.float32)
    if item.count < 2:
        return
    x, y = canvas.facet(canvas.xs, canvas.ys, 0.12)
    shift = rng.random(2)
    cloud = fields.sample(fields.fractal(4, 1.8), *np.broadcast_arrays(x * 0.6 + shift[0], y * 0.6 + shift[1]))
    cloud = np.clip((cloud - 0.4) * 2, 0, 1) ** 1.5
    if canvas.look.flat:
        cloud = np.ceil(cloud * 3 - 0.2) / 3
    first, second = named(item.colour if item.colour != "grey" else "silver", item.seed), named("blue", item.seed + 1)
    tone = fields.sample(fields.fractal(1, 1.8), *np.broadcast_arrays(x * 0.5 + shift[1], y * 0.5))[..., None]
    canvas.pixels += (
        cloud[..., None] * 0.6 * (np.asarray(first, np.float32) * tone + np.asarray(second, np.float32) * (1 - tone))
    )


def sky(canvas: Canvas, hour: str, horizon: float, seed: int) -> None:
    """A daylight, twilight or night sky with clouds."""
    top, low, strength = HOURS[hour]
    rng = np.random.default_rng([seed, 12])
    x, y = canvas.facet(canvas.xs, canvas.ys, 0.14)
    height = np.clip((y - canvas.frame.top) / (horizon - canvas.frame.top), 0, 1) ** 1.3
    if canvas.look.flat:
        height = np.floor(height * 5) / 5
    height = np.broadcast_to(height, canvas.pixels.shape[:2])[..., None]
    canvas.pixels[:] = np.asarray(top, np.float32) + height * (
        np.asarray(low, np.float32) - np.asarray(top, np.float32)
    )
    depth = 1 / np.maximum(horizon + 0.25 - y, 0.05)
    shift = rng.random(2)
    cloud = fields.sample(
        fields.fractal(2, 1.45), *np.broadcast_arrays(x * depth * 0.16 + shift[0], depth * 0.22 + shift[1])
    )
    least = {"cloudy": 0.35, "night": 0.62}.get(hour, float(rng.uniform(0.5, 0.8)))
    cover = np.clip((cloud - least) * (30 if canvas.look.flat else 3.0), 0, 1) * (0.8 if hour != "night" else 0.25)
    canvas.blend(
        (slice(None), slice(None)),
        mix((1, 1, 1), low, 0.3 if hour in ("day", "cloudy") else 0.75),
        cover.astype(np.float32) * strength,
    )


def _ground_mask(canvas: Canvas, horizon: float, rough: float, seed: int) -> Floats:
    """1 below the horizon line, whose hills rise by up to `rough`."""
    rng = np.random.default_rng([seed, 13])
    line = fields.sample(
        fields.fractal(6, 1.6), (canvas.xs * 0.35 + rng.random()).astype(np.float32), np.full_like(canvas.xs, 0.37)
    )
    if canvas.look.facets:
        knots = np.linspace(canvas.frame.left - 0.1, canvas.frame.right + 0.1, 9)
        line = np.interp(canvas.xs[0], knots, rng.random(9))[None, :].astype(np.float32)
    edge = horizon - rough * (line - 0.2)
    return np.clip((canvas.ys - edge) * canvas.frame.scale + 0.5, 0, 1)


def _plane(canvas: Canvas, horizon: float) -> tuple[Floats, Floats]:
    """Ground coordinates (sideways, away) of each pixel of a level plane seen from above it."""
    x, y = canvas.facet(canvas.xs, canvas.ys, 0.1)
    away = 0.32 / np.maximum(y - horizon + 0.06, 0.03)
    # Hills rise above the horizon: there the texture runs on upwards instead of standing still in streaks.
    u, v = np.broadcast_arrays((x - 0.5) * np.minimum(away, 6), away + 30 * np.maximum(horizon - 0.03 - y, 0))
    return u, v


def _lay(canvas: Canvas, colour: Floats, mask: Floats, horizon: float) -> None:
    start = max(0, int((horizon - 0.3 - canvas.frame.top) * canvas.frame.scale))
    area = (slice(start, None), slice(None))
    canvas.blend(area, colour[start:], np.broadcast_to(mask, colour.shape[:2])[start:])
    if canvas.look.outline:
        edge = np.clip(1 - np.abs(mask - 0.5) * 2, 0, 1)
        thick = np.maximum(edge, np.roll(edge, 1, 0))
        canvas.blend(area, canvas.look.ink, np.broadcast_to(thick, colour.shape[:2])[start:])


def lunar_ground(canvas: Canvas, item: Item, horizon: float) -> None:
    """Grey, cratered ground with hills on the horizon."""
    rng = np.random.default_rng([item.seed, 14])
    u, v = _plane(canvas, horizon)
    shift = rng.random(2)
    slope_x, slope_y = fields.craters()
    s, t = u * 0.5 + shift[0], v * 0.5 + shift[1]
    lx, ly = np.cos(canvas.light), -abs(np.sin(canvas.light)) * 0.6 - 0.3
    bump = fields.sample(slope_x, s, t) * lx + fields.sample(slope_y, s, t) * ly
    base = float(rng.uniform(0.42, 0.62))
    fine = fields.sample(fields.fractal(7, 1.2), u * 1.7, v * 1.7)
    fade = np.clip(1.4 - v * 0.22, 0.25, 1)
    if canvas.look.flat:
        light = base + 0.12 - 0.2 * (bump * fade > 0.5) + 0.08 * (bump * fade < -0.6)
    else:
        light = base - 0.3 * np.clip(bump, -1.5, 1.2) * fade + 0.16 * (fine - 0.5)
    light = light * (0.82 + 0.2 * np.clip((canvas.ys - horizon) * 2, 0, 1))
    colour = np.clip(light, 0.03, 1)[..., None] * np.asarray((1.0, 0.98, float(rng.uniform(0.92, 0.97))), np.float32)
    _lay(canvas, colour, _ground_mask(canvas, horizon, float(rng.uniform(0.01, 0.16)), item.seed), horizon)


def desert(canvas: Canvas, item: Item, horizon: float, bright: float) -> None:
    """Sand with dunes and far mesas."""
    rng = np.random.default_rng([item.seed, 15])
    u, v = _plane(canvas, horizon)
    wave = fields.sample(fields.fractal(6, 1.6), u * 0.3 + rng.random(), v * 0.8)
    fine = fields.sample(fields.fractal(7, 1.2), u * 1.3, v * 1.3)
    light = 0.75 + 0.3 * (wave - 0.5) + (0 if canvas.look.flat else 0.2 * (fine - 0.5))
    if canvas.look.flat:
        light = np.round(light * 6) / 6
    sand = mix(named(item.colour, item.seed), (0.86, 0.66, 0.47), 0.72)
    far = times(mix(sand, (0.5, 0.3, 0.3), 0.5), bright)
    _lay(
        canvas,
        np.broadcast_to(np.asarray(far, np.float32), canvas.pixels.shape),
        _ground_mask(canvas, horizon - 0.02, 0.14, item.seed + 1),
        horizon,
    )
    _lay(
        canvas,
        (light * bright)[..., None] * np.asarray(sand, np.float32),
        _ground_mask(canvas, horizon, 0.015, item.seed),
        horizon,
    )


def field(canvas: Canvas, item: Item, horizon: float, bright: float) -> None:
    """Grass, concrete or dry ground around a launch site."""
    rng = np.random.default_rng([item.seed, 16])
    u, v = _plane(canvas, horizon)
    fine = fields.sample(fields.fractal(7, 1.2), u * 1.3 + rng.random(), v * 1.3)
    light = 0.72 + (0.1 * np.round((fine - 0.5) * 3) if canvas.look.flat else 0.4 * (fine - 0.5))
    grass = {"green": (0.34, 0.46, 0.22), "grey": (0.5, 0.5, 0.48), "yellow": (0.62, 0.56, 0.32)}[item.colour]
    trees = times(mix(grass, (0.12, 0.22, 0.14), 0.7), bright)
    _lay(
        canvas,
        np.broadcast_to(np.asarray(trees, np.float32), canvas.pixels.shape),
        _ground_mask(canvas, horizon - 0.01, 0.04, item.seed + 1),
        horizon,
    )
    _lay(
        canvas,
        (light * bright * 1.2)[..., None] * np.asarray(grass, np.float32),
        _ground_mask(canvas, horizon, 0.0, item.seed),
        horizon,
    )


def sea(canvas: Canvas, item: Item, hour: str, horizon: float) -> None:
    """Waves that glitter towards the horizon and take the colour of the sky."""
    rng = np.random.default_rng([item.seed, 17])
    top, low, strength = HOURS[hour]
    u, v = _plane(canvas, horizon)
    wave = fields.sample(fields.fractal(8, 1.5), u * 0.55 + rng.random(), v * 1.6)
    small = fields.sample(fields.fractal(2, 1.45), u * 1.1, v * 2.9)
    water = mix(mix(top, (0.02, 0.22, 0.3), 0.6), low, 0.12)
    crest = (wave * 0.6 + small * 0.4 - 0.5) * 2
    if canvas.look.flat:
        crest = np.where(crest > 0.28, 0.7, np.where(crest < -0.3, -0.35, 0.0))
    colour = np.asarray(times(water, 0.9 * strength + 0.1), np.float32) * (1 + 0.5 * crest[..., None])
    shine = np.clip((crest - 0.25) * 2, 0, 1) * np.clip(1 - (canvas.ys - horizon) * 1.2, 0.15, 1)
    colour = colour + shine[..., None] * 0.55 * np.asarray(low, np.float32)
    _lay(canvas, colour.astype(np.float32), _ground_mask(canvas, horizon, 0.0, item.seed), horizon)
