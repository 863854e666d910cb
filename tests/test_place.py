"""Places in buckets, a whole collection in one, and an object store that fails, refuses and dawdles."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import sextant
from fakes import FakeEncoder, loader_of, many, picture, vocabulary
from object_store import ObjectStore
from sextant import manifest, place
from sextant.catalog import Label
from sextant.collection import Collection
from sextant.errors import CollectionError, UsageError
from sextant.place import Bucket

HERE = "s3://photos/archive"


def opened(encoder: FakeEncoder | None = None, **settings: object) -> Collection:
    return sextant.open(HERE, create=True, loader=loader_of(encoder or FakeEncoder()), **settings)


def put(folder: Path) -> None:
    """Copies files into the bucket."""
    for file in sorted(folder.iterdir()):
        place.write(Bucket.at(f"{HERE}/pictures/{file.name}"), file.read_bytes())


# places


@pytest.mark.parametrize("url", ["s3://photos", "s3://photos/", "s3://photos/a/b c/é", "s3://photos/.sextant/x.lance/"])
def test_a_place_is_its_url_without_a_slash_at_the_end(url: str) -> None:
    assert str(Bucket.at(url)) == url.rstrip("/")
    assert Bucket.at("s3://photos") / "a" / "b.png" == Bucket.at("s3://photos/a/b.png")
    assert (Bucket.at("s3://photos/a/b.png").name, Bucket.at("s3://photos/a/b.png").stem) == ("b.png", "b")


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:///a", "s3://P/a", "s3://photos/../etc", "s3://photos/a//b", "s3://photos/./a", "s3://photos/\0"],
)
def test_what_steps_out_of_its_prefix_or_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no place in a bucket"):
        Bucket.at(url)


def test_this_machines_folder_stays_below_its_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEXTANT_HOME", str(tmp_path))
    assert place.home(Bucket.at("s3://photos/a/b")) == tmp_path.resolve() / "s3" / "photos" / "a" / "b"


def test_objects_are_put_read_listed_and_deleted(s3: ObjectStore) -> None:
    top = Bucket.at(HERE)
    assert (list(place.below(top)), place.children(top), place.is_gone(top / "x")) == ([], [], True)
    for name in ("b/2", "a", "b/1"):
        place.write(top / name, name.encode())
    assert [item.place.url for item in place.below(top)] == [f"{HERE}/{name}" for name in ("a", "b/1", "b/2")]
    assert place.children(top) == [top / "a", top / "b"]
    assert (place.read(top / "b" / "1"), place.size(top), place.is_gone(top / "a")) == (b"b/1", 7, False)
    place.write(top / "a", b"anew")
    assert place.read(top / "a") == b"anew"
    place.delete(top / "b")
    assert [item.bytes for item in place.below(top)] == [4]
    with pytest.raises(FileNotFoundError):
        place.read(top / "b" / "1")


# a collection


def test_a_collection_in_a_bucket_from_the_first_add_to_export(s3: ObjectStore, tmp_path: Path) -> None:
    for colour in ("red", "blue", "yellow", "grey"):
        picture(tmp_path / "own" / f"{colour}.png", colour)
    (tmp_path / "own" / "broken.png").write_bytes(b"no picture")
    put(tmp_path / "own")
    encoder = FakeEncoder()
    with opened(encoder) as photos:
        report = photos.add(f"{HERE}/pictures")
        assert (report.added, [s.path for s in report.skipped]) == (4, [f"{HERE}/pictures/broken.png"])
        photos.tag(vocabulary(tmp_path))
        assert {row["path"] for row in photos.query("red")} == {f"{HERE}/pictures/{c}.png" for c in ("red", "yellow")}
        assert photos.search("blue").hits[0].path == f"{HERE}/pictures/blue.png"
        assert photos.similar(f"{HERE}/pictures/red.png").hits[0].path == f"{HERE}/pictures/yellow.png"
        assert list(photos.sql("SELECT count(*) AS n FROM images")) == [{"n": 4}]
        photos.catalog.put_labels([Label(i, "red", p.endswith("red.png")) for p, i in photos.located().items()])
        assert photos.export(tmp_path / "out.csv") == 4
        assert photos.export_images(tmp_path / "folder") == (4, ())
        assert len(list((tmp_path / "folder").rglob("*.png"))) == 4
        assert photos.info()["folder"] == HERE
        assert photos.vacuum() > 0
        assert len(photos.query("warm or not warm")) == 4
    assert not list((tmp_path / "home").rglob("*.lance"))
    held = json.loads(place.read(Bucket.at(HERE) / manifest.FOLDER / "collection.json"))
    assert held["encoder"] == "fake@1"
    with opened(again := FakeEncoder()) as photos:  # nothing is read or encoded twice
        report = photos.add(f"{HERE}/pictures")
        assert (report.unchanged, again.images) == (4, 0)
        assert len(photos.catalog.labels()) == 4


def test_what_left_the_bucket_is_reported_and_dropped(s3: ObjectStore, tmp_path: Path) -> None:
    many(tmp_path / "own", 3)
    put(tmp_path / "own")
    with opened() as photos:
        photos.add(f"{HERE}/pictures")
        gone = Bucket.at(f"{HERE}/pictures/00001.png")
        place._files().delete_file(gone.path)
        assert photos.add(f"{HERE}/pictures").missing_paths == (str(gone),)
        assert photos.add(f"{HERE}/pictures", drop_missing=True).dropped == 1
        assert len(photos.view()) == 2
        moved = Bucket.at(f"{HERE}/elsewhere/a.png")
        place.write(moved, place.read(Bucket.at(f"{HERE}/pictures/00002.png")))
        place._files().delete_file(f"{gone.path[:-9]}00002.png")
        report = photos.add(f"{HERE}/elsewhere")
        assert (report.moved, report.encoded) == (1, 0)


def test_two_encoders_lie_side_by_side_and_one_can_go(s3: ObjectStore, tmp_path: Path) -> None:
    many(tmp_path / "own", 4)
    put(tmp_path / "own")
    first, second = FakeEncoder("1"), FakeEncoder("2")
    with sextant.open(HERE, create=True, loader=loader_of(first, second)) as photos:
        photos.add(f"{HERE}/pictures")
        photos.tag(vocabulary(tmp_path))
        assert photos.use("fake@2").encoded == 4
        assert photos.store.encoders() == ["fake@1", "fake@2"]
        assert photos.prune()["encoders"] == ["fake@1"]
        assert photos.store.encoders() == ["fake@2"]
        assert [i for i in place.below(Bucket.at(HERE)) if "fake@1" in str(i.place)] == []
        assert len(photos.query("not red")) == 4


def test_its_words_are_in_postgresql_and_every_machine_sees_them(
    s3: ObjectStore, postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(tmp_path / "own", 3)
    put(tmp_path / "own")
    with opened(catalog=postgres) as photos:
        photos.add(f"{HERE}/pictures")
        photos.tag(vocabulary(tmp_path))
    monkeypatch.setenv("SEXTANT_HOME", str(tmp_path / "another machine"))
    with opened() as photos:
        assert photos.vocabulary is not None
        assert len(photos.query("not red")) == 3
        lock = photos.store._lock()
        with photos.store.writing(), photos.store.writing():
            monkeypatch.setattr("sextant.edges.LOCK_SECONDS", 0.2)
            with opened() as other, pytest.raises(CollectionError, match="another process has been writing"):
                other.store.drop_files(["x"])
        assert lock is photos.store._lock()
        photos.add(f"{HERE}/pictures")


def test_a_catalog_that_is_a_file_of_another_machine_is_asked_for(
    s3: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(tmp_path / "own", 1)
    put(tmp_path / "own")
    with opened() as photos:
        photos.add(f"{HERE}/pictures")
    monkeypatch.setenv("SEXTANT_HOME", str(tmp_path / "another machine"))
    with opened() as photos, pytest.raises(CollectionError, match=r"Copy it to .*another machine.*postgresql"):
        photos.query("width > 1")


def test_what_is_not_there_is_said(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CollectionError, match="no collection at s3://photos/archive"):
        sextant.open(HERE)
    with opened() as photos:
        assert [s.reason for s in photos.add(f"{HERE}/none").skipped] == ["no such object, and none below it"]
    monkeypatch.setattr(place, "ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(CollectionError, match=r"cannot be reached.*AWS_\*"):
        sextant.open(HERE)


# an object store that stumbles


def test_refusals_now_and_then_are_tried_again(s3: ObjectStore, tmp_path: Path) -> None:
    many(tmp_path / "own", 6)
    put(tmp_path / "own")
    draw = random.Random(0)
    s3.fate = lambda *_: draw.choice([503, 500, 0.005, *[None] * 17])
    with opened(flush_seconds=0.01) as photos:
        assert photos.add(f"{HERE}/pictures").added == 6
        photos.tag(vocabulary(tmp_path))
        assert len(photos.query("not red")) == 6
        assert len(set(photos.vectors.ids().to_pylist())) == len(photos.vectors) == 6


def test_a_store_that_fails_for_good_leaves_nothing_half_written(
    s3: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(tmp_path / "own", 3)
    put(tmp_path / "own")
    with opened() as photos:
        photos.add(f"{HERE}/pictures/00000.png")
    begun = dict(s3.objects)
    for verb, refused in (("add", 4), ("add", 8), ("tag", 2)):  # among the first rows, the paths, the columns
        s3.objects = dict(begun)
        monkeypatch.setenv("SEXTANT_HOME", str(shutil.copytree(tmp_path / "home", tmp_path / f"{verb}{refused}")))
        fail_and_go_on(s3, tmp_path, verb, refused)


def fail_and_go_on(s3: ObjectStore, folder: Path, verb: str, refused: int) -> None:
    """A verb with a store that refuses writes from its n-th on: looks at what is left, and does everything again."""
    work: dict[str, Callable[[Collection], object]] = {
        "add": lambda photos: photos.add(f"{HERE}/pictures"),
        "tag": lambda photos: photos.tag(vocabulary(folder)),
    }
    writes = 0

    def fate(method: str, _: str) -> float | None:
        nonlocal writes
        writes += method in ("PUT", "POST")
        return 403 if writes >= refused else None  # refused, so not tried again

    with opened(flush_seconds=0.001, batch=1) as photos:
        if verb == "tag":
            work["add"](photos)
        s3.fate = fate
        with pytest.raises(CollectionError, match="same command again"):
            work[verb](photos)
    s3.fate = lambda *_: None
    with opened() as photos:
        table = photos.vectors.read(vectors=True)
        assert len(set(table["id"].to_pylist())) == table.num_rows
        assert set(photos.located().values()) <= set(photos.store.images(["id"])["id"].to_pylist())
        assert set(photos.located().values()) <= set(table["id"].to_pylist())
        work["add"](photos)
        work["tag"](photos)
        assert len(photos.query("not red")) == 3
        assert len(photos.vectors) == 3
