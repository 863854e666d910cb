"""Searches remembered and given names: what was asked, how it was answered, and how to ask it again.

Remembering is a courtesy: it fails silently, waits for nobody, and a collection that can only be read has none. Knows
nothing of how a search is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from inspect import signature
from typing import Any

from sextant.edges import Edges
from sextant.errors import CollectionError, UsageError
from sextant.memory import Favourite, Searched
from sextant.types import SearchResult
from sextant.vocabulary import did_you_mean

MOST_CHARACTERS = 200
"""Of a favourite's name."""


def remember(edges: Edges, text: str, options: object, found: SearchResult) -> bool:
    """Adds a search and its answer to the history; returns whether that could be done at once.

    `options` is a mapping, or a dataclass of which only what is not the default is kept.
    """
    if edges.catalog.read_only:
        return False
    best = max((hit.confidence for hit in found.hits if hit.confidence is not None), default=None)
    try:
        edges.catalog.put_search(Searched(text, plain(options), found.state, len(found.hits), best))
    except CollectionError:  # somebody else is writing, the disk is full: no reason to fail a search
        return False
    return True


def plain(options: object) -> dict[str, Any]:
    """Options as JSON can hold them; of a dataclass only those that are not the default."""
    if is_dataclass(options):
        values = {f.name: (getattr(options, f.name), f.default) for f in fields(options)}
        chosen = {name: value for name, (value, default) in values.items() if default is MISSING or value != default}
    else:
        chosen = dict(options) if isinstance(options, Mapping) else {}
    return {name: _plain(value) for name, value in chosen.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return str(value)


def favour(edges: Edges, name: str, text: str, options: Mapping[str, Any], search: Callable[..., Any]) -> None:
    """Gives a search a name; one of that name is replaced. `search` is the function that will be asked again.

    Raises:
        UsageError: no name, no text, or an option that `search` does not take.
    """
    name, text = name.strip(), text.strip()
    if not name or not text:
        raise UsageError(f"a favourite needs a name and a text, and {'the text' if name else 'the name'} is empty")
    if len(name) > MOST_CHARACTERS or not name.isprintable():
        raise UsageError(f"the name of a favourite is one line of at most {MOST_CHARACTERS} characters")
    known = [p.name for p in signature(search).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise UsageError(f"a search has no option '{option}'.{did_you_mean(option, known)}")
    edges.catalog.put_favourite(name, text, plain(options))


def favourite(edges: Edges, name: str) -> Favourite:
    """The favourite of a name. Raises `UsageError` with the nearest one where there is none."""
    known = {item.name: item for item in edges.catalog.favourites()}
    if name not in known:
        hint = did_you_mean(name, known) or (" 'sextant favourite list' lists them." if known else "")
        raise UsageError(f"no favourite '{name}'.{hint}")
    return known[name]


def forget(edges: Edges, names: tuple[str, ...], *, history: bool) -> int:
    """Forgets favourites by name, and with `history` every search; returns how many that were.

    Raises:
        UsageError: there is no favourite of a name; nothing is forgotten.
    """
    chosen = [favourite(edges, name).name for name in dict.fromkeys(names)]
    found = edges.catalog.drop_favourites(chosen) if chosen else 0
    return found + (edges.catalog.drop_searches() if history else 0)
