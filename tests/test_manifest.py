"""`collection.json`: replaced whole, found from below, refused in words when it is damaged."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from sextant import manifest
from sextant.errors import CollectionError
from sextant.manifest import Manifest


def test_what_is_written_is_read(tmp_path: Path) -> None:
    held = Manifest().with_encoder(encoder="a@1", dim=3, logit_scale=100.0, logit_bias=-16.5, model="mini")
    manifest.write(tmp_path, held)
    assert manifest.read(tmp_path) == held
    assert manifest.find(tmp_path) == tmp_path
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert manifest.find(tmp_path / "a" / "b") == tmp_path


def test_making_a_collection_leaves_one_that_is_there(tmp_path: Path) -> None:
    manifest.create(tmp_path)
    assert manifest.read(tmp_path) == Manifest()
    manifest.write(tmp_path, Manifest(encoder="a@1"))
    manifest.create(tmp_path)
    assert manifest.read(tmp_path).encoder == "a@1"
    assert sorted(p.name for p in (tmp_path / ".sextant").iterdir()) == ["collection.json"]


def test_many_makers_at_once_make_one(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def make() -> None:
        try:
            manifest.create(tmp_path)
            manifest.read(tmp_path)
        except BaseException as error:  # noqa: BLE001 – any error is what this looks for
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(p.name for p in (tmp_path / ".sextant").iterdir()) == ["collection.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "is not the manifest"),
        ("{}", "is not the manifest"),
        ('{"format": "1"}', "is not the manifest"),
        ('{"format": 99}', "is of format 99; this program knows 1. Update sextant"),
        ('{"format": 1, "encoder": 5}', "is damaged: 'encoder' cannot be 5"),
        ('{"format": 1, "dim": "3"}', "is damaged: 'dim' cannot be '3'"),
        ('{"format": 1, "logit_scale": null}', "is damaged: 'logit_scale' cannot be None"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_damaged_manifest_is_refused_in_words(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / ".sextant" / "collection.json"
    file.parent.mkdir()
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(CollectionError, match=message) as raised:
        manifest.read(tmp_path)
    assert "collection.json" in str(raised.value)


def test_unknown_keys_of_the_same_format_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".sextant").mkdir()
    (tmp_path / ".sextant" / "collection.json").write_text(json.dumps({"format": 1, "colour": "red"}))
    assert manifest.read(tmp_path) == Manifest()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CollectionError, match=r"file/\.sextant: cannot be written: Not a directory\. Allow writing"):
        manifest.create(tmp_path / "file")
    with pytest.raises(CollectionError, match="no collection here; `sextant add` makes one"):
        manifest.read(tmp_path)


def test_a_replacement_that_breaks_off_leaves_the_old_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_text("old")

    def breaks_off() -> None:
        with manifest.replacing(target) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        breaks_off()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_file_has_the_rights_that_the_person_gives_new_files(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with manifest.replacing(tmp_path / "x") as file:
            file.write(b"secret")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["/home/ada/places.sqlite", "../other.db", "a/../../b.db"])
def test_a_catalog_lies_inside(tmp_path: Path, name: str) -> None:
    manifest.write(tmp_path, manifest.Manifest(catalog=name))
    with pytest.raises(CollectionError, match="outside of the collection"):
        manifest.read(tmp_path)
