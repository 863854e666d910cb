"""Reads and writes the description of an encoder: `card.json` of a bundle, or the JSON files of the hub layout."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sextant.errors import ModelError

FORMAT = 1
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CLAMPED_SCALE = 100.0
"""Training with a softmax clamps the logit scale here, and the published models end there."""
SIGMOID_SCALE, SIGMOID_BIAS = 112.0, -15.0
"""In the middle of the published sigmoid-trained models; used, and marked as assumed, where nothing better is known."""
MOST = 8192
"""No published encoder has more dimensions, pixels a side or tokens; a damaged card could ask for all the memory."""

Three = tuple[float, float, float]
Spread = Annotated[float, Field(gt=1e-6)]


class Card(BaseModel):
    """What has to be known of an encoder besides its weights. Sizes in pixels, lengths in tokens."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=(), allow_inf_nan=False)

    format: int = FORMAT
    name: str = Field(min_length=1)
    revision: str = Field(min_length=1)
    dim: int = Field(gt=0, le=MOST)
    image_size: int = Field(gt=0, le=MOST)
    resize_mode: Literal["shortest", "squash"]
    crop: bool = True
    crop_rounding: Literal["floor", "nearest"] = "floor"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: Three
    std: tuple[Spread, Spread, Spread]
    context_length: int = Field(gt=0, le=MOST)
    pad_id: int = Field(ge=0, lt=1 << 31)
    pad_side: Literal["right", "left"] = "right"
    lower: bool = False
    clean: Literal["none", "whitespace", "canonicalize"] = "none"
    bos_id: int | None = None
    eos_id: int | None = None
    logit_scale: float = Field(gt=0)
    logit_bias: float = 0.0
    logits_assumed: bool = False
    training: Literal["softmax", "sigmoid"] = "softmax"
    licence: str | None = None
    description: str = ""
    background_hash: str | None = None
    prior: dict[str, Any] | None = None
    golden: dict[str, Any] | None = None
    taught_phrases: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write `card.json` into a bundle folder."""
        (folder / "card.json").write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


class Known(BaseModel):
    """What the table of cards knows of a hub repository that its own files do not say."""

    model_config = ConfigDict(frozen=True)

    logit_scale: float | None
    logit_bias: float | None
    licence: str | None = None
    description: str = ""


def read_bundle_card(folder: Path) -> Card:
    """The card of a bundle folder. Raises `ModelError` that names the file and the wrong keys."""
    path = folder / "card.json"
    raw = read_json(path)
    if isinstance(raw.get("format"), int) and raw["format"] > FORMAT:
        raise ModelError(
            f"{path} has format {raw['format']}; this program reads up to {FORMAT}. Upgrade sextant-images."
        )
    return validated(raw, path)


def read_hub_card(folder: Path, name: str, revision: str | None, known: Known | None) -> Card:
    """The card of a folder in the hub layout: open_clip's `config.json` and `visual/preprocess_cfg.json`.

    The trained logit scale and bias are in neither: they come from `logit_scale` and `logit_bias` in `config.json`
    where somebody wrote them there, else from `known`, else they are assumed and the card says so.
    """
    config, pixels = read_json(folder / "config.json"), read_json(folder / "visual" / "preprocess_cfg.json")
    text, vision = config.get("text_cfg") or {}, config.get("vision_cfg") or {}
    if not isinstance(text, dict) or not isinstance(vision, dict) or "embed_dim" not in config:
        raise ModelError(f"{folder / 'config.json'} is not an open_clip model configuration: no embed_dim or text_cfg.")
    size = pixels.get("size", vision.get("image_size", 224))
    mode = pixels.get("resize_mode", "shortest")
    arguments = text.get("tokenizer_kwargs")
    arguments = arguments if isinstance(arguments, dict) else {}
    clean = arguments.get("clean", "whitespace" if "hf_tokenizer_name" in text else "lower")
    pad_id, pad_side = _padding(folder / "textual")
    raw = {
        "name": name,
        "revision": revision or _fingerprint(folder),
        "dim": config["embed_dim"],
        "image_size": size[0] if isinstance(size, list) and size else size,
        "resize_mode": mode,
        "crop": mode == "shortest",
        "crop_rounding": "nearest",
        "interpolation": pixels.get("interpolation", "bicubic"),
        "mean": pixels.get("mean", CLIP_MEAN),
        "std": pixels.get("std", CLIP_STD),
        "context_length": text.get("context_length", 77),
        "pad_id": pad_id,
        "pad_side": pad_side,
        "lower": clean == "lower",
        "clean": "whitespace" if clean == "lower" else clean,
        **_logits(config, known),
    }
    return validated(raw, folder / "config.json")


def _logits(config: dict[str, Any], known: Known | None) -> dict[str, Any]:
    sigmoid = "init_logit_bias" in config
    scale, bias = config.get("logit_scale"), config.get("logit_bias")
    if scale is None and known is not None:
        scale, bias = known.logit_scale, known.logit_bias
    assumed = scale is None or (sigmoid and bias is None)
    return {
        "logit_scale": (SIGMOID_SCALE if sigmoid else CLAMPED_SCALE) if scale is None else scale,
        "logit_bias": (SIGMOID_BIAS if sigmoid else 0.0) if bias is None else bias,
        "logits_assumed": assumed,
        "training": "sigmoid" if sigmoid else "softmax",
        "licence": known.licence if known else None,
        "description": known.description if known else "",
    }


def _padding(folder: Path) -> tuple[int, str]:
    """The id and side of padding, from the tokenizer's own files; open_clip's 0 on the right where they are silent."""
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    token = config.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    return token_id(folder / "tokenizer.json", token) or 0, config.get("padding_side", "right")


def token_id(tokenizer: Path, token: str | None) -> int | None:
    """The id of a token in a `tokenizer.json`, or None."""
    if token is None:
        return None
    raw = read_json(tokenizer)
    try:
        for added in raw.get("added_tokens") or []:
            if added.get("content") == token:
                return int(added["id"])
        vocabulary = (raw.get("model") or {}).get("vocab")
        if isinstance(vocabulary, dict):
            return vocabulary.get(token)
        return next((i for i, row in enumerate(vocabulary or []) if row[0] == token), None)
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # JSON, but of some other shape
        raise ModelError(f"{tokenizer} is no tokenizer: {error}. Convert or fetch the model again.") from error


def _fingerprint(folder: Path) -> str:
    """Twelve hexadecimal characters that change whenever any file that matters changes."""
    state = hashlib.blake2b(digest_size=6)
    for part in ("config.json", "visual/preprocess_cfg.json", "visual/model.onnx", "textual/model.onnx"):
        path = folder / part
        if path.is_file():
            with path.open("rb") as file:
                state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises `ModelError` that names the file."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"The encoder is incomplete: {path} is missing.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ModelError(f"{path} should hold a JSON object, not a {type(raw).__name__}.")
    return cast("dict[str, Any]", raw)


def validated(raw: dict[str, Any], path: Path) -> Card:
    """A card from plain values. Raises `ModelError` that names `path` and the wrong keys."""
    try:
        return Card.model_validate(raw)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ModelError(f"{path} does not describe an encoder: {wrong}") from error
