"""What people said, in SQLite: migrations, locks, read-only folders, and words that several write at once."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fakes import readable_by_all
from sextant import database
from sextant.catalog import Catalog, Override
from sextant.errors import CollectionError
from sextant.schema import MIGRATIONS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def catalog(file: Path) -> Catalog:
    return Catalog.beside(file)


def test_opening_twice_migrates_once(file: Path) -> None:
    for _ in range(2):
        Catalog.beside(file).close()
    rows = sqlite3.connect(file).execute("select version from migrations order by 1").fetchall()
    assert rows == [(n + 1,) for n in range(len(MIGRATIONS))]
    assert sqlite3.connect(file).execute("pragma journal_mode").fetchone() == ("wal",)


def test_an_old_catalog_is_brought_up_to_date_with_what_it_holds(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS[:1])
    Catalog.beside(file).close()
    monkeypatch.undo()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("insert into vocabularies (name, text, at) values ('a', 'text', '')")
    new = Catalog.beside(file)
    assert new.vocabulary() == ("a", "text")
    assert new.labels() == []


def test_a_migration_that_fails_leaves_the_version_before(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Catalog.beside(file).close()

    def breaks(connection: object) -> None:
        connection.exec_driver_sql("create table half (x)")  # type: ignore[attr-defined]
        connection.exec_driver_sql("rubbish")  # type: ignore[attr-defined]

    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, breaks))
    with pytest.raises(CollectionError, match="cannot be opened"):
        Catalog.beside(file)
    monkeypatch.undo()
    Catalog.beside(file).close()
    tables = {name for (name,) in sqlite3.connect(file).execute("select name from sqlite_master")}
    assert "half" not in tables


def test_a_newer_catalog_is_refused(file: Path) -> None:
    Catalog.beside(file).close()
    with sqlite3.connect(file) as connection:
        connection.execute("insert into migrations values (99, 'then')")
    with pytest.raises(CollectionError, match=rf"of version 99, this program knows {len(MIGRATIONS)}\. Update sextant"):
        Catalog.beside(file)


def _open_and_write(file: str, start: object, number: int) -> None:
    start.wait()  # type: ignore[attr-defined]
    catalog = Catalog.beside(Path(file))
    for k in range(20):
        catalog.put_tags("image", ["shared", f"own-{number}-{k}"])
        catalog.put_texts("e", {"shared": b"1", f"{number}-{k}": b"2"})
        catalog.put_overrides([Override("image", f"code-{number}", bool(k % 2))])
    catalog.close()


def test_several_first_openers_and_writers_lose_nothing(file: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sextant.catalog"])
    with context.Manager() as manager:
        start = manager.Event()
        tasks = [context.Process(target=_open_and_write, args=(str(file), start, n)) for n in range(4)]
        for task in tasks:
            task.start()
        start.set()
        for task in tasks:
            task.join(60)
    assert [task.exitcode for task in tasks] == [0] * 4
    catalog = Catalog.beside(file)
    assert len(catalog.tags()["image"]) == 81
    assert len(catalog.texts("e", ["shared", *(f"{n}-{k}" for n in range(4) for k in range(20))])) == 81
    assert [(o.code, o.value) for o in catalog.overrides()] == [(f"code-{n}", True) for n in range(4)] or {
        (o.code, o.value) for o in catalog.overrides()
    } == {(f"code-{n}", True) for n in range(4)}


def test_a_locked_database_is_waited_for_and_then_named(
    file: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.put_tags("a", ["x"])
    catalog.close()
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    impatient = Catalog.beside(file)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("begin immediate")
    with pytest.raises(CollectionError, match="could not be written: database is locked; another program holds it"):
        impatient.put_tags("a", ["y"])
    assert impatient.tags() == {"a": ["x"]}, "readers do not wait for writers"
    holder.execute("rollback")
    impatient.put_tags("a", ["y"])
    assert impatient.tags() == {"a": ["x", "y"]}
    holder.close()


@pytest.mark.parametrize("content", [b"this is not a database at all, but a text", os.urandom(5000)])
def test_a_file_that_is_no_database_is_named_with_a_remedy(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(CollectionError, match=r"catalog\.db: the catalog cannot be opened: .*restore it from a backup"):
        Catalog.beside(file)


@pytest.mark.parametrize("name", ["what?.db", "50%.db", "a#b.db", "ü b.db", "a&b=c.db"])
def test_any_folder_name_will_do(tmp_path: Path, name: str) -> None:
    catalog = Catalog.beside(tmp_path / name)
    catalog.put_tags("a", ["x"])
    catalog.close()
    assert (tmp_path / name).is_file()


def test_a_password_is_never_shown() -> None:
    with pytest.raises(CollectionError) as raised:
        Catalog("postgresql+nothing://ada:secret@host/db")
    assert "secret" not in str(raised.value)
    with pytest.raises(CollectionError, match="URL cannot be used"):
        Catalog("no url")


READ_ONLY = """
import os, sys
from pathlib import Path
import sqlalchemy.dialects.sqlite, sqlite3
from sextant.catalog import Catalog
from sextant.errors import CollectionError
os.setgid(65534); os.setuid(65534)
catalog = Catalog.beside(Path(sys.argv[1]))
print(catalog.tags())
try:
    catalog.put_tags("a", ["y"])
except CollectionError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize("writer_is_there", [False, True])
def test_a_folder_that_cannot_be_written_can_be_read(file: Path, catalog: Catalog, writer_is_there: bool) -> None:
    catalog.put_tags("a", ["x"])
    if not writer_is_there:
        catalog.close()
    assert file.with_name("catalog.db-wal").exists() == writer_is_there
    with readable_by_all(file.parent) as folder:
        command = [sys.executable, "-c", READ_ONLY, str(folder / file.name)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[0] == "{'a': ['x']}"
    assert "could not be written: attempt to write a readonly database; allow writing" in run.stdout
    catalog.close()


# what is kept


def test_vocabularies_stay_on_record_and_the_last_one_holds(catalog: Catalog, file: Path) -> None:
    assert catalog.vocabulary() is None
    for text in ("one", "one", "two"):
        catalog.put_vocabulary("v", text)
    assert catalog.vocabulary() == ("v", "two")
    assert sqlite3.connect(file).execute("select text from vocabularies").fetchall() == [("one",), ("two",)]


def test_phrases_are_kept_by_encoder_many_at_a_time(catalog: Catalog) -> None:
    many = {f"phrase {i}": bytes([i % 256]) for i in range(2500)}
    catalog.put_texts("e1", many)
    catalog.put_texts("e1", {})
    assert catalog.texts("e1", [*many, "new"]) == many
    assert catalog.texts("e2", list(many)) == {}
    catalog.drop_texts("e1")
    assert catalog.texts("e1", list(many)) == {}


def test_calibrations_are_appended_when_they_differ_and_never_rewritten(catalog: Catalog) -> None:
    for center in (25.5, 25.5, 20.0):
        catalog.put_calibrations("e", {"red": (f"hash{center}", {"kind": "fixed", "params": {"center": center}}, "p")})
    assert [r.calibration["params"]["center"] for r in catalog.history("e", "red")] == [25.5, 20.0]
    assert catalog.calibrations("e")["red"].hash == "hash20.0"
    catalog.put_calibrations("e", {"red": ("hash20.0", {"kind": "fixed", "params": {}}, "other prompts")})
    assert catalog.calibrations("e")["red"].prompt_hash == "other prompts"
    assert catalog.calibrations("other") == {}


def test_the_newest_word_on_a_cell_holds_and_can_be_withdrawn(catalog: Catalog) -> None:
    catalog.put_overrides([Override("i", "red", True, "ada", "sure"), Override("i", "blue", False)])
    catalog.put_overrides([Override("i", "red", False, "bob")])
    assert [(o.code, o.value, o.person) for o in catalog.overrides()] == [("blue", False, None), ("red", False, "bob")]
    assert [o.code for o in catalog.overrides(["red"])] == ["red"]
    catalog.put_overrides([Override("i", "red", None)])
    assert [o.code for o in catalog.overrides()] == ["blue"]
    catalog.put_overrides([])


def test_tags_and_descriptions_are_written_together_or_not_at_all(catalog: Catalog) -> None:
    catalog.put_words({"a": (["x", "x", "y"], "said"), "b": ([], ""), "c": (["z"], "")})
    assert (catalog.tags(), catalog.tags(["a"]), catalog.descriptions()) == (
        {"a": ["x", "y"], "c": ["z"]},
        {"a": ["x", "y"]},
        {"a": "said"},
    )
    with pytest.raises(CollectionError, match="could not be written"):
        catalog.put_words({"d": (["x"], ""), "e": ([], object())})  # type: ignore[dict-item]
    assert "d" not in catalog.tags()
    catalog.drop_tags("a", ["x"])
    catalog.put_description("a", "")
    catalog.put_description("c", "new")
    catalog.put_description("c", "newer")
    assert (catalog.tags(["a"]), catalog.descriptions()) == ({"a": ["y"]}, {"c": "newer"})
