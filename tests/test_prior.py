"""Columns that nobody has labelled: which curve they start with, and when there can be none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fakes import FakeEncoder, attributes, many, opened, vocabulary
from sextant import prior
from sextant.collection import Collection, open_collection
from sextant.errors import ModelError
from sextant.maths.calibration import Calibration


class Wide(FakeEncoder):
    """Eight dimensions, so that phrases differ: a phrase is a direction of its own, a picture its pixels' noise."""

    name = "wide"
    dim = 8

    def encode_images(self, images):
        rows = np.stack([np.random.default_rng(int(np.asarray(i, np.int64).sum())).normal(size=8) for i in images])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def encode_texts(self, texts):
        rows = np.stack([np.random.default_rng(list(t.encode())).normal(size=8) for t in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def tagged(folder: Path, n: int, text: str = attributes("red", "green"), **options: float) -> Collection:
    many(folder / "p", n)
    photos = opened(folder, Wide())
    photos.add(folder / "p")
    photos.tag(vocabulary(folder, text), **options)
    return photos


def kinds(photos: Collection) -> dict[str, str]:
    view = photos.view(photos.codes())
    return {code: view.calibration(code).kind for code in view.codes()}


def test_columns_start_with_a_prior_and_say_so(tmp_path: Path) -> None:
    photos = tagged(tmp_path, 60)
    assert kinds(photos) == {"red": "prior", "green": "prior"}
    assert [s.state for s in photos.columns()] == ["prior", "prior"]
    curves = [photos.view(["red", "green"]).calibration(c) for c in ("red", "green")]
    assert curves[0].id != curves[1].id, "each attribute has its own level"


def test_fewer_than_twenty_images_have_no_prior(tmp_path: Path) -> None:
    photos = tagged(tmp_path, 19)
    assert not prior.Unlabelled(photos).known
    assert kinds(photos) == {"red": "fixed", "green": "fixed"}
    assert [s.state for s in photos.columns()] == ["uncalibrated", "uncalibrated"]


def test_a_search_answers_though_most_of_the_images_have_no_file_any_more(tmp_path: Path) -> None:
    photos = tagged(tmp_path, 30)
    for path in sorted((tmp_path / "p").iterdir())[5:]:
        path.unlink()
    photos.store.put_files(  # as `add` notes them, and as a killed one leaves them: vectors without a path
        photos.store.files().slice(5).set_column(1, "id", pa.nulls(25, pa.string()))
    )
    assert len(photos.view()) == 5
    assert photos.search("red").state == "uncalibrated"
    assert len(photos.query("width > 0")) == 5
    photos.tag(vocabulary(tmp_path, attributes("blue")))
    assert kinds(photos)["blue"] in ("prior", "fixed")


def test_a_center_of_ones_own_comes_first(tmp_path: Path) -> None:
    text = """
base_attributes:
  - {code: red, description: red, center: 20, scale: 3}
  - {code: green, description: green}
"""
    photos = tagged(tmp_path, 40, text)
    assert kinds(photos) == {"red": "fixed", "green": "prior"}
    assert photos.view(["red"]).calibration("red").params == {"center": 20.0, "scale": 3.0}
    photos.tag(center=24.0)
    view = photos.view(["red", "green"])
    assert view.calibration("green").params == {"center": 24.0, "scale": 1.5, "set": "tag"}
    assert view.calibration("red").params["center"] == 20.0


def test_a_center_that_was_asked_for_stays_until_another_is(tmp_path: Path) -> None:
    photos = tagged(tmp_path, 40)
    photos.tag(center=24.0)
    photos.label("p/00000.png", "red", True)

    def center() -> float:
        return float(photos.view(["green"]).calibration("green").params["center"])

    photos.calibrate()
    photos.tag()
    assert center() == 24.0
    photos.tag(center=25.0)
    assert center() == 25.0
    photos.tuner("green").reset()
    assert photos.view(["green"]).calibration("green").kind == "prior"


def test_a_prior_whose_sources_stay_the_same_is_not_worked_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tagged(tmp_path, 40)
    photos.label("p/00000.png", "red", True)
    with monkeypatch.context() as patched:
        patched.setattr(prior.Unlabelled, "curve", lambda *_: pytest.fail("nothing had changed"))
        photos.calibrate()
        photos.calibrate()
    assert len(photos.catalog.history(photos.vectors.name, "green")) == 1
    many(tmp_path / "p", 1, start=100)
    photos.add(tmp_path / "p")
    photos.calibrate()
    assert len(photos.catalog.history(photos.vectors.name, "green")) == 2, "one image more"
    assert photos.view(["green"]).calibration("green").params["images"] == 41


def test_other_background_phrases_make_fitted_curves_stale_until_they_are_fitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tagged(tmp_path, 60)
    red = photos.catalog.calibrations(photos.vectors.name)["red"]
    # As an encoder has it whose background counts.
    read = {"lambda": 1.0, "background": photos.vectors.metadata()["background_hash"]}
    on = {"kind": "prior", "params": {**red.calibration["params"], **read}}
    fitted = Calibration("platt", {"on": on, "slope": 1.0, "offset": 0.5, "labels": 25})
    row = (fitted.id, {"kind": "platt", "params": fitted.params}, red.prompt_hash)
    photos.catalog.put_calibrations(photos.vectors.name, {"red": row})
    assert photos.columns()[0].state == "calibrated"
    from sextant import background, columns

    for module in (prior, columns, background):
        monkeypatch.setattr(module, "background_hash", lambda: "another")
        monkeypatch.setattr(module, "background_prompts", lambda: tuple(f"thing {i}" for i in range(30)))
    photos.tag()
    assert [s.state for s in photos.columns()] == ["stale", "prior"]
    photos.label("p/00000.png", "red", True)
    photos.calibrate(["red"])
    assert photos.view(["red"]).calibration("red").kind == "prior", "one label fits nothing anew"
    assert photos.columns()[0].state == "prior"


def test_another_encoder_is_in_use_only_when_its_columns_have_their_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tagged(tmp_path, 40)
    photos.close()

    class Wider(Wide):
        name = "wider"

    photos = opened(tmp_path, Wide(), Wider())
    adopt, seen = Collection.adopt, []

    def watched(self: Collection, *arguments: Any) -> None:
        seen.append((self.manifest.encoder, set(self.catalog.calibrations("wider@1"))))
        adopt(self, *arguments)

    monkeypatch.setattr(Collection, "adopt", watched)
    photos.use("wider@1")
    assert seen == [("wide@1", {"red", "green"})]
    assert [s.state for s in photos.columns()] == ["prior", "prior"]


def test_a_group_starts_with_its_own_temperature(tmp_path: Path) -> None:
    text = """
groups: {hue: {temperature: 2.5}}
base_attributes:
  - {code: red, description: red, group: hue}
  - {code: green, description: green, group: hue}
"""
    photos = tagged(tmp_path, 30, text)
    view = photos.view(["red", "green"])
    assert view.calibration("red").params == {"temperature": 2.5}
    np.testing.assert_allclose(view.values("red").confidence + view.values("green").confidence, 1.0)


def test_a_prior_is_frozen_until_it_is_asked_for_again(tmp_path: Path) -> None:
    photos = tagged(tmp_path, 40)
    before = photos.view(["red"]).calibration("red").id
    many(tmp_path / "p", 60, start=100)
    photos.add(tmp_path / "p")
    photos.tag()
    assert photos.view(["red"]).calibration("red").id == before
    photos.label("p/00000.png", "green", True)
    photos.calibrate()
    assert photos.view(["red"]).calibration("red").id != before
    assert len(photos.catalog.history(photos.vectors.name, "red")) == 2, "the old one stays on record"


def test_an_encoder_that_is_gone_leaves_what_was_measured(tmp_path: Path) -> None:
    photos = tagged(tmp_path, 40)
    photos.close()

    def gone(spec: str, *_: str) -> FakeEncoder:
        raise ModelError(f"no {spec}")

    again = open_collection(tmp_path, loader=gone)
    unlabelled = prior.Unlabelled(again)
    assert unlabelled.known
    view = again.view(["red"])
    curve = unlabelled.curve(view.logits("red"), view.background)
    assert curve.id == view.calibration("red").id


def test_without_an_encoder_or_anything_kept_there_is_no_prior(tmp_path: Path) -> None:
    photos = tagged(tmp_path, 40)
    photos.catalog.put_level(photos.vectors.name, "another list", {})
    with photos.catalog._writing() as connection:
        from sextant.schema import levels, texts

        connection.execute(levels.delete())
        connection.execute(texts.delete())
    photos.close()

    def gone(spec: str, *_: str) -> FakeEncoder:
        raise ModelError(f"no {spec}")

    again = open_collection(tmp_path, loader=gone)
    assert not prior.Unlabelled(again).known
    assert prior.Unlabelled(again).curve(np.zeros(3), np.zeros(3)).kind == "fixed"


def test_the_confidences_of_a_prior_rise_with_the_logit_at_one_background(tmp_path: Path) -> None:
    photos = tagged(tmp_path, 80)
    view = photos.view(["red"])
    from sextant.maths.calibration import confidence

    logits = np.linspace(-60, 60, 500)
    p = confidence(view.calibration("red"), logits, np.full(500, float(np.median(view.background))))
    assert (np.diff(p) >= 0).all()
    assert 0 < p[0] < 0.01 < 0.1 < p[-1] < 1


@pytest.mark.parametrize("images", [20, 25])
def test_twenty_images_are_enough(tmp_path: Path, images: int) -> None:
    assert prior.Unlabelled(tagged(tmp_path, images)).known
