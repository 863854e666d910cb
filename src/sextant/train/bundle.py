"""Writes trained weights as a bundle, whole or not at all, and measures that it says what the weights said.

fp32 must be faithful, or nothing is kept; int8 is measured beside it, and refused where it is not.
"""

from __future__ import annotations

import glob
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sextant import models
from sextant.encoder import OnnxEncoder
from sextant.errors import ModelError, SextantError
from sextant.train import gates, priors
from sextant.train.pair import Pair
from sextant.types import Floats

if TYPE_CHECKING:
    from sextant.train.run import Run

LEAST_COSINE, MOST_LOST = 0.99, 0.01
TIMED, WARM = 60, 5


def export(run: Run) -> dict[str, Any]:
    """The bundle of a run's tuned pair, in `bundle/`, compared on its test part.

    Raises:
        ModelError: the graphs do not say what the weights say, or the disk is full; no bundle is left then.
    """
    target, pair = run.folder / "bundle", run.tuned
    name = f"{run.base.card.name.split('+')[0]}+{run.recipe.name}"
    prior = priors.of_run(run)
    phrases = [text for part in run.prompts for text in part]
    about = {
        "name": name,
        "description": f"{run.base.card.name} fine-tuned to {len(run.classes)} classes ({run.recipe.name}).",
        "prior": prior,
        "taught_phrases": list(dict.fromkeys([*run.base.card.taught_phrases, *phrases])),
        "tuned": {
            "base": f"{run.base.card.name}@{run.base.card.revision}",
            "classes": list(run.classes),
            "temperature": run.to("temperature")["tuned"],
        },
    }
    write(pair, target, about)
    rows = run.part("test")
    told = {"bundle": "bundle", "name": name, "prior": prior and prior["source"]}
    return {**told, **compare(pair, target, run, rows)}


def write(pair: Pair, target: Path, about: dict[str, Any]) -> None:
    """A bundle in `target`, put there in one step. Raises `ModelError`; nothing is left behind then."""
    begun = f".{target.name}.sextant-"
    for rest in target.parent.glob(f"{glob.escape(begun)}*"):  # of a process that was killed
        shutil.rmtree(rest, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=begun))
    try:
        card = pair.write(scratch, about)
        encoder = OnnxEncoder(scratch, device="cpu", precision="fp32")
        pair_card = {**card, "golden": models.golden(encoder)}
        _write_card(scratch, pair_card)
        if target.exists():
            shutil.rmtree(target)
        scratch.replace(target)
    except OSError as error:
        raise ModelError(
            f"the bundle {target} cannot be written: {error.strerror or error}. The trained weights are safe in "
            f"{target.parent}; make room and run the same command again"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_card(folder: Path, card: dict[str, Any]) -> None:
    import json

    (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def compare(pair: Pair, folder: Path, run: Run, rows: Any) -> dict[str, Any]:
    """Cosines and accuracy of the bundle's fp32 and int8 against the weights, on pictures of the run."""
    pictures, labels = run.pictures[rows], run.labels[rows]
    exact = pair.image_rows(pictures)
    texts = np.stack([part[0] for part in run.prompt_rows(pair)])
    encoder = OnnxEncoder(folder, device="cpu", precision="fp32")
    said = encoder.encode_texts([part[0] for part in run.prompts])
    found: dict[str, Any] = {"text_cosine": float((said * texts).sum(1).min())}
    prepared = [pair.pixels.normalise(picture) for picture in pictures]
    for precision in ("fp32", "int8"):
        try:
            which = encoder if precision == "fp32" else encoder.at("int8")
            found[precision] = _against(which, prepared, exact, said, labels)
        except SextantError as error:
            found[precision] = {"refused": str(error)}
    fp32 = found["fp32"]
    if "refused" in fp32 or not fp32["faithful"] or not found["text_cosine"] >= LEAST_COSINE:
        shutil.rmtree(folder, ignore_errors=True)
        raise ModelError(f"the bundle does not say what was trained ({fp32}, texts {found['text_cosine']:.4f})")
    return found


def _against(encoder: OnnxEncoder, prepared: list[Any], exact: Floats, texts: Floats, labels: Any) -> dict[str, Any]:
    rows = encoder.encode_prepared(prepared)
    cosines = (rows * exact).sum(1)
    before = float(((exact @ texts.T).argmax(1) == labels).mean())
    after = float(((rows @ texts.T).argmax(1) == labels).mean())
    times = []
    for number in range(WARM + TIMED):
        begun = time.perf_counter()
        encoder.encode_prepared([prepared[number % len(prepared)]])
        times.append(1000 * (time.perf_counter() - begun))
    return {
        "mean_cosine": float(cosines.mean()),
        "least_cosine": float(cosines.min()),
        "accuracy_lost": before - after,
        "latency_p95_ms": float(np.quantile(times[WARM:], 0.95)),
        "latency_interval": gates.percentile_interval(np.array(times[WARM:])),
        "latency_n": TIMED,
        "faithful": bool(cosines.mean() >= LEAST_COSINE and before - after <= MOST_LOST),
    }
