"""A file of expansions is checked and becomes entries; everything wrong with it is reported at once, with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from sextant.errors import VocabularyError
from sextant.expansion.entries import Entry, Other
from sextant.expansion.plain import SAME, WEIGHT
from sextant.vocabulary.sections import Problems, compose

MOST_BYTES = 2_000_000
MOST_VARIANTS = 9
MOST_CHARACTERS = 100


def read(path: Path) -> dict[str, Entry]:
    """The entries of a file, an empty one for every phrase that it takes away.

    Raises:
        VocabularyError: with every problem, one a line, each with file and line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise VocabularyError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > MOST_BYTES:
        raise VocabularyError(f"{path}: larger than {MOST_BYTES:,} bytes, so it is hardly a list of expansions")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise VocabularyError(f"{path}:{line}: byte {error.start} is not UTF-8: save the file as UTF-8") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> dict[str, Entry]:
    """The entries of a text; `name` stands in the messages. Raises VocabularyError with every problem."""
    problems = Problems(name)
    root = compose(text, name)
    entries: dict[str, Entry] = {}
    if isinstance(root, MappingNode):
        lines: dict[str, int] = {}
        marked: dict[str, int] = {}
        for key_node, node in root.value:
            line = key_node.start_mark.line + 1
            key = _phrase(key_node).lower()
            if key.startswith(SAME):
                problems.add(line, f"{key!r}: {SAME} stands before words in a list, not before the phrase of an entry")
            elif not key or len(key) > MOST_CHARACTERS:
                problems.add(line, f"an entry begins with a phrase of at most {MOST_CHARACTERS} characters")
            elif key in lines:
                problems.add(line, f"{key!r} stands on line {lines[key]} too: keep one")
            else:
                lines[key] = line
                entries[key] = _entry(key, node, problems, marked)
    elif root is not None and not _is_null(root):
        problems.add(1, "the file must be a mapping of phrases to lists, such as 'dog: [puppy, hound]'")
    problems.raise_if_any()
    return entries


def _entry(key: str, node: Node, problems: Problems, marked: dict[str, int]) -> Entry:
    """One entry; `marked` has the lines of the phrases that were said to mean the same as a key."""
    if _is_null(node):
        return ()
    if not isinstance(node, SequenceNode):
        problems.add(_line(node), f"{key!r} must have a list, such as [puppy, hound], or [] to take it away")
        return ()
    if len(node.value) > MOST_VARIANTS:
        problems.add(
            _line(node), f"{key!r} has {len(node.value)} variants, and {MOST_VARIANTS} are allowed: keep the best"
        )
    found: dict[str, Other] = {}
    for other, line in _others(key, node, problems):
        text = other.text.lower()
        if text == key:
            problems.add(line, f"{key!r} lists itself, and is searched for anyhow: remove it")
        elif text in found:
            problems.add(line, f"{key!r} lists {other.text!r} twice: keep one")
        if other.same and marked.setdefault(text, line) != line:
            problems.add(
                line, f"{SAME}{other.text} stands on line {marked[text]} too, and can mean one thing: keep one"
            )
        found[text] = other
    return tuple(found.values())


def _others(key: str, node: SequenceNode, problems: Problems) -> Iterator[tuple[Other, int]]:
    for child in node.value:
        line, weight, words = _line(child), WEIGHT, child
        if isinstance(child, MappingNode) and len(child.value) == 1:
            words, number = child.value[0]
            weight = _weight(number)
            if not 0 < weight < 1:
                shown = number.value if isinstance(number, ScalarNode) else "a list or mapping"
                problems.add(
                    line, f"{key!r}: the weight {shown} of {_phrase(words)!r} must be a number between 0 and 1"
                )
        text = _phrase(words)
        same = text.startswith(SAME)
        text = text.removeprefix(SAME).strip()
        if not text or text.startswith(SAME) or len(text) > MOST_CHARACTERS:
            what = f"phrases of at most {MOST_CHARACTERS} characters, each alone or with a weight, such as 'hound: 0.8'"
            problems.add(line, f"{key!r} must list {what}")
        else:
            yield Other(text, weight, same), line


def _phrase(node: Node) -> str:
    """The words as they are written, so that `1984` and `off` are words; '' for what is none."""
    return " ".join(str(node.value).split()) if isinstance(node, ScalarNode) and not _is_null(node) else ""


def _weight(node: Node) -> float:
    try:
        return float(node.value) if isinstance(node, ScalarNode) else 0.0
    except ValueError:
        return 0.0


def _is_null(node: Node) -> bool:
    return str(node.tag) == "tag:yaml.org,2002:null"


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
