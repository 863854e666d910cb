"""`/columns`: what the columns are worth, what else they could be, and the labels that make them better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, Query
from numpy.typing import NDArray

from sextant.columns import trust
from sextant.errors import UsageError
from sextant.maths import calibration as curves
from sextant.maths.calibration import Calibration
from sextant.view import View
from sextant.vocabulary import Attribute, Derived, RuleTree, Thresholds
from sextant.web import banding
from sextant.web.access import CallerOf, Label, Read, Write
from sextant.web.answers import ColumnDetail, ColumnLine, Done, Question, Thumb
from sextant.web.gallery import cards, number, plain_of
from sextant.web.served import Served

router = APIRouter(prefix="/collections/{collection}/columns", tags=["columns"])
STEPS = 1000
POINTS = 81
BINS = 60
Number = Annotated[float | None, Query(allow_inf_nan=False, ge=-1e6, le=1e6)]
Scale = Annotated[float | None, Query(allow_inf_nan=False, ge=1e-3, le=1e6)]
Share = Annotated[float | None, Query(ge=0, le=1)]


@router.get("")
def columns(served: Read) -> list[ColumnLine]:
    """Every column: how many images it accepts, how far that can be trusted, and how many there are by the labels."""
    found: list[ColumnLine] = served.kept(
        served.view(), "columns", lambda: [_line(asdict(line)) for line in served.collection.columns()]
    )
    return found


def _line(values: dict[str, Any]) -> ColumnLine:
    estimate = _estimate(values.pop("estimate"))
    values.pop("encoder")
    return ColumnLine(**values, estimate=estimate)


def _estimate(found: dict[str, Any] | None) -> dict[str, float] | None:
    return None if found is None else {name: float(found[name]) for name in ("value", "low", "high", "n")}


@router.get("/{code}")
def column(served: Read, code: str, center: Number = None, scale: Scale = None) -> ColumnDetail:
    """One column: its logits, its curve, and how many images there are from any confidence on.

    With `center` and `scale`, what the column would be with those instead; nothing is changed.
    """
    photos = served.collection
    view = served.view([served.column(code)])
    item = view.describe(code)
    stored = code in view.columns
    what_if = stored and (center is not None or scale is not None)
    looked = photos.inspect(code, center=center, scale=scale, bins=BINS) if stored else None
    curve = curves.fixed(looked.calibration["center"], looked.calibration["scale"]) if what_if and looked else None
    confidence = view.confidence(code, curve) if curve else view.values(code).confidence
    edges = view.thresholds(code)
    answers = photos.catalog.labels([code])
    estimate = photos.count(code)
    prompts = item.prompts if isinstance(item, Attribute) else looked.prompts if looked else ()
    return ColumnDetail(
        code=code,
        label=(item.label if item else None) or code,
        kind="derived" if isinstance(item, Derived) else "base" if item else "removed",
        state="what if" if what_if else view.state(code),
        trust=trust(view, code),
        images=len(view),
        unknown=int(np.isnan(confidence).sum()),
        thresholds={"accepted": edges.accepted, "tentative": edges.tentative},
        at_least=at_least(confidence),
        prompts=list(prompts),
        negatives=list(item.negatives) if isinstance(item, Attribute) else [],
        rule=said(item.rule) if isinstance(item, Derived) else None,
        histogram={"counts": list(looked.counts), "edges": list(looked.edges)} if looked else None,
        curve=_curve(view, curve or view.calibration(code), looked.edges) if looked else [],
        calibration=None if isinstance(item, Derived) else _record(view, code),
        labels={"yes": sum(bool(a.value) for a in answers), "no": sum(not a.value for a in answers)},
        estimate=None if estimate is None else _estimate(asdict(estimate)),
        inspection=plain_of(asdict(looked)) if looked else None,
    )


def said(rule: RuleTree) -> str:
    """A rule in words: `all of earth, none of moon`."""
    parts = {"all of": rule.all_of, "any of": rule.any_of, "none of": rule.none_of}
    texts = {name: ", ".join(p if isinstance(p, str) else f"({said(p)})" for p in held) for name, held in parts.items()}
    return "; ".join(f"{name} {text}" for name, text in texts.items() if text)


def at_least(confidence: NDArray[np.float64]) -> list[int]:
    """How many images have a confidence of at least 0, 0.001, … 1."""
    known = np.sort(confidence[~np.isnan(confidence)])
    edges = np.arange(STEPS + 1) / STEPS
    return [int(n) for n in len(known) - np.searchsorted(known, edges, side="left")]


def _curve(view: View, curve: Calibration, edges: tuple[float, ...]) -> list[list[float]]:
    """Points of a curve over the logits that there are, for an image of median background."""
    if curve.kind == "temperature" or len(edges) < 2 or not np.isfinite(edges[0]):
        return []
    logits = np.linspace(edges[0], edges[-1], POINTS)
    background = np.full(POINTS, float(np.nan_to_num(np.nanmedian(view.background))))
    found = np.asarray(curves.confidence(curve, logits, background))
    return [[float(z), float(p)] for z, p in zip(logits, found, strict=True)]


def _record(view: View, code: str) -> dict[str, Any] | None:
    record = view.calibrations.get(code)
    if record is None:
        return None
    params = {k: v for k, v in record.calibration["params"].items() if isinstance(v, (int, float, str, bool))}
    return plain_of({"id": record.hash, "kind": record.calibration["kind"], "params": params, "at": record.at})  # type: ignore[no-any-return]


@router.get("/{code}/history")
def history(served: Read, code: str) -> list[dict[str, Any]]:
    """Every calibration the column ever had, the newest first."""
    photos = served.collection
    records = photos.catalog.history(photos.vectors.name, served.column(code))
    return [
        {
            "id": record.hash,
            "kind": record.calibration["kind"],
            "at": record.at,
            "measured": {k: v for k, v in plain_of(record.measured).items() if isinstance(v, (int, float))},
        }
        for record in reversed(records)
    ]


@router.get("/{code}/reliability")
def reliability(served: Read, code: str) -> dict[str, Any] | None:
    """ECE, Brier score and the reliability curve on labels that no fit has seen; null without labels."""
    try:
        found = served.collection.evaluate([served.column(code)])
    except UsageError:
        return None
    return plain_of(found[0]) if found else None


@router.get("/{code}/examples")
def examples(
    served: Read,
    code: str,
    accepted: Share = None,
    tentative: Share = None,
    limit: Annotated[int, Query(ge=1, le=50)] = 8,
) -> dict[str, list[Thumb]]:
    """Pictures of every band, and those just above and below each edge; the edges can be tried out."""
    view = served.view([served.column(code)])
    held = view.thresholds(code)
    edges = Thresholds(
        held.accepted if accepted is None else accepted, held.tentative if tentative is None else tentative
    )
    confidence = view.values(code).confidence
    groups = dict(_groups(confidence, edges, limit))
    return {name: cards(served, view, rows, [code]) for name, rows in groups.items()}


def _groups(confidence: NDArray[np.float64], edges: Thresholds, limit: int) -> Iterator[tuple[str, NDArray[np.intp]]]:
    known = np.flatnonzero(~np.isnan(confidence))
    order = known[np.argsort(-confidence[known], kind="stable")]
    p = confidence[order]
    first, second = int((p >= edges.accepted).sum()), int((p >= edges.tentative).sum())
    yield "surest", order[: min(limit, first)]
    yield "just_accepted", order[max(min(limit, first), first - limit) : first]
    yield "just_not_accepted", order[first : min(first + limit, second)]
    yield "just_tentative", order[max(first + limit, second - limit) : second]
    yield "just_rejected", order[second : second + limit]
    yield "surely_not", order[max(second + limit, len(order) - limit) :][::-1]


@router.post("/{code}/queue")
def queue(served: Label, code: str, size: Annotated[int, Body(ge=1, le=500, embed=True)] = 25) -> list[Question]:
    """What is to be labelled next: what is still open, else a new draw of `size`, each with its probability."""
    photos = served.collection
    with served.writing:
        asked = photos.label_open(served.column(code)) or photos.label_next(code, size)
    return [Question(a.id, a.path, a.path.rsplit("/", 1)[-1], number(a.confidence), a.probability) for a in asked]


@router.put("/{code}/labels/{image}")
def label(
    served: Label, caller: CallerOf, code: str, image: str, value: Annotated[bool | None, Body(embed=True)]
) -> Done:
    """A person's yes or no, to calibrate by; null withdraws it."""
    with served.writing:
        served.collection.label(served.image(image), served.column(code), value, person=caller.person)
    return Done()


@router.post("/{code}/calibrate")
def calibrate(served: Label, code: str) -> dict[str, Any]:
    """Fits the column to its labels, and uses the fit only where it does better on labels that it did not see."""
    with served.writing:
        reports = served.collection.calibrate([served.column(code)])
    view = served.view([code])
    report = plain_of(reports[0]) if reports else None
    return {"report": report, "state": view.state(code), "trust": trust(view, code)}


@router.put("/{code}/settings")
def settings(
    served: Write,
    code: str,
    center: Annotated[float, Body(allow_inf_nan=False, ge=-1e6, le=1e6)],
    scale: Annotated[float, Body(allow_inf_nan=False, ge=1e-3, le=1e6)],
) -> Done:
    """Puts `sigmoid((logit − center) / scale)` in use, until somebody undoes it; labels may refine it."""
    with served.writing:
        tuner = served.collection.tuner(served.column(code))
        tuner.set(center, scale)
        tuner.save()
    return Done()


@router.delete("/{code}/settings")
def undo(served: Write, code: str) -> Done:
    """Puts the calibration before this one back in use."""
    with served.writing:
        served.collection.tuner(served.column(code)).undo()
    return Done()


@router.put("/{code}/thresholds")
def thresholds(
    served: Write,
    code: str,
    accepted: Annotated[float, Body(gt=0, le=1)],
    tentative: Annotated[float, Body(gt=0, le=1)],
) -> dict[str, float]:
    """Moves the band edges of a column, in the vocabulary itself; what stands elsewhere in it stays as it is."""
    photos = served.collection
    with served.writing:
        held = photos.current_vocabulary()
        photos.tag(banding.moved(held, served.column(code), Thresholds(accepted, tentative)))
    edges = served.view([code]).thresholds(code)
    return {"accepted": edges.accepted, "tentative": edges.tentative}


__all__ = ["Served", "router"]
