"""The camera's part: flames, lens flare, blur, darkness, grain, tint. Pixels in, pixels out."""

from __future__ import annotations

from math import hypot, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sextant.demo import fields
from sextant.demo.canvas import Canvas
from sextant.demo.looks import Colour, Look
from sextant.demo.planning import Item, Plan

Floats = NDArray[np.floating[Any]]
LUMA = np.asarray((0.299, 0.587, 0.114), np.float32)
DARK_LEVEL = 20 / 255
DARK_SHARE = 0.92


def plume(canvas: Canvas, item: Item, horizon: float) -> None:
    """Fire below a rocket's engines and smoke rolling over the ground."""
    rng = np.random.default_rng([item.seed, 40])
    flat = canvas.look.flat or canvas.look.facets
    area = (slice(max(0, int((item.y - 0.25 - canvas.frame.top) * canvas.frame.scale)), None), slice(None))
    xs, ys = canvas.facet(canvas.xs, canvas.ys[area[0]], 0.07)
    xs, ys = np.broadcast_arrays(xs, ys)
    noise = fields.sample(fields.fractal(2, 1.45), xs * 0.9 + rng.random(), ys * 0.9 + rng.random())
    ground = horizon + 0.08
    wide = item.size * (0.9 + 1.3 * float(rng.random()))
    near = np.clip(
        1.3 - np.abs(ys - ground) / 0.13 - np.maximum(np.abs(xs - item.x) - wide, 0) * 5 + (noise - 0.5) * 2.2, 0, 1
    )
    trail = (
        np.clip(1.0 - np.abs(xs - item.x) / (0.05 + 0.5 * np.maximum(ys - item.y, 0)) + (noise - 0.55) * 1.4, 0, 1)
        * (ys > item.y + 0.05)
        * (ys < ground + 0.08)
    )
    smoke = np.maximum(near, trail)
    smoke = (smoke > 0.4).astype(np.float32) if flat else np.clip(smoke * 1.6, 0, 1)
    tone = 0.62 + 0.36 * (np.round(noise * 3) / 3 if flat else noise)
    canvas.blend(area, tone[..., None] * np.asarray((1.0, 0.96, 0.92), np.float32), smoke.astype(np.float32) * 0.94)
    below = (ys - item.y) / item.size
    across = np.abs(xs - item.x) / (0.055 + 0.1 * np.clip(below, 0, 1) * (1 - 0.6 * np.clip(below, 0, 1)))
    flame = np.clip(1.25 - across, 0, 1) * np.clip(1.2 - below, 0, 1) * (below > -0.02)
    if flat:
        canvas.blend(area, (1.0, 0.55, 0.1), (flame > 0.12).astype(np.float32))
        canvas.blend(area, (1.0, 0.9, 0.4), (flame > 0.5).astype(np.float32))
        return
    canvas.glow(area, (1.0, 0.62, 0.22), (flame * 1.6).astype(np.float32))
    canvas.blend(area, (1.0, 0.97, 0.8), np.clip(flame * 2 - 0.6, 0, 1))
    dx, dy = xs - item.x, ys - item.y - item.size * 0.5
    canvas.glow(area, (0.5, 0.28, 0.08), np.exp(-(dx * dx + dy * dy) * 26).astype(np.float32))


def flare(canvas: Canvas, item: Item, source: Item | None) -> None:
    """A chain of coloured ghosts from the light source through the middle of the frame, and a streak."""
    rng = np.random.default_rng([item.seed, 41])
    if source is None:
        x, y = float(rng.choice([0.03, 0.97])), float(rng.uniform(0.02, 0.15))
    else:
        x, y = source.x, source.y
    ax, ay = 0.5 - x, 0.5 - y
    if hypot(ax, ay) < 0.16:
        angle = float(rng.uniform(0, 2 * pi))
        ax, ay = 0.3 * np.cos(angle), 0.3 * np.sin(angle)
    strength = 0.5 if canvas.look.flat else float(rng.uniform(0.3, 0.5))
    tones: tuple[Colour, ...] = ((0.35, 1.0, 0.5), (1.0, 0.5, 0.25), (0.4, 0.6, 1.0), (1.0, 0.85, 0.3), (0.9, 0.4, 0.9))
    for along, radius in ((0.55, 0.05), (0.9, 0.085), (1.25, 0.045), (1.55, 0.12), (1.85, 0.07)):
        r = radius * float(rng.uniform(0.8, 1.25))
        gx, gy = x + ax * along, y + ay * along
        area = canvas.window(gx, gy, r * 1.1)
        dx, dy = (canvas.xs[:, area[1]] - gx) / r, (canvas.ys[area[0], :] - gy) / r
        if dx.size == 0 or dy.size == 0:
            continue
        angle2 = (np.arctan2(dy, dx)) % (pi / 3) - pi / 6
        distance = (
            np.hypot(dx, dy) * np.cos(angle2) / np.cos(pi / 6) if canvas.look.facets or r > 0.07 else np.hypot(dx, dy)
        )
        disc = np.clip((1 - distance) * 10, 0, 1) * (0.55 + 0.45 * np.clip(distance, 0, 1) ** 3)
        canvas.glow(area, tones[int(rng.integers(5))], (disc * strength).astype(np.float32))
    rows = canvas.window(0, y, 0.1)[0]
    dy = canvas.ys[rows] - y
    streak = np.exp(-((dy / 0.012) ** 2)) * np.exp(-np.abs(canvas.xs - x) * 1.6) * 0.55
    canvas.glow((rows, slice(None)), (0.6, 0.8, 1.0), streak.astype(np.float32))


def develop(pixels: Floats, look: Look, plan: Plan) -> Floats:
    """Tint, contrast, mottling, grain, blur, black and white, and the promise about darkness."""
    rng = np.random.default_rng([plan.seed, 50, plan.take])
    height, width = pixels.shape[:2]
    side = max(height, width)
    pixels = np.clip(pixels, 0, 1.0)
    if plan.blurred:
        pixels = _blurred(pixels, rng, side)
    grey = (pixels @ LUMA)[..., None]
    if plan.grey:
        pixels = np.repeat(grey, 3, 2)
    else:
        pixels = (grey + (pixels - grey) * look.saturation) * np.asarray(look.tint, np.float32)
    pixels = (pixels - 0.5) * look.contrast + 0.5 if not plan.dark else pixels
    exposure = float(rng.uniform(0.9, 1.1)) if not plan.dark else 1.0
    if not plan.dark:
        lift = np.asarray(look.lift, np.float32) if not plan.grey else np.float32(np.mean(look.lift))
        pixels = pixels * exposure * (1 - lift) + lift
    if look.mottle and not plan.dark:
        y, x = np.ogrid[0:height, 0:width]
        u, v = np.broadcast_arrays(
            (x / side).astype(np.float32) * 1.3 + rng.random(), (y / side).astype(np.float32) * 1.3 + rng.random()
        )
        pixels = pixels * (1 + look.mottle * (fields.sample(fields.fractal(7, 1.2), u, v) - 0.5) * 2)[..., None]
    if look.vignette and not plan.dark:
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        pixels = pixels * (1 - look.vignette * np.clip((x * x + y * y) / 2, 0, 1) ** 1.5)[..., None]
    if look.grain:
        pixels = pixels + _grain(
            rng, height, width, look.grain * (0.4 if plan.blurred or plan.dark else 1.0), plan.grey
        )
    return _dark_or_not(np.clip(pixels, 0, 1).astype(np.float32), plan)


def _blurred(pixels: Floats, rng: np.random.Generator, side: int) -> Floats:
    picture = Image.fromarray((pixels * 255).astype(np.uint8))
    radius = side * float(rng.uniform(0.014, 0.026))
    result: Floats = np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255
    return result


def _grain(rng: np.random.Generator, height: int, width: int, strength: float, grey: bool) -> Floats:
    def noise() -> Floats:
        top, left = (int(part) for part in rng.integers(0, fields.SIDE, 2))
        rows = (np.arange(height) + top) % fields.SIDE
        columns = (np.arange(width) + left) % fields.SIDE
        result: Floats = fields.grain()[rows][:, columns]
        return result

    if grey:
        return (noise() * strength * 0.7)[..., None]
    return np.stack([noise() for _ in range(3)], 2) * np.float32(strength * 0.8)


def darkness(pixels: Floats) -> float:
    """The share of pixels whose luma is under 20/255."""
    return float(((pixels * 255).astype(np.uint8).astype(np.float32) @ LUMA < 20).mean())


def _dark_or_not(pixels: Floats, plan: Plan) -> Floats:
    """A dark frame stays dark; any other has its blacks lifted until it is none, as a scan of film would."""
    if plan.dark:
        return np.where((pixels @ LUMA)[..., None] < 0.11, pixels * 0.55, pixels)
    if darkness(pixels) > DARK_SHARE - 0.02:
        lift = np.asarray((0.086, 0.09, 0.13) if not plan.grey else (0.093, 0.093, 0.093), np.float32)
        pixels = pixels * (1 - lift) + lift
    return pixels
