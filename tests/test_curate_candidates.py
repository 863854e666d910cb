"""Search providers: SearXNG's JSON from a real server on this machine, saved files, and whatever else comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopback import Server, leads_to, running, send
from sextant.curate.candidates import Candidate, SavedResults, SearXng, candidates_of
from sextant.errors import ExchangeError, UsageError

DUCK = {
    "template": "images.html",
    "url": "https://example.org/ducks.html",
    "title": "A  mallard\nduck",
    "content": "on water",
    "img_src": "https://example.org/duck.jpg",
    "thumbnail_src": "https://example.org/small.jpg",
    "source": "example",
}


def page(*rows: object) -> bytes:
    return json.dumps({"query": "duck", "number_of_results": 0, "results": rows}).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server()) as server:
        yield server


def test_searxng_is_asked_for_images_as_json_until_a_page_brings_nothing_new(server: Server) -> None:
    more = {**DUCK, "img_src": "//example.org/goose.jpg", "license": "CC BY 4.0"}
    base = "/search?q=a+duck%26x&format=json&categories=images&pageno="
    server.answers[f"{base}1"] = send(page(DUCK, DUCK), "application/json; charset=utf-8")
    server.answers[f"{base}2"] = send(page(DUCK, more), "application/json")
    server.answers[f"{base}3"] = send(page(more), "application/json")
    found = list(SearXng(server.url("/")).search("a duck&x", 10))
    first = Candidate(
        "https://example.org/duck.jpg", "A mallard duck", "https://example.org/ducks.html", None, "on water"
    )
    assert found[0] == first
    assert [(c.url.rpartition("/")[2], c.licence) for c in found] == [("duck.jpg", None), ("goose.jpg", "CC BY 4.0")]
    assert [parse_qs(urlsplit(path).query)["pageno"] for path, _ in server.asked] == [["1"], ["2"], ["3"]]


def test_no_more_than_wanted_are_taken_or_asked_for(server: Server) -> None:
    rows = [{**DUCK, "img_src": f"https://example.org/{n}.jpg"} for n in range(30)]
    server.answers["/search"] = send(page(*rows), "application/json")
    assert len(list(SearXng(server.url("/search")).search("duck", 7))) == 7
    assert len(server.asked) == 1


def test_a_provider_that_cannot_be_asked_says_why_and_redirects_lead_nowhere(server: Server) -> None:
    server.answers["/search"] = send(b"Forbidden", "text/html", 403)
    with pytest.raises(ExchangeError, match=r"answered 403 Forbidden; its settings must allow the format json"):
        list(SearXng(server.url("/")).search("duck", 5))
    server.answers["/search"] = send(b"<html>", "text/html")
    with pytest.raises(ExchangeError, match=r"sent 'text/html', not application/json; its settings"):
        list(SearXng(server.url("/")).search("duck", 5))
    server.answers["/search"] = leads_to(server.url("/secret"))
    with pytest.raises(ExchangeError, match="it redirects"):
        list(SearXng(server.url("/")).search("duck", 5))
    assert "/secret" not in [path for path, _ in server.asked]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:8888", "http://user:pass@localhost/", ""])
def test_a_searxng_is_an_http_url(url: str) -> None:
    with pytest.raises(UsageError):
        SearXng(url)


@pytest.mark.parametrize("text", [page(DUCK), json.dumps([DUCK]).encode(), json.dumps(DUCK).encode() + b"\n{broken\n"])
def test_saved_results_are_read_in_three_shapes(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "saved.json").write_bytes(text)
    assert [c.url for c in SavedResults(tmp_path / "saved.json").search("", 5)] == ["https://example.org/duck.jpg"]


def test_plain_rows_need_a_url_alone(tmp_path: Path) -> None:
    file = tmp_path / "saved.jsonl"
    file.write_text(
        '{"url": "https://a.example/1.png", "source": "https://a.example/", "licence": "CC0"}\n{"title": "x"}\n'
    )
    (found,) = SavedResults(file).search("", 5)
    assert found == Candidate("https://a.example/1.png", "", "https://a.example/", "CC0")
    file.write_text("<html>")
    with pytest.raises(ExchangeError, match="holds no results"):
        list(SavedResults(file).search("", 5))
    with pytest.raises(ExchangeError, match="cannot be read"):
        list(SavedResults(tmp_path / "none").search("", 5))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*DUCK, "results", "image"]), inner),
)


@given(JSON | st.binary(max_size=40))
def test_whatever_a_provider_answers_candidates_are_strings(answer: object) -> None:
    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    for one in candidates_of(data, "http://localhost:8888"):
        assert all(isinstance(v, str) for v in (one.url, one.title, one.source, one.description))
    assert candidates_of(b"[" * 100_000, "") == []


def test_half_a_character_in_a_result_is_replaced() -> None:
    assert candidates_of(page({**DUCK, "title": "a \ud800 duck"}), "")[0].title == "a ? duck"
