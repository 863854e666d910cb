"""Independent changes of training pictures: crop, mirror, turn, perspective, colour, now and then grey.

The same kinds and ranges as the reference's. Batches are bytes (n, s, s, 3) in, floats (n, 3, s, s) in 0 to 1 out;
every picture gets its own draw from a numpy generator, so the same seed gives the same pictures.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own convention

Rng = np.random.Generator
Doubles = NDArray[np.float64]
SMALLEST = 0.75  # share of the picture's area that a crop keeps
TURN = 10.0  # degrees
PERSPECTIVE, PERSPECTIVE_SHARE = 0.2, 0.3
JITTER, HUE, GREY = 0.2, 0.05, 0.05


def augment(pictures: NDArray[np.uint8], rng: Rng, strength: float = 1.0) -> Tensor:
    """Changed copies (n, 3, s, s) of pictures (n, s, s, 3); `strength` scales every range."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div_(255)
    x = F.grid_sample(x, _grid(x.shape, rng, strength), padding_mode="reflection", align_corners=False)
    return _colour(x, rng, strength)


def _grid(shape: torch.Size, rng: Rng, strength: float) -> Tensor:
    """Where each pixel comes from, (n, s, s, 2) in −1 to 1: a homography for each picture."""
    n, _, height, width = shape
    matrices = _homographies(n, rng, strength).astype(np.float32)
    across = (torch.arange(width) * 2 + 1) / width - 1
    down = (torch.arange(height) * 2 + 1) / height - 1
    y, x = torch.meshgrid(down, across, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(1, -1, 3)
    moved = points @ torch.from_numpy(matrices).transpose(1, 2)
    return (moved[..., :2] / moved[..., 2:]).reshape(n, height, width, 2)


def _homographies(n: int, rng: Rng, strength: float) -> Doubles:
    side = np.sqrt(rng.uniform(1 - (1 - SMALLEST) * strength, 1, n))
    stretch = np.exp(rng.uniform(-0.1, 0.1, n) * strength)
    half = np.stack([np.minimum(side * stretch, 1), np.minimum(side / stretch, 1)])
    shift = (1 - half) * rng.uniform(-1, 1, (2, n))
    mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    turn = np.radians(rng.uniform(-TURN, TURN, n) * strength)
    found = np.zeros((n, 3, 3))
    found[:, 0, 0], found[:, 0, 1] = mirror * half[0] * np.cos(turn), -half[0] * np.sin(turn)
    found[:, 1, 0], found[:, 1, 1] = mirror * half[1] * np.sin(turn), half[1] * np.cos(turn)
    found[:, 0, 2], found[:, 1, 2], found[:, 2, 2] = shift[0], shift[1], 1
    tilted = rng.random(n) < PERSPECTIVE_SHARE
    found[:, 2, :2] = rng.uniform(-1, 1, (n, 2)) * 0.5 * PERSPECTIVE * strength * tilted[:, None]
    return found


def _colour(x: Tensor, rng: Rng, strength: float) -> Tensor:
    """Brightness, contrast and saturation as one map a picture, a turn of the hue, and grey for a few."""
    n, _, height, width = x.shape
    bright, contrast, saturation = 1 + strength * rng.uniform(-JITTER, JITTER, (3, n))
    saturation = np.where(rng.random(n) < GREY * strength, 0.0, saturation)
    luma = np.array([0.299, 0.587, 0.114])
    grey = np.ones((3, 1)) * luma
    turn = _hue(2 * np.pi * strength * rng.uniform(-HUE, HUE, n))
    mixing = saturation[:, None, None] * turn + (1 - saturation)[:, None, None] * grey
    whole = (bright * contrast)[:, None, None] * mixing
    level = (x.mean((2, 3)).numpy() @ luma) * bright * (1 - contrast)
    offset = torch.from_numpy(np.repeat(level[:, None, None], 3, axis=1).astype(np.float32))
    flat = torch.baddbmm(offset, torch.from_numpy(whole.astype(np.float32)), x.reshape(n, 3, -1))
    return flat.view(n, 3, height, width).clamp_(0, 1)


def _hue(angle: Doubles) -> Doubles:
    """Turns (n, 3, 3) around the axis of greys."""
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return np.asarray(cos * np.eye(3) + sin * cross + (1 - cos) * np.full((3, 3), 1 / 3))


def normalise(x: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Pictures in 0 to 1 as the network takes them."""
    return (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
