"""Columns of the demo calibrated by a few labels, by Sextant and by scikit-learn, judged on images without a label.

What the clock contains, in a warm process, the middle one of `TURNS` turns: all columns fitted by the same labels, and
then the confidences of all images. Sextant is there twice. The verb `calibrate` reads labels and columns from disk,
fits, judges every fit on labels that it did not see, with an interval, and commits a record for every column whose
curve or figures changed; some of the labels are given just before, so that they do. Its confidences are those of a view
that is opened anew. The fit alone, `maths.fitting.fit`, has its arrays in memory, as scikit-learn has, and still fits
six times: once by all labels, and five times to see whether that helps labels which were left out.

scikit-learn is there in two ways. `CalibratedClassifierCV` around a classifier that was fitted before is what its guide
says to do; it takes its folds and fits one curve. `IsotonicRegression` and `LogisticRegression` are the curves
themselves, as somebody writes them who wants nothing else: no folds, no check. They do no more than the fit alone, and
are compared with it. None of the four reads, writes or judges anything.

Until 2026-11-21 the verb was repeated with labels that it had seen before, and so had nothing to write; and only the
fits were on the clock, not the confidences. The first was in favour of Sextant. The curves themselves were not there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import demo
import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

Doubles = np.ndarray
Curve = Callable[[Doubles], Doubles]
Spent = tuple[float, float]
"""Seconds by the clock, and of the processor."""
TURNS = 5


@dataclass(frozen=True, slots=True)
class World:
    """Logits and truth (n, columns) of all images, and the places of those that were labelled and of the rest."""

    logits: Doubles
    truth: Doubles
    shown: Doubles
    rest: Doubles


# scikit-learn


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


def sklearn_curve(method: str, logits: Doubles, truth: Doubles) -> Curve:
    """The curve by one way of scikit-learn; the base rate where an answer came too seldom for it."""
    fewest = int(min(truth.sum(), len(truth) - truth.sum()))
    if fewest < (2 if method in ("sigmoid", "isotonic") else 1):
        rate = (truth.sum() + 1) / (len(truth) + 2)
        return lambda x: np.full(len(x), rate)
    if method == "IsotonicRegression":
        return IsotonicRegression(out_of_bounds="clip").fit(logits, truth).predict
    if method == "LogisticRegression":
        line = LogisticRegression(C=1e6).fit(logits[:, None], truth)
    else:
        line = CalibratedClassifierCV(FrozenEstimator(scores()), method=method, cv=min(5, fewest))
        line.fit(logits[:, None], truth.astype(int))
    return lambda x: np.asarray(line.predict_proba(x[:, None])[:, 1])


def peer(method: str, world: World) -> tuple[Doubles, Spent, Spent]:
    """Confidences (rest, columns), what the fits took, and what the confidences took."""
    columns = range(world.truth.shape[1])
    labels, answers = world.logits[world.shown], world.truth[world.shown]
    fitting, curves = clocked(lambda: [sklearn_curve(method, labels[:, j], answers[:, j]) for j in columns])
    predicting, found = clocked(lambda: [curves[j](world.logits[world.rest, j]) for j in columns])
    return np.stack(found, axis=1), fitting, predicting


# Sextant


def fit_alone(given: Mapping[str, Any], world: World, background: Doubles) -> tuple[Doubles, Spent, Spent]:
    """The same by the fit that `calibrate` makes, from arrays to arrays."""
    from sextant.maths.calibration import confidence
    from sextant.maths.fitting import fit

    rows = background[world.rest]
    fitting, fits = clocked(lambda: fit(given))
    predicting, found = clocked(
        lambda: [confidence(f.calibration, world.logits[world.rest, j], rows) for j, f in enumerate(fits.values())]
    )
    return np.stack(found, axis=1), fitting, predicting


def verb(photos: Any, codes: Sequence[str], late: Sequence[Any]) -> tuple[Doubles, Spent, Spent]:
    """The same by `calibrate`, which commits, and a view; confidences are those of all images. `late` are labels."""
    photos.catalog.put_labels([replace(label, value=None) for label in late])
    photos.calibrate()
    photos.catalog.put_labels(late)
    fitting, _ = clocked(photos.calibrate)

    def confidences() -> list[Doubles]:
        view = photos.view(codes)
        return [view.values(code).confidence for code in codes]

    predicting, found = clocked(confidences)
    return np.stack(found, axis=1), fitting, predicting


# both


def clocked(work: Callable[[], Any]) -> tuple[Spent, Any]:
    begun, used = time.perf_counter(), time.process_time()
    result = work()
    return (time.perf_counter() - begun, time.process_time() - used), result


def compared(place: Path, count: int, labels: int) -> dict[str, Any]:
    """Seconds to calibrate all columns, and ECE and Brier of them on the images that were not labelled."""
    from sextant import answers
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
        logits = np.stack([np.asarray(known.view.logits(code), np.float64)[at] for code in codes], axis=1)
        shown = np.random.default_rng(3).permutation(len(ids))[:labels]
        world = World(logits, truth, shown, np.setdiff1d(np.arange(len(ids)), shown))
        said = [Label(ids[i], code, bool(truth[i, j])) for i in shown for j, code in enumerate(codes)]

        def worth(confidence: Doubles) -> dict[str, float]:
            pooled = evaluate(confidence, truth[world.rest], resamples=20).pooled
            return {"ece": pooled.ece.value, "brier": pooled.brier.value}

        before = np.stack([known.view.values(code).confidence for code in codes], axis=1)[at][world.rest]
        photos.catalog.put_labels(said)
        view = photos.view(codes)
        given = answers.labelled(view, answers.settled(photos.catalog.labels()), [])
        given = {code: given[code] for code in codes}
        ways: dict[str, Callable[[], tuple[Doubles, Spent, Spent]]] = {
            "sextant": lambda: verb(photos, codes, said[-len(codes) :]),
            "fit": lambda: fit_alone(given, world, view.background[at]),
        }
        for method in ("sigmoid", "isotonic", "LogisticRegression", "IsotonicRegression"):
            ways[method] = lambda method=method: peer(method, world)
        turns = [{name: way() for name, way in ways.items()} for _ in range(TURNS + 1)][1:]  # the first one warms up
    found: dict[str, Any] = {"columns": len(codes), "images": len(world.rest), "before": worth(before)}
    for name in ways:
        confidence = turns[-1][name][0]
        confidence = confidence[at][world.rest] if name == "sextant" else confidence
        fitting, predicting = (np.array([turn[name][k] for turn in turns]) for k in (1, 2))
        seconds, cpu = (float(x) for x in np.median(fitting + predicting, axis=0))
        found[name] = {"seconds": seconds, "cpu": cpu, "fitting": float(np.median(fitting[:, 0]))} | worth(confidence)
    return found
