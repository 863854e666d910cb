"""The curation board's API over the fake encoder: choosing, keeping, exporting, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fakes import opened
from sextant.collection import Collection
from sextant.curate import Curation, Gates, Options
from sextant.web import curating
from sextant.web.app import application
from sextant.web.keys import Keys

API = "/api/v1/collections/photos"
REDS = 6


def noisy(path: Path, colour: tuple[int, int, int], size: tuple[int, int], seed: int) -> None:
    """A picture of a mean colour that is neither blank nor blurred."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-60, 61, (size[1], size[0], 1))
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curating") / "photos"
    for k in range(REDS):
        noisy(folder / f"red {k}.png", (190, 60 + 8 * k, 60), (200, 160 + 20 * k), k)
    for k in range(24):
        noisy(folder / f"other {k:02d}.png", (60 + 3 * k, 190, 60 + 5 * k), (160, 200), 100 + k)
    noisy(folder / "tiny red.png", (190, 60, 60), (60, 50), 99)
    with opened(folder) as collection:
        collection.add(folder)
    return folder


@pytest.fixture
def photos(made: Path, tmp_path: Path) -> Iterator[Collection]:
    with opened(Path(shutil.copytree(made, tmp_path / "photos"))) as collection:
        yield collection


@pytest.fixture
def client(photos: Collection) -> Iterator[TestClient]:
    with TestClient(application([photos]), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def got(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]
    return answer.json()


def chosen(client: TestClient, **wish: Any) -> Any:
    return got(client.post(f"{API}/curations", json={"query": "red", "limit": 4, "least_confidence": 0, **wish}), 201)


def test_the_board_says_what_the_library_does(client: TestClient, photos: Collection) -> None:
    wish = {"without": ["blue"], "orientation": "landscape", "least_side": 100, "where": "width > 10"}
    board = chosen(client, **wish)
    options = Options(negatives=["blue"], orientation="landscape", gates=Gates(side=100, confidence=0), limit=4)
    same: Curation = photos.curate("red", where="width > 10", options=options)
    assert [card["path"] for card in board["cards"]] == [one.path for one in same.shown]
    for card, one in zip(board["cards"], same.shown, strict=True):
        assert (card["score"], card["margin"], card["confidence"]) == (one.score, one.margin, one.confidence)
        assert sum(part["points"] for part in card["parts"]) == pytest.approx(card["score"])
        assert [alike["image"] for alike in card["alike"]] == [alike.image for alike in one.alike]
    assert (board["candidates"], board["refused"], board["more"]) == (same.candidates, len(same.refused), same.more)
    assert [one["reasons"] for one in board["refusals"]] == [[r.reason for r in x.refusals] for x in same.refused[:60]]
    assert (board["negatives"], board["where"], board["orientation"]) == (["blue"], "width > 10", "landscape")
    assert board["rules"]["size"] == 1
    assert "below 100" in next(r for r in board["refusals"] if r["name"] == "tiny red.png")["reasons"][0]
    for one in (*board["cards"], *board["refusals"]):
        assert client.get(one["thumb"]).headers["content-type"] == "image/webp"


def test_a_curation_looks_the_same_later(client: TestClient) -> None:
    first, second = chosen(client), chosen(client, query="green")
    assert got(client.get(f"{API}/curations/{first['number']}")) == first
    found = got(client.get(f"{API}/curations"))
    assert [(one["number"], one["query"], one["kept"]) for one in found] == [
        (second["number"], "green", 0),
        (first["number"], "red", 0),
    ]
    assert got(client.get(f"{API}/curations", params={"before": second["number"]})) == found[1:]
    assert got(client.get(f"{API}/curations", params={"limit": 1})) == found[:1]


def test_what_is_kept_is_on_record_and_marked(client: TestClient, photos: Collection) -> None:
    board = chosen(client)
    address = f"{API}/curations/{board['number']}"
    kept = got(client.post(f"{address}/keep", json={"ranks": [3, 1]}))
    assert [pick["rank"] for pick in kept["picks"]] == [3, 1]
    assert kept["skipped"] == []
    assert [pick.rank for pick in photos.picks(board["number"])] == [1, 3]
    assert [pick["rank"] for pick in got(client.get(f"{address}/picks"))] == [1, 3]
    assert [card["kept"] for card in got(client.get(address))["cards"]] == [True, False, True, False]
    assert got(client.get(f"{API}/picks")) == got(client.get(f"{address}/picks"))
    best = got(client.post(f"{address}/keep", json={"best": 2}))
    assert [pick["rank"] for pick in best["picks"]] == board["diverse"][:2]


def test_an_export_says_how_each_picture_was_chosen(client: TestClient) -> None:
    board = chosen(client, where="width > 10")
    number, cards = board["number"], board["cards"]
    got(client.post(f"{API}/exports", json={"curation": number}), 400)
    got(client.post(f"{API}/curations/{number}/keep", json={"ranks": [2]}))

    def export(**body: Any) -> str:
        made = got(client.post(f"{API}/exports", json={"curation": number, **body}), 201)
        return client.get(f"{API}/exports/{made['id']}").text

    (row,) = csv.DictReader(io.StringIO(export(format="csv")))
    assert (row["path"], row["curation_rank"], row["found_by_query"]) == (cards[1]["path"], "2", "red")
    assert float(row["curation_score"]) == pytest.approx(cards[1]["score"])
    assert row["curation_kept_at"]
    two = [{"id": cards[k]["image"]} for k in (3, 1)]
    document = json.loads(export(format="json", picks=two))
    assert [image["curation"]["rank"] for image in document["images"]] == [2, 4]
    assert document["images"][0]["found_by"] == {"query": "red", "rule": "width > 10"}
    assert document["images"][0]["curation"]["parts"] == cards[1]["parts"]
    assert document["images"][1]["curation"]["kept_at"] is None
    got(client.post(f"{API}/exports", json={"curation": number, "picks": [{"id": "x"}]}), 400)
    got(client.post(f"{API}/exports", json={"curation": 99}), 404)


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"query": ""}, 422),
        ({"query": " "}, 400),
        ({"query": "x" * 2001}, 422),
        ({"query": "red", "without": ["red"]}, 400),
        ({"query": "red", "without": [""]}, 422),
        ({"query": "red", "where": "width >"}, 400),
        ({"query": "red", "where": "nothing_known"}, 400),
        ({"query": "red", "orientation": "upside down"}, 422),
        ({"query": "red", "limit": 0}, 422),
        ({"query": "red", "limit": 201}, 422),
        ({"query": "red", "least_side": -1}, 422),
        ({"query": "red", "least_side": "NaN"}, 422),
        ({"query": "red", "least_confidence": 1.1}, 422),
        ({}, 422),
    ],
)
def test_a_wish_that_cannot_be_is_refused_and_not_recorded(
    client: TestClient, photos: Collection, wish: dict[str, Any], status: int
) -> None:
    got(client.post(f"{API}/curations", json=wish), status)
    assert photos.catalog.curation() is None


def test_what_cannot_be_kept_is_refused(client: TestClient, photos: Collection) -> None:
    number = chosen(client)["number"]
    for body, status in (({}, 400), ({"ranks": [99]}, 400), ({"ranks": [0]}, 422), ({"best": 0}, 422), ([1], 422)):
        got(client.post(f"{API}/curations/{number}/keep", json=body), status)
    for other in ("99", "0", "-1", str(2**70)):
        for method, path in (("GET", ""), ("POST", "/keep"), ("GET", "/picks"), ("GET", "/pictures/x")):
            got(client.request(method, f"{API}/curations/{other}{path}", json={"ranks": [1]}), 404)
    got(client.get(f"{API}/curations/x"), 422)
    assert photos.picks() == []


def test_nothing_that_passes_is_an_answer_too(client: TestClient) -> None:
    board = chosen(client, least_side=5000)
    assert board["cards"] == []
    assert board["refused"] == board["candidates"] == REDS + 25
    assert sum(board["rules"].values()) >= board["refused"]


def test_a_picture_from_outside_waits_is_shown_and_cleared_away(
    client: TestClient, photos: Collection, tmp_path: Path
) -> None:
    noisy(tmp_path / "outside" / "red.png", (200, 50, 50), (300, 200), 7)
    number = photos.curate("red", tmp_path / "outside", options=Options(gates=Gates(confidence=0))).number
    (card,) = got(client.get(f"{API}/curations/{number}"))["cards"]
    assert (card["here"], card["path"], card["name"]) == (False, None, "red.png")
    assert str(tmp_path) not in json.dumps(card)
    assert card["thumb"] is None
    data = (tmp_path / "outside" / "red.png").read_bytes()
    place = photos.store.root / "scratch" / "0123456789abcdef"
    place.mkdir(parents=True)
    (place / f"{card['image']}.png").write_bytes(data)
    asked = {"request": {"diverse": [1]}, "shown": photos.catalog.curation(number).shown}  # type: ignore[union-attr]
    waiting = photos.catalog.put_curation("red", "red", encoder="fake@1", state="prior", scratch=place.name, **asked)
    (card,) = got(client.get(f"{API}/curations/{waiting}"))["cards"]
    assert client.get(card["thumb"]).headers["content-type"] == "image/webp"
    assert not list((photos.store.root).glob(f"thumbs/**/{card['image']}*"))
    got(client.get(f"{API}/curations/{waiting}/pictures/..%2f{card['image']}"), 404)
    assert "Clear them away" in client.get("/c/photos/curate").text
    assert got(client.delete(f"{API}/curations/scratch")) == {"discarded": 1}
    assert got(client.get(f"{API}/curations/{waiting}"))["cards"][0]["thumb"] is None


def test_scopes(photos: Collection, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    bearers = {s: {"Authorization": f"Bearer {keys.add(s, [s])[1]}"} for s in ("read", "label", "write")}  # type: ignore[list-item]
    with TestClient(application([photos], keys=keys), base_url="http://localhost") as client:
        for held in bearers.values():
            found = client.post(f"{API}/curations", json={"query": "red", "least_confidence": 0}, headers=held)
            number = got(found, 201)["number"]
            got(client.get(f"{API}/curations/{number}", headers=held))
        for scope, held in bearers.items():
            keeping = client.post(f"{API}/curations/{number}/keep", json={"ranks": [1]}, headers=held)
            got(keeping, 200 if scope == "write" else 403)
            got(client.delete(f"{API}/curations/scratch", headers=held), 200 if scope == "write" else 403)
        got(client.get(f"{API}/curations"), 401)
        (photos.store.root / "scratch" / "0123456789abcdef").mkdir(parents=True)
        why = got(client.post(f"{API}/curations", json={"query": "red"}, headers=bearers["read"]), 403)["detail"]
        assert "wait to be picked" in why
        got(client.post(f"{API}/curations", json={"query": "red"}, headers=bearers["write"]), 201)


def test_only_so_many_run_at_the_same_time(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curating, "PATIENCE_SECONDS", 0.01)
    for _ in range(curating.AT_ONCE):
        assert curating._running.acquire(timeout=60)
    try:
        answer = client.post(f"{API}/curations", json={"query": "red"})
    finally:
        for _ in range(curating.AT_ONCE):
            curating._running.release()
    assert "under way" in got(answer, 503)["detail"]
    assert answer.headers["retry-after"]


def test_a_record_of_an_older_version_is_shown(client: TestClient, photos: Collection) -> None:
    image, path = photos.view().ids[0].as_py(), photos.view().paths[0].as_py()
    row = {"rank": 1, "image": image, "where": path, "path": path, "title": "", "page": "", "licence": None}
    row |= {"fetched_at": None, "score": 0.5, "matched": "red", "parts": [], "confidence": 0.5}
    asked: dict[str, Any] = {"request": {"diverse": [1]}, "shown": [row], "scratch": ""}
    number = photos.catalog.put_curation("red", "red", encoder="fake@1", state="prior", **asked)
    board = got(client.get(f"{API}/curations/{number}"))
    assert (board["cards"][0]["width"], board["least_side"], board["candidates"]) == (None, None, 1)


def test_markup_in_a_wish_is_text(client: TestClient) -> None:
    chosen(client, query='<img src=x onerror="alert(1)"> red')
    assert "<img src=x" not in client.get("/c/photos/curate").text


# experiments


def test_an_experiment_is_started_and_stopped(client: TestClient, photos: Collection) -> None:
    body = {"name": "variety", "b": {"diversity": 0.5}, "share": 0.3}
    got(client.post(f"{API}/feedback/experiments", json=body), 201)
    (record,) = photos.experiments()
    assert (record.name, record.a, record.b, record.share) == ("variety", {}, {"diversity": 0.5}, 0.3)
    got(client.post(f"{API}/feedback/experiments", json=body), 400)
    assert "Stop" in client.get("/c/photos/feedback").text
    got(client.post(f"{API}/feedback/experiments/variety/stop"))
    got(client.post(f"{API}/feedback/experiments/variety/stop"))
    assert photos.experiments()[0].stopped_at
    got(client.post(f"{API}/feedback/experiments/others/stop"), 404)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "a b", "b": {}}, 400),
        ({"name": "", "b": {}}, 422),
        ({"name": "x"}, 422),
        ({"name": "x", "b": {"diversity": "much"}}, 422),
        ({"name": "x", "b": {"diversity": 2}}, 422),
        ({"name": "x", "b": {"limit": 3}}, 422),
        ({"name": "x", "b": {}, "share": 1}, 422),
    ],
)
def test_an_experiment_that_would_break_searches_is_refused(
    client: TestClient, photos: Collection, body: dict[str, Any], status: int
) -> None:
    got(client.post(f"{API}/feedback/experiments", json=body), status)
    assert photos.experiments() == []
