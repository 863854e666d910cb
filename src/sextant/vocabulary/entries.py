"""What a vocabulary is made of: attributes, derived attributes, rules and thresholds. Nothing here reads files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

from sextant.errors import VocabularyError

TEMPLATE = "a photo of {description}"
CODE = re.compile(r"[a-z][a-z0-9_]{0,62}")

# What every image has beside its confidences. The camera's name is `camera_model`, so that `camera` stays free for
# the thing in the picture.
METADATA = (
    *("id", "path", "name", "folder", "bytes", "width", "height", "megapixels", "aspect", "format"),
    *("taken_at", "added_at", "camera_model", "gps", "sharpness", "darkness", "brightness", "tags", "description"),
)
KEYWORDS = (
    *("and", "or", "not", "is", "in", "like", "between", "contains", "null", "true", "false", "tag", "score"),
    *("accepted", "tentative", "rejected", "unknown"),
)
RESERVED = frozenset(
    (*METADATA, *KEYWORDS, "vector", "background", "image_id", "attribute_code", "confidence", "band", "source")
)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the bands begin: confidence ≥ accepted, else ≥ tentative, else rejected."""

    accepted: float = 0.8
    tentative: float = 0.5


@dataclass(frozen=True, slots=True)
class Attribute:
    """One yes/no question about an image. `prompts` and `negatives` are exactly the texts that are encoded."""

    code: str
    label: str
    description: str
    type: str
    prompts: tuple[str, ...]
    negatives: tuple[str, ...]
    thresholds: Thresholds
    group: str | None
    center: float | None
    scale: float | None
    control: Literal["positive", "negative"] | None
    line: int
    head: str | None = None
    """The hash of the light head that its logits come from in a collection, instead of from the texts."""

    @property
    def prompt_hash(self) -> str:
        """32 hex digits that change when, and only when, the encoded texts change, or the head that replaces them."""
        if self.head is not None:
            return self.head
        texts = json.dumps([self.prompts, self.negatives], ensure_ascii=False)
        return blake2b(texts.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class RuleTree:
    """A rule over bands: every part of `all_of`, at least one of `any_of`, no part of `none_of`."""

    all_of: tuple[str | RuleTree, ...] = ()
    any_of: tuple[str | RuleTree, ...] = ()
    none_of: tuple[str | RuleTree, ...] = ()

    def parts(self) -> tuple[str | RuleTree, ...]:
        """The parts of all three lists, in order."""
        return (*self.all_of, *self.any_of, *self.none_of)

    def codes(self) -> tuple[str, ...]:
        """Every code the rule reads, nested ones included, each once, in order."""
        found: dict[str, None] = {}
        for part in self.parts():
            found.update(dict.fromkeys((part,) if isinstance(part, str) else part.codes()))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Derived:
    """An attribute that follows from others by a rule. Its band comes from its parts' bands, not from `thresholds`."""

    code: str
    label: str
    description: str
    type: str
    rule: RuleTree
    thresholds: Thresholds
    line: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Attributes in the order of the file, derived attributes so that each follows what it reads.

    `groups` maps the name of an exclusive group to its temperature. `text` is the file's source.
    """

    name: str
    template: str
    thresholds: Thresholds
    center: float | None
    scale: float | None
    groups: Mapping[str, float]
    attributes: tuple[Attribute, ...]
    derived: tuple[Derived, ...]
    text: str = field(repr=False)

    def codes(self) -> tuple[str, ...]:
        """Every code: attributes first, then derived ones."""
        return tuple(entry.code for entry in self.entries())

    def entries(self) -> tuple[Attribute | Derived, ...]:
        """Every entry: attributes first, then derived ones."""
        return (*self.attributes, *self.derived)

    def __getitem__(self, code: str) -> Attribute | Derived:
        for entry in self.entries():
            if entry.code == code:
                return entry
        raise VocabularyError(f"{self.name} has no code {code!r}.{did_you_mean(code, self.codes())}")

    def __contains__(self, code: object) -> bool:
        return code in self.codes()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The sentence ` Did you mean 'earth'?`, or nothing where no known name is near."""
    from difflib import get_close_matches  # only needed on the way to an error

    found = get_close_matches(name.lower(), list(known), 1, 0.6)
    return f" Did you mean {found[0]!r}?" if found else ""
