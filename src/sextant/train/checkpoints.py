"""Reads a checkpoint of transformers or open_clip into two torch towers and the card that describes them."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sextant.encoder.card import CLIP_MEAN, CLIP_STD, read_json
from sextant.errors import MissingExtra, ModelError
from sextant.train import open_clip_weights, vocabularies

_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Two torch modules in evaluation mode, the tokenizer, and the card's fields that the source determines."""

    visual: Any
    textual: Any
    tokenizer: str
    card: dict[str, Any]


def read(folder: Path) -> Checkpoint:
    """The checkpoint in a folder: open_clip's layout, or transformers'. Raises `ModelError`."""
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError:
        raise MissingExtra("Converting a model", "train") from None
    if (folder / "open_clip_config.json").is_file():
        return _open_clip(folder)
    if (folder / "config.json").is_file():
        return _transformers(folder)
    raise ModelError(
        f"{folder} is no checkpoint: it has neither config.json (Hugging Face) nor open_clip_config.json (open_clip)."
    )


def _transformers(folder: Path) -> Checkpoint:
    from transformers import CLIPModel, SiglipModel

    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind == "siglip2":
        raise ModelError(
            f"{folder} is a NaFlex model, whose input size varies. Use the fixed-size SigLIP 2 of the family."
        )
    if kind not in ("clip", "siglip"):
        raise ModelError(f"{folder} holds a {kind or 'nameless'} model; CLIP, SigLIP and SigLIP 2 can be converted.")
    weights = _weights(folder, ("model.safetensors", "model-*-of-*.safetensors"))
    model_class = CLIPModel if kind == "clip" else SiglipModel
    try:
        model = model_class.from_pretrained(
            str(folder), use_safetensors=True, attn_implementation="eager", dtype="float32", local_files_only=True
        )
    except Exception as error:  # transformers raises OSError, ValueError, KeyError and its own for a broken folder
        raise ModelError(f"{folder} cannot be loaded by transformers: {error}") from error
    vocabulary = vocabularies.read(folder)
    sigmoid = kind == "siglip"
    card = {
        **_pixels_of_transformers(folder, model.config.vision_config.image_size, squash=sigmoid),
        "lower": vocabulary.multilingual,
        "clean": "none",
    }
    return _checkpoint(model, vocabulary, card, _fingerprint([*weights, folder / "config.json"]))


def _open_clip(folder: Path) -> Checkpoint:
    from safetensors.torch import load_file
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    config = read_json(folder / "open_clip_config.json")
    model_cfg = config.get("model_cfg")
    if not isinstance(model_cfg, dict):
        raise ModelError(f"{folder / 'open_clip_config.json'} has no model_cfg.")
    weights = _weights(folder, ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "*.safetensors"))
    try:
        tensors = {key: value.float() for key, value in load_file(weights[0]).items()}
        if open_clip_weights.is_siglip(model_cfg):
            model = SiglipModel(SiglipConfig(**open_clip_weights.siglip_config(model_cfg, tensors)))
            mapped = open_clip_weights.siglip_tensors(tensors)
        else:
            model = CLIPModel(CLIPConfig(**open_clip_weights.clip_config(model_cfg)))
            mapped = open_clip_weights.clip_tensors(tensors)
        model.load_state_dict({**_buffers(model), **mapped}, strict=True)
    except (KeyError, RuntimeError, AttributeError) as error:
        raise ModelError(f"{weights[0]} does not hold what open_clip_config.json describes: {error}") from error
    model.set_attn_implementation("eager")
    text = model_cfg["text_cfg"]
    named = "hf_tokenizer_name" in text
    vocabulary = vocabularies.read(folder) if named else vocabularies.read_clip(folder)
    clean = (text.get("tokenizer_kwargs") or {}).get("clean", "whitespace" if named else "lower")
    card = {
        **_pixels_of_open_clip(config.get("preprocess_cfg") or {}, model_cfg),
        "lower": clean == "lower",
        "clean": "whitespace" if clean == "lower" else clean,
    }
    return _checkpoint(model, vocabulary, card, _fingerprint([weights[0], folder / "open_clip_config.json"]))


def _buffers(model: Any) -> dict[str, Any]:
    return {name: value for name, value in model.state_dict().items() if name.endswith("position_ids")}


def _checkpoint(model: Any, vocabulary: vocabularies.Vocabulary, card: dict[str, Any], revision: str) -> Checkpoint:
    model.eval().requires_grad_(False)
    visual, textual = _towers(model)
    bias = getattr(model, "logit_bias", None)
    settings = {
        **card,
        "revision": revision,
        "context_length": model.config.text_config.max_position_embeddings,
        "pad_id": vocabulary.pad_id,
        "pad_side": vocabulary.pad_side,
        "bos_id": vocabulary.bos_id,
        "eos_id": vocabulary.eos_id,
        "logit_scale": math.exp(float(model.logit_scale)),
        "logit_bias": 0.0 if bias is None else float(bias),
        "training": "softmax" if bias is None else "sigmoid",
    }
    return Checkpoint(visual, textual, vocabulary.json, settings)


def _towers(model: Any) -> tuple[Any, Any]:
    """The two halves as modules with one input and one output each."""
    import torch

    class Visual(torch.nn.Module):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.tower = model.vision_model
            self.projection = getattr(model, "visual_projection", torch.nn.Identity())

        def forward(self, image: Any) -> Any:
            return self.projection(self.tower(pixel_values=image).pooler_output)

    class Textual(torch.nn.Module):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.tower = model.text_model
            self.projection = getattr(model, "text_projection", torch.nn.Identity())

        def forward(self, text: Any) -> Any:
            return self.projection(self.tower(input_ids=text).pooler_output)

    return Visual().eval(), Textual().eval()


def _pixels_of_transformers(folder: Path, size: int, *, squash: bool) -> dict[str, Any]:
    """Resize, crop and normalisation from `preprocessor_config.json`, or the newer `processor_config.json`."""
    raw: dict[str, Any] = {}
    if (folder / "preprocessor_config.json").is_file():
        raw = read_json(folder / "preprocessor_config.json")
    elif (folder / "processor_config.json").is_file():
        raw = read_json(folder / "processor_config.json").get("image_processor") or {}
    asked = raw.get("size", size if squash else {"shortest_edge": size})
    shortest = "shortest_edge" in asked if isinstance(asked, dict) else not squash
    crop = bool(raw.get("do_center_crop", not squash))
    side = asked if isinstance(asked, int) else asked.get("shortest_edge", asked.get("height"))
    if side != size or (shortest and not crop):
        raise ModelError(f"{folder} resizes to {asked} for a network of {size} pixels; this cannot be converted.")
    name = _FILTERS.get(raw.get("resample", 3))
    mean, std = raw.get("image_mean"), raw.get("image_std")
    half = (0.5, 0.5, 0.5)
    return {
        "image_size": size,
        "resize_mode": "shortest" if shortest else "squash",
        "crop": crop,
        "crop_rounding": "floor",
        "interpolation": name,
        "mean": mean or (half if squash else CLIP_MEAN),
        "std": std or (half if squash else CLIP_STD),
    }


def _pixels_of_open_clip(raw: dict[str, Any], model_cfg: dict[str, Any]) -> dict[str, Any]:
    siglip = open_clip_weights.is_siglip(model_cfg)
    size = raw.get("size", model_cfg["vision_cfg"].get("image_size", 224))
    mode = raw.get("resize_mode", "squash" if siglip else "shortest")
    if mode not in ("shortest", "squash"):
        raise ModelError(f"resize_mode {mode!r} of open_clip is not supported; shortest and squash are.")
    half = (0.5, 0.5, 0.5)
    return {
        "image_size": size[0] if isinstance(size, list) else size,
        "resize_mode": mode,
        "crop": mode == "shortest",
        "crop_rounding": "nearest",
        "interpolation": "bilinear" if raw.get("interpolation") == "bilinear" else "bicubic",
        "mean": raw.get("mean") or (half if siglip else CLIP_MEAN),
        "std": raw.get("std") or (half if siglip else CLIP_STD),
    }


def _weights(folder: Path, names: tuple[str, ...]) -> list[Path]:
    for name in names:
        found = sorted(folder.glob(name))
        if found:
            return found
    pickled = next((p for p in sorted(folder.iterdir()) if p.suffix in _PICKLED), None)
    if pickled is not None:
        raise ModelError(
            f"{pickled} may hold Python code (pickle), which Sextant never loads. Save the weights as safetensors on a "
            "machine you trust (model.save_pretrained, or safetensors.torch.save_file), or fetch that version."
        )
    raise ModelError(f"{folder} has no weights: a file {names[0]} is needed.")


def _fingerprint(files: list[Path]) -> str:
    """Twelve hexadecimal characters of the weights and configuration: the bundle's revision."""
    state = hashlib.blake2b(digest_size=6)
    for path in files:
        with path.open("rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def licence_of(folder: Path) -> str | None:
    """The licence that a model card (README.md) declares in its heading, if it has one."""
    path = folder / "README.md"
    if not path.is_file():
        return None
    found = re.match(r"---\n.*?^license:\s*([^\n]+)", path.read_text(encoding="utf-8", errors="replace"), re.S | re.M)
    return found[1].strip().strip("\"'") if found else None
