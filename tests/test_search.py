"""Directions to logits for every image of a view, and ranked retrieval, held against one product and a full sort."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeEncoder, many, opened
from sextant import search, tables
from sextant.collection import Collection
from sextant.maths import logits as maths
from sextant.types import Floats
from sextant.vectors import Vectors

PICTURES = 60


def directions(k: int, seed: int = 1) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(k, 3)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("search")
    many(folder / "p", PICTURES)
    collection = opened(folder)
    collection.add(folder / "p")
    return collection


def expected(photos: Collection, wanted: Floats) -> Floats:
    """One plain product, image by image."""
    view = photos.view()
    ids, matrix = photos.vectors.matrix()
    rows = dict(zip(ids, matrix, strict=True))
    scale, bias = photos.scale
    return np.stack([scale * (wanted @ rows[image]) + bias for image in view.ids.to_pylist()]).astype(np.float32)


@pytest.mark.parametrize("rows", [7, 64, 8192])
def test_streamed_logits_are_those_of_one_plain_product_whatever_the_batches(photos: Collection, rows: int) -> None:
    wanted = directions(4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Vectors.batches, "__kwdefaults__", {"rows": rows})
        found = search.streamed(photos, photos.view(), wanted)
    np.testing.assert_allclose(found, expected(photos, wanted), atol=1e-4)


def test_vectors_in_memory_give_the_same_logits_and_their_last_bits_on_request(photos: Collection) -> None:
    wanted, view = directions(4), photos.view()
    found = search.logits(photos, view, wanted)
    streamed = search.streamed(photos, view, wanted)
    np.testing.assert_allclose(found, streamed, atol=1e-4)
    rows = np.array([5, 0, 41, 5], np.intp)
    np.testing.assert_array_equal(search.exact(photos, view, rows, wanted, found), streamed[rows])


def test_vectors_too_large_for_memory_are_streamed(tmp_path: Path) -> None:
    many(tmp_path / "p", 30)
    photos = opened(tmp_path, resident_mb=1)
    photos.add(tmp_path / "p")
    view, wanted = photos.view(), directions(2)
    assert search.resident(photos, view) is not None
    kept = search.logits(photos, view, wanted)
    view.kept[search.RESIDENT] = None
    rows = np.arange(len(view), dtype=np.intp)
    np.testing.assert_allclose(search.logits(photos, view, wanted), kept, atol=1e-4)
    scale, bias = photos.scale
    vectors = search.vectors_of(photos, view, rows[::-1])
    np.testing.assert_array_equal(
        maths.logit_matrix(vectors, wanted, scale=scale, bias=bias), search.streamed(photos, view, wanted)[::-1]
    )


def test_an_image_without_a_vector_has_no_logit(tmp_path: Path) -> None:
    many(tmp_path / "p", 5)
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    view = photos.view()
    gone = str(view.ids[2])
    tables.delete(photos.vectors.path, "id", pa.array([gone]))
    again = photos.view()
    found = search.logits(photos, again, directions(2))
    assert np.isnan(found[2]).all()
    assert np.isfinite(np.delete(found, 2, axis=0)).all()
    assert np.isnan(search.vectors_of(photos, again, np.array([2, 1]))[0]).all()


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


def test_nothing_is_the_best_of_nothing() -> None:
    assert len(search.best(np.zeros(0), pa.array([], pa.string()), 5, np.zeros(0, bool))) == 0


def test_reading_starts_again_where_a_vacuum_took_its_version(
    photos: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, view = directions(2, 5), photos.view()
    right = search.streamed(photos, view, wanted)
    real, calls = Vectors.batches, 0

    def batches(self: Vectors, *, rows: int = 16) -> object:
        nonlocal calls
        calls += 1
        for k, batch in enumerate(real(self, rows=16)):
            if calls < 3 and k == 1:
                raise tables.Vanished("gone")
            yield batch

    monkeypatch.setattr(Vectors, "batches", batches)
    np.testing.assert_array_equal(search.streamed(photos, view, wanted), right)
    assert calls == 3


def test_what_is_kept_goes_when_anything_is_added(tmp_path: Path) -> None:
    many(tmp_path / "p", 5)
    encoder = FakeEncoder()
    photos, other = opened(tmp_path, encoder), opened(tmp_path, encoder)
    photos.add(tmp_path / "p")
    before = photos.view()
    assert photos.view() is before
    assert len(search.logits(photos, before, directions(1))) == 5
    many(tmp_path / "q", 3, start=100)
    other.add(tmp_path / "q")
    assert len(search.logits(photos, photos.view(), directions(1))) == 8
    after = photos.view()
    assert photos.view() is after


def test_vectors_stay_in_memory_while_people_only_speak(tmp_path: Path) -> None:
    many(tmp_path / "p", 25)
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    before = photos.view()
    kept = search.resident(photos, before)
    photos.describe(str(before.ids[0]), tags=["a"])
    after = photos.view()
    assert after is not before
    assert search.resident(photos, after) is kept
    many(tmp_path / "q", 3, start=100)
    photos.add(tmp_path / "q")
    assert search.resident(photos, photos.view()) is not kept
