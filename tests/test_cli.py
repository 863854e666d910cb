"""Every verb through click's runner, on small drawn images and the encoder that needs no model."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from sextant.cli import cli, reference
from sextant.cli.statement import filled, literal
from sextant.cli.verbs import VERBS

VOCABULARY = """
thresholds: {accepted: 0.8, tentative: 0.5}
base_attributes:
  - {code: dog, label: Dog, description: dog}
  - {code: cat, label: Cat, description: cat}
derived_attributes:
  - {code: pet, label: Pet, rule: {any_of: [dog, cat]}}
"""
HOSTILE = "=1+[red]x[b]\x1b[31m.png"
Run = Callable[..., Result]


def draw(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 255, (24, 32 + number, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of 13 images, one of them of a hostile name, with two columns and a derived one."""
    folder = tmp_path_factory.mktemp("photos")
    draw(folder / "in", [*(f"p{n:02}.png" for n in range(12)), HOSTILE])
    (folder / "v.yaml").write_text(VOCABULARY)
    runner = CliRunner()
    for line in (["add", str(folder / "in"), "--model", "hash"], ["tag", str(folder / "v.yaml")]):
        result = runner.invoke(cli, ["-C", str(folder), *line])
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def sextant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEXTANT_COLLECTION", raising=False)

    def run(*arguments: str | Path, **extra: Any) -> Result:
        return CliRunner().invoke(cli, [str(a) for a in arguments], **extra)

    return run


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# add


def test_add_answers_in_its_fixed_shape_and_lists_what_it_skipped(sextant: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.png", "b.png"])
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no image")
    result = sextant("add", "in", "--model", "hash", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    fixed = ["added", "unchanged", "changed", "moved", "missing", "encoded", "skipped", "seconds"]
    assert list(report)[:8] == fixed
    assert [report[name] for name in fixed[:6]] == [2, 0, 0, 0, 0, 2]
    (skipped,) = report["skipped"]
    assert set(skipped) == {"path", "reason"}
    assert skipped["path"] == "in/bad.jpg"
    assert "skipped in/bad.jpg: " in result.stderr


def test_the_first_add_makes_the_collection_here_and_names_the_next_command(sextant: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.png"])
    result = sextant("add", "in", "--model", "hash")
    assert result.exit_code == 0
    assert (tmp_path / ".sextant" / "collection.json").is_file()
    assert result.stdout.startswith("1 added")
    assert "next: sextant tag" in result.stderr
    again = sextant("add", "in")
    assert "1 unchanged" in again.stdout
    assert "next:" not in again.stderr


def test_add_reads_lists_from_a_file_and_from_standard_input(sextant: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.png", "b b.png", "c.png", "d.png"])
    (tmp_path / "list.txt").write_text(f"in/a.png\r\n\n{(tmp_path / 'in' / 'd.png').as_uri()}\n")
    assert answer(sextant("add", "--from", "list.txt", "--model", "hash", "--json"))["added"] == 2
    assert answer(sextant("add", "--from", "-", "--json", input="in/b b.png\n"))["added"] == 1
    assert answer(sextant("add", "--from", "-", "--json", input="in/c.png\0in/a.png\0"))["added"] == 1


@pytest.mark.parametrize("line", [["add"], ["add", "--from", "-"], ["add", "--from", "absent.txt"]])
def test_an_add_of_nothing_is_a_usage_error_and_makes_nothing(line: list[str], sextant: Run, tmp_path: Path) -> None:
    assert sextant(*line).exit_code == 2
    assert not (tmp_path / ".sextant").exists()


def test_add_tells_its_progress_as_json_lines_on_standard_error(sextant: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in", [f"{n}.png" for n in range(5)])
    line = json.loads(sextant("add", "in", "--model", "hash").stderr.splitlines()[0])
    assert (line["verb"], line["done"], line["total"], line["encoded"], line["skipped"]) == ("add", 5, 5, 5, 0)
    assert line["rate"] > 0
    assert line["left"] == 0


def test_only_twenty_skipped_files_are_listed_for_a_person_and_all_for_a_program(sextant: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(23):
        (tmp_path / "in" / f"{n}.jpg").write_bytes(b"no")
    result = sextant("add", "in", "--model", "hash", "--json")
    assert len(json.loads(result.stdout)["skipped"]) == 23
    assert result.stderr.count("skipped in/") == 20
    assert "and 3 more" in result.stderr


def test_missing_files_are_reported_and_dropped_on_request(sextant: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.png", "b.png"])
    sextant("add", "in", "--model", "hash")
    (tmp_path / "in" / "a.png").unlink()
    result = sextant("add", "in", "--json")
    assert (answer(result)["missing"], answer(result)["missing_paths"]) == (1, ["in/a.png"])
    assert "--drop-missing" in result.stderr
    assert answer(sextant("add", "in", "--drop-missing", "--json"))["dropped"] == 1
    assert answer(sextant("info", "--json"))["images"] == 1


def test_an_interrupted_add_says_what_it_kept(sextant: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sextant.collection import Collection

    draw(tmp_path / "in", ["a.png"])
    sextant("add", "in", "--model", "hash")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Collection, "add", interrupted)
    result = sextant("add", "in")
    assert result.exit_code == 130
    assert "stopped: 1 finished image is kept" in result.stderr


# tag, columns, prompts, inspect


def test_tag_answers_in_its_fixed_shape_and_writes_only_what_is_new(sextant: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.png", "b.png"])
    (tmp_path / "v.yaml").write_text(VOCABULARY)
    sextant("add", "in", "--model", "hash")
    planned = answer(sextant("tag", "v.yaml", "--dry-run", "--json"))
    report = answer(sextant("tag", "v.yaml", "--json"))
    assert list(report)[:4] == ["columns", "cells", "stale", "derived"]
    assert (report["columns"], report["cells"], report["stale"], report["derived"]) == (["dog", "cat"], 4, [], ["pet"])
    assert (planned["columns"], planned["cells"], planned["dry_run"]) == (["dog", "cat"], 4, True)
    assert report["seconds"] >= 0
    assert answer(sextant("tag", "--json"))["columns"] == []
    assert sextant("tag").stdout.startswith("every column is up to date")


def test_tag_takes_codes_and_a_calibration(sextant: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.png"])
    (tmp_path / "v.yaml").write_text(VOCABULARY)
    sextant("add", "in", "--model", "hash")
    assert answer(sextant("tag", "v.yaml", "--codes", "cat", "--json"))["columns"] == ["cat"]
    sextant("tag", "--center", "22", "--scale", "3")
    calibration = answer(sextant("inspect", "cat", "--json"))["calibration"]
    assert (calibration["kind"], calibration["center"], calibration["scale"]) == ("fixed", 22, 3)
    wrong = sextant("tag", "--codes", "catt")
    assert wrong.exit_code == 2
    assert "id you mean 'cat'?" in wrong.stderr


def test_a_wrong_vocabulary_is_an_error_with_file_and_line(sextant: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.png"])
    sextant("add", "in", "--model", "hash")
    (tmp_path / "v.yaml").write_text("base_attributes:\n  - {code: dog, description: dog}\n  - {code: dog}\n")
    result = sextant("tag", "v.yaml")
    assert result.exit_code == 1
    assert "v.yaml:3" in result.stderr
    assert result.stdout == ""


def test_columns_answer_in_their_fixed_shape(made: Path, sextant: Run) -> None:
    rows = answer(sextant("-C", made, "columns", "--json"))
    assert [list(row)[:7] for row in rows] == [
        ["code", "kind", "state", "accepted", "tentative", "rejected", "unknown"]
    ] * 3
    assert [(row["code"], row["kind"], row["state"]) for row in rows] == [
        ("dog", "base", "uncalibrated"),
        ("cat", "base", "uncalibrated"),
        ("pet", "derived", "rule"),
    ]
    assert {row["accepted"] + row["tentative"] + row["rejected"] + row["unknown"] for row in rows} == {13}
    table = list(csv.DictReader(io.StringIO(sextant("-C", made, "columns", "--csv").stdout)))
    assert [row["accepted"] for row in table] == [str(row["accepted"]) for row in rows]
    assert sextant("-C", made, "columns").stdout.splitlines()[0].split()[:3] == ["code", "kind", "state"]


def test_prompts_are_what_is_encoded(made: Path, sextant: Run) -> None:
    rows = answer(sextant("-C", made, "prompts", "dog", "--json"))
    assert [(row["code"], row["prompts"], row["negatives"]) for row in rows] == [("dog", ["a photo of dog"], [])]
    assert "a photo of cat" in sextant("-C", made, "prompts").stdout
    assert sextant("-C", made, "prompts", "dgo").exit_code == 2


def test_inspect_counts_the_same_bands_as_columns_and_asks_what_if(made: Path, sextant: Run) -> None:
    found = answer(sextant("-C", made, "inspect", "dog", "--json"))
    row = answer(sextant("-C", made, "columns", "--json"))[0]
    assert [found[b] for b in ("accepted", "tentative", "rejected")] == [
        row[b] for b in ("accepted", "tentative", "rejected")
    ]
    assert found["accepted_from"] == pytest.approx(27.579, abs=1e-3)
    assert sum(found["counts"]) == found["n"] == 13
    lenient = answer(sextant("-C", made, "inspect", "dog", "--center", "-100", "--json"))
    assert (lenient["accepted"], lenient["state"]) == (13, "what if")
    bins = list(csv.DictReader(io.StringIO(sextant("-C", made, "inspect", "dog", "--bins", "7", "--csv").stdout)))
    assert len(bins) == 7
    assert sum(int(b["count"]) for b in bins) == 13
    text = sextant("-C", made, "inspect", "dog").stdout
    assert "accepted from 27.579" in text
    assert "\x1b" not in text


# asking


def test_query_answers_rows_of_id_path_and_the_codes_it_names(made: Path, sextant: Run) -> None:
    rows = answer(sextant("query", "not dog or dog", "--show", "width", "-C", made, "--json"))
    assert len(rows) == 13
    assert {tuple(row) for row in rows} == {("id", "path", "dog", "width")}
    assert all(len(row["id"]) == 32 and 0 <= row["dog"] <= 1 for row in rows)
    paths = sextant("-C", made, "query", "not dog or dog", "--paths").stdout
    assert paths.splitlines() == [row["path"] for row in rows]


def test_query_sorts_and_limits(made: Path, sextant: Run) -> None:
    rows = answer(sextant("-C", made, "query", "dog >= 0", "--sort", "-dog", "--limit", "4", "--json"))
    values = [row["dog"] for row in rows]
    assert len(values) == 4
    assert values == sorted(values, reverse=True)
    everything = answer(sextant("-C", made, "query", "dog >= 0", "--json"))
    assert values[0] == max(row["dog"] for row in everything)


def test_paths_can_be_absolute_and_ended_by_nul(made: Path, sextant: Run) -> None:
    named = sextant("-C", made, "query", "width > 0", "--absolute", "--print0").stdout.split("\0")
    assert named.pop() == ""
    assert len(named) == 13
    assert all(Path(name).is_file() for name in named)


@pytest.mark.parametrize(
    "rule",
    ["dog or not cat", "cat >= 0.25 and width > 34", "pet is rejected", "name contains 'p0' or dog is tentative",
     "path like '%it''s?%' or width = 33", "added_at > '2020-01-31'", "description is null and tags is null"],
)  # fmt: skip
def test_the_sql_of_a_rule_answers_the_same(rule: str, made: Path, sextant: Run) -> None:
    asked = sextant("-C", made, "query", rule, "--sort", "-dog", "--limit", "5", "--sql")
    assert asked.exit_code == 0, asked.output
    assert "?" not in asked.stdout.replace("it''s?", "")
    rows = answer(sextant("-C", made, "query", rule, "--sort", "-dog", "--limit", "5", "--json"))
    assert [row["id"] for row in answer(sextant("-C", made, "sql", asked.stdout, "--json"))] == [
        row["id"] for row in rows
    ]


def test_literals_cannot_leave_their_quotes() -> None:
    assert literal("x' OR '1'='1") == "'x'' OR ''1''=''1'"
    assert filled('i."a?b" = ? AND x = ?', ["?", 0.5]) == "i.\"a?b\" = '?' AND x = 0.5"
    assert [literal(v) for v in (True, 3, 2.0, 1e-7)] == ["TRUE", "3", "2", "1e-07"]


def test_a_rule_with_a_typo_says_where_and_what_was_meant(made: Path, sextant: Run) -> None:
    for line in (["query", "cat or dgo"], ["query", "cat or dgo", "--sql"]):
        result = sextant("-C", made, *line)
        assert result.exit_code == 1
        assert "position 8" in result.stderr
        assert "'dog'" in result.stderr
        assert result.stdout == ""


def test_sql_answers_tables_json_and_csv_and_refuses_to_write(made: Path, sextant: Run) -> None:
    rows = answer(sextant("-C", made, "sql", "SELECT count(*) AS n, sum(width) AS w FROM images", "--json"))
    assert rows == [{"n": 13, "w": sum(32 + n for n in range(13))}]
    assert sextant("-C", made, "sql", "-", "--csv", input="SELECT 1 AS a, 2 AS a").stdout == "a,a_1\n1,2\n"
    refused = sextant("-C", made, "sql", "DROP TABLE images")
    assert refused.exit_code == 1
    assert refused.stdout == ""


def test_search_answers_in_its_fixed_shape(made: Path, sextant: Run) -> None:
    found = answer(sextant("-C", made, "search", "a dog", "-k", "5", "--json"))
    assert list(found)[:4] == ["query", "state", "hits", "hints"]
    assert (found["query"], found["hints"], len(found["hits"])) == ("a dog", [], 5)
    fixed = ("id", "path", "cosine", "logit", "confidence", "matched")
    assert {tuple(hit)[:6] for hit in found["hits"]} == {fixed}
    assert {tuple(hit)[6:] for hit in found["hits"]} == {("margin", "said", "folded", "clip_score")}
    confidences = [hit["confidence"] for hit in found["hits"]]
    assert confidences == sorted(confidences, reverse=True)


def test_search_leaves_out_what_is_less_sure_or_outside_the_rule(made: Path, sextant: Run) -> None:
    everything = answer(sextant("-C", made, "search", "a dog", "--json"))["hits"]
    middle = everything[6]["confidence"]
    sure = answer(sextant("-C", made, "search", "a dog", "--threshold", str(middle), "--json"))["hits"]
    assert sure == [hit for hit in everything if hit["confidence"] >= middle]
    narrow = answer(sextant("-C", made, "search", "a dog", "--where", "width > 40", "--json"))["hits"]
    widths = {row["id"] for row in answer(sextant("-C", made, "query", "width > 40", "--json"))}
    assert [hit["id"] for hit in narrow] == [hit["id"] for hit in everything if hit["id"] in widths]
    nothing = sextant("-C", made, "search", "a dog", "--where", "width > 4000")
    assert nothing.exit_code == 0
    assert nothing.stdout == ""
    assert "no image satisfies the rule: width > 4000" in nothing.stderr


def test_similar_finds_the_same_picture_elsewhere_and_leaves_out_itself(
    made: Path, sextant: Run, tmp_path: Path
) -> None:
    hits = answer(sextant("-C", made, "similar", "in/p03.png", "--json"))["hits"]
    assert len(hits) == 12
    assert "in/p03.png" not in [hit["path"] for hit in hits]
    draw(tmp_path, ["elsewhere.png"])
    assert sextant("-C", made, "similar", "elsewhere.png", "-k", "3", "--paths").stdout.count("\n") == 3
    assert sextant("-C", made, "similar", "absent.png").exit_code == 2


# words


def test_a_persons_word_outranks_the_model_until_it_is_withdrawn(made: Path, sextant: Run) -> None:
    def dog() -> float:
        rows: list[dict[str, float]] = answer(
            sextant("-C", made, "query", "name = 'p05.png'", "--show", "dog", "--json")
        )
        return rows[0]["dog"]

    before = dog()
    result = answer(sextant("-C", made, "override", "in/p05.png", "dog", "yes", "--note", "seen", "--json"))
    assert result == {"code": "dog", "value": True, "images": 1}
    assert dog() == 1
    assert "yes, by hand" in sextant("-C", made, "query", "dog >= 1", "--show", "dog").stdout
    assert "by hand" in sextant("-C", made, "columns").stdout
    sextant("-C", made, "override", "in/p05.png", "dog", "clear")
    assert dog() == before
    assert sextant("-C", made, "override", "in/p05.png", "dog", "maybe").exit_code == 2
    assert sextant("-C", made, "override", "in/p05.png", "pet", "yes").exit_code == 2


def test_tags_and_descriptions_are_set_found_and_removed(made: Path, sextant: Run) -> None:
    sextant("-C", made, "describe", "in/p06.png", "--tag", "summer", "--tag", "sea", "--text", "The last evening")
    found = "tag('summer') and description contains 'evening'"
    assert sextant("-C", made, "query", found, "--paths").stdout == "in/p06.png\n"
    sextant("-C", made, "describe", "in/p06.png", "--untag", "summer", "--untag", "sea", "--text", "")
    assert sextant("-C", made, "query", found, "--paths").stdout == ""
    assert sextant("-C", made, "describe", "in/p06.png").exit_code == 2


# in and out


def test_export_writes_a_file_or_standard_output(made: Path, sextant: Run, tmp_path: Path) -> None:
    result = answer(sextant("-C", made, "export", "-o", tmp_path / "x.csv", "--json"))
    assert result["rows"] == 13
    rows = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 13
    piped = sextant("-C", made, "export", "-o", "-", "--format", "jsonl", "--long", "--where", "width > 40")
    cells = [json.loads(line) for line in piped.stdout.splitlines()]
    assert {cell["attribute_code"] for cell in cells} == {"dog", "cat", "pet"}
    assert len(cells) == 3 * 4
    assert "12 rows" in piped.stderr


def test_export_refuses_what_it_cannot_do(made: Path, sextant: Run, tmp_path: Path) -> None:
    assert sextant("-C", made, "export", "-o", "-").exit_code == 2
    assert sextant("-C", made, "export", "-o", "-", "--format", "csv", "--json").exit_code == 2
    assert sextant("-C", made, "export", "-o", tmp_path / "x.xml").exit_code == 1
    failed = sextant("-C", made, "export", "-o", "-", "--format", "csv", "--where", "nonsense >")
    assert (failed.exit_code, failed.stdout) == (1, "")


def test_words_and_vectors_are_imported(sextant: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.png", "b.png"])
    rows = np.eye(4, dtype=np.float32)[:2]
    np.save(tmp_path / "v.npy", rows)
    (tmp_path / "ids.txt").write_text("in/a.png\nin/b.png\n")
    line = ["import", "v.npy", "--ids", "ids.txt", "--encoder", "mine@1", "--logit-scale", "100", "--json"]
    assert answer(sextant(*line))["added"] == 2
    assert answer(sextant("info", "--json"))["encoder"] == "mine@1"
    (tmp_path / "words.csv").write_text("path,tags\nin/a.png,sea;sun\n")
    assert answer(sextant("import", "words.csv", "--json")) == {"images": 1}
    assert sextant("query", "tag('sun')", "--paths").stdout == "in/a.png\n"
    assert sextant("import", "words.csv", "--ids", "ids.txt").exit_code == 2


# upkeep and encoders


def test_info_prune_and_vacuum_answer(sextant: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.png"])
    (tmp_path / "v.yaml").write_text(VOCABULARY)
    sextant("add", "in", "--model", "hash", "--batch", "4")
    sextant("tag", "v.yaml")
    (tmp_path / "v.yaml").write_text(VOCABULARY.replace("  - {code: cat, label: Cat, description: cat}\n", "")
                                     .replace("[dog, cat]", "[dog]"))  # fmt: skip
    assert "cat" in sextant("tag", "v.yaml").stderr
    info = answer(sextant("info", "--json"))
    assert (info["images"], info["columns"], info["model"]) == (1, 2, "hash")
    assert "images" in sextant("info").stdout
    assert answer(sextant("prune", "--dry-run", "--json"))["columns"] == ["cat"]
    assert answer(sextant("prune", "--json"))["columns"] == ["cat"]
    assert sextant("prune").stdout == "nothing to delete\n"
    assert answer(sextant("vacuum", "--json")).keys() == {"bytes_freed"}


def test_encoders_are_listed_and_examined(made: Path, sextant: Run) -> None:
    names = [entry["name"] for entry in answer(sextant("model", "list", "--json"))]
    assert {"hash", "ViT-B-32/openai"} <= set(names)
    assert answer(sextant("model", "doctor", "hash", "--json"))["ok"] is True
    assert "pictures" in sextant("model", "doctor", "-C", made).stdout
    assert sextant("model", "doctor").exit_code == 1
    assert sextant("model", "convert", "absent", "-o", "x").exit_code == 1


def test_a_collection_switches_encoders_and_back(sextant: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.png", "b.png"])
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "class Mine:\n"
        "    name, revision, dim, logit_scale, logit_bias = 'mine', '1', 2, 10.0, 0.0\n"
        "    def encode_images(self, images): return np.tile(np.float32([1, 0]), (len(images), 1))\n"
        "    def encode_texts(self, texts): return np.tile(np.float32([1, 0]), (len(texts), 1))\n"
    )
    sextant("add", "in", "--model", "hash")
    used = answer(sextant("model", "use", "mine.py:Mine", "--json"))
    assert (used["encoder"], used["encoded"]) == ("mine@1", 2)
    assert answer(sextant("info", "--json"))["encoder"] == "mine@1"
    assert answer(sextant("model", "use", "hash", "--json"))["encoded"] == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_the_program(shell: str, sextant: Run) -> None:
    script = sextant("completion", shell)
    assert script.exit_code == 0
    assert "_SEXTANT_COMPLETE" in script.stdout
    assert f"{shell}_complete" in script.stdout


# which collection, which form, which ending


def test_the_collection_is_the_named_one_or_the_nearest(
    made: Path, sextant: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sextant("info").exit_code == 1
    for line in (
        ["-C", made, "info", "--json"],
        ["info", "--json", "-C", made],
        ["info", "--json", "-C", made / ".sextant"],
    ):
        assert answer(sextant(*line))["folder"] == str(made)
    monkeypatch.setenv("SEXTANT_COLLECTION", str(made))
    assert answer(sextant("info", "--json"))["folder"] == str(made)
    assert sextant("-C", "elsewhere", "info").exit_code == 1
    monkeypatch.delenv("SEXTANT_COLLECTION")
    monkeypatch.chdir(made / "in")
    assert answer(sextant("info", "--json"))["folder"] == str(made)


@pytest.mark.parametrize("pair", [["--json", "--csv"], ["--paths", "--json"], ["--csv", "--print0"]])
def test_two_forms_of_one_answer_exclude_each_other(pair: list[str], made: Path, sextant: Run) -> None:
    result = sextant("-C", made, "query", "dog", *pair)
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    "line",
    [["nonsense"], ["query"], ["search", "x", "-k", "0"], ["search", "x", "--threshold", "2"], ["query", "a", "--no"],
     ["add", "x", "--device", "tpu"], ["completion", "tcsh"], ["inspect", "dog", "--scale", "0"]],
)  # fmt: skip
def test_what_is_asked_for_wrongly_ends_with_2_and_no_output(line: list[str], sextant: Run) -> None:
    result = sextant(*line)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "error: " in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_verb_suggests_the_nearest(sextant: Run) -> None:
    assert "Did you mean 'search'?" in sextant("serch", "x").stderr


def test_the_unexpected_is_one_line_and_a_hint(made: Path, sextant: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from sextant.collection import Collection

    def broken(_: object) -> None:
        raise ZeroDivisionError("of all\nthings")

    monkeypatch.setattr(Collection, "vacuum", broken)
    monkeypatch.delenv("SEXTANT_DEBUG", raising=False)
    result = sextant("-C", made, "vacuum")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: ZeroDivisionError: of all",
        "SEXTANT_DEBUG=1 shows where this happened.",
    ]
    monkeypatch.setenv("SEXTANT_DEBUG", "1")
    assert "Traceback" in sextant("-C", made, "vacuum").stderr


def test_too_many_open_files_are_told_with_what_helps(
    made: Path, sextant: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sextant.collection import Collection

    def broken(_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "tag.py")

    monkeypatch.setattr(Collection, "vacuum", broken)
    result = sextant("-C", made, "vacuum")
    assert result.exit_code == 1
    assert "Too many open files: 'tag.py'" in result.stderr
    assert "ulimit -n" in result.stderr


def test_names_reach_a_table_without_their_power(made: Path, sextant: Run) -> None:
    for line in (["query", "name contains 'red'"], ["search", "a dog"], ["sql", "SELECT path FROM images"]):
        text = sextant("-C", made, *line).stdout
        assert "=1+[red]x[b]\\x1b[31m.png" in text
        assert "\x1b" not in text
    table = sextant("-C", made, "sql", "SELECT name FROM images ORDER BY name", "--csv").stdout
    assert f"'{HOSTILE}" in table.splitlines()
    assert sextant("-C", made, "query", "name contains 'red'", "--paths").stdout == f"in/{HOSTILE}\n"


# help


def commands(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[str, ...]]:
    """The words of every command that does something, of a verb and those below it."""
    if not isinstance(command, click.Group):
        yield words
        return
    for name, below in command.commands.items():
        yield from commands((*words, name), below)


def test_every_verb_has_help_with_examples_that_agrees_with_the_list(sextant: Run) -> None:
    overview = " ".join(sextant("--help").stdout.split())
    for name, verb in VERBS.items():
        assert verb.summary in sextant(name, "--help").stdout, name
        assert f"{name} {verb.summary}" in overview
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        for words in commands((name,), command):
            assert f"Examples:\n  sextant {' '.join(words)}" in sextant(*words, "--help").stdout, words


def test_every_option_of_every_verb_has_help(sextant: Run) -> None:
    for name in VERBS:
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        for option in command.params:
            assert option.param_type_name == "argument" or getattr(option, "help", None), (name, option.name)


def test_the_page_of_the_documentation_is_the_help_of_the_program() -> None:
    page = Path(__file__).parents[1] / "docs" / "cli.md"
    assert page.read_text(encoding="utf-8") == reference.page(), "python -m sextant.cli.reference > docs/cli.md"


def test_the_version_is_told(sextant: Run) -> None:
    import sextant as package

    assert sextant("--version").stdout == f"sextant {package.__version__}\n"
    assert os.linesep not in package.__version__
