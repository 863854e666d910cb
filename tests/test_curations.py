"""What a curation leaves in the catalog: numbers grow, picks keep their first record, answers are asked for once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sextant.catalog import Catalog

ROW: dict[str, Any] = {
    "image": "a" * 32,
    "rank": 1,
    "path": "picks/duck/duck-01-aaaaaaaa.jpg",
    "url": "https://example.org/duck.jpg",
    "page": "",
    "title": "A duck",
    "licence": None,
    "score": 0.7,
    "parts": [{"name": "clip", "value": 0.7, "weight": 1.0, "points": 0.7}],
    "fetched_at": "2026-01-01T00:00:00+00:00",
}


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog.beside(tmp_path / "catalog.db")
    yield catalog
    catalog.close()


def put(catalog: Catalog, name: str = "duck") -> int:
    more: dict[str, Any] = {"request": {"diverse": [1]}, "shown": [{"rank": 1}], "scratch": "0" * 16}
    return catalog.put_curation(name, "a duck", encoder="fake@1", state="prior", **more)


def test_the_newest_curation_and_any_by_its_number(catalog: Catalog) -> None:
    assert catalog.curation() is None
    first, second = put(catalog), put(catalog, "goose")
    assert (first, second) == (1, 2)
    newest = catalog.curation()
    assert newest is not None
    assert (newest.id, newest.name, newest.request, newest.shown) == (2, "goose", {"diverse": [1]}, [{"rank": 1}])
    found = catalog.curation(1)
    assert found is not None
    assert (found.name, found.state, found.encoder, found.scratch) == ("duck", "prior", "fake@1", "0" * 16)
    assert catalog.curation(3) is None


def test_picks_come_with_the_name_of_their_curation_and_are_recorded_once(catalog: Catalog) -> None:
    number = put(catalog)
    catalog.put_picks([{**ROW, "curation": number}])
    catalog.put_picks(
        [{**ROW, "curation": number, "rank": 9}, {**ROW, "curation": number, "image": "b" * 32, "rank": 2}]
    )
    catalog.put_picks([])
    rows = catalog.picks()
    assert [(row.name, row.rank, row.image[0]) for row in rows] == [("duck", 1, "a"), ("duck", 2, "b")]
    assert rows[0].parts == ROW["parts"]
    assert catalog.picks(number) == rows
    assert catalog.picks(7) == []


def test_a_models_answer_is_kept_by_picture_prompt_and_model(catalog: Catalog) -> None:
    catalog.put_judgement("a", "p", "m", {"relevance": 8})
    catalog.put_judgement("a", "p", "m", {"relevance": 1})  # the first stands
    catalog.put_judgement("a", "q", "m", {"relevance": 2})
    assert catalog.judgements(["a", "b"], "p", "m") == {"a": {"relevance": 8}}
    assert catalog.judgements([str(n) for n in range(1200)] + ["a"], "q", "m") == {"a": {"relevance": 2}}
    assert catalog.judgements(["a"], "p", "other") == {}


def test_nothing_of_it_changes_what_is_said_of_images(catalog: Catalog) -> None:
    before = catalog.changes()
    number = put(catalog)
    catalog.put_picks([{**ROW, "curation": number}])
    catalog.put_judgement("a", "p", "m", {})
    assert catalog.changes() == before
