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

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from sextant.errors import VocabularyError

if TYPE_CHECKING:
    from yaml import Node

TEMPLATE = "a photo of {description}"
MAX_BYTES = 5_000_000
MAX_NESTING = 40
MAX_ALIASES = 1_000
MAX_RULE_PARTS = 10_000
CODE = re.compile(r"[a-z][a-z0-9_]{0,62}")

# What every image has beside its confidences. The camera's name is `camera_model`, so that `camera` stays free for
# the thing in the picture.
METADATA = (
    *("id", "path", "name", "folder", "bytes", "width", "height", "megapixels", "aspect", "format", "taken_at"),
    *("camera_model", "gps", "sharpness", "darkness", "brightness", "tags", "description"),
)
KEYWORDS = (
    *("and", "or", "not", "is", "in", "like", "between", "contains", "null", "true", "false", "tag", "score"),
    *("accepted", "tentative", "rejected", "unknown"),
)
RESERVED = frozenset(
    (*METADATA, *KEYWORDS, "vector", "background", "image_id", "attribute_code", "confidence", "band", "source")
)

_TOP_KEYS = ("name", "version", "description", "thresholds", "template", "center", "scale", "groups")
_LIST_KEYS = ("base_attributes", "derived_attributes")
_WORD_KEYS = ("code", "label", "description", "type")
_ATTRIBUTE_KEYS = (
    *_WORD_KEYS,
    *("prompts", "template", "negatives", "accepted", "tentative", "group", "center", "scale", "control"),
)
_RULE_KEYS = ("all_of", "any_of", "none_of")


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

    @property
    def prompt_hash(self) -> str:
        """32 hex digits that change when, and only when, the encoded texts change."""
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
        return tuple(entry.code for entry in (*self.attributes, *self.derived))

    def __getitem__(self, code: str) -> Attribute | Derived:
        for entry in (*self.attributes, *self.derived):
            if entry.code == code:
                return entry
        raise VocabularyError(f"{self.name} has no code {code!r}.{did_you_mean(code, self.codes())}")

    def __contains__(self, code: object) -> bool:
        return code in self.codes()


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
    problems = _Problems(name)
    root = _compose(text, name)
    top = _Section(root, (*_TOP_KEYS, *_LIST_KEYS), problems, "the vocabulary")
    defaults = _Defaults.read(top)
    sections = [_entry(node, _ATTRIBUTE_KEYS, problems) for node in top.nodes("base_attributes")]
    derived_sections = [_entry(node, (*_WORD_KEYS, "rule"), problems) for node in top.nodes("derived_attributes")]
    if root and "base_attributes" not in top.fields:
        top.problem("no base_attributes: list at least one, with a code and a description")
    elif "base_attributes" in top.fields and not sections:
        top.problem("base_attributes is empty: list at least one, with a code and a description", "base_attributes")
    codes = _check_codes([*sections, *derived_sections])
    attributes = tuple(_attribute(section, defaults) for section in sections)
    derived = [_derived(section, defaults, codes) for section in derived_sections]
    groups = _groups(top, attributes, problems)
    ordered = _in_order(derived, problems)
    problems.raise_if_any()
    return Vocabulary(
        Path(name).name,
        defaults.template,
        defaults.thresholds,
        defaults.center,
        defaults.scale,
        groups,
        attributes,
        ordered,
        text,
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The sentence ` Did you mean 'earth'?`, or nothing where no known name is near."""
    from difflib import get_close_matches  # only needed on the way to an error

    found = get_close_matches(name.lower(), list(known), 1, 0.6)
    return f" Did you mean {found[0]!r}?" if found else ""


class _Problems:
    """What is wrong with a file, gathered until all of it has been read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: list[tuple[int, str]] = []

    def add(self, line: int, text: str) -> None:
        self.found.append((line, text))

    def raise_if_any(self) -> None:
        if self.found:
            raise VocabularyError("\n".join(f"{self.name}:{line}: {text}" for line, text in sorted(set(self.found))))


def _compose(text: str, name: str) -> Node | None:
    """The YAML text as nodes with lines; nesting and aliases are counted first, without recursion."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = aliases = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > MAX_NESTING or aliases > MAX_ALIASES:
                line = event.start_mark.line + 1
                what = f"nested deeper than {MAX_NESTING}" if depth > MAX_NESTING else f"over {MAX_ALIASES} aliases"
                raise VocabularyError(f"{name}:{line}: {what}: write the entries out plainly")
        return cast("Node | None", yaml.compose(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise VocabularyError(f"{name}:{line}: not valid YAML: {what}") from error


class _Section:
    """One mapping of the file: typed access to its fields; whatever does not fit is noted with line and code."""

    def __init__(self, node: Node | None, allowed: Collection[str], problems: _Problems, what: str) -> None:
        self.line = node.start_mark.line + 1 if node else 1
        self.problems = problems
        self.what = what
        self.code = ""
        self.fields: dict[str, Node] = {}
        if node is None or not isinstance(node.value, list) or node.id != "mapping":
            self.problem(f"{what} must be a mapping of keys to values")
            return
        for key, value in node.value:
            name = str(key.value) if key.id == "scalar" else f"a {key.id}"
            line = key.start_mark.line + 1
            if name in self.fields:
                problems.add(line, f"key {name!r} stands twice in {what}: keep one")
            elif name not in allowed:
                problems.add(line, f"unknown key {name!r} in {what}.{did_you_mean(name, allowed) or _one_of(allowed)}")
            else:
                self.fields[name] = value

    def problem(self, text: str, key: str = "") -> None:
        line = self.fields[key].start_mark.line + 1 if key in self.fields else self.line
        self.problems.add(line, (f"code {self.code!r}: " if self.code else "") + text)

    def text(self, key: str, default: str = "") -> str:
        """A scalar as it is written: `code: on` and `label: 1984` are words here, not a truth and a number."""
        node = self.fields.get(key)
        if node is None or _is_null(node):
            return default
        if node.id != "scalar":
            self.problem(f"{key} must be one text, not a {node.id}", key)
            return default
        return str(node.value).strip()

    def texts(self, key: str) -> tuple[str, ...]:
        node = self.fields.get(key)
        if node is None:
            return ()
        if node.id != "sequence" or not node.value or any(child.id != "scalar" for child in node.value):
            self.problem(f"{key} must be a list of texts, such as [a photo of the sea, a photo of waves]", key)
            return ()
        if any(_is_null(child) or not str(child.value).strip() for child in node.value):
            self.problem(f"{key} has an empty prompt, which would match everything alike: write or remove it", key)
        return tuple(str(child.value).strip() for child in node.value)

    def number(self, key: str, *, above: float = -math.inf, most: float = math.inf) -> float | None:
        node = self.fields.get(key)
        if node is None or _is_null(node):
            return None
        numeric = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and node.id == "scalar"
        value = _float(str(node.value)) if numeric else math.nan
        if not above < value <= most or math.isinf(value):
            bounds = [f"above {above:g}"] * (above > -math.inf) + [f"at most {most:g}"] * (most < math.inf)
            shown = str(node.value) if node.id == "scalar" else f"a {node.id}"
            self.problem(f"{key} is {shown}, but must be a number {' and '.join(bounds)}".rstrip(), key)
            return None
        return value

    def nodes(self, key: str) -> list[Node]:
        node = self.fields.get(key)
        if node is None or _is_null(node):
            return []
        if node.id != "sequence":
            self.problem(f"{key} must be a list: begin every entry with '- '", key)
            return []
        return list(node.value)


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What the top of the file says for every attribute that does not say otherwise."""

    template: str
    thresholds: Thresholds
    center: float | None
    scale: float | None

    @classmethod
    def read(cls, top: _Section) -> _Defaults:
        thresholds = Thresholds()
        if "thresholds" in top.fields:
            node = top.fields["thresholds"]
            section = _Section(node, ("accepted", "tentative"), top.problems, "thresholds")
            thresholds = _thresholds(section, thresholds)
        return cls(_template(top, TEMPLATE), thresholds, top.number("center"), top.number("scale", above=0))


def _entry(node: Node, allowed: Collection[str], problems: _Problems) -> _Section:
    section = _Section(node, allowed, problems, "the entry")
    section.code = section.text("code")
    return section


def _check_codes(sections: list[_Section]) -> frozenset[str]:
    """Note missing, misspelt, reserved and repeated codes; return all codes that stand in the file."""
    lines: dict[str, int] = {}
    for section in sections:
        code = section.code
        if not code:
            if section.fields:
                section.problem("an entry without a code: add one, such as 'code: earth'")
        elif not CODE.fullmatch(code):
            section.problem("a code is a lower-case letter, then up to 62 of a-z, 0-9 and _", "code")
        elif code in RESERVED:
            section.problem(f"reserved, because queries use this word for something else: say {code}_shown", "code")
        elif code in lines:
            section.problem(f"duplicate: line {lines[code]} has it too; rename or remove one", "code")
        lines.setdefault(code, section.line)
    return frozenset(lines)


def _attribute(section: _Section, defaults: _Defaults) -> Attribute:
    text = section.text
    control = text("control") or None
    if control not in (None, "positive", "negative"):
        section.problem(f"control is {control!r}, but must be positive or negative", "control")
    center, scale = section.number("center"), section.number("scale", above=0)
    return Attribute(
        section.code,
        text("label") or _label(section.code),
        text("description"),
        text("type"),
        _prompts(section, _template(section, defaults.template)),
        section.texts("negatives"),
        _thresholds(section, defaults.thresholds),
        text("group") or None,
        defaults.center if center is None else center,
        defaults.scale if scale is None else scale,
        cast("Literal['positive', 'negative'] | None", control),
        section.line,
    )


def _prompts(section: _Section, template: str) -> tuple[str, ...]:
    """The texts to encode: `prompts` if given, else the template filled in; letters keep their case."""
    description = section.text("description")
    if "prompts" in section.fields:
        if "template" in section.fields:
            section.problem("has prompts and a template, of which only prompts would be used: keep one", "template")
        return section.texts("prompts")
    if not description and section.fields:
        section.problem("empty prompt: add a description, or prompts", "description")
    return (template.replace("{description}", description),)


def _template(section: _Section, default: str) -> str:
    template = section.text("template", default)
    if "{description}" not in template:
        example = '"a painting of {description}"'
        section.problem(f"template {template!r} has no {{description}}, so all would look alike: {example}", "template")
    return template


def _thresholds(section: _Section, default: Thresholds) -> Thresholds:
    accepted, tentative = (section.number(key, above=0, most=1) for key in ("accepted", "tentative"))
    result = Thresholds(
        default.accepted if accepted is None else accepted, default.tentative if tentative is None else tentative
    )
    if result.tentative > result.accepted:
        section.problem(
            f"thresholds out of order: tentative {result.tentative:g} is above accepted {result.accepted:g}; "
            "lower tentative or raise accepted",
            "accepted" if tentative is None else "tentative",
        )
        return default
    return result


def _derived(section: _Section, defaults: _Defaults, codes: frozenset[str]) -> Derived:
    rule = RuleTree()
    if "rule" not in section.fields:
        if section.fields:
            section.problem("no rule: add one, such as 'rule: {all_of: [earth, moon]}'")
    else:
        rule = _rule(section.fields["rule"], section, codes, [MAX_RULE_PARTS])
    text = section.text
    label = text("label") or _label(section.code)
    return Derived(section.code, label, text("description"), text("type"), rule, defaults.thresholds, section.line)


def _rule(node: Node, owner: _Section, codes: frozenset[str], budget: list[int], depth: int = 0) -> RuleTree:
    """A rule and the rules inside it. The budget ends aliases that multiply, the depth those that hold themselves."""
    section = _Section(node, _RULE_KEYS, owner.problems, "the rule")
    section.code = owner.code
    lists: dict[str, tuple[str | RuleTree, ...]] = {}
    for key in section.fields:
        parts: list[str | RuleTree] = []
        for child in section.nodes(key):
            budget[0] -= 1
            if budget[0] < 0 or depth >= MAX_NESTING:
                section.problem(f"a rule of over {MAX_RULE_PARTS:,} parts or {MAX_NESTING} levels: split it")
                return RuleTree()
            if child.id == "scalar":
                parts.append(_part(child, section, codes))
            else:
                parts.append(_rule(child, owner, codes, budget, depth + 1))
        if not parts:
            section.problem(f"{key} is empty: list at least one code, or remove it", key)
        lists[key] = tuple(parts)
    if not section.fields and node.id == "mapping":
        section.problem("an empty rule: give all_of, any_of or none_of a list of codes")
    tree = RuleTree(**lists)
    for part in dict.fromkeys(tree.all_of):
        if part in tree.none_of:
            section.problem(f"can never hold: {part!r} stands in all_of and in none_of")
    return tree


def _part(node: Node, section: _Section, codes: frozenset[str]) -> str:
    code = str(node.value).strip()
    if code not in codes:
        line = node.start_mark.line + 1
        hint = did_you_mean(code, codes - {section.code, ""}) or " Add it to base_attributes, or remove it here."
        section.problems.add(line, f"code {section.code!r}: unknown code {code!r} in its rule.{hint}")
    return code


def _in_order(derived: list[Derived], problems: _Problems) -> tuple[Derived, ...]:
    """Derived attributes so that each follows what it reads; a cycle is noted as it runs."""
    waiting = {entry.code: entry for entry in derived}
    ordered: list[Derived] = []
    while waiting:
        ready = [entry for entry in waiting.values() if not waiting.keys() & set(entry.rule.codes())]
        if not ready:
            cycle = list(_cycle(waiting))
            first = waiting[cycle[0]]
            shown = " → ".join((*cycle, cycle[0]))
            problems.add(first.line, f"code {first.code!r}: rules in a circle, {shown}: take one of them out")
            break
        ordered.extend(waiting.pop(entry.code) for entry in ready)
    return tuple(ordered)


def _cycle(waiting: Mapping[str, Derived]) -> Iterator[str]:
    """The codes of one cycle, beginning with the one that stands first in the file."""
    walk = [next(iter(waiting))]
    while (step := next(code for code in waiting[walk[-1]].rule.codes() if code in waiting)) not in walk:
        walk.append(step)
    loop = walk[walk.index(step) :]
    start = min(range(len(loop)), key=lambda position: waiting[loop[position]].line)
    yield from (*loop[start:], *loop[:start])


def _groups(top: _Section, attributes: tuple[Attribute, ...], problems: _Problems) -> dict[str, float]:
    """Each exclusive group's temperature; groups that nobody declares have temperature 1."""
    members: dict[str, list[Attribute]] = {}
    for entry in attributes:
        if entry.group:
            members.setdefault(entry.group, []).append(entry)
    temperatures = dict.fromkeys(members, 1.0)
    node = top.fields.get("groups")
    if node is not None:
        names = [str(key.value) for key, _ in node.value] if node.id == "mapping" else []
        declared = _Section(node, names, problems, "groups")
        for name, value in declared.fields.items():
            section = _Section(value, ("temperature",), problems, f"group {name!r}")
            temperatures[name] = section.number("temperature", above=0) or 1.0
            if name not in members:
                section.problem(f"group {name!r} has no member: say 'group: {name}' in two attributes or more")
    for name, entries in members.items():
        if len(entries) == 1:
            what = f"group {name!r} has this one member, whose share would always be 1"
            hint = did_you_mean(name, temperatures.keys() - {name}) or " Give it another member or remove it."
            problems.add(entries[0].line, f"code {entries[0].code!r}: {what}.{hint}")
    return temperatures


def _label(code: str) -> str:
    return code.replace("_", " ").capitalize()


def _one_of(allowed: Collection[str]) -> str:
    return f" It may have: {', '.join(allowed)}."


def _is_null(node: Node) -> bool:
    return str(node.tag) == "tag:yaml.org,2002:null"


def _float(text: str) -> float:
    try:
        return float(text.replace("_", ""))
    except ValueError:  # YAML also knows 0x1F, 1:30 and .nan, none of which anybody means here
        return math.nan
