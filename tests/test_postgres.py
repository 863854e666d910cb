"""A catalog on PostgreSQL says what one in SQLite says, loses nothing that was acknowledged, and obeys no text."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import sextant
from fakes import FakeEncoder, loader_of, many, opened, pictures, vocabulary
from servers import Postgres
from sextant import database
from sextant.catalog import Catalog, Label, Override
from sextant.collection import Collection
from sextant.errors import CollectionError, MissingExtra, UsageError
from sextant.events import Event, ExperimentRecord, Impression
from sextant.memory import Searched
from sextant.store import Store

NASTY = (
    "'; DROP TABLE labels; --",
    '"; DELETE FROM tags WHERE "a" = "a',
    "\\'; SELECT pg_sleep(9); --",
    "$$; DROP SCHEMA public CASCADE; $$",
    "%s %(name)s :name ? {x}",
    "E'\\x00' || chr(0)",
    "a\tb\nc\u2028d 😀 é é",
)


@pytest.fixture
def catalog(postgres: str) -> Iterator[Catalog]:
    with closing(Catalog(postgres)) as held:
        yield held


def say(catalog: Catalog) -> None:
    """Something through every call that writes."""
    curve = {"kind": "fixed", "params": {"center": 1.0}}
    catalog.put_vocabulary("words.yaml", "base_attributes: []")
    catalog.put_vocabulary("words.yaml", "base_attributes: [1]")
    catalog.put_texts("e@1", {"red": b"\x00\x01", "blue": b"\xff"})
    catalog.put_texts("e@1", {"red": b"other"})
    for number in range(2):
        catalog.put_calibrations("e@1", {"red": (f"hash{number}", curve, "p")}, {"red": {"ece": 0.1 + number}})
    catalog.put_level("e@1", "b", {"centre": [0.5]})
    catalog.put_sample("red", [("a", 0.25, 1), ("b", 1 / 3, 2)])
    catalog.put_sample("red", [("c", 0.5, 1)])
    catalog.put_labels([Label("a", "red", True, "Ada"), Label("b", "red", False), Label("c", "red", True)])
    catalog.put_labels([Label("c", "red", None)])
    catalog.put_overrides([Override("a", "red", False, "Ada", "no"), Override("b", "red", True)])
    catalog.put_overrides([Override("b", "red", None)])
    catalog.put_words({"a": (["Übersee", "aster", "Zoo"], "the sea at night"), "b": (["car"], "")})
    catalog.put_words({"a": (["car"], "the sea by day"), "c": ([], "a car")})
    catalog.drop_tags("a", ["aster"])
    catalog.put_description("c", "")
    first = catalog.suppress("e@1", "scene", 0.95, [[("a", 1.0), ("b", 0.97), ("c", 0.96)]])
    catalog.restore(["b"], run=first)
    number = catalog.put_curation(
        "dogs", "a dog", encoder="e@1", state="prior", request={"k": 1}, shown=[{"id": "a"}], scratch="s"
    )
    pick = dict.fromkeys(("path", "url", "page", "title"), "x") | {"licence": None, "score": 0.5, "parts": [{"p": 1}]}
    for _ in range(2):
        catalog.put_picks([{"curation": number, "image": "a", "rank": 1, "fetched_at": None, **pick}])
    catalog.put_judgement("a", "p", "m", {"fits": True})
    shown = Impression(query="red", hits=[{"id": "a"}], options={"limit": 3}, key="k1")
    keys = {catalog.put_impression(shown), catalog.put_impression(shown)}
    assert len(keys) == 1
    up = Event(kind="up", image="a", impression=keys.pop(), rank=1, person="Ada", code="red", key="e1")
    assert catalog.put_event(up) == catalog.put_event(up)
    with pytest.raises(UsageError, match="used before"):
        catalog.put_event(replace(up, image="b"))
    catalog.put_experiment(ExperimentRecord("x", {"a": 1}, {"b": 2}, 0.5, ""))
    with pytest.raises(UsageError, match="already"):
        catalog.put_experiment(ExperimentRecord("x", {}, {}, 0.5, ""))
    catalog.stop_experiment("x")
    catalog.put_weights("e@1", {"cosine": 0.5}, {"n": 3})
    catalog.put_weights("e@1", None, {})
    for name in ("b", "Ä", "a", "B"):
        catalog.put_favourite(name, "red", {"limit": 2})
    catalog.put_favourite("a", "blue", {})
    catalog.drop_favourites(["B"])


def told(catalog: Catalog) -> dict[str, Any]:
    """What every call that reads then says, without the times."""
    impressions = catalog.impressions()
    return {
        name: _timeless(value)
        for name, value in {
            "vocabulary": catalog.vocabulary(),
            "texts": catalog.texts("e@1", ["red", "blue", "none"]),
            "calibrations": catalog.calibrations("e@1"),
            "history": catalog.history("e@1", "red"),
            "level": catalog.level("e@1", "b"),
            "sample": catalog.sample(["red"]),
            "labels": catalog.labels(),
            "labels proper": catalog.labels(["red"], thumbs=False),
            "overrides": catalog.overrides(["red"]),
            "tags": catalog.tags(),
            "some tags": catalog.tags(["a"]),
            "descriptions": catalog.descriptions(),
            "words": sorted(image for image, _ in catalog.match_words("car", 10)),  # each ranks in its own way
            "suppressed": catalog.suppressed(),
            "runs": catalog.duplicate_runs(),
            "curation": catalog.curation(),
            "curations": catalog.curations(5),
            "picks": catalog.picks(),
            "judgements": catalog.judgements(["a", "b"], "p", "m"),
            "impression": impressions,
            "showings": catalog.showings(since="2000-01-01"),
            "events": catalog.events(shown=[impressions[0].id]),
            "experiments": catalog.experiments(),
            "weights": catalog.weights("e@1"),
            "favourites": catalog.favourites(),
            "changes": catalog.changes(),
        }.items()
    }


def _timeless(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in fields(value) if not f.name.endswith("at")}
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items()}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def test_every_call_answers_as_in_sqlite(catalog: Catalog, tmp_path: Path) -> None:
    with closing(Catalog.beside(tmp_path / "catalog.db")) as other:
        for held in (catalog, other):
            say(held)
        assert told(catalog) == told(other)


def test_history_is_kept_and_forgotten(catalog: Catalog) -> None:
    for number in range(3):
        catalog.put_search(Searched(f"search {number}", {"limit": number}, "prior", 1, 0.5))
    assert [s.text for s in catalog.searches(2)] == ["search 2", "search 1"]
    assert (catalog.drop_searches(), catalog.searches()) == (3, [])


def test_a_search_never_waits_to_be_remembered(catalog: Catalog) -> None:
    with catalog._writing(), pytest.raises(CollectionError, match="another program is writing"):
        catalog.put_search(Searched("meanwhile", {}, "prior", 1, 0.5))
    catalog.put_search(Searched("after", {}, "prior", 1, 0.5))
    assert [s.text for s in catalog.searches()] == ["after"]


def test_a_collection_works_on_it_from_the_first_add(postgres: str, tmp_path: Path) -> None:
    pictures(tmp_path / "pictures", "red", "blue", "yellow", "grey")
    with opened(tmp_path, catalog=postgres) as photos:
        assert photos.add(tmp_path / "pictures").added == 4
        photos.tag(vocabulary(tmp_path))
        assert [row["path"] for row in photos.query("red")] == ["pictures/red.png", "pictures/yellow.png"]
        photos.override(["pictures/red.png"], "red", False)
        assert [row["path"] for row in photos.query("red")] == ["pictures/yellow.png"]
        assert [hit.path for hit in photos.search("blue").hits][:1] == ["pictures/blue.png"]
        photos.add(*many(tmp_path / "more", 20))
        said = {image: place == "pictures/red.png" for place, image in photos.located().items()}
        photos.catalog.put_labels([Label(image, "red", value) for image, value in said.items()])
        assert photos.calibrate(["red"])
        assert [row.code for row in photos.evaluate(["red"])] == ["red"]
    assert not list((tmp_path / ".sextant").glob("catalog.db*"))
    with opened(tmp_path) as again:  # the manifest names it
        assert again.info()["catalog"] == postgres
        assert len(again.catalog.labels()) == 24
        assert "pictures/red.png" not in [row["path"] for row in again.query("red")]


def test_a_password_is_written_nowhere_and_comes_from_the_setting(postgres: str, tmp_path: Path) -> None:
    secret = postgres.replace("sextant@", "sextant:hunter2@")
    pictures(tmp_path, "red")
    with opened(tmp_path, catalog=secret) as photos:
        photos.add(tmp_path)
        assert "hunter2" not in json.dumps(photos.info(), default=str)
    manifest = (tmp_path / ".sextant" / "collection.json").read_text()
    assert "hunter2" not in manifest
    assert json.loads(manifest)["catalog"] == postgres
    with opened(tmp_path, catalog=secret) as photos:
        assert photos.catalog.vocabulary() is None
    with opened(tmp_path, catalog=secret.replace("/postgres", "/other")) as photos, pytest.raises(UsageError):
        photos.info()


@pytest.mark.parametrize("text", NASTY)
def test_no_text_is_ever_a_statement(catalog: Catalog, text: str) -> None:
    say(catalog)
    before = told(catalog)
    catalog.put_words({text: ([text], text)})
    catalog.put_labels([Label(text, text, True, text)])
    catalog.put_overrides([Override(text, text, True, text, text)])
    catalog.put_favourite(text, text, {text: text})
    catalog.put_texts(text, {text: b"x"})
    catalog.match_words(text, 5)
    assert catalog.tags([text]) == {text: [text]}
    assert catalog.descriptions()[text] == text
    assert [label.person for label in catalog.labels([text])] == [text]
    assert [f.options for f in catalog.favourites() if f.name == text] == [{text: text}]
    catalog.drop_tags(text, [text])
    after = told(catalog)
    for name in ("calibrations", "sample", "picks", "events", "experiments", "weights", "suppressed"):
        assert after[name] == before[name]


def test_a_nul_is_refused_with_a_reason(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="NUL"):
        catalog.put_description("a", "before\0after")
    assert catalog.descriptions() == {}


def test_writers_wait_for_each_other_and_none_is_lost(postgres: str) -> None:
    failures: list[Exception] = []

    def write(person: str, order: Callable[[Any], Any]) -> None:
        try:
            with closing(Catalog(postgres)) as own:  # several first openers at once
                for turn in range(8):
                    images = order([f"image{n}" for n in range(20)])
                    own.put_words({image: ([f"{person}{turn}", "shared"], person) for image in images})
                    own.put_sample("red", [(f"{person}{turn}", 0.5, 1)])
                    own.put_texts("e", {f"{image}": b"1" for image in images})
        except Exception as error:  # noqa: BLE001 – to be shown by the test
            failures.append(error)

    threads = [threading.Thread(target=write, args=(p, o)) for p, o in (("a", list), ("b", reversed_list))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with closing(Catalog(postgres)) as catalog:
        assert {len(words) for words in catalog.tags().values()} == {17}
        assert sorted(drawn.batch for drawn in catalog.sample()) == list(range(1, 17))


def reversed_list(items: list[str]) -> list[str]:
    return items[::-1]


def test_a_role_that_may_only_read_is_asked_and_told_so(postgres: str, catalog: Catalog) -> None:
    say(catalog)
    with catalog._engine.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS reader")
        connection.exec_driver_sql("CREATE ROLE reader LOGIN")
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA public TO reader")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    with closing(Catalog(postgres.replace("sextant@", "reader@"))) as reader:
        assert reader.read_only
        reader.put_texts("e@1", {"new": b"1"})  # a cache: left out in silence
        assert told(reader) == told(catalog)
        with pytest.raises(CollectionError, match=r"permission denied.*GRANT"):
            reader.put_labels([Label("a", "red", True)])


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_loses_nothing_that_was_acknowledged(
    postgres_server: Postgres, postgres: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if postgres != postgres_server.url:
        pytest.skip("SEXTANT_TEST_POSTGRES names a server that is not ours to stop")
    acknowledged: list[str] = []
    stopping = threading.Event()
    with closing(Catalog(postgres)) as catalog:

        def write() -> None:
            while not stopping.is_set():
                image = f"image{len(acknowledged):06d}"
                try:
                    catalog.put_labels([Label(image, "red", True)])
                except CollectionError as error:
                    assert "is away" in str(error)  # noqa: PT017 – any other ends the thread, and the test fails below
                    continue
                acknowledged.append(image)

        writer = threading.Thread(target=write)
        writer.start()
        while len(acknowledged) < 20:
            time.sleep(0.01)
        postgres_server.stop(mode)
        before = len(acknowledged)
        postgres_server.start()
        while len(acknowledged) < before + 20 and writer.is_alive():
            time.sleep(0.01)
        stopping.set()
        writer.join()
        kept = {label.image for label in catalog.labels()}
        assert len(acknowledged) >= before + 20
        assert kept.issuperset(acknowledged)
        postgres_server.stop(mode)
        try:
            monkeypatch.setattr(database, "RESTART_SECONDS", 0.2)
            with pytest.raises(CollectionError, match=r"could not be written.*start it, or wait.*same command again"):
                catalog.put_labels([Label("late", "red", True)])
            with pytest.raises(CollectionError, match=r"cannot be opened.*start it, or wait"):
                Catalog(postgres)
        finally:
            postgres_server.start()
        assert not [label for label in catalog.labels() if label.image == "late"]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_collection_goes_on_after_a_restart_in_the_middle_of_a_verb(
    postgres_server: Postgres, postgres: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if postgres != postgres_server.url:
        pytest.skip("SEXTANT_TEST_POSTGRES names a server that is not ours to stop")
    many(tmp_path / "p", 12)
    put_files, restarts = Store.put_files, 0

    def restarting(store: Store, rows: Any) -> None:
        nonlocal restarts
        put_files(store, rows)
        if (restarts := restarts + 1) == 1:
            postgres_server.stop(mode)
            postgres_server.start()

    monkeypatch.setattr(Store, "put_files", restarting)
    with opened(tmp_path, catalog=postgres, batch=2, flush_seconds=0.001) as photos:
        assert photos.add(tmp_path / "p").added == 12
        assert restarts > 1
        photos.tag(vocabulary(tmp_path))
        shown = photos.search("red")
        number = photos.shown(shown)
        postgres_server.stop(mode)
        postgres_server.start()
        hit = shown.hits[0].id
        event = photos.feedback("up", hit, impression=number, code="red", key="k")
        assert photos.feedback("up", hit, impression=number, code="red", key="k") == event
        assert [label.image for label in photos.catalog.labels()] == [hit]
        assert len(photos.query("red or not red")) == 12


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://host/photos", "SQLite or PostgreSQL"),
        ("postgresql://host:port/photos", "cannot be used"),
        ("://", "cannot be used"),
    ],
)
def test_a_url_that_cannot_be_is_refused_before_there_is_a_collection(tmp_path: Path, url: str, message: str) -> None:
    pictures(tmp_path, "red")
    with opened(tmp_path, catalog=url) as photos, pytest.raises(CollectionError, match=message):
        photos.add(tmp_path)
    assert not (tmp_path / ".sextant").exists()


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"sextant-images\[postgres\]"):
        Catalog("postgresql://nobody@127.0.0.1:1/none")


def test_both_ways_to_name_it_are_one(postgres: str, tmp_path: Path) -> None:
    with closing(Catalog(postgres.replace("postgresql://", "postgres://"))) as catalog:
        assert catalog.vocabulary() is None
    with sextant.open(tmp_path, create=True, loader=loader_of(FakeEncoder()), catalog=postgres) as photos:
        assert isinstance(photos, Collection)
