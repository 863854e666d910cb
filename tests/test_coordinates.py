"""Coordinates for codes, held against the products that they must keep."""

from __future__ import annotations

import numpy as np
import pytest

from sextant.index.coordinates import coordinates
from sextant.types import Floats


def rows_of(scales: Floats, n: int, seed: int) -> Floats:
    made = np.random.default_rng(seed).normal(size=(n, len(scales))) * scales
    return np.asarray(made, np.float32)


@pytest.mark.parametrize("dim", [1, 2, 3, 30, 31])
def test_products_stay_what_they_were_where_everything_varies(dim: int) -> None:
    rows, asked = rows_of(np.ones(dim), 400, 0), rows_of(np.ones(dim), 5, 1)
    for_rows, for_directions = coordinates(rows)
    assert for_rows.shape == for_directions.shape == (dim, dim)
    np.testing.assert_allclose((asked @ for_directions.T) @ (rows @ for_rows.T).T, asked @ rows.T, atol=1e-4 * dim)


def test_what_hardly_varies_is_left_out_but_never_more_than_half() -> None:
    scales = np.array([5.0] * 6 + [1e-3] * 26)
    rows, asked = rows_of(scales, 400, 0), rows_of(np.ones(32), 5, 1)
    for_rows, for_directions = coordinates(rows)
    assert for_rows.shape == (16, 32)
    np.testing.assert_allclose((asked @ for_directions.T) @ (rows @ for_rows.T).T, asked @ rows.T, atol=0.05)


def test_what_is_asked_most_is_largest_and_pairs_are_alike() -> None:
    scales = np.linspace(1, 4, 16)
    rows = rows_of(scales, 4000, 0)
    varies = (rows @ coordinates(rows)[0].T).var(axis=0)
    pairs = np.sqrt(varies[::2] * varies[1::2])
    assert varies[0] == pytest.approx(varies.max())
    assert varies[1] == pytest.approx(varies.min())
    assert pairs.max() / pairs.min() < 0.5 * np.sqrt(varies.max() / varies.min())


@pytest.mark.parametrize("rows", [np.zeros((4, 6)), np.eye(6)[:1]])
def test_rows_that_do_not_vary_have_coordinates_too(rows: Floats) -> None:
    for matrix in coordinates(np.asarray(rows, np.float32)):
        assert matrix.shape[0] in (2, 4, 6)
        assert np.isfinite(matrix).all()
