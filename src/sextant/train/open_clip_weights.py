"""Maps open_clip checkpoints onto transformers' classes, tensor by tensor: the same network under other names."""

from __future__ import annotations

import re
from typing import Any

from sextant.errors import ModelError

Tensors = dict[str, Any]

_VISION_KEYS = frozenset(
    {"image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size", "patch_dropout", "norm_kwargs"}
)
_TIMM_KEYS = frozenset(
    {"image_size", "timm_model_name", "timm_model_pretrained", "timm_pool", "timm_proj", "timm_drop", "timm_drop_path"}
)
_TEXT_KEYS = frozenset(
    {
        *("context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "hf_tokenizer_name"),
        *("tokenizer_kwargs", "no_causal_mask", "proj_bias", "pool_type", "norm_kwargs", "act_kwargs", "embed_cls"),
    }
)
_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    # timm's names
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.proj": "self_attn.out_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
# timm gives these the tanh approximation of GELU, by name alone; its other SigLIP towers have the exact one
_TIMM_TANH = re.compile(r"vit_(base_patch32|so400m_patch16|giantopt_patch16)_siglip_\d+|vit_large_patch16_siglip_512")


def is_siglip(model: dict[str, Any]) -> bool:
    """Whether a model configuration is of the SigLIP kind: a timm image tower under a sigmoid."""
    return "siglip" in str((model.get("vision_cfg") or {}).get("timm_model_name", ""))


def clip_config(model: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `CLIPConfig` for an open_clip `model_cfg`. Raises `ModelError` for what CLIP is not."""
    vision, text = model["vision_cfg"], model["text_cfg"]
    _only(vision, _VISION_KEYS, "vision_cfg", {"patch_dropout": None, "pool_type": "tok"})
    _only(text, _TEXT_KEYS, "text_cfg", {"pool_type": "argmax", "no_causal_mask": False, "proj_bias": False})
    width = vision.get("width", 768)
    act = "quick_gelu" if model.get("quick_gelu") else "gelu"
    return {
        "projection_dim": model["embed_dim"],
        "vision_config": {
            "image_size": _square(vision.get("image_size", 224)),
            "patch_size": vision.get("patch_size", 16),
            "hidden_size": width,
            "intermediate_size": int(width * vision.get("mlp_ratio", 4.0)),
            "num_hidden_layers": vision.get("layers", 12),
            "num_attention_heads": width // vision.get("head_width", 64),
            "hidden_act": act,
            "layer_norm_eps": (vision.get("norm_kwargs") or {}).get("eps", 1e-5),
        },
        # eos_token_id 2 tells transformers to pool at the highest token id, as open_clip does
        "text_config": {**_text(text, act), "eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1},
    }


def siglip_config(model: dict[str, Any], tensors: Tensors) -> dict[str, Any]:
    """The arguments of `SiglipConfig` for an open_clip `model_cfg`; what timm knows by name comes from the tensors."""
    vision, text = model["vision_cfg"], model["text_cfg"]
    _only(vision, _TIMM_KEYS, "vision_cfg", {"timm_pool": "map", "timm_proj": "none"})
    _only(text, _TEXT_KEYS, "text_cfg", {"pool_type": "last", "no_causal_mask": True})
    patch = tensors["visual.trunk.patch_embed.proj.weight"]
    width = patch.shape[0]
    name = str(vision["timm_model_name"])
    tanh = (text.get("act_kwargs") or {}).get("approximate") == "tanh"
    layers = 1 + max(int(m[1]) for key in tensors if (m := re.match(r"visual\.trunk\.blocks\.(\d+)\.", key)))
    return {
        "vision_config": {
            "image_size": _square(vision["image_size"]),
            "patch_size": patch.shape[-1],
            "hidden_size": width,
            "intermediate_size": tensors["visual.trunk.blocks.0.mlp.fc1.weight"].shape[0],
            "num_hidden_layers": layers,
            "num_attention_heads": width // (72 if "so400m" in name else 96 if "giantopt" in name else 64),
            "hidden_act": "gelu_pytorch_tanh" if _TIMM_TANH.fullmatch(name) else "gelu",
            "layer_norm_eps": 1e-6,
        },
        "text_config": {
            **_text(text, "gelu_pytorch_tanh" if tanh else "gelu"),
            "projection_size": model["embed_dim"],
        },
    }


def clip_tensors(tensors: Tensors) -> Tensors:
    """Tensors under the names of `CLIPModel`."""
    text = "text." if "text.token_embedding.weight" in tensors else ""
    visual = "vision_model"
    out = {
        "logit_scale": tensors["logit_scale"].reshape(()),
        f"{visual}.embeddings.class_embedding": tensors["visual.class_embedding"],
        f"{visual}.embeddings.patch_embedding.weight": tensors["visual.conv1.weight"],
        f"{visual}.embeddings.position_embedding.weight": tensors["visual.positional_embedding"],
        "visual_projection.weight": tensors["visual.proj"].T.contiguous(),
        "text_projection.weight": _projection(tensors, text),
        **_norm(tensors, "visual.ln_pre", f"{visual}.pre_layrnorm"),
        **_norm(tensors, "visual.ln_post", f"{visual}.post_layernorm"),
        **_blocks(tensors, "visual.transformer.resblocks.", f"{visual}.encoder.layers."),
    }
    return {**out, **_text_tensors(tensors, text)}


def siglip_tensors(tensors: Tensors) -> Tensors:
    """Tensors under the names of `SiglipModel`."""
    trunk, head = "visual.trunk.", "vision_model.head."
    pool = f"{trunk}attn_pool."
    out = {
        "logit_scale": tensors["logit_scale"].reshape(1),
        "logit_bias": tensors["logit_bias"].reshape(1),
        "vision_model.embeddings.patch_embedding.weight": tensors[f"{trunk}patch_embed.proj.weight"],
        "vision_model.embeddings.patch_embedding.bias": tensors[f"{trunk}patch_embed.proj.bias"],
        "vision_model.embeddings.position_embedding.weight": tensors[f"{trunk}pos_embed"][0],
        f"{head}probe": tensors[f"{pool}latent"],
        f"{head}attention.in_proj_weight": _stacked(tensors, f"{pool}q.weight", f"{pool}kv.weight"),
        f"{head}attention.in_proj_bias": _stacked(tensors, f"{pool}q.bias", f"{pool}kv.bias"),
        **_norm(tensors, f"{trunk}norm", "vision_model.post_layernorm"),
        **_norm(tensors, f"{pool}proj", f"{head}attention.out_proj"),
        **_norm(tensors, f"{pool}norm", f"{head}layernorm"),
        **_norm(tensors, f"{pool}mlp.fc1", f"{head}mlp.fc1"),
        **_norm(tensors, f"{pool}mlp.fc2", f"{head}mlp.fc2"),
        **_norm(tensors, "text.text_projection", "text_model.head"),
        **_blocks(tensors, f"{trunk}blocks.", "vision_model.encoder.layers."),
    }
    return {**out, **_text_tensors(tensors, "text.")}


def _text(text: dict[str, Any], act: str) -> dict[str, Any]:
    width = text.get("width", 512)
    return {
        "vocab_size": text.get("vocab_size", 49408),
        "max_position_embeddings": text.get("context_length", 77),
        "hidden_size": width,
        "intermediate_size": int(width * text.get("mlp_ratio", 4.0)),
        "num_hidden_layers": text.get("layers", 12),
        "num_attention_heads": text.get("heads", 8),
        "hidden_act": act,
        "layer_norm_eps": (text.get("norm_kwargs") or {}).get("eps", 1e-5),
    }


def _text_tensors(tensors: Tensors, prefix: str) -> Tensors:
    return {
        "text_model.embeddings.token_embedding.weight": tensors[f"{prefix}token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": tensors[f"{prefix}positional_embedding"],
        **_norm(tensors, f"{prefix}ln_final", "text_model.final_layer_norm"),
        **_blocks(tensors, f"{prefix}transformer.resblocks.", "text_model.encoder.layers."),
    }


def _projection(tensors: Tensors, prefix: str) -> Any:
    matrix = tensors.get(f"{prefix}text_projection")
    return matrix.T.contiguous() if matrix is not None else tensors[f"{prefix}text_projection.weight"]


def _norm(tensors: Tensors, source: str, target: str) -> Tensors:
    return {f"{target}.{part}": tensors[f"{source}.{part}"] for part in ("weight", "bias")}


def _stacked(tensors: Tensors, *names: str) -> Any:
    import torch

    return torch.cat([tensors[name] for name in names])


def _blocks(tensors: Tensors, source: str, target: str) -> Tensors:
    out: Tensors = {}
    for key, value in tensors.items():
        if not key.startswith(source):
            continue
        layer, _, rest = key.removeprefix(source).partition(".")
        name, _, part = rest.rpartition(".")
        if rest in ("attn.in_proj_weight", "attn.in_proj_bias", "attn.qkv.weight", "attn.qkv.bias"):
            kind = rest.replace("_", ".").rpartition(".")[2]
            for projection, third in zip("qkv", value.chunk(3), strict=True):
                out[f"{target}{layer}.self_attn.{projection}_proj.{kind}"] = third.contiguous()
        elif name in _BLOCK:
            out[f"{target}{layer}.{_BLOCK[name]}.{part}"] = value
        else:
            raise ModelError(f"The open_clip checkpoint has a tensor that neither CLIP nor SigLIP has: {key}.")
    return out


def _only(config: dict[str, Any], known: frozenset[str], what: str, expected: dict[str, Any]) -> None:
    """Refuse an architecture that would silently come out as another one."""
    for key, value in config.items():
        if key in expected and expected[key] is not None and value != expected[key]:
            raise ModelError(f"{what}.{key} = {value!r} of open_clip is not supported; only {expected[key]!r} is.")
        if key not in known and key not in expected and value not in (None, False, 0, 0.0):
            raise ModelError(
                f"{what}.{key} = {value!r} of open_clip is not supported: this is neither CLIP nor SigLIP."
            )


def _square(size: Any) -> int:
    if isinstance(size, list | tuple):
        if len(set(size)) != 1:
            raise ModelError(f"Image size {size} is not square; only square inputs are supported.")
        return int(size[0])
    return int(size)
