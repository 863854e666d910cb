"""k-means and HDBSCAN on rows whose clusters are known."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from sextant.errors import MissingExtra
from sextant.maths import clusters


def blobs(seed: int, counts: list[int], dim: int = 8, width: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    rows = np.eye(dim)[truth] + width * random.standard_normal((len(truth), dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), truth


def test_known_clusters_are_found_the_largest_first() -> None:
    vectors, truth = blobs(1, [30, 80, 50])
    found = clusters.k_means(vectors, 3, seed=5)
    assert np.bincount(found.label).tolist() == [80, 50, 30]
    assert adjusted_rand_score(truth, found.label) == 1.0
    np.testing.assert_allclose(found.centres[0], vectors[truth == 1].mean(axis=0), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 9))
def test_every_row_has_the_nearest_centre_and_every_centre_is_a_mean(seed: int, n: int, k: int) -> None:
    vectors, _ = blobs(seed, [n], 4, 0.8)
    found = clusters.k_means(vectors, k, seed=seed)
    distance = ((vectors[:, None] - found.centres[None]) ** 2).sum(axis=2)
    assert found.inertia == pytest.approx(distance[np.arange(n), found.label].sum(), rel=1e-4, abs=1e-6)
    assert (distance[np.arange(n), found.label] <= distance.min(axis=1) + 1e-5).all()
    assert len(found.centres) == min(k, n)
    for number, centre in enumerate(found.centres):
        np.testing.assert_allclose(centre, vectors[found.label == number].mean(axis=0), atol=1e-5)


def test_k_means_is_as_tight_as_that_of_scikit_learn() -> None:
    from sklearn.cluster import KMeans

    vectors, _ = blobs(2, [40] * 7, 12, 0.35)
    theirs = KMeans(7, n_init=5, random_state=0).fit(vectors).inertia_
    assert clusters.k_means(vectors, 7, seed=0, restarts=5).inertia <= 1.02 * theirs


def test_a_seed_repeats_itself() -> None:
    vectors, _ = blobs(3, [100], 6, 1.0)
    one, same = (clusters.k_means(vectors, 5, seed=4).label for _ in range(2))
    assert one.tolist() == same.tolist()


def test_more_clusters_than_different_rows_are_not_made() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    found = clusters.k_means(vectors, 10)
    assert np.bincount(found.label).tolist() == [4, 4, 4]
    assert found.inertia == pytest.approx(0, abs=1e-6)
    assert len(clusters.k_means(vectors[:0], 3).centres) == 0


def test_centres_of_many_rows_are_fitted_on_a_sample_and_all_are_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "FITTED_ON", 60)
    monkeypatch.setattr(clusters, "ROWS_AT_ONCE", 32)
    vectors, truth = blobs(4, [100, 60])
    found = clusters.k_means(vectors, 2)
    assert adjusted_rand_score(truth, found.label) == 1.0


def test_rows_between_dense_places_belong_to_no_cluster() -> None:
    vectors, truth = blobs(5, [40, 30], 8, 0.05)
    odd = -np.eye(8, dtype=np.float32)[:5]
    found = clusters.by_density(np.concatenate([vectors, odd]), least=10)
    assert adjusted_rand_score(truth, found.label[:70]) > 0.95
    assert found.label[70:].tolist() == [-1] * 5
    assert (clusters.by_density(vectors[:3]).label == -1).all()


def test_without_scikit_learn_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(MissingExtra, match=r"sextant-images\[clusters\]"):
        clusters.by_density(np.eye(3, dtype=np.float32))
