"""The contact sheet: whole in itself, escaped, honest about its numbers, and with a command for every tick."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sextant.curate import Curation
from sextant.curate.gates import Refusal
from sextant.curate.request import Alike, Refused, Shown, Usage
from sextant.curate.scores import Part
from sextant.curate.sheet import REFUSED_SHOWN, page
from sextant.types import Skipped
from sextant.vlm import Verdict

DATA = "data:image/jpeg;base64,AAAA"
ONE = Shown(
    rank=1,
    image="a" * 32,
    where="https://example.org/duck.jpg",
    path=None,
    title="A mallard",
    page="https://example.org/ducks.html",
    licence="CC BY 4.0",
    fetched_at=None,
    width=800,
    height=600,
    score=0.7,
    parts=(Part("clip", 0.8, 0.75, 0.6), Part("resolution", 0.4, 0.25, 0.1)),
    margin=0.0312,
    matched="a duck",
    confidence=0.7999,
    verdict=Verdict(8.0, True, "side", 0.5, 6.5, "Fine."),
    alike=(Alike("b" * 32, "https://example.org/copy.jpg", 0.99876, 0.6),),
)
TWO = replace(ONE, rank=2, image="c" * 32, verdict=None, remark="it took too long in all", alike=(), licence=None)
REFUSED = Refused("d" * 32, "in/dark.png", "", 0.2, (Refusal("dark", 0.95, 0.92, "95 % of it is black"),))
CURATION = Curation(
    number=3,
    name="duck",
    query="a duck",
    state="prior",
    candidates=5,
    more=7,
    shown=(ONE, TWO),
    refused=(REFUSED,),
    skipped=(Skipped("https://example.org/gone", "the server answered 404"),),
    diverse=(1, 2),
    notes=("something to know",),
    usage=Usage("gemma3", 2, 1, 0, 2, (10, 5), None),
    seconds=1.0,
)
PICTURES = {"a" * 32: DATA, "c" * 32: DATA}


class Seen(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._in_style else data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_needs_nothing_else_and_has_no_script() -> None:
    text = page(CURATION, PICTURES)
    seen = Seen(text)
    assert {name for name, _ in seen.tags}.isdisjoint({"script", "link", "iframe", "object", "form"})
    assert all(str(a["src"]).startswith("data:image/jpeg;base64,") for a in seen.of("img"))
    assert "url(" not in text
    assert "default-src 'none'" in text
    assert not [a for _, a in seen.tags for name in a if name.startswith("on")]


def test_every_number_is_there_and_a_confidence_has_its_state() -> None:
    seen = Seen(page(CURATION, PICTURES))
    for words in ("confidence 0.799 prior", "0.700", "= 0.600", "= 0.100", "margin +0.031", "cosine 0.998", "800 × 600",
                  "relevance 8 of 10 · quality 6.5 of 10 · single subject · side view · fills 50 %", "“Fine.”",
                  "no verdict: it took too long in all", "licence CC BY 4.0", "licence not known", "something to know",
                  "95 % of it is black", "the server answered 404", "1 near-duplicate", "1 of 2", "7 more passed",
                  "Confidences are a prior"):  # fmt: skip
        assert words in seen.text, words
    widths = [float(str(a["style"])[6:-1]) for a in seen.of("i") if "style" in a]
    assert widths == pytest.approx([60, 10, 60, 10])


def test_a_tick_puts_its_number_into_the_command() -> None:
    text = page(CURATION, PICTURES)
    seen = Seen(text)
    boxes = [a["id"] for a in seen.of("input")]
    assert boxes == ["p1", "p2"]
    assert {a["for"] for a in seen.of("label")} == set(boxes)
    for rank in (1, 2):
        assert f"body:has(#p{rank}:checked) .k{rank} {{ display: inline; }}" in text
    assert re.sub(r"<[^>]+>", "", text[text.index("<code") :]).startswith("sextant curate --of 3 --keep 1,2,")


def test_an_empty_answer_says_so_and_has_no_command() -> None:
    seen = Seen(page(replace(CURATION, shown=()), {}))
    assert "Nothing here passes" in seen.text
    assert "--keep" not in seen.text


def test_a_picture_that_is_missing_and_thousands_of_refusals() -> None:
    seen = Seen(page(replace(CURATION, refused=(REFUSED,) * 1000), {}))
    assert "no picture" in seen.text
    assert seen.text.count("95 % of it is black") == REFUSED_SHOWN
    assert f"and {1000 - REFUSED_SHOWN} more" in seen.text


def test_only_the_web_becomes_a_link() -> None:
    for where in ("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//host/x", "http://[", "in/a.png"):
        seen = Seen(page(replace(CURATION, shown=(replace(ONE, page=where, where=where, licence=where),)), {}))
        assert seen.of("a") == []
    links = Seen(page(CURATION, {})).of("a")
    assert {a["href"] for a in links} == {"https://example.org/ducks.html"}
    assert all(a["rel"] == "noreferrer noopener" for a in links)


NASTY = st.text(st.sampled_from("<>&\"'/=` \nab"), max_size=12) | st.just("</style><script>alert(1)</script>")


@given(NASTY)
def test_no_text_becomes_markup(text: str) -> None:
    one = replace(
        ONE, title=text, where=text, page=text, licence=text, matched=text, verdict=replace(ONE.verdict, note=text)  # type: ignore[type-var]
    )  # fmt: skip
    two = replace(TWO, remark=text, alike=(Alike("e" * 32, text, 1.0, 0.1),), title=text)
    refused = replace(REFUSED, title=text, refusals=(Refusal("dark", 1.0, 0.9, text),))
    usage = Usage(text, 1, 1, 0, 1, (0, 0), None)
    nasty = replace(CURATION, query=text, shown=(one, two), refused=(refused,), notes=(text,), usage=usage)
    nasty = replace(nasty, skipped=(Skipped(text, text),))
    plain = Seen(page(replace(nasty, query="x", notes=("x",)), PICTURES))
    kinds = {name for name, _ in Seen(page(nasty, PICTURES)).tags}
    assert kinds <= {name for name, _ in plain.tags}
    assert "script" not in kinds
    assert "b" in kinds
    assert not [a for _, a in Seen(page(nasty, PICTURES)).tags for name in a if name.startswith("on")]


def test_a_confidence_that_is_not_known_is_a_dash() -> None:
    assert "confidence – prior" in Seen(page(replace(CURATION, shown=(replace(ONE, confidence=math.nan),)), {})).text
