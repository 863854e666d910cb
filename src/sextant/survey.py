"""What in a collection a person should look at, and why: close calls, contradictions, odd pictures, failing controls.

Changes nothing: it only reads a view and what people said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sextant.catalog import Catalog
from sextant.maths.rules import ACCEPTED, REJECTED, UNKNOWN, Rule
from sextant.view import PERSON, View
from sextant.vocabulary import Attribute, Derived

CONTROL_SHARE = 0.95
"""The share of images for which a positive control must be accepted, and a negative one must not."""
NEAR = 0.05
"""Confidence this close to a band edge is a close call."""
KINDS: Mapping[str, str] = {
    "conflict": "a rule that must not hold",
    "person": "what people said",
    "medium": "an odd medium",
    "nothing": "nothing accepted",
    "edge": "a close call",
}


@dataclass(frozen=True, slots=True)
class Control:
    """A control of the vocabulary: `accepted` of `n` images, and in words whether that is as it must be."""

    code: str
    kind: str
    n: int
    accepted: int
    failing: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to look at. `kind` is a key of `KINDS`; `urgency` orders those of one kind, the highest first."""

    kind: str
    id: str
    path: str
    code: str
    confidence: float | None
    reason: str
    urgency: float


@dataclass(frozen=True, slots=True)
class Review:
    """The queue, at most so many of a kind; how many there are of each kind; and the controls."""

    items: tuple[Item, ...]
    counts: Mapping[str, int]
    controls: tuple[Control, ...]


def controls(view: View) -> list[Control]:
    """The controls of the vocabulary that have a column: is what must be true accepted, and what cannot be not?"""
    items = view.vocabulary.attributes if view.vocabulary else ()
    return [_control(view, item) for item in items if item.control is not None and item.code in view.columns]


def _control(view: View, item: Attribute) -> Control:
    bands = view.values(item.code).band
    n, accepted = int((bands != UNKNOWN).sum()), int((bands == ACCEPTED).sum())
    right = accepted if item.control == "positive" else n - accepted
    failing = right < CONTROL_SHARE * n
    must = f"at least {CONTROL_SHARE:.0%}" if item.control == "positive" else f"at most {1 - CONTROL_SHARE:.0%}"
    share = f"{accepted / n:.1%}" if n else "none"
    said = f"control '{item.code}' is accepted for {accepted:,} of {n:,} images ({share}); it must be for {must}"
    return Control(item.code, str(item.control), n, accepted, failing, ("FAILS: " if failing else "") + said)


def review(
    view: View, catalog: Catalog, codes: Sequence[str], conflicts: Sequence[tuple[str, Rule]], *, limit: int
) -> Review:
    """What is worth a look among these codes, at most `limit` of a kind, the most telling first.

    `conflicts` are rules that should hold for no image. What people have settled by an override is no close call.
    """
    kinds = {
        "conflict": _conflicts(view, conflicts),
        "person": _people(view, catalog, codes),
        "medium": _medium(view),
        "nothing": _nothing(view, codes),
        "edge": _edges(view, catalog, codes),
    }
    found: list[Item] = []
    counts: dict[str, int] = {}
    for kind, items in kinds.items():
        ranked = sorted(items, key=lambda item: (-item.urgency, item.path, item.code))
        counts[kind] = len(ranked)
        found += ranked[:limit]
    return Review(tuple(found), counts, tuple(controls(view)))


def _item(view: View, kind: str, row: np.intp | int, code: str, reason: str, urgency: float) -> Item:
    """An item for the image in a row of the view."""
    sure = float(view.values(code).confidence[row]) if code in view.codes() else float("nan")
    confidence = None if np.isnan(sure) else sure
    return Item(kind, str(view.ids[row]), str(view.paths[row]), code, confidence, reason, float(urgency))


def _conflicts(view: View, conflicts: Sequence[tuple[str, Rule]]) -> Iterator[Item]:
    for text, rule in conflicts:
        codes = sorted((name for name in rule.names if name in view.codes()), key=text.find)
        for row in np.flatnonzero(view.mask(rule)):
            sure = [float(view.values(code).confidence[row]) for code in codes]
            yield _item(view, "conflict", row, codes[0] if codes else "", f"{text} holds", min(sure, default=0.0))


def _people(view: View, catalog: Catalog, codes: Sequence[str]) -> Iterator[Item]:
    """Where the model is sure of the opposite of what a person said, and where two people differ."""
    said: dict[tuple[str, str], dict[bool, list[str]]] = {}
    words = [(o.image, o.code, bool(o.value), "override") for o in catalog.overrides(codes)]
    words += [(label.image, label.code, bool(label.value), "label") for label in catalog.labels(codes)]
    for image, code, value, what in words:
        if image in view.places:
            said.setdefault((image, code), {}).setdefault(value, []).append(what)
    for (image, code), answers in said.items():
        row = view.places[image]
        if len(answers) > 1:
            yield _item(view, "person", row, code, "two people, or an override and a label, disagree", 2.0)
        elif code in view.columns:
            yield from _doubted(view, row, code, answers)


def _doubted(view: View, row: int, code: str, answers: Mapping[bool, Sequence[str]]) -> Iterator[Item]:
    ((value, whats),) = answers.items()
    p = float(view.confidence(code, view.calibration(code))[row])
    edges = view.thresholds(code)
    if (value and p < edges.tentative) or (not value and p >= edges.accepted):
        word = f"{'yes' if value else 'no'} by {' and '.join(sorted(set(whats)))}"
        yield _item(
            view, "person", row, code, f"{word}, but the model {'rejects' if value else 'accepts'} it", abs(value - p)
        )


def _medium(view: View) -> Iterator[Item]:
    for control in view.vocabulary.attributes if view.vocabulary else ():
        if control.control == "positive" and control.code in view.columns:
            values = view.values(control.code)
            for row in np.flatnonzero((values.band == REJECTED) & (view.source(control.code) != PERSON)):
                reason = f"'{control.label}' should hold for every picture here"
                yield _item(view, "medium", row, control.code, reason, 1 - float(values.confidence[row]))


def _nothing(view: View, codes: Sequence[str]) -> Iterator[Item]:
    """Images for which no attribute is accepted, the least sure first; controls do not count."""
    plain = [c for c in codes if isinstance(a := view.describe(c), Attribute) and a.control is None]
    plain = [c for c in plain if c in view.columns]
    if not plain:
        return
    best, code_of = np.full(len(view), -1.0), np.zeros(len(view), np.intp)
    accepted = np.zeros(len(view), np.bool_)
    for place, code in enumerate(plain):
        values = view.values(code)
        accepted |= values.band == ACCEPTED
        above = values.confidence > best
        best, code_of = np.where(above, values.confidence, best), np.where(above, place, code_of)
    for row in np.flatnonzero(~accepted & (best >= 0)):
        code = plain[code_of[row]]
        yield _item(view, "nothing", row, code, f"no attribute is accepted; '{code}' comes closest", 1 - best[row])


def _edges(view: View, catalog: Catalog, codes: Sequence[str]) -> Iterator[Item]:
    settled = {(label.image, label.code) for label in catalog.labels(codes)}
    for code in codes:
        if isinstance(view.describe(code), Derived) or code not in view.columns:
            continue
        p, edges = view.values(code).confidence, view.thresholds(code)
        gaps = np.stack([np.abs(p - edges.tentative), np.abs(p - edges.accepted)])
        for row in np.flatnonzero((gaps.min(axis=0) <= NEAR) & (view.source(code) != PERSON)):
            if (str(view.ids[row]), code) not in settled:
                name = ("tentative", "accepted")[int(gaps[:, row].argmin())]
                edge = getattr(edges, name)
                reason = f"{abs(p[row] - edge):.3f} {'above' if p[row] >= edge else 'below'} {name} at {edge:.3g}"
                yield _item(view, "edge", row, code, reason, NEAR - gaps[:, row].min())
