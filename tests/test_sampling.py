from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from sextant.errors import UsageError
from sextant.maths import sampling
from sextant.maths.sampling import (
    choose,
    estimate_count,
    hajek,
    horvitz_thompson,
    label_weights,
    precision_threshold,
)

DRAWS = 1000


def world(seed, n=4000, level=-3.0, boast=1.0):
    """A collection: confidences that overstate their log-odds by `boast`, and the truth."""
    numbers = np.random.default_rng(seed)
    odds = numbers.normal(level, 2.5, n)
    truth = (numbers.random(n) < 1 / (1 + np.exp(-odds))).astype(float)
    return 1 / (1 + np.exp(-odds * boast)), truth


def test_a_draw_says_how_likely_it_was():
    p, _ = world(0)
    choice = choose(p, 60)
    assert len(choice.rows) == len(set(choice.rows.tolist())) == 60
    for h in np.unique(choice.stratum):
        inside = choice.stratum == h
        assert inside.sum() >= 2
        assert len(set(choice.probability[inside].tolist())) == 1
    # Counting every draw as 1 / probability images gives back the collection.
    assert (1 / choice.probability).sum() == pytest.approx(len(p))


def test_every_image_of_a_stratum_is_drawn_as_often_as_it_says():
    p, _ = world(1, n=300)
    times = np.zeros(300)
    promised = np.zeros(300)
    for seed in range(DRAWS):
        choice = choose(p, 30, seed=seed)
        times[choice.rows] += 1
        promised[choice.rows] = choice.probability
    drawn = promised > 0
    assert drawn.mean() > 0.95
    sd = np.sqrt(promised[drawn] * (1 - promised[drawn]) / DRAWS)
    assert (np.abs(times[drawn] / DRAWS - promised[drawn]) < 4.5 * sd + 1e-9).all()


def test_images_near_an_edge_come_more_often():
    p = np.linspace(0, 1, 10_001)
    picked = p[choose(p, 200).rows]
    near = (np.abs(picked - 0.5) < 0.08) | (np.abs(picked - 0.8) < 0.08)
    assert near.mean() > 1.3 * 0.32


def test_labelled_images_and_those_without_a_confidence_are_left_out():
    p, _ = world(2, n=100)
    p[:10] = np.nan
    labelled = np.zeros(100, dtype=bool)
    labelled[10:90] = True
    assert set(choose(p, 50, labelled=labelled).rows.tolist()) == set(range(90, 100))
    with pytest.raises(UsageError, match="nothing to draw"):
        choose(p, 5, labelled=np.ones(100, dtype=bool))


def test_a_single_label_can_be_drawn():
    p, _ = world(2, n=50)
    choice = choose(p, 1)
    assert choice.probability.tolist() == [1 / 50]


def test_counts_from_such_samples_are_unbiased():
    p, y = world(3)
    plain, steady = [], []
    for seed in range(DRAWS):
        choice = choose(p, 50, seed=seed)
        weights = label_weights(choice.probability)
        plain.append(horvitz_thompson(y[choice.rows], weights))
        steady.append(hajek(y[choice.rows], weights, len(p)))
    for counts in (plain, steady):
        error = np.std(counts) / np.sqrt(DRAWS)
        assert abs(np.mean(counts) - y.sum()) < 3.5 * error
    # What the weights are for: unweighted, the sample shows far more of them.
    choice = choose(p, 50)
    assert y[choice.rows].mean() * len(p) > 1.3 * y.sum()


def test_counts_stay_unbiased_over_several_batches():
    p, y = world(4, n=1500)
    counts = []
    for seed in range(DRAWS):
        first = choose(p, 20, seed=seed)
        labelled = np.zeros(len(p), dtype=bool)
        labelled[first.rows] = True
        # The second draw leans on what the first one found, as a recalibration does.
        second = choose(p ** (0.5 + y[first.rows].mean()), 40, labelled=labelled, seed=seed + 9999)
        weights = label_weights(np.concatenate([first.probability, second.probability]), np.repeat([0, 1], [20, 40]))
        counts.append(horvitz_thompson(y[np.concatenate([first.rows, second.rows])], weights))
    assert abs(np.mean(counts) - y.sum()) < 3.5 * np.std(counts) / np.sqrt(DRAWS)


@pytest.mark.parametrize(
    ("level", "boast", "size"), [(-3.0, 1.0, 100), (-6.0, 1.0, 60), (-3.0, 2.0, 200), (0.0, 0.5, 100)]
)
def test_the_interval_of_a_count_covers_it(level, boast, size, monkeypatch):
    monkeypatch.setattr(sampling, "SIMULATIONS", 300)  # of which the quantiles are rougher, and none the safer
    p, y = world(5, level=level, boast=boast)
    covered = 0
    for seed in range(DRAWS):
        choice = choose(p, size, seed=seed)
        count = estimate_count(y[choice.rows], choice.probability, choice.stratum, expected=p[choice.rows], seed=seed)
        covered += count.low <= y.sum() <= count.high
    assert covered >= 0.93 * DRAWS


def test_the_interval_allows_for_errors_among_the_most_confident(monkeypatch):
    monkeypatch.setattr(sampling, "SIMULATIONS", 300)
    numbers = np.random.default_rng(0)
    p = np.concatenate([np.full(2000, 0.9993), np.full(700, 0.0007), numbers.random(300)])
    y = (numbers.random(3000) < np.concatenate([np.full(2000, 0.996), np.full(700, 0.008), p[2700:]])).astype(float)
    covered = 0
    for seed in range(DRAWS):
        choice = choose(p, 775, seed=seed)
        count = estimate_count(y[choice.rows], choice.probability, choice.stratum, expected=p[choice.rows], seed=seed)
        covered += count.low <= y.sum() <= count.high
    assert covered >= 0.93 * DRAWS


def test_a_full_count_has_no_doubt():
    p, y = world(6, n=80)
    choice = choose(p, 80)
    count = estimate_count(y[choice.rows], choice.probability, choice.stratum)
    assert (count.low, count.value, count.high) == (y.sum(), y.sum(), y.sum())
    assert (count.n, count.positives) == (80, int(y.sum()))


def exact_lower_bound(right, n, failure):
    """The smallest precision under which so many right ones are not too surprising, by bisection on the binomial."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if binom.sf(right - 1, n, middle) > failure:
            high = middle
        else:
            low = middle
    return low


def test_the_bound_is_the_exact_binomial_one():
    p, y = world(7, n=3000, level=1.0)
    found = precision_threshold(p, y, precision=0.9, failure=0.05)
    assert found.value is not None
    assert found.bound == pytest.approx(exact_lower_bound(found.right, found.n, 0.05 / 3), abs=1e-9)
    assert found.bound >= 0.9
    assert found.n == (p > found.value).sum()
    assert y[p > found.value].sum() == found.right


@pytest.mark.parametrize(("level", "boast", "precision"), [(0.0, 1.0, 0.9), (-1.0, 2.0, 0.8), (1.0, 1.0, 0.95)])
def test_the_promised_precision_is_broken_seldom(level, boast, precision):
    p, y = world(8, n=20_000, level=level, boast=boast)
    broken = given = 0
    for seed in range(DRAWS):
        rows = np.random.default_rng(seed).choice(len(p), 400, replace=False)
        found = precision_threshold(p[rows], y[rows], precision=precision, failure=0.05)
        if found.value is not None:
            given += 1
            broken += y[p >= found.value].mean() < precision
    assert given > 0.25 * DRAWS
    assert broken <= 0.05 * DRAWS


def test_the_promise_holds_for_labels_picked_by_score():
    p, y = world(9, n=20_000, level=-1.0, boast=1.5)
    broken = given = 0
    for seed in range(DRAWS):
        choice = choose(p, 800, seed=seed)
        found = precision_threshold(
            p[choice.rows], y[choice.rows], 1 / choice.probability, precision=0.8, failure=0.05, seed=seed
        )
        if found.value is not None:
            given += 1
            broken += y[p >= found.value].mean() < 0.8
    assert given > 0.3 * DRAWS
    assert broken <= 0.05 * DRAWS


def test_a_promise_that_cannot_be_made_says_why():
    few = precision_threshold([0.9] * 20, [1.0] * 20, precision=0.95)
    assert few.value is None
    assert "at least 81" in few.reason
    wrong = precision_threshold(np.linspace(0, 1, 400), np.zeros(400), precision=0.9)
    assert wrong.value is None
    assert "no threshold reaches 90%" in wrong.reason
    with pytest.raises(UsageError):
        precision_threshold([0.5], [1.0], precision=1.0)


def test_weights_refuse_what_is_no_probability():
    with pytest.raises(UsageError, match="inclusion probability"):
        label_weights([0.5, 0.0])
