"""Diverse picks against brute force and slow oracles."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sextant.maths.diversity import least_distance, relevant, spread


def rows(seed: int, n: int, dim: int = 3) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((n, dim))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def qualities(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed + 1).integers(0, 5, n) / 4


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(2, 6), st.integers(2, 4))
def test_spread_has_at_least_half_of_the_largest_least_distance(seed: int, n: int, k: int, dim: int) -> None:
    vectors, k = rows(seed, n, dim), min(k, n)
    chosen = spread(vectors, k, qualities(seed, n))
    best = max(least_distance(vectors[list(some)]) for some in combinations(range(n), k))
    assert len(set(chosen.tolist())) == k
    assert least_distance(vectors[chosen]) >= best / 2 - 1e-5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.0, 0.3, 0.7, 0.95]))
def test_relevance_is_that_of_the_formula(seed: int, n: int, k: int, weight: float) -> None:
    vectors, quality = rows(seed, n), qualities(seed, n)
    chosen = relevant(vectors, k, quality, weight).tolist()
    assert len(set(chosen)) == min(k, n)
    assert quality[chosen[0]] == quality.max()
    for taken in range(1, len(chosen)):
        left = [i for i in range(n) if i not in chosen[:taken]]
        value = {
            i: weight * quality[i] - (1 - weight) * float((vectors[chosen[:taken]] @ vectors[i]).max()) for i in left
        }
        assert value[chosen[taken]] >= max(value.values()) - 1e-6


@given(st.integers(0, 10**6), st.integers(0, 30), st.integers(0, 30))
def test_at_one_relevance_is_the_plain_order_with_ties_by_row(seed: int, n: int, k: int) -> None:
    quality = qualities(seed, n)
    plain = sorted(range(n), key=lambda i: (-quality[i], i))[:k]
    assert relevant(rows(seed, n), k, quality, 1.0).tolist() == plain


def test_a_copy_is_picked_last_by_either_way() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    quality = np.array([1.0, 0.99, 0.2, 0.1])
    assert spread(vectors, 4, quality).tolist() == [0, 3, 2, 1]
    assert relevant(vectors, 4, quality, 0.5).tolist() == [0, 3, 2, 1]
    assert relevant(vectors, 4, quality, 0.95).tolist() == [0, 1, 2, 3]


def test_equally_far_rows_are_taken_by_quality() -> None:
    vectors = np.eye(4, dtype=np.float32)
    assert spread(vectors, 4, np.array([0.1, 0.4, 0.2, 0.9])).tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize("k", [0, 3, 9])
def test_no_more_is_picked_than_there_is(k: int) -> None:
    assert len(spread(rows(1, 3), k, np.zeros(3))) == min(k, 3)
    assert len(relevant(rows(1, 3), k, np.zeros(3), 0.5)) == min(k, 3)
    assert spread(np.zeros((0, 3), np.float32), k, np.zeros(0)).tolist() == []
