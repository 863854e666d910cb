"""The text of a rule becomes a tree: `earth and (moon >= 0.9 or not spacecraft) and width > 1000`.

    rule     := conjunct ("or" conjunct)*
    conjunct := negated ("and" negated)*
    negated  := "not"* (test | "(" rule ")")
    test     := name                                     an attribute that is accepted, or a truth such as gps
              | operand ("=" | "!=" | "<" | "<=" | ">" | ">=") operand
              | name ["not"] "in" "(" literal ("," literal)* ")"
              | name ["not"] "between" literal "and" literal
              | name ["not"] ("like" | "contains") text
              | name "is" ["not"] ("null" | "unknown" | "accepted" | "tentative" | "rejected")
              | "tag" "(" text ")"
    operand  := name | "score" "(" text ")" | literal

A date may leave out its end: `taken_at = '2024-05'` is all of May. This module knows nothing about values or SQL.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NoReturn

from sextant.errors import RuleError
from sextant.maths.tree import (
    METADATA_KINDS,
    And,
    Compare,
    Constant,
    Is,
    Kind,
    Match,
    Name,
    Not,
    Operand,
    Or,
    Rule,
    Score,
    Tree,
)
from sextant.vocabulary import KEYWORDS, did_you_mean

MAX_LENGTH = 10_000
MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["name", "word", "number", "string", "sign", "end"]
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a comparison, with what it is and where it stands."""

    operand: Operand
    kind: Kind
    at: int


@dataclass(frozen=True, slots=True)
class _Span:
    """A date as written: from `start` up to, but not including, `end`; equal when the time is given to the second."""

    start: datetime
    end: datetime


_TOKEN = re.compile(
    r"""\s+
    |(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])
    |(?P<name>[^\W\d]\w*)
    |(?P<string>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<sign>==|!=|<>|<=|>=|[=<>(),])""",
    re.VERBOSE,
)
_SIGNS = {"==": "=", "<>": "!="}
_FLIPPED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_BANDS = ("accepted", "tentative", "rejected")
_HOW_TO_ASK: Mapping[Kind, str] = {
    "attribute": "write {0} >= 0.9, or {0} is tentative",
    "bool": "write {0}, or not {0}",
    "number": "compare it, such as {0} > 1000",
    "text": "compare it, such as {0} = 'x' or {0} like 'x%'",
    "date": "compare it, such as {0} >= '2024-05-01'",
    "tags": "ask for one, such as {0} contains 'x'",
}


def parse(text: str, known: Mapping[str, Kind] | None = None) -> Rule:
    """The tree of a rule. Without `known`, every name that is no metadata field is taken for an attribute.

    Raises RuleError with the position, a caret under it, and the nearest known name.
    """
    return _Parser(text, known).rule()


class _Parser:
    def __init__(self, text: str, known: Mapping[str, Kind] | None) -> None:
        self.text = text
        self.known = known
        if len(text) > MAX_LENGTH:
            raise RuleError(f"The rule has {len(text):,} characters, more than {MAX_LENGTH:,}: split it.")
        self.tokens = list(self.scan())
        self.next = 0
        self.depth = 0
        self.names: set[str] = set()
        self.scores: dict[str, None] = {}

    def fail(self, at: int, problem: str) -> NoReturn:
        """Raise RuleError with the part of the rule around `at` and a caret below it."""
        begin = max(0, at - 60)
        shown = " ".join(self.text[begin : at + 40].split("\n")).replace("\t", " ").replace("\r", " ")
        raise RuleError(f"Rule, position {at + 1}: {problem}\n  {shown}\n  {' ' * (at - begin)}^")

    def scan(self) -> Iterator[_Token]:
        at = 0
        while at < len(self.text):
            found = _TOKEN.match(self.text, at)
            if not found:
                quoted = self.text[at] in "'\""
                what = "a quote that is never closed" if quoted else f"unexpected {self.text[at]!r}"
                self.fail(at, what)
            kind, shown = found.lastgroup, found.group()
            if kind == "name":
                word = shown.lower() in KEYWORDS
                yield _Token("word" if word else "name", shown.lower() if word else shown, at)
            elif kind == "string":
                yield _Token("string", shown[1:-1].replace(shown[0] * 2, shown[0]), at)
            elif kind == "number":
                yield _Token("number", shown, at)
            elif kind == "sign":
                yield _Token("sign", _SIGNS.get(shown, shown), at)
            at = found.end()
        yield _Token("end", "the end", len(self.text))

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def take(self, *texts: str) -> str | None:
        """The next word or sign if it is one of these; nothing moves otherwise."""
        token = self.token
        if token.kind in ("word", "sign") and token.text in texts:
            self.next += 1
            return token.text
        return None

    def expect(self, sign: str, where: str) -> None:
        if not self.take(sign):
            self.fail(self.token.at, f"{sign!r} is needed {where}, not {self.shown()}.")

    def shown(self) -> str:
        return self.token.text if self.token.kind == "end" else repr(self.token.text)

    def rule(self) -> Rule:
        if not self.text.strip():
            self.fail(0, "the rule is empty: name an attribute, such as earth.")
        tree = self.either()
        if self.token.kind != "end":
            self.fail(self.token.at, f"unexpected {self.shown()}: join tests with 'and' or 'or'.")
        return Rule(self.text, tree, frozenset(self.names), tuple(self.scores))

    def either(self) -> Tree:
        return self.joined("or", Or, self.both)

    def both(self) -> Tree:
        return self.joined("and", And, self.negated)

    def joined(self, word: str, join: type[And] | type[Or], part: Callable[[], Tree]) -> Tree:
        parts = [part()]
        while self.take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else join(tuple(parts))

    def negated(self) -> Tree:
        negative = False
        while self.take("not"):
            negative = not negative
        if self.take("("):
            self.depth += 1
            if self.depth > MAX_DEPTH:
                self.fail(self.token.at, f"more than {MAX_DEPTH} parentheses inside each other.")
            tree = self.either()
            self.expect(")", "here")
            self.depth -= 1
        else:
            tree = self.test()
        return Not(tree) if negative else tree

    def test(self) -> Tree:
        start = self.token
        if self.take("tag"):
            return Match(self.resolve("tags", start.at), "contains", self.argument("tag('beach')"))
        side = self.side()
        op = self.take("=", "!=", "<", "<=", ">", ">=")
        if op:
            return self.comparison(side, op)
        left = side.operand
        if isinstance(left, Constant):
            self.fail(side.at, "a value alone is no test: compare a name with it, such as earth >= 0.9.")
        if self.take("is"):
            return self.state(left)
        negative = bool(self.take("not"))
        word = self.take("in", "between", "like", "contains")
        if word is None:
            if negative:
                self.fail(self.token.at, "'not' stands before a name, or before in, between, like or contains.")
            return self.bare(left, side.at)
        if word in ("like", "contains"):
            tree = self.match(left, side.at, word)
        else:
            tree = self.member(side) if word == "in" else self.between(side)
        return Not(tree) if negative else tree

    def bare(self, left: Name | Score, at: int) -> Tree:
        if isinstance(left, Score):
            self.fail(at, f"a score is a number: compare it, such as score('{left.phrase}') > 0.8.")
        if left.kind == "attribute":
            return Is(left, "accepted")
        if left.kind == "bool":
            return Compare(left, "=", Constant(True))
        self.fail(at, f"{left.name!r} alone is no test: {_HOW_TO_ASK[left.kind].format(left.name)}.")

    def state(self, left: Name | Score) -> Tree:
        negative = bool(self.take("not"))
        at = self.token.at
        what = self.take("null", "unknown", *_BANDS)
        if what is None or isinstance(left, Score):
            self.fail(at, "'is' asks for null, unknown, accepted, tentative or rejected of a name.")
        if what != "null" and left.kind != "attribute":
            self.fail(at, f"{left.name!r} is no attribute and has no band; 'is null' asks whether it is missing.")
        tree = Is(left, "null" if what == "unknown" else what)
        return Not(tree) if negative else tree

    def match(self, left: Name | Score, at: int, word: str) -> Tree:
        if isinstance(left, Score) or left.kind not in (("text",) if word == "like" else ("text", "tags")):
            self.fail(at, f"{word!r} looks into texts{' and tags' if word == 'contains' else ''} only.")
        return Match(left, "like" if word == "like" else "contains", self.string(f"{word} 'text'"))

    def member(self, left: _Side) -> Tree:
        self.expect("(", "after 'in', such as in ('a', 'b')")
        tests = [self.related(left, "=", self.constant())]
        while self.take(","):
            tests.append(self.related(left, "=", self.constant()))
        self.expect(")", "or ',' in the list")
        return tests[0] if len(tests) == 1 else Or(tuple(tests))

    def between(self, left: _Side) -> Tree:
        low = self.related(left, ">=", self.constant())
        self.expect("and", "between the two ends, such as between 0.2 and 0.8")
        return And((low, self.related(left, "<=", self.constant())))

    def constant(self) -> _Side:
        side = self.side()
        if not isinstance(side.operand, Constant):
            self.fail(side.at, "a value is needed here, such as 0.5 or 'text'.")
        return side

    def comparison(self, left: _Side, op: str) -> Tree:
        right = self.side()
        if self.token.kind == "sign" and self.token.text in _FLIPPED:
            self.fail(self.token.at, "one comparison at a time: write between 0.2 and 0.8, or join two with 'and'.")
        if isinstance(left.operand, Constant):
            return self.related(right, _FLIPPED[op], left)
        return self.related(left, op, right)

    def related(self, left: _Side, op: str, right: _Side) -> Tree:
        """A comparison whose sides fit each other; a constant stands on the right."""
        name, other = left.operand, right.operand
        if isinstance(name, Constant):
            self.fail(right.at, "two values compared with each other: name an attribute or field on one side.")
        if left.kind == "tags":
            self.fail(left.at, "tags are many: ask tags contains 'x', or tag('x').")
        if left.kind == "bool" and op not in ("=", "!="):
            self.fail(left.at, "a truth is not more or less than another: only = and != fit.")
        if isinstance(other, Constant):
            if left.kind == "date" and isinstance(other.value, str):
                return _in_time(name, op, self.date(other.value, right.at))
            if left.kind == "attribute" and isinstance(other.value, float) and not 0 <= other.value <= 1:
                self.fail(right.at, "a confidence lies between 0 and 1, so this test would say nothing.")
        a_confidence = left.kind == "attribute" and isinstance(other, Constant) and right.kind == "number"
        if right.kind != left.kind and not a_confidence:
            example = _HOW_TO_ASK[left.kind].format(name.name if isinstance(name, Name) else f"score({name.phrase!r})")
            what = f"{_WORDS[left.kind]} cannot be compared with {_WORDS[right.kind]}"
            self.fail(right.at, f"{what}: {example}.")
        return Compare(name, op, other)

    def side(self) -> _Side:
        token = self.token
        self.next += 1
        if token.kind == "name":
            name = self.resolve(token.text, token.at)
            return _Side(name, name.kind, token.at)
        if token.kind == "string":
            return _Side(Constant(token.text), "text", token.at)
        if token.kind == "number":
            value = float(token.text)
            if math.isinf(value):
                self.fail(token.at, "this number is too large.")
            return _Side(Constant(value), "number", token.at)
        if token.text in ("true", "false") and token.kind == "word":
            return _Side(Constant(token.text == "true"), "bool", token.at)
        if token.text == "score" and token.kind == "word":
            phrase = self.argument("score('a red car')")
            self.scores[phrase] = None
            return _Side(Score(phrase), "attribute", token.at)
        self.next -= 1
        hint = "; 'is null' asks whether a value is missing" if token.text == "null" else ""
        self.fail(token.at, f"a name or a value is needed here, not {self.shown()}{hint}.")

    def argument(self, example: str) -> str:
        self.expect("(", f"here, such as {example}")
        text = self.string(example).strip()
        if not text:
            self.fail(self.token.at, f"an empty text says nothing: write one, such as {example}.")
        self.expect(")", f"here, such as {example}")
        return text

    def string(self, example: str) -> str:
        token = self.token
        if token.kind != "string":
            self.fail(token.at, f"a text in quotes is needed here, such as {example}.")
        self.next += 1
        return token.text

    def resolve(self, name: str, at: int) -> Name:
        if self.known is None:
            kind = METADATA_KINDS.get(name, "attribute")
        elif name in self.known:
            kind = self.known[name]
        else:
            hint = did_you_mean(name, self.known) or " 'sextant columns' lists the names."
            self.fail(at, f"unknown name {name!r}.{hint}")
        self.names.add(name)
        return Name(name, kind)

    def date(self, text: str, at: int) -> _Span:
        found = _DATE.fullmatch(text.strip())
        try:
            if found:
                return _span([int(part) for part in found.groups() if part is not None])
        except (ValueError, OverflowError):
            pass  # the 31st of February, the year 0: the message below fits
        self.fail(
            at, "a date is written '2024', '2024-05', '2024-05-17' or '2024-05-17 14:30:00', without a time zone."
        )


_DATE = re.compile(r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d?):(\d\d)(?::(\d\d))?)?)?)?", re.ASCII)
_WORDS: Mapping[Kind, str] = {
    "attribute": "a confidence",
    "number": "a number",
    "text": "a text",
    "date": "a date",
    "bool": "a truth",
    "tags": "tags",
}


def _span(parts: list[int]) -> _Span:
    """Year, month, day, hour, minute and second, of which any tail may be missing, as the time they cover."""
    start = datetime(*(parts + [1, 1][len(parts) - 1 :] if len(parts) < 3 else parts))  # type: ignore[arg-type]
    if len(parts) == 1:
        end = start.replace(year=start.year + 1)
    elif len(parts) == 2:
        end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    else:
        end = start + {3: timedelta(days=1), 5: timedelta(minutes=1), 6: timedelta(seconds=1)}[len(parts)]
    return _Span(start, end)


def _in_time(name: Name | Score, op: str, span: _Span) -> Tree:
    """A comparison with a stretch of time: equal is within it, more is after all of it."""
    start, end = Constant(span.start), Constant(span.end)
    if op in ("<", ">="):
        return Compare(name, op, start)
    if op in ("<=", ">"):
        return Compare(name, "<" if op == "<=" else ">=", end)
    within = And((Compare(name, ">=", start), Compare(name, "<", end)))
    return within if op == "=" else Not(within)
