"""What a person should look at, other ways to read the logits, and pictures that show nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import FakeEncoder, attributes, colour_of, opened, picture, pictures, vocabulary
from sextant.collection import Collection
from sextant.errors import ModelError, RuleError, UsageError
from sextant.survey import NEAR, Item

WORDS = """
center: 25.5
scale: 1.5
base_attributes:
  - {code: red, label: Red, description: red}
  - {code: green, label: Green, description: green}
  - {code: blue, label: Blue, description: blue}
  - {code: anything, label: A picture, description: a picture, control: positive}
  - {code: orange, label: Orange, description: orange, control: negative}
derived_attributes:
  - {code: warm, rule: {all_of: [red]}}
"""


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    pictures(tmp_path / "p", "red", "green", "blue", "yellow", "grey")
    picture(tmp_path / "p" / "edge.png", (160, 125, 147))  # a logit of 25.5 for red, to a hair
    collection = opened(tmp_path)
    collection.add(tmp_path / "p")
    collection.tag(vocabulary(tmp_path, WORDS))
    return collection


def of_kind(items: tuple[Item, ...], kind: str) -> list[tuple[str, str]]:
    return [(Path(item.path).stem, item.code) for item in items if item.kind == kind]


# review


def test_a_close_call_is_within_reach_of_a_band_edge(photos: Collection) -> None:
    found = photos.review(limit=100)
    view = photos.view(photos.codes())
    expected = {
        (Path(path).stem, code)
        for code in ("red", "green", "blue", "anything", "orange")
        for path, p in zip(view.paths.to_pylist(), view.values(code).confidence, strict=True)
        if min(abs(p - 0.5), abs(p - 0.8)) <= NEAR
    }
    assert expected
    assert set(of_kind(found.items, "edge")) == expected
    gaps = [min(abs(i.confidence - 0.5), abs(i.confidence - 0.8)) for i in found.items if i.kind == "edge"]
    assert gaps == sorted(gaps), "the closest come first"


def test_what_a_person_has_settled_is_no_close_call(photos: Collection) -> None:
    image, code = of_kind(photos.review().items, "edge")[0]
    photos.override(f"p/{image}.png", code, True)
    assert (image, code) not in of_kind(photos.review().items, "edge")
    photos.override(f"p/{image}.png", code, None)
    photos.label(f"p/{image}.png", code, True)
    assert (image, code) not in of_kind(photos.review().items, "edge")


def test_a_rule_that_should_hold_nowhere_lists_where_it_holds(photos: Collection) -> None:
    found = photos.review(conflicts=["red and green", "blue and red"])
    assert of_kind(found.items, "conflict") == [("yellow", "red")]
    assert "red and green holds" in found.items[0].reason
    with pytest.raises(RuleError, match="gren"):
        photos.review(conflicts=["red and gren"])


def test_words_of_people_that_the_model_contradicts_are_shown(photos: Collection) -> None:
    photos.override("p/red.png", "red", False)
    photos.label("p/blue.png", "green", True)
    photos.label("p/green.png", "green", True)
    found = photos.review()
    assert set(of_kind(found.items, "person")) == {("red", "red"), ("blue", "green")}
    photos.label("p/green.png", "green", False, person="Ada")
    first = next(item for item in photos.review().items if item.kind == "person")
    assert "disagree" in first.reason


def test_a_picture_that_fails_a_positive_control_is_of_an_odd_medium(photos: Collection) -> None:
    view = photos.view(["anything"])
    odd = {
        Path(p).stem for p, c in zip(view.paths.to_pylist(), view.values("anything").confidence, strict=True) if c < 0.5
    }
    assert odd
    assert {image for image, _ in of_kind(photos.review().items, "medium")} == odd


def test_pictures_for_which_nothing_is_accepted(photos: Collection) -> None:
    found = photos.review()
    images = {image for image, _ in of_kind(found.items, "nothing")}
    assert "grey" in images
    assert not images & {"red", "green", "blue", "yellow"}
    photos.override("p/grey.png", "blue", True)
    assert "grey" not in {image for image, _ in of_kind(photos.review().items, "nothing")}


def test_a_limit_cuts_each_kind_and_the_count_tells(photos: Collection) -> None:
    found = photos.review(limit=1)
    for kind, count in found.counts.items():
        assert len(of_kind(found.items, kind)) == min(1, count)


def test_failing_controls_are_named(photos: Collection) -> None:
    failing = {c.code: c for c in photos.failing_controls()}
    bands = photos.view(["anything"]).values("anything").band
    assert failing["anything"].accepted == int((bands == 2).sum()) < 0.95 * 6
    assert "FAILS: control 'anything'" in failing["anything"].reason
    assert "at least 95%" in failing["anything"].reason
    assert "at most 5%" in failing["orange"].reason
    for name in ("red", "green", "blue", "yellow", "edge"):
        photos.override(f"p/{name}.png", "anything", True)
    assert "anything" not in {c.code for c in photos.failing_controls()}


# compare


def settings(photos: Collection, *codes: str) -> dict[tuple[str, str], tuple[int, int, int]]:
    found = photos.compare(codes or None)
    return {(s.setting, s.code): (s.accepted, s.tentative, s.rejected) for s in found.settings}


def by_hand(photos: Collection, code: str, center: float, scale: float) -> tuple[int, int, int]:
    z = photos.view([code]).logits(code).astype(np.float64)
    p = 1 / (1 + np.exp(-(z - center) / scale))
    return int((p >= 0.8).sum()), int(((p >= 0.5) & (p < 0.8)).sum()), int((p < 0.5).sum())


@pytest.mark.parametrize(("center", "scale"), [(25.5, 1.5), (22.0, 3.0), (28.0, 1.5)])
def test_band_counts_of_a_setting_are_the_formulas(photos: Collection, center: float, scale: float) -> None:
    found = settings(photos)
    for code in ("red", "green", "blue"):
        assert found[f"fixed({center:g}, {scale:g})", code] == by_hand(photos, code, center, scale)
    pooled = found[f"fixed({center:g}, {scale:g})", "*"]
    assert sum(pooled) == 6 * 5


def test_a_softmax_thins_out_when_attributes_join_and_a_fixed_curve_does_not(
    photos: Collection, tmp_path: Path
) -> None:
    photos.tag(vocabulary(tmp_path, attributes("red", "green")))
    few = settings(photos, "red")
    photos.tag(vocabulary(tmp_path, attributes("red", "green", red2="red", red3="red")))
    many = settings(photos, "red")
    assert few["softmax over 2 attributes", "red"][0] > many["softmax over 4 attributes", "red"][0] == 0
    for setting in ("fixed(25.5, 1.5)", "fixed(22, 3)", "in use"):
        assert few[setting, "red"] == many[setting, "red"]
    assert "everyday phrases join them" in photos.compare().notes[0]


def test_a_margin_is_to_the_best_other_attribute(photos: Collection) -> None:
    found = settings(photos)["margin to the best other attribute", "red"]
    view = photos.view(photos.codes())
    others = np.stack([view.logits(c) for c in ("green", "blue", "anything", "orange")]).max(axis=0)
    p = 1 / (1 + np.exp(-(view.logits("red").astype(np.float64) - others)))
    assert found[0] == int((p >= 0.8).sum())


def test_labels_judge_every_setting(photos: Collection) -> None:
    for name, value in (("red", True), ("blue", False)):
        photos.label(f"p/{name}.png", "red", value)
    found = {s.setting: s for s in photos.compare(["red"]).settings}
    assert found["fixed(25.5, 1.5)"].n == 2
    z = {
        Path(p).stem: float(x)
        for p, x in zip(photos.view().paths.to_pylist(), photos.view(["red"]).logits("red"), strict=True)
    }
    p = {name: 1 / (1 + np.exp(-(z[name] - 25.5) / 1.5)) for name in z}
    assert found["fixed(25.5, 1.5)"].brier == pytest.approx(((p["red"] - 1) ** 2 + p["blue"] ** 2) / 2, rel=1e-6)


def test_without_an_encoder_the_other_settings_are_still_compared(photos: Collection, tmp_path: Path) -> None:
    photos.close()

    class Gone(FakeEncoder):
        def encode_texts(self, texts):
            raise ModelError("gone")

    again = opened(tmp_path, Gone())
    from sextant.schema import texts

    with again.catalog._writing() as connection:
        connection.execute(texts.delete())
    found = again.compare()
    assert not any("everyday" in s.setting for s in found.settings)
    assert "not at hand" in found.notes[0]


# outside


def test_outside_pictures_are_judged_by_kind(photos: Collection, tmp_path: Path) -> None:
    pictures(tmp_path / "else", "red", "blue")
    (tmp_path / "else" / "no.jpg").write_bytes(b"no picture")
    found = {row.kind: row for row in photos.outside(tmp_path / "else")}
    assert set(found) == {"noise", "blank", "text page", "photos in else"}
    assert found["noise"].n == 20
    grey = 1 / (1 + np.exp(-(40 * float(colour_of("red") @ colour_of("grey")) - 25.5) / 1.5))
    assert found["blank"].median == pytest.approx(grey, abs=1e-6), "a blank sheet is grey"
    assert found["noise"].p95 == pytest.approx(grey, abs=0.02)
    assert (found["photos in else"].n, found["photos in else"].accepted) == (2, 2)
    assert found["photos in else"].worst_code in ("red", "blue")
    assert len(photos.view()) == 6, "nothing was kept"


def test_outside_pictures_need_an_attribute_that_stands_alone(photos: Collection, tmp_path: Path) -> None:
    photos.tag(vocabulary(tmp_path, "base_attributes:\n  - {code: any, description: a picture, control: positive}\n"))
    photos.prune()
    with pytest.raises(UsageError, match="stands alone"):
        photos.outside()
    photos.tag(vocabulary(tmp_path, attributes("red")))
    with pytest.raises(UsageError, match="not a folder"):
        photos.outside(tmp_path / "nowhere")


def test_noise_looks_like_noise() -> None:
    from sextant import outside

    page = np.asarray(Image.open(__import__("io").BytesIO(next(outside._pages()))))
    assert 0.02 < (page < 128).mean() < 0.4, "a page holds letters and is not full of them"
