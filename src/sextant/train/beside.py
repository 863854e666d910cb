"""Two finished runs side by side: differences on the same test images, each image's two answers resampled together.

Works on what the scorecards hold; no network is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import UsageError
from sextant.maths.metrics import expected_calibration_error
from sextant.train import gates

Rows = NDArray[np.intp]
Doubles = NDArray[np.float64]


def compare(ours: Path, theirs: Path) -> dict[str, Any]:
    """Accuracy, macro-F1 and ECE of both runs on the test images that both have, with paired 95 % intervals; and times.

    Raises:
        UsageError: a run that is not finished, or two that share no test image.
    """
    sides = [_read(ours), _read(theirs)]
    places = [{image: k for k, image in enumerate(side["test"]["ids"])} for side in sides]
    common = [image for image in sides[0]["test"]["ids"] if image in places[1]]
    if not common:
        raise UsageError(f"{ours} and {theirs} share no test image: compare runs of the same data and the same --seed")
    if sides[0]["classes"] != sides[1]["classes"]:
        raise UsageError(f"{ours} and {theirs} have other classes, so their answers do not compare")
    rows = [np.array([place[image] for image in common], np.intp) for place in places]
    labels = np.array(sides[0]["test"]["labels"], np.intp)[rows[0]]
    groups = np.array(sides[0]["test"]["groups"], np.intp)[rows[0]]
    answers = [np.array(s["tuned"]["answers"], np.intp)[r] for s, r in zip(sides, rows, strict=True)]
    sure = [np.array(s["tuned"]["confidence"], np.float64)[r] for s, r in zip(sides, rows, strict=True)]
    found = _differences(labels, groups, answers, sure, len(sides[0]["classes"]))
    return {
        "ours": {"run": str(ours), "recipe": sides[0]["recipe"]["name"], **_times(ours)},
        "theirs": {"run": str(theirs), "recipe": sides[1]["recipe"]["name"], **_times(theirs)},
        "images": len(common),
        "of": [len(side["test"]["ids"]) for side in sides],
        "rows": found,
    }


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "scorecard.json"
    if not path.is_file():
        raise UsageError(f"{folder} is no finished run: it has no scorecard.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "answers" not in found.get("tuned", {}) or "test" not in found:
        raise UsageError(f"{folder} was measured by an older program: delete its scorecard.json and run it again")
    return found


def _differences(
    labels: Rows, groups: Rows, answers: list[Rows], sure: list[Doubles], classes: int
) -> list[dict[str, Any]]:
    right = [(a == labels).astype(np.float64) for a in answers]
    figures: dict[str, Callable[[int, Rows], float]] = {
        "accuracy": lambda which, r: float(right[which][r].mean()),
        "macro_f1": lambda which, r: float(gates.f1_scores(labels[r], answers[which][r], classes).mean()),
        "ece": lambda which, r: expected_calibration_error(sure[which][r], right[which][r], bins=gates.BINS),
    }
    draws, every = gates.resampled(groups), np.arange(len(labels))
    found = []
    for name, figure in figures.items():
        gaps = [figure(0, r) - figure(1, r) for r in draws]
        low, high = np.quantile(gaps, (0.025, 0.975))
        values = figure(0, every), figure(1, every)
        found.append({
            "name": name, "ours": values[0], "theirs": values[1], "difference": values[0] - values[1],
            "low": float(low), "high": float(high),
        })  # fmt: skip
    return found


def _times(folder: Path) -> dict[str, Any]:
    """Seconds of training, and of the median epoch of each stage."""
    path = folder / "train.json"
    held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    epochs = {stage: held[stage]["seconds_an_epoch"] for stage in ("heads", "blocks") if stage in held}
    return {"seconds": held.get("seconds"), "seconds_an_epoch": epochs}
