"""Bundles whose vectors can be computed in the head: a picture is its mean colour, a text a sum of colours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SIZE = 8
WORDS = {"<pad>": 0, "<eos>": 1, "<unk>": 2, "red": 3, "green": 4, "blue": 5, "nothing": 6}
COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


def bundle(folder: Path, *, batch: int | str = "n", text_type: int = TensorProto.INT32, **card: Any) -> Path:
    """Write a bundle of dim 3 with a context of 6 tokens; keywords replace values of its card."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(visual(batch), str(folder / "visual.onnx"))
    onnx.save(textual(batch, text_type), str(folder / "textual.onnx"))
    tokenizer().save(str(folder / "tokenizer.json"))
    values = {
        "format": 1,
        "name": "mean-colour",
        "revision": "1",
        "dim": 3,
        "image_size": SIZE,
        "resize_mode": "squash",
        "crop": False,
        "interpolation": "bicubic",
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "context_length": 6,
        "pad_id": 0,
        "lower": True,
        "clean": "whitespace",
        "logit_scale": 100.0,
        "logit_bias": 0.0,
        "training": "softmax",
    }
    (folder / "card.json").write_text(json.dumps(values | card))
    return folder


def hub(folder: Path, **config: Any) -> Path:
    """The same encoder in the hub layout."""
    bundle(folder)
    for part in ("visual", "textual"):
        (folder / part).mkdir()
        (folder / f"{part}.onnx").rename(folder / part / "model.onnx")
    (folder / "tokenizer.json").rename(folder / "textual" / "tokenizer.json")
    (folder / "textual" / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>"}))
    (folder / "card.json").unlink()
    pixels = {"size": SIZE, "mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "visual" / "preprocess_cfg.json").write_text(json.dumps(pixels))
    base = {"embed_dim": 3, "vision_cfg": {"image_size": SIZE}, "text_cfg": {"context_length": 6}}
    (folder / "config.json").write_text(json.dumps(base | config))
    return folder


def visual(batch: int | str = "n") -> Any:
    nodes = [helper.make_node("ReduceMean", ["image", "axes"], ["embedding"], keepdims=0)]
    axes = numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])
    return _model(nodes, image, batch, [axes])


def textual(batch: int | str = "n", text_type: int = TensorProto.INT32) -> Any:
    table = np.zeros((len(WORDS), 3), np.float32)
    for word, colour in COLOURS.items():
        table[WORDS[word]] = colour
    # too little to be seen beside a colour, enough to give a text without one a direction
    table[WORDS["<eos>"]], table[WORDS["<unk>"]] = (0, 0, 1e-7), (1e-7, 2e-7, 3e-7)
    table[WORDS["nothing"]] = np.nan
    nodes = [
        helper.make_node("Gather", ["table", "text"], ["words"]),
        helper.make_node("ReduceSum", ["words", "axes"], ["embedding"], keepdims=0),
    ]
    constants = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1], np.int64), "axes")]
    text = helper.make_tensor_value_info("text", text_type, [batch, 6])
    return _model(nodes, text, batch, constants)


def _model(nodes: list[Any], feed: Any, batch: int | str, constants: list[Any]) -> Any:
    out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 3])
    graph = helper.make_graph(nodes, "tiny", [feed], [out], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    made.add_special_tokens(["<pad>", "<eos>", "<unk>"])
    return made
