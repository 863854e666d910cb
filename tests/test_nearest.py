"""A search by index and sample, held against the search that compares every image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes import opened
from sextant import nearest
from sextant.collection import Collection
from sextant.types import Floats, SearchResult

pytest.importorskip("faiss")

DIM, ROWS = 32, 3000


class Spread:
    """Phrases to fixed random unit vectors; images come from elsewhere."""

    name, revision, dim = "spread", "1", DIM
    logit_scale, logit_bias = 60.0, 0.0

    def encode_images(self, images: object) -> Floats:
        raise NotImplementedError

    def encode_texts(self, texts: list[str]) -> Floats:
        rows = np.stack([np.random.default_rng(list(text.encode())).normal(size=DIM) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three thousand vectors, some of them near a phrase or two, and an index of them."""
    place = tmp_path_factory.mktemp("nearest")
    encoder, rng = Spread(), np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, DIM))
    for k, text in enumerate(("a dog", "a beach", "people")):
        towards = encoder.encode_texts([text])[0]
        rows[(np.arange(ROWS) % (29 + 12 * k)) == 0] += 9.0 * towards
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    np.save(place / "v.npy", rows)
    (place / "ids.txt").write_text("".join(f"p/{i:05d}.jpg\n" for i in range(ROWS)))
    photos = opened(place, encoder)
    photos.import_vectors(place / "v.npy", ids=place / "ids.txt", encoder="spread@1", logit_scale=60.0, logit_bias=0.0)
    opened(place, encoder, exact_rows=100).index()
    return place


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Collection, Collection]:
    return opened(folder, Spread()), opened(folder, Spread(), exact_rows=100)


def paths(found: SearchResult) -> list[str]:
    return [hit.path for hit in found.hits]


def test_only_a_large_collection_asks_its_index(both: tuple[Collection, Collection]) -> None:
    small, large = both
    assert nearest.near(small, small.view()) is None
    assert nearest.near(large, large.view()) is not None


@pytest.mark.parametrize("text", ["a dog", "a dog + a beach", "a dog - people", "a dog on a beach"])
def test_the_index_answers_as_the_whole_does(both: tuple[Collection, Collection], text: str) -> None:
    exact, fast = (photos.search(text, limit=10, expand=False) for photos in both)
    assert len(set(paths(exact)) & set(paths(fast))) >= 9
    by_path = {hit.path: hit for hit in exact.hits}
    for hit in fast.hits:
        if hit.path in by_path:
            assert hit.logit == by_path[hit.path].logit
            assert hit.confidence == pytest.approx(by_path[hit.path].confidence, abs=0.03)


def test_a_filter_is_kept_by_the_index(both: tuple[Collection, Collection]) -> None:
    rule = "name like '%7.jpg'"
    exact, fast = (photos.search("a dog", limit=10, where=rule, expand=False) for photos in both)
    assert paths(exact) == paths(fast)
    assert all(path.endswith("7.jpg") for path in paths(fast))


def test_words_and_facets_work_beside_an_index(both: tuple[Collection, Collection]) -> None:
    _, large = both
    last = paths(large.search("a dog", limit=ROWS, expand=False))[-1]
    large.describe(last, tags=["dog"])
    found = large.search("a dog", limit=10, expand=False)
    assert last in paths(found)
    assert large.search("a dog", limit=3, facets=["name"]).facets


def test_nothing_here_is_said_by_an_index_too(both: tuple[Collection, Collection]) -> None:
    hints = [photos.search("zebra crossing of wool", limit=3, expand=False).hints for photos in both]
    assert any("nothing here" in hint for hint in hints[0])
    assert any("nothing here" in hint for hint in hints[1])


def test_pictures_like_one_are_found_by_the_index(both: tuple[Collection, Collection]) -> None:
    for options in ({}, {"where": "name like '%3.jpg'"}):
        exact, fast = (photos.similar("p/00087.jpg", limit=10, **options) for photos in both)
        assert "p/00087.jpg" not in paths(fast)
        assert len(set(paths(exact)) & set(paths(fast))) >= 9
