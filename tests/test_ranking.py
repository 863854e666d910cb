"""Fusion of rankings and the measures of one: known answers, slow oracles, scikit-learn, and what a gap may cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from sextant.errors import UsageError
from sextant.maths import ranking
from sextant.maths.ranking import Measures, fuse, fused, measure

ROWS = st.lists(st.integers(0, 30), unique=True, max_size=12)


def slowly(rankings: Sequence[Sequence[int]], weights: Sequence[float], k: float) -> list[int]:
    """The definition, item by item."""
    worth = {
        row: sum(w / (k + r.index(row) + 1) for r, w in zip(rankings, weights, strict=True) if row in r)
        for row in {row for r in rankings for row in r}
    }
    nowhere = len(worth) + 1
    places = {row: [r.index(row) + 1 if row in r else nowhere for r in rankings] for row in worth}
    return sorted(worth, key=lambda row: (-worth[row], places[row], row))


def test_a_fusion_worked_out_by_hand() -> None:
    rows, worth = fused([[7, 3, 5], [5, 9]], k=60)
    assert rows.tolist() == [5, 7, 3, 9]
    assert worth == pytest.approx([1 / 63 + 1 / 61, 1 / 61, 1 / 62, 1 / 62])


@given(st.lists(st.tuples(ROWS, st.sampled_from([0.0, 0.5, 1.0, 2.0])), max_size=4), st.sampled_from([0.0, 1.0, 60.0]))
def test_fusion_is_its_definition(given_: list[tuple[list[int], float]], k: float) -> None:
    rankings, weights = [rows for rows, _ in given_], [weight for _, weight in given_]
    assert fuse(rankings, weights, k=k).tolist() == slowly(rankings, weights, k)


@given(ROWS)
def test_one_ranking_stays_as_it_is_and_an_empty_one_changes_nothing(rows: list[int]) -> None:
    assert fuse([rows]).tolist() == rows
    assert fuse([rows, []]).tolist() == rows
    assert fuse([rows, rows]).tolist() == rows


@given(st.permutations(range(20)), st.lists(st.integers(0, 19), unique=True, max_size=8))
def test_a_missing_field_costs_nothing(visual: list[int], tagged: list[int]) -> None:
    """Images without words keep their visual order, and only an image that its words lift can overtake one."""
    together = fuse([visual, tagged]).tolist()
    assert [row for row in together if row not in tagged] == [row for row in visual if row not in tagged]
    rows, worth = fused([visual, tagged])
    alone = dict(zip(*map(list, fused([visual])), strict=True))
    for row, value in zip(rows.tolist(), worth.tolist(), strict=True):
        assert value == pytest.approx(alone[row]) if row not in tagged else value > alone[row]
        if row not in tagged:
            lifted = sum(visual.index(other) > visual.index(row) for other in tagged)
            assert together.index(row) <= visual.index(row) + lifted


@pytest.mark.parametrize(
    ("rankings", "weights", "k", "words"),
    [
        ([[1, 1]], None, 60, "ranking 1 names a row twice"),
        ([[1], [-1]], None, 60, "ranking 2 names row -1"),
        ([[1], [2]], [1.0], 60, "2 rankings need as many weights, not 1"),
        ([[1]], [-1.0], 60, "a number from 0 on"),
        ([[1]], [math.nan], 60, "a number from 0 on"),
        ([[1]], None, -1, "rank constant"),
    ],
)
def test_what_cannot_be_fused(rankings: list[list[int]], weights: list[float] | None, k: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fuse(rankings, weights, k=k)


# measures


def test_measures_worked_out_by_hand() -> None:
    found = measure([0, 1, 1, 0, 0, 1], relevant=4, k=5)
    ideal = 1 + 1 / math.log2(3) + 1 / 2 + 1 / math.log2(5)
    assert found == Measures(
        2 / 5, 2 / 4, 1.0, pytest.approx((1 / math.log2(3) + 1 / 2) / ideal), 1 / 2
    )  # fmt: skip
    assert measure([0, 0, 0], relevant=1, k=3) == Measures(0, 0, 0, 0, 0)
    assert measure([1], relevant=1, k=10) == Measures(0.1, 1, 1, 1, 1)


@given(st.lists(st.booleans(), min_size=2, max_size=30), st.integers(1, 12), st.integers(0, 5))
def test_measures_are_their_definitions(right: list[bool], k: int, elsewhere: int) -> None:
    relevant = sum(right) + elsewhere
    if not relevant:
        return
    found = measure(right, relevant, k)
    first = right[:k]
    ranks = [rank for rank, hit in enumerate(first, 1) if hit]
    assert found.precision == len(ranks) / k
    assert found.recall == len(ranks) / relevant
    assert found.hit == bool(ranks)
    assert found.reciprocal_rank == (1 / ranks[0] if ranks else 0)
    everything = [*right, *[False] * k, *[True] * elsewhere]  # the others come too late
    expected = ndcg_score([everything], [list(range(len(everything), 0, -1))], k=k)
    assert found.ndcg == pytest.approx(expected)


@given(st.lists(st.sampled_from([0, 1, 2, 3]), min_size=2, max_size=20), st.integers(1, 25))
def test_graded_gains_agree_with_scikit_learn(gains: list[int], k: int) -> None:
    expected = ndcg_score([gains], [list(range(len(gains), 0, -1))], k=k)
    assert ranking.ndcg(gains, gains, k) == pytest.approx(expected)


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(1, 10))
def test_a_better_order_is_never_worth_less(right: list[bool], k: int) -> None:
    if any(right):
        worse, best = measure(right, sum(right), k), measure(sorted(right, reverse=True), sum(right), k)
        assert best.ndcg == pytest.approx(1)
        assert (best.precision, best.recall, best.reciprocal_rank) >= (worse.precision, worse.recall, 0)


@pytest.mark.parametrize(
    ("right", "relevant", "k", "words"),
    [([1], 1, 0, "k must"), ([1], 0, 1, "0 relevant"), ([0], 0, 1, "0 relevant"), ([1, 1], 1, 1, "with 2")],
)
def test_what_cannot_be_measured(right: list[int], relevant: int, k: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        measure(right, relevant, k)
