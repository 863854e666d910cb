"""Rates of people's answers, their difference, and how long to wait: known answers and simulated experiments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sextant.errors import UsageError
from sextant.maths import experiments
from sextant.maths.experiments import Rate, rate


def arm(rng: np.random.Generator, people: int, share: float, *, alike: bool) -> tuple[np.ndarray, np.ndarray]:
    """Successes and trials of people who each have one answer, or some, with a habit of their own."""
    trials = rng.poisson(3, people) + 1 if alike else np.ones(people, int)
    habit = rng.beta(4 * share, 4 * (1 - share), people) if alike else np.full(people, share)
    return rng.binomial(trials, habit), trials


# rates


def test_wilson_is_the_textbook_interval() -> None:
    assert experiments.wilson(10, 100) == pytest.approx((0.05523, 0.17437), abs=1e-5)
    assert experiments.wilson(0, 10) == pytest.approx((0.0, 0.27754), abs=1e-5)
    assert experiments.wilson(0, 0) == (0.0, 1.0)


def test_single_answers_have_the_plain_interval() -> None:
    found = rate([1, 0, 0, 1, 0], [1, 1, 1, 1, 1])
    assert (found.value, found.n, found.clusters, found.design) == (0.4, 5, 5, 1.0)
    assert (found.low, found.high) == pytest.approx(experiments.wilson(2, 5))


def test_answers_of_one_person_are_worth_fewer() -> None:
    loose = rate([1, 0] * 20, [1, 1] * 20)
    tight = rate([10, 0, 10, 0], [10, 10, 10, 10])  # the same rate and number, by four people
    assert tight.value == loose.value
    assert tight.design > 5
    assert tight.high - tight.low > 1.5 * (loose.high - loose.low)
    assert rate([0, 0], [10, 10]).high > rate([0] * 20, [1] * 20).high, "two people who never select say little"
    assert rate([3], [5]).high - rate([3], [5]).low > 0.7, "one person says next to nothing"


def test_the_rate_of_nothing() -> None:
    found = rate([], [])
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (0.0, 1.0, 0)
    assert experiments.difference(found, rate([1], [1])).low == -1.0
    assert not experiments.difference(found, found).significant
    with pytest.raises(UsageError, match="successes"):
        rate([2], [1])


def test_the_mean_of_what_people_did() -> None:
    found = experiments.ratio([3, 5, 0, 10], [1, 1, 0, 2])
    assert found is not None
    assert found.value == 4.5
    assert 3 <= found.low < found.value < found.high <= 5
    assert experiments.ratio([0, 0], [0, 0]) is None
    assert experiments.ratio([3, 5], [1, 1]) == experiments.ratio([3, 5], [1, 1])


# differences


def test_newcombes_own_example() -> None:
    found = experiments.difference(rate([1] * 48 + [0] * 32, [1] * 80), rate([1] * 56 + [0] * 14, [1] * 70))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    assert found.significant
    assert found.anytime_low < found.low < found.high < found.anytime_high


@pytest.mark.parametrize(("people", "share", "alike"), [(40, 0.1, False), (60, 0.3, True), (300, 0.05, True)])
def test_intervals_cover_and_identical_variants_seldom_differ(people: int, share: float, alike: bool) -> None:
    rng, n = np.random.default_rng(7), 1000
    for effect in (0.0, 0.1):
        found = [
            experiments.difference(
                rate(*arm(rng, people, share, alike=alike)), rate(*arm(rng, people, share + effect, alike=alike))
            )
            for _ in range(n)
        ]
        assert sum(d.low <= effect <= d.high for d in found) >= 0.93 * n
        if not effect:
            assert sum(d.significant for d in found) <= 0.06 * n


def test_ignoring_people_would_not_cover() -> None:
    """The slow way to see what the clusters are for: the same answers as if nobody had a habit."""
    rng, n, wrong = np.random.default_rng(3), 300, 0
    for _ in range(n):
        sides = [arm(rng, 30, 0.3, alike=True) for _ in "ab"]
        many = [rate(np.repeat([1, 0], [s.sum(), t.sum() - s.sum()]), np.ones(t.sum())) for s, t in sides]
        wrong += experiments.difference(*many).significant
    assert wrong > 0.08 * n


def test_peeking_misleads_one_look_and_not_the_sequence() -> None:
    rng, n, once, always = np.random.default_rng(5), 300, 0, 0
    for _ in range(n):
        a, b = (rng.random((2, 1000)) < 0.3).astype(float)
        looks = [experiments.difference(rate(a[:m], np.ones(m)), rate(b[:m], np.ones(m))) for m in range(50, 1001, 50)]
        once += any(look.significant for look in looks)
        always += any(look.significant_anytime for look in looks)
    assert once > 0.15 * n
    assert always <= 0.05 * n


def test_too_few_people_for_a_sequence() -> None:
    assert experiments.anytime_half_width(0.1, 29) == math.inf
    assert experiments.anytime_half_width(0.1, 30) < 1
    plain = 1.96 * 0.1
    assert 1.3 * plain < experiments.anytime_half_width(0.1, 500) < 2 * plain


# how long to wait, and who gets what


def test_the_needed_number_finds_the_effect_four_times_in_five() -> None:
    n = experiments.needed(0.2, 0.05)
    assert n == 1091  # (1.95996 + 0.84162)² · (0.16 + 0.1875) / 0.05²
    rng = np.random.default_rng(11)
    a, b = rng.binomial(n, 0.2, 400), rng.binomial(n, 0.25, 400)
    found = [experiments.difference(_plain(x, n), _plain(y, n)).significant for x, y in zip(a, b, strict=True)]
    assert 0.74 < np.mean(found) < 0.86
    assert experiments.needed(0.2, 0.05, design=2.0) == pytest.approx(2 * n, abs=1)
    assert experiments.needed(0.2, 0.01) > 20 * n


def _plain(successes: int, n: int) -> Rate:
    low, high = experiments.wilson(successes, n)
    return Rate(successes / n, low, high, n, n, 1.0)


@pytest.mark.parametrize(("base", "effect"), [(0.5, 0.0), (0.9, 0.2), (0.05, -0.1)])
def test_an_effect_that_leads_nowhere(base: float, effect: float) -> None:
    with pytest.raises(UsageError, match="leads nowhere"):
        experiments.needed(base, effect)


def test_a_person_always_gets_the_same_and_people_divide_as_told() -> None:
    letters = [experiments.assigned("words", f"person {k}", 0.3) for k in range(4000)]
    assert letters == [experiments.assigned("words", f"person {k}", 0.3) for k in range(4000)]
    assert letters.count("b") == pytest.approx(1200, abs=90)
    other = [experiments.assigned("sizes", f"person {k}", 0.3) for k in range(4000)]
    both = sum(x == y == "b" for x, y in zip(letters, other, strict=True))
    assert both == pytest.approx(360, abs=60), "experiments are independent of each other"


def test_an_uneven_division_is_noticed() -> None:
    assert experiments.mismatch(500, 500) == 1.0
    assert experiments.mismatch(500, 600) == pytest.approx(0.00257, abs=1e-4)
    assert experiments.mismatch(500, 700) < experiments.MISMATCH
    assert experiments.mismatch(700, 300, 0.3) == 1.0
    assert experiments.mismatch(0, 0) == 1.0
    rng = np.random.default_rng(2)
    chance = [experiments.mismatch(n, 1000 - n) for n in rng.binomial(1000, 0.5, 3000).tolist()]
    assert np.mean(np.array(chance) < experiments.MISMATCH) < 0.004
