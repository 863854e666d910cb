"""A view of some images says of them what the view of all says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes import many, opened, picture, vocabulary
from sextant import extract, vectors
from sextant.collection import Collection
from sextant.errors import UsageError


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    many(tmp_path / "p", 40)
    picture(tmp_path / "p" / "copy.png", (2, 1, 128), (4, 4))  # another path of one that is there
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    photos.tag(vocabulary(tmp_path))
    return photos


@pytest.mark.parametrize("scattered", [1, 1000], ids=["by place", "all of them"])
def test_a_view_of_some_images_is_part_of_the_whole_one(
    photos: Collection, scattered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "SCATTERED", scattered)
    whole = photos.view(photos.codes())
    wanted = whole.ids.to_pylist()[5:30:4]
    some = extract.view(photos, None, [*wanted, "f" * 32])
    assert sorted(some.ids.to_pylist()) == sorted(wanted)
    assert some.codes() == whole.codes()
    rows, places = [whole.places[i] for i in wanted], [some.places[i] for i in wanted]
    assert whole.paths.take(rows).to_pylist() == some.paths.take(places).to_pylist()
    np.testing.assert_array_equal(whole.background[rows], some.background[places])
    for code in ("red", "cold"):
        assert some.state(code) == whole.state(code)
        np.testing.assert_array_equal(whole.values(code).confidence[rows], some.values(code).confidence[places])
    np.testing.assert_array_equal(whole.logits("blue")[rows], some.logits("blue")[places])


def test_no_image_at_all_is_fine_and_an_unknown_code_is_named(photos: Collection) -> None:
    assert len(extract.view(photos, ["red"], ())) == 0
    with pytest.raises(UsageError, match=r"no attribute 'rad'.*'red'"):
        extract.view(photos, ["rad"], ())
