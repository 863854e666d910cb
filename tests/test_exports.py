"""Selections as COCO, FiftyOne, imagefolder and XMP sidecars: whole or not at all, and nobody's work overwritten."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fakes import opened, picture, pictures, vocabulary
from sextant import xmp
from sextant.cli import cli
from sextant.collection import Collection
from sextant.documents import encoded
from sextant.errors import ExchangeError, UsageError
from sextant.types import Skipped

HOSTILE = '<script>alert(1)</script> & "x"\x1b[31m=1+1'
WORDS = """
base_attributes:
  - {code: red, label: "Red <b>&amp;</b>", description: red, type: colour}
  - {code: green, label: Green, description: green, type: colour/deep}
  - {code: blue, label: Blue, description: blue}
derived_attributes:
  - {code: warm, label: Warm, type: mood, rule: {all_of: [red], none_of: [blue]}}
"""


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    """red, green, blue and yellow (red and green at once), of 8 × 8 pixels; grey shows nothing."""
    pictures(tmp_path / "p", "red", "green", "blue", "yellow", "grey")
    collection = opened(tmp_path)
    collection.add(tmp_path / "p")
    collection.tag(vocabulary(tmp_path, WORDS), center=25.5, scale=1.5)
    collection.describe("p/red.png", description=HOSTILE)
    return collection


def shown(photos: Collection, *bands: str) -> dict[str, set[str]]:
    """By path, the codes in these bands, as SQL tells it."""
    rows = photos.sql("select path, attribute_code, band from feature_image_attribute join images on id = image_id")
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["path"], set()).update({row["attribute_code"]} if row["band"] in bands else ())
    return found


def loaded(file: Path) -> Any:
    return json.loads(file.read_text(encoding="ascii"))


# COCO


def test_coco_has_an_annotation_for_every_accepted_attribute(photos: Collection, tmp_path: Path) -> None:
    assert photos.export(tmp_path / "x.json", format="coco") == 5
    coco = loaded(tmp_path / "x.json")
    names = {c["id"]: c["name"] for c in coco["categories"]}
    paths = {i["id"]: i["file_name"] for i in coco["images"]}
    found: dict[str, set[str]] = {path: set() for path in paths.values()}
    for a in coco["annotations"]:
        found[paths[a["image_id"]]].add(names[a["category_id"]])
    assert found == shown(photos, "accepted")
    assert found["p/yellow.png"] == {"red", "green", "warm"}
    (red,) = (
        a for a in coco["annotations"] if paths[a["image_id"]] == "p/red.png" and names[a["category_id"]] == "red"
    )
    (row,) = photos.query("red and not green", show=["red"])
    assert (red["score"], red["bbox"], red["area"], red["source"]) == (row["red"], [0, 0, 8, 8], 64, "model")
    assert [c["supercategory"] for c in coco["categories"]] == ["colour", "colour/deep", "", "mood"]
    assert [a["id"] for a in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))


def test_a_band_and_codes_choose_images_and_annotations(photos: Collection, tmp_path: Path) -> None:
    photos.override("p/green.png", "blue", True)
    assert photos.export(tmp_path / "x.json", format="coco", codes=["blue"], bands=["accepted"]) == 2
    coco = loaded(tmp_path / "x.json")
    assert {i["file_name"] for i in coco["images"]} == {"p/blue.png", "p/green.png"}
    assert sorted(a["source"] for a in coco["annotations"]) == ["model", "person"]
    rejected = photos.export(tmp_path / "y.json", format="coco", codes=["blue"], bands=["rejected"], where="red")
    assert rejected == 2
    with pytest.raises(UsageError, match="no band 'good'"):
        photos.export(tmp_path / "z.json", format="coco", bands=["good"])
    with pytest.raises(UsageError, match="no attribute 'rde'"):
        photos.export(tmp_path / "z.json", format="coco", codes=["rde"])
    assert not (tmp_path / "z.json").exists()


# FiftyOne


def test_fiftyone_names_files_absolutely_and_classes_by_number(photos: Collection, tmp_path: Path) -> None:
    assert photos.export(tmp_path / "x.json", format="fiftyone", where="red or blue") == 3
    document = loaded(tmp_path / "x.json")
    assert document["classes"] == ["red", "green", "blue", "warm"]
    assert all(Path(name).is_file() for name in document["labels"])
    found = {
        Path(name).relative_to(tmp_path).as_posix(): {document["classes"][one["label"]] for one in labels}
        for name, labels in document["labels"].items()
    }
    assert found == {p: codes for p, codes in shown(photos, "accepted").items() if codes & {"red", "blue"}}
    (blue,) = document["labels"][str(tmp_path / "p" / "blue.png")]
    assert blue["attributes"] == {"band": "accepted", "source": "model"}
    assert 0.8 <= blue["confidence"] <= 1


# tables


def test_tables_take_codes_and_bands_too(photos: Collection, tmp_path: Path) -> None:
    assert photos.export(tmp_path / "x.csv", codes=["red"], bands=["accepted"]) == 2
    with (tmp_path / "x.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {r["path"] for r in rows} == {"p/red.png", "p/yellow.png"}
    assert not {"green", "warm"} & set(rows[0])
    assert photos.export(tmp_path / "y.parquet", shape="long", codes=["red", "blue"], bands=["accepted"]) == 3
    cells = {(r["path"], r["attribute_code"]) for r in pq.read_table(tmp_path / "y.parquet").to_pylist()}
    assert cells == {("p/red.png", "red"), ("p/yellow.png", "red"), ("p/blue.png", "blue")}


def test_a_collection_without_columns_exports_nothing_or_bare_images(tmp_path: Path) -> None:
    photos = opened(tmp_path)
    photos.add(picture(tmp_path / "a.png", "red"))
    assert photos.export(tmp_path / "x.jsonl", shape="long", bands=["accepted"]) == 0
    assert photos.export(tmp_path / "x.json", format="coco") == 1
    assert loaded(tmp_path / "x.json")["annotations"] == []
    assert photos.export_sidecars().unchanged == 1


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "coco", "fiftyone"])
def test_a_file_that_is_there_is_only_replaced_by_force(kind: str, photos: Collection, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("my work")
    with pytest.raises(ExchangeError, match="is there already; --force replaces it"):
        photos.export(mine, format=kind)
    assert mine.read_text() == "my work"
    photos.export(mine, format=kind, force=True)
    assert mine.read_bytes() != b"my work"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".sextant-")]


@pytest.mark.parametrize("text", [HOSTILE, "\u202e\u2028\x7f\x00", "</script>", "=cmd|' /C calc'!A0"])
def test_json_is_plain_ascii_without_markup_and_reads_back(text: str) -> None:
    written = encoded({text: [text]})
    assert json.loads(written) == {text: [text]}
    assert written.isascii()
    assert written.isprintable()
    assert not set("<>&") & set(written)


# imagefolder


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="ascii").splitlines()]


@pytest.mark.parametrize("link", [False, True])
def test_an_imagefolder_has_every_picture_and_a_line_for_each(link: bool, photos: Collection, tmp_path: Path) -> None:
    assert photos.export_images(tmp_path / "out", where="red", link=link) == (2, ())
    lines = {line["path"]: line for line in lines_of(tmp_path / "out")}
    assert set(lines) == {"p/red.png", "p/yellow.png"}
    for path, line in lines.items():
        file = tmp_path / "out" / line["file_name"]
        assert file.read_bytes() == (tmp_path / path).read_bytes()
        assert file.is_symlink() is link
    assert lines["p/yellow.png"]["labels"] == ["red", "green", "warm"]
    assert lines["p/red.png"]["description"] == HOSTILE
    (row,) = photos.query("red and not green", show=["red", "blue"])
    assert [lines["p/red.png"]["confidences"][c] for c in ("red", "blue")] == [row["red"], row["blue"]]
    listed = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert listed == ["images", "metadata.jsonl"]


def test_force_replaces_an_earlier_imagefolder_and_no_other_folder(photos: Collection, tmp_path: Path) -> None:
    photos.export_images(tmp_path / "out", where="red")
    with pytest.raises(ExchangeError, match="--force replaces an earlier export"):
        photos.export_images(tmp_path / "out")
    assert photos.export_images(tmp_path / "out", where="blue", force=True)[0] == 1
    assert [line["path"] for line in lines_of(tmp_path / "out")] == ["p/blue.png"]
    with pytest.raises(ExchangeError, match="not even --force"):
        photos.export_images(tmp_path / "p", force=True)
    assert len(list((tmp_path / "p").iterdir())) == 5
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".sextant-")]


def test_a_picture_that_is_gone_is_reported_and_has_no_line(photos: Collection, tmp_path: Path) -> None:
    (tmp_path / "p" / "red.png").unlink()
    count, skipped = photos.export_images(tmp_path / "out")
    assert (count, skipped) == (4, (Skipped("p/red.png", "no such file"),))
    assert len(lines_of(tmp_path / "out")) == len(list((tmp_path / "out" / "images").iterdir())) == 4


def test_a_folder_that_cannot_be_written_leaves_nothing_behind(photos: Collection, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExchangeError, match="cannot be written: Not a directory"):
        photos.export_images(tmp_path / "file" / "out")
    assert (tmp_path / "file").read_text() == "x"


# sidecars


def said(file: Path) -> tuple[list[str], list[str], str | None]:
    read = xmp._read(file.read_bytes())
    keywords, tags = ([item.text for item in read.items(name)] for name in (xmp.SUBJECT, xmp.TAGS_LIST))
    return keywords, tags, read.value(xmp.PICK_LABEL)


def test_sidecars_say_what_is_accepted_and_only_where_something_is(photos: Collection, tmp_path: Path) -> None:
    report = photos.export_sidecars()
    assert (report.made, report.updated, report.unchanged, report.skipped) == (4, 0, 1, ())
    keywords, tags, pick = said(tmp_path / "p" / "yellow.png.xmp")
    assert keywords == ["Red <b>&amp;</b>", "Green", "Warm"]
    assert tags == ["Sextant/colour/Red <b>&amp;<-b>", "Sextant/colour-deep/Green", "Sextant/mood/Warm"]
    assert pick == "3"
    assert said(tmp_path / "p" / "blue.png.xmp")[1] == ["Sextant/Blue"]
    assert not (tmp_path / "p" / "grey.png.xmp").exists()
    again = photos.export_sidecars()
    assert (again.made, again.updated, again.unchanged) == (0, 0, 5)


def test_what_no_longer_holds_is_withdrawn_and_a_persons_keywords_stay(photos: Collection, tmp_path: Path) -> None:
    mine = tmp_path / "p" / "blue.png.xmp"
    subject = b"<dc:subject><rdf:Bag><rdf:li>holiday</rdf:li></rdf:Bag></dc:subject></rdf:Description> </rdf:RDF>"
    start = b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    before = xmp.EMPTY.replace(b"</rdf:RDF>", start + subject)
    mine.write_bytes(before)
    photos.export_sidecars(bands=["accepted"])
    assert said(mine)[0] == ["holiday", "Blue"]
    photos.override(["p/blue.png", "p/red.png"], "blue", False)
    photos.override("p/red.png", "red", False)
    photos.export_sidecars(bands=["accepted"])
    assert mine.read_bytes() == before
    assert not (tmp_path / "p" / "red.png.xmp").exists()


def test_the_tentative_band_has_a_pick_label_of_its_own(tmp_path: Path) -> None:
    photos = opened(tmp_path)
    photos.add(picture(tmp_path / "a.png", "orange"))
    photos.tag(vocabulary(tmp_path, WORDS), center=35.0, scale=5)
    photos.export_sidecars()
    assert not (tmp_path / "a.png.xmp").exists()
    photos.export_sidecars(bands=["accepted", "tentative"])
    assert said(tmp_path / "a.png.xmp")[2] == "2"


def test_either_name_is_recognised_and_a_shared_one_is_left_to_its_owner(photos: Collection, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    for name in ("red.xmp", "green.xmp", "yellow.xmp", "yellow.png.xmp"):
        (folder / name).write_bytes(xmp.EMPTY)
    (folder / "green.NEF").write_bytes(b"raw")
    report = photos.export_sidecars(naming="photo.xmp")
    assert (report.made, report.updated) == (2, 3)
    made = {p.name for p in folder.glob("*.xmp") if p.read_bytes() != xmp.EMPTY}
    assert made == {"red.xmp", "green.png.xmp", "yellow.xmp", "yellow.png.xmp", "blue.xmp"}
    assert (folder / "green.xmp").read_bytes() == xmp.EMPTY
    with pytest.raises(UsageError, match=r"photo\.jpg\.xmp or photo\.xmp"):
        photos.export_sidecars(naming="photo")


def test_a_sidecar_that_cannot_be_changed_is_left_as_it_is(photos: Collection, tmp_path: Path) -> None:
    bad = tmp_path / "p" / "red.png.xmp"
    text = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
    bad.write_text(text)
    report = photos.export_sidecars()
    (skipped,) = report.skipped
    assert skipped.path == "p/red.png.xmp"
    assert "left as it is: it has a document type declaration" in skipped.reason
    assert bad.read_text() == text
    assert report.made == 3


def test_a_sidecar_keeps_its_permissions_and_its_being_a_link(photos: Collection, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.xmp"
    real.write_bytes(xmp.EMPTY)
    real.chmod(0o640)
    (tmp_path / "p" / "red.png.xmp").symlink_to(real)
    photos.export_sidecars()
    assert (tmp_path / "p" / "red.png.xmp").is_symlink()
    assert said(real)[0] == ["Red <b>&amp;</b>", "Warm"]
    assert real.stat().st_mode & 0o777 == 0o640


def test_every_copy_of_an_image_has_its_sidecar(photos: Collection, tmp_path: Path) -> None:
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "copy.png").write_bytes((tmp_path / "p" / "red.png").read_bytes())
    photos.add(tmp_path / "q")
    assert photos.export_sidecars(where="red and not green").made == 2
    assert said(tmp_path / "q" / "copy.png.xmp") == said(tmp_path / "p" / "red.png.xmp")


# the command line


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A collection of the encoder that needs no model, with a column that accepts everything."""
    for name in ("a.png", "b.png"):
        Image.effect_noise((16, 16), 50).convert("RGB").save(tmp_path / name)
    (tmp_path / "v.yaml").write_text(
        "base_attributes: [{code: dog, label: Dog, description: dog, center: -100, scale: 1}]"
    )
    for line in (["add", ".", "--model", "hash"], ["tag", "v.yaml"]):
        assert sextant(tmp_path, *line).exit_code == 0
    return tmp_path


def sextant(folder: Path, *arguments: str) -> Result:
    held = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(cli, list(arguments))
    finally:
        os.chdir(held)


def test_every_format_goes_by_the_command_line(made: Path) -> None:
    assert sextant(made, "export", "-o", "x.json", "--format", "coco", "--json").stdout.strip()
    assert len(loaded(made / "x.json")["images"]) == 2
    again = sextant(made, "export", "-o", "x.json", "--format", "coco")
    assert (again.exit_code, "--force" in again.stderr) == (1, True)
    assert sextant(made, "export", "-o", "x.json", "--format", "fiftyone", "--force", "--codes", "dog").exit_code == 0
    assert loaded(made / "x.json")["classes"] == ["dog"]
    piped = sextant(made, "export", "-o", "-", "--format", "fiftyone")
    assert len(json.loads(piped.stdout)["labels"]) == 2
    answer = json.loads(sextant(made, "export", "-o", "out", "--format", "imagefolder", "--link", "--json").stdout)
    assert answer == {"path": "out", "images": 2, "skipped": []}
    answer = json.loads(sextant(made, "export", "--format", "xmp", "--sidecar", "photo.xmp", "--json").stdout)
    assert answer == {"made": 2, "updated": 0, "unchanged": 0, "skipped": []}
    assert said(made / "a.xmp")[0] == ["Dog"]


@pytest.mark.parametrize(
    "line",
    [
        ["--format", "coco"],
        ["--format", "xmp", "-o", "x"],
        ["--format", "imagefolder", "-o", "-"],
        ["-o", "x.json", "--format", "coco", "--band", "good"],
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(line: list[str], made: Path) -> None:
    assert sextant(made, "export", *line).exit_code == 2


def test_json_needs_a_format_and_a_bad_sidecar_is_exit_status_one(made: Path) -> None:
    unclear = sextant(made, "export", "-o", "x.json")
    assert (unclear.exit_code, "--format coco or fiftyone" in unclear.stderr) == (1, True)
    (made / "a.png.xmp").write_text("no xml")
    failed = sextant(made, "export", "--format", "xmp")
    assert failed.exit_code == 1
    assert "skipped a.png.xmp: left as it is" in failed.stderr
