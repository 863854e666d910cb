"""Turns a checkpoint of open_clip or Hugging Face into a bundle, and proves that both give the same vectors."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sextant import models
from sextant.encoder import Card, OnnxEncoder, canonical
from sextant.encoder.card import validated
from sextant.errors import MissingExtra, ModelError
from sextant.paths import expanded
from sextant.train import checkpoints

OPSET = 18
LEAST_PARITY = 0.99999
"""The least cosine between a canonical picture's or text's vectors in torch and in the bundle."""
_FILES = ["*.json", "*.safetensors", "*.txt", "spiece.model", "README.md"]


def convert(source: str | Path, target: Path, *, name: str | None = None, licence: str | None = None) -> Card:
    """Write the bundle `target` from a checkpoint: a local folder, or OWNER/NAME on the Hugging Face Hub.

    The weights must be safetensors. Nothing is left behind when it fails. `licence` overrules the model card's. Returns
    the bundle's card. Raises `ModelError`, and `MissingExtra` without the extra `train`.
    """
    target = Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"{target} exists and is not empty; name another folder, or remove it first.")
    folder = _source(str(source))
    checkpoint = checkpoints.read(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        bundle = Path(scratch) / "bundle"
        bundle.mkdir()
        _export(checkpoint, bundle)
        (bundle / "tokenizer.json").write_text(checkpoint.tokenizer, encoding="utf-8")
        named = {
            "name": name or _name(str(source), folder),
            "dim": _dimension(checkpoint),
            "licence": licence or checkpoints.licence_of(folder),
            "description": f"converted from {_name(str(source), folder)}",
        }
        card = validated({**checkpoint.card, **named}, folder)
        card.write(bundle)
        encoder = OnnxEncoder(bundle, device="cpu", precision="fp32")
        _prove(checkpoint, encoder)
        card = card.model_copy(update={"golden": models.golden(encoder)})
        card.write(bundle)
        if target.exists():
            target.rmdir()
        shutil.move(str(bundle), str(target))
    return card


def _source(source: str) -> Path:
    path = expanded(source.removeprefix("local-dir:"))
    if path.is_file():
        raise ModelError(f"{path} is a file; name the folder that holds the checkpoint and its configuration.")
    if path.is_dir():
        return path
    repository = source.removeprefix("hf-hub:")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ModelError(f"There is no folder {path}, and {source!r} is not OWNER/NAME on the Hugging Face Hub.")
    return models.fetch(repository, _FILES)


def _name(source: str, folder: Path) -> str:
    return source.removeprefix("hf-hub:") if not Path(source).exists() and "/" in source else folder.resolve().name


def _export(checkpoint: checkpoints.Checkpoint, bundle: Path) -> None:
    size, length = checkpoint.card["image_size"], checkpoint.card["context_length"]
    graphs(checkpoint.visual, checkpoint.textual, size, length, bundle)


def graphs(visual: Any, textual: Any, size: int, length: int, bundle: Path) -> None:
    """Write visual.onnx and textual.onnx of two torch towers. Raises `MissingExtra` without the ONNX packages."""
    import torch

    parts: list[tuple[Any, Any, str, str]] = [
        (visual, torch.zeros(2, 3, size, size), "image", "visual.onnx"),
        (textual, torch.zeros(2, length, dtype=torch.int32), "text", "textual.onnx"),
    ]
    for module, example, feed, file in parts:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the tracer warns of every shape that it takes for a constant: see _prove
            try:
                torch.onnx.export(
                    module,
                    (example,),
                    str(bundle / file),
                    input_names=[feed],
                    output_names=["embedding"],
                    dynamic_axes={feed: {0: "n"}, "embedding": {0: "n"}},
                    opset_version=OPSET,
                    dynamo=False,  # the newer exporter names two values `embedding` and writes an invalid graph
                )
            except ImportError as error:
                raise MissingExtra(f"Writing ONNX files ({error.name})", "train") from error


def _dimension(checkpoint: checkpoints.Checkpoint) -> int:
    import torch

    size = checkpoint.card["image_size"]
    with torch.no_grad():
        return int(checkpoint.visual(torch.zeros(1, 3, size, size)).shape[1])


def _prove(checkpoint: checkpoints.Checkpoint, encoder: OnnxEncoder) -> None:
    """Compare torch and the bundle on the canonical pictures and texts, at another batch size than was traced."""
    import torch

    pixels = encoder.canonical_pixels()
    tokens = encoder.tokens(canonical.TEXTS)
    with torch.no_grad():
        images = checkpoint.visual(torch.from_numpy(pixels)).numpy()
        texts = checkpoint.textual(torch.from_numpy(tokens)).numpy()
    ours_of = {"image": encoder.encode_prepared(list(pixels)), "text": encoder.encode_texts(canonical.TEXTS)}
    for what, reference in (("image", images), ("text", texts)):
        ours = ours_of[what]
        cosines = (ours * reference).sum(axis=1) / np.linalg.norm(reference, axis=1)
        if not cosines.min() >= LEAST_PARITY:
            raise ModelError(
                f"The {what} tower came out wrong: its vectors keep only a cosine of {cosines.min():.6f} to the "
                f"checkpoint's, and {LEAST_PARITY} is required. Nothing was written."
            )
    logging.getLogger(__name__).info(
        "bundle equals its checkpoint on %d pictures and %d texts", len(pixels), len(tokens)
    )
