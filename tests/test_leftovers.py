"""Parts of files that a killed process left go with `vacuum`, and nothing else does."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fakes import opened, pictures
from sextant import leftovers
from sextant.manifest import replacing


def part(path: Path, age: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_vacuum_deletes_old_parts_of_files_and_nothing_else(tmp_path: Path) -> None:
    photos = opened(tmp_path)
    photos.add(*pictures(tmp_path, "red"))
    old = [
        part(tmp_path / place / ".sextant-00ff.part", 7200)
        for place in (".sextant", ".sextant/thumbs/small/aa", "uploads", "picks/dogs", "downloads/example.org")
    ]
    kept = [
        part(tmp_path / ".sextant" / ".sextant-11ff.part", 60),  # somebody may be writing it
        part(tmp_path / ".sextant" / "other.part", 7200),
        part(tmp_path / "holidays" / ".sextant-22ff.part", 7200),  # no folder of ours
    ]
    assert photos.vacuum() >= 25
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)
    assert photos.search("red").hits


def test_a_file_that_is_being_written_has_such_a_name(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    with replacing(tmp_path / "uploads" / "a.jpg") as file:
        file.write(b"123")
        assert leftovers.clear(tmp_path) == 0
        assert len(list(tmp_path.rglob(leftovers.PARTS))) == 1
    assert leftovers.clear(tmp_path, older=0) == 0
    assert (tmp_path / "uploads" / "a.jpg").read_bytes() == b"123"
