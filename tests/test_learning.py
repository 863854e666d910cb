"""Weights from selections: where people look, what they like, and that luck and position teach nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sextant.errors import UsageError
from sextant.maths import learning
from sextant.maths.learning import Examination, Lists, Weights

NAMES = ("log_odds", "taste", "noise")
SHOWN, POOL = 12, 24
Log = tuple[Lists, np.ndarray]


def world(seed: int, *, eta: float = 1.0, clicks: str = "true", swaps: bool = True, queries: int = 40) -> Log:
    """Lists that people saw, ranked by the first feature while they care about the second as well.

    `clicks` are those of people who look less further down, or `dealt` out anew within each list, or `moved` to
    another list. Also how relevant each hit truly is.
    """
    rng = np.random.default_rng(seed)
    tables, pairs, truths, groups = [], [], [], []
    for query in range(queries):
        x = rng.normal(size=(POOL, 3))
        relevant = 1 / (1 + np.exp(1.5 - 0.7 * x[:, 0] - 1.2 * x[:, 1]))
        order = np.argsort(-x[:, 0])[:SHOWN]
        for _ in range(12):
            seen = order.copy()
            for place in range(int(rng.integers(2)), SHOWN - 1, 2):
                if swaps and rng.random() < 0.5:
                    seen[[place, place + 1]] = seen[[place + 1, place]]
            tables.append(x[seen])
            truths.append(relevant[seen])
            pairs.append(query * POOL + seen)
            groups.append(query)
    truth, rank = np.array(truths), np.tile(np.arange(1, SHOWN + 1), (len(truths), 1))
    selected = (rng.random(truth.shape) < truth * rank**-eta).astype(float)
    if clicks == "dealt":
        selected = rng.permuted(selected, axis=1)
    elif clicks == "moved":
        selected = selected[rng.permutation(len(selected))]
    return Lists(np.array(tables), rank, selected, np.array(pairs), np.array(groups)), truth


def looked_at(log: Log) -> Examination:
    lists, _ = log
    return learning.examination(lists.pair.ravel(), lists.rank.ravel(), lists.selected.ravel())


# where people look


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.2])
def test_attention_is_measured_where_hits_changed_places(eta: float) -> None:
    found = [looked_at(world(seed, eta=eta)) for seed in range(8)]
    assert np.mean([f.eta for f in found]) == pytest.approx(eta, abs=0.2)
    assert sum(f.low <= eta <= f.high for f in found) >= 7
    assert all(f.pairs > 100 for f in found)


def test_without_a_change_of_places_attention_could_be_anything() -> None:
    found = looked_at(world(0, swaps=False))
    assert (found.low, found.high, found.pairs) == (0.0, learning.MOST_ETA, 0)
    assert learning.examination([], [], []) == Examination(1.0, 0.0, learning.MOST_ETA, 0)


def test_attention_equals_a_slow_count() -> None:
    """Two ranks, one pair: the share of selections at each is that of attention."""
    pair, rank = np.zeros(300, int), np.repeat([1, 4], [200, 100])
    selected = np.zeros(300)
    selected[:80], selected[200:210] = 1, 1  # 40 % at rank 1, 10 % at rank 4
    assert learning.examination(pair, rank, selected).eta == pytest.approx(1.0, abs=0.02)  # 4^-1 = 10 / 40


def test_a_selection_counts_by_how_unlikely_it_was_seen() -> None:
    assert learning.propensity_weights([1, 2, 4, 0, 50], 1.0).tolist() == [1, 2, 4, 0, learning.CLIP]
    assert learning.propensity_weights([1, 9], 0.0).tolist() == [1, 1]


# weights


def slow_loss(lists: Lists, w: np.ndarray, eta: float, ridge: float, weights: Weights) -> float:
    total, counts = ridge / 2 * float(w @ w), lists.selected * learning.propensity_weights(lists.rank, eta)
    scale = lists.selected.sum() / counts.sum()
    for i in range(len(lists)):
        there = [j for j in range(lists.rank.shape[1]) if lists.rank[i, j]]
        x = {j: (lists.features[i, j] - weights.mean) / weights.scale for j in there}
        norm = sum(np.exp(w @ x[j]) for j in there)
        total -= sum(scale * counts[i, j] * (w @ x[j] - np.log(norm)) for j in there)
    return total


def test_the_fit_is_the_lowest_of_a_slow_loss() -> None:
    lists, _ = world(1, queries=4)
    lists.rank[3, 8:], lists.rank[5, 2] = 0, 0  # shorter lists, and a hit that is gone
    lists.selected[lists.rank == 0] = 0
    found = learning.fit(lists, NAMES, 0.8)
    best = np.array(found.weight)
    lowest = slow_loss(lists, best, 0.8, learning.RIDGE, found)
    for step in np.concatenate([np.eye(3), -np.eye(3)]) * 0.02:
        assert slow_loss(lists, best + step, 0.8, learning.RIDGE, found) > lowest


def test_weights_rank_by_features_whatever_their_units_and_gaps() -> None:
    weights = Weights(("a", "b"), (10.0, 0.0), (2.0, 1.0), (1.0, -3.0))
    assert learning.rerank([[12, 0], [10, 1], [np.nan, -1], [np.inf, 0]], weights).tolist() == [1, -3, 3, 0]
    assert Weights.from_params(weights.to_params()) == weights
    lists, _ = world(2, queries=10)
    plain = learning.fit(lists, NAMES, 1.0)
    scaled = replace(lists, features=lists.features * [1, 100, -1] + [0, 5, 9])
    other = learning.fit(scaled, NAMES, 1.0)
    assert np.allclose(np.array(other.weight) * [1, 1, -1], plain.weight, atol=1e-3)
    with pytest.raises(UsageError, match="2 features"):
        learning.rerank([[1, 2, 3]], weights)
    with pytest.raises(UsageError, match="not of the same lists"):
        replace(lists, selected=lists.selected[:2])


# what they are worth


def slow_dcg(gains: list[float]) -> float:
    return sum(gain / np.log2(place + 2) for place, gain in enumerate(gains[: learning.CUT]))


def test_the_corrected_measure_equals_a_slow_one() -> None:
    lists, _ = world(3, queries=3)
    lists.rank[1, 5:] = 0
    lists.selected[1, 5:] = 0
    scores = np.random.default_rng(0).normal(size=lists.rank.shape)
    mine, best = learning.corrected(lists, scores, 0.7)
    for i in range(len(lists)):
        there = [j for j in range(SHOWN) if lists.rank[i, j]]
        gains = [slow_gain(lists, lists.pair[i, j], 0.7) for j in there]
        order = sorted(there, key=lambda j: -scores[i, j])
        assert mine[i] == pytest.approx(slow_dcg([gains[j] for j in order]))
        assert best[i] == pytest.approx(slow_dcg(sorted(gains, reverse=True)))


def slow_gain(lists: Lists, pair: int, eta: float) -> float:
    showings = [(i, j) for i, j in zip(*np.nonzero(lists.pair == pair), strict=True) if lists.rank[i, j]]
    seen = sum(float(lists.rank[cell]) ** -eta for cell in showings)
    return sum(lists.selected[cell] for cell in showings) / max(seen, learning.LEAST_SEEN)


def test_weights_are_applied_where_people_select_by_more_than_the_ranking_knows() -> None:
    for seed in range(3):
        log = world(seed, queries=60)
        found = learning.learn(log[0], NAMES, looked_at(log))
        assert found.applied, found.reason
        assert found.gain is not None
        assert found.gain.low > 0
        assert found.weights is not None
        assert found.weights.weight[1] > abs(found.weights.weight[2])
        # and it is true of what people want, not of the log alone
        truly = replace(log[0], selected=log[1])
        scores = learning.rerank(truly.features.reshape(-1, 3), found.weights).reshape(truly.rank.shape)
        assert learning.corrected(truly, scores, 0)[0].sum() > learning.corrected(truly, -truly.rank, 0)[0].sum()


@pytest.mark.parametrize("clicks", ["dealt", "moved"])
@pytest.mark.parametrize("swaps", [True, False])
def test_shuffled_selections_leave_weights_unapplied(clicks: str, swaps: bool) -> None:
    logs = [world(seed, clicks=clicks, swaps=swaps, queries=25) for seed in range(15)]
    found = [learning.learn(log[0], NAMES, looked_at(log)) for log in logs]
    assert sum(f.applied for f in found) == 0


def test_a_wrong_idea_of_attention_makes_nothing_look_good() -> None:
    """Selections dealt out evenly, believed to be the fewer the further down: the last would seem to be the best."""
    log = world(0, clicks="dealt")
    believed = learning.learn(log[0], NAMES, Examination(1.0, 1.0, 1.0, 99))
    assert believed.applied, "this is what the interval of η is for"
    unknown = learning.learn(log[0], NAMES, Examination(1.0, 0.0, 2.0, 0))
    assert not unknown.applied
    assert "attention" in unknown.reason


def test_too_little_to_learn_from_is_said() -> None:
    lists, _ = world(0, queries=12)
    few = learning.learn(lists.some(lists.group < 5), NAMES, Examination(1, 0, 2, 0))
    assert (few.applied, few.weights) == (False, None)
    assert few.reason == "5 different questions with a selection; at least 10 are needed"
    silent = replace(lists, selected=lists.selected * (np.arange(len(lists)) % 12 == 0)[:, None])
    assert "selections; at least 50" in learning.learn(silent, NAMES, Examination(1, 0, 2, 0)).reason
    nothing = np.zeros((0, 0), int)
    none = Lists(np.zeros((0, 0, 3)), nothing, np.zeros((0, 0)), nothing, np.zeros(0, int))
    assert not learning.learn(none, NAMES, Examination(1, 0, 2, 0)).applied
