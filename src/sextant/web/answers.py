"""What the API answers with: plain dataclasses, from which the OpenAPI description is made. Nothing here computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Thumb:
    """An image as a grid shows it. `confidences` has what was asked to be shown beside it."""

    id: str
    path: str
    name: str
    width: int | None
    height: int | None
    confidences: dict[str, float | None] = field(default_factory=dict)


@dataclass(slots=True)
class Images:
    """A part of the images of a collection, from `offset` on; `next` is a cursor, null at the end."""

    images: list[Thumb]
    total: int
    offset: int
    next: str | None
    out_of_sight: int = 0


@dataclass(slots=True)
class Cell:
    """One attribute of one image. `state` says what the confidence is worth, `source` who says it."""

    code: str
    label: str
    kind: str
    confidence: float | None
    band: str
    state: str
    source: str
    model_confidence: float | None = None
    labels: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Neighbour:
    """An image that resembles another; `cosine` is null where it was not asked for."""

    id: str
    path: str
    name: str
    cosine: float | None


@dataclass(slots=True)
class ImageDetail:
    """Everything that is known of one image."""

    id: str
    path: str
    paths: list[str]
    facts: dict[str, Any]
    cells: list[Cell]
    tags: list[str]
    description: str | None
    stands_for: list[str]
    suppressed_by: str | None


@dataclass(slots=True)
class FoundHit:
    """One hit. `band` is by the usual thresholds; `folded` are near-duplicates that it stands for."""

    id: str
    path: str
    name: str
    width: int | None
    height: int | None
    cosine: float
    logit: float
    confidence: float | None
    band: str
    matched: str
    margin: float | None
    said: bool
    folded: list[Neighbour]


@dataclass(slots=True)
class Found:
    """A ranked answer. `nothing` tells that no hit is likely; `total` counts the hits that can be paged through.

    `more_likely` tells that there may be more likely ones than were ranked so far."""

    query: str
    asked: str
    state: str
    nothing: bool
    hints: list[str]
    likely: int
    total: int
    hits: list[FoundHit]
    next: str | None
    more_likely: bool = False
    variant: str = ""


@dataclass(slots=True)
class ColumnLine:
    """One column of the list: counts by band, and how far it can be trusted."""

    code: str
    label: str
    kind: str
    state: str
    trust: str
    accepted: int
    tentative: int
    rejected: int
    unknown: int
    overridden: int
    calibration: str | None
    scorer: str = "prompts"
    estimate: dict[str, float] | None = None


@dataclass(slots=True)
class ColumnDetail:
    """One column. `at_least[i]` counts the images of confidence ≥ i / 1000, so that band edges can be tried out.

    `histogram` holds the counts of the logits and their edges, `curve` points (logit, confidence) for an image of
    median background.
    """

    code: str
    label: str
    kind: str
    state: str
    trust: str
    images: int
    unknown: int
    thresholds: dict[str, float]
    at_least: list[int]
    prompts: list[str]
    negatives: list[str]
    rule: str | None
    histogram: dict[str, list[float]] | None
    curve: list[list[float]]
    calibration: dict[str, Any] | None
    labels: dict[str, int]
    estimate: dict[str, float] | None
    inspection: dict[str, Any] | None


@dataclass(slots=True)
class Question:
    """An image to be labelled."""

    id: str
    path: str
    name: str
    confidence: float | None
    probability: float


@dataclass(slots=True)
class Done:
    """A change was made. `images` counts what it holds for."""

    done: bool = True
    images: int = 1
