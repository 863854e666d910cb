"""One page that needs nothing else: what is on it, what can never be on it, and figures that tell the numbers."""

from __future__ import annotations

import builtins
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import opened, picture, vocabulary
from sextant import figures
from sextant.collection import Collection
from sextant.errors import ExchangeError, MissingExtra
from sextant.maths import metrics

TEXT = """
center: 24
scale: 2
base_attributes:
  - {code: red, label: "<b>Red</b> & co", description: red}
  - {code: green, label: Green, description: green}
  - {code: photo, label: Photograph, description: a photo, control: positive, center: 38}
derived_attributes:
  - {code: warm, label: Warm, rule: {all_of: [red]}}
"""
HOSTILE = "<script>alert(1)</script>.png"


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    for i in range(40):
        picture(tmp_path / "p" / f"{i:02d}.png", (6 * i, 240 - 6 * i, 50), (24, 16))
    picture(tmp_path / "p" / HOSTILE.replace("/", "\u2215"), (255, 0, 0))
    collection = opened(tmp_path)
    collection.add(tmp_path / "p")
    collection.tag(vocabulary(tmp_path, TEXT))
    return collection


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def written(photos: Collection, **options: Any) -> Page:
    file = photos.folder / "r.html"
    length = photos.report(file, **options)
    assert file.stat().st_size == length
    page = Page(file.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def label_all(photos: Collection) -> None:
    for path in photos.view().paths.to_pylist():
        number = re.search(r"(\d\d)\.png", path)
        photos.label(path, "red", number is None or int(number[1]) >= 20)


def test_a_page_without_labels_says_that_nothing_was_measured(photos: Collection) -> None:
    page = written(photos, title="Archive")
    assert "Nobody has labelled anything yet" in page.words
    assert page.words.startswith("Archive Archive")
    assert "41 images 4 attributes 0 labels" in page.words
    assert "ECE" not in page.words


def test_a_page_with_labels_shows_what_evaluate_measured(photos: Collection) -> None:
    label_all(photos)
    photos.calibrate()
    page = written(photos)
    row = photos.evaluate()[0]
    assert f"off by {100 * row.ece:.1f} points on average" in page.words
    assert f"Measured on {row.n:,} answers of labels that no fit has seen" in page.words
    assert "calibrated (41 labels, ECE ." in page.words
    captions = ("Reliability.", "Coverage.", "Precision and recall on 41 answers")
    assert all(caption in page.words for caption in captions)


def test_a_truth_can_judge_instead(photos: Collection, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "path,red,green\n" + "".join(f"p/{i:02d}.png,{i >= 20:d},{i < 20:d}\n" for i in range(40))
    )
    page = written(photos, truth=tmp_path / "t.csv")
    assert "Measured on 80 answers of the truth given" in page.words
    assert "all together" in page.words


def test_the_page_runs_nothing_fetches_nothing_and_names_are_names(photos: Collection) -> None:
    label_all(photos)
    page = written(photos, title="</title><script>x")
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/jpeg;base64,", "#")), value
    text = (photos.folder / "r.html").read_text(encoding="utf-8")
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", text)
    assert "<b>Red</b> & co" in page.words, "shown as it was written, not obeyed"
    assert "<script>alert(1)<∕script>.png" in page.words
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_the_surest_pictures_of_an_attribute_come_first_or_not_at_all(photos: Collection) -> None:
    page = written(photos)
    pictures_ = [a for tag, a in page.tags if tag == "img"]
    assert len(pictures_) == 7 * 4
    (photos.folder / "p" / "39.png").unlink()
    assert len([1 for tag, _ in written(photos).tags if tag == "img"]) < 7 * 4, "a file that is gone leaves a gap"
    assert not [1 for tag, _ in written(photos, pictures=False).tags if tag == "img"]


def test_failing_controls_are_on_the_page(photos: Collection) -> None:
    assert "FAILS: control 'photo'" in written(photos).words


def test_the_page_is_light_and_dark(photos: Collection) -> None:
    photos.report(photos.folder / "r.html")
    text = (photos.folder / "r.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    drawn = " ".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert drawn.count("var(--ink)") > 10
    assert not set(re.findall(r"#[0-9a-f]{6}\b", drawn)) & {"#000000", "#ffffff"}
    assert not [c for c in figures.COLOURS.values() if c in text]


def test_a_page_is_written_whole_or_not_at_all(photos: Collection, tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="cannot be written"):
        photos.report(tmp_path / "no" / "such" / "r.html")


# figures


def test_a_histogram_has_a_bar_a_bin_in_the_colour_of_its_band(photos: Collection) -> None:
    found = photos.inspect("red", bins=30)
    svg = figures.histogram(found)
    middles = (np.array(found.edges[:-1]) + np.array(found.edges[1:])) / 2
    assert found.accepted_from is not None
    accepted = int((middles >= found.accepted_from).sum())
    assert svg.count("fill: var(--yes)") == accepted
    assert svg.count("fill: var(--no)") + svg.count("fill: var(--maybe)") == 30 - accepted
    assert ">accepted<" in svg


def test_figures_draw_also_where_there_is_next_to_nothing() -> None:
    one = metrics.evaluate(np.array([[0.5]]), np.array([[1.0]])).pooled
    assert figures.reliability(one.curve).startswith("<svg")
    assert figures.precision_recall([0.2], [0.0], [1.0], 0.8).startswith("<svg")
    assert figures.coverage([], [], []).startswith("<svg")


def test_the_chosen_threshold_is_marked_where_something_reaches_it() -> None:
    p, y = np.linspace(0, 1, 50), (np.linspace(0, 1, 50) > 0.6).astype(float)
    assert " from 0.80<" in figures.precision_recall(p, y, np.ones(50), 0.8)
    assert " from" not in figures.precision_recall(p, y, np.ones(50), 1.1)


def test_names_on_one_page_do_not_meet() -> None:
    svg = figures.coverage([0.9, 0.2, 0.7], [1, 0, 0], [1, 1, 1])
    names = re.findall(r' id="([^"]+)"', svg)
    assert all(f"#{name}" in svg for name in names)


def test_without_matplotlib_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import_ = builtins.__import__

    def gone(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return import_(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", gone)
    with pytest.raises(MissingExtra, match=r"sextant-images\[plots\]"):
        figures.coverage([0.5], [1], [1])
