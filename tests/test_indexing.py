"""The verbs `index` and `crops`: what they say, and that what they keep can go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("faiss", reason="the extra `ann` is not installed")

from fakes import VOCABULARY, FakeEncoder, many, opened, vocabulary
from sextant import indexing
from sextant.cli import cli
from sextant.collection import Collection
from sextant.errors import ModelError
from sextant.types import Floats


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    many(tmp_path / "p", 60)
    found = opened(tmp_path, FakeEncoder(), exact_rows=20)
    found.add(tmp_path / "p")
    return found


def test_an_index_says_what_it_finds_and_whether_it_fits(photos: Collection, tmp_path: Path) -> None:
    state = photos.index_state()
    assert (state.images, state.built, state.usable, state.advice) == (60, None, False, "make one: sextant index")
    photos.tag(vocabulary(tmp_path, VOCABULARY))
    state = photos.index()
    assert state.built is not None
    assert set(state.built.recall) == {"phrases", "evidence", "pictures"}
    assert min(state.built.recall.values()) >= 0.98
    assert (state.usable, state.new, state.gone, state.advice) == (True, 0, 0, "")
    many(tmp_path / "p", 20, 100)
    photos.add(tmp_path / "p")
    state = photos.index_state()
    assert (state.usable, state.new, state.gone) == (True, 20, 0)
    assert "faster" in state.advice
    many(tmp_path / "p", 100, 200)
    photos.add(tmp_path / "p")
    assert (photos.index_state().usable, indexing.opened(photos)) == (False, None)
    assert photos.drop_index()
    assert not photos.drop_index()


def test_an_index_of_another_release_is_named_and_made_anew(photos: Collection) -> None:
    photos.index()
    (file,) = (photos.store.root / "cache" / "index").glob("*.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 1}))
    state = photos.index_state()
    assert (state.built, state.usable, state.advice) == (None, False, "it was made by another release: sextant index")
    assert indexing.opened(photos) is None
    assert photos.index().usable


def test_a_small_collection_opens_none(photos: Collection, tmp_path: Path) -> None:
    photos.index()
    assert indexing.opened(photos) is not None
    small = opened(tmp_path, FakeEncoder())
    assert indexing.opened(small) is None
    assert small.index_state().usable


def test_an_index_goes_with_its_encoder(photos: Collection) -> None:
    photos.index()
    other = opened(photos.folder, FakeEncoder(), FakeEncoder("2"))
    other.use("fake@2")
    other.prune()
    assert list((photos.store.root / "cache" / "index").iterdir()) == []


def test_the_cache_can_be_deleted(photos: Collection) -> None:
    photos.index()
    shutil.rmtree(photos.store.root / "cache")
    assert photos.index_state().built is None
    assert indexing.opened(photos) is None


def test_the_verbs_answer_in_json(photos: Collection, tmp_path: Path) -> None:
    photos.close()
    run = CliRunner()

    def asked(*words: str) -> dict[str, object]:
        result = run.invoke(cli, ["-C", str(tmp_path), *words, "--json"])
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout))

    assert asked("index", "--show")["built"] is None
    made = asked("index")  # the encoder cannot be loaded by name, but its background prompts are kept
    assert (made["usable"], made["advice"]) == (True, "")
    assert asked("index", "--drop") == {"dropped": True}
    assert asked("index", "--drop") == {"dropped": False}
    assert run.invoke(cli, ["-C", str(tmp_path), "index", "--drop", "--show"]).exit_code == 2
    table = run.invoke(cli, ["-C", str(tmp_path), "index", "--show"])
    assert "none" in table.stdout


def test_where_no_phrase_can_be_encoded_recall_is_not_claimed(photos: Collection) -> None:
    class Mute(FakeEncoder):
        def encode_texts(self, texts: Sequence[str]) -> Floats:
            raise ModelError("no text tower here")

    photos.catalog.drop_texts("fake@1")
    silent = opened(photos.folder, Mute(), exact_rows=20)
    state = silent.index()
    assert state.built is not None
    assert (state.built.recall, state.usable) == ({}, True)
    assert "recall was not checked" in state.advice


def test_crops_of_a_collection(photos: Collection) -> None:
    report = photos.crops()
    assert (report.added, report.unchanged) == (60, 0)
    assert photos.crops().unchanged == 60
