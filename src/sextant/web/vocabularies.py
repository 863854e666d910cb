"""`/vocabulary`: the text, checked as it is typed, and a new phrase tried out on the collection before it is saved."""

from __future__ import annotations

import re
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body
from numpy.typing import NDArray

from sextant import question, search, vocabulary
from sextant.columns import directions_of, logits_by_code
from sextant.errors import UsageError, VocabularyError
from sextant.maths import calibration as curves
from sextant.types import Floats
from sextant.view import View
from sextant.vocabulary import TEMPLATE, Thresholds
from sextant.web.access import Read, Write
from sextant.web.columns import at_least
from sextant.web.gallery import cards, plain_of
from sextant.web.served import Served

router = APIRouter(prefix="/collections/{collection}/vocabulary", tags=["vocabulary"])
MOST_CHARACTERS = 1_000_000
NAME = "vocabulary.yaml"
SHOWN = 12
BINS = 40
TRIED = "tried"
Text = Annotated[str, Body(max_length=MOST_CHARACTERS, embed=True)]
_LINE = re.compile(r"^(?P<name>.*?):(?P<line>\d+)(?::\d+)?: (?P<why>.*)$")


@router.get("")
def current(served: Read) -> dict[str, Any]:
    """The vocabulary that the columns are of."""
    held = served.collection.catalog.vocabulary()
    name, text = held or (NAME, "base_attributes:\n")
    return {"name": name, "text": text, "there": held is not None}


@router.post("/check")
def check(served: Read, text: Text) -> dict[str, Any]:
    """Everything wrong with a vocabulary, by line; of one that is right, what it would change."""
    held = served.collection.catalog.vocabulary()
    try:
        parsed = vocabulary.parse(text, NAME)
    except VocabularyError as error:
        return {"right": False, "problems": [_problem(line) for line in str(error).splitlines() if line.strip()]}
    report = served.collection.tag(parsed, dry_run=True)
    return {
        "right": True,
        "problems": [],
        "codes": list(parsed.codes()),
        "columns": list(report.columns),
        "removed": list(report.kept),
        "changed": held is None or held[1] != text,
    }


def _problem(line: str) -> dict[str, Any]:
    found = _LINE.match(line)
    return {"line": int(found["line"]), "why": found["why"]} if found else {"line": None, "why": line}


@router.put("")
def put(served: Write, text: Text) -> dict[str, Any]:
    """Makes this the vocabulary, and computes the columns that it lacks. The file it came from is not written."""
    held = served.collection.catalog.vocabulary()
    with served.writing:
        report = served.collection.tag(vocabulary.parse(text, held[0] if held else NAME))
    return plain_of(report)  # type: ignore[no-any-return]


@router.post("/preview")
def preview(
    served: Read,
    description: Annotated[str, Body(min_length=1, max_length=1000)],
    negatives: Annotated[list[str] | None, Body(max_length=20)] = None,
    template: Annotated[str | None, Body(max_length=500)] = None,
) -> dict[str, Any]:
    """What a column of this description would be: its confidences, and the pictures it is surest of. Writes nothing."""
    held = served.collection.vocabulary
    shape = template or (held.template if held else TEMPLATE)
    if "{description}" not in shape:
        raise UsageError("a template needs {description} in it, or all would look alike")
    prompt = shape.replace("{description}", description.strip())
    view = served.view()
    logits, confidence, state = tried(served, view, [prompt], [n for n in negatives or () if n.strip()])
    known = np.flatnonzero(~np.isnan(confidence))
    order = known[np.lexsort((-logits[known], -confidence[known]))]
    edges = held.thresholds if held else Thresholds()
    accepted, tentative = (int((confidence >= edge).sum()) for edge in (edges.accepted, edges.tentative))
    counts, bins = np.histogram(confidence[known], BINS, (0.0, 1.0))
    return {
        "prompt": prompt,
        "state": state,
        "images": len(view),
        "accepted": accepted,
        "tentative": tentative - accepted,
        "thresholds": {"accepted": edges.accepted, "tentative": edges.tentative},
        "histogram": {"counts": counts.tolist(), "edges": bins.tolist()},
        "at_least": at_least(confidence),
        "best": _cards(served, view, order[:SHOWN], confidence),
        "edge": _cards(served, view, order[max(0, accepted - 3) : accepted + 3], confidence),
    }


def tried(
    served: Served, view: View, prompts: list[str], negatives: list[str]
) -> tuple[Floats, NDArray[np.float64], str]:
    """Logits and confidences (n,) of a column that does not exist, exactly as `tag` would make it, and its state."""
    photos = served.collection
    direction = directions_of(prompts, negatives, photos.phrases())
    scale, bias = photos.scale
    kept = search.resident(photos, view)
    if kept is not None:
        found = logits_by_code(kept.matrix, {TRIED: direction}, scale, bias)[TRIED]
        logits = np.where(kept.place >= 0, found[kept.place], np.float32(np.nan)) if len(found) else found
    else:
        import pyarrow as pa

        parts = [
            (ids, logits_by_code(rows, {TRIED: direction}, scale, bias)[TRIED])
            for ids, rows in photos.vectors.batches()
        ]
        ids = pa.concat_arrays([names for names, _ in parts])
        logits = view.aligned(ids, np.concatenate([values for _, values in parts]))
    unlabelled = question.unlabelled(photos, view)
    curve = unlabelled.curve(logits, view.background)
    confidence = np.array(curves.confidence(curve, logits, view.background), np.float64)
    return logits, confidence, "prior" if unlabelled.known else "uncalibrated"


def _cards(served: Served, view: View, rows: NDArray[np.intp], confidence: NDArray[np.float64]) -> list[dict[str, Any]]:
    found = plain_of(cards(served, view, rows, []))
    for card, row in zip(found, rows.tolist(), strict=True):
        card["confidence"] = float(confidence[row])
    return found  # type: ignore[no-any-return]
