"""The float picture that skies, bodies and grounds are painted on, and its coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.demo import fields
from sextant.demo.looks import Colour, Look

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Frame:
    """`width` × `height` pixels that show x from `left` and y from `top` on, `scale` pixels a unit."""

    width: int
    height: int
    left: float
    top: float
    scale: float

    @property
    def right(self) -> float:
        """The x of the right edge."""
        return self.left + self.width / self.scale

    @property
    def bottom(self) -> float:
        """The y of the lower edge."""
        return self.top + self.height / self.scale


class Canvas:
    """`pixels` is (height, width, 3) float32 in 0..1; X and Y are row and column vectors of unit coordinates."""

    def __init__(self, frame: Frame, look: Look, light: float, seed: int) -> None:
        self.frame, self.look, self.light = frame, look, light
        self.rng = np.random.default_rng([seed, 4])
        self.pixels: Floats = np.zeros((frame.height, frame.width, 3), dtype=np.float32)
        self.xs = (frame.left + (np.arange(frame.width, dtype=np.float32) + 0.5) / frame.scale)[None, :]
        self.ys = (frame.top + (np.arange(frame.height, dtype=np.float32) + 0.5) / frame.scale)[:, None]

    def window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns within `reach` of (x, y), clipped to the frame; may be empty."""
        f = self.frame
        rows = slice(
            max(0, int((y - reach - f.top) * f.scale)), max(0, min(f.height, int((y + reach - f.top) * f.scale) + 2))
        )
        columns = slice(
            max(0, int((x - reach - f.left) * f.scale)), max(0, min(f.width, int((x + reach - f.left) * f.scale) + 2))
        )
        return rows, columns

    def facet(self, x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
        """Coordinates moved to the centre of the cell they lie in, cells about `cell` wide (low-poly looks only)."""
        if not self.look.facets:
            return x, y
        dx, dy = fields.facets()
        pitch = np.float32(cell * 14 / fields.SIDE)
        columns, rows = np.floor(x / pitch), np.floor(y / pitch)
        u, v = np.broadcast_arrays((columns + 0.5) / fields.SIDE, (rows + 0.5) / fields.SIDE)
        # From the tile pixel's own middle, so that a whole cell lands on one and the same point.
        center_x = (columns + 0.5) * pitch + fields.sample(dx, u, v) * fields.SIDE * pitch
        center_y = (rows + 0.5) * pitch + fields.sample(dy, u, v) * fields.SIDE * pitch
        return np.round(center_x / pitch) * pitch, np.round(center_y / pitch) * pitch

    def blend(self, area: tuple[slice, slice], colour: Floats | Colour, alpha: Floats | float) -> None:
        """Lay a colour over an area; alpha is (rows, columns) or a number."""
        part = self.pixels[area]
        cover = alpha[..., None] if isinstance(alpha, np.ndarray) else np.float32(alpha)
        part += (np.asarray(colour, dtype=np.float32) - part) * cover

    def glow(self, area: tuple[slice, slice], colour: Colour, strength: Floats) -> None:
        """Add light."""
        self.pixels[area] += strength[..., None] * np.asarray(colour, dtype=np.float32)

    def shade(self, light: Floats, dark: float = 0.04) -> Floats:
        """Lambert light to brightness: smooth, or in as many bands as the look has."""
        lit = np.clip(light, 0, 1)
        if self.look.bands:
            lit = np.ceil(np.clip(lit * 1.15, 0, 1) * (self.look.bands - 1) - 0.12) / (self.look.bands - 1)
        else:
            lit = np.sqrt(lit)
        result: Floats = (dark + (1 - dark) * lit).astype(np.float32)
        return result
