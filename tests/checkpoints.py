"""Builds small checkpoints of the true architectures, random weights in the reference implementations' own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.clip.tokenization_clip import CLIPTokenizer
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.tokenization_siglip2 import Siglip2Tokenizer

CORPUS = [
    "a photo of a dog in the park, with a red ball",
    "two cats sleeping on a sofa; the sofa is green",
    "A very LONG description of mountains, rivers and the sea at sunset",
    "naïve café, 3 people & 1 bicycle! eine katze",
]
TEXTS = [
    "",
    "dog",
    "A photo of a DOG, in the Park!",
    "🌈 emoji 🐈‍⬛ and   spaces\n and a new line",
    "naïve Café — “quotes” don’t matter",
    "mountains " * 300,
    "under_score and [brackets]",
    *(f"{'cat ' * n}dog" for n in (60, 61, 62, 63, 64, 73, 74, 75, 76, 77)),
]


def spread(model: Any, seed: int = 0, gain: float = 1.5) -> None:
    """Random weights of a size at which different inputs come out clearly different, as in a trained model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("logit_scale", "logit_bias")):
                continue
            if "norm" in name or ".ln_" in name or name.startswith("ln_"):
                centre, scale = (1.0 if name.endswith("weight") else 0.0), 0.1
            elif parameter.ndim < 2:
                centre, scale = 0.0, 0.1
            else:
                centre, scale = 0.0, gain / (parameter[0].numel() if "embed" not in name else 4) ** 0.5
            parameter.copy_(centre + scale * torch.randn(parameter.shape, generator=generator))


def clip(folder: Path, *, act: str = "quick_gelu", image: int = 64, legacy: bool = False) -> CLIPModel:
    """A small CLIP with its tokenizer and image processor, as `save_pretrained` writes them."""
    tokenizer = clip_tokenizer()
    text = {"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2}
    vision = {"image_size": image, "patch_size": 16, "hidden_size": 96, "intermediate_size": 192}
    config = CLIPConfig(
        projection_dim=48,
        text_config={
            **text,
            "num_hidden_layers": 2,
            "hidden_act": act,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": 2 if legacy else tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={**vision, "num_hidden_layers": 2, "num_attention_heads": 3, "hidden_act": act},
    )
    model = CLIPModel(config).eval()
    spread(model)
    with torch.no_grad():
        model.logit_scale.fill_(4.6052)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": image}, crop_size={"height": image, "width": image})
    processor.save_pretrained(folder)
    return model


def clip_tokenizer() -> CLIPTokenizer:
    """A byte-pair tokenizer of CLIP's kind, trained on a few sentences."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    words = list(model["vocab"])
    words += [f"{c}</w>" for c in sorted(alphabet) if f"{c}</w>" not in model["vocab"]]
    words += ["<|startoftext|>", "<|endoftext|>"]
    merges = [tuple(pair) for pair in model["merges"]]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=merges)


def siglip(folder: Path, *, version: int, image: int = 64) -> SiglipModel:
    """A small SigLIP (1: no tokenizer yet) or SigLIP 2 of fixed size, as `save_pretrained` writes it."""
    tokenizer = siglip2_tokenizer() if version == 2 else None
    text = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "projection_size": 96}
    vision = {"image_size": image, "patch_size": 16, "hidden_size": 96, "intermediate_size": 192}
    config = SiglipConfig(
        text_config={**text, "num_hidden_layers": 2, "vocab_size": len(tokenizer) if tokenizer else 500},
        vision_config={**vision, "num_hidden_layers": 2, "num_attention_heads": 3},
    )
    model = SiglipModel(config).eval()
    spread(model)
    with torch.no_grad():
        model.logit_scale.fill_(4.75)
        model.logit_bias.fill_(-14.5)
    model.save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": image, "width": image}).save_pretrained(folder)
    if tokenizer:
        tokenizer.save_pretrained(folder)
    return model


def siglip2_tokenizer(*, padding_side: str = "right") -> Siglip2Tokenizer:
    """A tokenizer of Gemma's kind: byte fallback, `▁` for a space, `<eos>` at the end, lower case."""
    from tokenizers import processors

    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(" ", "▁")])
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=special, show_progress=False)
    trained.train_from_iterator(CORPUS * 4, trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = Siglip2Tokenizer(vocab=model["vocab"], merges=merges, padding_side=padding_side, model_max_length=64)
    eos = tokenizer.eos_token_id
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", eos)]
    )
    return tokenizer
