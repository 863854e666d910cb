"""The page of a scorecard, and two runs side by side, from figures that no network was run for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("threadpoolctl")

from sextant.errors import UsageError
from sextant.maths.logits import unit
from sextant.train import beside, gates, scorecard, scorecard_page, scorecard_pictures

CLASSES = ("doric", "gothic <b>", "ionic", "tudor")
N = 80


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "RESAMPLES", 50)


def card(noise: float, seed: int = 0, classes: tuple[str, ...] = CLASSES, n: int = N) -> dict[str, Any]:
    """What `of_run` puts together, for vectors around one direction a class; the base's are three times as noisy."""
    rng = np.random.default_rng(seed)
    prompts = [unit(rng.normal(size=(2, 16))) for _ in classes]
    labels, groups = np.arange(n) % len(classes), np.arange(n) // 2
    centres = np.stack([p[0] for p in prompts])
    found: dict[str, Any] = {
        "images": n, "classes": list(classes), "recipe": {"name": "full"},
        "about": {
            "base": "mini@3", "seed": 0, "files": 9, "examples": 9, "skipped": 1, "near_duplicates": 4, "digest": "abc",
            "parts": {"train": 5, "choice": 1, "calibration": 2, "test": n}, "versions": {"sextant": "0"},
            "machine": "x", "python": "3",
        },
        "test": {"ids": [f"{k:032x}" for k in range(n)], "labels": labels.tolist(), "groups": groups.tolist(),
                 "rows": list(range(n))},
    }  # fmt: skip
    for name, spread in (("base", 3 * noise), ("tuned", noise)):
        images = unit(centres[labels] + spread * rng.normal(size=(n, 16)))
        told = scorecard.side(images, labels, prompts, classes, clusters=[[0, 1]], groups=groups, plain=20, scale=10)
        p = (images @ centres.T).argmax(1)
        found[name] = {
            **told, "answers": p.tolist(), "confidence": [0.5] * n, "temperature": 2.0,
            "outside": {k: gates.confidence(unit(rng.normal(size=(20, 16))), centres, 10) for k in ("noise", "blank")},
            "stability": {"blur": {"n": n, "mean_cosine": 0.9, "least_cosine": 0.5, "same_answer": 0.9, "low": 0.8,
                                   "high": 0.95}},
            "map": scorecard.embedding_map(images, labels),
        }  # fmt: skip
    found["latency"], found["latency_n"] = {"fp32": 20.0, "int8": 10.0}, 60
    found["latency_interval"] = {"fp32": [19.0, 22.0], "int8": [9.0, 12.0]}
    found["gates"] = [scorecard.gate_line(gate) for gate in scorecard.run_gates(found)]
    found["ready"] = all(gate["passed"] for gate in found["gates"])
    return found


def kept(folder: Path, found: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (found["images"], 8, 8, 3), np.uint8)
    np.save(folder / "pictures.npy", pixels)
    (folder / "scorecard.json").write_text(json.dumps(found))
    (folder / "train.json").write_text(json.dumps({"seconds": 10.0, "heads": {"seconds_an_epoch": 0.5}}))
    return folder


class TestPage:
    def test_it_says_n_and_interval_and_command_of_every_table(self, tmp_path: Path) -> None:
        found = card(0.2)
        scorecard_page.write(kept(tmp_path, found), found)
        page = (tmp_path / "scorecard.html").read_text()
        for title in ("Gates", "Before and after", "How far to believe it", "Pictures that are none of it",
                      "Pictures that are a little changed", "The classes", "What is taken for what", "Confusion matrix",
                      "Embedding map", "What each decision is worth", "To get the same figures"):  # fmt: skip
            assert f"<h2>{title}</h2>" in page
        assert page.count("By <code>sextant") >= 4
        accuracy = found["tuned"]["figures"]["accuracy"]
        assert f"{accuracy['value']:.3f} ({accuracy['low']:.3f}–{accuracy['high']:.3f})" in page

    def test_it_needs_nothing_else_and_what_a_class_is_called_is_no_markup(self, tmp_path: Path) -> None:
        scorecard_page.write(kept(tmp_path, card(0.2)), card(0.2))
        page = (tmp_path / "scorecard.html").read_text()
        assert "<script" not in page
        assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
        assert "gothic <b>" not in page
        assert "gothic &lt;b&gt;" in page

    def test_every_confusion_that_has_pictures_can_be_reached_from_the_matrix(self, tmp_path: Path) -> None:
        found = card(0.6)
        scorecard_page.write(kept(tmp_path, found), found)
        page = (tmp_path / "scorecard.html").read_text()
        for anchor in re.findall(r'<p id="(c\d-\d)">', page):
            assert f'href="#{anchor}"' in page

    def test_an_ablation_table_is_shown_where_there_is_one(self, tmp_path: Path) -> None:
        found = card(0.2)
        lines = [{"name": "no gate", "accuracy": 0.5, "difference": "-0.1 (-0.2 to 0)", "ece": 0.1, "outside": 0.9,
                  "seconds": 12.0}]  # fmt: skip
        (kept(tmp_path, found) / "ablations.json").write_text(json.dumps({"lines": lines}))
        scorecard_page.write(tmp_path, found)
        assert "no gate" in (tmp_path / "scorecard.html").read_text()

    def test_a_missing_figure_is_said_to_be_missing(self, tmp_path: Path) -> None:
        found = card(0.2)
        del found["tuned"]["outside"]["noise"]
        found["gates"] = [scorecard.gate_line(gate) for gate in scorecard.run_gates(found)]
        text = scorecard_page.markdown({**found, "ready": False})
        assert "| noise: 95 % of top confidences are below | < 0.5 | missing | – | FAILED |" in text

    def test_24_classes_have_24_marks(self) -> None:
        marks = {scorecard_pictures.mark(0, 0, k, "") for k in range(24)}
        assert len(marks) == 24


class TestGates:
    def test_a_gate_says_whether_it_holds_at_the_worse_end(self) -> None:
        assert gates.Gate("accuracy", ">=", 0.9, 0.92, 0.91, 0.93).sure
        assert not gates.Gate("accuracy", ">=", 0.9, 0.92, 0.88, 0.95).sure
        assert gates.Gate("ece", "<", 0.1, 0.05, 0.03, 0.09).sure
        assert not gates.Gate("ece", "<", 0.1, 0.05, 0.03, 0.1).sure
        assert not gates.Gate("ece", "<", 0.1, 0.05).sure

    def test_counts_add_up(self) -> None:
        rows = unit(np.random.default_rng(0).normal(size=(30, 8)))
        found = gates.confidence(rows, rows[:4], 10)
        assert sum(found["counts"]) == found["n"] == 30
        assert found["p95_low"] <= found["p95"] <= found["p95_high"]


class TestBeside:
    def test_differences_are_paired(self, tmp_path: Path) -> None:
        ours, theirs = kept(tmp_path / "a", card(0.2)), kept(tmp_path / "b", card(0.7))
        found = beside.compare(ours, theirs)
        row = found["rows"][0]
        assert row["difference"] == pytest.approx(row["ours"] - row["theirs"])
        assert 0 < row["low"] <= row["difference"] <= row["high"]
        assert found["ours"]["seconds_an_epoch"] == {"heads": 0.5}
        scorecard_page.write(ours, card(0.2), found)
        assert "Beside the recipe full" in (ours / "scorecard.html").read_text()

    def test_what_does_not_compare_is_refused(self, tmp_path: Path) -> None:
        ours = kept(tmp_path / "a", card(0.2))
        other = card(0.2)
        other["test"]["ids"] = [f"y{k}" for k in range(N)]
        with pytest.raises(UsageError, match="share no test image"):
            beside.compare(ours, kept(tmp_path / "b", other))
        with pytest.raises(UsageError, match="other classes"):
            beside.compare(ours, kept(tmp_path / "c", {**card(0.2), "classes": ["a", "b", "c", "d"]}))
        with pytest.raises(UsageError, match="no finished run"):
            beside.compare(ours, tmp_path)
        old = card(0.2)
        del old["test"]
        with pytest.raises(UsageError, match="older program"):
            beside.compare(ours, kept(tmp_path / "d", old))
