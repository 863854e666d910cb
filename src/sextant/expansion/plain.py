"""A dictionary whose every entry is one plain line becomes entries without YAML, which takes longer than the search.

For the one that comes with Sextant: `reading` has checked it, and says the same of it. Anything else is None here.
"""

from __future__ import annotations

import re

from sextant.expansion.entries import Entry, Other

WEIGHT = 0.9
SAME = "="
"""Stands before a phrase that means the same as the key."""
_LINE = re.compile(r"(\w[\w'&./ -]*): \[([^\[\]]*)\]")
_OTHER = re.compile(r"(=?)(\w[\w'&./ -]*)(?:: (0\.\d*[1-9]\d*))?")


def entries(text: str) -> dict[str, Entry] | None:
    """The entries of a text such as `dog: [puppy, =hound, mutt: 0.7]`, one a line; None where a line is not so."""
    found: dict[str, Entry] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        others = [_OTHER.fullmatch(other) for other in match[2].split(", ")] if match else [None]
        if match is None or not _is_text(match[1]):
            return None
        entry = []
        for other in others:
            if other is None or not _is_text(other[2]):
                return None
            entry.append(Other(other[2], float(other[3] or WEIGHT), bool(other[1])))
        key = match[1].lower()
        if key in found:
            return None
        found[key] = tuple(entry)
    return found


def _is_text(words: str) -> bool:
    """Whether YAML takes words as they stand: no nothing, and no blanks that it would leave out."""
    return words.lower() != "null" and " ".join(words.split()) == words
