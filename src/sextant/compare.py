"""The same logits read in many ways, side by side: fixed curves, softmax, negatives, margins, prior and labels.

Changes nothing. What a softmax or a margin says of an attribute depends on which other attributes there are; the notes
say by how much. Everything else judges each attribute by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sextant import evaluation, prior
from sextant.answers import labelled, settled
from sextant.background import background_prompts
from sextant.edges import Edges
from sextant.errors import ModelError, UsageError
from sextant.maths import calibration as curves
from sextant.maths import logits as maths
from sextant.maths.calibration import base_of, sigmoid
from sextant.maths.fitting import Labelled
from sextant.maths.rules import ACCEPTED, REJECTED, TENTATIVE, UNKNOWN, band
from sextant.tables import steadily
from sextant.view import View

Doubles = NDArray[np.float64]
Way = Callable[[str], Doubles]

FIXED = ((25.5, 1.5), (22.0, 3.0), (28.0, 1.5))
IN_USE = "in use"


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to read one column, or `*` all of them: how many images fall into each band.

    `brier` is over the `n` labels, weighted, None without any; for what is in use, by fits that did not see them.
    """

    code: str
    setting: str
    accepted: int
    tentative: int
    rejected: int
    unknown: int
    n: int
    brier: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every setting for every code and for all together, and what is to be said about them."""

    settings: tuple[Setting, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rivals:
    """What else could be said of each image (n,): of the attributes, and of everyday phrases where known."""

    codes: tuple[str, ...]
    best: Doubles
    second: Doubles
    first: NDArray[np.intp]
    total: Doubles  # log of the sum of exponentials over the attributes
    phrases: int
    phrase_best: Doubles | None
    phrase_total: Doubles | None


def compare(edges: Edges, codes: Sequence[str] | None) -> Comparison:
    """The settings side by side, for these attributes or all that have a column."""
    every = [a.code for a in edges.current_vocabulary().attributes]
    view = edges.view_of([*every, *(codes or ())])
    known = [code for code in every if code in view.columns]
    wanted = [c for c in (codes or known) if c in view.columns]
    if not wanted:
        raise UsageError("there is no column to compare settings for; make some with: sextant tag")
    rivals = _rivals(edges, view, known)
    answers = settled(edges.catalog.labels(wanted))
    given = labelled(view, answers, edges.catalog.sample(list(answers)))
    ways = _ways(edges, view, rivals)
    found = [_setting(view, code, name, way(code), given.get(code)) for name, way in ways.items() for code in wanted]
    found = _with_held_out(found, evaluation.cross_fitted(view, edges.catalog, wanted) if answers else {})
    if len(wanted) > 1:
        found = [row for name in ways for row in (*(r for r in found if r.setting == name), _pooled(name, found))]
    return Comparison(tuple(found), tuple(_notes(rivals)))


def _ways(edges: Edges, view: View, rivals: Rivals) -> dict[str, Way]:
    """Every setting: from a code to confidences (n,)."""
    unlabelled = prior.Unlabelled(edges)

    def logits(code: str) -> Doubles:
        return np.asarray(view.logits(code), np.float64)

    def by_prior(code: str) -> Doubles:
        curve = base_of(view.calibration(code))
        if curve.kind != "prior":
            curve = unlabelled.curve(view.logits(code), view.background)
        return view.confidence(code, curve)

    def margin(code: str) -> Doubles:
        own = rivals.codes.index(code) if code in rivals.codes else -1
        return sigmoid(logits(code) - np.where(rivals.first == own, rivals.second, rivals.best))

    ways: dict[str, Way] = {
        f"fixed({c:g}, {s:g})": lambda code, c=c, s=s: view.confidence(code, curves.fixed(c, s))  # type: ignore[misc]
        for c, s in FIXED
    }
    ways[f"softmax over {len(rivals.codes)} attributes"] = lambda code: np.exp(logits(code) - rivals.total)
    if rivals.phrase_total is not None and rivals.phrase_best is not None:
        both, generic = np.logaddexp(rivals.total, rivals.phrase_total), rivals.phrase_best
        ways[f"softmax with {rivals.phrases} everyday phrases"] = lambda code: np.exp(logits(code) - both)
        ways["against the best everyday phrase"] = lambda code: sigmoid(logits(code) - generic)
    if len(rivals.codes) > 1:
        ways["margin to the best other attribute"] = margin
    if unlabelled.known:
        ways["prior"] = by_prior
    ways[IN_USE] = lambda code: view.confidence(code, view.calibration(code))
    return ways


def _rivals(edges: Edges, view: View, codes: Sequence[str]) -> Rivals:
    n = len(view)
    best, second, total = np.full(n, -np.inf), np.full(n, -np.inf), np.full(n, -np.inf)
    first = np.full(n, -1, np.intp)
    for place, code in enumerate(codes):
        z = np.asarray(view.logits(code), np.float64)
        total = np.logaddexp(total, z)
        above = z > best
        second = np.where(above, best, np.maximum(second, z))
        first = np.where(above, place, first)
        best = np.fmax(best, z)
    phrases = _phrases(edges, view)
    return Rivals(tuple(codes), best, second, first, total, len(background_prompts()), *(phrases or (None, None)))


def _phrases(edges: Edges, view: View) -> tuple[Doubles, Doubles] | None:
    """The greatest logit, and the log of the sum of exponentials, over everyday phrases; None without an encoder."""
    try:
        prompts = edges.phrases()(background_prompts())
    except ModelError:
        return None
    scale, bias = edges.scale

    def read() -> tuple[Doubles, Doubles]:
        best, total = np.full(len(view), np.nan), np.full(len(view), np.nan)
        for names, rows in edges.vectors.batches():
            ids = names.to_pylist()
            z = np.asarray(maths.logit_matrix(rows, prompts, scale=scale, bias=bias), np.float64)
            here = [k for k, image in enumerate(ids) if image in view.places]
            places = [view.places[ids[k]] for k in here]
            best[places] = z[here].max(axis=1)
            total[places] = np.logaddexp.reduce(z[here], axis=1)
        return best, total

    return steadily(read)


def _setting(view: View, code: str, name: str, confidence: Doubles, given: Labelled | None) -> Setting:
    bands = band(confidence, view.thresholds(code))
    accepted, tentative, rejected, unknown = (int((bands == b).sum()) for b in (ACCEPTED, TENTATIVE, REJECTED, UNKNOWN))
    if given is None:
        return Setting(code, name, accepted, tentative, rejected, unknown, 0, None)
    p = confidence[[view.places[image] for image in given.images]]
    brier = _brier(p, np.asarray(given.truth), np.asarray(given.weights))
    return Setting(code, name, accepted, tentative, rejected, unknown, len(p), brier)


def _brier(p: Doubles, truth: Doubles, weights: Doubles) -> float | None:
    there = np.isfinite(p)
    if not there.any():
        return None
    return float(np.average((p - truth)[there] ** 2, weights=np.broadcast_to(weights, p.shape)[there]))


def _with_held_out(found: Sequence[Setting], cells: Mapping[str, evaluation.Cells]) -> list[Setting]:
    """What is in use may have been fitted to the labels: its figure comes from fits that did not see them."""
    rows = []
    for row in found:
        if row.setting == IN_USE and row.code in cells:
            rows.append(replace(row, brier=_brier(*cells[row.code][:3])))
        else:
            rows.append(row)
    return rows


def _pooled(name: str, found: Sequence[Setting]) -> Setting:
    rows = [row for row in found if row.setting == name and row.code != evaluation.POOLED]
    judged = [(row.brier, row.n) for row in rows if row.brier is not None and row.n]
    brier = sum(b * n for b, n in judged) / sum(n for _, n in judged) if judged else None
    return Setting(
        code=evaluation.POOLED,
        setting=name,
        accepted=sum(row.accepted for row in rows),
        tentative=sum(row.tentative for row in rows),
        rejected=sum(row.rejected for row in rows),
        unknown=sum(row.unknown for row in rows),
        n=sum(n for _, n in judged),
        brier=brier,
    )


def _notes(rivals: Rivals) -> list[str]:
    if rivals.phrase_total is None:
        return ["the encoder is not at hand, so nothing was compared with everyday phrases"]
    alone = np.exp(rivals.best - rivals.total)
    thinned = np.exp(rivals.best - np.logaddexp(rivals.total, rivals.phrase_total))
    before, after = (float(np.nanmedian(p)) if len(p) else float("nan") for p in (alone, thinned))
    return [
        f"softmax: an image's best attribute gets {before:.3f} (median) among {len(rivals.codes)} attributes, and "
        f"{after:.3f} once {rivals.phrases} everyday phrases join them, though no image changed; "
        "a fixed curve, the prior and what is in use stay the same"
    ]


__all__ = ["Comparison", "Setting", "compare"]
