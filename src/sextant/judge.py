"""Labels to calibrations: what to ask next, what answers make of a column, and how far the result can be believed.

Every step hands arrays to `maths` and keeps what comes back. A recalibration writes one record a column and no column.
Whatever is measured here is measured on labels that the fit did not see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant import exclusive
from sextant.catalog import CalibrationRecord, Catalog, Drawn, Label
from sextant.errors import UsageError
from sextant.exclusive import GroupFit
from sextant.maths import calibration as curves
from sextant.maths import components, fitting, metrics, sampling
from sextant.maths.calibration import Calibration
from sextant.maths.fitting import Fit, Labelled
from sextant.maths.mixture import Prior
from sextant.types import Asked, CalibrationReport, ColumnEvaluation, CountEstimate, Floats, Promise
from sextant.view import View
from sextant.vocabulary import Attribute

Doubles = NDArray[np.float64]
LEAST_IMAGES = 20
POOLED = "*"
"""The code of the row that speaks for all attributes together."""
SHOWN = 20
Truth = Mapping[str, Mapping[str, bool]]
"""Truth by code and image id."""


# asking


def ask(view: View, catalog: Catalog, code: str, size: int, *, seed: int) -> list[Asked]:
    """Draws images to be labelled, by stratum of confidence and more near a band edge; keeps their probabilities."""
    thresholds = view.thresholds(code)
    answered = {label.image for label in catalog.labels([code])}
    ids = view.ids.to_pylist()
    done = np.array([image in answered for image in ids], np.bool_)
    confidence = view.confidence(code, view.calibration(code))
    edges = (thresholds.tentative, thresholds.accepted)
    choice = sampling.choose(confidence, size, edges=edges, labelled=done, seed=seed)
    paths = view.paths
    drawn = [
        (ids[row], float(p), int(h)) for row, p, h in zip(choice.rows, choice.probability, choice.stratum, strict=True)
    ]
    catalog.put_sample(code, drawn)
    return [
        Asked(code, image, str(paths[int(row)]), float(confidence[row]), p)
        for row, (image, p, _) in zip(choice.rows, drawn, strict=True)
    ]


def still_open(view: View, catalog: Catalog, code: str) -> list[Asked]:
    """What the newest draw asked about and nobody has answered yet."""
    answered = {label.image for label in catalog.labels([code])}
    drawn = catalog.sample([code])
    newest = max((d.batch for d in drawn), default=0)
    rest = [d for d in drawn if d.batch == newest and d.image not in answered and d.image in view.places]
    if not rest:
        return []
    paths, confidence = view.paths, view.values(code).confidence
    rows = [view.places[d.image] for d in rest]
    return [
        Asked(code, d.image, str(paths[row]), float(confidence[row]), d.probability)
        for d, row in zip(rest, rows, strict=True)
    ]


def settled(labels: Sequence[Label]) -> dict[str, dict[str, bool]]:
    """One answer a cell, by code and image.

    Raises:
        UsageError: two people disagree; the message names the cells.
    """
    found: dict[str, dict[str, bool]] = {}
    disputes: list[str] = []
    for label in labels:
        answers = found.setdefault(label.code, {})
        value = bool(label.value)
        if answers.setdefault(label.image, value) != value:
            disputes.append(f"{label.image} {label.code}")
    if disputes:
        shown = "\n  ".join(disputes[:SHOWN]) + (
            f"\n  and {len(disputes) - SHOWN} more" if len(disputes) > SHOWN else ""
        )
        raise UsageError(
            f"people disagree about {len(disputes)} cells, so nothing was done:\n  {shown}\n"
            "Settle each with: sextant label set IMAGE CODE yes|no|clear --person NAME"
        )
    return found


def labelled(view: View, labels: Mapping[str, Mapping[str, bool]], drawn: Sequence[Drawn]) -> dict[str, Labelled]:
    """What the maths needs to know of the labels of every column: logits, backgrounds, truth and weights."""
    places = view.places
    samples: dict[str, dict[str, Drawn]] = {}
    for item in drawn:
        samples.setdefault(item.code, {})[item.image] = item
    found: dict[str, Labelled] = {}
    for code, answers in labels.items():
        images = [image for image in answers if image in places]
        if code in view.columns and images:
            rows = np.array([places[image] for image in images], np.intp)
            found[code] = Labelled(
                base=base_of(view.calibration(code)),
                images=images,
                logits=view.logits(code)[rows],
                background=view.background[rows],
                truth=np.array([answers[image] for image in images], np.float64),
                weights=_weights(images, samples.get(code, {})),
            )
    return found


def _weights(images: Sequence[str], drawn: Mapping[str, Drawn]) -> NDArray[np.float64]:
    """What each label speaks for. Labels that nobody drew count as if they had been picked blindly."""
    weights = np.ones(len(images))
    sampled = [k for k, image in enumerate(images) if image in drawn]
    if sampled:
        items = [drawn[images[k]] for k in sampled]
        weights[sampled] = sampling.label_weights([i.probability for i in items], [i.batch for i in items])
    return weights


def base_of(curve: Calibration) -> Calibration:
    """The unlabelled curve that a fitted one stands on; an unlabelled one itself."""
    inner = curve.params.get("on")
    return base_of(Calibration(inner["kind"], inner["params"])) if inner else curve


# answering


def calibrate(
    view: View, catalog: Catalog, codes: Sequence[str], held: Mapping[str, CalibrationRecord]
) -> list[CalibrationReport]:
    """Fits every labelled column and keeps the curves that beat the unlabelled ones on labels they did not see.

    `held` are the records before any `prior` was worked out anew: promises among them are made again.
    """
    _usable(view, codes)
    answers = settled(catalog.labels(codes))
    single = [c for c in answers if isinstance(item := view.describe(c), Attribute) and item.group is None]
    given = labelled(view, {c: answers[c] for c in single}, catalog.sample(single))
    groups = _grouped(view, answers)
    if not given and not groups:
        raise UsageError("there are no labels to calibrate by; ask for some with: sextant label next CODE")
    records, measured, reports = {}, {}, []
    for code, fit in (fitting.fit(given) if given else {}).items():
        before = view.calibration(code)
        quality = _quality(fit, given[code]) | _renewed(held.get(code), fit.calibration, given[code])
        # A fit that no longer holds gives way to the curve that it stood on.
        if fit.applied or base_of(before).id != before.id or "promise" in quality:
            records[code], measured[code] = _record(view, code, fit.calibration), quality
        reports.append(_report(code, fit, quality))
    for group in groups:
        for place, code in enumerate(group.codes):
            quality = _group_quality(group, place)
            if group.applied and code in view.columns:
                records[code], measured[code] = _record(view, code, group.calibration), quality
            reports.append(_group_report(code, place, group, quality))
    catalog.put_calibrations(view.vectors.name, records, measured)
    return reports


def _usable(view: View, codes: Sequence[str]) -> None:
    """Raises `UsageError` where labels could only lead astray: next to no images, columns of other prompts."""
    if len(view) < LEAST_IMAGES:
        raise UsageError(f"{len(view)} images are too few to calibrate anything; at least {LEAST_IMAGES} are needed")
    stale = [c for c in codes if c in view.columns and view.state(c) == "stale" and view.describe(c) is not None]
    if stale:
        raise UsageError(f"of other prompts than the vocabulary has now, so nothing was fitted: {', '.join(stale)}\n"
                         "Compute them first: sextant tag")  # fmt: skip


def _record(view: View, code: str, curve: Calibration) -> tuple[str, dict[str, Any], str]:
    hash_ = view.columns[code].provenance["prompt_hash"]
    return curve.id, {"kind": curve.kind, "params": dict(curve.params)}, hash_


def _report(code: str, fit: Fit, quality: Mapping[str, Any]) -> CalibrationReport:
    return CalibrationReport(
        code=code,
        n=fit.n,
        positives=fit.positives,
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


def _grouped(view: View, answers: Mapping[str, Mapping[str, bool]]) -> list[GroupFit]:
    """The fits of the exclusive groups that were labelled."""
    groups = dict.fromkeys(members for code in answers if (members := exclusive.members(view, code)))
    fits = (exclusive.fit(view, codes, answers, view.calibration(codes[0])) for codes in groups)
    return [fit for fit in fits if fit is not None]


def _group_quality(group: GroupFit, place: int) -> dict[str, Any]:
    truth = (group.truth == place).astype(np.float64)
    return _measured(group.held_out[:, place], truth, None)


def _group_report(code: str, place: int, group: GroupFit, quality: Mapping[str, Any]) -> CalibrationReport:
    return CalibrationReport(
        code=code,
        n=len(group.truth),
        positives=int((group.truth == place).sum()),
        kind=group.calibration.kind,
        applied=group.applied,
        reason=group.reason,
        brier_before=group.brier[1],
        brier_after=group.brier[0],
        nll_before=group.nll[1],
        nll_after=group.nll[0],
        ece=quality.get("ece"),
        ece_low=quality.get("ece_low"),
        ece_high=quality.get("ece_high"),
    )


def _renewed(record: CalibrationRecord | None, curve: Calibration, given: Labelled) -> dict[str, Any]:
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


def _quality(fit: Fit, given: Labelled) -> dict[str, Any]:
    if not np.isfinite(fit.held_out).any():
        return {"n": fit.n}
    weights = None if given.weights is None else np.asarray(given.weights, np.float64)
    return _measured(fit.held_out, np.asarray(given.truth, np.float64), weights)


def _measured(p: Doubles, truth: Doubles, weights: Doubles | None) -> dict[str, Any]:
    """What held-out confidences (n,) were worth, as a calibration's record keeps it."""
    w = None if weights is None else weights[:, None]
    quality = metrics.evaluate(p[:, None], truth[:, None], w, bins=bins_for(len(truth))).pooled
    return {
        "n": quality.n,
        "ece": quality.ece.value,
        "ece_low": quality.ece.low,
        "ece_high": quality.ece.high,
        "brier": quality.brier.value,
        "nll": quality.nll.value,
        "bins": quality.bins,
    }


def fit_card(view: View, catalog: Catalog, truth: Truth | None, background: Floats, source: str) -> Prior:
    """An encoder's own mixture components, from the labels of a collection or from a truth: for columns without labels.

    Judge what it does on attributes that it was not fitted on. Raises `UsageError` below twenty cells of either answer.
    """
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


def bins_for(n: int) -> int:
    """Fewer bins for fewer labels: about ten in each, and never more than fifteen."""
    return int(np.clip(n // 10, 2, metrics.BINS))


def evaluate(view: View, catalog: Catalog, codes: Sequence[str], truth: Truth | None = None) -> list[ColumnEvaluation]:
    """How far the confidences of columns can be believed, each and all together, on labels that no fit has seen.

    Against the collection's own labels, confidences are cross-fitted. Against a `truth` from elsewhere they are those
    in use, but cross-fitted for the images whose labels the curve was fitted to.
    """
    if truth is None:
        cells = cross_fitted(view, catalog, codes)
    else:
        cells = against(view, catalog, {c: truth[c] for c in codes if c in truth})
    if not cells:
        raise UsageError("there is nothing to evaluate against: no labels of these columns, and no --truth file")
    p, y, w = (_side_by_side([cells[c][k] for c in cells]) for k in range(3))
    result = metrics.evaluate(p, y, w)
    named = [(code, quality) for code, quality in zip(cells, result.attributes, strict=True) if quality is not None]
    rows = [_row(code, quality, view.state(code)) for code, quality in named]
    return [*rows, _row(POOLED, result.pooled, "")] if len(rows) > 1 else rows


Cells = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def cross_fitted(view: View, catalog: Catalog, codes: Sequence[str]) -> dict[str, Cells]:
    """Confidence, truth and weight of the labels of each column, by fits that did not see them."""
    answers = settled(catalog.labels(codes))
    single = {c: said for c, said in answers.items() if view.calibration(c).kind != "temperature"}
    given = labelled(view, single, catalog.sample(list(single)))
    fits = fitting.fit(given) if given else {}
    cells: dict[str, Cells] = {}
    for group in _grouped(view, answers):
        shares = group.held_out if "labels" in view.calibration(group.codes[0]).params else group.unlabelled
        for place, code in enumerate(group.codes):
            cells[code] = shares[:, place], (group.truth == place).astype(np.float64), np.ones(len(group.truth))
    for code, fit in fits.items():
        fitted = base_of(view.calibration(code)).id != view.calibration(code).id
        held = fit.held_out if fitted else fit.unlabelled
        weights = given[code].weights
        cells[code] = (held, np.asarray(given[code].truth), np.asarray(weights if weights is not None else 1.0))
    return cells


def against(view: View, catalog: Catalog, truth: Truth) -> dict[str, Cells]:
    """The same against a truth from elsewhere: confidences in use, but cross-fitted where the curve saw the label."""
    fitted = [c for c in truth if c in view.columns and base_of(view.calibration(c)).id != view.calibration(c).id]
    # A temperature is one number for a whole group: what its labels gain from having been seen is next to nothing.
    answers = settled(catalog.labels(fitted)) if fitted else {}
    given = labelled(view, answers, catalog.sample(fitted)) if answers else {}
    fits = fitting.fit(given) if given else {}
    places = view.places
    cells: dict[str, Cells] = {}
    for code, known in truth.items():
        confidence = view.values(code).confidence.copy()
        if code in fits:
            confidence[[places[image] for image in given[code].images]] = fits[code].held_out
        images = [image for image in known if image in places]
        rows = np.array([places[image] for image in images], np.intp)
        if len(rows):
            cells[code] = (confidence[rows], np.array([known[i] for i in images], np.float64), np.ones(len(rows)))
    return cells


def _side_by_side(columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Columns of different lengths as one table, padded with NaN."""
    table = np.full((max(map(len, columns)), len(columns)), np.nan)
    for k, column in enumerate(columns):
        table[: len(column), k] = column
    return table


def _row(code: str, quality: metrics.Quality, state: str) -> ColumnEvaluation:
    return ColumnEvaluation(
        code=code,
        n=quality.n,
        positives=quality.positives,
        ece=quality.ece.value,
        ece_low=quality.ece.low,
        ece_high=quality.ece.high,
        brier=quality.brier.value,
        nll=quality.nll.value,
        average_precision=quality.average_precision,
        bins=quality.bins,
        state=state,
        curve=tuple(quality.curve),
    )


# promises and counts


def promise(view: View, catalog: Catalog, code: str, *, precision: float, failure: float) -> Promise:
    """The lowest confidence from which a precision can be promised, from labels, wrong with at most `failure`.

    Where there is one, it becomes the edge of accepted for as long as the calibration is in force.
    """
    answers = settled(catalog.labels([code])).get(code, {})
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


def count(view: View, catalog: Catalog, code: str) -> CountEstimate | None:
    """How many images really show an attribute, with an interval, from the newest batch that was drawn and labelled."""
    answers = settled(catalog.labels([code])).get(code, {})
    drawn = [d for d in catalog.sample([code]) if d.image in answers]
    if not drawn:
        return None
    newest = max(d.batch for d in drawn)
    batch = [d for d in drawn if d.batch == newest]
    earlier = [image for image in answers if image not in {d.image for d in batch}]
    places = view.places
    confidence = view.values(code).confidence
    expected = [float(confidence[places[d.image]]) if d.image in places else 0.5 for d in batch]
    found = sampling.estimate_count(
        [answers[d.image] for d in batch], _chances(batch, catalog, code), [d.stratum for d in batch], expected=expected
    )
    known = sum(answers[image] for image in earlier)
    return CountEstimate(code, found.value + known, found.low + known, found.high + known, found.n)


def _chances(batch: Sequence[Drawn], catalog: Catalog, code: str) -> list[float]:
    """Probabilities of a batch that was not answered to the end: those who answered stand for those who did not."""
    asked: dict[int, int] = {}
    answered: dict[int, int] = {}
    for item in catalog.sample([code]):
        if item.batch == batch[0].batch:
            asked[item.stratum] = asked.get(item.stratum, 0) + 1
    for item in batch:
        answered[item.stratum] = answered.get(item.stratum, 0) + 1
    return [item.probability * answered[item.stratum] / asked[item.stratum] for item in batch]
