from __future__ import annotations

import itertools
import math
import re
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sextant.maths import derived
from sextant.maths.derived import derive
from sextant.maths.rules import BAND_NAMES, AttributeValues, band
from sextant.vocabulary import RuleTree, Thresholds

CONFIDENCES = (0.95, 0.8, 0.6, 0.5, 0.3, 0.0, math.nan)
BANDS = (2, 1, 0, -1)


def column(*confidences: float) -> AttributeValues:
    values = np.array(confidences, float)
    return AttributeValues(values, band(values, Thresholds()))


def of_bands(*bands: int) -> AttributeValues:
    confidence = {2: 0.9, 1: 0.6, 0: 0.1, -1: math.nan}
    return AttributeValues(np.array([confidence[b] for b in bands]), np.array(bands, np.int8))


def settled(rule: RuleTree | str, bands: dict[str, int]) -> int:
    """The band of a rule all of whose parts are known, in the obvious way."""
    if isinstance(rule, str):
        return bands[rule]
    every = [settled(part, bands) for part in rule.all_of] + [2 - settled(part, bands) for part in rule.none_of]
    some = [settled(part, bands) for part in rule.any_of]
    if any(b == 0 for b in every) or (some and all(b == 0 for b in some)):
        return 0
    if all(b == 2 for b in every) and (not some or any(b == 2 for b in some)):
        return 2
    return 1


def oracle(rule: RuleTree, bands: dict[str, int]) -> int:
    """Unknown where two ways to settle the unknown parts come to different bands."""
    unknown = [code for code, b in bands.items() if b == -1]
    ways = itertools.product((0, 1, 2), repeat=len(unknown))
    outcomes = {settled(rule, bands | dict(zip(unknown, way, strict=True))) for way in ways}
    return outcomes.pop() if len(outcomes) == 1 else -1


def all_bands(codes: str) -> dict[str, AttributeValues]:
    rows = list(itertools.product(BANDS, repeat=len(codes)))
    return {code: of_bands(*(row[place] for row in rows)) for place, code in enumerate(codes)}


@pytest.mark.parametrize(
    "rule",
    [
        RuleTree(all_of=("a", "b", "c")),
        RuleTree(any_of=("a", "b", "c")),
        RuleTree(none_of=("a", "b", "c")),
        RuleTree(all_of=("a",), any_of=("b", "c")),
        RuleTree(all_of=("a",), none_of=("b", "c")),
        RuleTree(any_of=("a", "b"), none_of=("c",)),
        RuleTree(all_of=("a", "b"), any_of=("c",), none_of=("d",)),
        RuleTree(any_of=("a", RuleTree(all_of=("b", "c"), none_of=("d",)))),
        RuleTree(none_of=(RuleTree(any_of=("a", RuleTree(none_of=("b",)))), "c")),
    ],
)
def test_the_whole_truth_table_equals_an_oracle_that_tries_every_way(rule: RuleTree) -> None:
    codes = "".join(sorted(rule.codes()))
    got = derive(rule, all_bands(codes)).band
    rows = itertools.product(BANDS, repeat=len(codes))
    assert got.tolist() == [oracle(rule, dict(zip(codes, row, strict=True))) for row in rows]


def test_the_table_in_the_documentation_is_what_is_computed() -> None:
    table = re.findall(r"^ +(\w+_of) +\[part(?:, (\w+))?\] +(.+)$", derived.__doc__ or "", re.MULTILINE)
    assert len(table) == 9
    codes: dict[str, int] = {name: number for number, name in BAND_NAMES.items()}
    for rule, other, expected in table:
        values = {"part": of_bands(2, 1, 0, -1)} | ({"other": of_bands(*[codes[other]] * 4)} if other else {})
        tree = RuleTree(**{rule: tuple(values)})
        assert [BAND_NAMES[int(b)] for b in derive(tree, values).band] == expected.split()


def test_a_rule_holds_where_all_are_accepted_and_none_is_even_tentative() -> None:
    """The rule of the reference: every all_of ≥ accepted and every none_of < tentative."""
    rows = list(itertools.product((0.95, 0.8, 0.7999, 0.5, 0.4999, 0.0), repeat=3))
    a, b, c = (column(*(row[place] for row in rows)) for place in range(3))
    got = derive(RuleTree(all_of=("a", "b"), none_of=("c",)), {"a": a, "b": b, "c": c}).band == 2
    assert got.tolist() == [x >= 0.8 and y >= 0.8 and z < 0.5 for x, y, z in rows]


@pytest.mark.parametrize(
    ("rule", "confidences", "expected"),
    [
        (RuleTree(all_of=("a", "b")), {"a": 0.9, "b": 0.85}, 0.85),
        (RuleTree(any_of=("a", "b")), {"a": 0.9, "b": 0.3}, 0.9),
        (RuleTree(none_of=("a", "b")), {"a": 0.1, "b": 0.3}, 0.7),
        (RuleTree(all_of=("a",), any_of=("b",), none_of=("c",)), {"a": 0.9, "b": 0.95, "c": 0.2}, 0.8),
        (RuleTree(all_of=("a", "b")), {"a": 0.1, "b": math.nan}, 0.1),
        (RuleTree(any_of=("a", "b")), {"a": 0.9, "b": math.nan}, 0.9),
        (RuleTree(all_of=("a", "b")), {"a": 0.9, "b": math.nan}, math.nan),
        (RuleTree(any_of=("a", RuleTree(all_of=("b", "c")))), {"a": 0.6, "b": 0.75, "c": math.nan}, 0.6),
        (RuleTree(any_of=("a", RuleTree(all_of=("b", "c")))), {"a": 0.85, "b": 0.9, "c": math.nan}, 0.85),
        (RuleTree(none_of=(RuleTree(all_of=("a", "b")),)), {"a": 0.9, "b": 0.2}, 0.8),
    ],
)
def test_the_confidence_is_that_of_the_weakest_part(
    rule: RuleTree, confidences: dict[str, float], expected: float
) -> None:
    got = derive(rule, {code: column(confidence) for code, confidence in confidences.items()})
    np.testing.assert_allclose(got.confidence, [expected], atol=1e-12)


def trees() -> st.SearchStrategy[RuleTree]:
    part = st.sampled_from("abcd")

    def branch(inner: st.SearchStrategy[object]) -> st.SearchStrategy[RuleTree]:
        parts = st.lists(inner, max_size=3).map(tuple)
        return st.builds(RuleTree, parts, parts, parts).filter(lambda tree: bool(tree.parts()))

    return branch(st.recursive(part, branch, max_leaves=6))


@settings(deadline=None)
@given(trees(), st.lists(st.tuples(*[st.sampled_from(CONFIDENCES)] * 4), min_size=1, max_size=8))
def test_confidence_is_missing_exactly_where_the_band_is_unknown(rule: RuleTree, rows: list[tuple[float, ...]]) -> None:
    values = {code: column(*(row[place] for row in rows)) for place, code in enumerate("abcd")}
    got = derive(rule, values)
    assert (np.isnan(got.confidence) == (got.band == -1)).all()
    known = [all(not math.isnan(values[code].confidence[i]) for code in rule.codes()) for i in range(len(rows))]
    for i, settles in enumerate(known):
        if settles:
            assert got.band[i] == settled(rule, {code: int(values[code].band[i]) for code in "abcd"})


def test_derived_attributes_stand_on_derived_ones() -> None:
    values = {"a": column(0.9, 0.9, 0.6), "b": column(0.85, 0.2, 0.9), "c": column(0.1, 0.1, 0.1)}
    values["pair"] = derive(RuleTree(all_of=("a", "b")), values)
    alone = derive(RuleTree(all_of=("pair",), none_of=("c",)), values)
    assert alone.band.tolist() == [2, 0, 1]
    np.testing.assert_allclose(alone.confidence, [0.85, 0.2, 0.6])


def test_a_column_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError, match="moon"):
        derive(RuleTree(all_of=("earth", "moon")), {"earth": column(0.9)})


def test_twelve_thousand_images_take_as_many_calls_as_two() -> None:
    rule = RuleTree(all_of=("a",), any_of=("b", RuleTree(all_of=("c",))), none_of=("d",))

    def calls(images: int) -> int:
        values = {code: column(*np.random.default_rng(0).random(images)) for code in "abcd"}
        events: list[str] = []
        sys.setprofile(lambda _frame, event, _given: events.append(event))
        try:
            derive(rule, values)
        finally:
            sys.setprofile(None)
        return sum(event in ("call", "c_call") for event in events)

    calls(2)  # what is only done once
    assert calls(12_217) == calls(2) > 10
