"""Golden sets: a file of queries whose right answers are known, and how well a search finds them.

    truth: pictures/truth.jsonl          # as `label import` reads it; without it the collection's labels
    k: 10
    queries:
      - {query: the blue planet, rule: earth}
      - {query: the evening on the quay, paths: [harbour/0012.jpg, harbour/0013.jpg]}
      - {query: a submarine, nothing: true}

Only judged images count: where nobody knows whether an image is right, it is passed over (Sakai 2007). Knows nothing of
how a search ranks: it is handed a function that asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from yaml import Node, ScalarNode, SequenceNode

from sextant import exchange
from sextant.errors import ExchangeError, RuleError, UsageError, VocabularyError
from sextant.maths import ranking, rules
from sextant.maths.metrics import Estimate
from sextant.maths.ranking import Measures
from sextant.maths.rules import ACCEPTED, REJECTED, UNKNOWN, AttributeValues
from sextant.types import SearchResult
from sextant.view import KINDS, View
from sextant.vocabulary import Thresholds
from sextant.vocabulary.sections import Problems, Section, compose

K = 10
TOLERANCE = 0.02
"""How far a mean may fall below its baseline before that counts."""
RESAMPLES = 2000
MAX_BYTES = 5_000_000
MEASURES = tuple(field.name for field in fields(Measures))
_TOP_KEYS = ("name", "truth", "k", "queries")
_RIGHT_KEYS = ("rule", "paths", "nothing")
_QUERY_KEYS = ("query", *_RIGHT_KEYS, "k", "where", "note")

Truth = Mapping[str, Mapping[str, bool]]
"""Answers by code and image."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a golden set. Exactly one of `rule`, `paths` and `nothing` says what its right answers are."""

    text: str
    rule: str | None
    paths: tuple[str, ...]
    nothing: bool
    k: int | None
    where: str | None
    note: str
    line: int


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """A file of queries; `truth` names a file of answers beside it."""

    name: str
    truth: Path | None
    k: int | None
    queries: tuple[Query, ...]

    def codes(self) -> tuple[str, ...]:
        """Every attribute that a rule asks about, whether or not it exists."""
        asked = (rules.parse(query.rule).names for query in self.queries if query.rule)
        return tuple(sorted({name for names in asked for name in names} - KINDS.keys()))


@dataclass(frozen=True, slots=True)
class Measured:
    """How one query was answered. `relevant` images are right, `measures` are of the first k judged hits.

    A query without right answers has no measures; `quiet` says whether it was answered by no hit of confidence .5 or
    more. `best` is the highest confidence among the hits, None where the search gives none.
    """

    query: str
    k: int
    relevant: int
    measures: Measures | None
    quiet: bool | None
    best: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Regression:
    """A mean that fell below its baseline by more than the tolerance, over the queries that both have."""

    measure: str
    value: float
    baseline: float


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """How well a search answers a golden set: every query, the means with 95 % intervals, and what got worse.

    `quiet` is the share of queries about nothing here that were answered so. `passed_over` names queries that could not
    be measured, and why; `changed` those that the baseline does not have, or had with other right answers.
    """

    name: str
    queries: tuple[Measured, ...]
    means: Mapping[str, Estimate]
    quiet: Estimate | None
    passed_over: tuple[str, ...] = ()
    regressed: tuple[Regression, ...] = ()
    changed: tuple[str, ...] = ()

    def figures(self) -> dict[str, float]:
        """Every mean, and `quiet`, by name."""
        found = {name: estimate.value for name, estimate in self.means.items()}
        return found if self.quiet is None else {**found, "quiet": self.quiet.value}


# the file


def load(path: Path) -> GoldenSet:
    """Reads and checks a golden set. Raises `UsageError` with every problem found, each with file and line."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError(f"{path}: larger than {MAX_BYTES:,} bytes, so it is hardly a golden set")
        return parse(data.decode("utf-8-sig"), path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8: save the file as UTF-8") from error


def parse(text: str, path: Path) -> GoldenSet:
    """Checks the text of a golden set; `path` stands in the messages. Raises `UsageError` with every problem."""
    problems = Problems(str(path))
    try:
        top = Section(compose(text, str(path)), _TOP_KEYS, problems, "the golden set")
        queries = tuple(_query(Section(node, _QUERY_KEYS, problems, "the query")) for node in top.nodes("queries"))
        if not queries:
            top.problem("no queries: list at least one, such as - {query: the sea, rule: sea}", "queries")
        _check_twice(queries, problems)
        truth = top.text("truth")
        found = GoldenSet(top.text("name") or path.stem, path.parent / truth if truth else None, _k(top), queries)
        problems.raise_if_any()
    except VocabularyError as error:  # what sections raise, whichever file they read
        raise UsageError(str(error)) from error
    return found


def _query(section: Section) -> Query:
    text = section.text("query")
    if not text and section.fields:
        section.problem("a query without a text: add one, such as query: the sea", "query")
    nothing = section.text("nothing").lower()
    given = [key for key in _RIGHT_KEYS if key in section.fields]
    if len(given) != 1 and section.fields:
        section.problem(f"say what is right by exactly one of {', '.join(_RIGHT_KEYS)}, not {len(given)}")
    if nothing not in ("", "true"):
        section.problem("nothing can only be true", "nothing")
    rule, where = section.text("rule") or None, section.text("where") or None
    for key, written in (("rule", rule), ("where", where)):
        try:
            if written or key in section.fields:
                rules.parse(written or "")
        except RuleError as error:
            section.problem(f"{key}: {error}", key)
    paths = tuple(_paths(section))
    return Query(text, rule, paths, bool(nothing), _k(section), where, section.text("note"), section.line)


def _paths(section: Section) -> Iterator[str]:
    node: Node | None = section.fields.get("paths")
    if node is None:
        return
    children = node.value if isinstance(node, SequenceNode) else []
    if not children or not all(isinstance(child, ScalarNode) and child.value for child in children):
        section.problem("paths must be a list of paths or ids, such as [beach/one.jpg, beach/two.jpg]", "paths")
        return
    yield from (str(child.value) for child in children)


def _k(section: Section) -> int | None:
    value = section.number("k", above=0, most=1_000_000)
    if value is not None and value != int(value):
        section.problem(f"k is {value:g}, but must be a whole number", "k")
        return None
    return None if value is None else int(value)


def _check_twice(queries: Sequence[Query], problems: Problems) -> None:
    lines: dict[tuple[str, str | None], int] = {}
    for query in queries:
        first = lines.setdefault((query.text, query.where), query.line)
        if query.text and first != query.line:
            problems.add(query.line, f"query {query.text!r} stands on line {first} as well: keep one")


# what is right


@dataclass(frozen=True, slots=True)
class _Right:
    """Which images (n,) of a view are right, and of which that is known."""

    relevant: Mask
    judged: Mask


def _right(view: View, query: Query, truth: Truth) -> _Right:
    """Raises `UsageError` where the query names what does not exist."""
    n = len(view)
    if query.rule is None:
        relevant = np.zeros(n, np.bool_)
        for path in query.paths:
            image = view.find(path)
            if image is None:
                raise UsageError(f"no image '{path}' in the collection")
            relevant[view.places[image]] = True
        return _Right(relevant, np.ones(n, np.bool_))
    shown = [code for code, answers in truth.items() if any(answers.values())]
    known = {**KINDS, **dict.fromkeys((*view.codes(), *shown), "attribute")}
    relevant, wrong = (
        _mask(view, rules.parse(text, known), truth)  # type: ignore[arg-type]
        for text in (query.rule, f"not ({query.rule})")
    )
    return _Right(relevant, relevant | wrong)


def _mask(view: View, rule: rules.Rule, truth: Truth) -> Mask:
    """The images for which a rule over the truth is true, which is not what the columns say."""
    values: dict[str, Any] = {
        name: view.fact_values(name) if name in KINDS else _told(view, truth.get(name, {})) for name in rule.names
    }
    return rules.evaluate(rule, values, len(view))


def _told(view: View, answers: Mapping[str, bool]) -> AttributeValues:
    """What people said of one attribute, as a column without doubt."""
    confidence, band = np.full(len(view), np.nan), np.full(len(view), UNKNOWN, np.int8)
    for image, value in answers.items():
        if (place := view.places.get(image)) is not None:
            confidence[place], band[place] = float(value), ACCEPTED if value else REJECTED
    return AttributeValues(confidence, band)


# measuring

Ask = Callable[[str, int, str | None], SearchResult]
"""Asks a search: the text, how many hits, and a rule that they satisfy."""


def evaluate(view: View, golden: GoldenSet, truth: Truth, ask: Ask, *, k: int | None = None) -> GoldenReport:
    """Asks every query and measures the answers at `k`, else at the query's own, else at the set's, else at 10.

    Raises:
        UsageError: a query names an image, attribute or fact that does not exist; the message has its line.
    """
    found: list[Measured] = []
    passed_over: list[str] = []
    for query in golden.queries:
        depth = k or query.k or golden.k or K
        try:
            if query.nothing:
                found.append(_nothing(query, depth, ask(query.text, depth, query.where)))
                continue
            measured = _measured(view, query, depth, _right(view, query, truth), ask)
        except (UsageError, RuleError) as error:
            raise UsageError(f"{golden.name}, line {query.line}, query {query.text!r}: {error}") from error
        if measured is None:
            passed_over.append(f"{query.text!r}, line {query.line}: no image here is known to be right")
        else:
            found.append(measured)
    if not found:
        raise UsageError(f"{golden.name}: no query could be measured; {passed_over[0]}")
    return _report(golden.name, found, passed_over)


def _measured(view: View, query: Query, k: int, right: _Right, ask: Ask) -> Measured | None:
    allowed = ~view.out_of_sight
    if query.where is not None:
        known = {**KINDS, **dict.fromkeys(view.codes(), "attribute")}
        allowed &= view.mask(rules.parse(query.where, known))  # type: ignore[arg-type]
    relevant = int((right.relevant & allowed).sum())
    if not relevant:
        return None
    every = bool((right.judged | ~allowed).all())
    answer = ask(query.text, k if every else len(view), query.where)
    places = [view.places[hit.id] for hit in answer.hits]
    gains = [bool(right.relevant[place]) for place in places if right.judged[place]]
    return Measured(query.text, k, relevant, ranking.measure(gains, relevant, k), None, _best(answer), query.note)


def _nothing(query: Query, k: int, answer: SearchResult) -> Measured:
    best = _best(answer)
    quiet = not answer.hits or (best is not None and best < Thresholds().tentative)
    return Measured(query.text, k, 0, None, quiet, best, query.note)


def _best(answer: SearchResult) -> float | None:
    return max((hit.confidence for hit in answer.hits if hit.confidence is not None), default=None)


def _report(name: str, found: Sequence[Measured], passed_over: Sequence[str]) -> GoldenReport:
    measured = np.array([astuple(m.measures) for m in found if m.measures is not None])
    quiet = np.array([[float(m.quiet)] for m in found if m.quiet is not None])
    means = dict(zip(MEASURES, _estimates(measured), strict=True)) if len(measured) else {}
    return GoldenReport(name, tuple(found), means, _estimates(quiet)[0] if len(quiet) else None, tuple(passed_over))


def _estimates(values: NDArray[np.float64], *, seed: int = 0) -> list[Estimate]:
    """The mean of every column of values (queries, m), with a 95 % bootstrap interval over queries."""
    draws = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    times = np.zeros((RESAMPLES, len(values)))
    np.add.at(times, (np.arange(RESAMPLES)[:, None], draws), 1.0)
    low, high = np.quantile(times @ values / len(values), [0.025, 0.975], axis=0)
    return [Estimate(*map(float, row)) for row in zip(values.mean(axis=0), low, high, strict=True)]


# against an earlier time


def write_baseline(report: GoldenReport, path: Path) -> None:
    """Writes what every query measures now, to be compared with later; whole or not at all."""
    queries = [
        {"query": m.query, "k": m.k, "relevant": m.relevant, "quiet": m.quiet}
        | ({name: round(value, 6) for name, value in asdict(m.measures).items()} if m.measures else {})
        for m in report.queries
    ]
    held = {"format": 1, "name": report.name, "figures": report.figures(), "queries": queries}
    exchange.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n", path)


def compare(report: GoldenReport, path: Path, *, tolerance: float = TOLERANCE) -> GoldenReport:
    """The same report, with what fell below a baseline by more than `tolerance`.

    Means are taken anew over the queries that both have, with the same k and as many right answers. Raises
    `ExchangeError` for a file that is no baseline.
    """
    before = _baseline(path)
    pairs = [(m, before[m.query]) for m in report.queries if _same(m, before.get(m.query))]
    kept = {m.query for m, _ in pairs}
    changed = [m.query for m in report.queries if m.query not in kept]
    changed += [text for text in before if text not in {m.query for m in report.queries}]
    if not pairs:
        raise ExchangeError(f"{path}: has no query in common with {report.name}; write it anew with --write-baseline")
    regressed = []
    for name in (*MEASURES, "quiet"):
        now = [_figure(m, name) for m, _ in pairs]
        then = [old.get(name) for _, old in pairs]
        try:
            values = [(a, float(b)) for a, b in zip(now, then, strict=True) if a is not None and b is not None]
        except (OverflowError, TypeError, ValueError) as error:
            raise ExchangeError(f"{path}: its {name} is no number: {error}; write it anew") from error
        if values:
            new, old = (float(np.mean(column)) for column in zip(*values, strict=True))
            if new < old - tolerance:
                regressed.append(Regression(name, new, old))
    return GoldenReport(
        report.name, report.queries, report.means, report.quiet, report.passed_over, tuple(regressed), tuple(changed)
    )


def _figure(measured: Measured, name: str) -> float | None:
    if name == "quiet":
        return None if measured.quiet is None else float(measured.quiet)
    return None if measured.measures is None else float(getattr(measured.measures, name))


def _same(measured: Measured, old: Mapping[str, Any] | None) -> bool:
    return old is not None and (measured.k, measured.relevant) == (old.get("k"), old.get("relevant"))


def _baseline(path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["format"] != 1:
            raise ExchangeError(f"{path}: a baseline of format {held['format']}; this program knows 1. Update sextant.")
        return {str(row["query"]): row for row in held["queries"]}
    except OSError as error:
        raise ExchangeError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ExchangeError(f"{path}: is no baseline of a golden set: {error}") from error
