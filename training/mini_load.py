"""Reads the bundle's ONNX weights back into the torch towers, so that training can go on from what is shipped.

Weights come back as they are stored: the large ones rounded to half precision. Two things are lost in the file. The
batch norms of the visual tower were folded into their convolutions at export: here they are set to change nothing but
add the folded bias, so the tower must stay in evaluation mode (or keep its norms there) when it is trained further. The
temperature of the caption loss is no part of a bundle: it starts anew.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import torch
from mini_model import Mini, TextualTower, VisualTower
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

Weights = dict[str, NDArray[np.float32]]


def load(bundle: Path) -> Mini:
    """Both towers of a bundle of `mini`, in evaluation mode, with its logit scale and bias.

    Raises:
        KeyError: a graph does not hold the weights of these towers.
    """
    card = json.loads((bundle / "card.json").read_text(encoding="utf-8"))
    recipe = card["recipe"]
    words, products = _weights(bundle / "textual.onnx")
    pieces, context = len(words["pieces.weight"]), card["context_length"]
    model = Mini(pieces, context, card["dim"], recipe["stem"], tuple(recipe["widths"]), tuple(recipe["depths"]))
    _fill_textual(model.textual, words, products)
    _fill_visual(model.visual, _weights(bundle / "visual.onnx")[0])
    with torch.no_grad():
        model.log_scale.fill_(math.log(card["logit_scale"]))
        model.bias.fill_(card["logit_bias"])
    return model.eval()


def _weights(path: Path) -> tuple[Weights, list[NDArray[np.float32]]]:
    """The stored weights by name, and those that a MatMul multiplies by, (in, out), in the order of the graph.

    The exporter transposes a linear layer's weight and gives it a number for a name: only its place tells what it is.
    """
    graph = onnx.load(path).graph
    stored = {w.name.removesuffix(".half"): np.array(numpy_helper.to_array(w)) for w in graph.initializer}
    kept = {name: values.astype(np.float32) for name, values in stored.items() if values.dtype.kind == "f"}
    return kept, [kept[node.input[1]] for node in graph.node if node.op_type == "MatMul" and node.input[1] in kept]


def _set(parameter: Tensor, values: NDArray[np.float32]) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(values)).reshape(parameter.shape))


def _fill_textual(tower: TextualTower, weights: Weights, products: list[NDArray[np.float32]]) -> None:
    linear = [part for layer in tower.layers for part in (layer.query_key_value, layer.out, layer.wide, layer.narrow)]
    transposed = {id(part.weight): values.T for part, values in zip([*linear, tower.gate], products, strict=True)}
    weights = {**weights, "places": weights["slice_1"]}
    for name, parameter in tower.named_parameters():
        _set(parameter, transposed[id(parameter)] if id(parameter) in transposed else weights[name])


def _fill_visual(tower: VisualTower, weights: Weights) -> None:
    for name, parameter in tower.named_parameters():
        if name in weights:
            _set(parameter, weights[name])
    # Every convolution of the body is followed by its norm, so both stand in the same order.
    convolutions = [name for name, part in tower.body.named_modules() if isinstance(part, nn.Conv2d)]
    norms = [part for part in tower.body.modules() if isinstance(part, nn.BatchNorm2d)]
    for name, norm in zip(convolutions, norms, strict=True):
        _set(norm.weight, np.ones(norm.num_features, np.float32))
        _set(norm.bias, weights[f"body.{name}.weight_bias"])
        _set(norm.running_mean, np.zeros(norm.num_features, np.float32))
        _set(norm.running_var, np.full(norm.num_features, 1 - norm.eps, np.float32))
