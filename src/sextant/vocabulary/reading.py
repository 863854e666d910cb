"""A vocabulary's text is checked and becomes a Vocabulary; everything wrong with it is reported at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from yaml import MappingNode, Node, ScalarNode

from sextant.vocabulary.entries import (
    CODE,
    RESERVED,
    TEMPLATE,
    Attribute,
    Derived,
    RuleTree,
    Thresholds,
    Vocabulary,
    did_you_mean,
)
from sextant.vocabulary.sections import MAX_NESTING, Problems, Section, compose

MAX_RULE_PARTS = 10_000
_TOP_KEYS = ("name", "version", "description", "thresholds", "template", "center", "scale", "groups")
_LIST_KEYS = ("base_attributes", "derived_attributes")
_WORD_KEYS = ("code", "label", "description", "type")
_ATTRIBUTE_KEYS = (
    *_WORD_KEYS,
    *("prompts", "template", "negatives", "accepted", "tentative", "group", "center", "scale", "control"),
)
_DERIVED_KEYS = (*_WORD_KEYS, "rule")
_RULE_KEYS = ("all_of", "any_of", "none_of")


def read(text: str, name: str) -> Vocabulary:
    """Check the text of a vocabulary; `name` stands in the messages. Raises VocabularyError with every problem."""
    problems = Problems(name)
    root = compose(text, name)
    top = Section(root, (*_TOP_KEYS, *_LIST_KEYS), problems, "the vocabulary")
    defaults = _Defaults.read(top)
    sections = [Section(node, _ATTRIBUTE_KEYS, problems, "the entry") for node in top.nodes("base_attributes")]
    derived_sections = [Section(node, _DERIVED_KEYS, problems, "the entry") for node in top.nodes("derived_attributes")]
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


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What the top of the file says for every attribute that does not say otherwise."""

    template: str
    thresholds: Thresholds
    center: float | None
    scale: float | None

    @classmethod
    def read(cls, top: Section) -> _Defaults:
        thresholds = Thresholds()
        if "thresholds" in top.fields:
            node = top.fields["thresholds"]
            section = Section(node, ("accepted", "tentative"), top.problems, "thresholds")
            thresholds = _thresholds(section, thresholds)
        return cls(_template(top, TEMPLATE), thresholds, top.number("center"), top.number("scale", above=0))


def _check_codes(sections: list[Section]) -> frozenset[str]:
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


def _attribute(section: Section, defaults: _Defaults) -> Attribute:
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


def _prompts(section: Section, template: str) -> tuple[str, ...]:
    """The texts to encode: `prompts` if given, else the template filled in; letters keep their case."""
    description = section.text("description")
    if "prompts" in section.fields:
        if "template" in section.fields:
            section.problem("has prompts and a template, of which only prompts would be used: keep one", "template")
        return section.texts("prompts")
    if not description and section.fields:
        section.problem("empty prompt: add a description, or prompts", "description")
    return (template.replace("{description}", description),)


def _template(section: Section, default: str) -> str:
    template = section.text("template", default)
    if "{description}" not in template:
        example = '"a painting of {description}"'
        section.problem(f"template {template!r} has no {{description}}, so all would look alike: {example}", "template")
    return template


def _thresholds(section: Section, default: Thresholds) -> Thresholds:
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


def _derived(section: Section, defaults: _Defaults, codes: frozenset[str]) -> Derived:
    rule = RuleTree()
    if "rule" not in section.fields:
        if section.fields:
            section.problem("no rule: add one, such as 'rule: {all_of: [earth, moon]}'")
    else:
        rule = _rule(section.fields["rule"], section, codes, [MAX_RULE_PARTS])
    text = section.text
    label = text("label") or _label(section.code)
    return Derived(section.code, label, text("description"), text("type"), rule, defaults.thresholds, section.line)


def _rule(node: Node, owner: Section, codes: frozenset[str], budget: list[int], depth: int = 0) -> RuleTree:
    """A rule and the rules inside it. The budget ends aliases that multiply, the depth those that hold themselves."""
    section = Section(node, _RULE_KEYS, owner.problems, "the rule", owner.code)
    lists: dict[str, tuple[str | RuleTree, ...]] = {}
    for key in section.fields:
        parts: list[str | RuleTree] = []
        for child in section.nodes(key):
            budget[0] -= 1
            if budget[0] < 0 or depth >= MAX_NESTING:
                section.problem(f"a rule of over {MAX_RULE_PARTS:,} parts or {MAX_NESTING} levels: split it")
                return RuleTree()
            if isinstance(child, ScalarNode):
                parts.append(_part(child, section, codes))
            else:
                parts.append(_rule(child, owner, codes, budget, depth + 1))
        if not parts:
            section.problem(f"{key} is empty: list at least one code, or remove it", key)
        lists[key] = tuple(parts)
    if not section.fields and isinstance(node, MappingNode):
        section.problem("an empty rule: give all_of, any_of or none_of a list of codes")
    tree = RuleTree(**lists)
    for part in dict.fromkeys(tree.all_of):
        if part in tree.none_of:
            section.problem(f"can never hold: {part!r} stands in all_of and in none_of")
    return tree


def _part(node: ScalarNode, section: Section, codes: frozenset[str]) -> str:
    code = str(node.value).strip()
    if code not in codes:
        line = node.start_mark.line + 1
        hint = did_you_mean(code, codes - {section.code, ""}) or " Add it to base_attributes, or remove it here."
        section.problems.add(line, f"code {section.code!r}: unknown code {code!r} in its rule.{hint}")
    return code


def _in_order(derived: list[Derived], problems: Problems) -> tuple[Derived, ...]:
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


def _groups(top: Section, attributes: tuple[Attribute, ...], problems: Problems) -> dict[str, float]:
    """Each exclusive group's temperature; groups that nobody declares have temperature 1."""
    members: dict[str, list[Attribute]] = {}
    for entry in attributes:
        if entry.group:
            members.setdefault(entry.group, []).append(entry)
    temperatures = dict.fromkeys(members, 1.0)
    node = top.fields.get("groups")
    if node is not None:
        names = [str(key.value) for key, _ in node.value] if isinstance(node, MappingNode) else []
        declared = Section(node, names, problems, "groups")
        for name, value in declared.fields.items():
            section = Section(value, ("temperature",), problems, f"group {name!r}")
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
