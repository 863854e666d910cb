"""One moment of a collection, aligned: facts, logits, confidences, bands and where each comes from."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import SCALE, attributes, colour_of, opened, pictures, vocabulary
from sextant.background import background_prompts
from sextant.catalog import Override
from sextant.collection import Collection
from sextant.view import FACTS, KINDS, MODEL, PERSON, RULE

DEEP = """
center: 25.5
base_attributes:
  - {code: red, description: red}
  - {code: green, description: green}
  - {code: blue, description: blue}
derived_attributes:
  - {code: any_two, rule: {any_of: [{all_of: [red, green]}, {all_of: [green, blue]}, {all_of: [red, blue]}]}}
  - {code: one, rule: {any_of: [red, green, blue], none_of: [any_two]}}
  - {code: not_one, rule: {none_of: [one]}}
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("view")
    pictures(folder / "p", "red", "green", "blue", "yellow", "grey")
    shutil.copy(folder / "p" / "red.png", folder / "p" / "again.png")
    collection = opened(folder)
    collection.add(folder / "p")
    collection.tag(vocabulary(folder, DEEP))
    return collection


def test_rows_go_by_path_and_copies_are_one_row_under_their_first_path(photos: Collection) -> None:
    view = photos.view()
    assert view.paths.to_pylist() == ["p/again.png", "p/blue.png", "p/green.png", "p/grey.png", "p/yellow.png"]
    assert view.copies.tolist() == [2, 1, 1, 1, 1]


def by_hand(collection: Collection) -> list[tuple[str, str, int, float | None, float | None]]:
    """Path, id, copies, width and a logit of every image, looked up one by one."""
    paths: dict[str, list[str]] = {}
    for row in collection.store.files().to_pylist():
        if row["id"] is not None:
            paths.setdefault(row["id"], []).append(row["path"])
    widths = {row["id"]: row["width"] for row in collection.store.images().to_pylist()}
    logits = {row["id"]: row["red"] for row in collection.vectors.read(["red"]).to_pylist()}
    found = [(min(p), i, len(p), widths.get(i), logits.get(i)) for i, p in paths.items()]
    return sorted(found)


def seen(collection: Collection) -> list[tuple[str, str, int, float | None, float | None]]:
    """The same by a view."""
    view = collection.view(["red"])
    logits = [None if np.isnan(z) else float(z) for z in view.logits("red")]
    columns = (view.paths.to_pylist(), view.ids.to_pylist(), view.copies.tolist(), view.fact("width").to_pylist())
    return list(zip(*columns, logits, strict=True))


def test_rows_are_found_in_whatever_order_and_number_the_tables_have_them(tmp_path: Path) -> None:
    pictures(tmp_path / "p", "yellow", "red", "grey")
    pictures(tmp_path / "a", "blue", "green")
    collection = opened(tmp_path)
    collection.add(tmp_path / "p")
    collection.add(tmp_path / "a")
    collection.tag(vocabulary(tmp_path, DEEP))
    assert [row[0] for row in seen(collection)][:2] == ["a/blue.png", "a/green.png"]
    assert seen(collection) == by_hand(collection)  # as they were added: no id is looked up
    (tmp_path / "p" / "red.png").rename(tmp_path / "a" / "zinnober.png")
    collection.add(tmp_path / "a")
    assert seen(collection) == by_hand(collection)  # the same images in another order
    pictures(tmp_path / "c", "orange")
    collection.store.drop_files(["p/grey.png"])
    collection.add(tmp_path / "c")
    assert len(seen(collection)) == 5
    assert seen(collection) == by_hand(collection)  # a vector that has no file
    shutil.copy(tmp_path / "a" / "blue.png", tmp_path / "c" / "blue.png")
    collection.add(tmp_path / "c")
    assert seen(collection) == by_hand(collection)  # and an image that has two


def test_logits_are_aligned_whether_they_were_asked_for_at_once_or_later(photos: Collection) -> None:
    expected = [40, 0, 0, SCALE / 3**0.5, SCALE / 2**0.5]
    for view in (photos.view(["red"]), photos.view()):
        np.testing.assert_allclose(view.logits("red"), expected, atol=1e-4)
        assert view.values("red").band.tolist() == [2, 0, 0, 0, 2]
    level = np.mean([colour_of(p) for p in background_prompts()], axis=0) @ colour_of("grey")
    assert photos.view().background[3] == pytest.approx(SCALE * level, abs=1e-4)
    with pytest.raises(KeyError):
        photos.view().logits("nothing")
    assert np.isnan(photos.view().values("nothing").confidence).all()


def test_every_fact_has_a_kind_and_a_value_for_every_image(photos: Collection) -> None:
    assert set(FACTS) == set(KINDS)
    view = photos.view()
    table = view.facts()
    assert (table.num_rows, table.column_names) == (5, list(FACTS))
    assert table["megapixels"].to_pylist() == [64e-6] * 5
    assert (table["folder"][0].as_py(), table["name"][0].as_py(), table["aspect"][0].as_py()) == ("p", "again.png", 1.0)
    for name in FACTS:
        assert len(view.fact_values(name)) == 5


def test_an_image_is_found_by_id_by_any_of_its_paths_and_from_here(
    photos: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = photos.view()
    red = view.ids[0].as_py()
    assert {view.find(n) for n in (red, "p/red.png", "p/again.png", f"{photos.folder}/p/red.png")} == {red}
    monkeypatch.chdir(photos.folder / "p")
    assert view.find("red.png") == view.find("../p/./red.png") == red
    assert view.find("nothing.png") is None


def test_wide_bands_and_sources_are_of_one_shape(photos: Collection) -> None:
    view = photos.view(photos.codes())
    codes = ["red", "green", "blue", "any_two", "one", "not_one"]
    assert view.wide().column_names == [*FACTS, *codes]
    assert view.bands().column_names == view.sources().column_names == ["id", *codes]
    assert set(view.sources()["red"].to_pylist()) == {MODEL}
    assert set(view.sources()["one"].to_pylist()) == {RULE}


def test_a_view_stays_as_it_was_while_columns_are_replaced(photos: Collection, tmp_path: Path) -> None:
    view = photos.view()
    before = photos.view(["blue"]).logits("blue").copy()
    try:
        photos.tag(vocabulary(tmp_path, attributes("red", "green", blue="green and blue")))
        np.testing.assert_array_equal(view.logits("blue"), before)
        assert not np.array_equal(photos.view().logits("blue"), before)
    finally:
        photos.tag(vocabulary(tmp_path, DEEP))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["red", "green", "blue"]), st.sampled_from([True, False, None])), max_size=6))
def test_the_newest_word_on_a_cell_holds_and_what_is_derived_follows(
    photos: Collection, words: list[tuple[str, bool | None]]
) -> None:
    image = photos.view().find("p/grey.png")
    assert image is not None
    photos.catalog.put_overrides(Override(image, code, None) for code in ("red", "green", "blue"))
    photos.catalog.put_overrides(Override(image, code, value) for code, value in words)
    held = {"red": None, "green": None, "blue": None, **dict(words)}
    view = photos.view(photos.codes())
    place = view.places[image]
    for code, value in held.items():
        assert view.source(code)[place] == (MODEL if value is None else PERSON)
        assert view.values(code).band[place] == (2 if value else 0), "grey is rejected by the model"
    shown = sum(bool(value) for value in held.values())
    bands = view.bands()
    assert bands["any_two"][place].as_py() == ("accepted" if shown >= 2 else "rejected")
    assert bands["one"][place].as_py() == ("accepted" if shown == 1 else "rejected")
    assert bands["not_one"][place].as_py() == ("rejected" if shown == 1 else "accepted")


def test_words_for_images_that_are_gone_harm_nobody(photos: Collection) -> None:
    before = photos.view(["red"]).source("red").tolist()
    photos.catalog.put_overrides([Override("f" * 32, "red", True)])
    assert photos.view(["red"]).source("red").tolist() == before


def test_nested_rules_are_their_truth_table(tmp_path: Path) -> None:
    pictures(tmp_path / "p", "grey")
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    photos.tag(vocabulary(tmp_path, DEEP))
    for truth in product([True, False], repeat=3):
        for code, value in zip(("red", "green", "blue"), truth, strict=True):
            photos.override("p/grey.png", code, value)
        (row,) = photos.sql("select any_two, one, not_one from bands")
        said = [row[c] == "accepted" for c in ("any_two", "one", "not_one")]
        assert said == [sum(truth) >= 2, sum(truth) == 1, sum(truth) != 1]
