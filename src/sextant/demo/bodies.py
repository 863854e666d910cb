"""Planets, Moon, Sun, stars and their limbs, as shaded discs on a canvas."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.demo import fields
from sextant.demo.canvas import Canvas
from sextant.demo.looks import Colour, mix, times
from sextant.demo.planning import Item

Floats = NDArray[np.floating[Any]]
PHASE_ANGLES = {"full": (0.0, 0.3), "gibbous": (0.75, 1.1), "half": (1.4, 1.65), "crescent": (2.0, 2.3)}
OCEANS: tuple[Colour, ...] = ((0.05, 0.2, 0.5), (0.04, 0.28, 0.55), (0.08, 0.16, 0.42), (0.06, 0.34, 0.58))
LANDS: tuple[Colour, ...] = ((0.24, 0.42, 0.16), (0.5, 0.42, 0.22), (0.34, 0.38, 0.18), (0.6, 0.46, 0.26))


def _light_of(canvas: Canvas, item: Item) -> tuple[float, float, float]:
    rng = np.random.default_rng([item.seed, 5])
    angle = float(rng.uniform(*PHASE_ANGLES[item.phase or "gibbous"]))
    return sin(angle) * cos(canvas.light), sin(angle) * sin(canvas.light), cos(angle)


def _gauge(dx: Floats, dy: Floats, sides: int, turn: float) -> Floats:
    """Distance from the centre of a regular polygon of unit circumradius, 1 on its edge."""
    step = 2 * pi / sides
    angle = (np.arctan2(dy, dx) - turn) % step - step / 2
    result: Floats = np.hypot(dx, dy) * np.cos(angle) / np.float32(cos(step / 2))
    return result


def earth_surface(item: Item, lon: Floats, lat: Floats, detail: float, hard: bool) -> tuple[Floats, Floats]:
    """Albedo (…, 3) and cloud cover (…) of the Earth at longitude and latitude in tile sides."""
    rng = np.random.default_rng([item.seed, 6])
    ocean, land = OCEANS[int(rng.integers(4))], LANDS[int(rng.integers(4))]
    shift = rng.random(4).astype(np.float32)
    height = fields.sample(fields.fractal(1, 1.8), lon * detail + shift[0], lat * detail + shift[1])
    cloud = fields.sample(fields.fractal(2, 1.45), lon * detail * 1.2 + shift[2], lat * detail * 1.7 + shift[3])
    sharp = 60.0 if hard else 18.0
    ground = np.clip((height - 0.56) * sharp, 0, 1)
    cover = np.clip((cloud - (0.66 if hard else 0.5)) * (40 if hard else 3.2), 0, 1)
    relief = 0.7 + 0.6 * height if not hard else np.ones_like(height)
    albedo = np.asarray(ocean, np.float32) + ground[..., None] * (
        np.asarray(land, np.float32) * relief[..., None] - np.asarray(ocean, np.float32)
    )
    return albedo.astype(np.float32), (cover * (1.0 if hard else 0.92)).astype(np.float32)


def _moon_albedo(item: Item, lon: Floats, lat: Floats, hard: bool) -> Floats:
    rng = np.random.default_rng([item.seed, 7])
    shift = rng.random(2).astype(np.float32)
    maria = fields.sample(fields.fractal(3, 1.9), lon * 0.7 + shift[0], lat * 0.7 + shift[1])
    grey = np.where(maria > 0.6, 0.48, 0.78) if hard else 0.85 - 0.5 * np.clip((maria - 0.45) * 3, 0, 1)
    warm = float(rng.uniform(0.9, 1.0))
    return (grey[..., None] * np.asarray((1.0, 0.98, 0.94 * warm), np.float32)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Ball:
    """Where a planet stands. `air` is the thickness of its glowing rim in radii; `limb`: only its edge is in the frame;
    by `daylight` its night side takes the colour of the sky.
    """

    x: float
    y: float
    radius: float
    air: float = 0.0
    limb: bool = False
    daylight: bool = False


def sphere(canvas: Canvas, item: Item, ball: Ball) -> None:
    """Paint Earth or Moon as a shaded ball."""
    area = canvas.window(ball.x, ball.y, ball.radius * (1 + 4 * ball.air) + 0.01)
    dx, dy = (canvas.xs[:, area[1]] - ball.x) / ball.radius, (canvas.ys[area[0], :] - ball.y) / ball.radius
    if dx.size == 0 or dy.size == 0:
        return
    look, sides = canvas.look, 40 if ball.limb else 9
    distance = _gauge(dx, dy, sides, item.turn + item.seed % 7) if look.facets else np.sqrt(dx * dx + dy * dy)
    towards = _limb_light(item) if ball.limb else _light_of(canvas, item)
    if ball.air:
        _air(canvas, area, distance, dx * towards[0] + dy * towards[1], ball.air)
    qx, qy = canvas.facet(dx, dy, 0.09 / ball.radius if ball.limb else 0.26)
    qz = np.sqrt(1 - np.minimum(qx * qx + qy * qy, 1))
    light = qx * towards[0] + qy * towards[1] + qz * towards[2]
    span = 0.5 * ball.radius if ball.limb else 0.3
    lon, lat = np.arctan2(qx, qz + 0.15) * span, np.arcsin(np.clip(qy, -1, 1)) * span
    paint = _earth if item.what.startswith("earth") else _moon
    colour, light = paint(canvas, item, (lon, lat), light, towards)
    shade = canvas.shade(light, 0.16 if look.flat else 0.015)
    if look.rim and not look.facets:
        shade = shade + look.rim * np.clip((distance - 0.86) * 7, 0, 1) * (light > -0.15)
    colour = colour * shade[..., None]
    if item.what.startswith("earth") and not look.flat:
        haze = np.clip(distance, 0, 1) ** 6 * np.clip(light * 2 + 0.1, 0, 1) * 0.55
        colour = colour + haze[..., None] * (np.asarray((0.45, 0.66, 0.98), np.float32) - colour)
    alpha = np.clip((1 - distance) * ball.radius * canvas.frame.scale + 0.5, 0, 1)
    edge = np.clip(1.6 - np.abs(distance - 1) * ball.radius / max(look.outline, 1e-6) * 1.6, 0, 1)
    if ball.daylight:
        alpha, edge = alpha * np.clip(light * 6, 0, 1), edge * (light > 0)
        colour = 0.1 * canvas.pixels[area] + 1.05 * colour
    canvas.blend(area, colour, alpha)
    if look.outline:
        canvas.blend(area, look.ink if look.pale else mix(look.ink, (0.9, 0.9, 0.9), 0.25), edge)


def _earth(
    canvas: Canvas, item: Item, at: tuple[Floats, Floats], light: Floats, _: tuple[float, float, float]
) -> tuple[Floats, Floats]:
    albedo, cloud = earth_surface(item, *at, 1.0, canvas.look.flat or canvas.look.facets)
    return albedo + cloud[..., None] * (np.float32(0.96) - albedo), light


def _moon(
    canvas: Canvas, item: Item, at: tuple[Floats, Floats], light: Floats, towards: tuple[float, float, float]
) -> tuple[Floats, Floats]:
    look = canvas.look
    colour = _moon_albedo(item, *at, look.flat or look.facets)
    if look.facets:
        return colour, light
    slope_x, slope_y = fields.craters()
    u, v = at[0] * 1.6 + 0.3, at[1] * 1.6 + 0.6
    bump = fields.sample(slope_x, u, v) * towards[0] + fields.sample(slope_y, u, v) * towards[1]
    if look.flat:
        return colour * np.where(np.abs(bump) > 0.55, 0.72, 1.0).astype(np.float32)[..., None], light
    slant = max(abs(towards[0]) + abs(towards[1]), 0.5)
    return colour, light - 0.28 * bump * np.clip(light * 3, 0, 1) / slant


def _air(canvas: Canvas, area: tuple[slice, slice], distance: Floats, facing: Floats, air: float) -> None:
    day = np.clip(facing * 2.2 + 0.75, 0.12, 1)
    height = (distance - 1) / air
    if canvas.look.flat or canvas.look.facets:
        for reach, strength in ((3.0, 0.45), (1.5, 0.8)):
            canvas.blend(area, (0.42, 0.7, 0.98), np.clip((reach - height) * 8, 0, 1) * strength)
        return
    strength = np.exp(-np.maximum(height, 0) * 1.1) * day
    canvas.glow(area, (0.3, 0.58, 1.0), strength.astype(np.float32))


def _limb_light(item: Item) -> tuple[float, float, float]:
    """Light for a limb: mostly from the open side, so that the rim is lit."""
    rng = np.random.default_rng([item.seed, 8])
    away = item.turn + pi + float(rng.normal(0, 0.5))
    flat = float(rng.uniform(0.6, 0.9))
    return flat * cos(away), flat * sin(away), (1 - flat**2) ** 0.5


def limb(canvas: Canvas, item: Item) -> None:
    """A planet's edge across the frame: the centre lies in direction `turn`, its edge x beyond the frame's middle."""
    away = item.size + item.x
    x, y = 0.5 + away * cos(item.turn), 0.5 + away * sin(item.turn)
    air = 0.018 / item.size if item.what == "earth_limb" else 0.0
    sphere(canvas, item, Ball(x, y, item.size, air, limb=True))


def disc(canvas: Canvas, item: Item, *, glow: bool, daylight: bool) -> None:
    """The whole Earth or Moon."""
    radius = item.size / 2 / (1.12 if glow else 1.0)
    sphere(canvas, item, Ball(item.x, item.y, radius, 0.045 if glow else 0.0, daylight=daylight))


def sun(canvas: Canvas, item: Item) -> None:
    """A blazing disc with a halo and rays; flat looks get a ring of spikes."""
    look, radius = canvas.look, item.size / 2
    rng = np.random.default_rng([item.seed, 9])
    colour: Colour = ((1.0, 0.97, 0.88), (1.0, 0.93, 0.7), (1.0, 0.98, 0.95))[int(rng.integers(3))]
    reach = radius * 4
    area = canvas.window(item.x, item.y, reach)
    dx, dy = (canvas.xs[:, area[1]] - item.x) / radius, (canvas.ys[area[0], :] - item.y) / radius
    if dx.size == 0 or dy.size == 0:
        return
    distance, angle = np.sqrt(dx * dx + dy * dy), np.arctan2(dy, dx)
    rays = int(rng.integers(5, 10))
    if look.flat or look.facets:
        star = _gauge(dx, dy, 8, 0.2) if look.facets else distance
        spikes = star - 0.45 * np.abs(((angle * rays / pi + rng.random()) % 2) - 1)
        sharp = radius * canvas.frame.scale
        canvas.blend(area, times((1.0, 0.72, 0.2), 1.0), np.clip((1.0 - spikes) * sharp, 0, 1))
        canvas.blend(area, (1.0, 0.9, 0.45), np.clip((0.78 - star) * sharp, 0, 1))
        if look.outline:
            canvas.blend(area, look.ink, np.clip(1.5 - np.abs(star - 0.8) * radius / look.outline * 2, 0, 1) * 0.8)
        return
    halo = (
        0.75 * np.exp(-1.5 * np.maximum(distance - 0.5, 0))
        + 0.3 * np.exp(-0.7 * distance) * np.abs(np.cos(angle * rays / 2 + rng.random())) ** 6
    )
    fade = np.clip(1 - distance / 4, 0, 1)
    canvas.glow(area, colour, (halo * fade).astype(np.float32))
    canvas.blend(area, (1.0, 1.0, 0.97), np.clip((0.55 - distance) * 7 + 0.5, 0, 1))


def stars(canvas: Canvas, item: Item, upper: float = 9.0) -> None:
    """Stars above the line y = `upper`; `count` 0 sparse, 1 plain, 2 dense; `size` above 1 fills the frame."""
    rng = np.random.default_rng([item.seed, 10])
    frame, many = canvas.frame, (30, 90, 170)[min(item.count, 2)] if item.size > 1 else 34
    half = item.size / 2
    xs = rng.uniform(max(frame.left, item.x - half), min(frame.right, item.x + half), many)
    ys = rng.uniform(max(frame.top, item.y - half), min(frame.bottom, upper, item.y + half), many)
    wanted = 0.0018 + 0.0055 * rng.random(many) ** 3 + (0.0012 if canvas.look.flat else 0)
    sizes = np.maximum(wanted, 0.62 / frame.scale)
    lights = (0.5 + 0.5 * rng.random(many)) * np.sqrt(wanted / sizes)
    warm = rng.normal(0, 0.1, many)
    for x, y, size, light, tone in zip(xs, ys, sizes, lights, warm, strict=True):
        area = canvas.window(x, y, size * 3)
        dx, dy = canvas.xs[:, area[1]] - x, canvas.ys[area[0], :] - y
        if canvas.look.facets or canvas.look.flat:
            span = (np.abs(dx) + np.abs(dy)) / (size * 1.5)
            spot = np.clip(1.5 - span, 0, 1)
        else:
            spot = np.exp(-(dx * dx + dy * dy) / (size * size)) * 1.3
        canvas.glow(area, (0.95 + tone, 0.95, 0.98 - tone), (spot * light).astype(np.float32))
