"""A machine that fails in the middle: full disks, few open files, folders that move or close, clocks that jump.

`benchmarks/troubles.py` does more of each, with every verb.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from pathlib import Path

import pytest

from fakes import VOCABULARY, many, opened, readable_by_all
from sextant import database, leftovers, tables
from sextant.collection import Collection
from sextant.curate import Options
from sextant.curate.gates import Gates
from sextant.errors import CollectionError, SextantError
from sextant.index import parts
from sextant.vocabulary import parse

ORANGE = VOCABULARY.replace("description: red", "description: orange")
FAKES = str(Path(__file__).parent)


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    return tagged(tmp_path / "c")


def tagged(folder: Path) -> Collection:
    many(folder / "p", 24)
    found = opened(folder)
    found.add(folder / "p")
    found.tag(parse(VOCABULARY, "v.yaml"))
    return found


def in_a_process(code: str, folder: Path, **given: object) -> str:
    """What a process of its own prints; `code` finds the collection as `photos`, all imported."""
    head = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import lance, resource, os, sextant.collection, sextant.images, sextant.question, sextant.find, fakes\n"
        "import sextant.add, sextant.tag\n"
        "from pathlib import Path\nfrom sextant.errors import SextantError\n"
        "from sextant.vocabulary import parse\nfolder = Path(sys.argv[2])\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", head + code, FAKES, str(folder), *map(str, given.values())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# a disk without room


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB, where one can be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=False)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, free: int) -> None:
    """Leaves so many bytes."""
    (disk / "filler").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - free)))


def say_much(photos: Collection) -> None:
    for k in range(200):
        photos.describe("p/00000.png", tags=[f"{k} {'x' * 4000}"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems")
@pytest.mark.parametrize("free", [0, 16_384, 65_536])
def test_on_a_full_disk_a_collection_answers_and_what_cannot_be_written_says_so(disk: Path, free: int) -> None:
    tagged(disk / "c").close()
    many(disk / "more", 12, 100)
    fill(disk, free)
    with opened(disk / "c") as photos:
        assert len(photos.query("width > 0")) == 24
        assert photos.search("red").hits, "neither its history nor its cache may stop a search"
        assert photos.info()["images"] == 24
        with pytest.raises(CollectionError, match="make room"):
            say_much(photos)
    (disk / "filler").unlink()
    with opened(disk / "c") as photos:
        photos.add(disk / "more")
        photos.describe("p/00000.png", tags=["room"])
        assert len(photos.query("width > 0")) == 36
        assert "room" in photos.catalog.tags()[photos.located()["p/00000.png"]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_an_index_that_finds_no_room_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    tagged(tmp_path / "c").close()
    with opened(tmp_path / "c", exact_rows=10) as photos:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parts, "_names", lambda folder, number: (Path("/dev/full"), folder / f"{number}.npy"))
            with pytest.raises(CollectionError, match="cannot be written: No space left on device"):
                photos.index()
        assert not [path for path in (photos.store.root / "cache").rglob("*") if path.suffix in (".npy", ".faiss")]
        assert photos.search("red").hits
        assert photos.index().images == 24


# a run that ends in the middle


@pytest.mark.parametrize("done", [0, 1, 2])
def test_images_that_were_half_deleted_go_with_the_next_prune(
    photos: Collection, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = sorted(photos.located().items())[:5]
    delete, calls = tables.delete, count()

    def killed(*given: object) -> None:
        if next(calls) == done:
            raise KeyboardInterrupt
        delete(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(tables, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            photos.store.drop_images([image for _, image in gone])
    photos.store.drop_files([path for path, _ in gone])
    photos.prune()
    assert len(photos.vectors) == photos.store.images(["id"]).num_rows == 19


# open files


FILES = """
photos = fakes.opened(folder)
photos.search("red")
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
asks = (lambda: photos.search("a blue thing"), lambda: photos.tag(parse(sys.argv[3], "w.yaml")),
        lambda: photos.add(folder / "more"), lambda: fakes.opened(folder).describe("p/00000.png", tags=["x"]))
for room in (0, 1, 2, 3, 5, soft):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    highest = max(map(int, os.listdir("/proc/self/fd")))  # the one that lists them, which is free again afterwards
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, highest + room), hard))
    for ask in asks:
        try:
            ask()
            print("fine")
        except SextantError as error:
            print("message:", str(error).replace("\\n", " "))
        except BaseException as error:
            print("UNEXPECTED", type(error).__name__, error)
"""


def test_too_many_open_files_end_in_a_message_that_names_the_limit(photos: Collection, tmp_path: Path) -> None:
    photos.close()
    many(tmp_path / "c" / "more", 4, 100)
    said = in_a_process(
        FILES, tmp_path / "c", words=VOCABULARY.replace("description: red", "description: orange")
    ).splitlines()
    assert said[-4:] == ["fine"] * 4
    refused = [line for line in said if line != "fine"]
    assert refused
    assert all(line.startswith("message:") and "ulimit -n" in line for line in refused), "\n".join(refused)
    with opened(tmp_path / "c") as again:
        assert len(again.query("width > 0")) == 28


# folders that move, or close


def attempts(photos: Collection, folder: Path) -> list[str]:
    """Tries everything that reads or writes; what was refused."""
    found: list[str] = []
    tries: list[Callable[[], object]] = [
        lambda: photos.query("width > 0"),
        lambda: photos.search("a green thing"),
        lambda: photos.tag(parse(ORANGE, "w.yaml")),
        lambda: photos.add(folder / "p"),
        lambda: photos.override("p/00000.png", "red", True),
        photos.vacuum,
        photos.prune,
    ]
    for attempt in tries:
        try:
            attempt()
        except SextantError as error:
            found.append(str(error))
    return found


def test_a_collection_that_was_moved_while_open_says_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    tagged(tmp_path / "c").close()
    photos = opened(tmp_path / "c")
    photos.search("red")
    (tmp_path / "c").rename(tmp_path / "away")
    refused = attempts(photos, tmp_path / "away")
    assert len(refused) >= 6
    assert all("-C" in text for text in refused), "\n".join(refused)
    assert not (tmp_path / "c" / ".sextant").exists()
    with opened(tmp_path / "away") as there:
        assert len(there.query("width > 0")) == 24
    (tmp_path / "away").rename(tmp_path / "c")
    assert attempts(photos, tmp_path / "c") == []


def test_picks_are_not_kept_where_a_collection_was(photos: Collection, tmp_path: Path) -> None:
    many(tmp_path / "outside", 6, 400)
    easy = Options(
        fold=False,
        gates=Gates(side=0, aspect=1e9, darkness=2.0, spread=0.0, sharpness=0.0, confidence=0.0, relevance=0.0),
    )
    photos.curate("red", tmp_path / "outside", options=easy)
    (tmp_path / "c").rename(tmp_path / "away")
    with pytest.raises(CollectionError, match=r"moved.* with -C"):
        photos.keep(1, 2)
    assert not (tmp_path / "c").exists()
    (tmp_path / "away").rename(tmp_path / "c")
    assert len(photos.keep(1, 2).picks) == 2


CLOSED = """
photos = fakes.opened(folder)
photos.search("red")
for path in (folder, *folder.rglob("*")):
    path.chmod(0o555 if path.is_dir() else 0o444)
os.setuid(65534)
words = parse(sys.argv[3], "w.yaml")
for ask in (lambda: photos.query("width > 0"), lambda: photos.search("a blue thing"), lambda: photos.tag(words),
            lambda: photos.add(folder / "p"), photos.vacuum):
    try:
        ask()
        print("fine")
    except SextantError as error:
        print("message:", str(error).replace("\\n", " "))
    except BaseException as error:
        print("UNEXPECTED", type(error).__name__, error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
def test_a_permission_that_is_lost_ends_in_a_message_and_reading_goes_on(photos: Collection) -> None:
    photos.close()
    with readable_by_all(photos.folder) as folder:
        said = in_a_process(CLOSED, folder, words=ORANGE)
    lines = said.splitlines()
    assert lines[:2] == ["fine", "fine"]
    assert all(line.startswith("message:") and "allow" in line.lower() for line in lines[2:]), said


# clocks that jump


def test_a_clock_that_jumps_changes_nobodys_last_word(photos: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    days = cycle([0, -4000, 9000, -1, 300, -9000, 2, -2])

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=next(days))

    monkeypatch.setattr(database, "datetime", Jumping)
    paths = sorted(photos.located())
    for value in (True, False, None, True):
        photos.override(paths[0], "red", value)
    assert [o.value for o in photos.catalog.overrides()] == [True]
    for value in (True, False):
        for path in paths[:5]:
            photos.label(path, "red", value, person="ada")
        assert {label.value for label in photos.catalog.labels(["red"])} == {value}
    for center in (20.0, 21.0, 22.0):
        tuner = photos.tuner("red")
        tuner.set(center, 1.5)
        tuner.save()
        held = photos.catalog.calibrations(photos.vectors.name)["red"].calibration["params"]
        assert held["center"] == center
    photos.tag(parse(VOCABULARY, "second.yaml"))
    assert (photos.catalog.vocabulary() or ("",))[0] == "second.yaml"
    shown = photos.shown(photos.search("red"))
    hit = photos.search("red").hits[0].id
    first = photos.feedback("clicked", hit, impression=shown, key="k")
    assert photos.feedback("clicked", hit, impression=shown, key="k") == first
    assert photos.metrics() is not None
    assert photos.vacuum() >= 0
    assert len(photos.query("width > 0")) == 24


def test_what_the_future_wrote_is_left_alone(tmp_path: Path) -> None:
    part = tmp_path / ".sextant" / ".sextant-00ff.part"
    part.parent.mkdir()
    part.touch()
    ahead = datetime.now(UTC).timestamp() + 1e6
    os.utime(part, (ahead, ahead))
    assert leftovers.clear(tmp_path) == 0
    assert part.exists()
