"""Turns texts into the token ids that a text tower takes: cleaned, cut to the context length, padded to all of it."""

from __future__ import annotations

import html
import string
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sextant.encoder.card import Card
from sextant.errors import ModelError

# What open_clip's cleaning (ftfy) does to well-formed text. Repairing wrongly decoded text is left out: a column's
# prompt is written by hand, and must not change meaning with the version of a repair heuristic.
_STRAIGHTENED = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛", "'"),
        **dict.fromkeys("“”„‟", '"'),
        **{"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ſt", "ﬆ": "st", "ĳ": "ij", "Ĳ": "IJ"},
        **{chr(wide): chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},
        "\u3000": " ",
    }
)
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TextPreparation:
    """A tokenizer with the card's cleaning, truncation and padding: wrong padding is impossible from outside."""

    def __init__(self, path: Path, card: Card) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(max_length=card.context_length)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # plain Exception for a missing file, and a Rust panic is not even that
            raise _unusable(path, error) from error
        self.card, self._path = card, path

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Texts to an (n, context_length) int32 array. Over-long texts lose their end, never the closing token."""
        cleaned = [clean(text, self.card) for text in texts]
        try:
            encodings = self._tokenizer.encode_batch(cleaned)
            if any(len(encoding.ids) > self.card.context_length for encoding in encodings):
                raise ValueError(f"it gives more than {self.card.context_length} tokens")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise _unusable(self._path, error) from error
        ids = np.full((len(texts), self.card.context_length), self.card.pad_id, dtype=np.int32)
        for row, encoding in zip(ids, encodings, strict=True):
            tokens = encoding.ids
            if self.card.pad_side == "left":
                row[len(row) - len(tokens) :] = tokens
            else:
                row[: len(tokens)] = tokens
        return ids


def _unusable(path: Path, error: BaseException) -> ModelError:
    return ModelError(f"The tokenizer {path} cannot be used ({error}). Convert or fetch the model again.")


def clean(text: str, card: Card) -> str:
    """A text as the model saw texts in training: `whitespace` and `canonicalize` are open_clip's cleaning functions."""
    if card.clean != "none":
        text = " ".join(_repaired(text).split())
    if card.clean == "canonicalize":
        text = " ".join(text.replace("_", " ").translate(_NO_PUNCTUATION).lower().split())
    return text.lower() if card.lower else text


def _repaired(text: str) -> str:
    """HTML entities resolved (twice, as open_clip does), quotes straightened, wide letters and ligatures spelt out."""
    plain = html.unescape(html.unescape(text)).translate(_STRAIGHTENED)
    kept = (c for c in plain if c.isspace() or unicodedata.category(c) != "Cc")
    return unicodedata.normalize("NFC", "".join(kept))
