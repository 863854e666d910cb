"""The verbs around labels through click's runner: from the first question to a calibrated column."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from sextant.cli import answering, cli
from sextant.cli.answering import escape, protocol

WORDS = """
center: 16
scale: 2
base_attributes:
  - {code: dog, label: Dog, description: dog}
  - {code: cat, label: Cat, description: cat}
  - {code: picture, label: Picture, description: picture, control: positive}
"""
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "in").mkdir()
    for number in range(60):
        pixels = np.random.default_rng(number).integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "in" / f"p{number:02}.png")
    (folder / "v.yaml").write_text(WORDS)
    for line in (["add", str(folder / "in"), "--model", "hash"], ["tag", str(folder / "v.yaml")]):
        result = CliRunner().invoke(cli, ["-C", str(folder), *line])
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def sextant(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line in a copy of the collection."""
    shutil.copytree(made, tmp_path / "c")
    monkeypatch.chdir(tmp_path / "c")
    monkeypatch.delenv("SEXTANT_COLLECTION", raising=False)

    def run(*arguments: str, **extra: Any) -> Result:
        return CliRunner().invoke(cli, list(arguments), **extra)

    return run


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def logits(sextant: Run, code: str) -> dict[str, float]:
    rows = answer(sextant("sql", f"SELECT path, {code} FROM images", "--json"))
    return {row["path"]: row[code] for row in rows}


# label


def test_next_gives_a_file_to_fill_in_that_import_takes(sextant: Run) -> None:
    sheet = sextant("label", "next", "dog", "-n", "12", "--seed", "3", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(sheet)))
    assert [row["code"] for row in rows] == ["dog"] * 12
    assert {row["value"] for row in rows} == {""}
    rows[0]["value"], rows[1]["value"] = "yes", "no"
    with Path("dog.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert answer(sextant("label", "import", "dog.csv", "--json")) == {"labels": 2}
    out = list(csv.DictReader(io.StringIO(sextant("label", "export", "-o", "-").stdout)))
    assert [(row["path"], row["value"]) for row in out] == [(rows[0]["path"], "true"), (rows[1]["path"], "false")]


def test_next_answers_in_every_form(sextant: Run) -> None:
    asked = answer(sextant("label", "next", "dog", "-n", "5", "--seed", "1", "--json"))
    assert all(set(a) == {"code", "id", "path", "confidence", "probability"} for a in asked)
    paths = sextant("label", "next", "dog", "-n", "5", "--seed", "1", "--paths").stdout.split()
    assert paths == [a["path"] for a in asked]
    whole = sextant("label", "next", "dog", "-n", "5", "--seed", "1", "--absolute").stdout.split()
    assert whole == [str(Path.cwd() / path) for path in paths]
    assert "confidence" in sextant("label", "next", "dog", "-n", "5").stdout


def test_ask_takes_answers_from_any_stream(sextant: Run) -> None:
    result = sextant("label", "ask", "dog", "-n", "5", input="y\nn\nb\nyes\nwhat\ns\nn\nq\n")
    assert result.exit_code == 0, result.output
    assert "1/5  Dog?" in result.stdout
    assert answering.HELP in result.stdout
    rows = answer(sextant("sql", "SELECT count(*) AS n FROM images", "--json"))
    assert rows[0]["n"] == 60
    labels = list(csv.DictReader(io.StringIO(sextant("label", "export", "-o", "-").stdout)))
    assert [row["value"] for row in labels] == ["true", "true", "false"], "b went back, and the second was said anew"
    assert "3 labels kept, 2 of them yes" in result.stderr


def test_ask_goes_on_where_a_draw_was_left(sextant: Run) -> None:
    sextant("label", "ask", "dog", "-n", "6", input="y\nn\nq\n")
    result = sextant("label", "ask", "dog", input="")
    assert "4 images of an earlier draw still to answer" in result.stderr
    assert "1/4" in result.stdout
    assert "1/9" in sextant("label", "ask", "dog", "--new", "-n", "9", input="").stdout


def test_set_labels_one_image_and_takes_it_back(sextant: Run) -> None:
    assert answer(sextant("label", "set", "in/p01.png", "dog", "yes", "--person", "Ada", "--json"))["value"] is True
    assert sextant("label", "set", "in/p01.png", "dog", "clear", "--person", "Ada").exit_code == 0
    assert answer(sextant("label", "export", "-o", "l.jsonl", "--json")) == {"path": "l.jsonl", "labels": 0}


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        (["label", "set", "in/none.png", "dog", "yes"], 2, "no image 'in/none.png'"),
        (["label", "set", "in/p01.png", "dogg", "yes"], 2, "Did you mean 'dog'?"),
        (["label", "set", "in/p01.png", "dog", "perhaps"], 2, "'perhaps' is not one of"),
        (["label", "next", "dogg"], 2, "Did you mean 'dog'?"),
        (["label", "import", "none.csv"], 1, "none.csv: cannot be read"),
        (["calibrate"], 2, "there are no labels to calibrate by"),
        (["calibrate", "--precision", "0.9"], 2, "say which attribute"),
        (["calibrate", "dog", "--precision", "0.9", "--no-promise"], 2, "exclude each other"),
        (["calibrate", "dog", "--precision", "0.9"], 2, "'dog' has no labels"),
        (["calibrate", "dog", "--precision", "1.5"], 2, "--precision"),
        (["evaluate"], 2, "nothing to evaluate against"),
        (["compare", "dogg"], 2, "Did you mean 'dog'?"),
        (["review", "--rule", "dog and catt"], 1, "catt"),
        (["tune", "dog", "fiddle"], 2, "no command 'fiddle'"),
        (["tune", "dog", "set", "much"], 2, "takes numbers"),
        (["tune", "dog", "all", "3"], 2, "takes 0 or 2 numbers, not 1"),
        (["report"], 2, "--output"),
    ],
)
def test_what_cannot_be_is_said(sextant: Run, line: list[str], status: int, said: str) -> None:
    result = sextant(*line)
    assert (result.exit_code, result.stdout) == (status, "")
    assert said in result.stderr


# calibrate and evaluate


def labelled(sextant: Run) -> None:
    """Labels by a rule that the confidences know, but at another level: yes from a logit of 21."""
    confidence = logits(sextant, "dog")
    edge = 1 / (1 + np.exp(-2.5))
    with Path("l.csv").open("w") as file:
        file.write("path,dog\n" + "".join(f"{p},{'yes' if c >= edge else 'no'}\n" for p, c in confidence.items()))
    assert sextant("label", "import", "l.csv").exit_code == 0


def test_calibrate_tells_before_and_after_in_one_table(sextant: Run) -> None:
    labelled(sextant)
    before = {row["code"]: row for row in answer(sextant("evaluate", "--json"))}
    table = sextant("calibrate")
    assert table.exit_code == 0, table.output
    assert re.search(r"dog +60 +\d+ +0\.\d{4} +0\.\d{4} +\d\.\d{4} +\d\.\d{4} +0\.\d{4}  platt", table.stdout)
    assert "1 of 1 fit in use" in table.stderr
    after = {row["code"]: row for row in answer(sextant("evaluate", "--json"))}
    assert after["dog"]["brier"] < before["dog"]["brier"]
    fixed = ["code", "n", "ece", "ece_low", "ece_high", "brier", "nll", "bins", "state"]
    assert set(fixed) <= set(after["dog"])
    assert after["dog"]["state"] == "calibrated"
    assert "calibrated (60 labels, ECE ." in sextant("columns").stdout
    assert "FAILS: control 'picture'" in sextant("evaluate").stderr


def test_a_fit_that_is_not_used_says_why(sextant: Run) -> None:
    for number in range(12):
        sextant("label", "set", f"in/p{number:02}.png", "cat", "no")
    (report,) = answer(sextant("calibrate", "cat", "--json"))
    assert (report["applied"], report["n"], report["positives"]) == (False, 12, 0)
    assert "kept fixed: all 12 labels say no" in sextant("calibrate").stdout


def test_a_promise_from_the_command_line(sextant: Run) -> None:
    labelled(sextant)
    result = sextant("calibrate", "dog", "--precision", "0.6", "--failure", "0.2")
    found = re.search(r"dog: accepted from (0\.\d+) on\. Of (\d+) labels there (\d+) are right", result.stdout)
    assert found, result.output
    at_least = answer(sextant("query", "dog", "--json"))
    assert min(row["dog"] for row in at_least) == pytest.approx(float(found[1]), abs=1e-3)
    assert "in force again" in sextant("calibrate", "dog", "--no-promise").stderr
    assert "no promise of 0.99" in sextant("calibrate", "dog", "--precision", "0.99").stdout


def test_evaluate_takes_a_truth_from_elsewhere(sextant: Run) -> None:
    confidence = logits(sextant, "dog")
    rows = "".join(f"{p},{'yes' if c > 0.5 else 'no'},no\n" for p, c in confidence.items())
    Path("t.csv").write_text("path,dog,cat\n" + rows + "strange.png,yes,no\n")
    found = answer(sextant("evaluate", "--truth", "t.csv", "--json"))
    assert [(row["code"], row["n"]) for row in found] == [("dog", 60), ("cat", 60), ("*", 120)]
    assert sum(bar["n"] for bar in found[0]["curve"]) == 60
    assert "all together" in sextant("evaluate", "--truth", "t.csv").stdout
    assert sextant("evaluate", "--truth", "t.csv", "--csv").stdout.startswith("code,n,positives,ece,")


def test_tag_names_a_control_that_fails(sextant: Run) -> None:
    result = sextant("tag", "v.yaml")
    assert result.exit_code == 0
    assert "FAILS: control 'picture'" in result.stderr
    assert "control" not in sextant("tag", "v.yaml", "--dry-run").stderr


# compare, review, tune, report


def test_compare_answers_in_every_form(sextant: Run) -> None:
    found = answer(sextant("compare", "--json"))
    assert {row["code"] for row in found["settings"]} == {"dog", "cat", "picture", "*"}
    assert len(found["notes"]) == 1
    table = sextant("compare").stdout
    assert "fixed(25.5, 1.5)" in table
    assert "softmax over 3 attributes" in table
    assert sextant("compare", "dog", "--csv").stdout.startswith("code,setting,accepted,")


def test_review_lists_reasons_and_controls(sextant: Run) -> None:
    text = sextant("review", "--rule", "dog or not dog", "-k", "2")
    assert text.exit_code == 0, text.output
    assert "a rule that must not hold: 60" in text.stdout
    assert "the first 2 of 60" in text.stderr
    assert "FAILS: control 'picture'" in text.stdout
    found = answer(sextant("review", "--json"))
    assert set(found) == {"items", "counts", "controls"}
    assert set(found["items"][0]) == {"kind", "id", "path", "code", "confidence", "reason"}
    assert sextant("review", "--csv").stdout.startswith("kind,id,path,code,confidence,reason")


def test_review_tries_outside_pictures(sextant: Run) -> None:
    found = answer(sextant("review", "--outside", "--json"))
    assert [row["kind"] for row in found] == ["noise", "blank", "text page"]
    assert all(0 <= row["median"] <= row["p95"] <= 1 for row in found)
    assert "photos in in" in sextant("review", "--outside", "in").stdout


def test_tune_takes_commands_on_its_line(sextant: Run) -> None:
    result = sextant("tune", "dog", "test", "-0.0409")
    assert re.search(r"^20 +0\.3062", result.stdout, re.MULTILINE), result.output
    found = answer(sextant("tune", "dog", "set", "6", "1.5", "compare", "save", "--json"))
    assert [a["command"] for a in found] == ["set 6 1.5", "compare", "save"]
    bands = answer(sextant("columns", "--json"))[0]
    saved = found[2]["rows"][0]
    assert (saved["accepted"], saved["rejected"]) == (bands["accepted"], bands["rejected"])
    assert "nothing was saved" in sextant("tune", "dog", "set", "8", "1").stderr
    assert "▲ accepted from" in sextant("tune", "dog", "histogram").stdout
    assert sextant("tune", "dog", "undo").exit_code == 0


def test_tune_asks_where_nothing_was_said(sextant: Run) -> None:
    result = sextant("tune", "dog", input="\nset 6 1.5\nall 6 1.5\nrecommend\nsave\nquit\nset 1 1\n")
    assert result.exit_code == 0, result.output
    assert "fixed(6, 1.5) by hand" in result.stdout
    wrong = sextant("tune", "dog", input="set 0 0\nfiddle\nset 5 1\n")
    assert wrong.exit_code == 2
    assert "scale above 0" in wrong.stderr
    assert "no command 'fiddle'" in wrong.stderr
    assert "the draft was not saved" in wrong.stderr


def test_report_writes_a_page(sextant: Run) -> None:
    labelled(sextant)
    found = answer(sextant("report", "-o", "r.html", "--title", "Sixty", "--no-pictures", "--json"))
    text = Path("r.html").read_text(encoding="utf-8")
    assert found == {"path": "r.html", "bytes": len(text.encode())}
    assert "<title>Sixty</title>" in text


# pictures at the terminal


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "xterm-256color"}, "none"),
    ],
)
def test_a_terminal_is_known_by_what_it_says(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "TERM_PROGRAM", "KITTY_WINDOW_ID", "LC_TERMINAL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert protocol() == expected
    assert protocol(False) == "none"


def test_a_picture_travels_whole_in_either_protocol() -> None:
    import base64

    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    jpeg = out.getvalue()
    inline = escape(jpeg, "iterm2")
    assert base64.b64decode(inline.split(":", 1)[1].rstrip("\a\n")) == jpeg
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", escape(jpeg, "kitty"))
    assert len(pieces) > 1
    assert [head.rsplit("m=", 1)[1] for head, _ in pieces] == ["1"] * (len(pieces) - 1) + ["0"]
    assert max(len(piece) for _, piece in pieces) <= 4096
    shown = Image.open(io.BytesIO(base64.b64decode("".join(piece for _, piece in pieces))))
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(Image.open(io.BytesIO(jpeg))))
    assert escape(jpeg, "none") == ""


def test_pictures_are_shown_where_they_are_wanted(sextant: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")
    assert "\x1b_G" in sextant("label", "ask", "dog", "-n", "1", input="q\n").stdout
    assert "\x1b" not in sextant("label", "ask", "dog", "--paths", input="q\n").stdout
    for path in Path("in").iterdir():
        path.unlink()
    assert "(no picture: " in sextant("label", "ask", "dog", "--new", "-n", "1", input="q\n").stdout
