"""Moves the band edges of one entry in the text of a vocabulary, and touches nothing else in it."""

from __future__ import annotations

from dataclasses import replace

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from sextant import vocabulary
from sextant.errors import VocabularyError
from sextant.vocabulary import Attribute, Derived, Thresholds, Vocabulary


def moved(held: Vocabulary, code: str, edges: Thresholds) -> Vocabulary:
    """The vocabulary with other band edges for one code; comments, order and spelling stay.

    Raises:
        VocabularyError: the edges are out of order, or the entry cannot be edited by itself.
    """
    if edges.tentative > edges.accepted:
        raise VocabularyError(f"{code}: tentative {edges.tentative:g} is above accepted {edges.accepted:g}")
    text = held.text
    for name in ("accepted", "tentative"):
        entry = _entry(yaml.compose(text, yaml.SafeLoader), code)
        if entry is None:
            raise VocabularyError(f"{held.name} has no entry {code!r} of its own to edit")
        text = _with(text, entry, name, f"{getattr(edges, name):.4g}")
    found = vocabulary.parse(text, held.name)
    if _plain(found, code) != _plain(held, code) or _given(found, code) != edges:
        raise VocabularyError(f"{held.name}: the entry {code!r} cannot be edited from here; change it in the text")
    return found


def _given(held: Vocabulary, code: str) -> Thresholds:
    edges = held[code].thresholds
    return Thresholds(round(edges.accepted, 9), round(edges.tentative, 9))


def _plain(held: Vocabulary, code: str) -> list[Attribute | Derived]:
    """Everything but the edges of one entry, and where things stand."""
    usual = Thresholds()
    return [replace(e, line=0, thresholds=usual if e.code == code else e.thresholds) for e in held.entries()]


def _entry(node: Node | None, code: str) -> MappingNode | None:
    """The mapping that has `code: CODE`, wherever in the document it is."""
    if isinstance(node, MappingNode):
        if any(_text(key) == "code" and _text(value) == code for key, value in node.value):
            return node
        children = [value for _, value in node.value]
    else:
        children = list(node.value) if node is not None and isinstance(node.value, list) else []
    return next((found for child in children if (found := _entry(child, code)) is not None), None)


def _with(text: str, entry: MappingNode, name: str, value: str) -> str:
    for key, held in entry.value:
        if _text(key) == name:
            return text[: held.start_mark.index] + value + text[held.end_mark.index :]
    behind = next(held for key, held in entry.value if _text(key) == "code")
    at = behind.end_mark.index
    column = entry.value[0][0].start_mark.column
    inserted = f", {name}: {value}" if entry.flow_style else f"\n{' ' * column}{name}: {value}"
    return text[:at] + inserted + text[at:]


def _text(node: Node) -> str | None:
    return str(node.value) if isinstance(node, ScalarNode) else None
