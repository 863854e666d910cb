"""What an entry of the dictionary says of a phrase, and what follows from it for the words that mean the same.

`astronaut: [=cosmonaut, spacewalker]` also answers for a cosmonaut: an astronaut, and, less surely, a spacewalker. A
spacewalker alone asks for nothing else: kinds of a thing never bring the thing itself. It knows no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

FURTHER = 0.9
"""What the plain variants of an entry weigh for a phrase that means the same as its key, as a share of their weight."""


class Other(NamedTuple):
    """Another way to say a phrase, with its weight below 1; `same` where either may stand for the other."""

    text: str
    weight: float
    same: bool = False


Entry = tuple[Other, ...]


def turned(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The entries, and one for every phrase that is marked as the same as a key; an entry of its own goes before it.

    Where two entries mark one phrase, the first has it.
    """
    found: dict[str, Entry] = {}
    for key, entry in entries.items():
        for one in entry:
            if one.same:
                found.setdefault(one.text.lower(), _turned(key, one, entry))
    return {**found, **entries}


def _turned(key: str, one: Other, entry: Entry) -> Entry:
    same = [Other(key, one.weight, True), *(other for other in entry if other.same and other is not one)]
    kinds = [Other(other.text, round(FURTHER * other.weight, 6)) for other in entry if not other.same]
    return (*same, *kinds)
