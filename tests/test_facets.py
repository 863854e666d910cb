"""Facets: counts that rules confirm, for every kind of fact, whatever the values are."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fakes import FakeEncoder, opened, picture, vocabulary
from sextant import facets
from sextant.errors import UsageError
from sextant.facets import Facet
from sextant.maths import rules
from sextant.maths.rules import AttributeValues
from sextant.view import KINDS


class Facts:
    """Facts by hand: a name and its values, as a view gives them."""

    def __init__(self, n: int, **values: Any) -> None:
        self.n, self.held = n, values

    def __len__(self) -> int:
        return self.n

    def codes(self) -> tuple[str, ...]:
        return tuple(name for name in self.held if name not in KINDS)

    def fact_values(self, name: str) -> NDArray[Any]:
        if KINDS[name] == "number":
            return np.array(self.held[name], np.float64)
        if KINDS[name] == "date":
            return np.array(self.held[name], "datetime64[us]")
        array = np.empty(self.n, object)
        array[:] = self.held[name]
        return array

    def values(self, code: str) -> AttributeValues:
        bands = np.array(self.held[code], np.int8)
        return AttributeValues(np.where(bands < 0, np.nan, 0.4 * bands), bands)

    def mask(self, rule: str) -> NDArray[np.bool_]:
        kinds = {**KINDS, **dict.fromkeys(self.codes(), "attribute")}
        parsed = rules.parse(rule, kinds)
        held = {n: self.fact_values(n) if n in KINDS else self.values(n) for n in parsed.names}
        return rules.evaluate(parsed, held, self.n)


def facet(name: str, values: list[Any], limit: int = 10) -> Facet:
    (found,) = facets.count(Facts(len(values), **{name: values}), np.ones(len(values), bool), [name], limit)
    return found


def shown(found: Facet) -> dict[str, int]:
    return {value.value: value.count for value in found.values}


# known answers


def test_attributes_fall_into_bands() -> None:
    found = facet("red", [2, 2, 1, 0, 0, 0, -1])
    assert shown(found) == {"accepted": 2, "tentative": 1, "rejected": 3}
    assert (found.kind, found.missing, found.others) == ("attribute", 1, 0)
    assert [value.rule for value in found.values] == ["red is accepted", "red is tentative", "red is rejected"]


def test_texts_show_their_commonest_values() -> None:
    found = facet("camera_model", ["B", "A", "A", None, "it's", "C"], 3)
    assert [(v.value, v.count, v.rule) for v in found.values] == [
        ("A", 2, "camera_model = 'A'"), ("B", 1, "camera_model = 'B'"), ("C", 1, "camera_model = 'C'")
    ]  # fmt: skip
    assert (found.others, found.missing) == (1, 1)


def test_tags_may_overlap() -> None:
    found = facet("tags", [["x", "y"], ["x"], None, [], ["z"]], 2)
    assert shown(found) == {"x": 2, "y": 1}
    assert (found.others, found.missing) == (1, 2)


def test_truths_are_yes_and_no() -> None:
    found = facet("gps", [True, False, True, None])
    assert [(v.value, v.count, v.rule) for v in found.values] == [("yes", 2, "gps"), ("no", 1, "not gps")]


def test_numbers_fall_into_ranges_with_round_ends() -> None:
    found = facet("width", [*range(100, 4100, 10)])
    assert 4 <= len(found.values) <= 6
    assert shown(found) == {
        "below 800": 70, "800 to 1,400": 60, "1,400 to 2,000": 60, "2,000 to 2,800": 80, "2,800 to 3,400": 60,
        "3,400 and more": 70,
    }  # fmt: skip
    assert shown(facet("width", [640, 640, 1024, float("nan")])) == {"640": 2, "1,024": 1}


@pytest.mark.parametrize(
    ("days", "limit", "expected"),
    [
        (["2024-05-01", "2024-05-01", "2024-05-03"], 10, {"2024-05-01": 2, "2024-05-03": 1}),
        (["2024-01-01", "2024-02-02", "2024-02-09"], 2, {"2024-01": 1, "2024-02": 2}),
        ([f"{y}-06-01" for y in range(2015, 2025)], 10, {f"{y}-06-01": 1 for y in range(2015, 2025)}),
        ([f"{y}-0{m}-01" for y in (2020, 2021) for m in range(1, 8)], 10, {"2020": 7, "2021": 7}),
        ([f"{y}-06-01" for y in range(1990, 2025)], 10, {
            "1990–1994": 5, "1995–1999": 5, "2000–2004": 5, "2005–2009": 5, "2010–2014": 5, "2015–2019": 5,
            "2020–2024": 5}),
        (["2024-05-01"], 10, {"2024": 1}),
        ([], 10, {}),
    ],
)  # fmt: skip
def test_times_fall_into_years_months_or_days(days: list[str], limit: int, expected: dict[str, int]) -> None:
    assert shown(facet("taken_at", days, limit)) == expected


# whatever the values


TEXTS = st.none() | st.sampled_from(["", "a", "it's", '"', "1"]) | st.text(max_size=5)
NUMBERS = st.floats(allow_nan=True, allow_infinity=False, width=32) | st.integers(-3, 3).map(float)
TIMES = st.none() | st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59))
NEAR = st.none() | st.datetimes(datetime(2023, 12, 1), datetime(2024, 2, 1))
COLUMNS = st.one_of(
    st.tuples(st.just("red"), st.lists(st.integers(-1, 2), max_size=20)),
    st.tuples(st.just("camera_model"), st.lists(TEXTS, max_size=20)),
    st.tuples(st.just("tags"), st.lists(st.none() | st.lists(TEXTS.filter(lambda t: t is not None)), max_size=10)),
    st.tuples(st.just("gps"), st.lists(st.none() | st.booleans(), max_size=10)),
    st.tuples(st.just("width"), st.lists(NUMBERS, max_size=40)),
    st.tuples(st.just("aspect"), st.lists(st.floats(0.1, 10), max_size=40)),
    st.tuples(st.just("taken_at"), st.lists(TIMES, max_size=20)),
    st.tuples(st.just("taken_at"), st.lists(NEAR, max_size=20)),
)


@settings(max_examples=150, deadline=None)
@given(COLUMNS, st.integers(1, 8), st.randoms(use_true_random=False))
def test_every_rule_selects_exactly_what_was_counted(column: tuple[str, list[Any]], limit: int, rnd: Any) -> None:
    name, values = column
    view = Facts(len(values), **{name: values})
    rows = np.array([rnd.random() < 0.7 for _ in values], bool)
    (found,) = facets.count(view, rows, [name], limit)
    assert len(found.values) <= max(limit, 3 if name == "red" else 0)
    covered = np.zeros(len(values), int)
    for value in found.values:
        chosen = view.mask(value.rule) & rows
        assert value.count == chosen.sum() > 0, value.rule
        covered += chosen
    if name != "tags":
        assert covered.max(initial=0) <= 1
        assert covered.sum() + found.others + found.missing == rows.sum()
    else:
        assert (covered > 0).sum() + found.others + found.missing == rows.sum()
    missing = view.mask(f"{name} is null") & rows
    assert missing.sum() == found.missing


def test_years_of_three_digits_are_compared_as_years() -> None:
    found = facet("taken_at", [datetime(year, 1, 1) for year in (990, 994, 997, 1003, 1200)], 2)
    assert all("'9" not in value.rule for value in found.values)
    assert sum(value.count for value in found.values) + found.others == 5


def test_a_value_too_long_for_a_rule_is_among_the_others() -> None:
    found = facet("description", ["x" * 20_000, "x" * 20_000, "short"])
    assert (shown(found), found.others) == ({"short": 1}, 2)


@pytest.mark.parametrize(
    ("names", "limit", "words"),
    [(["widht"], 5, "Did you mean 'width'"), (["rd"], 5, "Did you mean 'red'"), (["red"], 0, "limit must be at least")],
)
def test_what_cannot_be_counted(names: list[str], limit: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        facets.count(Facts(1, red=[0]), np.ones(1, bool), names, limit)


def test_facets_of_a_real_collection(tmp_path: Path) -> None:
    for number, colour in enumerate(("red", "red", "yellow", "grey", "blue")):
        picture(tmp_path / "p" / f"{number}.png", colour, (8 + number, 8))
    with opened(tmp_path, FakeEncoder()) as photos:
        photos.add(tmp_path / "p")
        photos.tag(vocabulary(tmp_path))
        photos.describe("p/0.png", tags=["one"])
        view = photos.view(["red", "warm"])
        rows = view.mask(rules.parse("width < 12", photos.known()))
        found = facets.count(view, rows, ["red", "warm", "format", "width", "tags", "taken_at", "folder"])
        for one in found:
            for value in one.values:
                chosen = photos.query(f"({value.rule}) and width < 12")
                assert len(chosen) == value.count, value.rule
    assert [f.name for f in found] == ["red", "warm", "format", "width", "tags", "taken_at", "folder"]
    assert shown(found[2]) == {"PNG": 4}
    assert found[5].missing == 4
