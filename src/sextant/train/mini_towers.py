"""The two towers of `mini` in torch.

Pictures (n, 3, s, s) and texts (n, context) become unit rows of one space. `logit = exp(log_scale) · cosine + bias`
is trained as a log-odds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention


class Block(nn.Module):  # type: ignore[misc,unused-ignore]
    """Two 3 × 3 convolutions and a shortcut (He et al. 2016)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outside)
        self.short = nn.Identity()
        if stride > 1 or inside != outside:
            self.short = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to the block's channels and size."""
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.short(x))


class VisualTower(nn.Module):  # type: ignore[misc,unused-ignore]
    """A small ResNet whose head sees the mean, the maximum (which keeps small things) and a coarse map of the picture.

    The map, 3 × 3 places of a few channels, is what can tell left from right.
    """

    def __init__(self, dim: int, stem: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, stem, 5, 2, 2, bias=False), nn.BatchNorm2d(stem), nn.ReLU()]
        inside = stem
        for width, depth in zip(widths, depths, strict=True):
            for number in range(depth):
                layers.append(Block(inside, width, 2 if number == 0 else 1))
                inside = width
        self.body = nn.Sequential(*layers)
        self.places = nn.Conv2d(inside, 48, 1)
        self.norm = nn.LayerNorm(2 * inside + 9 * 48)
        self.head = nn.Linear(2 * inside + 9 * 48, dim)

    def forward(self, image: Tensor) -> Tensor:
        """Pictures (n, 3, s, s), normalised as the card says, to unit rows (n, dim)."""
        pooled = self.pooled(self.body(image))
        return F.normalize(self.head(self.norm(pooled.float())), dim=-1)

    def pooled(self, x: Tensor) -> Tensor:
        """What the body gave (n, c, h, w) to features: mean, maximum and map, (n, 2c + 432)."""
        map_ = F.relu(
            F.interpolate(self.places(x), size=(3, 3), mode="area")
            if x.shape[-1] != 6
            else F.avg_pool2d(self.places(x), 2)
        )
        return torch.cat([x.mean((2, 3)), x.amax((2, 3)), map_.flatten(1)], dim=1)


class Layer(nn.Module):  # type: ignore[misc,unused-ignore]
    """One pre-norm transformer layer, written out so that it exports to plain products."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.next_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(n, t, width) to the same; `mask` (n, t) is 0 or a large negative number."""
        n, t, width = x.shape
        qkv = self.query_key_value(self.norm(x)).reshape(n, t, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5 + mask[:, None, None, :]).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, t, width))
        return x + self.narrow(F.gelu(self.wide(self.next_norm(x))))


class TextualTower(nn.Module):  # type: ignore[misc,unused-ignore]
    """Word pieces through two transformer layers, then a mean in which every piece has a learned say.

    The gate is what lets a meaningless word weigh nothing.
    """

    def __init__(self, dim: int, vocabulary: int, context: int, width: int = 128, layers: int = 2) -> None:
        super().__init__()
        self.pieces = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(torch.randn(context, width) * 0.01)
        self.layers = nn.ModuleList(Layer(width, 4) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 1)
        self.head = nn.Linear(width, dim)
        nn.init.normal_(self.pieces.weight, std=0.05)

    def forward(self, text: Tensor) -> Tensor:
        """Token ids (n, context) to unit rows (n, dim)."""
        mask = (text == 0).float() * -1e4
        x = self.pieces(text) + self.places[: text.shape[1]]
        for layer in self.layers:
            x = layer(x, mask)
        x = self.norm(x).float()
        say = (self.gate(x)[..., 0] + mask).softmax(-1)
        return F.normalize(self.head((say[..., None] * x).sum(1)), dim=-1)


class Mini(nn.Module):  # type: ignore[misc,unused-ignore]
    """Both towers, the scale and bias of the attribute logits, and the temperature of the caption loss."""

    def __init__(
        self, vocabulary: int, context: int, dim: int, stem: int, widths: tuple[int, ...], depths: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.visual = VisualTower(dim, stem, widths, depths)
        self.textual = TextualTower(dim, vocabulary, context)
        self.log_scale = nn.Parameter(torch.tensor(40.0).log())
        self.bias = nn.Parameter(torch.tensor(-8.0))
        self.caption_log_scale = nn.Parameter(torch.tensor(14.0).log())
