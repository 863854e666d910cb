"""A precision that labels can promise: from which confidence on it holds, and for how long.

A promise is part of a calibration's record. It moves the edge of accepted for as long as that record is the newest.
"""

from __future__ import annotations

from typing import Any

from sextant.answers import labelled, settled
from sextant.catalog import CalibrationRecord, Catalog
from sextant.errors import UsageError
from sextant.maths import calibration as curves
from sextant.maths import sampling
from sextant.maths.calibration import Calibration
from sextant.maths.fitting import Labelled
from sextant.types import Promise
from sextant.view import View


def promise(view: View, catalog: Catalog, code: str, *, precision: float, failure: float) -> Promise:
    """The lowest confidence from which a precision can be promised, from labels, wrong with at most `failure`.

    Where there is one, it becomes the edge of accepted for as long as the calibration is in force.
    """
    answers: dict[str, bool] = settled(catalog.labels([code])).get(code, {})
    given = labelled(view, {code: answers}, catalog.sample([code])).get(code)
    if given is None:
        raise UsageError(f"'{code}' has no labels; ask for some with: sextant label next {code}")
    if view.calibration(code).kind == "temperature":
        raise UsageError(f"'{code}' belongs to an exclusive group; a promise needs an attribute that stands alone")
    found = _promised(view.calibration(code), given, precision=precision, failure=failure)
    if found.value is not None:
        _keep_promise(view, catalog, code, _kept(found, precision, failure))
    return Promise(code, precision, failure, found.value, found.n, found.right, found.bound, found.tried, found.reason)


def withdraw(view: View, catalog: Catalog, code: str) -> None:
    """Accepts from the vocabulary's threshold again."""
    _keep_promise(view, catalog, code, None)


def _keep_promise(view: View, catalog: Catalog, code: str, kept: dict[str, Any] | None) -> None:
    record = view.calibrations.get(code)
    if record is None:
        raise UsageError(f"'{code}' has no calibration yet: run sextant tag")
    measured = {name: value for name, value in record.measured.items() if name != "promise"}
    measured |= {"promise": kept} if kept else {}
    row = {code: (record.hash, record.calibration, record.prompt_hash)}
    catalog.put_calibrations(view.vectors.name, row, {code: measured})


def renewed(record: CalibrationRecord | None, curve: Calibration, given: Labelled) -> dict[str, Any]:
    """The promise that was in force, made again for another curve; nothing where there was none, or it fails now."""
    held = record.measured.get("promise") if record else None
    if not held:
        return {}
    found = _promised(curve, given, precision=held["precision"], failure=held["failure"])
    return {} if found.value is None else {"promise": _kept(found, held["precision"], held["failure"])}


def _promised(curve: Calibration, given: Labelled, *, precision: float, failure: float) -> sampling.Threshold:
    confidence = curves.confidence(curve, given.logits, given.background)
    return sampling.precision_threshold(confidence, given.truth, given.weights, precision=precision, failure=failure)


def _kept(found: sampling.Threshold, precision: float, failure: float) -> dict[str, Any]:
    """A promise as the calibration's record keeps it."""
    return {
        "accepted": found.value, "precision": precision, "failure": failure,
        "n": found.n, "right": found.right, "bound": found.bound,
    }  # fmt: skip
