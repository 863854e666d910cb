"""The model page: the card of the encoder in use, and the scorecards of fine-tuning runs beside the pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fakes import FakeEncoder, opened, picture
from sextant.collection import Collection
from sextant.encoder.card import Card
from sextant.web import scorecards
from sextant.web.app import application

API = "/api/v1/collections/photos/models"
FIGURES = {"accuracy": {"value": 0.91, "low": 0.88, "high": 0.94}, "ece": {"value": 0.04, "low": None, "high": None}}
GATES = [
    {"name": "accuracy", "better": ">=", "limit": 0.9, "value": 0.91, "passed": True},
    {"name": "int8_latency_p95_ms", "better": "<", "limit": 200.0, "value": None, "passed": False},
]
SCORECARD: dict[str, Any] = {
    "images": 216, "classes": ["a", "b"], "recipe": {"name": "quick"}, "base": {"figures": {}},
    "tuned": {"figures": FIGURES}, "gates": GATES, "ready": False, "map": [],
}  # fmt: skip


class Carded(FakeEncoder):
    """A fake encoder with a card."""

    card = Card(
        name="fake", revision="1", dim=3, image_size=96, resize_mode="shortest", mean=(0, 0, 0), std=(1, 1, 1),
        context_length=8, pad_id=0, logit_scale=40.0, licence="MIT", description="A <b>fake</b>.",
    )  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[Collection]:
    picture(tmp_path / "photos" / "red.png", "red")
    with opened(tmp_path / "photos", Carded()) as collection:
        collection.add(tmp_path / "photos")
        yield collection


@pytest.fixture
def client(photos: Collection) -> Iterator[TestClient]:
    with TestClient(application([photos]), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def run(folder: Path, card: Any = SCORECARD) -> Path:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"base": "mini"}))
    (folder / "scorecard.json").write_text(card if isinstance(card, str) else json.dumps(card))
    return folder


def test_the_card_of_the_encoder(client: TestClient) -> None:
    card = client.get(API).json()["card"]
    assert (card["licence"], card["image_size"], card["training"], card["golden"]) == ("MIT", 96, "softmax", False)
    page = client.get("/c/photos/models").text
    assert "A &lt;b&gt;fake&lt;/b&gt;." in page
    assert "Fine-tuning runs" not in page


def test_a_run_is_told_before_and_after_with_its_gates(client: TestClient, photos: Collection) -> None:
    run(photos.folder / "tuned")
    (found,) = client.get(API).json()["scorecards"]
    assert (found["name"], found["base"], found["recipe"], found["ready"]) == ("tuned", "mini", "quick", False)
    lines = {line["name"]: line for line in found["lines"]}
    assert lines["accuracy"]["tuned"] == FIGURES["accuracy"]
    assert lines["accuracy"]["base"] is None
    assert lines["int8_latency_p95_ms"]["gate"] == GATES[1]
    page = client.get("/c/photos/models").text
    for said in ("does not pass all gates", "0.910", "0.880–0.940", "at least 0.9: passed", "below 200: missed"):
        assert said in page
    assert str(photos.folder) not in client.get(API).text


def test_the_run_around_the_bundle_in_use_is_found_elsewhere(
    client: TestClient, photos: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(tmp_path / "elsewhere")
    held = photos.manifest.with_encoder(model=f"local-dir:{folder / 'bundle'}")
    monkeypatch.setattr(Collection, "manifest", property(lambda _: held))
    (found,) = scorecards.scorecards(next(iter(client.app.state.shelf)))  # type: ignore[attr-defined]
    assert (found.name, found.in_use) == ("elsewhere", True)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"images": 1}', "[" * 100_000, "\x00", '{"ready": "x"}'])
def test_what_is_no_scorecard_is_passed_over(client: TestClient, photos: Collection, text: str) -> None:
    run(photos.folder / "broken", text)
    assert client.get(API).json()["scorecards"] == []
    assert client.get("/c/photos/models").status_code == 200
