"""The demo: a folder of its own, honest figures, a sheet that can be opened, and clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from sklearn.metrics import average_precision_score

import sextant
from sextant import vocabulary
from sextant.cli import cli
from sextant.demo import facades, scenes, sheet, tour, truth_table
from sextant.demo.tour import FACADES, SCENES, Order
from sextant.errors import SextantError, UsageError

PACKAGE = Path(tour.__file__).parent
MINI = PACKAGE / "mini" / "card.json"
MEASURED = MINI.is_file() and json.loads(MINI.read_text(encoding="utf-8"))["prior"] is not None

needs_mini = pytest.mark.skipif(not MEASURED, reason="no embedded encoder, or no prior: python training/mini_prior.py")


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, ["demo", *map(str, args)])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A small demo with the model-free encoder, and what it answered."""
    folder = tmp_path_factory.mktemp("tour") / "demo"
    result = run("--images", "40", "--dir", folder, "--model", "hash", "--json")
    assert result.exit_code == 0, result.stderr
    return folder, json.loads(result.stdout)


# the whole


def test_the_demo_leaves_a_collection_a_sheet_and_the_truth(shown: tuple[Path, dict]) -> None:
    folder, answer = shown
    assert {p.name for p in folder.iterdir()} == {
        *("demo.json", "pictures", "vocabulary.yaml", "golden.yaml", "contact-sheet.png", ".sextant")
    }
    with sextant.open(folder) as photos:
        assert photos.info()["files"] == 40
        assert len(photos.columns()) == 48
    assert answer["sheet"] == str(folder / "contact-sheet.png")


def test_the_table_is_what_the_columns_and_the_truth_give(shown: tuple[Path, dict]) -> None:
    """Recomputed from an export and from truth.jsonl, by scikit-learn."""
    folder, answer = shown
    lines = (folder / "pictures" / "truth.jsonl").read_text().splitlines()
    truth = {f"pictures/{r['path']}": set(r["attributes"]) for r in map(json.loads, lines)}
    with sextant.open(folder) as photos:
        rows = list(photos.sql("SELECT * FROM images"))
        bands = {row["id"]: row for row in photos.sql("SELECT * FROM bands")}
    assert len(answer["columns"]) == 48
    for column in answer["columns"]:
        code = column["code"]
        true = np.array([code in truth[row["path"]] for row in rows])
        accepted = np.array([bands[row["id"]][code] == "accepted" for row in rows])
        assert column["n"] == len(rows)
        assert column["positives"] == true.sum()
        assert column["accepted"] == accepted.sum()
        assert column["right"] == (true & accepted).sum()
        if true.any():
            expected = average_precision_score(true, [row[code] for row in rows])
            assert column["average_precision"] == pytest.approx(expected, abs=1e-9)
        else:
            assert column["average_precision"] is None


def test_the_state_of_every_column_is_told(shown: tuple[Path, dict]) -> None:
    folder, answer = shown
    with sextant.open(folder) as photos:
        states = {c.code: c.state for c in photos.columns()}
    assert {c["code"]: c["state"] for c in answer["columns"]} == states


def test_a_hit_is_right_when_the_picture_shows_all_that_was_asked_for(shown: tuple[Path, dict]) -> None:
    folder, answer = shown
    known = tour.truth(folder)
    asked = {search.text: search.shows for search in SCENES.searches}
    for search in answer["searches"]:
        for hit in search["hits"]:
            assert hit["right"] == asked[search["query"]].issubset(known[hit["path"]].shows)


def test_the_same_demo_again_draws_and_encodes_nothing(shown: tuple[Path, dict]) -> None:
    folder, before = shown
    stamps = {p: p.stat().st_mtime_ns for p in (folder / "pictures").iterdir()}
    again = json.loads(run("--images", "40", "--dir", folder, "--model", "hash", "--json").stdout)
    assert before["drawn"]
    assert not again["drawn"]
    assert {p: p.stat().st_mtime_ns for p in (folder / "pictures").iterdir()} == stamps
    assert again["columns"] == before["columns"]


def test_a_person_reads_tables_and_what_to_try_next(shown: tuple[Path, dict]) -> None:
    folder, _ = shown
    text = run("--images", "40", "--dir", folder, "--model", "hash").stdout
    for word in ("average precision", "lunar_surface", "crew_selfie", "contact-sheet.png", "Now try", f"cd {folder}"):
        assert word in text


def test_edited_words_and_added_pictures_stay(shown: tuple[Path, dict]) -> None:
    folder, before = shown
    words = folder / "vocabulary.yaml"
    shipped = words.read_text()
    Image.new("RGB", (8, 8), "red").save(folder / "pictures" / "mine.png")
    try:
        words.write_text(
            shipped.replace("base_attributes:", "base_attributes:\n  - {code: mine, description: mine}", 1)
        )
        answer = json.loads(run("--images", "40", "--dir", folder, "--model", "hash", "--json").stdout)
        assert "code: mine" in words.read_text()
        with sextant.open(folder) as photos:
            assert "mine" in photos.codes()
            assert photos.info()["files"] == 41
        assert answer["columns"][0]["n"] == before["columns"][0]["n"]  # nobody knows what the added picture shows
    finally:
        (folder / "pictures" / "mine.png").unlink()
        words.write_text(shipped)


def test_facades_have_their_own_words(tmp_path: Path) -> None:
    result = run("--images", "25", "--dir", tmp_path / "f", "--domain", "facades", "--model", "hash", "--json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert [c["code"] for c in answer["columns"]] == ["building", "arch", "column", "dome", "tower", *facades.STYLES]
    assert {c["code"]: c["positives"] for c in answer["columns"]}["onion_dome"] == 1
    assert answer["columns"][0]["positives"] == 24


@needs_mini
def test_the_embedded_encoder_knows_the_demos_world(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    answer = json.loads(run("--images", "200", "--dir", folder, "--json").stdout)
    assert answer["summary"]["mean_average_precision"] > 0.75
    astronauts, launches = (search["hits"] for search in answer["searches"])
    known = tour.truth(folder)
    assert known[astronauts[0]["path"]].shows >= {"astronaut", "earth"}
    assert all(hit["right"] for hit in launches)


@needs_mini
def test_what_the_embedded_encoder_accepts_is_true(tmp_path: Path) -> None:
    answer = json.loads(run("--images", "200", "--seed", "1", "--dir", tmp_path / "demo", "--json").stdout)
    assert answer["summary"]["precision"] > 0.9
    assert answer["summary"]["recall"] > 0.7


# refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--images", "0"], ("1 to 1,000,000 pictures, not 0", "--images")),
        (["--images", "-3"], ("not -3", "--images")),
        (["--images", "10000000"], ("not 10,000,000", "--images")),
        (["--images", "12", "--domain", "facades"], ("24 to 240,000", "not 12")),
        (["--seed", "-1"], ("--seed", "0 to 999", "-1")),
        (["--seed", "1000"], ("--seed", "1000")),
        (["--seed", "999", "--images", "1001"], ("--seed 999", "1,000 pictures")),
        (["--images", "many"], ("many",)),
        (["--domain", "oceans"], ("oceans",)),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: list[str], words: tuple[str, ...]
) -> None:
    result = run("--dir", tmp_path / "demo", *arguments)
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words), result.stderr
    assert not (tmp_path / "demo").exists()


def _with_a_letter(folder: Path) -> Path:
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    return folder


def _with_a_collection(folder: Path) -> Path:
    (folder / ".sextant").mkdir(parents=True)
    (folder / ".sextant" / "collection.json").write_text('{"format": 1}')
    return folder


def _a_file(path: Path) -> Path:
    path.write_text("dear")
    return path


def _under_a_file(path: Path) -> Path:
    path.write_text("dear")
    return path / "demo"


@pytest.mark.parametrize("make", [_with_a_letter, _with_a_collection, _a_file, _under_a_file])
def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    place = make(tmp_path / "place")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    result = run("--images", "30", "--dir", place, "--model", "hash")
    assert result.exit_code == 2
    assert str(place) in result.stderr
    assert "--dir" in result.stderr
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_folder_that_cannot_be_written_is_named() -> None:
    result = run("--images", "30", "--dir", "/proc/demo", "--model", "hash")
    assert result.exit_code == 2
    assert "cannot write into /proc/demo" in result.stderr
    assert "--dir" in result.stderr


def test_another_demo_in_the_folder_is_named(shown: tuple[Path, dict]) -> None:
    folder, _ = shown
    result = run("--images", "41", "--dir", folder, "--model", "hash")
    assert result.exit_code == 2
    assert "--images 40 --seed 0 --domain scenes" in result.stderr


def test_pictures_for_which_there_is_no_room_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tour.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    order = Order("scenes", 600, 0)
    tour.claim(tmp_path / "demo", order)
    with pytest.raises(UsageError, match="--images"):
        tour.draw(tmp_path / "demo", order)
    assert not (tmp_path / "demo" / "pictures").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"images": 3}', "not json"])
def test_a_mark_of_something_else_is_not_the_demos(tmp_path: Path, text: str) -> None:
    (tmp_path / "demo.json").write_text(text)
    with pytest.raises(UsageError, match=r"demo\.json"):
        tour.claim(tmp_path, Order("scenes", 30, 0))
    assert (tmp_path / "demo.json").read_text() == text


def test_a_damaged_truth_is_named(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "truth.jsonl").write_text('{"path": "a.jpg"}\n')
    with pytest.raises(SextantError, match=r"truth\.jsonl"):
        tour.truth(tmp_path)


def test_a_drawing_that_was_stopped_is_drawn_again(tmp_path: Path) -> None:
    order, folder = Order("facades", 24, 0), tmp_path / "demo"
    tour.claim(folder, order)
    (folder / ".drawing").mkdir()
    (folder / ".drawing" / "half.jpg.partial").write_text("")
    assert tour.draw(folder, order)
    assert not list(folder.rglob("half*"))
    assert len(tour.truth(folder)) == 24
    assert not tour.draw(folder, order)


# words and seeds


def test_pictures_come_from_seeds_that_nothing_was_trained_on() -> None:
    for order in (Order("scenes", 1_000_000, 0), Order("scenes", 1_000, 999)):
        order.check()
        assert order.first in scenes.DEMO_SEEDS
        assert order.first + order.images - 1 in scenes.DEMO_SEEDS


def test_seeds_draw_other_pictures() -> None:
    assert Order("scenes", 1_000, 1).first - Order("scenes", 1_000, 0).first >= 1_000


@pytest.mark.parametrize("domain", [SCENES, FACADES])
def test_the_questions_name_only_codes_of_the_shipped_vocabulary(domain: tour.Domain) -> None:
    words = vocabulary.load(PACKAGE / domain.vocabulary)
    assert set(tour.codes(domain)) == set(words.codes())
    for search in (*domain.searches, *domain.more):
        assert search.shows <= set(words.codes())
    for rule in domain.queries:
        assert len(truth_table.holds(rule, tour.codes(domain), [frozenset()])) == 1
    assert domain.inspect in words


def test_the_words_for_styles_are_those_of_the_facades() -> None:
    words = vocabulary.load(PACKAGE / "facades.yaml")
    for code, prompts in facades.PROMPTS.items():
        assert words[code].prompts == prompts[: len(words[code].prompts)]


# the table


def test_a_row_of_the_truth_table_by_hand() -> None:
    confidence = np.array([0.9, 0.8, 0.7, np.nan, 0.1])
    accepted = np.array([True, True, False, False, False])
    truth = np.array([True, False, True, True, False])
    row = truth_table.row("dog", "prior", confidence, accepted, truth)
    assert (row.n, row.positives, row.accepted, row.right) == (5, 3, 2, 1)
    assert (row.prevalence, row.precision, row.recall) == (0.6, 0.5, pytest.approx(1 / 3))
    assert row.average_precision == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)  # the unknown one ranks last


def test_what_nobody_shows_and_what_nothing_accepts_have_no_figure() -> None:
    nothing = truth_table.row("dog", "prior", np.array([0.2]), np.array([False]), np.array([False]))
    assert np.isnan([nothing.precision, nothing.recall, nothing.average_precision]).all()
    one = truth_table.row("cat", "prior", np.array([0.9]), np.array([True]), np.array([True]))
    whole = truth_table.summary([nothing, one])
    assert (whole.attributes, whole.measured, whole.mean_average_precision) == (2, 1, 1.0)
    assert (whole.precision, whole.recall) == (1.0, 1.0)
    assert np.isnan(truth_table.summary([nothing]).mean_average_precision)


def test_a_rule_holds_where_the_truth_says_so() -> None:
    truths = [frozenset({"earth"}), frozenset({"earth", "moon"}), frozenset()]
    found = truth_table.holds("earth and not moon", ("earth", "moon"), truths)
    assert found.tolist() == [True, False, False]
    answer = truth_table.answer(np.array([True, True, False]), found)
    assert (answer.chosen, answer.right, answer.positives) == (2, 1, 1)


# the sheet


def _shots(folder: Path, n: int) -> tuple[sheet.Shot, ...]:
    folder.mkdir(exist_ok=True)
    shots = []
    for i in range(n):
        path = folder / f"{i}.png"
        Image.new("RGB", (40 + 60 * i, 90), (200, 30, 30)).save(path)
        shots.append(sheet.Shot(path, f"0.{i}00", (True, False, None)[i % 3]))
    return tuple(shots)


def test_a_sheet_shows_every_picture_and_whether_it_is_right(tmp_path: Path) -> None:
    shots = _shots(tmp_path / "p", 3)
    target = tmp_path / "sheet.png"
    sheet.draw([sheet.Strip("a red thing", "1 of 3 right", shots)], target, title="Title", subtitle="under")
    drawn = np.asarray(Image.open(target)).reshape(-1, 3).astype(int)

    def near(colour: tuple[int, int, int]) -> int:
        return int((np.abs(drawn - colour).max(axis=1) < 12).sum())

    assert near((200, 30, 30)) > 3 * 5_000
    assert near(sheet.RIGHT) > 100
    assert near(sheet.WRONG) > 100
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["sheet.png"]


def test_a_sheet_of_nothing_is_still_a_picture(tmp_path: Path) -> None:
    sheet.draw([sheet.Strip("nothing", "0 of 0 right", ())], tmp_path / "s.png", title="Title", subtitle="")
    with Image.open(tmp_path / "s.png") as drawn:
        assert drawn.width > 100


def test_a_sheet_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "sheet.png"
    target.write_bytes(b"old")
    missing = sheet.Shot(tmp_path / "gone.png", "0.100")
    with pytest.raises(OSError, match="gone"):
        sheet.draw([sheet.Strip("a", "b", (missing,))], target, title="t", subtitle="")
    assert target.read_bytes() == b"old"
