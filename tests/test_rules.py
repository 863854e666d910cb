from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sextant import sql
from sextant.errors import RuleError
from sextant.maths import rules
from sextant.maths.rules import BAND_NAMES, METADATA_KINDS, AttributeValues, band
from sextant.vocabulary import Thresholds

CODES = ("earth", "moon", "crew")
KNOWN: dict[str, rules.Kind] = {**METADATA_KINDS, **dict.fromkeys(CODES, "attribute")}
NEW_YEAR_EVE = datetime(2023, 12, 31)
WIDE: dict[str, list[Any]] = {
    "id": [f"i{number}" for number in range(6)],
    "path": ["a/x.jpg", "a/y.png", "b/50%_é.jpg", "", "A/x.JPG", "b/\n.jpg"],
    "description": ["a 'red' car", None, "", "Red", "naïve 😀 fox", None],
    "width": [1000, 640, 2000, 1, 1000, 4096],
    "height": [640, 640, 1000, 1, 2000, 4096],
    "sharpness": [0.8, None, 12.5, 0.0, 0.1, 7.25],
    "gps": [True, False, None, True, None, False],
    "taken_at": [
        datetime(2024, 5, 1),
        None,
        datetime(2024, 5, 31, 23, 59, 59),
        datetime(2024, 6, 1),
        None,
        datetime(2023, 12, 31),
    ],
    "tags": [["beach", "sea"], [], None, ["Beach"], ["it's"], ["sea"]],
    "earth": [0.9, 0.8, math.nextafter(0.8, 0), 0.5, 0.1, math.nan],
    "moon": [0.9, math.nan, 0.2, 0.95, 0.6, 0.9],
    "crew": [0.0, 1.0, math.nan, 0.5, math.nextafter(0.5, 0), 0.3],
}
N = len(WIDE["id"])
SCORES = {"a red car": [0.9, 0.1, math.nan, 0.5, 0.85, 0.0]}
TYPES = {
    "taken_at": pa.timestamp("us"),
    "tags": pa.list_(pa.string()),
    "sharpness": pa.float32(),
    "gps": pa.bool_(),
    **dict.fromkeys(CODES, pa.float64()),
}


def values() -> dict[str, Any]:
    """The rows as `evaluate` wants them."""
    columns: dict[str, Any] = {name: objects(WIDE[name]) for name in ("id", "path", "description", "gps", "tags")}
    columns |= {name: np.array(WIDE[name], np.int64) for name in ("width", "height")}
    columns["sharpness"] = np.array(WIDE["sharpness"], np.float32)
    columns["taken_at"] = np.array(WIDE["taken_at"], "datetime64[us]")
    for code in CODES:
        confidence = np.array(WIDE[code])
        columns[code] = AttributeValues(confidence, band(confidence, Thresholds()))
    return columns | {rules.score_key(phrase): np.array(scores) for phrase, scores in SCORES.items()}


def objects(items: list[Any]) -> Any:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def tables() -> sql.Tables:
    """The same rows as SQL sees them."""
    wide = pa.table({name: pa.array(column, TYPES.get(name)) for name, column in WIDE.items()})
    bands = {code: [BAND_NAMES[int(b)] for b in band(np.array(WIDE[code]), Thresholds())] for code in CODES}
    sources = {code: ["model"] * N for code in CODES}
    return sql.Tables(wide, pa.table({"id": WIDE["id"], **bands}), pa.table({"id": WIDE["id"], **sources}))


def chosen(text: str) -> list[int]:
    return np.flatnonzero(rules.evaluate(rules.parse(text, KNOWN), values(), N)).tolist()


def chosen_by_sql(text: str) -> list[int]:
    where, parameters = rules.to_sql(rules.parse(text, KNOWN))
    select = f"SELECT i.id FROM images i JOIN bands b USING (id) WHERE {where}"
    found = sql.run(select, tables(), parameters=parameters, score=lambda phrase: np.array(SCORES[phrase]))
    return sorted(WIDE["id"].index(image) for image in found["id"].to_pylist())


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("earth", [0, 1]),
        ("earth OR moon", [0, 1, 3, 5]),
        ("not earth", [2, 3, 4]),
        ("not not earth", [0, 1]),
        ("earth and moon", [0]),
        ("not (earth and moon)", [2, 3, 4]),
        ("earth and (moon >= 0.9 or not crew) and width > 600", [0]),
        ("earth or moon and crew", [0, 1]),
        ("earth is accepted", [0, 1]),
        ("earth is tentative", [2, 3]),
        ("earth is rejected", [4]),
        ("earth is not rejected", [0, 1, 2, 3]),
        ("earth is unknown", [5]),
        ("earth is not null", [0, 1, 2, 3, 4]),
        ("earth >= 0.8", [0, 1]),
        ("0.8 <= earth", [0, 1]),
        ("0.8 > earth", [2, 3, 4]),
        ("moon > earth", [3, 4]),
        ("earth between 0.5 and 0.8", [1, 2, 3]),
        ("earth not between 0.5 and 0.8", [0, 4]),
        ("width in (640, 1)", [1, 3]),
        ("width not in (640, 1)", [0, 2, 4, 5]),
        ("width == 1000 and height <> 640", [4]),
        ("width = height", [1, 3, 5]),
        ("sharpness > .1", [0, 2, 4, 5]),
        ("sharpness is null", [1]),
        ("sharpness < -1e-3 or sharpness = 7.25", [5]),
        ("gps", [0, 3]),
        ("not gps", [1, 5]),
        ("gps != true", [1, 5]),
        ("gps is null", [2, 4]),
        ("path like 'a/%'", [0, 1]),
        ("path like 'b/50\\%%'", []),
        ("path like '_/_.jpg'", [0, 5]),
        ("path not like '%.jpg'", [1, 3, 4]),
        ("path contains '%'", [2]),
        ("description = ''", [2]),
        ("description contains '''red'''", [0]),
        ("description contains \"'red'\"", [0]),
        ("description > 'Z'", [0, 4]),
        ("description is null", [1, 5]),
        ("description like '%naïve _ fox'", [4]),
        ("taken_at = '2024-05'", [0, 2]),
        ("taken_at = '2024-05-31'", [2]),
        ("taken_at != '2024-05'", [3, 5]),
        ("taken_at > '2024-05'", [3]),
        ("taken_at >= '2024-05'", [0, 2, 3]),
        ("taken_at < '2024'", [5]),
        ("taken_at <= '2024'", [0, 2, 3, 5]),
        ("'2023' = taken_at", [5]),
        ("taken_at = '2024-05-31 23:59:59'", [2]),
        ("taken_at = '2024-05-31T23:59'", [2]),
        ("taken_at between '2023-12' and '2024-05'", [0, 2, 5]),
        ("taken_at in ('2023', '2024-06')", [3, 5]),
        ("taken_at is null", [1, 4]),
        ("tags contains 'sea'", [0, 5]),
        ("tag('beach')", [0]),
        ("not tag('beach')", [1, 2, 3, 4, 5]),
        ("tags is null", [1, 2]),
        ("tag('it''s')", [4]),
        ("score('a red car') > 0.8", [0, 4]),
        ("not score('a red car') > 0.8", [1, 3, 5]),
        ("score('a red car') >= earth and true = gps", [0, 3]),
    ],
)
def test_a_rule_chooses_these_images_as_a_mask_and_in_sql(rule: str, expected: list[int]) -> None:
    assert chosen(rule) == expected
    assert chosen_by_sql(rule) == expected


# A slow oracle: rules as nested tuples, answered row by row with None for unknown.


@dataclass(frozen=True)
class Test:
    __test__ = False
    text: str
    answer: Any  # row -> True, False or None


def number_tests() -> st.SearchStrategy[Test]:
    operators = {"=": "__eq__", "!=": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}

    def make(name: str, op: str, value: float) -> Test:
        def answer(row: Mapping[str, Any]) -> bool | None:
            x = row[name]
            return None if x is None or math.isnan(x) else bool(getattr(float(x), operators[op])(value))

        return Test(f"{name} {op} {value!r}", answer)

    within = st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.8, 0.9, 1.0, 0.7999999999999999])
    return st.builds(make, st.sampled_from(CODES), st.sampled_from(sorted(operators)), within) | st.builds(
        make,
        st.sampled_from(["width", "height", "sharpness"]),
        st.sampled_from(sorted(operators)),
        within | st.floats(-1e6, 1e6),
    )


def band_tests() -> st.SearchStrategy[Test]:
    def make(code: str, what: str | None) -> Test:
        def answer(row: Mapping[str, Any]) -> bool | None:
            x = row[code]
            name = "unknown" if math.isnan(x) else "accepted" if x >= 0.8 else "tentative" if x >= 0.5 else "rejected"
            if what == "unknown":
                return name == "unknown"
            return None if name == "unknown" else name == (what or "accepted")

        return Test(f"{code} is {what}" if what else code, answer)

    return st.builds(
        make, st.sampled_from(CODES), st.sampled_from([None, "accepted", "tentative", "rejected", "unknown"])
    )


def text_tests() -> st.SearchStrategy[Test]:
    def make(name: str, word: str, text: str) -> Test:
        def answer(row: Mapping[str, Any]) -> bool | None:
            x = row[name]
            if x is None:
                return None
            return {"=": x == text, "<": x < text, "contains": text in x, "like": matches(x, text)}[word]

        return Test(f"{name} {word} '{text.replace(chr(39), chr(39) * 2)}'", answer)

    letters = st.text("aAxy/.%_é😀'jpgR d", max_size=6)
    names = st.sampled_from(["path", "description"])
    return st.builds(make, names, st.sampled_from(["=", "<", "contains", "like"]), letters)


def matches(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(matches(text[start:], pattern[1:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and matches(text[1:], pattern[1:])


def both(a: Test, b: Test, word: str) -> Test:
    def answer(row: Mapping[str, Any]) -> bool | None:
        answers = {a.answer(row), b.answer(row)}
        decisive = word == "or"
        return decisive if decisive in answers else None if None in answers else not decisive

    return Test(f"({a.text} {word} {b.text})", answer)


def negated(a: Test) -> Test:
    def answer(row: Mapping[str, Any]) -> bool | None:
        found = a.answer(row)
        return None if found is None else not found

    return Test(f"not ({a.text})", answer)


TESTS = st.recursive(
    number_tests() | band_tests() | text_tests(),
    lambda inner: st.builds(both, inner, inner, st.sampled_from(["and", "or"])) | st.builds(negated, inner),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(TESTS)
def test_mask_sql_and_a_slow_oracle_agree(test: Test) -> None:
    rows = [{name: WIDE[name][number] for name in WIDE} for number in range(N)]
    rows = [
        row | {"sharpness": None if row["sharpness"] is None else float(np.float32(row["sharpness"]))} for row in rows
    ]
    expected = [number for number, row in enumerate(rows) if test.answer(row) is True]
    assert chosen(test.text) == expected
    assert chosen_by_sql(test.text) == expected


@given(st.text("aéb%_", max_size=8), st.text("aéb%_", max_size=8))
@example("aaab", "%a%ab")
def test_like_equals_a_recursive_definition(text: str, pattern: str) -> None:
    assert rules.like(text, pattern) == matches(text, pattern)


def test_a_pattern_made_to_be_slow_is_not() -> None:
    text, pattern, looks = "a" * 2_000, "%a" * 40 + "b", 0

    class Counted(str):
        __slots__ = ()

        def __getitem__(self, at: Any) -> str:
            nonlocal looks
            looks += 1
            assert looks < 4 * len(text) * len(pattern)
            return super().__getitem__(at)

    assert not rules.like(Counted(text), Counted(pattern))
    assert looks > len(text)


@pytest.mark.parametrize(
    ("confidence", "name"),
    [
        (1.0, "accepted"),
        (0.8, "accepted"),
        (math.nextafter(0.8, 0), "tentative"),
        (0.79999, "tentative"),
        (0.5, "tentative"),
        (math.nextafter(0.5, 0), "rejected"),
        (0.0, "rejected"),
        (math.nan, "unknown"),
    ],
)
def test_bands_are_decided_before_rounding(confidence: float, name: str) -> None:
    assert BAND_NAMES[int(band(np.array([confidence]), Thresholds())[0])] == name


def test_bands_of_float32_are_cut_in_float64() -> None:
    just_below = np.array([0.7], np.float32)
    assert float(just_below[0]) < 0.7
    assert band(just_below, Thresholds(0.7, 0.3)).tolist() == [rules.TENTATIVE]
    assert band(np.array([0.7, 0.3]), Thresholds(0.7, 0.3)).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("rule", "position", "words"),
    [
        ("erth and moon", 1, "unknown name 'erth'. Did you mean 'earth'?"),
        ("moon and Earth", 10, "Did you mean 'earth'?"),
        ("zzz", 1, "'sextant columns' lists the names"),
        ("earth >= 90", 10, "a confidence lies between 0 and 1"),
        ("score('x') > 7", 14, "a confidence lies between 0 and 1"),
        ("width = 'abc'", 9, "a number cannot be compared with a text: compare it, such as width > 1000"),
        ("width > moon", 9, "a number cannot be compared with a confidence"),
        ("path = 5", 8, "a text cannot be compared with a number"),
        ("earth = 'accepted'", 9, "write earth >= 0.9, or earth is tentative"),
        ("earth = accepted", 9, "a name or a value is needed here"),
        ("earth = null", 9, "'is null' asks"),
        ("gps > true", 1, "only = and != fit"),
        ("gps = 1", 7, "a truth cannot be compared with a number"),
        ("tags = 'x'", 1, "tags are many"),
        ("taken_at > 5", 12, "a date cannot be compared with a number"),
        ("taken_at > '2024-02-30'", 12, "a date is written"),
        ("taken_at > '9999'", 12, "a date is written"),
        ("taken_at > 'May'", 12, "a date is written"),
        ("width", 1, "'width' alone is no test"),
        ("tags and earth", 1, "'tags' alone is no test: ask for one, such as tags contains 'x'"),
        ("score('x')", 1, "a score is a number: compare it"),
        ("score('')", 9, "an empty text"),
        ("score(earth) > 0.5", 7, "a text in quotes is needed here"),
        ("tag(5)", 5, "a text in quotes is needed here"),
        ("width like '5%'", 1, "'like' looks into texts only"),
        ("width is tentative", 10, "'width' is no attribute"),
        ("earth is true", 10, "'is' asks for null, unknown"),
        ("1 < 2", 1, "two values compared"),
        ("0.5", 1, "a value alone is no test"),
        ("0.2 < moon < 0.8", 12, "one comparison at a time: write between"),
        ("earth in 0.5", 10, "'(' is needed after 'in'"),
        ("earth in (0.5", 14, "')' is needed or ','"),
        ("earth between 0.2 or 0.5", 19, "'and' is needed between the two ends"),
        ("earth not 5", 11, "'not' stands before a name"),
        ("(earth", 7, "')' is needed here, not the end"),
        ("earth)", 6, "unexpected ')'"),
        ("earth moon", 7, "join tests with 'and' or 'or'"),
        ("earth and", 10, "not the end"),
        ("earth & moon", 7, "unexpected '&'"),
        ("path = 'abc", 8, "a quote that is never closed"),
        ("width > 1e999", 9, "too large"),
        ("", 1, "the rule is empty"),
        (" \n", 1, "the rule is empty"),
        ("earth; DROP TABLE images", 6, "unexpected ';'"),
    ],
)
def test_a_wrong_rule_is_named_with_its_position(rule: str, position: int, words: str) -> None:
    with pytest.raises(RuleError) as caught:
        rules.parse(rule, KNOWN)
    message = str(caught.value)
    assert message.startswith(f"Rule, position {position}: ")
    assert words in message
    *_, shown, caret = message.split("\n")
    assert shown[2:] == rule.replace("\n", " ")
    assert caret.index("^") == position - 1 + 2


@pytest.mark.parametrize(
    "rule", ["(" * 500 + "earth" + ")" * 500, "not (" * 3_000, "earth or " * 1_200 + "earth", "(" * 9_999]
)
def test_size_and_depth_are_limited_in_words(rule: str) -> None:
    with pytest.raises(RuleError, match=r"more than (64 parentheses|10,000)"):
        rules.parse(rule, KNOWN)


def test_a_long_rule_of_many_parts_is_fine() -> None:
    rule = " or ".join(f"width = {number}" for number in range(500)) + " or " + "not " * 300 + "earth"
    assert chosen(rule) == chosen_by_sql(rule) == [0, 1, 3]
    deep = "(" * 64 + "earth" + ")" * 64
    assert chosen(deep) == chosen_by_sql(deep) == [0, 1]


def test_a_caret_points_into_a_window_of_a_long_rule() -> None:
    with pytest.raises(RuleError) as caught:
        rules.parse("earth and " * 50 + "erth" + " and moon" * 50, KNOWN)
    *_, shown, caret = str(caught.value).split("\n")
    assert len(shown) < 120
    assert shown[caret.index("^") :].startswith("erth and moon")


def test_a_rule_tells_what_it_reads() -> None:
    rule = rules.parse("earth and (width > 5 or score('a dog') > 0.5) and tag('x') and score(' a dog ') < 1", KNOWN)
    assert rule.names == {"earth", "width", "tags"}
    assert rule.scores == ("a dog",)


def test_without_known_names_every_stranger_is_an_attribute() -> None:
    assert rules.to_sql(rules.parse("mars and width > 5")) == (
        '(nullif(b."mars", \'unknown\') = ? AND i."width" > ?)',
        ["accepted", 5.0],
    )


def test_values_never_stand_in_the_sql() -> None:
    where, parameters = rules.to_sql(rules.parse("path = '''; DROP TABLE images; --'", KNOWN))
    assert where == 'i."path" = ?'
    assert parameters == ["'; DROP TABLE images; --"]


@settings(max_examples=300)
@given(st.text(max_size=40) | st.text("earth()<>='\" andornt0.5is", max_size=40))
def test_any_text_is_a_rule_or_a_rule_error(text: str) -> None:
    try:
        rule = rules.parse(text, KNOWN)
    except RuleError as error:
        assert str(error).startswith("Rule, position ")  # noqa: PT017 - either outcome is fine, a third is not
    else:
        assert rule.names <= KNOWN.keys()


def test_every_rule_of_the_documentation_is_one() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "rules.md").read_text(encoding="utf-8")
    table = text.split("## What a rule may ask")[1].split("Join tests")[0]
    found = [*re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE), *re.findall(r'sextant query "(.+)"', text)]
    assert len(found) == 15
    facts = text.split("**Facts**")[1].split("## ")[0]
    assert set(re.findall(r"`(\w+)`", facts)) == METADATA_KINDS.keys()
    for rule in found:
        read = rules.parse(rule, {**KNOWN, "spacecraft": "attribute"})
        assert read.names or read.scores
