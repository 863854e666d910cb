"""What each decision of a recipe is worth: the same run with one of them turned round, on the same images.

Differences are paired: both answers about the same test image are resampled together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from sextant.maths.metrics import expected_calibration_error
from sextant.train import strangers
from sextant.train.order import changed
from sextant.train.recipe import Recipe
from sextant.train.run import Run
from sextant.train.training import agreement

SHARED_ARRAYS = ("pictures", "hashes", "base_features", "base_vectors")
SHARED_STEPS = ("data", "split")
RESAMPLES = 2000


def turned(recipe: Recipe) -> Mapping[str, Mapping[str, Any]]:
    """By name, what is changed: every decision the other way."""
    found: dict[str, dict[str, Any]] = {
        "gate at 0.05": {"gate": 0.05, "gate_stops": False},
        "no hard-negative batches": {"clusters": False},
        "classes unknown to the loss (InfoNCE)": {"class_aware": False, "texts": "batch"},
        "no label smoothing": {"smoothing": 0.0},
        "no augmentation": {"augment": 0.0},
        "no oversampling": {"per_class": 1},
        "nothing kept of the base": {"keep": 0.0},
        "no interpolation with the base": {"interpolate": False},
    }
    if recipe.gate:
        found = {"no gate": {"gate": 0.0}, **{k: v for k, v in found.items() if not k.startswith("gate")}}
    if recipe.blocks_epochs:
        found["heads only (stage 1)"] = {"blocks_epochs": 0}
        if recipe.heads_epochs:
            found["blocks only (stage 2)"] = {"heads_epochs": 0}
    return found


def ablate(run: Run) -> list[dict[str, Any]]:
    """A line for the run itself and one for each decision turned round; each has a folder in `ablations/`."""
    run.to("temperature")
    lines, own = [], _right(run)
    lines.append(_line("(as it is)", run, own, own))
    for name, changes in turned(run.recipe).items():
        folder = run.folder / "ablations" / name.split(" (")[0].replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        _share(run, folder)
        other = Run(folder, changed(run.order, **changes), progress=run.progress)
        other.to("temperature")
        lines.append(_line(name, other, _right(other), own))
    run.write_json("ablations", {"lines": lines})
    return lines


def _share(run: Run, folder: Any) -> None:
    """Lets a run of the same data use what is decided already, its own record apart."""
    if (folder / "run.json").is_file():
        return
    for name in SHARED_ARRAYS:
        _link(run.folder / f"{name}.npy", folder / f"{name}.npy")
    for name in SHARED_STEPS:
        _link(run.folder / f"{name}.json", folder / f"{name}.json")


def _link(source: Any, target: Any) -> None:
    if not target.exists():
        target.symlink_to(os.path.relpath(source, target.parent))


def _right(run: Run) -> NDArray[np.float64]:
    rows = run.part("test")
    canonical = np.stack([part[0] for part in run.prompt_rows(run.tuned)])
    answers = (run.tuned.image_rows(run.pictures[rows]) @ canonical.T).argmax(1)
    return np.asarray(answers == run.labels[rows], np.float64)


def _line(name: str, run: Run, right: NDArray[np.float64], own: NDArray[np.float64]) -> dict[str, Any]:
    rows, pair = run.part("test"), run.tuned
    canonical = np.stack([part[0] for part in run.prompt_rows(pair)])
    scale = run.to("temperature")["tuned"]["effective_scale"]
    p = softmax(scale * (pair.image_rows(run.pictures[rows]) @ canonical.T).astype(np.float64), axis=1)
    rng = np.random.default_rng(0)
    gaps = right - own
    again = [gaps[rng.integers(0, len(gaps), len(gaps))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(again, (0.025, 0.975))
    held, asked = run.strangers(strangers.OTHER_SEED, strangers.EACH), strangers.texts()
    if run.knows_scenes:
        asked = strangers.phrases()
    outside = float("nan")
    if len(held):
        measure = agreement(run.base.image_rows(held), run.base.text_rows(asked))
        outside = measure(pair.image_rows(held), pair.text_rows(asked))
    trained = run.to("train")
    return {
        "name": name,
        "accuracy": float(right.mean()),
        "gap": float(gaps.mean()),
        "low": float(low),
        "high": float(high),
        "difference": "–" if right is own else f"{gaps.mean():+.3f} ({low:+.3f} to {high:+.3f})",
        "ece": float(expected_calibration_error(p.max(1), right)),
        "outside": outside,
        "seconds": sum(trained[stage]["seconds"] for stage in ("heads", "blocks") if stage in trained),
    }
