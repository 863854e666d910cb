"""The two towers of `mini` in torch, and their way into ONNX.

Pictures (n, 3, s, s) and texts (n, context) become unit rows of one space. `logit = exp(log_scale) · cosine + bias`
is trained as a log-odds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention

_RENAMED = {"embedding": "looked_up", "rows": "embedding"}


class Block(nn.Module):
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
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.short(x))


class VisualTower(nn.Module):
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
        x = self.body(image)
        map_ = F.relu(
            F.interpolate(self.places(x), size=(3, 3), mode="area")
            if x.shape[-1] != 6
            else F.avg_pool2d(self.places(x), 2)
        )
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3)), map_.flatten(1)], dim=1)
        return F.normalize(self.head(self.norm(pooled.float())), dim=-1)


class Layer(nn.Module):
    """One pre-norm transformer layer, written out so that it exports to plain products."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.next_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        n, t, width = x.shape
        qkv = self.query_key_value(self.norm(x)).reshape(n, t, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5 + mask[:, None, None, :]).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, t, width))
        return x + self.narrow(F.gelu(self.wide(self.next_norm(x))))


class TextualTower(nn.Module):
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
        mask = (text == 0).float() * -1e4
        x = self.pieces(text) + self.places[: text.shape[1]]
        for layer in self.layers:
            x = layer(x, mask)
        x = self.norm(x).float()
        say = (self.gate(x)[..., 0] + mask).softmax(-1)
        return F.normalize(self.head((say[..., None] * x).sum(1)), dim=-1)


class Mini(nn.Module):
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


def export(model: Mini, folder: Path, size: int, context: int) -> None:
    """Write visual.onnx and textual.onnx with weights in half precision, computed in single."""
    export_tower(model.visual, torch.zeros(2, 3, size, size), folder / "visual.onnx", "image")
    export_tower(model.textual, torch.ones(2, context, dtype=torch.int32), folder / "textual.onnx", "text")


def export_tower(tower: nn.Module, example: Tensor, path: Path, source: str) -> None:
    """Write one tower, whose input is called `source`; its batch norms end up inside its convolutions."""
    count = torch.export.Dim("n", min=1, max=65_536)
    torch.onnx.export(
        tower.eval(), (example,), path, input_names=[source], output_names=["rows"],
        dynamic_shapes=({0: count},), dynamo=True, external_data=False, verbose=False, opset_version=18,
    )  # fmt: skip
    onnx.save(_halve_weights(onnx.load(path)), path)


def _halve_weights(graph_file: onnx.ModelProto) -> onnx.ModelProto:
    """Store large float32 weights as float16 with a cast in front: half the file, same arithmetic at run time."""
    graph = graph_file.graph
    casts = []
    for weight in list(graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 1024:
            continue
        stored = numpy_helper.from_array(values.astype(np.float16), f"{weight.name}.half")
        casts.append(helper.make_node("Cast", [stored.name], [weight.name], to=TensorProto.FLOAT))
        graph.initializer.remove(weight)
        graph.initializer.append(stored)
    for node in graph.node:  # the exporter calls the looked-up word pieces "embedding", which the output is to be
        for names in (node.input, node.output):
            names[:] = [_RENAMED.get(name, name) for name in names]
    graph.output[0].name = "embedding"
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    del graph_file.metadata_props[:]
    for node in graph.node:  # the exporter records source lines and local paths: no business of the bundle
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(graph_file)
    return graph_file
