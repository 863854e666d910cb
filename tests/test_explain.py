"""`explain`: every figure is one the answer was made of, and the sentences say the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fakes import SCALE, colour_of, many, opened, pictures, vocabulary
from sextant.cli import cli
from sextant.collection import Collection
from sextant.errors import UsageError
from sextant.maths import calibration as curves
from sextant.maths.calibration import Calibration
from sextant.maths.rules import BAND_NAMES

VOCABULARY = """
template: "{description}"
base_attributes:
  - {code: red, description: red, prompts: [red, a red thing], negatives: [green]}
  - {code: blue, description: blue}
derived_attributes:
  - {code: purple, rule: {all_of: [red, blue]}}
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("explain")
    many(folder / "p", 60)
    pictures(folder / "q", "red", "green", "blue", "yellow", "orange", "grey")
    collection = opened(folder)
    collection.add(folder / "p", folder / "q")
    collection.tag(vocabulary(folder, VOCABULARY))
    return collection


def test_a_column_is_explained_by_what_its_confidence_was_made_of(photos: Collection) -> None:
    found = photos.explain("q/red.png", "red")
    view = photos.view(["red"])
    row = view.places[found.image]
    assert found.confidence == view.values("red").confidence[row]
    assert (found.kind, found.state, found.source) == ("column", "prior", "model")
    assert [(s.text, s.role) for s in found.said] == [
        ("red", "prompt"),
        ("a red thing", "prompt"),
        ("green", "negative"),
    ]
    for said in found.said:
        assert said.cosine == pytest.approx(float(colour_of(said.text) @ colour_of("red")), abs=1e-6)
    assert found.logit == pytest.approx(SCALE * found.cosine, abs=1e-4)
    record = photos.catalog.calibrations(photos.vectors.name)["red"].calibration
    curve = Calibration(record["kind"], record["params"])
    assert found.calibration["id"] == curve.id
    again = curves.confidence(curve, np.array([found.logit]), np.array([found.background]))
    assert again[0] == pytest.approx(found.confidence, abs=1e-6)
    assert found.evidence == pytest.approx(
        (found.logit - curve.params["lambda"] * found.background - curve.params["mu"]) / curve.params["sigma"], abs=1e-6
    )
    assert (found.rank, found.of) == (1, 66)


def test_a_phrase_is_explained_as_search_found_it(photos: Collection) -> None:
    hits = {hit.path: hit for hit in photos.search("blue without green", limit=100).hits}
    for rank, path in enumerate(list(hits)[:3], 1):
        found = photos.explain(path, "blue without green")
        assert found.kind == "query"
        assert found.confidence == pytest.approx(hits[path].confidence, abs=1e-9)
        assert found.logit == hits[path].logit
        assert abs(found.rank - rank) <= 1
        assert {(s.text, s.role) for s in found.said} >= {("blue", "prompt"), ("green", "negative")}


def test_what_a_person_said_comes_first_and_labelled_neighbours_are_told(photos: Collection) -> None:
    for path, value in (("q/red.png", True), ("q/orange.png", True), ("q/blue.png", False)):
        photos.label(path, "red", value)
    found = photos.explain("q/yellow.png", "red")
    assert [(n.path, n.value) for n in found.neighbours] == [
        ("q/orange.png", True),
        ("q/red.png", True),
        ("q/blue.png", False),
    ]
    assert any("2 show it" in sentence for sentence in found.words)
    assert "q/red.png" not in [n.path for n in photos.explain("q/red.png", "red").neighbours]
    photos.override("q/yellow.png", "red", False)
    spoken = photos.explain("q/yellow.png", "red")
    assert (spoken.source, spoken.confidence) == ("person", 0.0)
    assert "a person said no" in spoken.words[0]
    photos.override("q/yellow.png", "red", None)


def test_a_derived_attribute_is_explained_by_its_inputs(photos: Collection) -> None:
    found = photos.explain("q/red.png", "purple")
    assert (found.kind, found.source, found.logit) == ("derived", "rule", None)
    view = photos.view(["red", "blue"])
    row = view.places[found.image]
    told = [f"{code} is {BAND_NAMES[int(view.values(code).band[row])]}" for code in ("red", "blue")]
    assert all(part in found.words[1] for part in told)


def test_sentences_say_what_the_state_is_worth(photos: Collection, tmp_path: Path) -> None:
    assert any("prior" in sentence for sentence in photos.explain("q/red.png", "red").words)
    few = opened(tmp_path)
    pictures(tmp_path / "p", "red", "blue")
    few.add(tmp_path / "p")
    assert any("uncalibrated" in sentence for sentence in few.explain("p/red.png", "red").words)


def test_what_is_not_there_is_named(photos: Collection) -> None:
    with pytest.raises(UsageError, match=r"no image 'q/rad\.png'.*q/red\.png"):
        photos.explain("q/rad.png", "red")
    with pytest.raises(UsageError, match="empty"):
        photos.explain("q/red.png", " ")


def test_the_command_prints_sentences_and_json(tmp_path: Path) -> None:
    many(tmp_path / "p", 30)
    run = CliRunner().invoke
    assert run(cli, ["-C", str(tmp_path), "add", str(tmp_path / "p"), "--model", "hash"]).exit_code == 0
    told = run(cli, ["-C", str(tmp_path), "explain", "p/00003.png", "a red car"])
    assert told.exit_code == 0
    assert told.stdout.startswith("p/00003.png shows “a red car” with a confidence of")
    assert "a red car" in told.stdout.split("compared with")[1]
    found = json.loads(run(cli, ["-C", str(tmp_path), "explain", "p/00003.png", "a red car", "--json"]).stdout)
    assert found["words"][0] in told.stdout
    assert {"confidence", "cosine", "background", "evidence", "calibration", "neighbours", "shows"} <= set(found)
    refused = run(cli, ["-C", str(tmp_path), "explain", "p/3.png", "a red car"])
    assert (refused.exit_code, refused.stdout) == (2, "")
