"""Photometric and geometric changes of training pictures, so that the drawing style matters less.

Batches are float32 (n, 3, s, s) in 0 to 1. Changes that would make an attribute wrong are left out: nothing turns a
picture grey, very dark or very blurred, because those are attributes themselves, and a colour that a caption names
keeps its name. Everything per pixel is one operation in place: on two cores the changes must not cost more than the
network.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own convention

Rng = np.random.Generator


def _uniform(rng: Rng, n: int, low: float, high: float) -> Tensor:
    return torch.from_numpy(rng.uniform(low, high, n).astype(np.float32)).view(n, 1, 1, 1)


def _some(rng: Rng, n: int, share: float) -> Tensor:
    return torch.from_numpy(np.flatnonzero(rng.random(n) < share))


def augment(pixels: NDArray[np.uint8], mirrored: NDArray[np.bool_], rng: Rng, size: int, strength: float) -> Tensor:
    """uint8 (n, s, s, 3) to a float batch of `size` pixels; `mirrored` says which ones to turn left to right."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    if x.shape[-1] != size:
        x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
    x = _frame(x, mirrored, rng, size)
    x = _colour(x, rng, strength)
    return _texture(x, rng, strength).clamp_(0, 1)


def _frame(x: Tensor, mirrored: NDArray[np.bool_], rng: Rng, size: int) -> Tensor:
    """Mirror, zoom, shift, tilt and stretch a little: one sampling grid a picture."""
    n = x.shape[0]
    zoom, shift = rng.uniform(0.88, 1.08, n), rng.uniform(-0.06, 0.06, (n, 2))
    stretch, mirror = rng.uniform(0.95, 1.05, n), np.where(mirrored, -1.0, 1.0)
    tilt = rng.normal(0, 0.05, n)
    matrix = np.zeros((n, 2, 3), dtype=np.float32)
    matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 0, 2] = zoom * mirror * stretch, -tilt, shift[:, 0]
    matrix[:, 1, 0], matrix[:, 1, 1], matrix[:, 1, 2] = tilt * mirror, zoom / stretch, shift[:, 1]
    grid = F.affine_grid(torch.from_numpy(matrix), [n, 3, size, size], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _colour(x: Tensor, rng: Rng, strength: float) -> Tensor:
    """Saturation, hue, contrast and exposure as one affine map a picture, then a bend of the curve."""
    n, _, size, _ = x.shape
    grey = np.full((3, 3), 1 / 3)
    saturation = rng.uniform(1 - 0.6 * strength, 1 + 0.6 * strength, (n, 1, 1))
    # Rows of the mixing sum to one, so that grey stays grey: a coloured picture keeps some colour.
    mixing = np.eye(3) + rng.normal(0, 0.07 * strength, (n, 3, 3))
    mixing += (1 - mixing.sum(2, keepdims=True)) / 3
    tint = 1 + rng.normal(0, 0.04 * strength, (n, 3, 1))
    contrast = rng.uniform(1 - 0.35 * strength, 1 + 0.35 * strength, (n, 1, 1))
    exposure = rng.uniform(1 - 0.25 * strength, 1 + 0.25 * strength, (n, 1, 1))
    whole = exposure * contrast * tint * ((grey + saturation * (np.eye(3) - grey)) @ mixing)
    level = x.mean((1, 2, 3)).numpy()[:, None, None]
    shift = exposure * (1 - contrast) * level * np.ones((n, 3, 1))
    flat = torch.baddbmm(
        torch.from_numpy(shift.astype(np.float32)), torch.from_numpy(whole.astype(np.float32)), x.view(n, 3, -1)
    )
    x = flat.view(n, 3, size, size).clamp_(0, 1)
    bend = _uniform(rng, n, -0.35, 0.35) * strength
    return torch.addcmul(x, x * bend, 1 - x)


@lru_cache(maxsize=4)
def _noise(size: int) -> Tensor:
    return torch.randn((384, 3, size, size), generator=torch.Generator().manual_seed(size))


def _texture(x: Tensor, rng: Rng, strength: float) -> Tensor:
    """Sharpening or softening, few grey levels, light from a side, noise: each on some of the pictures."""
    n, size = x.shape[0], x.shape[-1]
    chosen = _some(rng, n, 0.4 * strength)
    part = x[chosen]
    smooth = F.avg_pool2d(part, 3, 1, 1, count_include_pad=False)
    x[chosen] = part + (part - smooth) * _uniform(rng, len(chosen), -0.5, 1.6)
    chosen = _some(rng, n, 0.2 * strength)
    levels = torch.from_numpy(rng.integers(5, 12, len(chosen)).astype(np.float32)).view(-1, 1, 1, 1)
    x[chosen] = torch.round(x[chosen] * levels) / levels
    ramp = torch.linspace(-1, 1, size)
    across, down = _uniform(rng, n, -0.2, 0.2) * strength, _uniform(rng, n, -0.2, 0.2) * strength
    x *= 1 + across * ramp.view(1, 1, 1, size) + down * ramp.view(1, 1, size, 1)
    chosen = _some(rng, n, 0.5 * strength)
    start = int(rng.integers(0, 384 - len(chosen)))
    x[chosen] += _noise(size)[start : start + len(chosen)] * _uniform(rng, len(chosen), 0, 0.09)
    return x
