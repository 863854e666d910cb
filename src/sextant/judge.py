"""Labels to calibrations: what answers make of a column, and how far the result can be believed.

Every step hands arrays to `maths` and keeps what comes back. A recalibration writes one record a column and no column.
Whatever is measured here is measured on labels that the fit did not see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant import exclusive, promises
from sextant.answers import Truth, labelled, proper, settled
from sextant.catalog import CalibrationRecord, Catalog, Label
from sextant.errors import UsageError
from sextant.exclusive import GroupFit
from sextant.maths import fitting, metrics
from sextant.maths.calibration import Calibration, base_of
from sextant.maths.fitting import Fit, Labelled
from sextant.maths.mixture import Prior
from sextant.types import CalibrationReport, Floats
from sextant.view import View
from sextant.vocabulary import Attribute

Doubles = NDArray[np.float64]
LEAST_IMAGES = 20


def calibrate(
    view: View,
    catalog: Catalog,
    labels: Sequence[Label],
    codes: Sequence[str],
    held: Mapping[str, CalibrationRecord],
) -> list[CalibrationReport]:
    """Fits every labelled column and keeps the curves that beat the unlabelled ones on labels they did not see.

    Only `labels` of these codes count. Of the images, `view` needs to hold those that were labelled. `held` are the
    records before any `prior` was worked out anew: promises among them are made again.
    """
    _usable(view, codes)
    chosen = set(codes)
    answers = settled([label for label in labels if label.code in chosen])
    single = [c for c in answers if isinstance(item := view.describe(c), Attribute) and item.group is None]
    given = labelled(view, {c: answers[c] for c in single}, catalog.sample(single))
    groups = exclusive.fits(view, proper(answers))
    if not given and not groups:
        alone = ", and thumbs alone speak for no other image" if answers else ""
        raise UsageError(f"there are no labels to calibrate by{alone}; ask for some with: sextant label next CODE")
    fits = fitting.fit(given) if given else {}
    worth = _worth(fits, given, groups)
    records, measured, reports = {}, {}, []
    for code, fit in fits.items():
        before = view.calibration(code)
        quality = worth[code] | promises.renewed(held.get(code), fit.calibration, given[code])
        # A fit that no longer holds gives way to the curve that it stood on.
        # A head's log-odds are of labels themselves: what they were measured to be worth is kept in any case.
        learned = "head" in view.columns[code].provenance
        if fit.applied or learned or base_of(before).id != before.id or "promise" in quality:
            records[code] = _record(view, code, fit.calibration)
            measured[code] = quality | _source(view, code, fit.calibration)
        reports.append(_report(code, fit, fit.n, fit.positives, quality))
    for group in groups:
        for place, code in enumerate(group.codes):
            if group.applied and code in view.columns:
                records[code], measured[code] = _record(view, code, group.calibration), worth[code]
            reports.append(_report(code, group, len(group.truth), int((group.truth == place).sum()), worth[code]))
    catalog.put_calibrations(view.vectors.name, records, measured)
    return reports


def _usable(view: View, codes: Sequence[str]) -> None:
    """Raises `UsageError` where labels could only lead astray: next to no images, columns of other prompts."""
    images = view.collection_size
    if images < LEAST_IMAGES:
        raise UsageError(f"{images} images are too few to calibrate anything; at least {LEAST_IMAGES} are needed")
    stale = [c for c in codes if c in view.columns and view.state(c) == "stale" and view.describe(c) is not None]
    if stale:
        raise UsageError(f"of other prompts than the vocabulary has now, so nothing was fitted: {', '.join(stale)}\n"
                         "Compute them first: sextant tag")  # fmt: skip


def _record(view: View, code: str, curve: Calibration) -> tuple[str, dict[str, Any], str]:
    hash_ = view.columns[code].provenance["prompt_hash"]
    return curve.id, {"kind": curve.kind, "params": dict(curve.params)}, hash_


def _source(view: View, code: str, curve: Calibration) -> dict[str, Any]:
    """What the record of a column says of where its prior came from, if that stays, with or without a fit on it."""
    record, now = view.calibrations.get(code), view.calibration(code)
    kept = record.measured.get("from") if record and base_of(now).id == base_of(curve).id else None
    return {"from": kept} if kept else {}


def _report(code: str, fit: Fit | GroupFit, n: int, positives: int, quality: Mapping[str, Any]) -> CalibrationReport:
    return CalibrationReport(
        code=code,
        n=n,
        positives=positives,
        kind=fit.calibration.kind,
        applied=fit.applied,
        reason=fit.reason,
        brier_before=fit.brier[1],
        brier_after=fit.brier[0],
        nll_before=fit.nll[1],
        nll_after=fit.nll[0],
        ece=quality.get("ece"),
        ece_low=quality.get("ece_low"),
        ece_high=quality.get("ece_high"),
    )


def _worth(
    fits: Mapping[str, Fit], given: Mapping[str, Labelled], groups: Sequence[GroupFit]
) -> dict[str, dict[str, Any]]:
    """What the held-out confidences of every column were worth, as a calibration's record keeps it."""
    cells: dict[str, metrics.Cells] = {}
    for code, fit in fits.items():
        if np.isfinite(fit.held_out).any():
            truth, weights = np.asarray(given[code].truth, np.float64), given[code].weights
            even = np.ones_like(truth)
            cells[code] = fit.held_out, truth, even if weights is None else np.asarray(weights, np.float64)
    for group in groups:
        for place, code in enumerate(group.codes):
            truth = (group.truth == place).astype(np.float64)
            cells[code] = group.held_out[:, place], truth, np.ones_like(truth)
    found = dict(zip(cells, metrics.summaries(list(cells.values())), strict=True))
    nothing: dict[str, dict[str, Any]] = {code: {"n": fit.n} for code, fit in fits.items()}
    return nothing | {code: _kept(summary) for code, summary in found.items()}


def _kept(summary: metrics.Summary) -> dict[str, Any]:
    ece = summary.ece
    judged = {"ece": ece.value, "ece_low": ece.low, "ece_high": ece.high, "brier": summary.brier, "nll": summary.nll}
    return {"n": summary.n, **judged, "bins": summary.bins}


def fit_card(view: View, catalog: Catalog, truth: Truth | None, background: Floats, source: str) -> Prior:
    """An encoder's own mixture components, from the labels of a collection or from a truth: for columns without labels.

    Judge what it does on attributes that it was not fitted on. Raises `UsageError` below twenty cells of either answer.
    """
    from sextant.maths import components  # loads slowly, and a calibration does without

    known = settled(catalog.labels()) if truth is None else truth
    codes = [code for code in known if code in view.columns]
    given = labelled(view, {code: known[code] for code in codes}, catalog.sample(codes) if truth is None else [])
    if not given:
        raise UsageError("there are no labels to fit a prior on; import some, or name a --truth file")
    answers = np.full((len(view), len(given)), np.nan)
    weights = np.ones_like(answers)
    for k, item in enumerate(given.values()):
        rows = [view.places[image] for image in item.images]
        answers[rows, k] = item.truth
        weights[rows, k] = 1.0 if item.weights is None else item.weights
    logits = np.stack([view.logits(code) for code in given], axis=1)
    return components.fit_prior(logits, view.background, background, answers, source=source, weights=weights)
