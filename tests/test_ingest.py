"""Files to vectors: what is read, what is not read again, and what a bad file costs. See fakes.py for the encoder."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sextant
import sextant.images
from fakes import FakeEncoder, attributes, many, opened, picture, pictures, vocabulary
from sextant.errors import ImageError, ModelError, UsageError
from sextant.reading import ahead
from sextant.types import Floats


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bytes of every image that is decoded from now on."""
    seen: list[bytes] = []
    real = sextant.images.decode

    def decode(data: bytes, **options: object) -> object:
        seen.append(data)
        return real(data, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(sextant.images, "decode", decode)
    return seen


def test_a_second_add_decodes_and_encodes_nothing(tmp_path: Path, decoded: list[bytes]) -> None:
    pictures(tmp_path / "p", "red", "green", "blue")
    encoder = FakeEncoder()
    photos = opened(tmp_path, encoder)
    first = photos.add(tmp_path / "p")
    assert (first.added, first.encoded, first.unchanged, len(decoded), encoder.images) == (3, 3, 0, 3, 3)
    second = photos.add(tmp_path / "p")
    assert (second.added, second.encoded, second.unchanged) == (0, 0, 3)
    assert (len(decoded), encoder.images) == (3, 3)


def test_a_new_time_of_change_alone_reads_the_bytes_but_decodes_nothing(tmp_path: Path, decoded: list[bytes]) -> None:
    (file,) = pictures(tmp_path, "red")
    photos = opened(tmp_path)
    photos.add(file)
    os.utime(file, (1, 1))
    report = photos.add(file)
    assert (report.unchanged, report.changed, report.encoded, len(decoded)) == (1, 0, 0, 1)


def test_a_renamed_file_keeps_its_id_and_is_not_encoded_again(tmp_path: Path, decoded: list[bytes]) -> None:
    (file,) = pictures(tmp_path / "p", "red")
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    before = list(photos.query("width > 0"))
    (tmp_path / "p" / "sub").mkdir()
    file.rename(tmp_path / "p" / "sub" / "rouge.png")
    report = photos.add(tmp_path / "p")
    assert (report.moved, report.added, report.copies, report.encoded, report.missing, len(decoded)) == (
        (1, 0, 0, 0, 0, 1)
    )
    after = list(photos.query("width > 0"))
    assert [r["id"] for r in after] == [r["id"] for r in before]
    assert [r["path"] for r in after] == ["p/sub/rouge.png"]


def test_a_file_whose_place_another_took_is_not_encoded_again(tmp_path: Path) -> None:
    (file,) = pictures(tmp_path / "p", "red")
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    file.rename(tmp_path / "p" / "z.png")
    picture(file, "blue")
    report = photos.add(tmp_path / "p")
    assert (report.changed, report.moved + report.copies, report.encoded) == (1, 1, 1)
    assert [h.path for h in photos.search("red").hits] == ["p/z.png", "p/red.png"]
    assert photos.add(tmp_path / "p").unchanged == 2


def test_two_files_that_swap_their_names_are_not_encoded_again(tmp_path: Path) -> None:
    red, blue = pictures(tmp_path / "p", "red", "blue")
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    red.rename(tmp_path / "x")
    blue.rename(red)
    (tmp_path / "x").rename(blue)
    report = photos.add(tmp_path / "p")
    assert (report.changed, report.encoded, report.added) == (2, 0, 0)
    assert photos.similar("p/red.png", limit=1).hits[0].path == "p/blue.png"
    assert photos.search("blue", limit=1).hits[0].path == "p/red.png"


def test_a_changed_file_is_encoded_once_and_its_old_image_is_gone_from_answers(tmp_path: Path) -> None:
    (file,) = pictures(tmp_path, "red")
    photos = opened(tmp_path)
    photos.add(file)
    picture(file, "blue", (9, 9))
    report = photos.add(file)
    assert (report.changed, report.encoded, report.added) == (1, 1, 0)
    assert [round(h.logit) for h in photos.search("blue").hits] == [40]
    assert len(photos.prune()["images"]) == 1
    assert photos.info()["images"] == 1


def test_a_deleted_file_is_reported_and_dropped_on_request_alone(tmp_path: Path) -> None:
    files = pictures(tmp_path / "p", "red", "green")
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    files[0].unlink()
    report = photos.add(tmp_path / "p")
    assert (report.missing_paths, report.dropped, photos.info()["images"]) == (("p/red.png",), 0, 2)
    report = photos.add(tmp_path / "p", drop_missing=True)
    assert (report.missing_paths, report.dropped, photos.info()["images"]) == (("p/red.png",), 1, 1)
    assert photos.add(tmp_path / "p").missing == 0
    assert len(photos.vectors) == 1


def test_only_what_lies_below_the_added_folder_can_be_missing(tmp_path: Path) -> None:
    (kept,) = pictures(tmp_path / "a", "red")
    (other,) = pictures(tmp_path / "ab", "green")
    photos = opened(tmp_path)
    photos.add(tmp_path / "a", tmp_path / "ab")
    kept.unlink()
    other.unlink()
    assert photos.add(tmp_path / "a").missing_paths == ("a/red.png",)
    assert photos.add(tmp_path).missing_paths == ("a/red.png", "ab/green.png")


def test_a_file_that_cannot_be_looked_at_is_not_dropped_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "p", "red")
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    real_scandir, real_lstat = os.scandir, Path.lstat

    def scandir(path: object = ".") -> object:
        if str(path).endswith("/p"):
            raise PermissionError(13, "Permission denied")
        return real_scandir(path)  # type: ignore[call-overload]

    def lstat(self: Path) -> os.stat_result:
        if self.parent.name == "p":
            raise PermissionError(13, "Permission denied")
        return real_lstat(self)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(Path, "lstat", lstat)
    report = photos.add(tmp_path / "p", drop_missing=True)
    assert (report.missing, report.dropped) == (0, 0)
    assert [s.reason for s in report.skipped] == ["the folder cannot be listed: Permission denied"]
    monkeypatch.undo()
    assert photos.add(tmp_path / "p").unchanged == 1


def test_exact_copies_are_one_image_encoded_once(tmp_path: Path) -> None:
    (file,) = pictures(tmp_path / "p", "red")
    shutil.copy(file, tmp_path / "p" / "again.png")
    photos = opened(tmp_path)
    report = photos.add(tmp_path / "p")
    assert (report.added, report.copies, report.encoded) == (1, 1, 1)
    assert (photos.info()["images"], photos.info()["files"]) == (1, 2)
    file.unlink()
    assert photos.add(tmp_path / "p", drop_missing=True).dropped == 1
    assert [r["path"] for r in photos.query("width > 0")] == ["p/again.png"]


def test_metadata_of_a_file_becomes_facts_to_filter_by(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271], exif[272] = "Canon", "EOS 5D"
    exif.get_ifd(0x8769)[36867] = "2020:05:17 10:11:12"
    Image.new("RGB", (40, 30), (255, 0, 0)).save(tmp_path / "a.jpg", exif=exif)
    photos = opened(tmp_path)
    photos.add(tmp_path / "a.jpg")
    (row,) = photos.query("width = 40 and taken_at > '2020-01-01'", show=["camera_model", "height", "format", "gps"])
    assert (row["camera_model"], row["height"], row["format"], row["gps"]) == ("Canon EOS 5D", 30, "JPEG", False)


# bad files


def test_bad_files_are_listed_with_their_reasons_and_never_scored(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    (good,) = pictures(folder, "red")
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.png").write_bytes(many(tmp_path / "x", 1)[0].read_bytes()[:40])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "page.png").write_text("<html>404</html>")
    picture(folder / "dot.png", "red", (1, 1))
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "lost.png").symlink_to(folder / "nowhere.png")
    bomb = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x02\x00\x00\x00"
    import zlib

    (folder / "bomb.png").write_bytes(bomb + zlib.crc32(bomb[12:]).to_bytes(4, "big") + b"\0\0\0\0IDAT")
    photos = opened(tmp_path)
    report = photos.add(folder)
    reasons = {s.path: s.reason for s in report.skipped}
    assert report.added == report.encoded == 1
    assert set(reasons) == {
        f"p/{name}.png" for name in ("empty", "cut", "page", "dot", "pipe", "lost", "bomb")
    } | {"p/text.jpg"}  # fmt: skip
    for name, word in {
        "p/empty.png": "empty",
        "p/cut.png": "truncated",
        "p/text.jpg": "not an image",
        "p/page.png": "web page",
        "p/dot.png": "1 × 1",
        "p/pipe.png": "regular file",
        "p/lost.png": "nowhere",
        "p/bomb.png": "bomb",
    }.items():
        assert word in reasons[name]
    photos.tag(vocabulary(tmp_path))
    assert [r["path"] for r in photos.query("red is not null")] == ["p/red.png"]
    assert good.exists()


def test_a_file_that_cannot_be_read_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    red, _ = pictures(tmp_path, "red", "green")
    real = Path.read_bytes

    def read(self: Path) -> bytes:
        if self == red:
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", read)
    report = opened(tmp_path).add(red, tmp_path / "green.png")
    assert report.added == 1
    assert [(s.path, s.reason) for s in report.skipped] == [("red.png", "cannot be read: Permission denied")]


class Fussy(FakeEncoder):
    """Stumbles over any batch with a picture that is exactly red."""

    name = "fussy"

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        rows = super().encode_images(images)
        red = [k for k, image in enumerate(images) if image.getpixel((0, 0)) == (255, 0, 0)]
        if red and self.error:
            raise self.error
        rows[red] = np.nan
        return rows


@pytest.mark.parametrize("error", [None, RuntimeError("kernel"), TypeError("odd"), KeyError("x")])
def test_one_picture_that_the_encoder_stumbles_over_does_not_cost_its_batch(
    tmp_path: Path, error: Exception | None
) -> None:
    pictures(tmp_path / "p", "blue", "green", "red", "yellow")
    photos = opened(tmp_path, Fussy(error))
    report = photos.add(tmp_path / "p")
    assert report.added == report.encoded == 3
    assert [s.path for s in report.skipped] == ["p/red.png"]
    assert ("nothing of it" if error is None else type(error).__name__) in report.skipped[0].reason
    assert len(photos.vectors) == 3
    assert [h.path for h in photos.search("blue", limit=1).hits] == ["p/blue.png"]


def test_copies_of_a_picture_that_the_encoder_refuses_are_all_listed(tmp_path: Path) -> None:
    (file,) = pictures(tmp_path / "p", "red")
    shutil.copy(file, tmp_path / "p" / "again.png")
    report = opened(tmp_path, Fussy()).add(tmp_path / "p")
    assert sorted(s.path for s in report.skipped) == ["p/again.png", "p/red.png"]
    assert report.added == report.copies == 0


class Preparing(FakeEncoder):
    """Prepares pixels in threads, as the real encoders do, and stumbles over red ones."""

    decode_side: int | None = None

    def prepare(self, image: Image.Image) -> np.ndarray:
        if image.getpixel((0, 0)) == (255, 0, 0):
            raise IndexError("red")
        return np.asarray(image.convert("RGB"))

    def encode_prepared(self, batch: Sequence[np.ndarray]) -> Floats:
        return self.encode_images([Image.fromarray(pixels) for pixels in batch])


def test_a_picture_that_cannot_be_prepared_is_skipped(tmp_path: Path) -> None:
    pictures(tmp_path / "p", "blue", "red")
    report = opened(tmp_path, Preparing()).add(tmp_path / "p")
    assert (report.added, [s.path for s in report.skipped]) == (1, ["p/red.png"])
    assert "IndexError: red" in report.skipped[0].reason


class Misshapen(FakeEncoder):
    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        return np.ones((len(images), 7), np.float32)


def test_an_encoder_that_gives_another_shape_than_it_promises_is_an_error(tmp_path: Path) -> None:
    pictures(tmp_path, "red")
    with pytest.raises(UsageError, match=r"fake gave rows of shape \(1, 7\), not \(1, 3\)"):
        opened(tmp_path, Misshapen()).add(tmp_path)


class Rounded(FakeEncoder):
    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        return super().encode_images(images) * np.float32(1.004)


def test_vectors_are_stored_with_length_one(tmp_path: Path) -> None:
    pictures(tmp_path, "orange")
    photos = opened(tmp_path, Rounded())
    photos.add(tmp_path)
    assert np.linalg.norm(photos.vectors.matrix()[1]) == pytest.approx(1, abs=1e-6)


def test_similar_to_a_file_elsewhere_names_the_file_that_is_bad(tmp_path: Path) -> None:
    pictures(tmp_path / "p", "red")
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    (tmp_path / "bad.png").write_text("x")
    with pytest.raises(ImageError, match=r"bad\.png: it is not an image"):
        photos.similar(str(tmp_path / "bad.png"))
    outside = picture(tmp_path / "q" / "rosso.png", "red", (20, 20))
    assert photos.similar(str(outside)).hits[0].path == "p/red.png"


# the pipeline


def test_the_pipeline_is_never_further_ahead_than_its_window() -> None:
    started, taken, furthest = 0, 0, 0

    def items() -> Iterator[int]:
        nonlocal started, furthest
        for i in range(200):
            started += 1
            furthest = max(furthest, started - taken)
            yield i

    found = []
    for item in ahead(items(), lambda i: i * i, workers=3, window=7):
        taken += 1
        found.append(item)
    assert found == [i * i for i in range(200)]
    assert furthest == 7


def test_the_pipeline_works_in_several_threads_and_keeps_the_order() -> None:
    threads = set()

    def work(i: int) -> int:
        threads.add(threading.get_ident())
        time.sleep(0.002 * (i % 3))
        return i

    assert list(ahead(range(40), work, workers=4, window=8)) == list(range(40))
    assert len(threads) > 1


def test_an_error_in_the_reader_stops_the_threads() -> None:
    running = ahead(range(1000), lambda i: i, workers=2, window=4)
    next(running)
    running.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("sextant-decode")]


def test_new_images_get_the_logits_of_the_columns_that_exist(tmp_path: Path) -> None:
    pictures(tmp_path / "p", "red")
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    photos.tag(vocabulary(tmp_path, attributes("red", "blue")))
    pictures(tmp_path / "q", "blue")
    photos.add(tmp_path / "q")
    assert {r["path"]: round(r["blue"], 3) for r in photos.query("blue is not null")} == {
        "p/red.png": 0.0,
        "q/blue.png": 1.0,
    }
    assert photos.tag(dry_run=True).columns == ()


def test_what_is_finished_is_written_before_the_end(tmp_path: Path) -> None:
    many(tmp_path / "p", 30)
    photos = opened(tmp_path, FakeEncoder(slow=0.005), batch=2, flush_seconds=0.02)
    seen = []
    photos.add(tmp_path / "p", progress=lambda p: seen.append((p.done, p.total, len(photos.vectors))))
    assert seen[-1] == (30, 30, 30)
    assert any(0 < rows < 30 for _, _, rows in seen[:-1]) or len(photos.store.files()) == 30


def test_a_damaged_encoder_ends_with_one_error_and_not_with_every_file_skipped(tmp_path: Path) -> None:
    folder = pytest.importorskip("tiny_bundles").bundle(tmp_path / "bundle")
    (folder / "visual.onnx").write_bytes(b"damaged" * 100)
    pictures(tmp_path / "photos", "red", "green", "blue")
    with (
        sextant.open(tmp_path / "photos", create=True) as photos,
        pytest.raises(ModelError, match=r"visual\.onnx is not an ONNX graph"),
    ):
        photos.add(tmp_path / "photos", model=f"local-dir:{folder}")


def test_an_encoder_that_always_fails_ends_with_one_error(tmp_path: Path) -> None:
    class Broken(FakeEncoder):
        def encode_images(self, images: Sequence[Image.Image]) -> Floats:
            raise RuntimeError("out of memory")

    pictures(tmp_path, "red", "green")
    with (
        opened(tmp_path, Broken()) as photos,
        pytest.raises(ModelError, match="fake fails on every picture, even a plain grey one: RuntimeError: out of"),
    ):
        photos.add(tmp_path)
