"""Light heads on kept vectors: a linear probe and few-shot prototypes, for when an encoder sees enough already.

numpy and scipy only; the probe is multinomial logistic regression with a penalty chosen on held-out rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from sextant.maths.metrics import expected_calibration_error
from sextant.train import gates
from sextant.types import Floats

Rows = NDArray[np.intp]
PENALTIES = (1e-4, 1e-3, 1e-2)
STEPS = 120
FOLDS = 3


@dataclass(frozen=True, slots=True)
class Probe:
    """Class logits `((rows − centre) / spread) · weights + bias`; `weights` (f, classes)."""

    centre: Floats
    spread: Floats
    weights: Floats
    bias: Floats
    penalty: float

    def logits(self, rows: Floats) -> Floats:
        """(n, f) to (n, classes)."""
        return np.asarray(((rows - self.centre) / self.spread) @ self.weights + self.bias, np.float32)


def fit_probe(rows: Floats, labels: Rows, *, penalty: float = 1e-3, steps: int = STEPS) -> Probe:
    """The probe that makes the mean cross-entropy plus `penalty`/2 · |weights|² smallest."""
    centre = rows.mean(0, dtype=np.float64).astype(np.float32)
    spread = np.asarray(rows.std(0, dtype=np.float64) + 1e-6, np.float32)
    x, classes = ((rows - centre) / spread).astype(np.float32), int(labels.max()) + 1
    n, f = x.shape
    truth = np.zeros((n, classes), np.float32)
    truth[np.arange(n), labels] = 1

    def value(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w, b = flat[: f * classes].reshape(f, classes), flat[f * classes :]
        p = softmax(x @ w.astype(np.float32) + b.astype(np.float32), axis=1)
        loss = -float(np.log(np.maximum(p[np.arange(n), labels], 1e-12)).mean()) + penalty / 2 * float((w * w).sum())
        gap = (p - truth) / n
        return loss, np.concatenate([(x.T @ gap + penalty * w).ravel(), gap.sum(0)]).astype(np.float64)

    with threadpool_limits(limits=1, user_api="blas"):  # the products are small: threads would wait for each other
        start = np.zeros((f + 1) * classes)
        found = minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": steps}).x
    weights, bias = found[: f * classes].reshape(f, classes), found[f * classes :]
    return Probe(centre, spread, weights.astype(np.float32), bias.astype(np.float32), penalty)


def best_probe(rows: Floats, labels: Rows, choice: Floats, choice_labels: Rows) -> Probe:
    """The probe whose penalty does best on held-out rows."""
    found = [fit_probe(rows, labels, penalty=penalty) for penalty in PENALTIES]
    right = [(probe.logits(choice).argmax(1) == choice_labels).mean() for probe in found]
    return found[int(np.argmax(right))]


def cross_answers(rows: Floats, labels: Rows, *, folds: int = FOLDS) -> Rows:
    """What a probe answers (n,) for each row when it is fitted on the others."""
    place = np.random.default_rng(0).permutation(len(rows)) % folds
    answers = np.zeros(len(rows), np.intp)
    for fold in range(folds):
        mine = place == fold
        if mine.any() and (~mine).any():
            answers[mine] = fit_probe(rows[~mine], labels[~mine], penalty=1e-2, steps=40).logits(rows[mine]).argmax(1)
    return answers


def prototypes(vectors: Floats, labels: Rows, shots: int | None = None, *, seed: int = 0) -> Floats:
    """The mean direction (classes, dim) of each class's unit rows, of all or of a few drawn ones."""
    rng, found = np.random.default_rng(seed), []
    for k in range(int(labels.max()) + 1):
        mine = np.flatnonzero(labels == k)
        mine = mine if shots is None else rng.permutation(mine)[:shots]
        mean = vectors[mine].mean(0)
        found.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
    return np.stack(found).astype(np.float32)


def few_shot(
    vectors: Floats, labels: Rows, test: Floats, test_labels: Rows, shots: Sequence[int] = (1, 2, 4, 8, 16)
) -> dict[int, tuple[float, float]]:
    """Accuracy of prototypes by shots: mean and standard deviation over five draws."""
    found = {}
    for k in shots:
        tries = [(test @ prototypes(vectors, labels, k, seed=s).T).argmax(1) == test_labels for s in range(5)]
        found[k] = (float(np.mean(tries)), float(np.std([t.mean() for t in tries])))
    return found


def report(
    features: Floats, vectors: Floats, labels: Rows, parts: Mapping[str, Rows], keep: Callable[[str, Floats], None]
) -> dict[str, Any]:
    """Fits a probe on features and prototypes on unit vectors; what they are worth on the test part, calibrated.

    `keep` gets the probe's weights under a name.
    """
    train, choice, calibration, test = (parts[name] for name in ("train", "choice", "calibration", "test"))
    begun = time.monotonic()
    probe = best_probe(features[train], labels[train], features[choice], labels[choice])
    seconds = time.monotonic() - begun
    heat = gates.temperature(probe.logits(features[calibration]), labels[calibration])
    p = softmax(probe.logits(features[test]).astype(np.float64) / heat, axis=1)
    answers, right = p.argmax(1), (p.argmax(1) == labels[test]).astype(np.float64)
    means = prototypes(vectors[train], labels[train])
    keep("probe", np.concatenate([probe.weights, probe.bias[None], np.full((1, probe.bias.size), heat, np.float32)]))
    keep("probe_scaling", np.stack([probe.centre, probe.spread]))
    keep("prototypes", means)
    return {
        "images": len(test),
        "accuracy": float(right.mean()),
        "macro_f1": float(gates.f1_scores(labels[test], answers, means.shape[0]).mean()),
        "ece": expected_calibration_error(p.max(1), right, bins=gates.BINS),
        "penalty": probe.penalty,
        "temperature": heat,
        "fit_seconds": round(seconds, 2),
        "prototype_accuracy": float(((vectors[test] @ means.T).argmax(1) == labels[test]).mean()),
        "few_shot": few_shot(vectors[train], labels[train], vectors[test], labels[test]),
    }
