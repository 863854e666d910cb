"""Writes the shipped folder: the two towers, the tokenizer and the card that describes them."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import mini_words as words
import torch
from tokenizers import Tokenizer

from sextant import models
from sextant.encoder import OnnxEncoder
from sextant.exchange import write_text
from sextant.train.mini_graph import export, export_tower
from sextant.train.mini_towers import Mini, TextualTower

DESCRIPTION = (
    "A small image-text pair trained from scratch on the demo's own drawings. It knows the demo's world (space scenes "
    "by attribute, façades as building, arch, column, dome and tower) and no photographs."
)
LIMITS = (
    "Knows no photograph and no thing that the demo does not draw.",
    "Knows no façade style by name.",
    "English, lower case, 32 word pieces; a word it has not seen is spelt in letter pairs and ignored beside a "
    "known one.",
    "Small things (under 5 % of the picture's side) are lost at 96 pixels.",
)


def write_bundle(
    folder: Path,
    model: Mini,
    tokenizer: Tokenizer,
    recipe: dict[str, Any],
    checked: dict[str, Any],
    revision: str,
    pixels: tuple[tuple[float, ...], tuple[float, ...], int],
) -> None:
    """Replace the bundle in `folder`; a failure half-way leaves the old one whole."""
    mean, std, size = pixels
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fresh = Path(scratch)
        export(model, fresh, size, words.CONTEXT)
        tokenizer.no_padding()  # the product pads to the context length itself
        tokenizer.save(str(fresh / "tokenizer.json"))
        card = {
            "format": 1,
            "name": "mini",
            "revision": revision,
            "dim": model.visual.head.out_features,
            "image_size": size,
            "resize_mode": "shortest",
            "crop": True,
            "interpolation": "bicubic",
            "mean": mean,
            "std": std,
            "context_length": words.CONTEXT,
            "pad_id": 0,
            "lower": True,
            "clean": "whitespace",
            "bos_id": None,
            "eos_id": None,
            "logit_scale": round(float(model.log_scale.detach().exp()), 4),
            "logit_bias": round(float(model.bias.detach()), 4),
            "training": "sigmoid",
            "licence": "Apache-2.0",
            "description": DESCRIPTION,
            "background_hash": None,
            "prior": None,
            "golden": None,
            "data": {
                "scenes": f"sextant.demo.scenes, seeds 0 to {recipe['pictures'] - 1}, trained styles",
                "facades": f"sextant.demo.facades, seeds 0 to {recipe['facades'] - 1}, coarse labels and captions only",
                "texts": "phrases and captions of sextant.demo.scenes, templates and absent things of mini_words.py",
            },
            "logits": "trained as log-odds: sigmoid(logit) of a single-attribute prompt is a probability",
            "reproduction": "the same seed and recipe give the same evaluation within noise (about 0.01 of mean AP)",
            "limits": LIMITS,
            "recipe": recipe,
            "checked_on_choice_seeds": checked,
        }
        (fresh / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for part in fresh.iterdir():
            shutil.move(part, folder / part.name)
    _write_card(folder, {"golden": models.golden(OnnxEncoder(folder))})


def retell(folder: Path, tower: TextualTower, recipe: dict[str, Any], checked: dict[str, Any], revision: str) -> None:
    """Give the bundle in `folder` another textual tower; its visual graph is not touched.

    The card loses what depended on the old texts: its figures and its prior, which are to be measured anew.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        path = Path(scratch) / "textual.onnx"
        export_tower(tower, torch.ones(2, words.CONTEXT, dtype=torch.int32), path, "text")
        path.replace(folder / "textual.onnx")
    changed = {"revision": revision, "limits": LIMITS, "prior": None, "golden": None, "quality": None}
    _write_card(folder, {**changed, "absent_recipe": recipe, "absent_checked_on_choice_seeds": checked})
    _write_card(folder, {"golden": models.golden(OnnxEncoder(folder))})


def _write_card(folder: Path, changed: dict[str, Any]) -> None:
    path = folder / "card.json"
    card = json.loads(path.read_text(encoding="utf-8")) | changed
    write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", path)
