"""open_clip's CLIP as its weight names define it, written out with torch's own attention; and open_clip itself.

The small class stands in where open_clip is not installed, and is compared with it where it is. open_clip imports
torchvision, which the tests do without: an empty stand-in is enough for its model classes.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import Any

import torch
from torch import nn

STANDINS = (
    *("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.ops"),
    *("torchvision.ops.misc", "torchvision.models", "torchvision.models.feature_extraction", "torchvision.io"),
    *("torchvision.datasets", "torchvision.datasets.folder"),
)


@contextmanager
def without_torchvision() -> Iterator[None]:
    """An importable torchvision in which every name is an empty class, for the time of the block."""
    put = {}
    for name in STANDINS:
        module = types.ModuleType(name)
        module.__spec__, module.__path__ = ModuleSpec(name, None), []
        module.__getattr__ = _anything  # type: ignore[method-assign]
        put[name] = module
    before = {name: sys.modules.get(name) for name in STANDINS}
    sys.modules.update(put)
    for name, module in put.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(put[parent], child, module)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old


def _anything(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    filters = ("NEAREST", "BILINEAR", "BICUBIC", "BOX", "HAMMING", "LANCZOS")
    return type(name, (), {filter_name: number for number, filter_name in enumerate(filters)})


class QuickGelu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, act: type[nn.Module]) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", act())
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        out: torch.Tensor = x + self.mlp(self.ln_2(x))
        return out


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int, heads: int, act: type[nn.Module]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList([Block(width, heads, act) for _ in range(layers)])

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        for block in self.resblocks:
            x = block(x, mask)
        return x


class Visual(nn.Module):
    def __init__(self, cfg: dict[str, Any], dim: int, act: type[nn.Module]) -> None:
        super().__init__()
        width, patch = cfg["width"], cfg["patch_size"]
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros((cfg["image_size"] // patch) ** 2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Transformer(width, cfg["layers"], width // 64, act)
        self.proj = nn.Parameter(torch.zeros(width, dim))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.conv1(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1) + self.positional_embedding
        return self.ln_post(self.transformer(self.ln_pre(x))[:, 0]) @ self.proj


class Clip(nn.Module):
    """The same arguments, tensor names and two methods as `open_clip.model.CLIP`."""

    def __init__(
        self, embed_dim: int, vision_cfg: dict[str, Any], text_cfg: dict[str, Any], quick_gelu: bool = False
    ) -> None:
        super().__init__()
        act = QuickGelu if quick_gelu else nn.GELU
        length, width = text_cfg["context_length"], text_cfg["width"]
        self.visual = Visual(vision_cfg, embed_dim, act)
        self.transformer = Transformer(width, text_cfg["layers"], text_cfg["heads"], act)
        self.token_embedding = nn.Embedding(text_cfg["vocab_size"], width)
        self.positional_embedding = nn.Parameter(torch.zeros(length, width))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, embed_dim))
        self.logit_scale = nn.Parameter(torch.tensor(4.6052))
        self.register_buffer("mask", torch.full((length, length), float("-inf")).triu(1), persistent=False)

    def encode_image(self, image: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        return nn.functional.normalize(self.visual(image), dim=-1)

    def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        x = self.token_embedding(text) + self.positional_embedding
        x = self.ln_final(self.transformer(x, self.mask))
        x = x[torch.arange(len(x)), text.argmax(dim=-1)] @ self.text_projection
        return nn.functional.normalize(x, dim=-1)
