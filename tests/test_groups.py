"""Near-duplicate groups against a slow oracle: cliques, walked in the same order, without any of the shortcuts."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sextant.maths import groups as near

CHAIN = np.deg2rad([0.0, 10.0, 20.0])
"""Three directions in a plane: neighbours are 10° apart (cosine .985), the ends 20° (.940)."""


def at(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def bursts(seed: int, n: int, dim: int, spread: float) -> np.ndarray:
    """Rows around a few centres, some of them very close to the row before."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((max(1, n // 4), dim))[random.integers(0, max(1, n // 4), n)]
    return unit(rows + spread * random.standard_normal((n, dim)))


def oracle(vectors: np.ndarray, threshold: float, order: np.ndarray) -> list[int]:
    """Each row joins the group whose least similar member is most similar, if it reaches the threshold."""
    cosine = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    members: dict[int, list[int]] = {}
    for row in order.tolist():
        least = {leader: min(cosine[row, m] for m in found) for leader, found in members.items()}
        best = max(least, key=least.__getitem__, default=None)
        if best is not None and least[best] >= threshold:
            members[best].append(row)
        else:
            members[row] = [row]
    return [next(g for g, found in members.items() if row in found) for row in range(len(vectors))]


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that a few rows take several."""
    monkeypatch.setattr(near, "ROWS", 3)
    monkeypatch.setattr(near, "COLUMNS", 5)
    monkeypatch.setattr(near, "WIDTHS", (2, 4))
    monkeypatch.setattr(near, "SAMPLE", 4)
    monkeypatch.setattr(near, "FEW", 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([2, 6, 24]), st.floats(0.02, 0.4), st.booleans())
def test_groups_are_those_of_the_oracle_however_the_work_is_cut(
    seed: int, n: int, dim: int, spread: float, dense: bool
) -> None:
    vectors = bursts(seed, n, dim, spread)
    cosine = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    thresholds = [0.9, 0.97]
    assume(all(np.abs(cosine - t).min() > 1e-5 for t in thresholds))
    off_diagonal = np.sort(cosine[np.triu_indices(n, 1)])
    assume(len(off_diagonal) < 2 or np.diff(off_diagonal).min() > 1e-7)
    order = np.random.default_rng(seed + 1).permutation(n)
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        patch.setattr(near, "DENSE", 0.0 if dense else 2.0)
        found = near.groups(vectors, thresholds, order=order)
    for leaders, threshold in zip(found, thresholds, strict=True):
        assert leaders.tolist() == oracle(vectors, threshold, order)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.floats(0.05, 0.5))
def test_every_pair_of_a_group_is_near_the_first_in_order_leads_and_no_two_groups_could_be_one(
    seed: int, n: int, spread: float
) -> None:
    vectors, threshold = bursts(seed, n, 5, spread), 0.93
    order = np.random.default_rng(seed).permutation(n)
    (leaders,) = near.groups(vectors, [threshold], order=order)
    place = np.argsort(order)
    cosine = vectors @ vectors.T
    held = [np.flatnonzero(leaders == leader) for leader in np.unique(leaders)]
    for members in held:
        assert cosine[np.ix_(members, members)].min() >= threshold - 1e-5
        assert leaders[members[0]] == min(members, key=place.__getitem__)
    for one, other in combinations(held, 2):
        assert cosine[np.ix_(one, other)].min() < threshold + 1e-5


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1]])
def test_a_chain_whose_ends_differ_is_not_one_group(order: list[int]) -> None:
    (leaders,) = near.groups(at(CHAIN), [0.98], order=np.array(order))
    assert len(set(leaders.tolist())) == 2
    assert leaders[0] != leaders[2]
    assert leaders[order[0]] == order[0]


def test_a_long_chain_falls_into_short_pieces() -> None:
    angles = np.deg2rad(np.arange(0, 90, 1.0))
    (leaders,) = near.groups(at(angles), [0.98])
    spans = [np.ptp(angles[leaders == leader]) for leader in np.unique(leaders)]
    assert max(spans) <= np.arccos(0.98) + 1e-6
    assert len(spans) == 8  # 12 images, one degree apart, span 11 of the 11.48 degrees


def test_an_image_that_fits_two_groups_joins_the_one_it_resembles_more() -> None:
    (leaders,) = near.groups(at(np.deg2rad([0.0, 15.0, 9.0])), [0.98])
    assert leaders.tolist() == [0, 1, 1]


def test_pairs_must_be_related_where_that_is_asked_for() -> None:
    vectors = at(np.deg2rad([0.0, 1.0, 2.0, 3.0]))
    kind = np.array([0, 1, 0, 1])
    (leaders,) = near.groups(vectors, [0.98], related=lambda a, b: kind[a] == kind[b])
    assert leaders.tolist() == [0, 1, 0, 1]


def test_equal_rows_are_one_group_and_broken_ones_are_alone() -> None:
    vectors = np.tile(unit(np.ones((1, 8))), (700, 1))
    vectors[[5, 600]] = np.nan
    (leaders,) = near.groups(vectors, [0.98])
    assert leaders[5] == 5
    assert leaders[600] == 600
    assert set(np.delete(leaders, [5, 600]).tolist()) == {0}
    assert near.sizes(leaders)[[0, 5, 699]].tolist() == [698, 1, 698]


def test_no_image_and_one_image_are_no_trouble() -> None:
    assert near.groups(np.zeros((0, 4), np.float32), [0.9])[0].tolist() == []
    assert near.groups(unit(np.ones((1, 4))), [0.9])[0].tolist() == [0]


def test_progress_ends_with_every_row() -> None:
    heard: list[int] = []
    near.groups(bursts(1, 600, 8, 0.3), [0.95], progress=heard.append)
    assert heard == [256, 512, 600]


def test_neighbours_are_found_across_blocks() -> None:
    vectors = unit(np.random.default_rng(3).standard_normal((900, 64)))
    vectors[880] = vectors[2]
    assert np.flatnonzero(near.with_neighbours(vectors, 0.98)).tolist() == [2, 880]


def test_few_rows_are_compared_in_full_with_the_same_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = bursts(5, 600, 96, 0.2)
    (whole,) = near.groups(vectors, [0.9])
    monkeypatch.setattr(near, "FEW", 0)
    (sketched,) = near.groups(vectors, [0.9])
    assert whole.tolist() == sketched.tolist()
    assert len(np.unique(whole)) < 600


def test_the_sketch_is_narrow_and_its_bound_is_never_below_the_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "FEW", 0)
    vectors = bursts(7, 800, 96, 1.0)
    search = near.Search(vectors, np.arange(800), 0.98)
    assert search.width < 96
    assert (search.sketch @ search.sketch.T - vectors @ vectors.T).min() > -near.SLACK
