"""Ranked retrieval, held against a full sort."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sextant import search, tables
from sextant.store import Store
from sextant.types import Floats
from sextant.vectors import Vectors

ROWS = 300


def unit_rows(n: int, seed: int) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(n, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    table = Store(tmp_path_factory.mktemp("search")).vectors("e@1")
    rows = unit_rows(ROWS, 0)
    ids = [f"{(i * 7919) % 1000:04d}" for i in range(ROWS)]
    for start in range(0, ROWS, 100):
        part = slice(start, start + 100)
        table.append(ids[part], rows[part], np.zeros(100, np.float32), lambda _r, _b: {}, {"encoder": "e@1"})
    return table


@pytest.mark.parametrize("rows", [7, 64, 8192])
def test_logits_are_those_of_one_plain_product_whatever_the_batches(vectors: Vectors, rows: int) -> None:
    direction, negatives = unit_rows(2, 1)[0], unit_rows(4, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Vectors.batches, "__kwdefaults__", {"rows": rows})
        ids, found = search.logits(vectors, direction, negatives, scale=10.0, bias=-2.0)
    names, matrix = vectors.matrix()
    own = 10 * matrix @ direction - 2
    rival = (10 * matrix @ negatives.T - 2).max(axis=1)
    assert ids.to_pylist() == names
    np.testing.assert_allclose(found, own - np.maximum(0, rival - own), atol=1e-4)


@given(
    scores=st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.5, 1.0, -2.0, float("nan")]), max_size=30),
    limit=st.integers(1, 12),
    seed=st.integers(0, 9),
)
def test_the_best_are_those_of_a_full_sort_ties_by_id(scores: list[float], limit: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = [f"{i:02d}" for i in rng.permutation(len(scores))]
    allowed = rng.random(len(scores)) < 0.7
    found = search.best(np.array(scores, np.float64), pa.array(ids, pa.string()), limit, allowed)
    ranked = sorted((-s, i, k) for k, (s, i) in enumerate(zip(scores, ids, strict=True)) if allowed[k] and s == s)
    assert found.tolist() == [k for _, _, k in ranked[:limit]]


def test_nothing_is_found_in_nothing(tmp_path: Path) -> None:
    ids, logits = search.logits(Store(tmp_path).vectors("e@1"), unit_rows(2, 1)[0], None, scale=1.0, bias=0.0)
    assert (len(ids), logits.shape) == (0, (0,))
    assert len(search.best(np.zeros(0), ids, 5, np.zeros(0, bool))) == 0


def test_a_ranking_starts_again_where_a_vacuum_took_its_version(
    vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    direction = unit_rows(2, 5)[0]
    expected = search.logits(vectors, direction, None, scale=10.0, bias=0.0)[1]
    real, calls = Vectors.batches, 0

    def batches(self: Vectors, *, rows: int = 64) -> object:
        nonlocal calls
        calls += 1
        for k, batch in enumerate(real(self, rows=64)):
            if calls < 3 and k == 1:
                raise tables.Vanished("gone")
            yield batch

    monkeypatch.setattr(Vectors, "batches", batches)
    np.testing.assert_array_equal(search.logits(vectors, direction, None, scale=10.0, bias=0.0)[1], expected)
    assert calls == 3
