"""The parts of a score, by hand; what a part is worth never depends on the other candidates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sextant.curate import scores
from sextant.errors import UsageError

UNIT = st.floats(0, 1)
VALUES = st.fixed_dictionaries({"clip": UNIT}, optional=dict.fromkeys(list(scores.WEIGHTS)[1:], st.none() | UNIT))


@given(VALUES)
def test_parts_add_up_to_the_score_and_their_weights_to_one(values: dict[str, float | None]) -> None:
    parts = scores.parts_of(values, scores.WEIGHTS)
    score = scores.total(parts)
    assert [p.name for p in parts] == [n for n in scores.WEIGHTS if values.get(n) is not None]
    assert math.isclose(sum(p.weight for p in parts), 1.0)
    assert math.isclose(sum(p.points for p in parts), score, abs_tol=1e-12)
    assert min(p.value for p in parts) - 1e-9 <= score <= max(p.value for p in parts) + 1e-9
    known = {n: v for n, v in values.items() if v is not None}
    by_hand = sum(scores.WEIGHTS[n] * v for n, v in known.items()) / sum(scores.WEIGHTS[n] for n in known)
    assert math.isclose(score, by_hand, abs_tol=1e-12)


def test_a_missing_part_leaves_its_weight_to_the_others() -> None:
    weights = {"clip": 0.6, "keyword": 0.2, "resolution": 0.2}
    both = scores.parts_of({"clip": 0.5, "keyword": 1.0, "resolution": 0.0}, weights)
    without = scores.parts_of({"clip": 0.5, "keyword": None, "resolution": 0.0}, weights)
    assert scores.total(both) == pytest.approx(0.5)
    assert [(p.name, p.weight) for p in without] == [("clip", pytest.approx(0.75)), ("resolution", pytest.approx(0.25))]
    assert scores.total(without) == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("weights", "words"),
    [({"shape": 1.0}, "no part 'shape'"), ({"clip": 0.0}, "cannot have a weight of 0"), ({"vlm": -1.0}, "from 0 up"),
     ({"vlm": math.nan}, "from 0 up")],
)  # fmt: skip
def test_weights_that_cannot_be(weights: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        scores.checked(weights)
    assert scores.checked({"vlm": 2.0}) == {**scores.WEIGHTS, "vlm": 2.0}


def test_likeness_is_the_margin_over_the_best_rival_and_every_unit_is_worth_the_same() -> None:
    positive, usual = np.array([20.0, 20.0, 20.0]), np.array([10.0, 10.0, 10.0])
    rival = np.array([-np.inf, 18.0, 22.0])
    found = scores.likeness(positive, rival, usual, 10.0)  # phrases that mean nothing get up to 10 + 10 / 2 = 15
    np.testing.assert_allclose(found, 0.05 + 0.9 * (np.array([0.5, 0.2, -0.2]) + 0.5) / 1.8)
    level = scores.likeness(np.array([15.0]), np.array([-np.inf]), np.array([10.0]), 10.0)
    assert level[0] == pytest.approx(0.3)
    unrelated = scores.likeness(np.array([10.0]), np.array([2.0]), np.array([10.0]), 10.0)
    assert unrelated[0] == pytest.approx(0.05)  # beating a negative is not enough: it must show something
    logits = np.linspace(-500, 500, 1001)
    values = scores.likeness(logits, np.full(1001, -np.inf), np.full(1001, 10.0), 10.0)
    assert (np.diff(values) > 0).all()  # never level, and nowhere a jump
    assert 0 < values[0] < 0.003
    assert 0.997 < values[-1] < 1
    assert np.diff(values).max() < 0.06


def test_keywords_are_found_as_words_without_case_accents_and_plural() -> None:
    phrases = [scores.keywords("the Ducks on a café"), scores.keywords("a goose")]
    assert phrases == [("duck", "cafe"), ("goose",)]
    assert scores.overlap(phrases, "Duck, seen from a CAFÉ") == 1.0
    assert scores.overlap(phrases, "duck") == 0.5
    assert scores.overlap(phrases, "a goose") == 1.0  # of several phrases the best counts
    assert scores.overlap(phrases, "duckling") == 0.0
    assert scores.overlap(phrases, " - ") is None
    assert scores.overlap([()], "duck") is None


def test_resolution_and_orientation() -> None:
    assert [scores.resolution(*s) for s in ((64, 900), (128, 128), (1024, 2000), (9000, 9000))] == [0, 0, 1, 1]
    assert scores.resolution(256, 4000) == pytest.approx(1 / 3)
    assert scores.orientation(30, 20, None) is None
    assert [scores.orientation(*s, "landscape") for s in ((30, 20), (20, 20), (20, 30))] == [1.0, 0.5, 0.0]
    assert [scores.orientation(*s, "portrait") for s in ((30, 20), (20, 20), (20, 30))] == [0.0, 0.5, 1.0]
    assert [scores.orientation(*s, "square") for s in ((20, 20), (30, 20), (20, 30))] == [1.0, 0.0, 0.0]
