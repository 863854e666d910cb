"""`curate` and `keep` end to end: what is shown and why, what is kept, and what is nowhere on disk afterwards."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from chats import GOOD, Chats, chat, in_turns
from fakes import COLOURS, FakeEncoder, many, opened, picture
from loopback import HERE, Server, png, running, send
from sextant.cli import cli
from sextant.collection import Collection
from sextant.curate import Candidate, Curation, Gates, Options, SavedResults, SearXng, SecondLook, choosing, scratch
from sextant.errors import CollectionError, ExchangeError, RuleError, UsageError
from sextant.fetch import Fetcher
from sextant.vlm import Endpoint

OPEN = Gates(side=0, aspect=math.inf, darkness=math.inf, spread=0, sharpness=0, confidence=0)
EASY = Options(gates=OPEN)
LICENCE = "https://example.org/licence"


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server()) as server:
        for colour in ("red", "orange", "yellow", "green", "blue"):
            server.answers[f"/{colour}"] = send(png(colour), Link=f"<{LICENCE}>; rel=license")
        server.answers["/page"] = send(b"<html>", "text/html")
        yield server


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[Collection]:
    with opened(tmp_path) as photos:
        many(tmp_path / "p", 30)
        photos.add(tmp_path / "p")
        yield photos


def curated(photos: Collection, *sources: object, options: Options = EASY, **more: Any) -> Curation:
    return photos.curate("red", *sources, options=options, fetcher=Fetcher(HERE), **more)  # type: ignore[arg-type]


def on_disk(folder: Path, data: bytes) -> list[Path]:
    """Every file below a folder that holds these bytes."""
    return [path for path in folder.rglob("*") if path.is_file() and data in path.read_bytes()]


def scene(path: Path, *, dark: float = 0.0, blank: bool = False, size: tuple[int, int] = (256, 192)) -> Path:
    """A red picture with enough in it to pass the gates, some of it black, or nothing in it."""
    rng = np.random.default_rng(len(str(path)))
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    blocks = rng.integers(40, 255, (size[1] // 8 + 1, size[0] // 8 + 1)).repeat(8, 0).repeat(8, 1)
    pixels[..., 0] = 150 if blank else blocks[: size[1], : size[0]]
    pixels[: int(dark * size[1])] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


# choosing


def test_urls_are_ranked_with_parts_that_add_up_and_nothing_enters_the_collection(
    photos: Collection, server: Server, tmp_path: Path
) -> None:
    urls = [server.url(f"/{colour}") for colour in ("blue", "yellow", "red", "orange")]
    before = photos.info()["images"]
    found = curated(photos, *urls, server.url("/page"))
    assert [one.where.rpartition("/")[2] for one in found.shown] == ["red", "orange", "yellow", "blue"]
    assert [one.rank for one in found.shown] == [1, 2, 3, 4]
    assert (found.candidates, found.state) == (5, "prior")
    for one in found.shown:
        assert one.score == pytest.approx(sum(part.points for part in one.parts), abs=1e-12)
        assert [part.name for part in one.parts] == ["clip", "resolution"]
        assert sum(part.weight for part in one.parts) == pytest.approx(1)
        assert (one.licence, one.path, one.matched) == (LICENCE, None, "red")
    (skipped,) = found.skipped
    assert skipped.reason == "the server sent 'text/html', not an image"
    assert photos.info()["images"] == before
    assert not (tmp_path / "picks").exists()
    assert all(".sextant/scratch" in str(path) for path in on_disk(tmp_path, png("red")))


def test_a_score_does_not_depend_on_the_other_candidates(photos: Collection, server: Server) -> None:
    alone = curated(photos, server.url("/orange")).shown[0]
    among = curated(photos, *(server.url(f"/{c}") for c in ("red", "orange", "blue"))).shown[1]
    assert (alone.where, alone.score, alone.margin) == (among.where, among.score, among.margin)


def test_margin_is_the_best_phrase_less_the_best_negative(photos: Collection, server: Server) -> None:
    options = Options(also=["green"], negatives=["yellow", "blue"], gates=OPEN)
    found = curated(photos, *(server.url(f"/{c}") for c in ("red", "green", "yellow")), options=options)
    by_hand = {}
    for colour in ("red", "green", "yellow"):
        v = np.array({"green": (0, 128, 0)}.get(colour, COLOURS[colour]), float)  # HTML's green is darker
        v /= np.linalg.norm(v)
        by_hand[colour] = max(v @ (1, 0, 0), v @ (0, 1, 0)) - max(v @ (0.5**0.5, 0.5**0.5, 0), v @ (0, 0, 1))
    margins = {one.where.rpartition("/")[2]: one.margin for one in found.shown}
    assert margins == pytest.approx(by_hand, abs=1e-4)
    assert {one.where.rpartition("/")[2]: one.matched for one in found.shown} == {
        "red": "red", "green": "green", "yellow": "red"}  # fmt: skip
    assert found.shown[-1].where.endswith("/yellow")


def test_the_collection_itself_by_rule_and_by_what_people_said(tmp_path: Path) -> None:
    photos = opened(tmp_path)
    for n, colour in enumerate(("red", "orange", "blue")):
        picture(tmp_path / f"{colour}.png", colour, (8 + n, 8))
    photos.add(tmp_path)
    photos.describe("orange.png", tags=["red"], description="a duck")
    found = photos.curate("red duck", options=EASY)
    orange = next(one for one in found.shown if one.path == "orange.png")
    assert {p.name: p.value for p in orange.parts}["keyword"] == 1.0
    assert "keyword" not in {p.name for p in next(o for o in found.shown if o.path == "red.png").parts}
    assert found.state == "uncalibrated"  # three pictures say nothing about a level
    ruled = photos.curate("red", where="width > 8", options=EASY)
    assert {one.path for one in ruled.shown} == {"orange.png", "blue.png"}
    with pytest.raises(RuleError):
        photos.curate("red", where="width >", options=EASY)
    with pytest.raises(UsageError, match="--where chooses among the collection's own"):
        photos.curate("red", tmp_path, where="width > 8", options=EASY)


def test_gates_refuse_with_rule_and_value_and_an_uncalibrated_confidence_refuses_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    scene(folder / "fine.png")
    scene(folder / "dark.png", dark=0.95)
    scene(folder / "blank.png", blank=True)
    scene(folder / "small.png", size=(96, 96))
    scene(folder / "narrow.png", size=(1024, 200))
    photos = opened(tmp_path / "c")
    found = photos.curate("blue", folder)
    assert [Path(one.where).name for one in found.shown] == ["fine.png"]
    assert found.state == "uncalibrated"
    refused = {Path(one.where).name: [r.rule for r in one.refusals] for one in found.refused}
    assert refused == {"dark.png": ["dark"], "blank.png": ["blank"], "small.png": ["size"], "narrow.png": ["aspect"]}
    photos.add(folder)
    inside = photos.curate("blue")  # and the same by what is stored
    assert {Path(one.where).name: [r.rule for r in one.refusals] for one in inside.refused} == refused


def test_near_duplicates_are_folded_under_their_best(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    large = scene(folder / "large.png", size=(512, 384))
    Image.open(large).resize((256, 192)).save(folder / "small.jpg")
    (folder / "copy.png").write_bytes(large.read_bytes())
    other = np.asarray(Image.open(scene(folder / "other.png", size=(512, 384))))[::-1, ::-1]
    Image.fromarray(other).save(folder / "other.png")
    photos = opened(tmp_path / "c")
    found = photos.curate("red", folder)
    assert len(found.shown) == 2
    best = next(one for one in found.shown if one.alike)
    names = [Path(best.where).name, *(Path(a.where).name for a in best.alike)]
    assert sorted(names) == ["copy.png", "large.png", "small.jpg"]
    assert names[2] == "small.jpg"
    flat = photos.curate("red", folder, options=Options(fold=False))
    assert len(flat.shown) == 3  # the same bytes are one picture all the same


def test_a_long_burst_does_not_hide_what_comes_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "FEWEST", 4)
    monkeypatch.setattr(choosing, "DEEPEST", 1)
    for n in range(9):
        picture(tmp_path / "in" / f"burst{n}.png", (250, 0, 0), (8 + n, 8))
    picture(tmp_path / "in" / "orange.png", "orange")
    found = opened(tmp_path / "c").curate("red", tmp_path / "in", options=Options(gates=OPEN, limit=2))
    assert [len(one.alike) for one in found.shown] == [8, 0]
    assert Path(found.shown[1].where).name == "orange.png"
    assert found.more == 0


def test_orientation_and_weights_change_the_order(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    scene(folder / "lying.png", size=(300, 200))
    scene(folder / "standing.png", size=(200, 300))
    photos = opened(tmp_path / "c")
    for wanted, first in (("landscape", "lying.png"), ("portrait", "standing.png")):
        options = Options(orientation=wanted, weights={"orientation": 5.0})  # type: ignore[arg-type]
        found = photos.curate("red", folder, options=options)
        assert Path(found.shown[0].where).name == first
        assert [part.name for part in found.shown[0].parts] == ["clip", "resolution", "orientation"]


@pytest.mark.parametrize(
    ("query", "options", "words"),
    [
        (" ", {}, "a phrase is empty"),
        ("red", {"also": [""]}, "a phrase is empty"),
        ("x" * 3000, {}, "3000 characters"),
        ("red", {"negatives": ["Red"]}, "asked for and ruled out at once"),
    ],
)
def test_queries_that_cannot_be(tmp_path: Path, query: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        opened(tmp_path).curate(query, tmp_path, options=Options(**options))


@pytest.mark.parametrize("options", [{"limit": 0}, {"candidates": 0}, {"orientation": "round"}, {"diversity": 2},
                                     {"weights": {"shape": 1}}])  # fmt: skip
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Options(**options)


def test_a_negative_that_holds_the_query_is_warned_about(photos: Collection) -> None:
    options = Options(negatives=["a red toy", "blue"], gates=OPEN)
    found = photos.curate("red", options=options)
    assert found.notes == (
        "the negative 'a red toy' holds every word of the query: it also counts against what is wanted",
    )


def test_nothing_to_choose_from(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        opened(tmp_path).curate("red", options=Options(sheet=tmp_path / "none" / "page.html"))
    with pytest.raises(CollectionError, match="empty"):
        opened(tmp_path).curate("red")
    (tmp_path / "none").mkdir()
    found = opened(tmp_path).curate("red", tmp_path / "none")
    assert (found.shown, found.candidates, found.diverse) == ((), 0, ())


# providers


def test_a_searxng_on_this_machine_is_asked_and_its_pictures_are_fetched_by_the_strict_rules(
    photos: Collection, server: Server, tmp_path: Path
) -> None:
    rows = [
        {"url": "https://example.org/a", "title": "A red duck", "img_src": server.url("/red")},
        {"url": "https://example.org/b", "title": "Something", "content": "blue", "img_src": server.url("/orange")},
    ]
    server.answers["/search"] = send(json.dumps({"results": rows}).encode(), "application/json")
    provider = SearXng(server.url(""))
    strict = photos.curate("red", providers=[provider], options=EASY)
    assert not strict.shown
    assert all(f"port {server.server_port} is refused" in skipped.reason for skipped in strict.skipped)
    found = curated(photos, providers=[provider])
    first, second = found.shown
    assert (first.title, first.page) == ("A red duck", "https://example.org/a")
    assert {p.name: p.value for p in first.parts}["keyword"] == 1.0
    assert {p.name: p.value for p in second.parts}["keyword"] == 0.0
    (tmp_path / "saved.json").write_text(json.dumps(rows[:1]))
    saved = curated(photos, providers=[SavedResults(tmp_path / "saved.json")])
    assert [one.where for one in saved.shown] == [server.url("/red")]


class Broken:
    def search(self, query: str, limit: int) -> Iterator[Candidate]:
        raise ExchangeError("nobody is there")


class One:
    def __init__(self, *urls: str) -> None:
        self.urls = urls

    def search(self, query: str, limit: int) -> Iterator[Candidate]:
        yield from map(Candidate, self.urls)


def test_one_provider_that_fails_is_noted_and_only_all_of_them_are_an_error(photos: Collection, server: Server) -> None:
    found = curated(photos, providers=[Broken(), One(server.url("/red"))])
    assert (len(found.shown), found.notes) == (1, ("nobody is there",))
    with pytest.raises(UsageError, match="nobody is there"):
        curated(photos, providers=[Broken()])


def test_candidates_have_a_limit_and_phrases_take_turns(photos: Collection, server: Server) -> None:
    urls = [server.url(f"/{c}") for c in ("red", "orange", "yellow", "blue")]
    found = curated(photos, providers=[One(*urls)], options=Options(also=["blue"], candidates=2, gates=OPEN))
    assert found.candidates == 2
    assert len(server.asked) == 2


# keeping


def test_only_picks_are_stored_named_and_with_their_provenance(
    photos: Collection, server: Server, tmp_path: Path
) -> None:
    urls = [server.url(f"/{colour}") for colour in ("red", "orange", "blue")]
    found = curated(photos, *urls, options=Options(gates=OPEN, name="The Reds"))
    assert on_disk(tmp_path, png("blue"))
    asked = len(server.asked)
    kept = photos.keep(1, 2)
    assert len(server.asked) == asked  # what waited was used
    assert (kept.curation, kept.name, kept.skipped) == (found.number, "reds", ())
    for pick, colour in zip(kept.picks, ("red", "orange"), strict=True):
        assert pick.path == f"picks/reds/reds-{pick.rank:02d}-{pick.image[:8]}.png"
        assert (tmp_path / pick.path).read_bytes() == png(colour)
    assert on_disk(tmp_path, png("blue")) == []
    assert not any(p.is_dir() for p in (tmp_path / ".sextant" / "scratch").iterdir())
    assert photos.info()["images"] == 32
    rows = photos.picks()
    assert [(r.name, r.rank, r.url, r.licence) for r in rows] == [
        ("reds", 1, urls[0], LICENCE), ("reds", 2, urls[1], LICENCE)]  # fmt: skip
    assert rows[0].score == pytest.approx(sum(part["points"] for part in rows[0].parts))
    assert rows[0].fetched_at is not None
    assert photos.keep(1).picks[0].path == kept.picks[0].path  # again: nothing is written twice
    assert len(photos.picks()) == 2
    (late,) = photos.keep(3, fetcher=Fetcher(HERE)).picks
    assert late.url == urls[2]  # an afterthought is fetched again
    assert len(list((tmp_path / "picks").rglob("*.png"))) == 3


def test_an_afterthought_is_kept_only_if_it_is_still_the_same(
    photos: Collection, server: Server, tmp_path: Path
) -> None:
    found = curated(photos, server.url("/red"), server.url("/orange"))
    curated(photos, server.url("/yellow"))  # the next run clears what waited
    assert on_disk(tmp_path, png("red")) == []
    server.answers["/red"] = send(png("blue"))
    kept = photos.keep(1, 2, curation=found.number, fetcher=Fetcher(HERE))
    assert [pick.url for pick in kept.picks] == [server.url("/orange")]
    (skipped,) = kept.skipped
    assert skipped.reason == "it is another picture now than when it was shown: curate again"
    assert on_disk(tmp_path, png("blue")) == []


def test_what_the_collection_has_stays_where_it_is(photos: Collection, tmp_path: Path) -> None:
    found = photos.curate("red", options=EASY)
    kept = photos.keep(1)
    assert kept.picks[0].path == found.shown[0].path
    assert not (tmp_path / "picks").exists()
    known = photos.curate("red", tmp_path / "p", options=EASY)
    assert known.shown[0].path == known.shown[0].where


def test_files_from_elsewhere_are_copied_and_unpicked_ones_left_alone(tmp_path: Path) -> None:
    for colour in ("red", "blue"):
        picture(tmp_path / "in" / f"{colour}.png", colour)
    photos = opened(tmp_path / "c")
    photos.curate("red", tmp_path / "in", options=EASY)
    (pick,) = photos.keep(1).picks
    assert (tmp_path / "c" / pick.path).read_bytes() == (tmp_path / "in" / "red.png").read_bytes()
    assert sorted(p.name for p in (tmp_path / "in").iterdir()) == ["blue.png", "red.png"]
    assert photos.info()["images"] == 1


def test_automatic_picks_are_good_and_differ(tmp_path: Path) -> None:
    for n in range(4):
        picture(tmp_path / "in" / f"red{n}.png", (250 - n, 0, 0), (8 + n, 8))
    picture(tmp_path / "in" / "orange.png", "orange")
    photos = opened(tmp_path / "c")
    options = Options(gates=OPEN, fold=False, diversity=0.9)
    found = photos.curate("red", tmp_path / "in", options=options)
    assert sorted(found.diverse) == [1, 2, 3, 4, 5]
    assert found.diverse[0] == 1
    assert Path(found.shown[found.diverse[1] - 1].where).name == "orange.png"
    kept = photos.keep(best=2)
    assert tuple(pick.rank for pick in kept.picks) == found.diverse[:2]
    plain = photos.curate("red", tmp_path / "in", options=Options(gates=OPEN, fold=False, diversity=0))
    assert plain.diverse == (1, 2, 3, 4, 5)


def test_what_waits_can_be_discarded(photos: Collection, server: Server, tmp_path: Path) -> None:
    curated(photos, server.url("/red"))
    assert on_disk(tmp_path, png("red"))
    assert (photos.discard(), photos.discard()) == (1, 0)
    assert on_disk(tmp_path, png("red")) == []


def test_what_passed_and_is_not_shown_is_counted(photos: Collection) -> None:
    found = photos.curate("red", options=Options(gates=OPEN, limit=3, fold=False))
    assert (len(found.shown), found.more, len(found.refused), found.candidates) == (3, 27, 0, 30)
    folded = photos.curate("red", options=EASY)
    assert sum(1 + len(one.alike) for one in folded.shown) + folded.more == 30


def test_picks_that_cannot_be(photos: Collection) -> None:
    with pytest.raises(UsageError, match="there is no curation yet"):
        photos.keep(1)
    photos.curate("red", options=Options(gates=OPEN, limit=3, fold=False))
    for arguments, words in (((9,), "showed 1 to 3, not 9"), ((0,), "not 0"), ((), "say which")):
        with pytest.raises(UsageError, match=words):
            photos.keep(*arguments)
    with pytest.raises(UsageError, match="no curation 7"):
        photos.keep(1, curation=7)
    with pytest.raises(UsageError, match="at least 1"):
        photos.keep(best=0)


# what is left on disk


def test_a_failure_in_the_middle_leaves_nothing(photos: Collection, server: Server, tmp_path: Path) -> None:
    class Stumbling(FakeEncoder):
        def encode_texts(self, texts: Any) -> Any:
            raise KeyboardInterrupt

    other = opened(tmp_path / "other", FakeEncoder())
    other.add(picture(tmp_path / "other" / "a.png", "green"))
    url = server.url("/red")
    server.answers["/red"] = send(png("red"))

    def stopping(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        other.curate("red", url, options=EASY, fetcher=Fetcher(HERE), progress=stopping)
    assert server.asked
    assert on_disk(tmp_path / "other", png("red")) == []


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fakes import opened
from loopback import HERE
from sextant.curate import Options
from sextant.fetch import Fetcher
opened(Path(sys.argv[2])).curate("red", *sys.argv[3:], options=Options(), fetcher=Fetcher(HERE))
"""


def test_a_killed_run_leaves_nothing_after_the_next_one(tmp_path: Path, server: Server) -> None:
    def hang(request: Any) -> None:
        time.sleep(90)

    server.answers["/hang"] = hang
    urls = [server.url(path) for path in ("/red", "/orange", "/hang")]
    arguments = [sys.executable, "-W", "ignore", "-c", WORKER, str(Path(__file__).parent), str(tmp_path / "c"), *urls]
    worker = subprocess.Popen(arguments)
    try:
        until = time.monotonic() + 60
        while not on_disk(tmp_path, png("orange")) and time.monotonic() < until and worker.poll() is None:
            time.sleep(0.02)
        photos = opened(tmp_path / "c")
        assert photos.curate("red", picture(tmp_path / "green.png", "green"), options=EASY).shown
        assert on_disk(tmp_path, png("red"))  # another run that is alive is left alone
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    assert on_disk(tmp_path, png("red"))
    photos.curate("red", tmp_path / "green.png", options=EASY)
    assert on_disk(tmp_path, png("red")) == on_disk(tmp_path, png("orange")) == []


def test_a_scratch_folder_is_named_by_nobody_else(tmp_path: Path) -> None:
    place = scratch.Scratch(tmp_path)
    file = place.keep(f"{'a' * 32}.png", b"1")
    assert scratch.clean(tmp_path) == 0
    assert scratch.file_in(tmp_path, place.name, "a" * 32) == file
    for name in ("", "..", "../scratch", "/etc", f"x/{place.name}"):
        assert scratch.file_in(tmp_path, name, "*") is None
        scratch.drop(tmp_path, name)
    assert file.exists()
    place.release()
    assert scratch.clean(tmp_path) == 1
    assert not file.exists()
    assert scratch.clean(tmp_path / "none") == 0


# the second look


def test_a_model_reorders_those_that_lead_and_refuses_what_is_irrelevant(tmp_path: Path) -> None:
    for n, colour in enumerate(("red", "orange", "yellow", "green")):
        picture(tmp_path / "in" / f"{colour}.png", colour, (8 + n, 8))
    photos = opened(tmp_path / "c")
    verdicts = {8: 1, 9: 5, 10: 10}  # by the width of the picture as it arrives: red is irrelevant, yellow best

    def judge(request: Any) -> None:
        sent = json.loads(request.body)["messages"][0]["content"][1]["image_url"]["url"]
        width = Image.open(io.BytesIO(base64.b64decode(sent.partition(",")[2]))).width
        chat({**GOOD, "relevance": verdicts[width], "quality": 5})(request)

    with running(Chats(judge)) as server:
        endpoint = Endpoint(server.url(""), "gemma3")
        second = SecondLook(endpoint, top=3, calls=3)
        found = _one_by_one(photos, tmp_path / "in", second)
        assert len(server.bodies) == 3
        again = _one_by_one(photos, tmp_path / "in", second)
        assert len(server.bodies) == 3
    names = [Path(one.where).name for one in found.shown]
    assert names == ["yellow.png", "orange.png", "green.png"]
    (refused,) = found.refused
    assert (Path(refused.where).name, refused.refusals[0].rule) == ("red.png", "relevance")
    first, last = found.shown[0], found.shown[-1]
    assert first.verdict is not None
    assert {p.name: p.value for p in first.parts}["vlm"] == (3 * 10 + 5) / 40
    assert first.score == pytest.approx(sum(p.points for p in first.parts))
    assert (last.verdict, last.remark) == (None, "not among the 3 that the model was asked about")
    assert found.usage is not None
    assert again.usage is not None
    assert (found.usage.calls, found.usage.answered, again.usage.calls, again.usage.cached) == (3, 3, 0, 3)
    assert [one.score for one in again.shown] == [one.score for one in found.shown]


def _one_by_one(photos: Collection, folder: Path, second: SecondLook) -> Curation:
    return photos.curate(
        "red", folder, options=Options(gates=Gates(0, math.inf, math.inf, 0, 0, 0), second=second, weights={"vlm": 6.0})
    )


@pytest.mark.parametrize("answer", [send(b"", "application/json", 500), chat("prose"), chat({"relevance": 3}), None])
def test_without_an_endpoint_the_ranking_stands_and_says_so(tmp_path: Path, answer: Any) -> None:
    for n, colour in enumerate(("red", "orange", "yellow", "green", "blue")):
        picture(tmp_path / "in" / f"{colour}.png", colour, (8 + n, 8))
    photos = opened(tmp_path / "c")
    plain = photos.curate("red", tmp_path / "in", options=EASY)
    with running(Chats(answer)) as server:
        url = server.url("") if answer else "http://127.0.0.1:9"
        second = SecondLook(Endpoint(url, "gemma3", "sk-secret", 1.0), top=4)
        found = photos.curate("red", tmp_path / "in", options=Options(gates=OPEN, second=second))
    assert [(one.where, one.score, one.parts) for one in found.shown] == [
        (one.where, one.score, one.parts) for one in plain.shown
    ]
    assert all(one.verdict is None and one.remark for one in found.shown)
    (note,) = found.notes
    assert note.startswith("gemma3 gave no verdict on 4 of 4 pictures, which are ranked without it")
    assert "secret" not in repr(found)


# the command line


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["-C", str(folder), "curate", *arguments])


def test_two_steps_on_the_command_line(tmp_path: Path) -> None:
    for n in range(3):
        scene(tmp_path / "in" / f"{n}.png", size=(256 + 16 * n, 192))
    home = tmp_path / "c"
    first = run(home, "anything", str(tmp_path / "in"), "--model", "hash", "--sheet", str(tmp_path / "page.html"))
    assert first.exit_code == 0, first.stderr
    assert "keep some: sextant curate --of 1 --keep 1,2" in first.stderr
    assert "uncalibrated" in first.stderr
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    kept = run(home, "--keep", "1,3,", "--json")
    assert [pick["rank"] for pick in json.loads(kept.stdout)["picks"]] == [1, 3]
    listed = run(home, "--picks", "--json")
    assert [row["path"] for row in json.loads(listed.stdout)] == [p["path"] for p in json.loads(kept.stdout)["picks"]]
    assert "picks/anything/anything-01-" in run(home, "--picks").stdout
    best = run(home, "other", str(tmp_path / "in"), "--auto", "2", "--json", "--least-side", "250")
    assert json.loads(best.stdout)["shown"] == []
    best = run(home, "other", str(tmp_path / "in"), "--auto", "2", "--json", "--weight", "resolution=3")
    answer = json.loads(best.stdout)
    assert len(answer["kept"]["picks"]) == 2
    assert all(math.isclose(sum(p["points"] for p in one["parts"]), one["score"]) for one in answer["shown"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what to look for"),
        (["red", "--keep", "1"], "a second step"),
        (["--keep", "one"], "give numbers"),
        (["red", "--weight", "clip"], "give a part and a number"),
        (["red", "--weight", "x=1"], "no part 'x'"),
        (["red", "--vlm", "http://localhost:1"], "say which model"),
        (["red", "--vlm", "ftp://x", "--vlm-model", "m"], "http or https URL"),
        (["red", "--vlm", "http://x", "--vlm-model", "m", "--vlm-budget", "1"], "needs the prices"),
        (["red", "--vlm-price", "1"], "give two prices"),
        (["red", "--searxng", "file:///x"], "http or https URL"),
    ],
)
def test_misuse_has_status_2_and_a_remedy(photos: Collection, tmp_path: Path, arguments: list[str], words: str) -> None:
    result = run(tmp_path, *arguments)
    assert result.exit_code == 2, result.stderr
    assert words in result.stderr


def test_a_key_comes_from_the_environment_and_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        scene(tmp_path / "in" / f"{n}.png", size=(256 + 16 * n, 192))
    monkeypatch.setenv("MY_KEY", " sk-secret\n")
    with running(Chats(in_turns(chat("prose")))) as server:
        line = ["red", str(tmp_path / "in"), "--model", "hash", "--sheet", str(tmp_path / "page.html"), "--json"]
        model = ["--vlm", server.url(""), "--vlm-model", "m", "--vlm-key", "MY_KEY", "--vlm-top", "2"]
        result = run(tmp_path / "c", *line, *model)
        assert server.asked[0][1]["Authorization"] == "Bearer sk-secret"  # type: ignore[attr-defined]
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["usage"]["calls"] == 2
    assert "sk-secret" not in result.output + result.stderr
    assert on_disk(tmp_path, b"sk-secret") == []
