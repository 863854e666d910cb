"""Searches as people type them: operators, weights, quotes, plain words, parts, remarks and refusals."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sextant import phrasing
from sextant.errors import UsageError
from sextant.phrasing import Phrasing, Term, parse, parts


def read(text: str, *negatives: str) -> tuple[list[str], list[str]]:
    found = parse(text, negatives)
    return [term.text for term in found.positives], [term.text for term in found.negatives]


# operators, weights, quotes


def test_terms_operators_and_weights() -> None:
    found = parse("a cat + 0.5:two dogs - 2:c")
    assert found.positives == (Term("a cat"), Term("two dogs", 0.5))
    assert found.negatives == (Term("c", 2),)
    assert found.remarks == ()


@pytest.mark.parametrize(
    "text",
    [
        "a t-shirt",
        "black-and-white",
        "f/2.8 at 1/250",
        "a 3:4 frame",
        "3:4",
        "16:9 photo",
        "10:30 on a clock",
        "2001: A Space Odyssey",
        "c++",
        "+1",
        "-5 degrees",
        '7" vinyl',
        "rock 'n' roll",
        "Paris – by night",
        "title: sunset",
        "ein Hund am Strand",
        "夕焼けの海",
    ],
)
def test_what_only_looks_like_an_operator_is_text(text: str) -> None:
    assert read(text) == ([text], [])


@pytest.mark.parametrize(
    ("text", "positives", "negatives"),
    [
        ("+ a", ["a"], []),
        ("- people + a beach", ["a beach"], ["people"]),
        ("  a \t b  -  c ", ["a b"], ["c"]),
        ("a + a", ["a"], []),
        ("a - b - b", ["a"], ["b"]),
        ('"a + b" - "c - d"', ["a + b"], ["c - d"]),
        ('2:"35mm film"', ["35mm film"], []),
        ('"say ""cheese"""', ['say "cheese"'], []),
        ('"a beach without people"', ["a beach without people"], []),
        ('a wall with "do not enter - ever" without people', ["a wall with do not enter - ever"], ["people"]),
    ],
)
def test_readings(text: str, positives: list[str], negatives: list[str]) -> None:
    assert read(text) == (positives, negatives)


# plain words


@pytest.mark.parametrize(
    ("text", "positives", "negatives"),
    [
        ("a beach without people", ["a beach"], ["people"]),
        ("A Beach WITHOUT people", ["A Beach"], ["people"]),
        ("a beach without people or dogs", ["a beach"], ["people", "dogs"]),
        ("a beach without people and dogs", ["a beach"], ["people", "dogs"]),
        ("a beach without any people, dogs, or cars.", ["a beach"], ["people", "dogs", "cars"]),
        ("a beach with no people", ["a beach"], ["people"]),
        ("a beach and no people", ["a beach"], ["people"]),
        ("a beach but no people", ["a beach"], ["people"]),
        ("a beach, no people", ["a beach"], ["people"]),
        ("a beach, and no people", ["a beach"], ["people"]),
        ("a sofa but not red", ["a sofa"], ["red"]),
        ("cats and not dogs", ["cats"], ["dogs"]),
        ("a beach with neither people nor dogs", ["a beach"], ["people", "dogs"]),
        ("a house and not a barn but not at night", ["a house"], ["a barn", "at night"]),
        ("a beach with no one on it", ["a beach"], ["people"]),
        ("a beach without anybody", ["a beach"], ["people"]),
        ("a road without one car", ["a road"], ["one car"]),
        ("a beach without people and with dogs", ["a beach with dogs"], ["people"]),
        ("a horse without black and white stripes or a rider", ["a horse"], ["black and white stripes", "a rider"]),
        ("no people on a beach", ["a beach"], ["people"]),
        ("no parked cars in the street", ["the street"], ["parked cars"]),
        ("2:a beach without people + the sea", ["a beach", "the sea"], ["people"]),
        ("a beach - a sea without waves", ["a beach"], ["a sea without waves"]),
    ],
)
def test_what_should_not_be_seen_can_be_said_in_words(text: str, positives: list[str], negatives: list[str]) -> None:
    assert read(text) == (positives, negatives)


@pytest.mark.parametrize(
    "text",
    [
        "do not enter sign",
        "a no smoking sign",
        "no smoking sign",
        "a fence and no entry sign",
        "no parking in the street sign",
        "no man's land",
        "no one at a bus stop",
        "no clouds",
        "nothing but sand",
        "a man with nothing",
        "doctors without borders",
        "rebel without a cause",
        "a winner without any doubt",
        "to be and not to be",
        "last but not least",
        "a notebook and a knot",
        "a car without",
        "withoutpeople",
    ],
)
def test_other_uses_of_no_and_not_stay_untouched(text: str) -> None:
    assert read(text) == ([text], [])


def test_a_weight_before_words_counts_for_the_positive() -> None:
    found = parse("3:a beach without people")
    assert (found.positives, found.negatives) == ((Term("a beach", 3),), (Term("people", 1),))


# negatives given apart, words, remarks


def test_negatives_given_apart_are_terms_of_their_own() -> None:
    found = parse("a beach - dogs", ["2:a person", ' "left - right" ', "no people on a beach", "dogs"])
    assert found.negatives == (Term("dogs"), Term("a person", 2), Term("left - right"), Term("no people on a beach"))


def test_words_are_those_of_the_positives() -> None:
    assert parse("a red t-shirt + a cat's eye - dogs").words == ("a", "red", "t-shirt", "cat's", "eye")


@pytest.mark.parametrize(
    ("text", "verb"),
    [("car - red car", "contains"), ("a car - the red car", "contains"), ("a red car - the red car", "equals")],
)
def test_a_negative_that_pushes_the_query_away_is_remarked(text: str, verb: str) -> None:
    (remark,) = parse(text).remarks
    assert f" {verb} the query " in remark


@pytest.mark.parametrize("text", ["a red car - blue car", "red car - car", "car - carpet", "a - the", "a scar - a car"])
def test_other_negatives_are_not_remarked(text: str) -> None:
    assert parse(text).remarks == ()


def test_a_negative_given_apart_is_remarked_too() -> None:
    assert "the negative 'red car' contains the query 'car'" in parse("car", ["red car"]).remarks[0]


def test_a_dash_without_spaces_and_a_bare_no_are_remarked() -> None:
    assert "put spaces around the minus: ' - people'" in parse("a beach -people").remarks[0]
    assert "' - clouds'" in parse("no clouds").remarks[0]


# round trip


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a beach without people or dogs", "a beach - people - dogs"),
        ("2:a  beach", "2:a beach"),
        ('2:"35mm film"', '2:"35mm film"'),
        ('"a + b"', '"a + b"'),
        ('"no - ""never"""', '"no - ""never"""'),
        (".5:a", "0.5:a"),
    ],
)
def test_a_phrasing_is_written_as_it_would_be_typed(text: str, written: str) -> None:
    assert str(parse(text)) == written


PIECES = st.sampled_from(
    [
        *'ab:"+-,. 7',
        " - ",
        " + ",
        ' "',
        '" ',
        "2:",
        "0.5:",
        " without ",
        " and no ",
        ", no ",
        "no ",
        " on a ",
        "people",
        " or ",
        "black and white",
        " but not ",
        "with ",
        "\t",
        "é",
        "x-y",
        "anyone",
        '""',
        "nan:",
        "\u2003",
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=30))
@example("- - a")
@example('a "" b')
@example('""a""')
@example("0.07:a + 33.3:b")
def test_what_is_written_is_read_as_the_same(text: str) -> None:
    try:
        found = parse(text)
    except UsageError:
        return
    again = parse(str(found))
    assert again == found
    assert again.remarks == found.remarks
    assert str(again) == str(found)
    assert found.positives
    assert all(term.text == " ".join(term.text.split()) != "" for term in (*found.positives, *found.negatives))


TERMS = st.builds(
    Term,
    st.text(min_size=1, max_size=12).map(lambda text: " ".join(phrasing._spaced(text).split())).filter(bool),
    st.floats(phrasing.LEAST_WEIGHT, phrasing.MOST_WEIGHT),
)


@given(st.lists(TERMS, min_size=1, max_size=4, unique=True), st.lists(TERMS, max_size=4, unique=True))
def test_any_terms_survive_being_written(positives: list[Term], negatives: list[Term]) -> None:
    made = Phrasing(tuple(positives), tuple(negatives))
    assert parse(str(made)) == made


# parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red car", ("red", "car")),
        ("a red car on a beach", ("red", "car", "beach")),
        ("a small red car", ("red", "small car")),
        ("a picture of a red car", ("red", "car")),
        ("a dog and a cat", ("dog", "cat")),
        ("a dog with a ball", ("dog", "ball")),
        ("a dog next to a bicycle", ("dog", "bicycle")),
        ("a photo of a dog at golden hour", ("dog", "golden hour")),
        ("a black and white photo of a dog", ("black and white", "dog")),
        ("an astronaut planting a flag on the moon", ("astronaut planting a flag", "moon")),
        ("a wooden red door", ("wooden", "red", "door")),
        ("red and blue", ("red", "blue")),
        ("a dog, a cat, a cow, a pig and a hen", ("dog", "cat", "cow", "pig")),
        ("red cars on green grass with blue sky", ("red", "cars", "green grass", "blue sky")),
    ],
)
def test_what_a_phrase_asks_for_at_once(text: str, expected: tuple[str, ...]) -> None:
    assert parts(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "car",
        "a car",
        "the car",
        "a photo of a cat",
        "ice cream",
        "a red panda",
        "golden hour",
        "a traffic light",
        "red red",
        "ein Hund am Strand",
        "the",
        "",
        "a cat and a cat",
        "swimming pool",
    ],
)
def test_one_meaning_has_no_parts(text: str) -> None:
    assert parts(text) == ()


@given(st.text(max_size=60))
def test_parts_are_at_most_four_different_pieces(text: str) -> None:
    found = parts(text)
    assert len(found) <= 4
    assert len(found) != 1
    assert len(set(found)) == len(found)


def test_a_phrasing_has_the_parts_of_its_only_positive() -> None:
    assert parse("a red car without people").parts == ("red", "car")
    assert parse("a red car + a bus").parts == ()


# refusals


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("a +", "nothing to look for after '+'", 4),
        ("a + - b", "nothing to look for after '+'", 5),
        ("- - a", "nothing to look for after '-'", 3),
        ('a + ""', "nothing to look for", 5),
        ('a + "b', "never closed", 5),
        ("a + 0:b", "the weight '0' is not from 0.01 to 100", 5),
        ("a - 101:b", "the weight '101' is not from 0.01 to 100", 5),
        ("1,5:b", "the weight '1,5' is no number", 1),
        ("1.2.3:b", "the weight '1.2.3' is no number", 1),
        ("nan:b", "the weight 'nan' is no number", 1),
        ("inf:b", "the weight 'inf' is no number", 1),
        ("1e1:b", "the weight '1e1' is no number", 1),
        ("-2:b", "write ' - ' before", 1),
        ("- people", "only says what must not be seen", 1),
        ("without people", "only says what must not be seen", 1),
        (" + ".join(map(str, range(21))), "more than 20 terms", 91),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, message: str, position: int) -> None:
    with pytest.raises(UsageError, match=f"^Query, position {position}: ") as caught:
        parse(text)
    said, shown, caret = str(caught.value).split("\n")
    assert message in said
    assert text[position - 1 : position] == shown[len(caret) - 1 : len(caret)]


@pytest.mark.parametrize("text", ["", "   ", "\t\n", "\x00", "\u2003"])
def test_an_empty_query_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the query is empty"):
        parse(text)


def test_long_queries_are_refused_with_their_length() -> None:
    with pytest.raises(UsageError, match="10000 characters"):
        parse("x" * 10_000)
    with pytest.raises(UsageError, match="a negative has 2001 characters"):
        parse("a", ["x" * 2_001])
    assert parse("x" * 2_000).positives


def test_negatives_given_apart_are_checked() -> None:
    with pytest.raises(UsageError, match="a negative is empty"):
        parse("a", [" "])
    with pytest.raises(UsageError, match="the weight '0' is not"):
        parse("a", ["0:b"])
    with pytest.raises(UsageError, match="more than 20 terms"):
        parse("a", [str(n) for n in range(20)])
    assert len(parse("a", [str(n) for n in range(19)]).negatives) == 19


@given(st.integers(1, 60), st.sampled_from(["a without ", '"', " and no ", " - ", "2:", "no a on a ", ", "]))
def test_a_hostile_query_is_read_at_once(times: int, piece: str) -> None:
    try:
        found = parse((piece * times)[:2000])
    except UsageError:
        return
    assert 1 <= len(found.positives) + len(found.negatives) <= 20
    assert parse(str(found)) == found


# the page about it

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "query-language.md").read_text(encoding="utf-8")


def test_the_table_of_words_on_the_page_is_true() -> None:
    rows = re.findall(r"^\| (`.*`) \| `(.* - .*)` \|$", PAGE, re.MULTILINE)
    assert len(rows) == 8
    for typed, written in rows:
        for one in re.findall(r"`([^`]+)`", typed):
            assert str(parse(one)) == written


def test_the_refusal_on_the_page_is_what_is_said() -> None:
    with pytest.raises(UsageError) as caught:
        parse("a beach + 0:people")
    assert str(caught.value) in PAGE.replace("\n    ", "\n")


def test_the_examples_on_the_page_run() -> None:
    (block,) = re.findall(r"^```python-console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    found = doctest.DocTestParser().get_doctest(block, {}, "query-language.md", None, 0)
    assert len(found.examples) == 5
    assert doctest.DocTestRunner().run(found).failed == 0
