"""Finds the tokenizer of a checkpoint and gives it as one `tokenizer.json`, tokenising as the checkpoint's own does."""

from __future__ import annotations

import gzip
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sextant.errors import ModelError

# What SiglipTokenizer takes out of a text before it looks at it: ASCII punctuation, capitals, surplus space.
_PUNCTUATION = r"[!-/:-@\[-`{-~]"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer as JSON text, and how its output is padded."""

    json: str
    pad_id: int
    pad_side: str
    bos_id: int | None
    eos_id: int | None
    multilingual: bool
    """Whether it is the Gemma vocabulary, whose SigLIP 2 models were trained on lower-case text."""


def read(folder: Path) -> Vocabulary:
    """The tokenizer of a Hugging Face or open_clip folder. Raises `ModelError`."""
    config = _json(folder / "tokenizer_config.json")
    kind = str(config.get("tokenizer_class", ""))
    if kind.startswith("SiglipTokenizer") or (not kind and (folder / "spiece.model").is_file()):
        return _siglip(folder, config)
    try:
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        if kind or (folder / "config.json").is_file() or (folder / "vocab.json").is_file():
            tokenizer = _clip_from_folder(folder) if not kind else AutoTokenizer.from_pretrained(str(folder))
        else:
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        backend = tokenizer.backend_tokenizer
    except Exception as error:  # transformers raises anything from OSError to AttributeError for an odd folder
        raise ModelError(f"The tokenizer in {folder} cannot be read ({error}). It needs a tokenizer.json.") from error
    return Vocabulary(
        json=backend.to_str(),
        pad_id=tokenizer.pad_token_id or 0,
        pad_side=tokenizer.padding_side,
        bos_id=tokenizer.bos_token_id,
        eos_id=tokenizer.eos_token_id,
        multilingual=kind.startswith(("Siglip2", "Gemma")),
    )


def read_clip(folder: Path) -> Vocabulary:
    """The byte-pair vocabulary that every CLIP model shares, padded with 0 as open_clip's own tokenizer does.

    It lies in the folder, or is part of an installed open_clip, or in the Hub's cache. Raises `ModelError`.
    """
    if (folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file():
        tokenizer = _clip_from_folder(folder)
    elif (merges := _installed_merges()) is not None:
        tokenizer = _clip_from_merges(merges)
    else:
        raise ModelError(
            f"{folder} has no tokenizer: copy tokenizer.json of openai/clip-vit-base-patch32 (or its vocab.json and "
            "merges.txt) into it; all CLIP models share that one."
        )
    ids = tokenizer.bos_token_id, tokenizer.eos_token_id
    return Vocabulary(tokenizer.backend_tokenizer.to_str(), 0, "right", *ids, multilingual=False)


def _clip_from_folder(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(str(folder))


def _installed_merges() -> list[tuple[str, str]] | None:
    """The merges that open_clip carries, without importing it."""
    found = importlib.util.find_spec("open_clip")
    for place in (found.submodule_search_locations or []) if found else []:
        path = Path(place) / "bpe_simple_vocab_16e6.txt.gz"
        if path.is_file():
            lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
            return [(first, second) for first, second in (line.split() for line in lines)]
    return None


def _clip_from_merges(merges: list[tuple[str, str]]) -> Any:
    """CLIP's vocabulary: 256 bytes, the same at the end of a word, one token a merge, and the two marks."""
    from transformers import CLIPTokenizer

    readable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in readable]
    letters = [chr(byte) for byte in readable] + [chr(256 + i) for i in range(len(others))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=merges)


def _siglip(folder: Path, config: dict[str, Any]) -> Vocabulary:
    """SigLIP's sentencepiece vocabulary, with the cleaning that `SiglipTokenizer` does written into the normaliser."""
    from tokenizers import Regex, Tokenizer, normalizers

    if (folder / "spiece.model").is_file():
        tokenizer = _from_sentencepiece(folder / "spiece.model")
    elif (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        raise ModelError(f"{folder} has neither spiece.model nor tokenizer.json; SigLIP needs one of them.")
    clean: list[Any] = [normalizers.Lowercase()] if config.get("do_lower_case", True) else []
    clean += [
        normalizers.Replace(Regex(_PUNCTUATION), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ]
    if tokenizer.normalizer is not None:
        clean.append(tokenizer.normalizer)
    tokenizer.normalizer = normalizers.Sequence(clean)
    eos = tokenizer.token_to_id("</s>")
    pad = config.get("pad_token", "</s>")
    pad = tokenizer.token_to_id(pad["content"] if isinstance(pad, dict) else pad)
    side = config.get("padding_side", "right")
    return Vocabulary(tokenizer.to_str(), eos if pad is None else pad, side, None, eos, multilingual=False)


def _from_sentencepiece(path: Path) -> Any:
    """A unigram sentencepiece model as a tokenizer that closes every text with `</s>`."""
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram

    try:
        from transformers.convert_slow_tokenizer import import_protobuf

        proto = import_protobuf().ModelProto()
        proto.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf has its own DecodeError, and may itself be absent
        raise ModelError(f"{path} cannot be read as a sentencepiece model: {error}") from error
    if proto.trainer_spec.model_type != 1:
        raise ModelError(f"{path} is not a unigram sentencepiece model; add a tokenizer.json to the folder.")
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    spec = proto.trainer_spec
    tokenizer = Tokenizer(Unigram(pieces, unk_id=spec.unk_id, byte_fallback=spec.byte_fallback))
    charsmap = proto.normalizer_spec.precompiled_charsmap
    if charsmap:
        tokenizer.normalizer = normalizers.Precompiled(charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    eos = tokenizer.token_to_id("</s>")
    if eos is None:
        raise ModelError(f"{path} has no </s>; this is not a vocabulary of SigLIP.")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", eos)])
    return tokenizer


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    raw = json.loads(path.read_text(encoding="utf-8"))
    return raw if isinstance(raw, dict) else {}
