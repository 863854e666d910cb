"""Phrases to columns: which are missing, what is written with them, and what they say of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sextant
from fakes import SCALE, FakeEncoder, attributes, colour_of, opened, pictures, vocabulary
from sextant import columns
from sextant.background import background_hash
from sextant.collection import Collection
from sextant.errors import ModelError
from sextant.vocabulary import Attribute


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    pictures(tmp_path / "p", "red", "green", "blue", "orange")
    collection = opened(tmp_path)
    collection.add(tmp_path / "p")
    return collection


def logits(photos: Collection, code: str) -> dict[str, float]:
    view = photos.view([code])
    return {p[2:-4]: float(z) for p, z in zip(view.paths.to_pylist(), view.logits(code), strict=True)}


def test_several_prompts_are_averaged_on_the_unit_sphere(photos: Collection, tmp_path: Path) -> None:
    text = "base_attributes:\n  - {code: warm, prompts: [red, orange, yellow]}\n"
    photos.tag(vocabulary(tmp_path, text))
    mean = np.mean([colour_of(w) for w in ("red", "orange", "yellow")], axis=0, dtype=np.float64)
    by_hand = SCALE * float(colour_of("orange") @ (mean / np.linalg.norm(mean)))
    assert logits(photos, "warm")["orange"] == pytest.approx(by_hand, abs=1e-5)
    assert photos.prompts()[0].prompts == ("red", "orange", "yellow")


def test_prompts_prints_exactly_what_is_encoded(photos: Collection, tmp_path: Path) -> None:
    encoder = FakeEncoder()
    text = """
template: "a picture of {description}"
base_attributes:
  - {code: red, description: red}
  - {code: blue, description: blue, template: "in {description}", negatives: [green]}
"""
    photos = opened(tmp_path, encoder)
    encoder.texts.clear()
    photos.tag(vocabulary(tmp_path, text))
    printed = [p for a in photos.prompts() for p in (*a.prompts, *a.negatives)]
    assert printed == ["a picture of red", "in blue", "green"]
    assert [t for t in encoder.texts if t in printed] == printed
    assert len(photos.prompts(["blue"])) == 1


def test_a_negative_takes_from_images_that_are_more_like_it(photos: Collection, tmp_path: Path) -> None:
    text = "base_attributes:\n  - {code: red, description: red, negatives: [orange]}\n"
    photos.tag(vocabulary(tmp_path, text))
    cosine = float(colour_of("red") @ colour_of("orange"))
    found = logits(photos, "red")
    assert found["red"] == pytest.approx(SCALE, abs=1e-4)
    assert found["orange"] == pytest.approx(SCALE * (cosine - (1 - cosine)), abs=1e-4)


def test_a_phrase_is_encoded_once_by_an_encoder(photos: Collection, tmp_path: Path) -> None:
    encoder = FakeEncoder()
    again = opened(tmp_path, encoder)
    again.tag(vocabulary(tmp_path, attributes("red", red2="red", blue="blue")))
    assert sorted(encoder.texts) == ["a photo of blue", "a photo of red"]
    again.tag(vocabulary(tmp_path, attributes("blue", "red")))
    assert len(encoder.texts) == 2


def test_missing_is_what_is_absent_or_of_other_prompts(photos: Collection, tmp_path: Path) -> None:
    photos.tag(vocabulary(tmp_path, attributes("red", "green")))
    assert photos.vocabulary is not None
    assert columns.missing(photos.vocabulary, photos.vectors) == []
    photos.tag(vocabulary(tmp_path, attributes("blue", "green", red="orange")), codes=["green"])
    assert photos.vocabulary is not None
    assert [a.code for a in columns.missing(photos.vocabulary, photos.vectors)] == ["blue", "red"]
    assert [a.code for a in columns.missing(photos.vocabulary, photos.vectors, ["red"])] == ["red"]


def test_a_label_or_a_threshold_makes_no_column_stale(photos: Collection, tmp_path: Path) -> None:
    photos.tag(vocabulary(tmp_path, attributes("red")))
    text = "base_attributes:\n  - {code: red, label: Rouge, description: red, accepted: 0.9, tentative: 0.2}\n"
    assert photos.tag(vocabulary(tmp_path, text)).columns == ()
    assert photos.columns()[0].label == "Rouge"


def test_the_record_of_a_column_leads_back_to_its_direction(photos: Collection, tmp_path: Path) -> None:
    photos.tag(vocabulary(tmp_path, "base_attributes:\n  - {code: x, prompts: [red, blue], negatives: [grey]}\n"))
    column = photos.vectors.columns()["x"]
    assert photos.vocabulary is not None
    attribute = photos.vocabulary["x"]
    assert isinstance(attribute, Attribute)
    recorded = columns.recorded_direction(column, photos.phrases(), photos.head)
    assert isinstance(recorded, columns.Direction)
    fresh = columns.direction(attribute, photos.phrases())
    np.testing.assert_array_equal(recorded.positive, fresh.positive)
    np.testing.assert_array_equal(recorded.negatives, fresh.negatives)


def test_many_columns_in_one_product_are_each_the_same_alone(photos: Collection) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(300, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = {
        f"c{i}": columns.Direction(vectors[i], vectors[100 + i : 103 + i] if i % 2 else None) for i in range(9)
    }
    together = columns.logits_by_code(vectors, directions, 100.0, -3.0)
    for code, direction in directions.items():
        alone = columns.logits_by_code(vectors[50:], {code: direction}, 100.0, -3.0)[code]
        np.testing.assert_array_equal(together[code][50:], alone)
    assert columns.logits_by_code(vectors, {}, 1.0, 0.0) == {}


def test_a_background_of_other_prompts_is_computed_anew(photos: Collection, tmp_path: Path) -> None:
    before = photos.vectors.read()["background"].to_pylist()
    photos.vectors.put_background(lambda rows: rows[:, 0] * 0, {"encoder": "fake@1", "background_hash": "of yore"})
    photos.tag(vocabulary(tmp_path, attributes("red")))
    assert photos.vectors.read()["background"].to_pylist() == before
    assert photos.vectors.metadata() == {"encoder": "fake@1", "background_hash": background_hash()}
    version = photos.store.size()
    photos.tag()
    assert photos.store.size() == version, "what is of today's prompts stays"


def test_vectors_without_their_encoder_keep_no_background_and_are_tagged_once_it_is_there(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.eye(3, dtype=np.float32))
    (tmp_path / "n.txt").write_text("a.png\nb.png\nc.png")

    def nowhere(_spec: str, _device: str, _precision: str) -> FakeEncoder:
        raise ModelError("not at hand")

    away = sextant.open(tmp_path, create=True, loader=nowhere)
    away.import_vectors(tmp_path / "v.npy", ids=tmp_path / "n.txt", encoder="fake@1", logit_scale=SCALE)
    with pytest.raises(ModelError, match="not at hand"):
        away.tag(vocabulary(tmp_path, attributes("red")))
    assert away.vectors.columns() == {}
    assert np.isnan(away.vectors.read()["background"].to_numpy()).all()
    there = opened(tmp_path)
    there.tag(vocabulary(tmp_path, attributes("red")))
    assert np.isfinite(there.vectors.read()["background"].to_numpy()).all()
    assert [r["path"] for r in there.query("red")] == ["a.png"]
