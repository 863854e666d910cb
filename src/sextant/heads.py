"""Light heads: labels of a collection become the scorer of an attribute's column, on the vectors that are there.

No image is read and nothing is trained but a few hundred numbers. A head is used only where, on labels that it did not
see, its calibrated column does better than the one in use and ranks no worse. Knows nothing of how heads are fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sextant import columns, extract
from sextant import tag as tagging
from sextant.answers import labelled, settled
from sextant.calibrate import calibrate
from sextant.edges import Edges
from sextant.errors import ModelError, UsageError
from sextant.maths import calibration as curves
from sextant.maths import fitting
from sextant.maths.fitting import Fit, Labelled
from sextant.maths.metrics import average_precision
from sextant.types import Floats
from sextant.view import View
from sextant.vocabulary import Attribute

if TYPE_CHECKING:
    from sextant.maths.heads import Head
    from sextant.maths.probing import Kind

Doubles = NDArray[np.float64]
WORSE = 0.02
"""So much average precision may a head lose on labels that it did not see: as much is chance."""


@dataclass(frozen=True, slots=True)
class HeadReport:
    """What a head came to. Every figure is on labels that neither head nor calibration saw, of the column in use before
    and of the head's; `applied` says whether the head is in use now, `reason` why not.
    """

    code: str
    kind: str
    n: int
    positives: int
    applied: bool
    reason: str
    precision_before: float
    precision_after: float
    brier_before: float
    brier_after: float
    nll_before: float
    nll_after: float


@dataclass(frozen=True, slots=True)
class HeadState:
    """A head in use: from how many labels, how many there are now, and what it was measured to be worth then."""

    code: str
    kind: str
    n: int
    positives: int
    labels_now: int
    state: str
    measured: Mapping[str, float]
    at: str


def fit(edges: Edges, codes: Sequence[str], *, kind: Kind = "probe", always: bool = False) -> list[HeadReport]:
    """Learns a head for each attribute from its labels; those that do better judge their columns from now on.

    `always` takes them into use even where they do not.

    Raises:
        UsageError: an attribute that is unknown, derived or in an exclusive group, or has too few labels.
    """
    from sextant.maths import probing

    answered = {label.image for label in edges.catalog.labels(codes)}
    view = extract.view(edges, codes, answered)
    _usable(view, codes)
    answers = settled(edges.catalog.labels(codes))
    given = labelled(view, {c: answers[c] for c in codes if c in answers}, edges.catalog.sample(list(codes)))
    said = sorted({image for item in given.values() for image in item.images})
    names, rows = edges.vectors.some(said) if said else ([], np.zeros((0, edges.vectors.dim), np.float32))
    truth, weights = _table(given, codes, names)
    short = probing.codes_short(truth, codes, kind)
    if short:
        least = probing.LEAST[kind]
        raise UsageError(
            f"a {kind} needs {least} images labelled yes and {least} labelled no; too few have {', '.join(short)}. "
            f"Label some: sextant label ask {short[0].split(' ')[0]}"
            + ("" if kind == "prototypes" else ", or make do with --kind prototypes")
        )
    heads = probing.fit(rows, truth, weights, _anchors(edges, view, codes), kind=kind)
    reports, chosen = _compared(given, codes, heads, names, rows, always=always)
    _install(edges, chosen)
    return reports


def _usable(view: View, codes: Sequence[str]) -> None:
    if not codes:
        raise UsageError("name the attributes to learn heads for")
    for code in codes:
        item = view.describe(code)
        if not isinstance(item, Attribute):
            raise UsageError(f"'{code}' is no attribute of the vocabulary, so there is nothing to learn a head for")
        if item.group is not None:
            raise UsageError(
                f"'{code}' shares a softmax with the others of its group '{item.group}', and a head's logits do not "
                "compare with those of prompts. Take it out of the group first"
            )
        if code not in view.columns or view.state(code) == "stale":
            raise UsageError(f"'{code}' has no column of today's prompts; compute it first: sextant tag")


def _table(given: Mapping[str, Labelled], codes: Sequence[str], names: Sequence[str]) -> tuple[Doubles, Doubles]:
    """Truth and weights (n, c) of the images in `names`; NaN where nobody said."""
    place = {image: row for row, image in enumerate(names)}
    truth, weights = np.full((len(names), len(codes)), np.nan), np.ones((len(names), len(codes)))
    for k, code in enumerate(codes):
        item = given.get(code)
        if item is None:
            continue
        there = [n for n, image in enumerate(item.images) if image in place]
        rows = [place[item.images[n]] for n in there]
        truth[rows, k] = np.asarray(item.truth)[there]
        if item.weights is not None:
            weights[rows, k] = np.asarray(item.weights)[there]
    return truth, weights


def _anchors(edges: Edges, view: View, codes: Sequence[str]) -> Floats | None:
    """The directions (c, dim) of the attributes' words; None where no encoder is at hand to say them."""
    try:
        items = [item for code in codes if isinstance(item := view.describe(code), Attribute)]
        return np.stack([columns.direction(item, edges.phrases()).positive for item in items])
    except ModelError:
        return None


def _compared(
    given: Mapping[str, Labelled], codes: Sequence[str], heads: Sequence[Head], names: Sequence[str], rows: Floats, *,
    always: bool,
) -> tuple[list[HeadReport], dict[str, tuple[Head, dict[str, float]]]]:  # fmt: skip
    """What each head is worth beside the column in use, both calibrated by labels that they are not measured on."""
    said: dict[str, Labelled] = {}
    place = {image: row for row, image in enumerate(names)}
    for code, head in zip(codes, heads, strict=True):
        logits, item = head.logits(rows), given[code]
        own = [logits[place[image]] if image in place else np.nan for image in item.images]
        said[code] = Labelled(curves.native(), item.images, np.array(own), item.truth, None, item.weights)
    before, after = fitting.fit(given), fitting.fit(said)
    reports, chosen = [], {}
    for code, head in zip(codes, heads, strict=True):
        found = _report(code, head, (before[code], after[code]), (given[code], said[code]), always=always)
        reports.append(found)
        if found.applied:
            names_ = ("precision_before", "precision_after", "brier_before", "brier_after", "nll_before", "nll_after")
            chosen[code] = head, {name: float(getattr(found, name)) for name in names_}
    return reports, chosen


def _report(
    code: str, head: Head, fits: tuple[Fit, Fit], said: tuple[Labelled, Labelled], *, always: bool
) -> HeadReport:
    before, after = fits
    ranked = [_ranked(item) for item in said]
    better = after.brier[0] <= before.brier[0] and after.nll[0] <= before.nll[0] and ranked[1] >= ranked[0] - WORSE
    return HeadReport(
        code=code,
        kind=head.kind,
        n=int(head.about["labels"]),
        positives=int(head.about["positives"]),
        applied=better or always,
        reason="" if better else "no better on labels that it did not see",
        precision_before=float(ranked[0]),
        precision_after=float(ranked[1]),
        brier_before=before.brier[0],
        brier_after=after.brier[0],
        nll_before=before.nll[0],
        nll_after=after.nll[0],
    )


def _ranked(item: Labelled) -> float:
    """Average precision of the logits."""
    logits, truth = np.asarray(item.logits, np.float64), np.asarray(item.truth, np.float64)
    there = np.isfinite(logits)
    weights = None if item.weights is None else np.asarray(item.weights)[there]
    return average_precision(logits[there], truth[there], weights)


def _install(edges: Edges, chosen: Mapping[str, tuple[Head, dict[str, float]] | None]) -> None:
    """Puts heads, or with None the prompts, in use: columns are written anew and calibrated from the same labels."""
    if not chosen:
        return
    edges.catalog.put_heads(edges.vectors.name, chosen)
    tagging.tag(edges, edges.current_vocabulary(), codes=list(chosen))
    if edges.catalog.labels(list(chosen), thumbs=False):
        calibrate(edges, list(chosen))


def heads(edges: Edges) -> list[HeadState]:
    """The heads in use, by code."""
    held = edges.catalog.heads(edges.vectors.name)
    view = edges.view(held)
    now: dict[str, int] = {}
    for label in edges.catalog.labels(list(held)):
        now[label.code] = now.get(label.code, 0) + 1
    return [
        HeadState(code, r.head.kind, int(r.head.about["labels"]), int(r.head.about["positives"]), now.get(code, 0),
                  columns.trust(view, code), r.measured, r.at)
        for code, r in held.items()
    ]  # fmt: skip


def drop(edges: Edges, codes: Sequence[str]) -> list[str]:
    """Lets the prompts judge these attributes again; returns those that had a head."""
    held = edges.catalog.head_hashes(edges.vectors.name)
    unknown = [code for code in codes if code not in edges.codes()]
    if unknown:
        raise UsageError(f"no attribute '{unknown[0]}'")
    gone = [code for code in codes if code in held]
    _install(edges, dict.fromkeys(gone))
    return gone


def carry(now: Edges, ahead: Edges) -> list[str]:
    """Learns the heads of the encoder in use anew for the one that comes, from the same labels.

    A head whose labels do not suffice any more stays behind. Returns the codes that were learned.
    """
    there, done = set(ahead.vectors.columns()), []
    for code, record in now.catalog.heads(now.vectors.name).items():
        if code not in there:
            continue
        kind: Kind = "prototypes" if record.head.kind == "prototypes" else "probe"
        try:
            fit(ahead, [code], kind=kind)
        except UsageError:
            continue
        done.append(code)
    return done
