"""Columns of the demo calibrated by a few labels, by Sextant and by scikit-learn, judged on images without a label."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import demo
import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

Doubles = np.ndarray


def scores() -> Any:
    """What scikit-learn takes for a classifier that was fitted before: its decision is the logit, unchanged."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Scores(ClassifierMixin, BaseEstimator):
        def fit(self, x: Doubles, y: Doubles) -> Any:  # noqa: ARG002 – it is asked for, and was done before
            return self

        def decision_function(self, x: Doubles) -> Doubles:
            return x[:, 0]

        def predict(self, x: Doubles) -> Doubles:
            return (x[:, 0] > 0).astype(int)

    made = Scores()
    made.classes_ = np.array([0, 1])
    return made


def sklearn_curve(method: str, logits: Doubles, truth: Doubles) -> Callable[[Doubles], Doubles]:
    """`CalibratedClassifierCV` of a classifier fitted before; the base rate where an answer came once at most."""
    fewest = int(min(truth.sum(), len(truth) - truth.sum()))
    if fewest < 2:
        rate = (truth.sum() + 1) / (len(truth) + 2)
        return lambda x: np.full(len(x), rate)
    fitted = CalibratedClassifierCV(FrozenEstimator(scores()), method=method, cv=min(5, fewest))
    fitted.fit(logits[:, None], truth.astype(int))
    return lambda x: np.asarray(fitted.predict_proba(x[:, None])[:, 1])


def compared(place: Path, count: int, labels: int) -> dict[str, Any]:
    """Seconds to calibrate all columns, and ECE and Brier of them on the images that were not labelled."""
    from sextant.catalog import Label
    from sextant.cli.measuring import Measured
    from sextant.demo import tour
    from sextant.maths.metrics import evaluate

    demo.CACHE = place
    photos, _ = demo.collection(count)
    with photos:
        known = Measured(photos, photos.folder, tour.SCENES)
        codes = [row.code for row in known.table()[0] if row.state != "rule"]
        at = np.asarray(known.places)
        ids = [known.view.ids[int(i)].as_py() for i in at]
        truth = np.array([[code in shown for code in codes] for shown in known.truths], np.float64)
        logits = np.stack([np.asarray(known.view.logits(code))[at] for code in codes], axis=1)
        shown = np.random.default_rng(3).permutation(len(ids))[:labels]
        rest = np.setdiff1d(np.arange(len(ids)), shown)
        answers = [Label(ids[i], code, bool(truth[i, j])) for i in shown for j, code in enumerate(codes)]

        def judged(confidence: Doubles) -> dict[str, float]:
            pooled = evaluate(confidence, truth[rest], resamples=20).pooled
            return {"ece": pooled.ece.value, "brier": pooled.brier.value}

        def now() -> Doubles:
            view = photos.view(codes)
            return np.stack([view.values(code).confidence[at][rest] for code in codes], axis=1)

        found: dict[str, Any] = {"columns": len(codes), "images": len(rest), "before": judged(now())}
        photos.catalog.put_labels(answers)
        photos.calibrate()  # so that what is measured is warm, as scikit-learn below
        begun, used = time.perf_counter(), time.process_time()
        photos.calibrate()
        spent = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - used}
        found["sextant"] = spent | judged(now())
        for method in ("sigmoid", "isotonic"):
            sklearn_curve(method, logits[:, 0], truth[:, 0] * 0 + np.arange(len(truth)) % 2)
            begun, used = time.perf_counter(), time.process_time()
            curves = [sklearn_curve(method, logits[shown, j], truth[shown, j]) for j in range(len(codes))]
            spent = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - used}
            confidence = np.stack([curve(logits[rest, j]) for j, curve in enumerate(curves)], axis=1)
            found[method] = spent | judged(confidence)
    return found
