"""Labels to calibrations: every attribute gets the best curve that its labels can vouch for, or keeps what it had.

A fitted curve is used only when, on labels that the fit did not see, it beats the unlabelled curve in both Brier score
and likelihood. The same held-out confidences are what an evaluation may be made of. Knows nothing of images but names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import UsageError
from sextant.maths import isotonic
from sextant.maths.calibration import Calibration, confidence, log_odds, sigmoid
from sextant.maths.metrics import surprise
from sextant.maths.platt import Sample, apply_line, fit_lines_by_fold

Doubles = NDArray[np.float64]

FOLDS = 5
LEAST_LABELS = 10
ISOTONIC_LABELS = 1000


@dataclass(frozen=True, slots=True)
class Labelled:
    """What people said of one attribute, and what its unlabelled curve `base` reads there.

    All arrays are (n,): `images` names (the same image falls into the same fold for every attribute), `logits`,
    `background` (None where the curve needs none), `truth` 0 or 1, `weights` inverse inclusion probabilities.
    """

    base: Calibration
    images: Sequence[str]
    logits: ArrayLike
    truth: ArrayLike
    background: ArrayLike | None = None
    weights: ArrayLike | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """The outcome for one attribute: the curve to use, whether labels changed it, and why if they did not.

    `held_out` (n,) is the confidence of each label by a fit that did not see it, in the order given and NaN where the
    logit is; `unlabelled` (n,) that of `base`. `brier` and `nll` are (held out, unlabelled), weighted.
    """

    calibration: Calibration
    applied: bool
    reason: str
    n: int
    positives: int
    held_out: Doubles
    unlabelled: Doubles
    brier: tuple[float, float]
    nll: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Task:
    base: Calibration
    unlabelled: Doubles
    usable: NDArray[np.bool_]
    fold: NDArray[np.intp]
    sample: Sample

    def part(self, keep: NDArray[np.bool_]) -> Sample:
        s = self.sample
        return Sample(s.log_odds[keep], s.truth[keep], s.weight[keep])


def fit(labelled: Mapping[str, Labelled], *, folds: int = FOLDS, seed: int = 0) -> dict[str, Fit]:
    """The calibration of every attribute that has labels; they help one another through their common correction."""
    if not labelled:
        raise UsageError("there is no label to calibrate with: give some with `sextant label`")
    images = {image for given in labelled.values() for image in given.images}
    places = {image: _fold(image, folds, seed) for image in images}
    tasks = {code: _task(code, given, places) for code, given in labelled.items()}
    every, *without = fit_lines_by_fold([t.sample for t in tasks.values()], [t.fold for t in tasks.values()], folds)
    unseeing = np.stack([lines.own for lines in without])
    outcomes: dict[str, Fit] = {}
    for a, (code, task) in enumerate(tasks.items()):
        platt = apply_line(unseeing[task.fold, a].T, task.sample.log_odds)
        outcomes[code] = _decide(labelled[code], task, every.own[a], platt, _held_out_isotonic(task, folds))
    return outcomes


def _held_out_isotonic(task: _Task, folds: int) -> Doubles:
    """Confidences (n,) by isotonic curves that did not see the label; NaN where there are too few labels for any."""
    found = np.full(len(task.fold), np.nan)
    if len(found) >= ISOTONIC_LABELS:
        for out in (task.fold == k for k in range(folds)):
            found[out] = np.interp(task.sample.log_odds[out], *fit_isotonic(task.part(~out)))
    return found


def fit_isotonic(sample: Sample) -> tuple[Doubles, Doubles]:
    """Knots (x, y) of the weighted monotone curve nearest to the labels, kept off 0 and 1 by one label's worth."""
    order = np.argsort(sample.log_odds, kind="stable")
    x, first = np.unique(sample.log_odds[order], return_index=True)
    weight = np.add.reduceat(sample.weight[order], first)
    rate = np.add.reduceat((sample.weight * sample.truth)[order], first) / weight
    steps = isotonic.rising(rate, weight)
    ends = np.unique(np.concatenate([steps.blocks[:-1], steps.blocks[1:] - 1]))
    edge = 1 / (len(sample.truth) + 2)
    return x[ends], np.clip(steps.values[ends], edge, 1 - edge)


def fit_temperature(logits: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> Calibration:
    """The temperature of an exclusive group from logits (n, k) and the index (n,) of the true member, by likelihood."""
    table, right = np.asarray(logits, dtype=np.float64), np.asarray(truth, dtype=np.intp)
    usable = np.isfinite(table).all(axis=1)
    share = np.ones(len(table)) if weights is None else np.asarray(weights, dtype=np.float64)
    table, right, share = table[usable], right[usable], share[usable]
    if len(table) < LEAST_LABELS:
        raise UsageError(f"a temperature needs at least {LEAST_LABELS} labelled images, not {len(table)}")

    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_temperature: float) -> float:
        chosen = log_softmax(table / np.exp(log_temperature), axis=1)[np.arange(len(right)), right]
        return -float(np.average(chosen, weights=share))

    best = minimize_scalar(loss, bounds=(-4.0, 7.0), method="bounded").x
    return Calibration("temperature", {"temperature": float(np.exp(best)), "labels": len(table)})


def _task(code: str, given: Labelled, places: Mapping[str, int]) -> _Task:
    logits, truth = np.asarray(given.logits, dtype=np.float64), np.asarray(given.truth, dtype=np.float64)
    weights = np.ones_like(logits) if given.weights is None else np.asarray(given.weights, dtype=np.float64)
    if not logits.shape == truth.shape == weights.shape == (len(given.images),):
        raise UsageError(f"the labels of {code!r} differ in number from their logits, weights or images")
    if not np.isin(truth, (0, 1)).all() or not (weights > 0).all():
        raise UsageError(f"a label of {code!r} is neither yes nor no, or its weight is not above 0")
    odds = log_odds(given.base, logits, given.background)
    bent = given.base.kind == "isotonic"
    unlabelled = confidence(given.base, logits, given.background) if bent else sigmoid(odds)
    usable = np.isfinite(odds)
    fold = np.array([places[image] for image in given.images], dtype=np.intp)
    sample = Sample(odds[usable], truth[usable], weights[usable])
    return _Task(given.base, unlabelled, usable, fold[usable], sample)


def _fold(image: str, folds: int, seed: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{image}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % folds


def _decide(given: Labelled, task: _Task, line: Doubles, platt: Doubles, isotonic: Doubles) -> Fit:
    y, w = task.sample.truth, task.sample.weight
    unlabelled = task.unlabelled
    plain = _losses(unlabelled[task.usable], y, w)
    held, losses, curve, reason = platt, _losses(platt, y, w), _platt(given, task, line), ""
    if len(y) >= ISOTONIC_LABELS and (bent := _losses(isotonic, y, w)) < losses and bent[1] < losses[1]:
        held, losses, curve = isotonic, bent, _isotonic(given, task)
    if len(y) < LEAST_LABELS:
        reason = f"{len(y)} labels with a logit; at least {LEAST_LABELS} are needed"
    elif not 0 < y.sum() < len(y):
        reason = f"all {len(y)} labels say {'yes' if y.sum() else 'no'}; at least one of either is needed"
    elif not (losses[0] <= plain[0] and losses[1] <= plain[1]):
        reason = (
            f"no better on labels the fit did not see: Brier {losses[0]:.4f} against {plain[0]:.4f}, "
            f"NLL {losses[1]:.4f} against {plain[1]:.4f}"
        )
    if reason:
        curve, held, losses = given.base, unlabelled[task.usable], plain
    held_out = np.full(len(task.usable), np.nan)
    held_out[task.usable] = held
    return Fit(
        calibration=curve,
        applied=not reason,
        reason=reason,
        n=len(y),
        positives=int(y.sum()),
        held_out=held_out,
        unlabelled=unlabelled,
        brier=(losses[0], plain[0]),
        nll=(losses[1], plain[1]),
    )


def _losses(p: Doubles, y: Doubles, w: Doubles) -> tuple[float, float]:
    """Weighted Brier score and negative log likelihood; NaN without labels."""
    if not len(y):
        return float("nan"), float("nan")
    total = w.sum()
    return float(w @ (p - y) ** 2 / total), float(w @ surprise(p, y) / total)


def _platt(given: Labelled, task: _Task, line: Doubles) -> Calibration:
    on = {"kind": given.base.kind, "params": dict(given.base.params)}
    return Calibration(
        "platt", {"on": on, "slope": float(line[0]), "offset": float(line[1]), "labels": len(task.sample.truth)}
    )


def _isotonic(given: Labelled, task: _Task) -> Calibration:
    on = {"kind": given.base.kind, "params": dict(given.base.params)}
    x, y = fit_isotonic(task.sample)
    return Calibration("isotonic", {"on": on, "x": x.tolist(), "y": y.tolist(), "labels": len(task.sample.truth)})
