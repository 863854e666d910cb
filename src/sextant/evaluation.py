"""How far the confidences of columns can be believed, on labels that no fit has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sextant import exclusive
from sextant.answers import Truth, labelled, proper, settled
from sextant.catalog import Catalog
from sextant.errors import UsageError
from sextant.maths import fitting, metrics
from sextant.maths.calibration import base_of
from sextant.types import ColumnEvaluation, Spread
from sextant.view import View

Doubles = NDArray[np.float64]
Cells = tuple[Doubles, Doubles, Doubles, Doubles]
"""Confidence, truth and weight of the same labels, and their confidence before anything was labelled; (n,) each."""
POOLED = "*"
"""The code of the row that speaks for all attributes together."""


def evaluate(
    view: View, catalog: Catalog, codes: Sequence[str], truth: Truth | None = None, *, spread: Spread | None = None
) -> list[ColumnEvaluation]:
    """How far the confidences of columns can be believed, each and all together, on labels that no fit has seen.

    Against the collection's own labels, confidences are cross-fitted. Against a `truth` from elsewhere they are those
    in use, but cross-fitted for the images whose labels the curve was fitted to. Images that the encoder was trained on
    count in neither.
    """
    if truth is None:
        cells = cross_fitted(view, catalog, codes)
    else:
        cells = against(view, catalog, {c: truth[c] for c in codes if c in truth})
    if not cells:
        raise UsageError("there is nothing to evaluate against: no labels of these columns, and no --truth file")
    return rows_of(view, cells, spread)


def rows_of(view: View, cells: Mapping[str, Cells], spread: Spread | None = None) -> list[ColumnEvaluation]:
    """A row a column, and one for all of them together where there are several."""
    p, y, w = (_side_by_side([cells[c][k] for c in cells]) for k in range(3))
    result = metrics.evaluate(p, y, w, spread=spread)
    named = [(code, quality) for code, quality in zip(cells, result.attributes, strict=True) if quality is not None]
    rows = [_row(code, quality, view.state(code), [cells[code]]) for code, quality in named]
    return [*rows, _row(POOLED, result.pooled, "", list(cells.values()))] if len(rows) > 1 else rows


def cross_fitted(view: View, catalog: Catalog, codes: Sequence[str]) -> dict[str, Cells]:
    """Confidence, truth and weight of the labels of each column, by fits that did not see them."""
    answers = settled(catalog.labels(codes))
    single = {c: said for c, said in answers.items() if view.calibration(c).kind != "temperature"}
    given = labelled(view, single, catalog.sample(list(single)))
    fits = fitting.fit(given) if given else {}
    cells: dict[str, Cells] = {}
    for group in exclusive.fits(view, proper(answers)):
        shares = group.held_out if "labels" in view.calibration(group.codes[0]).params else group.unlabelled
        for place, code in enumerate(group.codes):
            truth, even = (group.truth == place).astype(np.float64), np.ones(len(group.truth))
            cells[code] = shares[:, place], truth, even, group.unlabelled[:, place]
    for code, fit in fits.items():
        fitted = base_of(view.calibration(code)).id != view.calibration(code).id
        held = fit.held_out if fitted else fit.unlabelled
        weights = given[code].weights
        even = np.ones(len(held))
        cells[code] = (
            held,
            np.asarray(given[code].truth),
            np.asarray(even if weights is None else weights),
            fit.unlabelled,
        )
    return cells


def against(view: View, catalog: Catalog, truth: Truth) -> dict[str, Cells]:
    """The same against a truth from elsewhere: confidences in use, but cross-fitted where the curve saw the label."""
    fitted = [c for c in truth if c in view.columns and base_of(view.calibration(c)).id != view.calibration(c).id]
    # A temperature is one number for a whole group: what its labels gain from having been seen is next to nothing.
    answers = settled(catalog.labels(fitted)) if fitted else {}
    given = labelled(view, answers, catalog.sample(fitted)) if answers else {}
    fits = fitting.fit(given) if given else {}
    places, bare = view.places, view.unlabelled()
    cells: dict[str, Cells] = {}
    for code, known in truth.items():
        confidence = view.values(code).confidence.copy()
        if code in fits:
            confidence[[places[image] for image in given[code].images]] = fits[code].held_out
        images = [image for image in known if image in places and image not in view.taught]
        rows = np.array([places[image] for image in images], np.intp)
        if len(rows):
            said = np.array([known[i] for i in images], np.float64)
            cells[code] = confidence[rows], said, np.ones(len(rows)), bare.values(code).confidence[rows]
    return cells


def _side_by_side(columns: Sequence[Doubles]) -> Doubles:
    """Columns of different lengths as one table, padded with NaN."""
    table = np.full((max(map(len, columns)), len(columns)), np.nan)
    for k, column in enumerate(columns):
        table[: len(column), k] = column
    return table


def _row(code: str, quality: metrics.Quality, state: str, cells: Sequence[Cells]) -> ColumnEvaluation:
    _, y, w, before = (np.concatenate([c[k] for c in cells]) for k in range(4))
    there = np.isfinite(before) & (w > 0)
    ece, brier = float("nan"), float("nan")
    if there.any():
        before, y, w = before[there], y[there], w[there]
        ece = metrics.expected_calibration_error(before, y, w, bins=quality.bins)
        brier = float(np.average((before - y) ** 2, weights=w))
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
        ece_unlabelled=ece,
        brier_unlabelled=brier,
    )
