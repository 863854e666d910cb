"""Draws the canonical pictures and names the canonical texts on which encoders are checked: no files, no randomness."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]

TEXTS = (
    "",
    "a photo of a dog",
    "A red car, parked in the rain.",
    "sunset over the sea",
    "eine Katze auf dem Sofa",
    "a diagram with   many spaces and UPPER case",
    "naïve café, 3 people & 1 bicycle",
    "🌈 rainbow",
    "a very long description " * 40,
)


def draw(height: int, width: int) -> list[NDArray[np.uint8]]:
    """Twenty-four RGB pictures, each (height, width, 3) uint8: flat colours, shapes, textures, and their mixtures."""
    y, x = np.mgrid[0:height, 0:width]
    y, x = (y + 0.5) / height, (x + 0.5) / width
    pictures = []
    for index in range(24):
        texture = _texture(index % 8, x, y, index)
        first, second = _colour(index), _colour(index + 37)
        mixed = first + texture[..., None] * (second - first)
        pictures.append(np.clip(mixed * 255 + 0.5, 0, 255).astype(np.uint8))
    return pictures


def _colour(index: int) -> Any:
    """Well spread colours: the multiples of three irrational numbers."""
    return np.array([0.7548776662, 0.5698402910, 0.8191725134]) * (index + 1) % 1.0


def _texture(kind: int, x: Plane, y: Plane, seed: int) -> Any:
    """A pattern between 0 and 1 over the unit square."""
    turn = 2 + seed % 5
    if kind == 0:
        return x * 0.7 + y * 0.3
    if kind == 1:
        return ((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.03 * turn).astype(np.float64)
    if kind == 2:
        return (np.floor(x * turn) + np.floor(y * turn)) % 2
    if kind == 3:
        return 0.5 + 0.5 * np.sin(2 * np.pi * turn * (x + 0.6 * y))
    if kind == 4:
        return 0.5 + 0.5 * np.sin(40 * np.hypot(x - 0.3, y - 0.6))
    if kind == 5:
        return (np.abs(x - 0.5) + np.abs(y - 0.5) < 0.1 * turn).astype(np.float64) * (0.5 + 0.5 * y)
    if kind == 6:  # lines of writing
        return ((np.floor(y * 24) % 2 == 1) & (np.sin(90 * x + 7 * np.floor(y * 24) * seed) > -0.3)).astype(np.float64)
    return _clouds(x, y, seed)


def _clouds(x: Plane, y: Plane, seed: int) -> Any:
    """Waves of falling strength with frequency, as natural pictures have them."""
    total = np.zeros_like(x)
    for octave in range(1, 24):
        angle = 2.399963 * octave * (seed + 1)  # the golden angle: never twice the same direction
        frequency = 1.35**octave
        total += (
            np.sin(frequency * (np.cos(angle) * x + np.sin(angle) * y) * 2 * np.pi + seed * octave) / frequency**0.7
        )
    return (total - total.min()) / max(float(np.ptp(total)), 1e-9)
