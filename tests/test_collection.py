"""The verbs together, from a folder of pictures to answers; every promise about columns by name. See fakes.py."""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import sextant
from fakes import (
    SCALE,
    VOCABULARY,
    FakeEncoder,
    attributes,
    colour_of,
    loader_of,
    many,
    opened,
    picture,
    pictures,
    readable_by_all,
    vocabulary,
)
from sextant import schema
from sextant.collection import Collection
from sextant.errors import CollectionError, UsageError, VocabularyError
from sextant.maths import calibration as curves
from sextant.store import FILES, IMAGES

ALL = ("red", "green", "blue", "yellow", "orange", "grey")


def checksum(photos: Collection, code: str) -> str:
    """A hash of the ids and stored logits of a column."""
    table = photos.vectors.read([code]).sort_by("id")
    bits = table[code].combine_chunks().to_numpy(zero_copy_only=False).tobytes()
    return hashlib.sha256(bits + "".join(table["id"].to_pylist()).encode()).hexdigest()


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def photos(tmp_path: Path, encoder: FakeEncoder) -> Collection:
    """Six pictures of one colour each, tagged."""
    pictures(tmp_path / "p", *ALL)
    collection = opened(tmp_path, encoder)
    collection.add(tmp_path / "p")
    collection.tag(vocabulary(tmp_path))
    return collection


def paths(photos: Collection, rule: str) -> list[str]:
    return [row["path"].removeprefix("p/").removesuffix(".png") for row in photos.query(rule)]


# columns


def test_one_new_entry_and_one_command_make_exactly_one_new_column(
    photos: Collection, tmp_path: Path, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {code: checksum(photos, code) for code in ("red", "green", "blue")}
    images, texts = encoder.images, len(encoder.texts)
    monkeypatch.setattr("sextant.images.decode", lambda *_, **__: pytest.fail("an image was decoded"))
    added = VOCABULARY.replace(
        "derived_attributes", "  - {code: yellow, label: Y, description: yellow, type: colour}\nderived_attributes"
    )
    report = photos.tag(vocabulary(tmp_path, added))
    assert (report.columns, report.cells) == (("yellow",), 6)
    assert (encoder.images, encoder.texts[texts:]) == (images, ["a photo of yellow"])
    assert {code: checksum(photos, code) for code in before} == before
    assert paths(photos, "yellow") == ["green", "grey", "orange", "red", "yellow"]


def test_no_other_column_moves_by_a_bit_when_one_is_added_edited_or_removed(photos: Collection, tmp_path: Path) -> None:
    before = checksum(photos, "green")
    for text in (
        attributes("red", "green", "blue", "orange", "yellow", "grey"),
        attributes("green", "blue", red="orange and red"),
        attributes("green"),
        attributes("a", "green", "z"),
    ):
        photos.tag(vocabulary(tmp_path, text))
        photos.prune()
        assert checksum(photos, "green") == before


def test_a_logit_is_the_same_whatever_it_was_computed_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(tmp_path / "p", 60)
    sums = set()
    for k, (batch, rows, codes) in enumerate([(16, 8192, ("red",)), (1, 7, ("blue", "red")), (7, 13, ALL)]):
        monkeypatch.setattr("sextant.vectors.ROWS_A_BATCH", rows)
        here = tmp_path / f"c{k}"
        photos = opened(here, batch=batch)
        photos.add(tmp_path / "p")
        photos.tag(vocabulary(tmp_path, attributes(*codes)))
        sums.add(checksum(photos, "red"))
    late = opened(tmp_path / "late", batch=5)
    late.add(*sorted((tmp_path / "p").iterdir())[:20])
    late.tag(vocabulary(tmp_path, attributes("red", "green")))
    late.add(tmp_path / "p")
    sums.add(checksum(late, "red"))
    assert len(sums) == 1


def test_a_dry_run_says_what_is_then_written_and_writes_nothing(photos: Collection, tmp_path: Path) -> None:
    text = attributes("red", "yellow", "grey", blue="sky blue and grey")
    file = vocabulary(tmp_path, text)
    before = photos.store.size(), photos.vocabulary
    dry = photos.tag(file, dry_run=True)
    assert (photos.store.size(), photos.vocabulary) == before
    real = photos.tag(file)
    assert (dry.columns, dry.cells, dry.kept) == (("yellow", "grey", "blue"), 18, ("green",))
    assert (real.columns, real.cells, real.kept) == (dry.columns, dry.cells, dry.kept)
    assert photos.tag(file, dry_run=True).columns == photos.tag(file).columns == ()


def test_explicit_codes_narrow_the_work_and_the_rest_is_named_stale(photos: Collection, tmp_path: Path) -> None:
    text = attributes("green", red="orange", blue="grey")
    report = photos.tag(vocabulary(tmp_path, text), codes=["red"])
    assert (report.columns, report.stale) == (("red",), ("blue",))
    assert {s.code: s.state for s in photos.columns()} == {
        "red": "uncalibrated",
        "green": "uncalibrated",
        "blue": "stale",
    }
    with pytest.raises(UsageError, match=r"no attribute 'gren'.*Did you mean 'green'"):
        photos.tag(codes=["gren"])


def test_an_edited_prompt_replaces_its_column(photos: Collection, tmp_path: Path) -> None:
    photos.tag(vocabulary(tmp_path, VOCABULARY.replace("description: red", "description: blue and red")))
    vector = colour_of("blue and red")
    (row,) = photos.sql("select red from images where path = 'p/blue.png'")
    logit = SCALE * float(vector @ colour_of("blue"))
    assert row["red"] == pytest.approx(1 / (1 + np.exp(-(logit - 25.5) / 1.5)), abs=1e-6)
    assert photos.prompts(["red"])[0].prompts == ("a photo of blue and red",)


def test_a_missing_value_makes_its_whole_column_be_computed_anew(photos: Collection, tmp_path: Path) -> None:
    photos.vectors.append(["f" * 32], colour_of("red")[None], np.zeros(1, np.float32), lambda _r, _b: {}, {})
    assert photos.vectors.unknown(["red", "green"]) == {"red": 1, "green": 1}
    assert photos.tag().columns == ("red", "green", "blue")
    assert photos.vectors.unknown(["red", "green", "blue"]) == {"red": 0, "green": 0, "blue": 0}


def test_a_removed_code_is_kept_until_prune(photos: Collection, tmp_path: Path) -> None:
    assert photos.tag(vocabulary(tmp_path, attributes("red", "green"))).kept == ("blue",)
    assert {s.code: s.kind for s in photos.columns()} == {"red": "base", "green": "base", "blue": "removed"}
    assert paths(photos, "blue") == ["blue"]
    assert photos.prune(dry_run=True)["columns"] == ["blue"]
    assert paths(photos, "blue") == ["blue"]
    assert photos.prune()["columns"] == ["blue"]
    assert [s.code for s in photos.columns()] == ["red", "green"]


def test_a_wrong_vocabulary_changes_nothing(photos: Collection, tmp_path: Path) -> None:
    before = {code: checksum(photos, code) for code in ("red", "green", "blue")}
    text = photos.vocabulary.text if photos.vocabulary else ""
    with pytest.raises(VocabularyError, match="red"):
        photos.tag(vocabulary(tmp_path, attributes("red") + "  - {code: red, description: again}\n"))
    assert {code: checksum(photos, code) for code in before} == before
    assert photos.vocabulary is not None
    assert photos.vocabulary.text == text


def test_a_vocabulary_can_be_tagged_before_anything_is_calibrated_or_after_all_is_gone(
    photos: Collection, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "p")
    (tmp_path / "p").mkdir()
    assert photos.add(tmp_path / "p", drop_missing=True).dropped == 6
    assert photos.tag(vocabulary(tmp_path, attributes("red", "grey"))).cells == 0
    assert len(photos.query("red")) == 0
    pictures(tmp_path / "p", "red")
    photos.add(tmp_path / "p")
    assert paths(photos, "red") == ["red"]


# confidences


def test_bands_are_decided_before_rounding(photos: Collection, tmp_path: Path) -> None:
    value = next(iter(photos.query("path = 'p/yellow.png'", show=["red"])))["red"]
    for accepted, tentative, band in (
        (value, 0.5, "accepted"),
        (float(np.nextafter(value, 1)), 0.5, "tentative"),
        (0.999, value, "tentative"),
        (0.999, float(np.nextafter(value, 1)), "rejected"),
    ):
        text = f"thresholds: {{accepted: {accepted!r}, tentative: {tentative!r}}}\n" + attributes("red")
        photos.tag(vocabulary(tmp_path, text))
        (row,) = photos.sql("select bands.red from bands join images using (id) where path = 'p/yellow.png'")
        assert row["red"] == band


def test_any_confidence_can_be_recomputed_from_its_own_record(photos: Collection) -> None:
    column = photos.vectors.columns()["red"]
    record = photos.catalog.calibrations(photos.vectors.name)["red"]
    made = column.provenance
    assert (made["prompts"], made["negatives"], made["at"][:2]) == (["a photo of red"], [], "20")
    assert made["prompt_hash"] == record.prompt_hash == photos.prompts(["red"])[0].prompt_hash
    assert record.encoder == "fake@1"
    curve = curves.Calibration(record.calibration["kind"], record.calibration["params"])
    assert curve.id == record.hash
    direction = np.mean([colour_of(p) for p in made["prompts"]], axis=0)
    ids, vectors = photos.vectors.matrix()
    logits = made["logit_scale"] * vectors @ direction + made["logit_bias"]
    again = dict(zip(ids, curves.confidence(curve, logits), strict=True))
    shown = {row["id"]: row["red"] for row in photos.query("width > 0", show=["red"])}
    assert shown == pytest.approx(again, abs=1e-6)
    assert len(shown) == 6


def test_another_calibration_rewrites_no_data_and_the_old_one_stays_on_record(photos: Collection) -> None:
    before = checksum(photos, "red"), photos.catalog.calibrations("fake@1")["red"].id
    photos.tag(center=0.0, scale=10.0)
    assert checksum(photos, "red") == before[0]
    assert paths(photos, "red >= 0.5") == ["blue", "green", "grey", "orange", "red", "yellow"]
    history = photos.catalog.history("fake@1", "red")
    assert history[0].id == before[1]
    assert [r.calibration["params"]["center"] for r in history] == [25.5, 0.0]


def test_a_persons_word_outranks_the_model_and_survives_tagging_again(photos: Collection, tmp_path: Path) -> None:
    assert photos.override(["p/blue.png", "p/red.png"], "red", True, person="ada") == 2
    photos.override("p/red.png", "red", False)
    photos.tag(vocabulary(tmp_path, VOCABULARY.replace("description: red", "description: orange")))
    assert paths(photos, "red = 1") == ["blue"]
    assert paths(photos, "red = 0") == ["red"]
    rows = photos.sql(
        "select path, band, source from feature_image_attribute f join images i on i.id = f.image_id "
        "where attribute_code = 'red'"
    )
    assert {(r["path"], r["band"]) for r in rows if r["source"] == "person"} == {
        ("p/blue.png", "accepted"),
        ("p/red.png", "rejected"),
    }
    assert next(s.overridden for s in photos.columns() if s.code == "red") == 2
    assert "blue" not in paths(photos, "warm"), "what is derived follows the person's word"
    photos.override("p/blue.png", "red", None)
    assert paths(photos, "red = 1") == []


def test_what_is_derived_cannot_be_overridden_and_names_are_checked(photos: Collection) -> None:
    with pytest.raises(UsageError, match="'warm' is derived"):
        photos.override("p/red.png", "warm", True)
    with pytest.raises(UsageError, match=r"no image 'p/rd.png'.*Did you mean 'p/red.png'"):
        photos.override("p/rd.png", "red", True)
    with pytest.raises(UsageError, match=r"no attribute 'rad'"):
        photos.override("p/red.png", "rad", True)
    assert photos.catalog.overrides() == []


def test_what_is_derived_from_an_unknown_part_is_unknown_not_false(tmp_path: Path) -> None:
    pictures(tmp_path / "p", "red", "blue")
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    photos.tag(vocabulary(tmp_path), codes=["red"])
    assert paths(photos, "warm is unknown") == ["red"], "blue could still forbid it"
    assert paths(photos, "warm is rejected") == ["blue"], "red already fails"
    assert paths(photos, "not warm") == ["blue"]
    assert paths(photos, "warm") == []
    photos.tag()
    assert paths(photos, "warm") == ["red"]


def test_an_exclusive_group_sums_to_one_and_leaves_the_others_alone(photos: Collection, tmp_path: Path) -> None:
    before = {row["id"]: row["blue"] for row in photos.query("width > 0", show=["blue"])}
    text = """
groups: {hue: {temperature: 4}}
base_attributes:
  - {code: red, description: red, group: hue}
  - {code: green, description: green, group: hue}
  - {code: grey, description: grey, group: hue}
  - {code: blue, description: blue}
"""
    photos.tag(vocabulary(tmp_path, text))
    rows = list(photos.query("width > 0", show=["red", "green", "grey", "blue"]))
    assert [r["red"] + r["green"] + r["grey"] for r in rows] == pytest.approx([1] * 6)
    assert {r["id"]: r["blue"] for r in rows} == before
    alone = {r["id"]: r["green"] for r in photos.query("width > 0", show=["green"])}
    assert alone == {r["id"]: r["green"] for r in rows}


def test_the_logits_of_a_column_are_counted_as_numpy_counts_them(photos: Collection) -> None:
    found = photos.inspect("red", bins=8)
    logits = photos.vectors.read(["red"])["red"].to_numpy().astype(np.float64)
    assert (found.n, found.missing) == (6, 0)
    assert [found.min, found.mean, found.max, found.std] == pytest.approx(
        [logits.min(), logits.mean(), logits.max(), logits.std()], abs=1e-6
    )
    counts, edges = np.histogram(logits, 8)
    assert found.counts == tuple(counts)
    assert found.edges == pytest.approx(edges)
    assert found.accepted_from == pytest.approx(27.579, abs=5e-4)
    assert found.tentative_from == 25.5
    assert (found.accepted, found.tentative, found.rejected) == (3, 0, 3)
    what_if = photos.inspect("red", center=30.0, scale=2.0)
    assert (what_if.accepted, what_if.tentative, what_if.state) == (2, 0, "what if")
    with pytest.raises(UsageError, match="derived from others"):
        photos.inspect("warm")


def test_two_hundred_attributes_of_a_model_free_encoder(tmp_path: Path) -> None:
    from sextant.encoder.hashed import HashEncoder

    many(tmp_path / "p", 12)
    codes = [f"a{i:03d}" for i in range(200)]
    photos = sextant.open(tmp_path, create=True, loader=loader_of(HashEncoder()))
    photos.add(tmp_path / "p")
    report = photos.tag(vocabulary(tmp_path, attributes(*codes)))
    assert (len(report.columns), report.cells) == (200, 2400)
    table = photos.query("width > 0", show=codes).table
    values = np.stack([table[c].to_numpy() for c in codes])
    assert ((values > 0) & (values < 1)).all()
    again = sextant.open(tmp_path / "again", create=True, loader=loader_of(HashEncoder()))
    again.add(tmp_path / "p")
    again.tag(vocabulary(tmp_path, attributes("a007")))
    assert checksum(again, "a007") == checksum(photos, "a007")


# asking


def test_a_rule_asks_like_sql_and_like_numpy(photos: Collection) -> None:
    rule = "(red >= 0.5 or green >= 0.5) and not blue >= 0.1 and width > 4"
    by_sql = photos.sql(
        "select path from images where (red >= .5 or green >= .5) and not blue >= .1 and width > 4 order by path"
    )
    values = photos.query("width > 0", show=["red", "green", "blue", "width"], sort="path").table
    r, g, b, w = (values[c].to_numpy() for c in ("red", "green", "blue", "width"))
    mask = ((r >= 0.5) | (g >= 0.5)) & ~(b >= 0.1) & (w > 4)
    expected = [p for p, m in zip(values["path"].to_pylist(), mask, strict=True) if m]
    assert [x["path"] for x in photos.query(rule)] == [x["path"] for x in by_sql] == expected
    assert len(expected) == 4


def test_answers_are_sorted_limited_and_show_what_was_asked(photos: Collection) -> None:
    rows = list(photos.query("red", sort="-green", limit=2, show=["green"]))
    assert [r["path"] for r in rows] == ["p/yellow.png", "p/orange.png"]
    assert list(rows[0]) == ["id", "path", "red", "green"]
    with pytest.raises(UsageError, match=r"no attribute or fact 'grean'.*Did you mean 'green'"):
        photos.query("red", sort="grean")


def test_search_ranks_exactly_and_filters_without_losing_a_match(photos: Collection) -> None:
    hits = photos.search("red").hits
    assert [h.path for h in hits][:3] == ["p/red.png", "p/orange.png", "p/yellow.png"]
    assert hits[0].logit == pytest.approx(40, abs=1e-4)
    assert hits[0].cosine == pytest.approx(1, abs=1e-6)
    kept = photos.search("red", where="green >= 0.5", limit=1).hits
    assert [h.path for h in kept] == ["p/yellow.png"]
    assert photos.search("red", where="green >= 0.5 and blue >= 0.5").hits == ()


def test_similar_leaves_the_image_itself_out(
    photos: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [h.path for h in photos.similar("p/red.png", limit=2).hits] == ["p/orange.png", "p/yellow.png"]
    monkeypatch.chdir(tmp_path / "p")
    assert [h.path for h in photos.similar("red.png", limit=1).hits] == ["p/orange.png"]
    image = photos.similar("p/red.png").hits[0].id
    assert image not in [h.id for h in photos.similar(image).hits]
    with pytest.raises(UsageError, match=r"no image 'nothing\.png'"):
        photos.similar("nothing.png")


def test_tags_and_descriptions_are_facts_beside_confidences(photos: Collection) -> None:
    photos.describe("p/red.png", tags=["flag", " sky "], description=" a red thing ")
    photos.describe("p/red.png", tags=["flag"], untag=["sky"])
    (row,) = photos.query("tags contains 'flag' and red", show=["tags", "description"])
    assert (row["path"], row["tags"], row["description"]) == ("p/red.png", ["flag"], "a red thing")
    photos.describe("p/red.png", description="")
    assert len(photos.query("description is not null")) == 0


# encoders


def test_switching_encoders_computes_the_columns_is_one_step_and_can_be_taken_back(
    tmp_path: Path, encoder: FakeEncoder
) -> None:
    class Negative(FakeEncoder):
        name = "negative"

        def encode_texts(self, texts: list[str]) -> np.ndarray:
            return -super().encode_texts(texts)

    other = Negative()
    pictures(tmp_path / "p", "red", "blue")
    photos = opened(tmp_path, encoder, other)
    photos.add(tmp_path / "p")
    photos.tag(
        vocabulary(
            tmp_path,
            "groups: {hue: {temperature: 2}}\n"
            + attributes("red")
            + "  - {code: green, description: green, group: hue}\n  - {code: blue, description: blue, group: hue}\n",
        )
    )
    before = {code: checksum(photos, code) for code in ("red", "blue")}
    answer = photos.query("width > 0", show=["red", "blue", "green"]).table
    report = photos.use("negative@1")
    assert (report.encoded, report.skipped, other.images, photos.info()["encoder"]) == (2, (), 2, "negative@1")
    values = photos.vectors.read(["red"]).sort_by("id")["red"].to_pylist()
    assert min(values) == pytest.approx(-40, abs=1e-3)
    rows = list(photos.query("width > 0", show=["blue", "green"]))
    assert [r["blue"] + r["green"] for r in rows] == pytest.approx([1, 1])
    assert photos.tag(dry_run=True).columns == ()
    back = photos.use("fake@1")
    assert (back.encoded, photos.info()["encoder"]) == (0, "fake@1")
    assert {code: checksum(photos, code) for code in before} == before
    assert photos.query("width > 0", show=["red", "blue", "green"]).table == answer
    assert photos.info()["encoders"] == {"fake@1": 2, "negative@1": 2}
    assert photos.prune()["encoders"] == ["negative@1"]
    assert photos.info()["encoders"] == {"fake@1": 2}


def test_a_switch_that_fails_leaves_the_collection_as_it_was(photos: Collection, tmp_path: Path) -> None:
    class Broken(FakeEncoder):
        name = "broken"

        def encode_texts(self, texts: list[str]) -> np.ndarray:
            return np.full((len(texts), 3), np.nan, np.float32)

    failing = opened(tmp_path, FakeEncoder(), Broken())
    with pytest.raises(sextant.SextantError, match="makes nothing of the text"):
        failing.use("broken@1")
    assert failing.info()["encoder"] == "fake@1"
    assert paths(failing, "red") == ["orange", "red", "yellow"]


def test_adding_with_another_model_or_another_revision_is_refused(photos: Collection, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="switch all of it with: sextant model use other"):
        photos.add(tmp_path / "p", model="other")
    with pytest.raises(CollectionError, match=r"come from fake@1, but .* now loads as fake@2"):
        opened(tmp_path, FakeEncoder("2")).add(tmp_path / "p")
    assert photos.info()["encoders"] == {"fake@1": 6}


# places


def test_a_moved_folder_still_opens_and_knows_its_files(
    photos: Collection, tmp_path: Path, encoder: FakeEncoder
) -> None:
    photos.close()
    images = encoder.images
    target = tmp_path.with_name(tmp_path.name + "-moved")
    shutil.move(tmp_path, target)
    try:
        moved = opened(target, encoder)
        assert paths(moved, "red") == ["orange", "red", "yellow"]
        report = moved.add(target / "p")
        assert (report.unchanged, report.encoded, report.missing, encoder.images) == (6, 0, 0, images)
    finally:
        shutil.rmtree(target)


def test_the_nearest_collection_above_is_found(
    photos: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "p")
    assert sextant.open().folder == tmp_path
    with pytest.raises(CollectionError, match="sextant add FOLDER"):
        sextant.open(tmp_path / "p")


def test_a_file_is_no_collection(tmp_path: Path) -> None:
    file = picture(tmp_path / "a.png", "red")
    with pytest.raises(CollectionError, match="is a file"):
        sextant.open(file, create=True)


def test_an_empty_collection_says_how_to_start(tmp_path: Path) -> None:
    photos = opened(tmp_path)
    for ask in (
        lambda: photos.query("width > 0"),
        lambda: photos.search("x"),
        lambda: photos.tag(vocabulary(tmp_path)),
    ):
        with pytest.raises(CollectionError, match="Start with: sextant add FOLDER"):
            ask()
    assert photos.info()["images"] == 0
    with pytest.raises(UsageError, match="at least one file"):
        photos.add()


def test_info_counts_and_names_where_settings_come_from(tmp_path: Path) -> None:
    pictures(tmp_path / "p", "red")
    shutil.copy(tmp_path / "p" / "red.png", tmp_path / "p" / "copy.png")
    photos = opened(tmp_path, batch=3)
    photos.add(tmp_path / "p")
    info = photos.info()
    assert (info["images"], info["files"], info["dim"], info["logit_scale"]) == (1, 2, 3, SCALE)
    assert info["settings"]["batch"] == {"value": 3, "from": "argument"}


# several at once


def test_a_reader_in_a_loop_sees_the_old_column_or_the_new_one(photos: Collection, tmp_path: Path) -> None:
    texts = [attributes("green", red=word) for word in ("red", "blue")]
    answers = []
    for text in texts:
        photos.tag(vocabulary(tmp_path, text))
        answers.append({h["path"]: h["red"] for h in photos.query("red is not null")})
    done = threading.Event()
    failures: list[object] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        reader = opened(tmp_path)
        while not done.is_set():
            try:
                answer = {h["path"]: h["red"] for h in reader.query("red is not null")}
                if answer not in answers:
                    failures.append(answer)
                reader.search("red")
                reads += 1
            except Exception as error:  # noqa: BLE001 – any error is what this looks for
                failures.append(error)
        reader.close()

    thread = threading.Thread(target=read)
    thread.start()
    for k in range(14):
        photos.tag(vocabulary(tmp_path, texts[k % 2]))
        if k % 5 == 0:
            photos.vacuum()
    done.set()
    thread.join()
    assert failures == []
    assert reads > 2


def _add(folder: str, part: str, words: str) -> None:
    photos = opened(Path(folder), FakeEncoder(), batch=2, flush_seconds=0.01)
    photos.add(Path(folder) / part)
    photos.tag(words)
    photos.add(Path(folder) / "shared")
    photos.close()


def test_two_processes_that_create_add_and_tag_at_once_lose_nothing(tmp_path: Path) -> None:
    many(tmp_path / "a", 25)
    many(tmp_path / "b", 25, start=25)
    many(tmp_path / "shared", 10, start=50)
    words = [str(vocabulary(tmp_path, attributes(c, "grey"), f"{c}.yaml")) for c in ("red", "blue")]
    context = multiprocessing.get_context("spawn")
    tasks = [context.Process(target=_add, args=(str(tmp_path), p, w)) for p, w in zip("ab", words, strict=True)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(60)
    assert [task.exitcode for task in tasks] == [0, 0]
    photos = opened(tmp_path)
    ids = photos.vectors.ids().to_pylist()
    assert len(ids) == len(set(ids)) == 60
    assert photos.store.images().num_rows == 60
    assert photos.store.files().num_rows == 60
    assert set(photos.vectors.columns()) == {"red", "blue", "grey"}
    assert photos.vectors.unknown(["red", "blue", "grey"]) == {"red": 0, "blue": 0, "grey": 0}


def test_the_storage_page_reads_a_collection_without_sextant(
    photos: Collection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "storage.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(photos.folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        exec(compile(code, "storage.md", "exec"), {})
        gc.collect()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "['a photo of red'] 40.0"
    assert "'red': " in printed[1]
    assert "words.yaml" in printed[2]
    tables = {t.name for t in schema.TABLES.tables.values()}
    assert tables <= set(re.findall(r"`(\w+)`", page)), "the page names every table of the catalog"
    names = [f.name for f in (*IMAGES, *FILES)]
    assert set(names) <= set(re.findall(r"`(\w+)`", page)), "and every column"


def test_questions_that_cannot_be_meant_are_usage_errors(photos: Collection) -> None:
    for ask in (
        lambda: photos.query("red", limit=-1),
        lambda: photos.search("red", limit=0),
        lambda: photos.search("  "),
        lambda: photos.search("\udcff"),
        lambda: photos.describe("p/red.png", tags=["\udcff"]),
        lambda: photos.describe("p/red.png", tags=[" "]),
        lambda: photos.inspect("red", bins=0),
        lambda: photos.inspect("red", scale=-1.0),
        lambda: photos.override("~nobody-here/x.png", "red", True),
        lambda: photos.override("", "red", True),
    ):
        with pytest.raises(UsageError):
            ask()
    assert (photos.catalog.tags(), photos.catalog.overrides()) == ({}, [])


@pytest.mark.parametrize("table", ["images.lance", "files.lance", "encoders"])
def test_what_models_computed_can_be_deleted_and_computed_again(photos: Collection, tmp_path: Path, table: str) -> None:
    photos.override("p/red.png", "blue", True)
    before = photos.query("width > 0", show=["red", "blue", "warm"]).table
    shutil.rmtree(tmp_path / ".sextant" / table)
    photos.add(tmp_path / "p")
    photos.tag()
    assert photos.query("width > 0", show=["red", "blue", "warm"]).table == before


READ_ONLY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import fakes, sextant
folder = Path(sys.argv[2])

def ask(words):
    photos = fakes.opened(folder)
    print([r["path"] for r in photos.query("red")], photos.info()["images"])
    print(photos.search(words).hits[0].path, photos.similar("p/red.png").hits[0].path)
    print(len(photos.sql("select red from images")), len(photos.columns()), photos.tag(dry_run=True).columns)
    return photos

ask("green").close()  # everything is imported while it still may be
os.setgid(65534); os.setuid(65534)
photos = ask("a blue lake")
override = lambda: photos.override("p/red.png", "red", True)
for change in (photos.tag, override, lambda: photos.add(folder / "p")):
    try:
        change()
    except sextant.SextantError as error:
        print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
def test_a_collection_that_cannot_be_written_can_be_asked(photos: Collection) -> None:
    photos.close()
    with readable_by_all(photos.folder) as folder:
        command = [sys.executable, "-c", READ_ONLY, str(Path(__file__).parent), str(folder)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    answers = run.stdout.splitlines()[3:]
    assert answers[0] == "['p/orange.png', 'p/red.png', 'p/yellow.png'] 6"
    assert answers[1] == "p/blue.png p/orange.png"
    assert answers[2] == "6 5 ()"
    assert len(answers) == 6
    assert all("allow writing" in line for line in answers[3:])
