"""A rule becomes a mask over images, or the WHERE expression that DuckDB answers with the same images.

Logic is Kleene's, with three values: what is unknown stays unknown under `not`, and an image is chosen only where the
rule is true. `grammar` reads the text; this module knows nothing about files, models or DuckDB itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sextant.maths.grammar import parse
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
from sextant.types import Band
from sextant.vocabulary import Thresholds

__all__ = [
    "ACCEPTED",
    "BAND_NAMES",
    "METADATA_KINDS",
    "REJECTED",
    "TENTATIVE",
    "UNKNOWN",
    "AttributeValues",
    "Kind",
    "Rule",
    "band",
    "evaluate",
    "parse",
    "score_key",
    "to_sql",
]

ACCEPTED, TENTATIVE, REJECTED, UNKNOWN = 2, 1, 0, -1
BAND_NAMES: Final[Mapping[int, Band]] = {
    ACCEPTED: "accepted",
    TENTATIVE: "tentative",
    REJECTED: "rejected",
    UNKNOWN: "unknown",
}
_CODES: Final[Mapping[str, int]] = {name: code for code, name in BAND_NAMES.items()}

# Truth values that make `and` the minimum, `or` the maximum and `not` a subtraction from 2.
_FALSE, _MAYBE, _TRUE = 0, 1, 2
Truth = NDArray[np.int8]
_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True, eq=False)
class AttributeValues:
    """One column over n images: `confidence` (n,) float64, NaN where unknown; `band` (n,) int8, see BAND_NAMES."""

    confidence: NDArray[np.float64]
    band: NDArray[np.int8]


Column = AttributeValues | NDArray[Any]


def band(confidence: NDArray[Any], thresholds: Thresholds) -> NDArray[np.int8]:
    """Bands of confidences, decided on the unrounded numbers: 0.8 is accepted, 0.79999 is not. NaN is unknown."""
    values = np.asarray(confidence, np.float64)
    result = (values >= thresholds.tentative).astype(np.int8)
    result[values >= thresholds.accepted] = ACCEPTED
    result[np.isnan(values)] = UNKNOWN
    return result


def score_key(phrase: str) -> str:
    """The name under which `evaluate` finds the confidences of a phrase: no attribute can have it."""
    return f"score:{phrase}"


def evaluate(rule: Rule, values: Mapping[str, Column], n: int) -> NDArray[np.bool_]:
    """The (n,) mask of images for which the rule is true.

    `values` has AttributeValues for an attribute and an array (n,) for a field: numbers (NaN unknown), datetime64
    (NaT), objects for texts and truths (None), lists of texts for tags (None is no tag); and, under
    `score_key(phrase)`, the confidences of each of `rule.scores`.
    """
    mask: NDArray[np.bool_] = _truth(rule.tree, values, n) == _TRUE
    return mask


def _truth(tree: Tree, values: Mapping[str, Column], n: int) -> Truth:
    match tree:
        case And(parts):
            return _folded(np.minimum, parts, values, n)
        case Or(parts):
            return _folded(np.maximum, parts, values, n)
        case Not(part):
            return np.subtract(_TRUE, _truth(part, values, n), dtype=np.int8)
        case Compare(left, op, right):
            return _compared(_side(left, values), op, _side(right, values), n)
        case Match(name, "like", pattern):
            return _per_text(values[name.name], lambda text: like(text, pattern))
        case Match(name, _, text) if name.kind == "tags":
            return _truths([bool(tags is not None and text in tags) for tags in _plain(values[name.name])])
        case Match(name, _, text):
            return _per_text(values[name.name], lambda value: text in value)
        case Is(name, "null"):
            return _truths(_missing(values[name.name], name.kind))
        case Is(name, what):
            bands = _attribute(values[name.name]).band
            return _known(np.equal(bands, _CODES[what]), np.not_equal(bands, UNKNOWN))


def _folded(join: np.ufunc, parts: Sequence[Tree], values: Mapping[str, Column], n: int) -> Truth:
    result = _truth(parts[0], values, n)
    for part in parts[1:]:
        result = join(result, _truth(part, values, n))
    return result


def _known(true: NDArray[np.bool_], known: NDArray[np.bool_]) -> Truth:
    return np.where(known, np.where(true, _TRUE, _FALSE), _MAYBE).astype(np.int8)


def _truths(values: Sequence[bool] | NDArray[np.bool_]) -> Truth:
    return np.where(np.asarray(values, bool), _TRUE, _FALSE).astype(np.int8)


def _side(operand: Operand, values: Mapping[str, Column]) -> Any:
    """A constant as it is, numbers as float64 (float32 against 0.8 would be compared in float32), the rest plain."""
    match operand:
        case Constant(value):
            return np.datetime64(value, "us") if isinstance(value, datetime) else value
        case Score(phrase):
            return np.asarray(values[score_key(phrase)], np.float64)
        case Name(name, "attribute"):
            return _attribute(values[name]).confidence
        case Name(name, "number"):
            return _floats(_plain(values[name]))
        case Name(name, "date"):
            return np.asarray(values[name], "datetime64[us]")
        case Name(name):
            return np.asarray(values[name], object)


def _compared(left: Any, op: str, right: Any, n: int) -> Truth:
    compare = _OPERATORS[op]
    if left.dtype == object:
        others = right if isinstance(right, np.ndarray) else [right] * n
        pairs = [(a, b) for a, b in zip(left, others, strict=True)]
        known = [a is not None and b is not None for a, b in pairs]
        true = [fine and bool(compare(*pair)) for fine, pair in zip(known, pairs, strict=True)]
        return _known(np.array(true, bool), np.array(known, bool))
    missing = np.isnat if left.dtype.kind == "M" else np.isnan
    return _known(compare(left, right), ~(missing(left) | missing(right)))


def _per_text(column: Column, test: Callable[[str], bool]) -> Truth:
    """A test of texts, made once for each different one."""
    texts = _plain(column)
    answers: dict[str | None, int] = {None: _MAYBE}
    for text in texts:
        if text not in answers:
            answers[text] = _TRUE if test(text) else _FALSE
    return np.array([answers[text] for text in texts], np.int8)


def _missing(column: Column, kind: Kind) -> NDArray[np.bool_]:
    if isinstance(column, AttributeValues):
        return np.equal(column.band, UNKNOWN)
    if kind == "number":
        return np.isnan(_floats(column))
    if kind == "date":
        missing: NDArray[np.bool_] = np.isnat(np.asarray(column, "datetime64[us]"))
        return missing
    return np.array([value is None or (kind == "tags" and len(value) == 0) for value in column], np.bool_)


def _floats(column: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(column, np.float64)  # None in an object array becomes NaN


def _attribute(column: Column) -> AttributeValues:
    if not isinstance(column, AttributeValues):
        raise TypeError("an attribute needs AttributeValues, an array has no bands")
    return column


def _plain(column: Column) -> NDArray[Any]:
    if isinstance(column, AttributeValues):
        raise TypeError("a field of the metadata needs an array, not AttributeValues")
    return column


def like(text: str, pattern: str) -> bool:
    """SQL's LIKE: % is any run, _ any one character. Steps back to the last % only, so no pattern is slow."""
    at = spot = 0
    star, resume = -1, 0
    while at < len(text):
        if spot < len(pattern) and pattern[spot] == "%":
            star, resume = spot, at
            spot += 1
        elif spot < len(pattern) and pattern[spot] in ("_", text[at]):
            at, spot = at + 1, spot + 1
        elif star >= 0:
            resume += 1
            at, spot = resume, star + 1
        else:
            return False
    return not pattern[spot:].strip("%")


def to_sql(rule: Rule) -> tuple[str, list[Any]]:
    """The rule as a WHERE expression with `?` and its parameters, over `images i JOIN bands b USING (id)`.

    A phrase becomes `score(?, i.id)`. Names are quoted, values are never part of the text.
    """
    parameters: list[Any] = []
    return _sql(rule.tree, parameters), parameters


def _sql(tree: Tree, parameters: list[Any]) -> str:
    match tree:
        case And(parts) | Or(parts):
            word = " AND " if isinstance(tree, And) else " OR "
            return "(" + word.join(_sql(part, parameters) for part in parts) + ")"
        case Not(part):
            return f"(NOT {_sql(part, parameters)})"
        case Compare(left, op, right):
            first = _sql_side(left, parameters)
            return f"{first} {'<>' if op == '!=' else op} {_sql_side(right, parameters)}"
        case Match(name, how, text):
            parameters.append(text)
            column = f"i.{_quoted(name.name)}"
            if how == "like":
                return f"{column} LIKE ?"
            return f"coalesce(list_contains({column}, ?), FALSE)" if name.kind == "tags" else f"contains({column}, ?)"
        case Is(name, "null") if name.kind == "tags":
            return f"coalesce(len(i.{_quoted(name.name)}), 0) = 0"
        case Is(name, "null") if name.kind == "attribute":
            return f"coalesce(b.{_quoted(name.name)}, 'unknown') = 'unknown'"
        case Is(name, "null"):
            return f"i.{_quoted(name.name)} IS NULL"
        case Is(name, what):
            parameters.append(what)
            return f"nullif(b.{_quoted(name.name)}, 'unknown') = ?"


def _sql_side(operand: Operand, parameters: list[Any]) -> str:
    match operand:
        case Name(name):
            return f"i.{_quoted(name)}"
        case Score(phrase):
            parameters.append(phrase)
            return "score(?, i.id)"
        case Constant(value):
            parameters.append(value)
            return "?"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
