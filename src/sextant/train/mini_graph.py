"""Between the torch towers of `mini` and the ONNX graphs of its bundle: written there, and read back to train on.

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
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from sextant.train.mini_towers import Mini, TextualTower, VisualTower

_RENAMED = {"embedding": "looked_up", "rows": "embedding"}
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
    model.eval()
    return model


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
