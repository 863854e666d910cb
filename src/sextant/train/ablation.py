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
from sextant.train import gates, strangers
from sextant.train.order import changed
from sextant.train.recipe import Recipe
from sextant.train.run import Run
from sextant.train.training import agreement

SHARED = ("pictures.npy", "hashes.npy", "base_features.npy", "base_vectors.npy", "kept.npy", "held.npy", "held.json",
          "data.json", "split.json")  # fmt: skip
RESAMPLES = 2000

Doubles = NDArray[np.float64]
Rows = NDArray[np.intp]


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
        "logits free to move": {"agree": 0.0},
        "no doubt taught": {"doubt": 0.0},
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
    lines, own = [], right_answers(run)
    lines.append(_line("(as it is)", run, own, own))
    for name, changes in turned(run.recipe).items():
        folder = run.folder / "ablations" / name.split(" (")[0].replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        _share(run, folder)
        other = Run(folder, changed(run.order, **changes), progress=run.progress)
        other.to("temperature")
        lines.append(_line(name, other, right_answers(other), own))
        run.write_json("ablations", {"lines": lines})
    return lines


def right_answers(run: Run) -> Doubles:
    """Which test images (n,) the run's pair names rightly by canonical prompts, as ones and zeros."""
    return np.asarray(_softmax(run, 1.0).argmax(1) == run.labels[run.part("test")], np.float64)


def paired(gaps: Doubles, groups: Rows) -> tuple[float, float, float]:
    """The mean of differences on the same images (n,) with its 95 % interval, resampled by groups (n,)."""
    rng = np.random.default_rng(0)
    _, place = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(place, gaps), np.bincount(place).astype(np.float64)
    drawn = rng.integers(0, len(sums), (RESAMPLES, len(sums)))
    again = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(again, (0.025, 0.975))
    return float(gaps.mean()), float(low), float(high)


def _softmax(run: Run, scale: float) -> Doubles:
    canonical = np.stack([part[0] for part in run.prompt_rows(run.tuned)])
    cosines = run.tuned.image_rows(run.pictures[run.part("test")]) @ canonical.T
    return np.asarray(softmax(scale * cosines.astype(np.float64), axis=1))


def _share(run: Run, folder: Any) -> None:
    """Lets a run of the same data use what is decided already, its own record apart."""
    if (folder / "run.json").is_file():
        return
    for name in SHARED:
        if (run.folder / name).exists() and not (folder / name).exists():
            (folder / name).symlink_to(os.path.relpath(run.folder / name, folder))


def _line(name: str, run: Run, right: Doubles, own: Doubles) -> dict[str, Any]:
    scale = run.to("temperature")["tuned"]["effective_scale"]
    gap, low, high = paired(right - own, np.array(run.to("split")["groups"], np.intp)[run.part("test")])
    trained = run.to("train")
    return {
        "name": name,
        "accuracy": float(right.mean()),
        "gap": gap,
        "low": low,
        "high": high,
        "difference": "–" if right is own else f"{gap:+.3f} ({low:+.3f} to {high:+.3f})",
        "ece": float(expected_calibration_error(_softmax(run, scale).max(1), right)),
        "noise": _noise(run, scale),
        "outside": _outside(run),
        "seconds": sum(trained[stage]["seconds"] for stage in ("heads", "blocks") if stage in trained),
    }


def _noise(run: Run, scale: float) -> float:
    """The 95th percentile of the top confidences of noise."""
    canonical = np.stack([part[0] for part in run.prompt_rows(run.tuned)])
    squares = np.stack([run.base.pixels.square(p) for p in strangers.noise(2 * run.base.card.image_size)])
    return gates.confidence(run.tuned.image_rows(squares), canonical, scale)["p95"]


def _outside(run: Run) -> float:
    """How far the pair still says what the base said of other pictures, from 0 to 1."""
    held = run.strangers(strangers.OTHER_SEED, strangers.EACH)
    if not len(held):
        return float("nan")
    asked = strangers.phrases() if run.knows_scenes else strangers.texts()
    measure = agreement(run.base.image_rows(held), run.base.text_rows(asked))
    return measure(run.tuned.image_rows(held), run.tuned.text_rows(asked))
