"""History and favourites: kept across restarts, bounded, silent where they cannot be kept, and asked again."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from fakes import FakeEncoder, opened, pictures
from sextant import database, history, memory
from sextant.cli import cli
from sextant.collection import Collection
from sextant.errors import UsageError
from sextant.find import Options
from sextant.types import Hit, SearchResult


def answer(*confidences: float | None) -> SearchResult:
    hits = tuple(Hit(str(i), f"{i}.png", 0.1, 4.0, c, "x") for i, c in enumerate(confidences))
    return SearchResult("x", "prior", hits)


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    pictures(tmp_path / "p", "red", "blue", "grey")
    collection = opened(tmp_path, FakeEncoder())
    collection.add(tmp_path / "p")
    return collection


def test_a_search_is_remembered_and_survives_a_restart(photos: Collection) -> None:
    assert history.remember(photos, "red", Options(limit=3, negatives=("blue",)), answer(0.25, 0.5))
    assert history.remember(photos, "grey", {"where": "width > 1"}, answer())
    photos.close()
    again = opened(photos.folder, FakeEncoder())
    grey, red = again.history()[:2]
    assert (red.text, red.options, red.state, red.hits, red.best) == (
        "red", {"limit": 3, "negatives": ["blue"]}, "prior", 2, 0.5
    )  # fmt: skip
    assert (grey.text, grey.hits, grey.best) == ("grey", 0, None)
    assert [s.text for s in again.history(1)] == ["grey"]
    assert again.forget(history=True) == 2
    assert again.history() == []
    with pytest.raises(UsageError, match="limit must be at least 1"):
        again.history(0)


def test_the_history_is_bounded(photos: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEPT", 5)
    for number in range(12):
        history.remember(photos, str(number), {}, answer())
    assert [s.text for s in photos.history()] == ["11", "10", "9", "8", "7"]


@pytest.mark.sqlite("another program holds the file; test_postgres.py has the like of it")
def test_a_search_never_waits_to_be_remembered(photos: Collection) -> None:
    holder = sqlite3.connect(photos.folder / ".sextant" / "catalog.db", isolation_level=None)
    history.remember(photos, "before", {}, answer())
    holder.execute("begin immediate")
    begun = time.perf_counter()
    assert not history.remember(photos, "meanwhile", {}, answer(1.0))
    assert time.perf_counter() - begun < database.BUSY_SECONDS  # the minute that other writers wait
    holder.execute("rollback")
    holder.close()
    assert history.remember(photos, "after", {}, answer(1.0))
    assert [s.text for s in photos.history()][:2] == ["after", "before"]


@pytest.mark.sqlite("its pragmas")
def test_other_writers_wait_as_before(photos: Collection) -> None:
    history.remember(photos, "red", {}, answer())
    with photos.catalog._engine.connect() as connection:
        assert connection.exec_driver_sql("pragma busy_timeout").scalar() == 60_000
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2


def test_remembering_changes_no_answer(photos: Collection) -> None:
    before = photos.catalog.changes()
    history.remember(photos, "red", {}, answer())
    photos.favour("r", "red")
    assert photos.catalog.changes() == before


def test_what_can_only_be_read_has_no_history(photos: Collection) -> None:
    photos.catalog.read_only = True
    assert not history.remember(photos, "red", {}, answer())
    assert "red" not in [s.text for s in photos.history()]


# favourites


def test_a_favourite_is_asked_again_with_its_options(photos: Collection) -> None:
    photos.favour(" reds ", "red", limit=2, negatives=["blue"])
    photos.close()
    again = opened(photos.folder, FakeEncoder())
    (kept,) = again.favourites()
    assert (kept.name, kept.text, kept.options) == ("reds", "red", {"limit": 2, "negatives": ["blue"]})
    assert again.repeat("reds").hits == again.search("red", limit=2, negatives=["blue"]).hits
    assert len(again.repeat("reds", limit=1).hits) == 1
    again.favour("reds", "dark red")
    assert [(f.text, f.options) for f in again.favourites()] == [("dark red", {})]
    assert again.forget("reds") == 1
    assert again.favourites() == []


@pytest.mark.parametrize(
    ("name", "text", "options", "words"),
    [
        ("", "red", {}, "the name is empty"),
        ("a", "  ", {}, "the text is empty"),
        ("a\nb", "red", {}, "one line"),
        ("a" * 201, "red", {}, "at most 200"),
        ("a", "red", {"limt": 3}, "no option 'limt'. Did you mean 'limit'"),
    ],
)
def test_what_is_no_favourite(photos: Collection, name: str, text: str, options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        photos.favour(name, text, **options)
    assert photos.favourites() == []


def test_an_unknown_favourite_is_refused_with_the_nearest(photos: Collection) -> None:
    photos.favour("evening", "red")
    for ask in (photos.repeat, photos.forget):
        with pytest.raises(UsageError, match=r"no favourite 'evenin'\. Did you mean 'evening'"):
            ask("evenin")
    with pytest.raises(UsageError, match="no favourite"):
        photos.forget("evening", "morning")
    assert [f.name for f in photos.favourites()] == ["evening"]


# the command line


@pytest.fixture
def run(photos: Collection, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    photos.close()
    monkeypatch.setattr("sextant.collection.load_model", lambda *_: FakeEncoder())
    monkeypatch.chdir(photos.folder)
    return CliRunner()


def test_favourites_by_command(run: CliRunner) -> None:
    said = run.invoke(cli, ["favourite", "add", "reds", "red", "-k", "2", "--where", "width > 1", "--json"])
    assert json.loads(said.stdout) == {"name": "reds", "text": "red", "options": {"limit": 2, "where": "width > 1"}}
    assert json.loads(run.invoke(cli, ["favourite", "list", "--json"]).stdout)[0]["name"] == "reds"
    assert "limit 2" in run.invoke(cli, ["favourite", "list"]).stdout
    assert run.invoke(cli, ["favourite", "list", "--csv"]).stdout.startswith("name,text,options,at")
    asked = json.loads(run.invoke(cli, ["favourite", "run", "reds", "--json"]).stdout)
    assert (len(asked["hits"]), asked["hits"][0]["path"]) == (2, "p/red.png")
    assert run.invoke(cli, ["favourite", "run", "reds", "-k", "1", "--paths"]).stdout == "p/red.png\n"
    assert run.invoke(cli, ["favourite", "remove", "reds"]).stdout == "1 favourite forgotten\n"
    assert "no favourite yet" in run.invoke(cli, ["favourite", "list"]).stderr
    assert run.invoke(cli, ["favourite", "run", "reds"]).exit_code == 2
    assert run.invoke(cli, ["favourite", "add", "reds"]).exit_code == 2
    assert run.invoke(cli, ["favourite", "add", "reds", "red", "--last"]).exit_code == 2


def test_history_by_command(run: CliRunner, photos: Collection) -> None:
    assert "nothing was searched for yet" in run.invoke(cli, ["history"]).stderr
    assert run.invoke(cli, ["favourite", "add", "x", "--last"]).exit_code == 2
    history.remember(photos, "red", {"limit": 7}, answer(0.5))
    photos.close()
    (row,) = json.loads(run.invoke(cli, ["history", "--json"]).stdout)
    assert (row["text"], row["options"], row["hits"], row["best"]) == ("red", {"limit": 7}, 1, 0.5)
    assert "limit 7" in run.invoke(cli, ["history"]).stdout
    assert run.invoke(cli, ["history", "--csv"]).stdout.startswith("at,text,options,state,hits,best")
    assert run.invoke(cli, ["favourite", "add", "last", "--last"]).stdout == "last: red\n"
    assert json.loads(run.invoke(cli, ["favourite", "list", "--json"]).stdout)[0]["options"] == {"limit": 7}
    assert run.invoke(cli, ["history", "--clear"]).stdout == "1 search forgotten\n"
