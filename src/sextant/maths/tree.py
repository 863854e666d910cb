"""What a rule is made of, once it has been read: tests joined by and, or, not.

`grammar` makes these trees from text; `rules` turns them into masks and SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

Kind = Literal["attribute", "number", "text", "date", "bool", "tags"]
Value = float | str | bool | datetime

METADATA_KINDS: Final[Mapping[str, Kind]] = {
    "id": "text",
    "path": "text",
    "name": "text",
    "folder": "text",
    "bytes": "number",
    "width": "number",
    "height": "number",
    "megapixels": "number",
    "aspect": "number",
    "format": "text",
    "taken_at": "date",
    "added_at": "date",
    "camera_model": "text",
    "gps": "bool",
    "sharpness": "number",
    "darkness": "number",
    "brightness": "number",
    "tags": "tags",
    "description": "text",
}


@dataclass(frozen=True, slots=True)
class Name:
    """An attribute's confidence or a field of the metadata."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Score:
    """The confidence of a phrase that has no column."""

    phrase: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that stands in the rule."""

    value: Value


Operand = Name | Score | Constant


@dataclass(frozen=True, slots=True)
class And:
    """True where every part is."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True where a part is."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True where the part is false; unknown where it is unknown."""

    part: Tree


@dataclass(frozen=True, slots=True)
class Compare:
    """Unknown where a side is; `op` is one of = != < <= > >=."""

    left: Name | Score
    op: str
    right: Operand


@dataclass(frozen=True, slots=True)
class Match:
    """A text that is `like` a pattern, or a text or the tags that `contains` one."""

    name: Name
    how: Literal["like", "contains"]
    text: str


@dataclass(frozen=True, slots=True)
class Is:
    """A band, three-valued; or `null`, which is never unknown."""

    name: Name
    what: str


Tree = And | Or | Not | Compare | Match | Is


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked rule: its text, its tree, the names it reads and the phrases it scores."""

    text: str
    tree: Tree
    names: frozenset[str]
    scores: tuple[str, ...]
