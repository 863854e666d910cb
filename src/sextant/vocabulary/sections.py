"""YAML text as sections: typed access to a mapping's fields, with every problem noted beside its line.

The only file that talks to PyYAML. It knows nothing of what a vocabulary means.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from sextant.errors import VocabularyError
from sextant.vocabulary.entries import did_you_mean

MAX_NESTING = 40
MAX_ALIASES = 1_000


class Problems:
    """What is wrong with a file, gathered until all of it has been read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: list[tuple[int, str]] = []

    def add(self, line: int, text: str) -> None:
        """Note a problem; all are reported at the end."""
        self.found.append((line, text))

    def raise_if_any(self) -> None:
        """Raise VocabularyError with every problem, in the order of the lines."""
        if self.found:
            raise VocabularyError("\n".join(f"{self.name}:{line}: {text}" for line, text in sorted(set(self.found))))


def compose(text: str, name: str) -> Node | None:
    """The YAML text as nodes with lines; nesting and aliases are counted first, without recursion."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = aliases = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > MAX_NESTING or aliases > MAX_ALIASES:
                line = event.start_mark.line + 1 if event.start_mark else 1
                what = f"nested deeper than {MAX_NESTING}" if depth > MAX_NESTING else f"over {MAX_ALIASES} aliases"
                raise VocabularyError(f"{name}:{line}: {what}: write the entries out plainly")
        return yaml.compose(text, Loader=loader)
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON and command lines can bring
        line = text[: error.start].count("\n") + 1
        raise VocabularyError(f"{name}:{line}: character {error.start} is no text: write it anew") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise VocabularyError(f"{name}:{line}: not valid YAML: {what}") from error


class Section:
    """One mapping of the file: typed access to its fields; whatever does not fit is noted with line and code."""

    def __init__(
        self, node: Node | None, allowed: Collection[str], problems: Problems, what: str, code: str = ""
    ) -> None:
        self.line = node.start_mark.line + 1 if node else 1
        self.problems = problems
        self.code = code
        self.fields: dict[str, Node] = {}
        if not isinstance(node, MappingNode):
            self.problem(f"{what} must be a mapping of keys to values")
            return
        names = [str(key.value) if isinstance(key, ScalarNode) else "(a list or mapping)" for key, _ in node.value]
        if "code" in allowed:
            self.code = next(
                (
                    value.value.strip()
                    for key, value in node.value
                    if key.value == "code" and isinstance(value, ScalarNode)
                ),
                "",
            )
        for name, (key, value) in zip(names, node.value, strict=True):
            if name in self.fields:
                self.problem(f"key {name!r} stands twice in {what}: keep one", line=key.start_mark.line + 1)
            elif name not in allowed:
                hint = did_you_mean(name, allowed) or f" It may have: {', '.join(allowed)}."
                self.problem(f"unknown key {name!r} in {what}.{hint}", line=key.start_mark.line + 1)
            else:
                self.fields[name] = value

    def problem(self, text: str, key: str = "", line: int = 0) -> None:
        """Note a problem beside a line, the line of a field, or that of the section."""
        line = line or (self.fields[key].start_mark.line + 1 if key in self.fields else self.line)
        self.problems.add(line, (f"code {self.code!r}: " if self.code else "") + text)

    def text(self, key: str, default: str = "") -> str:
        """A scalar as it is written: `code: on` and `label: 1984` are words here, not a truth and a number."""
        node = self.fields.get(key)
        if node is None or _is_null(node):
            return default
        if not isinstance(node, ScalarNode):
            self.problem(f"{key} must be one text, not a list or mapping", key)
            return default
        return str(node.value).strip()

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, none of them empty; () where the key is missing."""
        node = self.fields.get(key)
        if node is None:
            return ()
        children = node.value if isinstance(node, SequenceNode) else []
        if not children or not all(isinstance(child, ScalarNode) for child in children):
            self.problem(f"{key} must be a list of texts, such as [a photo of the sea, a photo of waves]", key)
            return ()
        if any(_is_null(child) or not str(child.value).strip() for child in children):
            self.problem(f"{key} has an empty prompt, which would match everything alike: write or remove it", key)
        return tuple(str(child.value).strip() for child in children)

    def number(self, key: str, *, above: float = -math.inf, most: float = math.inf) -> float | None:
        """A finite number in (above, most]; None where it is missing or does not fit."""
        node = self.fields.get(key)
        if node is None or _is_null(node):
            return None
        shown = str(node.value) if isinstance(node, ScalarNode) else "a list or mapping"
        numeric = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        value = _float(shown) if numeric else math.nan
        if not above < value <= most or math.isinf(value):
            bounds = [f"above {above:g}"] * (above > -math.inf) + [f"at most {most:g}"] * (most < math.inf)
            self.problem(f"{key} is {shown}, but must be a number {' and '.join(bounds)}".rstrip(), key)
            return None
        return value

    def nodes(self, key: str) -> list[Node]:
        """The entries of a list; [] where the key is missing."""
        node = self.fields.get(key)
        if node is None or _is_null(node):
            return []
        if not isinstance(node, SequenceNode):
            self.problem(f"{key} must be a list: begin every entry with '- '", key)
            return []
        return list(node.value)


def _is_null(node: Node) -> bool:
    return str(node.tag) == "tag:yaml.org,2002:null"


def _float(text: str) -> float:
    try:
        return float(text.replace("_", ""))
    except ValueError:  # YAML also knows 0x1F, 1:30 and .nan, none of which anybody means here
        return math.nan
