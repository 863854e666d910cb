"""Phrases to columns: which a vocabulary still needs, and their logits from cached vectors, no image decoded.

A column depends on its own prompts and on the encoder alone. What its logits mean is the business of `view`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sextant.background import background_hash, background_prompts
from sextant.database import now
from sextant.errors import ModelError, UsageError
from sextant.maths import calibration as curves
from sextant.maths import logits as maths
from sextant.maths.calibration import Calibration
from sextant.maths.heads import Head
from sextant.maths.rules import ACCEPTED, REJECTED, TENTATIVE, band
from sextant.types import ColumnSummary, Floats, Inspection, Spread
from sextant.vectors import Column, Vectors
from sextant.view import PERSON, View, is_stale
from sextant.vocabulary import Attribute, Derived, Vocabulary, did_you_mean

FAR, HALVINGS = 1e4, 80  # of a logit
DEFAULTS = curves.fixed().params
Texts = Callable[[Sequence[str]], Floats]
Heads = Callable[[str], Head]
"""A light head by its hash."""


@dataclass(frozen=True, slots=True)
class Direction:
    """What an attribute's logits are computed from: a unit vector (dim,), and its negatives (k, dim) or None."""

    positive: Floats
    negatives: Floats | None


def missing(vocabulary: Vocabulary, vectors: Vectors, codes: Sequence[str] | None = None) -> list[Attribute]:
    """The attributes whose column is absent, of other prompts, or without a value for some image.

    `codes` narrows the choice and raises `UsageError` for a code that the vocabulary does not have.
    """
    for code in codes or ():
        if code not in vocabulary:
            raise UsageError(f"no attribute '{code}' in {vocabulary.name}.{did_you_mean(code, vocabulary.codes())}")
    wanted = [a for a in vocabulary.attributes if codes is None or a.code in codes]
    there = vectors.columns()
    current = [a for a in wanted if a.code in there and not is_stale(there[a.code], a)]
    holes = vectors.unknown([a.code for a in current])
    whole = {a.code for a in current if not holes[a.code]}
    return [a for a in wanted if a.code not in whole]


def put(
    vectors: Vectors,
    attributes: Sequence[Attribute],
    texts: Texts,
    heads: Heads,
    scale: float,
    bias: float,
    *,
    spread: Spread | None = None,
) -> int:
    """Computes and writes the columns of these attributes, whole; returns the number of cells."""
    worded = [p for a in attributes if a.head is None for p in (*a.prompts, *a.negatives)]
    if worded:
        texts(list(dict.fromkeys(worded)))  # kept at one go
    directions = {a.code: heads(a.head) if a.head else direction(a, texts) for a in attributes}
    at = now()
    provenance = {
        a.code: {
            "prompt_hash": a.prompt_hash,
            **_learned(directions[a.code]),
            "prompts": list(a.prompts),
            "negatives": list(a.negatives),
            "logit_scale": scale,
            "logit_bias": bias,
            "at": at,
        }
        for a in attributes
    }
    logits = partial(logits_by_code, directions=directions, scale=scale, bias=bias)
    return len(attributes) * vectors.put_columns(provenance, logits, spread)


def renew_background(vectors: Vectors, texts: Texts, scale: float, bias: float) -> bool:
    """Computes the background of every image anew where it is not of today's background prompts; says whether it was.

    Vectors that were brought without their encoder have none until it is at hand.
    """
    held = vectors.metadata()
    if held.get("background_hash") == background_hash():
        return False
    try:
        prompts = texts(background_prompts())
    except ModelError:
        return False
    metadata = {**held, "background_hash": background_hash()}
    vectors.put_background(lambda rows: maths.background(rows, prompts, scale=scale, bias=bias), metadata)
    return True


def direction(attribute: Attribute, texts: Texts) -> Direction:
    """The vectors of an attribute's prompts, averaged on the unit sphere, and of its negatives, kept apart."""
    return directions_of(attribute.prompts, attribute.negatives, texts)


def directions_of(prompts: Sequence[str], negatives: Sequence[str], texts: Texts) -> Direction:
    """The same for prompts that belong to no vocabulary."""
    rows = texts([*prompts, *negatives])
    positive = maths.prompt_vector(rows[: len(prompts)])
    return Direction(positive, rows[len(prompts) :] if negatives else None)


def recorded_direction(column: Column, texts: Texts, heads: Heads) -> Direction | Head:
    """What a stored column was computed from, by its own record: the vectors of its prompts, or a head."""
    if "head" in column.provenance:
        return heads(column.provenance["prompt_hash"])
    return directions_of(column.provenance["prompts"], column.provenance["negatives"], texts)


def scorer(column: Column) -> str:
    """What a stored column was computed from, in words: `prompts`, or a head such as `probe (120 labels)`."""
    head = column.provenance.get("head")
    return f"{head['kind']} ({head['labels']:,} labels)" if head else "prompts"


def _learned(source: Direction | Head) -> dict[str, Any]:
    return {"head": dict(source.about)} if isinstance(source, Head) else {}


def logits_by_code(
    vectors: Floats, directions: Mapping[str, Direction | Head], scale: float, bias: float
) -> dict[str, Floats]:
    """Logits (n,) by code, of vectors (n, dim): those of prompts in one product, those of heads as log-odds."""
    found = {code: head.logits(vectors) for code, head in directions.items() if isinstance(head, Head)}
    worded = {code: d for code, d in directions.items() if isinstance(d, Direction)}
    if worded:
        positives = np.stack([d.positive for d in worded.values()])
        negatives = [d.negatives for d in worded.values()]
        table = maths.logit_matrix(vectors, positives, negatives, scale=scale, bias=bias)
        found |= {code: np.ascontiguousarray(table[:, i]) for i, code in enumerate(worded)}
    return {code: found[code] for code in directions}


def _first(*values: float | None) -> float:
    return next(v for v in values if v is not None)


def summary(view: View, code: str) -> ColumnSummary:
    """One line of `columns`."""
    item = view.describe(code)
    count = np.bincount(view.values(code).band.astype(np.int64) + 1, minlength=4)
    return ColumnSummary(
        code=code,
        label=item.label if item else code,
        kind="derived" if isinstance(item, Derived) else "base" if item else "removed",
        state=view.state(code),
        accepted=int(count[1 + ACCEPTED]),
        tentative=int(count[1 + TENTATIVE]),
        rejected=int(count[1 + REJECTED]),
        unknown=int(count[0]),
        overridden=int((view.source(code) == PERSON).sum()),
        calibration=None if isinstance(item, Derived) else view.calibration(code).id,
        encoder=view.vectors.name,
        trust=trust(view, code),
        scorer=scorer(view.columns[code]) if code in view.columns else "rule" if isinstance(item, Derived) else "",
    )


def trust(view: View, code: str) -> str:
    """The state of a code; from labels, how many and how good: `calibrated (25 labels, ECE .02 ± .01)`."""
    state, record = view.state(code), view.calibrations.get(code)
    if state != "calibrated" or record is None or record.measured.get("ece") is None:
        return state
    ece, low, high = (float(record.measured[name]) for name in ("ece", "ece_low", "ece_high"))
    around = max(high - ece, ece - low)
    return f"{state} ({record.measured['n']:,} labels, ECE {_short(ece)} ± {_short(around)})"


def _short(value: float) -> str:
    return f"{value:.{2 if value >= 0.01 else 3}f}".removeprefix("0")


def inspect(view: View, code: str, *, center: float | None, scale: float | None, bins: int) -> Inspection:
    """A column's logits and what its calibration, or another `fixed` one, makes of them.

    Raises:
        UsageError: the code has no logits of its own.
    """
    if bins < 1:
        raise UsageError(f"a histogram needs at least one bin, not {bins}")
    if code not in view.columns:
        why = "it is derived from others" if isinstance(view.describe(code), Derived) else "run sextant tag"
        raise UsageError(f"'{code}' has no logits of its own: {why}")
    curve, state = view.calibration(code), view.state(code)
    if center is not None or scale is not None:
        held = curve.params if curve.kind == "fixed" else {}
        curve = curves.fixed(
            _first(center, held.get("center"), DEFAULTS["center"]), _first(scale, held.get("scale"), DEFAULTS["scale"])
        )
        state = "what if"
    confidence = view.confidence(code, curve)
    bands = band(confidence, view.thresholds(code))
    figures = maths.statistics(view.logits(code), bins)
    item = view.describe(code)
    edges = _edges(view, code, curve)
    return Inspection(
        code=code,
        prompts=item.prompts if isinstance(item, Attribute) else tuple(view.columns[code].provenance["prompts"]),
        n=figures.n,
        missing=figures.missing,
        min=figures.min,
        mean=figures.mean,
        max=figures.max,
        std=figures.std,
        counts=figures.counts,
        edges=figures.edges,
        calibration={"id": curve.id, "kind": curve.kind, **curve.params},
        state=state,
        accepted=int((bands == ACCEPTED).sum()),
        tentative=int((bands == TENTATIVE).sum()),
        rejected=int((bands == REJECTED).sum()),
        accepted_from=edges[0],
        tentative_from=edges[1],
        scorer=scorer(view.columns[code]),
    )


def _edges(view: View, code: str, curve: Calibration) -> tuple[float | None, float | None]:
    """The logits at which the bands begin, for an image of median background; None where the curve never gets there."""
    if curve.kind == "temperature":
        return None, None
    background = np.nan_to_num(np.nanmedian(view.background)) if len(view) else 0.0

    def starts(p: float) -> float | None:
        low, high = -FAR, FAR
        if not at(low) < p <= at(high):
            return None
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if at(middle) >= p else (middle, high)
        return high

    def at(logit: float) -> float:
        return float(curves.confidence(curve, np.array([logit]), np.array([background]))[0])

    edges = view.thresholds(code)
    return starts(edges.accepted), starts(edges.tentative)
