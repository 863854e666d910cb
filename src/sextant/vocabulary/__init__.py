"""A vocabulary file becomes attributes and derived attributes, ready to be turned into columns.

    thresholds: {accepted: 0.8, tentative: 0.5}
    base_attributes:
      - {code: earth, label: Earth, description: Earth visible in the image, type: celestial_body}
    derived_attributes:
      - {code: earth_only, rule: {all_of: [earth], none_of: [moon]}}

Everything wrong with a file is found in one reading and reported together, each line with file, line and code, before
anything else happens. This module knows nothing about encoders, images or storage.
"""

from __future__ import annotations

from pathlib import Path

from sextant.errors import VocabularyError
from sextant.vocabulary.entries import (
    CODE,
    KEYWORDS,
    METADATA,
    RESERVED,
    TEMPLATE,
    Attribute,
    Derived,
    RuleTree,
    Thresholds,
    Vocabulary,
    did_you_mean,
)

__all__ = [
    "CODE",
    "KEYWORDS",
    "METADATA",
    "RESERVED",
    "TEMPLATE",
    "Attribute",
    "Derived",
    "RuleTree",
    "Thresholds",
    "Vocabulary",
    "did_you_mean",
    "load",
    "parse",
]

MAX_BYTES = 5_000_000


def load(path: str | Path) -> Vocabulary:
    """Read and check a vocabulary file. Raises VocabularyError with every problem found, one a line."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise VocabularyError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise VocabularyError(f"{path}: larger than {MAX_BYTES:,} bytes, so it is hardly a vocabulary")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise VocabularyError(f"{path}:{line}: byte {error.start} is not UTF-8: save the file as UTF-8") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Vocabulary:
    """Check the text of a vocabulary; `name` stands in the messages. Raises VocabularyError with every problem."""
    from sextant.vocabulary.reading import read  # brings YAML, which a query has no need of

    return read(text, name)
