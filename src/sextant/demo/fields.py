"""Periodic noise tiles, made once a process from fixed seeds: clouds, land, craters, grain, facets."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
SIDE = 512


@lru_cache(maxsize=16)
def fractal(seed: int, power: float = 1.7) -> Floats:
    """A (512, 512) periodic field with spectrum 1/fᵖ, its values spread evenly over 0..1."""
    rng = np.random.default_rng([seed, 77])
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = 1.0
    noise = np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) / frequency**power
    noise[0, 0] = 0.0
    field = np.fft.irfft2(noise, s=(SIDE, SIDE))
    field = (field - field.mean()) / field.std()
    spread: Floats = (1 / (1 + np.exp(-1.7 * field))).astype(np.float32)
    return spread


@lru_cache(maxsize=1)
def craters() -> tuple[Floats, Floats]:
    """Slopes along x and y of a periodic cratered plain, (512, 512) each."""
    rng = np.random.default_rng(4242)
    height = np.zeros((SIDE, SIDE), dtype=np.float32)
    for radius in np.concatenate(
        [[44, 36, 30], rng.uniform(14, 26, 10), rng.uniform(6, 13, 60), rng.uniform(2.5, 5, 300)]
    ):
        reach = int(radius * 1.7) + 1
        offset = np.arange(-reach, reach + 1)
        distance = np.hypot(offset[:, None], offset[None, :]) / radius
        bowl = np.where(distance < 1, distance**2 - 1, 0) + 0.6 * np.exp(-(((distance - 1.05) / 0.22) ** 2))
        y, x = rng.integers(0, SIDE, 2)
        rows, columns = (y + offset) % SIDE, (x + offset) % SIDE
        height[np.ix_(rows, columns)] += (bowl * radius * 0.4).astype(np.float32)
    height += 9 * fractal(5, 1.6)
    return (
        (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2,
        (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / 2,
    )


@lru_cache(maxsize=1)
def facets() -> tuple[Floats, Floats]:
    """For each pixel of a periodic tile, the offset (in tile sides) to the centre of the cell it lies in."""
    rng = np.random.default_rng(99)
    cells = 14
    cy, cx = np.divmod(np.arange(cells * cells), cells)
    points = (np.stack([cx, cy], 1) + rng.uniform(0.1, 0.9, (cells * cells, 2))) / cells
    axis = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    best = np.full((SIDE, SIDE), 9.0, dtype=np.float32)
    dx, dy = np.zeros_like(best), np.zeros_like(best)
    for px, py in points:
        ox, oy = (px - axis + 0.5) % 1 - 0.5, (py - axis + 0.5) % 1 - 0.5
        distance = np.abs(ox)[None, :] + np.abs(oy)[:, None] + 0.7 * np.abs(ox[None, :] + oy[:, None])
        nearer = distance < best
        best = np.where(nearer, distance, best)
        dx = np.where(nearer, ox[None, :], dx)
        dy = np.where(nearer, oy[:, None], dy)
    return dx.astype(np.float32), dy.astype(np.float32)


def sample(tile: Floats, u: Floats, v: Floats) -> Floats:
    """The tile at (u, v) in tile sides, repeated without end. Any shape in, the same shape out."""
    columns = (u * SIDE).astype(np.int32) & (SIDE - 1)
    rows = (v * SIDE).astype(np.int32) & (SIDE - 1)
    return tile.ravel()[rows * SIDE + columns]


@lru_cache(maxsize=1)
def grain() -> Floats:
    """White noise of unit spread, (512, 512)."""
    return np.random.default_rng(3).standard_normal((SIDE, SIDE)).astype(np.float32)
