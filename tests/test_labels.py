"""Labels in and out of files: every form, every bad line named, and nothing taken from a bad file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import opened, pictures, vocabulary
from sextant import labels
from sextant.catalog import Label
from sextant.collection import Collection
from sextant.errors import ExchangeError

CODES = ("red", "green")
IMAGES = {"a.jpg": "1" * 32, "b.jpg": "2" * 32}


def find(name: str) -> str | None:
    return IMAGES.get(name) or (name if name in IMAGES.values() else None)


def read(folder: Path, text: str, name: str = "labels.csv", **options: Any) -> dict[tuple[str, str], bool | None]:
    file = folder / name
    file.write_text(text)
    found = labels.read(file, find, CODES, person="Ada", **options)
    assert all(label.person == "Ada" for label in found)
    names = {image: path for path, image in IMAGES.items()}
    return {(names[label.image], label.code): label.value for label in found}


def problems(folder: Path, text: str, name: str = "labels.csv") -> str:
    with pytest.raises(ExchangeError) as caught:
        read(folder, text, name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "path,code,value\na.jpg,red,yes\nb.jpg,red,no\na.jpg,green,no\n"),
        ("l.csv", "id,code,value\n" + f"{'1' * 32},red,1\n{'2' * 32},red,0\n{'1' * 32},green,false\n"),
        ("l.csv", "path,red,green\na.jpg,Yes,NO\nb.jpg,n,\n"),
        (
            "l.jsonl",
            '{"path":"a.jpg","red":true,"green":false}\n{"path":"b.jpg","code":"red","value":false}\n',
        ),
    ],
)
def test_every_form_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    expected = {("a.jpg", "red"): True, ("b.jpg", "red"): False, ("a.jpg", "green"): False}
    assert read(tmp_path, text, name) == expected


def test_a_list_of_what_is_shown_says_no_to_the_rest(tmp_path: Path) -> None:
    found = read(tmp_path, '{"path": "a.jpg", "attributes": ["green"]}\n', "truth.jsonl")
    assert found == {("a.jpg", "red"): False, ("a.jpg", "green"): True}


def test_a_list_says_no_to_derived_attributes_only_where_it_knows_of_them(tmp_path: Path) -> None:
    base = '{"path": "a.jpg", "attributes": ["green"]}\n'
    assert read(tmp_path, base, "truth.jsonl", derived=["red"]) == {("a.jpg", "green"): True}
    known = base + '{"path": "b.jpg", "attributes": ["red"]}\n'
    assert read(tmp_path, known, "truth.jsonl", derived=["red"])["a.jpg", "red"] is False


def test_an_unanswered_line_says_nothing(tmp_path: Path) -> None:
    text = "path,code,value,id\na.jpg,red,,x\nb.jpg,red,yes,y\n"
    assert read(tmp_path, text) == {("b.jpg", "red"): True}
    assert "holds no label" in problems(tmp_path, "path,code,value\na.jpg,red,\n")


def test_the_id_knows_an_image_that_was_moved(tmp_path: Path) -> None:
    assert read(tmp_path, f"id,path,code,value\n{'1' * 32},gone.jpg,red,yes\n") == {("a.jpg", "red"): True}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,code,value\nc.jpg,red,yes\n", "labels.csv:2: no image 'c.jpg' in the collection"),
        ("path,code,value\n,red,yes\n", "labels.csv:2: no path and no id"),
        ("path,code,value\na.jpg,gren,yes\n", "labels.csv:2: no attribute 'gren'. Did you mean 'green'?"),
        ("path,code,value\na.jpg,red,maybe\n", "labels.csv:2: 'red' is 'maybe'; say yes or no"),
        ("path,code,value\na.jpg,red,yes\na.jpg,red,no\n", "labels.csv:3: 'red' of a.jpg is yes on one line and no"),
        ("name,value\na.jpg,yes\n", "labels.csv:1: the header needs a column path or id"),
        ("path,colour\na.jpg,yes\n", "holds no label"),
    ],
)
def test_every_bad_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    assert said in problems(tmp_path, text)


def test_all_problems_are_listed_at_once_and_many_are_cut(tmp_path: Path) -> None:
    text = "path,code,value\n" + "".join(f"x{i}.jpg,red,yes\n" for i in range(30))
    said = problems(tmp_path, text).splitlines()
    assert said[0] == "no label was taken:"
    assert (len(said), said[-1]) == (22, "and 10 more")


def test_strangers_are_passed_over_only_where_asked(tmp_path: Path) -> None:
    text = "path,red\nnowhere.jpg,yes\na.jpg,yes\n"
    assert read(tmp_path, text, strangers=True) == {("a.jpg", "red"): True}
    assert "nowhere.jpg" in problems(tmp_path, text)


answers = st.dictionaries(st.tuples(st.sampled_from(sorted(IMAGES.values())), st.sampled_from(CODES)), st.booleans())


@settings(deadline=None, max_examples=30)  # it writes files, on a machine that others use
@given(answers.filter(bool))
def test_a_table_of_labels_reads_back_to_itself(tmp_path_factory: pytest.TempPathFactory, said: dict) -> None:
    from sextant import exchange

    file = tmp_path_factory.getbasetemp() / "roundtrip.csv"
    given_ = [Label(image, code, value, "Ada", "now") for (image, code), value in said.items()]
    exchange.write(labels.table(given_, {}), file, "csv")
    found = labels.read(file, find, CODES, person="")
    assert {(x.image, x.code, x.value, x.person) for x in found} == {(*k, v, "Ada") for k, v in said.items()}


def test_a_file_full_of_strangers_is_no_truth(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="none of its 2 images is in the collection"):
        read(tmp_path, "path,red\nx.jpg,yes\ny.jpg,no\n", strangers=True)


# in a collection


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    pictures(tmp_path / "p", "red", "green", "blue")
    collection = opened(tmp_path)
    collection.add(tmp_path / "p")
    collection.tag(vocabulary(tmp_path))
    return collection


def test_labels_go_out_and_come_back_whole(photos: Collection, tmp_path: Path) -> None:
    photos.label("p/red.png", "red", True, person="Ada")
    photos.label("p/red.png", "red", False, person="Bo")
    photos.label("p/blue.png", "green", False)
    before = sorted((r["path"], r["code"], r["value"], r["person"]) for r in photos.labels())
    for suffix in ("csv", "jsonl"):
        assert photos.export_labels(tmp_path / f"l.{suffix}") == 3
        for row in photos.labels():
            photos.label(row["path"], row["code"], None, person=row["person"])
        assert len(photos.labels()) == 0
        assert photos.import_labels(tmp_path / f"l.{suffix}") == 3
        assert sorted((r["path"], r["code"], r["value"], r["person"]) for r in photos.labels()) == before


@pytest.mark.parametrize("listed", ['["red", ["green"]]', '[{"red": 1}]', "[null, 1]"])
def test_a_list_of_what_is_no_code_names_none(tmp_path: Path, listed: str) -> None:
    found = read(tmp_path, f'{{"path": "a.jpg", "attributes": {listed}}}\n', "labels.jsonl")
    assert found == {("a.jpg", "red"): '"red",' in listed, ("a.jpg", "green"): False}


def test_half_a_character_is_refused_before_it_is_stored(tmp_path: Path) -> None:
    line = '{"path": "a.jpg", "code": "red", "value": "yes", "person": "\\ud800"}\n'
    assert "labels.jsonl:1: is not JSON" in problems(tmp_path, line, "labels.jsonl")
    pair = line.replace("\\ud800", "\\ud83e\\udd86").replace('"person"', '"note"')
    assert read(tmp_path, pair, "labels.jsonl") == {("a.jpg", "red"): True}


def test_a_bad_file_leaves_the_collection_as_it_was(photos: Collection, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("path,code,value\np/red.png,red,yes\np/none.png,red,yes\n")
    with pytest.raises(ExchangeError, match=r"l\.csv:3: no image 'p/none.png'"):
        photos.import_labels(tmp_path / "l.csv")
    assert len(photos.labels()) == 0


def test_the_newest_word_of_a_person_holds(photos: Collection) -> None:
    photos.label("p/red.png", "red", False)
    photos.label("p/red.png", "red", True)
    assert [r["value"] for r in photos.labels(["red"])] == [True]
    photos.label("p/red.png", "red", None)
    assert len(photos.labels()) == 0


def test_paths_may_start_at_the_file_itself(photos: Collection, tmp_path: Path) -> None:
    (tmp_path / "p" / "truth.jsonl").write_text('{"path": "red.png", "attributes": ["red"]}\n')
    assert photos.import_labels(tmp_path / "p" / "truth.jsonl") == 3, "no attribute that follows by rule"
    assert {(r["path"], r["value"]) for r in photos.labels(["red"])} == {("p/red.png", True)}
