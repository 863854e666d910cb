"""Isotonic regression: known answers, and scipy's as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from sextant.errors import UsageError
from sextant.maths.isotonic import rising

PAIRS = st.lists(st.tuples(st.floats(-50, 50, width=16), st.floats(0.125, 8, width=16)), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("values", "weights", "found", "blocks"),
    [
        ([3.0], [2.0], [3.0], [0, 1]),
        ([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [1.0, 2.0, 3.0], [0, 1, 2, 3]),
        ([3.0, 2.0, 1.0], [1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [0, 3]),
        ([1.0, 4.0, 2.0, 5.0], [1.0, 1.0, 3.0, 1.0], [1.0, 2.5, 2.5, 5.0], [0, 1, 3, 4]),
        ([2.0, 3.0, 0.0], [1.0, 1.0, 1.0], [5 / 3, 5 / 3, 5 / 3], [0, 3]),
        ([1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0, 2]),
    ],
)
def test_known_answers(values: list[float], weights: list[float], found: list[float], blocks: list[int]) -> None:
    steps = rising(values, weights)
    np.testing.assert_allclose(steps.values, found, rtol=1e-15)
    assert steps.blocks.tolist() == blocks


@given(PAIRS)
def test_as_scipy_has_it(pairs: list[tuple[float, float]]) -> None:
    values, weights = np.array(pairs).T
    steps, oracle = rising(values, weights), isotonic_regression(values, weights=weights)
    np.testing.assert_allclose(steps.values, oracle.x, rtol=1e-12, atol=1e-12)
    assert steps.blocks.tolist() == oracle.blocks.tolist()


@pytest.mark.parametrize("noise", [0.0, 0.1, 3.0, 100.0])
def test_long_rows_as_scipy_has_them(noise: float) -> None:
    random = np.random.default_rng(7)
    values, weights = np.arange(3000) / 100 + noise * random.standard_normal(3000), random.uniform(1e-12, 1, 3000)
    steps, oracle = rising(values, weights), isotonic_regression(values, weights=weights)
    np.testing.assert_allclose(steps.values, oracle.x, rtol=1e-12, atol=1e-12)
    assert steps.blocks.tolist() == oracle.blocks.tolist()


@given(PAIRS)
def test_what_rises_stays_and_the_mean_stays(pairs: list[tuple[float, float]]) -> None:
    values, weights = np.array(pairs).T
    steps = rising(values, weights)
    assert (np.diff(steps.values) >= 0).all()
    np.testing.assert_allclose(steps.values @ weights, values @ weights, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(rising(steps.values, weights).values, steps.values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("values", "weights"), [([], []), ([1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, 0.0])])
def test_refusals(values: list[float], weights: list[float]) -> None:
    with pytest.raises(UsageError, match="needs as many weights, each above 0"):
        rising(values, weights)
