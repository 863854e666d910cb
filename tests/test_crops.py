"""Parts of pictures: which they are, that they are made once, and that small things are found by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fakes import COLOURS, FakeEncoder, opened, picture
from sextant import crops
from sextant.background import background_prompts
from sextant.collection import Collection
from sextant.errors import UsageError
from sextant.maths import mixture
from sextant.types import Progress

SIDE = 40
SMALL = 9
TINT = 20
GROUNDS = ("blue", "green")


@given(st.integers(1, 400), st.integers(1, 400))
def test_five_parts_lie_inside_and_cover_every_pixel(width: int, height: int) -> None:
    covered = np.zeros((height, width), bool)
    for left, top, right, low in crops.boxes(width, height):
        assert 0 <= left < right <= width
        assert 0 <= top < low <= height
        covered[top:low, left:right] = True
    assert covered.all()


def test_the_parts_are_the_corners_and_the_centre() -> None:
    corners = [(0, 0, 60, 30), (40, 0, 100, 30), (0, 20, 60, 50), (40, 20, 100, 50)]
    assert crops.boxes(100, 50) == [*corners, (20, 10, 80, 40)]


def scene(path: Path, ground: str, thing: str | None, corner: tuple[int, int], seed: int) -> Path:
    """A ground of one colour with noise, and a small square of another in a corner."""
    rng = np.random.default_rng(seed)
    pixels = np.broadcast_to(np.array(COLOURS[ground], np.float64), (SIDE, SIDE, 3)) * 0.8 + rng.normal(
        0, TINT, (1, 1, 3)
    )
    pixels = pixels + rng.normal(0, 3, pixels.shape)
    if thing:
        x, y = (c * (SIDE - SMALL) for c in corner)
        pixels[y : y + SMALL, x : x + SMALL] = COLOURS[thing]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Collection:
    """Eighty pictures, of which twelve show a small red thing in a corner."""
    rng = np.random.default_rng(3)
    for i in range(80):
        corner = (int(rng.integers(2)), int(rng.integers(2)))
        scene(tmp_path / "p" / f"{i:02d}.png", GROUNDS[i % 2], "red" if i < 12 else None, corner, i)
    photos = opened(tmp_path, FakeEncoder())
    photos.add(tmp_path / "p")
    return photos


def found(photos: Collection, scores: np.ndarray, ids: list[str], k: int) -> int:
    """How many of the k best show the small thing."""
    view = photos.view()
    paths = dict(zip(view.ids.to_pylist(), view.paths.to_pylist(), strict=True))
    return sum(int(Path(paths[ids[i]]).stem) < 12 for i in np.argsort(-scores, kind="stable")[:k])


def test_small_things_are_found_by_parts(archive: Collection) -> None:
    wanted = archive.phrases()(["red"])
    ids, matrix = archive.vectors.matrix()
    before = found(archive, matrix @ wanted[0], ids, 12)
    crops.add(archive)
    best = crops.best(archive, wanted)
    after = found(archive, best.cosines[:, 0], best.ids.to_pylist(), 12)
    assert before <= 4
    assert after >= 10


def test_the_best_are_those_of_six_plain_products(archive: Collection) -> None:
    report = crops.add(archive)
    assert (report.added, report.unchanged, report.skipped) == (80, 0, ())
    wanted = archive.phrases()(["red", "green"])
    best = crops.best(archive, wanted)
    encoder, view = FakeEncoder(), archive.view()
    for image, cosines, parts in zip(best.ids.to_pylist(), best.cosines, best.parts, strict=True):
        with Image.open(archive.folder / str(view.paths[view.places[image]])) as file:
            whole = file.convert("RGB")
        own = encoder.encode_images([whole, *crops.cut(whole)]) @ wanted.T
        np.testing.assert_allclose(cosines, own.max(axis=0), atol=1e-6)
        assert (own[parts + 1, [0, 1]] >= own.max(axis=0) - 1e-6).all()


def test_parts_are_made_once_and_go_with_their_images(archive: Collection, tmp_path: Path) -> None:
    crops.add(archive)
    encoded = FakeEncoder()
    again = opened(tmp_path, encoded)
    report = crops.add(again)
    assert (report.added, report.unchanged, encoded.images) == (0, 80, 0)
    picture(tmp_path / "p" / "new.png", "green", (20, 20))
    again.add(tmp_path / "p")
    encoded.images = 0
    report = crops.add(again)
    assert (report.added, report.unchanged, encoded.images) == (1, 80, 5)
    (tmp_path / "p" / "new.png").unlink()
    (tmp_path / "p" / "79.png").unlink()
    again.add(tmp_path / "p", drop_missing=True)
    assert len(crops.background(again)[0]) == 79
    assert len(crops.best(again, again.phrases()(["red"])).ids) == 79


def test_a_run_that_stops_goes_on_where_it_was(archive: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops, "ROWS_A_FLUSH", 50)

    def stop(progress: Progress) -> None:
        if progress.done == 41:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crops.add(archive, progress=stop)
    kept = len(crops.background(archive)[0])
    assert 20 <= kept <= 41
    report = crops.add(archive)
    assert (report.added, report.unchanged) == (80 - kept, kept)
    assert len(crops.background(archive)[0]) == 80


def test_what_cannot_be_cut_is_named_and_left_out(archive: Collection, tmp_path: Path) -> None:
    (tmp_path / "p" / "05.png").unlink()
    (tmp_path / "p" / "06.png").write_bytes(b"no picture")
    picture(tmp_path / "p" / "half.png", "red", (40, 40))
    with Image.open(tmp_path / "p" / "half.png") as file:
        half = file.convert("RGB")
    half.paste((0, 0, 0), (0, 0, 26, 26))  # a corner of which the fake encoder makes nothing
    half.save(tmp_path / "p" / "half.png")
    archive.add(tmp_path / "p" / "half.png")
    report = crops.add(archive)
    reasons = {Path(s.path).name: s.reason for s in report.skipped}
    assert set(reasons) == {"05.png", "06.png", "half.png"}
    assert "No such file" in reasons["05.png"]
    assert "sextant add" in reasons["06.png"]
    assert "a part of it" in reasons["half.png"]
    assert report.added == 78
    assert len(crops.best(archive, archive.phrases()(["red"])).ids) == 81  # these count by the whole


def test_the_background_is_the_best_of_six_too(archive: Collection) -> None:
    assert not crops.exist(archive)
    assert len(crops.background_logits(archive)) == 0
    crops.add(archive)
    assert crops.exist(archive)
    scale, bias = archive.scale
    best = crops.best(archive, archive.phrases()(background_prompts()))
    own = dict(zip(best.ids.to_pylist(), (scale * best.cosines + bias).mean(axis=1), strict=True))
    ids, background = crops.background(archive)
    np.testing.assert_allclose(background, [own[i] for i in ids.to_pylist()], atol=1e-4)
    logits = crops.background_logits(archive)
    assert logits.shape == (80, len(background_prompts()))
    np.testing.assert_allclose(sorted(logits.mean(axis=1)), sorted(own.values()), atol=1e-4)
    assert mixture.background_level(logits, 1.0).images == 80


def test_parts_are_no_encoder_and_go_with_theirs(archive: Collection) -> None:
    crops.add(archive)
    assert archive.store.encoders() == ["fake@1"]
    archive.store.vacuum()
    assert len(crops.background(archive)[0]) == 80
    archive.store.drop_encoder("fake@1")
    assert not crops.exist(archive)


class Sigmoid(FakeEncoder):
    """As trained with a sigmoid: its logits do not float from image to image, and no background is taken off."""

    name, logit_bias = "sigmoid", -10.0


def test_a_search_looks_at_parts_when_asked_to(archive: Collection) -> None:
    pictures = archive.folder / "p"
    (other := archive.folder / "other").mkdir()
    archive = opened(other, Sigmoid())
    archive.add(pictures)
    with pytest.raises(UsageError, match="sextant crops"):
        archive.search("red", parts=True)
    crops.add(archive)

    def right(parts: bool) -> int:
        found = archive.search("red", limit=12, parts=parts, expand=False)
        return sum(int(Path(hit.path).stem) < 12 for hit in found.hits)

    assert right(parts=False) <= 4
    assert right(parts=True) >= 10
    absent = archive.search("orange", limit=1, parts=True, expand=False).hits[0]
    assert absent.confidence is not None
