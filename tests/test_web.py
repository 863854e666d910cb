"""The web API over the fake encoder: what it answers, page by page and part by part, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fakes import VOCABULARY, many, opened, picture
from sextant.collection import Collection
from sextant.maths.rules import BAND_NAMES
from sextant.vocabulary import Thresholds, parse
from sextant.web import banding, cursors, thumbs
from sextant.web.app import application
from sextant.web.problems import Problem
from sextant.web.served import Shelf, slug

API = "/api/v1/collections/photos"
COLOURS = ("red", "green", "blue", "yellow", "orange", "grey")


def jpeg(colour: str = "purple", size: tuple[int, int] = (40, 30), kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "photos"
    for colour in COLOURS:
        picture(folder / f"{colour}.png", colour)
    picture(folder / "red copy.png", "red", (9, 9))
    many(folder / "many", 20)
    with opened(folder) as collection:
        collection.add(folder)
        collection.tag(parse(VOCABULARY, "vocabulary.yaml"), center=25.5, scale=1.5)
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
        assert answer.json()["status"] == status
        assert answer.json()["detail"]
    return answer.json()


def id_of(photos: Collection, path: str) -> str:
    found = photos.view().find(path)
    assert found is not None
    return found


# images


def test_cursors_lead_through_every_image_once(client: TestClient, photos: Collection) -> None:
    seen, cursor = [], None
    while True:
        part = got(client.get(f"{API}/images", params={"limit": 4, **({"cursor": cursor} if cursor else {})}))
        seen += [image["path"] for image in part["images"]]
        assert part["total"] == len(photos.view())
        cursor = part["next"]
        if cursor is None:
            break
    assert seen == photos.view().paths.to_pylist()


def test_a_cursor_goes_on_behind_its_image_though_others_came_before_it(
    client: TestClient, photos: Collection, tmp_path: Path
) -> None:
    first = got(client.get(f"{API}/images", params={"limit": 3}))
    picture(tmp_path / "photos" / "a new one.png", (1, 2, 3))
    photos.add(tmp_path / "photos")
    rest = got(client.get(f"{API}/images", params={"limit": 500, "cursor": first["next"]}))
    assert {i["path"] for i in first["images"]}.isdisjoint(i["path"] for i in rest["images"])
    assert len(first["images"]) + len(rest["images"]) == len(photos.view()) - 1


@pytest.mark.parametrize("cursor", ["x", "!!!", "AAAA", "ÿ", "a" * 500, "eyJhIjoxfQ", "=", "\x00"])
def test_a_cursor_that_was_tampered_with_is_refused(client: TestClient, cursor: str) -> None:
    assert "cursor" in got(client.get(f"{API}/images", params={"cursor": cursor}), 400)["detail"]


def test_a_cursor_belongs_to_its_question(client: TestClient) -> None:
    cursor = got(client.get(f"{API}/images", params={"limit": 1}))["next"]
    assert (
        "another question"
        in got(client.get(f"{API}/images", params={"cursor": cursor, "sort": "width"}), 400)["detail"]
    )


def test_cursors_survive_a_round_trip_and_no_change_of_a_letter() -> None:
    question = {"q": "red", "where": None}
    cursor = cursors.write(question, 17, "ab" * 16)
    assert cursors.read(cursor, question) == (17, "ab" * 16)
    for place in range(len(cursor)):
        other = "A" if cursor[place] != "A" else "B"
        with pytest.raises(Problem):
            cursors.read(cursor[:place] + other + cursor[place + 1 :], question)


def test_images_obey_a_rule_an_order_and_show_confidences(client: TestClient, photos: Collection) -> None:
    found = got(client.get(f"{API}/images", params={"where": "red is accepted", "sort": "-red", "show": "red"}))
    assert [i["path"] for i in found["images"]] == [
        row["path"] for row in photos.query("red is accepted", sort="-red", show=["red"])
    ]
    assert all(i["confidences"]["red"] >= 0.8 for i in found["images"])


def test_suppressed_images_are_out_of_sight(client: TestClient, photos: Collection) -> None:
    photos.catalog.suppress(
        "fake@1", "shot", 0.9, [[(id_of(photos, "red.png"), 1.0), (id_of(photos, "red copy.png"), 0.9)]]
    )
    found = got(client.get(f"{API}/images", params={"limit": 500}))
    assert "red copy.png" not in [i["path"] for i in found["images"]]
    assert found["out_of_sight"] == 1


def test_one_image_tells_everything_with_its_states(client: TestClient, photos: Collection) -> None:
    found = got(client.get(f"{API}/images/{id_of(photos, 'red.png')}"))
    view = photos.view(photos.codes())
    row = view.places[found["id"]]
    assert [cell["code"] for cell in found["cells"]] == list(view.codes())
    for cell in found["cells"]:
        values = view.values(cell["code"])
        assert cell["confidence"] == pytest.approx(values.confidence[row])
        assert cell["band"] == BAND_NAMES[int(values.band[row])]
        assert cell["state"] == view.state(cell["code"])
    assert found["facts"]["width"] == 8


def test_near_images_leave_out_the_image_itself(client: TestClient, photos: Collection) -> None:
    found = got(client.get(f"{API}/images/{id_of(photos, 'red.png')}/near"))
    assert found["images"][0]["path"] == "red copy.png"
    assert found["images"][0]["cosine"] == pytest.approx(1.0)


def test_explain_speaks_in_words(client: TestClient, photos: Collection) -> None:
    found = got(client.get(f"{API}/images/{id_of(photos, 'red.png')}/explain", params={"of": "red"}))
    assert found["words"]
    assert found["kind"] == "column"


# small copies and files


def test_a_thumbnail_is_small_cached_and_known_by_its_tag(
    client: TestClient, photos: Collection, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (900, 1200, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos" / "noise.png")
    photos.add(tmp_path / "photos")
    address = f"{API}/images/{id_of(photos, 'noise.png')}/thumb"
    first = client.get(address)
    assert first.status_code == 200
    assert first.headers["content-type"] == "image/webp"
    assert len(first.content) <= thumbs.MOST_BYTES["small"]
    assert "immutable" in first.headers["cache-control"]
    assert Image.open(io.BytesIO(first.content)).width > 100
    again = client.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    (tmp_path / "photos" / "noise.png").unlink()
    assert client.get(address).content == first.content


def test_an_original_comes_whole_in_ranges_or_not_at_all(
    client: TestClient, photos: Collection, tmp_path: Path
) -> None:
    data = (tmp_path / "photos" / "red.png").read_bytes()
    address = f"{API}/images/{id_of(photos, 'red.png')}/original"
    whole = client.get(address)
    assert (whole.content, whole.headers["content-type"]) == (data, "image/png")
    assert whole.headers["accept-ranges"] == "bytes"
    assert "sandbox" in whole.headers["content-security-policy"]
    part = client.get(address, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, data[2:6])
    assert part.headers["content-range"] == f"bytes 2-5/{len(data)}"
    assert client.get(address, headers={"Range": "bytes=999999-"}).status_code == 416
    assert client.get(address, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    (tmp_path / "photos" / "red.png").unlink()
    assert "not where it was" in got(client.get(address), 404)["detail"]


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "red.png", "0" * 32, "%00", "a" * 5000, "..\\.."],
)
@pytest.mark.parametrize("part", ["", "/original", "/thumb", "/near", "/similar"])
def test_nothing_but_an_id_names_an_image(client: TestClient, name: str, part: str) -> None:
    answer = client.get(f"{API}/images/{name}{part}")
    assert answer.status_code == 404
    assert "root:" not in answer.text


def test_static_files_end_at_their_folder(client: TestClient) -> None:
    assert client.get("/static/style.css").status_code == 200
    for path in ("/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd"):
        assert client.get(path).status_code == 404


# asking


def test_search_answers_as_the_library_does(client: TestClient, photos: Collection) -> None:
    found = got(client.get(f"{API}/search", params={"q": "red", "limit": 500, "fold": False}))
    expected = photos.search("red", limit=125)
    assert [hit["id"] for hit in found["hits"]] == [hit.id for hit in expected.hits]
    assert [hit["confidence"] for hit in found["hits"]] == pytest.approx([hit.confidence for hit in expected.hits])
    assert found["state"] == expected.state


def test_search_goes_on_by_cursor_without_gap_or_repeat(client: TestClient) -> None:
    whole = got(client.get(f"{API}/search", params={"q": "red", "limit": 500, "fold": False}))
    ids, cursor = [], None
    for _ in range(50):
        params = {"q": "red", "limit": 5, "fold": False, **({"cursor": cursor} if cursor else {})}
        part = got(client.get(f"{API}/search", params=params))
        ids += [hit["id"] for hit in part["hits"]]
        cursor = part["next"]
        if cursor is None:
            break
    assert ids == [hit["id"] for hit in whole["hits"]]


def test_search_takes_negatives_a_rule_and_a_picture(client: TestClient, photos: Collection) -> None:
    ruled = got(client.get(f"{API}/search", params={"q": "red", "where": "width > 8"}))
    assert {hit["width"] for hit in ruled["hits"]} == {9}
    without = got(client.get(f"{API}/search", params={"q": "red", "negative": ["green"]}))
    assert all(hit["margin"] is not None for hit in without["hits"])
    like = got(client.get(f"{API}/search", params={"q": "red", "image": id_of(photos, "red.png")}))
    assert id_of(photos, "red.png") not in [hit["id"] for hit in like["hits"]]
    got(client.get(f"{API}/search", params={"q": "red", "image": "/etc/passwd"}), 404)


@pytest.mark.parametrize(
    "params", [{}, {"q": ""}, {"q": "x" * 3000}, {"q": "red", "limit": 0}, {"q": "red", "threshold": 2}]
)
def test_a_search_that_cannot_be_asked_says_which_parameter(client: TestClient, params: dict[str, Any]) -> None:
    assert got(client.get(f"{API}/search", params=params), 422)["parameters"]


def test_a_rule_that_cannot_be_read_says_where(client: TestClient) -> None:
    problem = got(client.get(f"{API}/images", params={"where": "red and rde"}), 400)
    assert "position 9" in problem["detail"]
    assert problem["title"] == "The rule cannot be read"
    got(client.get(f"{API}/images", params={"sort": "nonsense"}), 400)
    got(client.get(f"{API}/facets", params={"names": "nonsense"}), 400)


def test_the_rules_of_facets_select_what_was_counted(client: TestClient) -> None:
    for facet in got(client.get(f"{API}/facets", params={"names": "shows,format,width,red"})):
        for value in facet["values"]:
            assert got(client.get(f"{API}/rule", params={"text": value["rule"]}))["images"] == value["count"]


def test_facets_of_a_search_count_what_is_likely(client: TestClient, photos: Collection) -> None:
    (facet,) = got(client.get(f"{API}/facets", params={"q": "red", "names": "format"}))
    likely = int((photos.score(photos.view(), "red") >= 0.5).sum())
    assert sum(v["count"] for v in facet["values"]) == likely


def test_query_gives_rows(client: TestClient, photos: Collection) -> None:
    found = got(client.get(f"{API}/query", params={"rule": "red is accepted", "show": "red"}))
    assert found["rows"] == [pytest.approx(row) for row in photos.query("red is accepted", show=["red"])]


# columns


def test_columns_and_their_counts(client: TestClient, photos: Collection) -> None:
    lines = got(client.get(f"{API}/columns"))
    assert [(line["code"], line["accepted"], line["state"]) for line in lines] == [
        (s.code, s.accepted, s.state) for s in photos.columns()
    ]
    found = got(client.get(f"{API}/columns/red"))
    p = photos.view(["red"]).values("red").confidence
    assert found["at_least"] == [int((p >= k / 1000).sum()) for k in range(1001)]
    assert sum(found["histogram"]["counts"]) == len(p)
    got(client.get(f"{API}/columns/nonsense"), 404)


def test_what_if_equals_the_formula_and_changes_nothing(client: TestClient, photos: Collection) -> None:
    before = photos.view(["red"]).values("red").confidence.copy()
    found = got(client.get(f"{API}/columns/red", params={"center": 30, "scale": 2}))
    p = 1 / (1 + np.exp(-(photos.view(["red"]).logits("red").astype(float) - 30) / 2))
    assert found["at_least"][800] == int((p >= 0.8).sum())
    assert found["state"] == "what if"
    assert (photos.view(["red"]).values("red").confidence == before).all()


def test_examples_lie_on_their_sides_of_the_edges(client: TestClient) -> None:
    found = got(client.get(f"{API}/columns/red/examples", params={"accepted": 0.7, "tentative": 0.2, "limit": 3}))
    assert all(i["confidences"]["red"] >= 0.7 for i in found["surest"] + found["just_accepted"])
    assert all(0.2 <= i["confidences"]["red"] < 0.7 for i in found["just_not_accepted"] + found["just_tentative"])
    assert all(i["confidences"]["red"] < 0.2 for i in found["just_rejected"] + found["surely_not"])
    shown = [i["id"] for group in found.values() for i in group]
    assert len(shown) == len(set(shown))


def test_labels_are_asked_for_given_withdrawn_and_calibrated(client: TestClient, photos: Collection) -> None:
    asked = got(client.post(f"{API}/columns/red/queue", json={"size": 20}))
    assert got(client.post(f"{API}/columns/red/queue", json={"size": 20})) == asked
    for question in asked:
        value = question["name"] in ("red.png", "red copy.png", "orange.png")
        got(client.put(f"{API}/columns/red/labels/{question['id']}", json={"value": value}))
    assert len(photos.labels(["red"])) == len(asked)
    done = got(client.post(f"{API}/columns/red/calibrate"))
    assert done["report"]["n"] == len(asked)
    assert got(client.get(f"{API}/columns/red/reliability"))["n"] == len(asked)
    got(client.put(f"{API}/columns/red/labels/{asked[0]['id']}", json={"value": None}))
    assert len(photos.labels(["red"])) == len(asked) - 1
    got(client.put(f"{API}/columns/red/labels/{asked[0]['id']}", json={"value": "perhaps"}), 422)
    assert got(client.get(f"{API}/columns/green/reliability")) is None


def test_settings_are_put_in_use_and_taken_back(client: TestClient) -> None:
    before = got(client.get(f"{API}/columns/red"))["at_least"]
    got(client.put(f"{API}/columns/red/settings", json={"center": 20.0, "scale": 1.0}))
    changed = got(client.get(f"{API}/columns/red"))
    assert changed["at_least"] != before
    assert changed["calibration"]["params"]["center"] == 20.0
    assert len(got(client.get(f"{API}/columns/red/history"))) == 2
    got(client.delete(f"{API}/columns/red/settings"))
    assert got(client.get(f"{API}/columns/red"))["at_least"] == before
    got(client.put(f"{API}/columns/red/settings", json={"center": 20.0, "scale": 0.0}), 422)
    got(client.put(f"{API}/columns/warm/settings", json={"center": 20.0, "scale": 1.0}), 400)


def test_band_edges_move_in_the_vocabulary_and_nothing_else_does(client: TestClient, photos: Collection) -> None:
    green = photos.view(["green"]).thresholds("green")
    assert got(client.put(f"{API}/columns/red/thresholds", json={"accepted": 0.93, "tentative": 0.31})) == {
        "accepted": 0.93,
        "tentative": 0.31,
    }
    assert photos.view(["green"]).thresholds("green") == green
    got(client.put(f"{API}/columns/red/thresholds", json={"accepted": 0.3, "tentative": 0.9}), 422)


@pytest.mark.parametrize(
    "entry",
    [
        "  - {code: red, label: Red, description: red}  # a comment\n",
        "  - code: red  # here too\n    label: Red\n    description: red\n",
        "  - label: Red\n    code: red\n    accepted: 0.9\n    description: red\n",
        "  - {accepted: 0.7, code: red, description: red, tentative: 0.6}\n",
    ],
)
def test_edges_are_edited_in_any_style_and_comments_stay(entry: str) -> None:
    text = f"# on top\nbase_attributes:\n{entry}  - {{code: green, description: green}}\n# below\n"
    found = banding.moved(parse(text, "v.yaml"), "red", Thresholds(0.85, 0.25))
    assert found["red"].thresholds == Thresholds(0.85, 0.25)
    assert found["green"].thresholds == Thresholds()
    assert next(line for line in text.splitlines() if "#" in line) in found.text
    assert found.text.rstrip().endswith("# below")


# vocabulary


def test_a_vocabulary_is_checked_with_lines(client: TestClient) -> None:
    found = got(client.post(f"{API}/vocabulary/check", json={"text": "base_attributes:\n  - {code: 1x}\n"}))
    assert not found["right"]
    assert found["problems"][0]["line"] == 2
    right = got(client.post(f"{API}/vocabulary/check", json={"text": VOCABULARY + "  # more\n"}))
    assert (right["right"], right["columns"], right["changed"]) == (True, [], True)
    got(client.put(f"{API}/vocabulary", json={"text": "base_attributes: ["}), 422)


def test_a_column_that_is_tried_is_the_column_that_is_made(client: TestClient, photos: Collection) -> None:
    before = photos.codes()
    tried = got(client.post(f"{API}/vocabulary/preview", json={"description": "yellow", "negatives": ["blue"]}))
    assert photos.codes() == before
    text = VOCABULARY.replace(
        "derived_attributes:", "  - {code: sunny, description: yellow, negatives: [blue]}\nderived_attributes:"
    )
    done = got(client.put(f"{API}/vocabulary", json={"text": text}))
    assert done["columns"] == ["sunny"]
    made = got(client.get(f"{API}/columns/sunny"))
    assert made["at_least"] == tried["at_least"]
    best = photos.query("id is not null", show=["sunny"], sort="-sunny", limit=1)
    assert tried["best"][0]["confidence"] == pytest.approx(next(iter(best))["sunny"])


@pytest.mark.parametrize("body", [{}, {"description": ""}, {"description": "x", "template": "all alike"}])
def test_a_preview_that_cannot_be_made_is_refused(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post(f"{API}/vocabulary/preview", json=body).status_code in (400, 422)


# saying


def test_overrides_and_words(client: TestClient, photos: Collection) -> None:
    image = id_of(photos, "blue.png")
    got(client.put(f"{API}/images/{image}/overrides/red", json={"value": True}))
    cell = next(c for c in got(client.get(f"{API}/images/{image}"))["cells"] if c["code"] == "red")
    assert (cell["source"], cell["confidence"]) == ("person", 1.0)
    assert cell["model_confidence"] < 0.5
    got(client.put(f"{API}/images/{image}/overrides/red", json={"value": None}))
    assert not photos.catalog.overrides()
    got(client.put(f"{API}/images/{image}/overrides/warm", json={"value": True}), 400)
    said = got(client.patch(f"{API}/images/{image}/words", json={"tags": ["sea", "sky"], "description": "An evening."}))
    assert said == {"tags": ["sea", "sky"], "description": "An evening."}
    said = got(client.patch(f"{API}/images/{image}/words", json={"untag": ["sea"], "description": ""}))
    assert said == {"tags": ["sky"], "description": None}
    got(client.patch(f"{API}/images/{image}/words", json={"tags": ["  "]}), 400)


def test_feedback_is_kept_with_its_rank_and_counted(client: TestClient, photos: Collection) -> None:
    headers = {"X-Sextant-Visitor": "ada"}
    hits = got(client.get(f"{API}/search", params={"q": "red"}, headers=headers))["hits"]
    shown = got(client.post(f"{API}/impressions", json={"asked": {"q": "red"}, "shown": 10}, headers=headers))
    for kind, place in (("picked", 1), ("up", 2)):
        body = {"kind": kind, "image": hits[place]["id"], "impression": shown["impression"]}
        got(client.post(f"{API}/feedback", json=body, headers=headers))
    assert [(e.kind, e.rank, e.person) for e in photos.events()] == [("up", 3, "ada"), ("picked", 2, "ada")]
    assert got(client.get(f"{API}/feedback/metrics"))["overall"]["shown"] == 1
    got(client.post(f"{API}/feedback", json={"kind": "loved", "image": hits[0]["id"]}), 422)
    got(client.post(f"{API}/feedback", json={"kind": "up", "image": hits[0]["id"], "impression": 999}), 400)


def test_a_thumb_on_a_column_is_a_label(client: TestClient, photos: Collection) -> None:
    got(client.post(f"{API}/feedback", json={"kind": "up", "image": id_of(photos, "red.png"), "code": "red"}))
    assert [(row["path"], row["value"]) for row in photos.labels(["red"])] == [("red.png", True)]


def test_an_experiment_answers_a_visitor_always_the_same_way(client: TestClient, photos: Collection) -> None:
    photos.start_experiment("fold", {"diversity": 0.0}, {"diversity": 0.5})
    seen = {}
    for visitor in ("ada", "bob", "eve", "joe", "max", "zoe", "ida", "kim"):
        answers = {
            got(client.get(f"{API}/search", params={"q": "red"}, headers={"X-Sextant-Visitor": visitor}))["variant"]
            for _ in range(2)
        }
        assert answers == {photos.assign("fold", visitor).variant}
        seen[visitor] = answers.pop()
    assert len(set(seen.values())) == 2


def test_review(client: TestClient, photos: Collection) -> None:
    found = got(client.get(f"{API}/review", params={"conflict": "red and warm"}))
    assert found["counts"]["conflict"] == len(photos.query("red and warm"))
    got(client.get(f"{API}/review", params={"conflict": "rde"}), 400)


# uploads


def upload(client: TestClient, data: bytes, name: str = "new.jpg", **fields: str) -> Any:
    return client.post(f"{API}/images", files={"file": (name, data, "image/jpeg")}, data=fields)


def test_an_upload_is_embedded_tagged_and_scored(client: TestClient, photos: Collection, tmp_path: Path) -> None:
    made = got(upload(client, jpeg("red"), "Sea & sky.jpg", tags="sea, sky", description="An evening."), 201)
    assert made["added"]
    assert made["path"].startswith("uploads/Sea-sky-")
    assert (tmp_path / "photos" / made["path"]).read_bytes() == jpeg("red")
    found = got(client.get(f"{API}/images/{made['id']}"))
    assert (found["tags"], found["description"]) == (["sea", "sky"], "An evening.")
    assert next(c for c in found["cells"] if c["code"] == "red")["band"] == "accepted"
    again = got(upload(client, jpeg("red"), tags="more"), 201)
    assert (again["added"], again["id"]) == (False, made["id"])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"root:x:0:0", "not an image"),
        (b"<svg onload=alert(1)>", "SVG"),
        (b"<!doctype html><script>", "web page"),
        (jpeg(size=(200, 200))[:300], "damaged|truncated"),
        (b"%PDF-1.4", "PDF"),
    ],
)
def test_what_is_no_picture_is_refused_and_leaves_nothing(
    client: TestClient, tmp_path: Path, photos: Collection, data: bytes, why: str
) -> None:
    before = len(photos.view())
    problem = got(upload(client, data, "../../evil.jpg"), 415)
    assert re.search(why, problem["detail"], re.IGNORECASE)
    assert len(photos.view()) == before
    assert not list((tmp_path / "photos").glob("uploads/*"))
    assert not list(tmp_path.glob("*evil*"))


def test_a_decompression_bomb_is_refused_before_it_unpacks(client: TestClient) -> None:
    out = io.BytesIO()
    Image.new("1", (8_000, 8_000)).save(out, "PNG")
    assert "decompression bomb" in got(upload(client, out.getvalue(), "bomb.png"), 415)["detail"]


@pytest.mark.parametrize(
    "name", ["../../../tmp/x.jpg", "..\\..\\x.jpg", "/etc/cron.d/x", "a\x00b.jpg", "=cmd.jpg", "é😀.png", ""]
)
def test_an_upload_is_called_what_we_call_it(client: TestClient, tmp_path: Path, name: str) -> None:
    answer = upload(client, jpeg("pink", (12, 12 + len(name))), name)
    if answer.status_code == 201:
        path = tmp_path / "photos" / answer.json()["path"]
        assert path.parent == tmp_path / "photos" / "uploads"
        assert path.name.replace("-", "").replace(".", "").isalnum()
        assert path.name.isascii()
    else:
        got(answer, 400)


def test_an_upload_that_is_too_large_or_no_form_is_refused(photos: Collection) -> None:
    with TestClient(application([photos], most_upload=20_000), base_url="http://localhost") as client:
        got(upload(client, b"x" * 30_000), 413)
        got(client.post(f"{API}/images", content=b"x", headers={"Content-Type": "image/jpeg"}), 415)
        got(client.post(f"{API}/images", data={"file": "text"}), 415)
        got(client.post(f"{API}/images", files={"other": ("x.jpg", jpeg())}), 400)
        got(
            client.post(f"{API}/images", content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=y"}),
            400,
        )
        two = [("file", ("a.jpg", jpeg())), ("file", ("b.jpg", jpeg()))]
        got(client.post(f"{API}/images", files=two), 400)
        got(upload(client, jpeg(), tags=",".join("abcdef"[k % 6] * 3 + str(k) for k in range(200))), 422)

        def endless() -> Iterator[bytes]:
            yield b"--y\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"
            for _ in range(100):
                yield b"x" * 1000

        headers = {"Content-Type": "multipart/form-data; boundary=y"}
        got(client.post(f"{API}/images", content=endless(), headers=headers), 413)
        got(client.put(f"{API}/vocabulary", json={"text": "x" * 3_000_000}), 413)


# exports


def export(client: TestClient, **body: Any) -> bytes:
    made = got(client.post(f"{API}/exports", json=body), 201)
    found = client.get(f"{API}/exports/{made['id']}")
    assert found.status_code == 200
    assert made["name"] in found.headers["content-disposition"]
    assert len(found.content) == made["bytes"]
    return found.content


def test_picks_go_out_with_where_they_come_from(client: TestClient, photos: Collection, tmp_path: Path) -> None:
    picks = [
        {"id": id_of(photos, "red.png"), "query": "something red"},
        {"id": id_of(photos, "blue.png"), "rule": "blue"},
    ]
    document = json.loads(export(client, picks=picks, format="json"))
    assert [i["path"] for i in document["images"]] == ["red.png", "blue.png"]
    assert document["images"][0]["found_by"] == {"query": "something red", "rule": None}
    assert document["encoder"] == "fake@1"
    assert document["columns"]["red"]["calibration"] == photos.columns()[0].calibration
    assert {"code": "red", "band": "accepted"}.items() <= document["images"][0]["shows"][0].items()
    with zipfile.ZipFile(io.BytesIO(export(client, picks=picks, format="zip"))) as archive:
        names = archive.namelist()
        assert names == ["pictures/00001-red.png", "pictures/00002-blue.png", "picks.csv", "provenance.json"]
        assert archive.read(names[0]) == (tmp_path / "photos" / "red.png").read_bytes()
        assert json.loads(archive.read("provenance.json"))["images"][1]["file"] == names[1]
    rows = list(csv.DictReader(io.StringIO(export(client, picks=picks, format="csv").decode())))
    assert [row["path"] for row in rows] == ["red.png", "blue.png"]
    assert rows[0]["found_by_query"] == "something red"


def test_an_export_by_rule_has_what_the_rule_has(client: TestClient, photos: Collection) -> None:
    lines = export(client, where="red is accepted", format="jsonl").decode().splitlines()
    assert [json.loads(line)["path"] for line in lines] == [row["path"] for row in photos.query("red is accepted")]


def test_an_export_of_nothing_is_refused(client: TestClient) -> None:
    got(client.post(f"{API}/exports", json={"picks": [{"id": "x"}]}), 400)
    got(client.post(f"{API}/exports", json={"format": "csv"}), 400)
    got(client.post(f"{API}/exports", json={"picks": [], "format": "exe"}), 422)
    got(client.get(f"{API}/exports/{'0' * 24}"), 404)
    got(client.get(f"{API}/exports/..%2f..%2fetc"), 404)


def test_formulas_in_words_are_defused_and_markup_is_text(client: TestClient, photos: Collection) -> None:
    image = id_of(photos, "red.png")
    evil = "=cmd|'/c calc'!A1"
    markup = '<img src=x onerror="alert(1)">'
    got(client.patch(f"{API}/images/{image}/words", json={"tags": [evil], "description": markup}))
    got(client.patch(f"{API}/images/{id_of(photos, 'blue.png')}/words", json={"tags": [markup]}))
    rows = list(
        csv.DictReader(io.StringIO(export(client, picks=[{"id": image, "query": "=1+1"}], format="csv").decode()))
    )
    assert rows[0]["tags"].startswith("'")
    assert rows[0]["found_by_query"] == "'=1+1"
    page = client.get(f"/c/photos/images/{image}").text
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert "<img src=x" not in client.get(f"/c/photos/images/{id_of(photos, 'blue.png')}").text
    shown = client.get("/c/photos", params={"q": '"><script>alert(1)</script>', "where": "<b>", "sort": '"'}).text
    assert "<script>alert" not in shown
    assert "<b>" not in shown


# the whole


def test_health_metrics_and_collections(client: TestClient, photos: Collection) -> None:
    assert got(client.get("/api/v1/health"))["status"] == "ok"
    got(client.get(f"{API}/images"))
    text = client.get("/api/v1/metrics").text
    assert 'sextant_images{collection="photos"} 27' in text
    route = "/api/v1/collections/{collection}/images"
    assert f'sextant_requests_total{{method="GET",route="{route}",status="200"}} 1' in text
    assert f'sextant_request_seconds_bucket{{route="{route}",le="+Inf"}} 1' in text
    assert got(client.get("/api/v1/collections")) == [{"name": "photos", "images": 27, "columns": 5, "ready": True}]
    assert got(client.get(API))["encoder"] == "fake@1"
    assert str(photos.folder) not in client.get(API).text


def test_every_answer_is_strict_and_every_address_known(client: TestClient) -> None:
    for path in ("/c/photos", "/api/v1/health", "/nothing", "/static/api.js"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    got(client.get("/nothing"), 404)
    got(client.delete(f"{API}/images"), 405)
    got(client.get("/api/v1/collections/others/images"), 404)
    page = client.get("/nothing", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "<h1>" in page.text


PAGES = ("", "/curate", "/columns", "/columns/red", "/columns/warm", "/vocabulary", "/review", "/feedback", "/models")


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_no_script_of_their_own_and_a_heading(client: TestClient, path: str) -> None:
    answer = client.get(f"/c/photos{path}")
    assert answer.status_code == 200
    assert answer.text.count("<h1") == 1
    assert "<script>" not in answer.text
    assert " onclick" not in answer.text
    assert ' style="' not in answer.text
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    assert "https://" not in answer.text


def test_pages_after_everything_was_used(client: TestClient, photos: Collection) -> None:
    test_labels_are_asked_for_given_withdrawn_and_calibrated(client, photos)
    test_feedback_is_kept_with_its_rank_and_counted(client, photos)
    photos.start_experiment("fold", {"fold": False}, {"fold": True})
    photos.override("blue.png", "red", True)
    for path in (*PAGES, f"/images/{id_of(photos, 'blue.png')}"):
        assert client.get(f"/c/photos{path}").status_code == 200


def test_a_collection_without_a_vocabulary_or_pictures_is_served(tmp_path: Path) -> None:
    with opened(tmp_path / "bare") as bare:
        picture(tmp_path / "bare" / "red.png", "red")
        bare.add(tmp_path / "bare")
        with TestClient(application([bare]), base_url="http://localhost") as client:
            for path in ("", "/curate", "/columns", "/vocabulary", "/review", "/feedback", "/models"):
                assert client.get(f"/c/bare{path}").status_code == 200
            assert got(client.get("/api/v1/collections/bare/vocabulary"))["there"] is False
            text = "base_attributes:\n  - {code: red, description: red}\n"
            assert got(client.put("/api/v1/collections/bare/vocabulary", json={"text": text}))["columns"] == ["red"]


def test_a_collection_that_is_removed_while_served_says_so(
    client: TestClient, photos: Collection, tmp_path: Path
) -> None:
    got(client.get(f"{API}/images"))
    (tmp_path / "photos" / ".sextant").rename(tmp_path / "elsewhere")
    assert "no longer where it was" in got(client.get(f"{API}/images"), 410)["detail"]
    assert got(client.get("/api/v1/health"))["status"] == "degraded"
    assert got(client.get("/api/v1/collections"))[0]["ready"] is False
    (tmp_path / "elsewhere").rename(tmp_path / "photos" / ".sextant")
    got(client.get(f"{API}/images"))


def test_names_of_collections_are_told_apart(tmp_path: Path) -> None:
    with opened(tmp_path / "a" / "My Photos!") as one, opened(tmp_path / "b" / "my-photos") as two:
        assert [served.name for served in Shelf([one, two])] == ["my-photos", "my-photos-2"]
    assert slug("…") == "collection"


def test_the_api_describes_itself(client: TestClient) -> None:
    found = got(client.get("/api/v1/openapi.json"))
    assert "/api/v1/collections/{collection}/search" in found["paths"]
    for methods in found["paths"].values():
        for operation in methods.values():
            assert operation["description"]
            assert "application/problem+json" in operation["responses"]["422"]["content"]
