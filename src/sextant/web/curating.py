"""`/curations`: the best pictures of the collection for a purpose, looked at again, kept, and what was kept.

What a curation shows is told from its record alone, so that it looks the same today and next year.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from sextant.curate import Gates, Options, scratch
from sextant.curate.scores import Orientation
from sextant.curations import CurationRecord
from sextant.gather import is_url
from sextant.maths.rules import BAND_NAMES, band
from sextant.view import View
from sextant.vocabulary import Thresholds
from sextant.web import thumbs
from sextant.web.access import CallerOf, Read, Write
from sextant.web.gallery import plain_of
from sextant.web.problems import Problem
from sextant.web.served import Served, Unknown

router = APIRouter(prefix="/collections/{collection}", tags=["curating"])
AT_ONCE = 2
"""Curations under way at the same time: each opens hundreds of pictures."""
PATIENCE_SECONDS = 20.0
_running = threading.BoundedSemaphore(AT_ONCE)
Phrase = Annotated[str, Field(min_length=1, max_length=2000)]


class Wish(BaseModel):
    """What is wanted: pictures of the collection for which the rule is true, that show one thing and not another."""

    query: Phrase
    also: list[Phrase] = Field(default_factory=list, max_length=10, description="Other ways to say the query.")
    without: list[Phrase] = Field(default_factory=list, max_length=20, description="What it must not resemble more.")
    where: str | None = Field(default=None, max_length=10_000, description="A rule; candidates are the images it fits.")
    orientation: Orientation | None = None
    least_side: int = Field(default=128, ge=0, le=100_000, description="Of the shorter side, in pixels.")
    least_confidence: float = Field(default=0.05, ge=0, le=1)
    limit: int = Field(default=24, ge=1, le=200)
    fold: bool = Field(default=True, description="Put near-duplicates under the best of them.")


class Chosen(BaseModel):
    """Which pictures of a curation to keep: by rank, or the best that differ, or both."""

    ranks: list[Annotated[int, Field(ge=1, le=10_000)]] = Field(default_factory=list, max_length=1000)
    best: int | None = Field(default=None, ge=1, le=1000)


@dataclass(slots=True)
class Small:
    """A picture that is folded away: a near-duplicate with its cosine, or a candidate that was refused for reasons."""

    image: str
    name: str
    thumb: str | None
    cosine: float | None
    reasons: list[str]


@dataclass(slots=True)
class Card:
    """One picture that was shown. `parts` add up to `score`; `thumb` is null where no picture of it is at hand."""

    rank: int
    image: str
    name: str
    path: str | None
    url: str
    page: str
    licence: str | None
    width: int | None
    height: int | None
    score: float
    parts: list[dict[str, Any]]
    matched: str
    margin: float | None
    confidence: float | None
    band: str
    verdict: dict[str, Any] | None
    remark: str
    alike: list[Small]
    thumb: str | None
    here: bool
    kept: bool


@dataclass(slots=True)
class Origin:
    """Where a picture of a curation comes from, and why it was chosen; `kept_at` is null where it was not kept."""

    image: str
    number: int
    query: str
    phrases: list[str]
    negatives: list[str]
    where: str | None
    encoder: str
    rank: int
    score: float
    parts: list[dict[str, Any]]
    confidence: float | None
    state: str
    url: str
    page: str
    licence: str | None
    fetched_at: str | None
    chosen_at: str
    kept_at: str | None


@dataclass(slots=True)
class Brief:
    """A curation in a list."""

    number: int
    name: str
    query: str
    state: str
    at: str
    shown: int
    kept: int


@dataclass(slots=True)
class Board:
    """A curation: what was asked, what was shown and what refused. `diverse` are ranks, the best that differ first."""

    number: int
    name: str
    query: str
    state: str
    at: str
    encoder: str
    phrases: list[str]
    negatives: list[str]
    where: str | None
    orientation: str | None
    least_side: float | None
    least_confidence: float | None
    limit: int
    candidates: int
    more: int
    skipped: int
    refused: int
    rules: dict[str, int]
    refusals: list[Small]
    notes: list[str]
    diverse: list[int]
    cards: list[Card]


@router.post("/curations", status_code=201)
def choose(served: Read, caller: CallerOf, wish: Wish) -> Board:
    """Chooses the best pictures of the collection, and says why. Nothing is kept but the answer."""
    if not caller.may("write") and waits(served):
        why = "pictures from outside wait to be picked, and a new curation would clear them away"
        raise Problem(403, "The key is not for this", why, "Wait until they were picked, or use a key that may write.")
    options = Options(
        also=wish.also,
        negatives=wish.without,
        limit=wish.limit,
        orientation=wish.orientation,
        gates=Gates(side=wish.least_side, confidence=wish.least_confidence),
        fold=wish.fold,
    )
    if not _running.acquire(timeout=PATIENCE_SECONDS):
        why = f"{AT_ONCE} curations are under way"
        raise Problem(503, "Too busy", why, "Try again in a moment.", (("Retry-After", "10"),))
    try:
        found = served.collection.curate(wish.query, where=wish.where or None, options=options)
    finally:
        _running.release()
    return told(served, recorded(served, found.number))


@router.get("/curations")
def curations(
    served: Read,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="Only those of lower number.")] = None,
) -> list[Brief]:
    """Past curations, the newest first."""
    return briefs(served, limit, before)


@router.delete("/curations/scratch")
def discard(served: Write) -> dict[str, int]:
    """Deletes the pictures from outside that wait to be picked, of every curation."""
    with served.writing:
        return {"discarded": served.collection.discard()}


@router.get("/curations/{number}")
def curation(served: Read, number: int) -> Board:
    """One curation, as it was shown."""
    return told(served, recorded(served, number))


@router.post("/curations/{number}/keep")
def keep(served: Write, number: int, chosen: Chosen) -> dict[str, Any]:
    """Keeps pictures of a curation. Those of the collection stay where they are; others move into `picks/`."""
    record = recorded(served, number)
    with served.writing:
        return plain_of(served.collection.keep(*chosen.ranks, best=chosen.best, curation=record.id))  # type: ignore[no-any-return]


@router.get("/curations/{number}/picks")
def picks(served: Read, number: int) -> list[dict[str, Any]]:
    """What was kept of a curation, with where it came from and how it scored."""
    return plain_of(served.collection.picks(recorded(served, number).id))  # type: ignore[no-any-return]


@router.get("/picks")
def all_picks(served: Read) -> list[dict[str, Any]]:
    """Everything that was kept, of all curations."""
    return plain_of(served.collection.picks())  # type: ignore[no-any-return]


@router.get(
    "/curations/{number}/pictures/{image}",
    responses={200: {"content": {thumbs.MEDIA_TYPE: {}}}},
    response_class=Response,
)
def waiting(served: Read, number: int, image: str) -> Response:
    """A small copy of a picture from outside that waits to be picked. No copy of it is kept."""
    record = recorded(served, number)
    file = scratch.file_in(served.collection.store.root, record.scratch, image)
    if file is None:
        raise Unknown(f"no picture '{image[:80]}' waits in curation {number}")
    try:
        data = file.read_bytes()
    except OSError:
        raise Unknown(f"the picture '{image[:80]}' no longer waits in curation {number}") from None
    return Response(
        thumbs.shrunk(data, thumbs.SIDES["large"], thumbs.MOST_BYTES["large"]), media_type=thumbs.MEDIA_TYPE
    )


def waits(served: Served) -> bool:
    """Whether pictures from outside wait to be picked."""
    return scratch.waits(served.collection.store.root)


def recorded(served: Served, number: int) -> CurationRecord:
    """The record of a curation. Raises `Unknown`."""
    found = served.collection.catalog.curation(number) if 0 < number < 2**53 else None
    if found is None:
        raise Unknown(f"no curation {number} in the collection '{served.name}'")
    return found


def briefs(served: Served, limit: int, before: int | None = None) -> list[Brief]:
    """The newest curations, each with how many were kept."""
    photos = served.collection
    return [
        Brief(r.id, r.name, r.query, r.state, r.at, len(r.shown), len(photos.picks(r.id)))
        for r in photos.catalog.curations(limit, before)
    ]


def origins(served: Served, number: int) -> dict[str, Origin]:
    """Every picture that a curation showed, by image and in the order of ranks. Raises `Unknown`."""
    record = recorded(served, number)
    kept = {pick.image: pick.at for pick in served.collection.picks(number)}
    asked = record.request
    same = ("image", "rank", "score", "page", "licence", "fetched_at")
    return {
        row["image"]: Origin(
            **{name: row[name] for name in same},
            number=record.id,
            query=record.query,
            phrases=asked.get("phrases", [record.query]),
            negatives=asked.get("negatives", []),
            where=asked.get("where"),
            encoder=record.encoder,
            parts=list(row["parts"]),
            confidence=plain_of(row.get("confidence")),
            state=record.state,
            url=row["where"] if is_url(row["where"]) else "",
            chosen_at=record.at,
            kept_at=kept.get(row["image"]),
        )
        for row in record.shown
    }


def told(served: Served, record: CurationRecord) -> Board:
    """A record as the board shows it. Those of older versions know less, and say so by null."""
    asked, outcome = record.request, record.request.get("outcome") or {}
    refused, gates = outcome.get("refused") or {}, asked.get("gates") or {}
    place = _Place(served, record)
    found = {
        "limit": asked.get("limit", len(record.shown)),
        "candidates": outcome.get("candidates", len(record.shown)),
        "rules": refused.get("rules", {}),
        "notes": outcome.get("notes", []),
        "refusals": [place.small(row) for row in refused.get("first", [])],
    }
    return Board(
        number=record.id,
        name=record.name,
        query=record.query,
        state=record.state,
        at=record.at,
        encoder=record.encoder,
        phrases=asked.get("phrases", [record.query]),
        negatives=asked.get("negatives", []),
        where=asked.get("where"),
        orientation=asked.get("orientation"),
        least_side=gates.get("side"),
        least_confidence=gates.get("confidence"),
        more=outcome.get("more", 0),
        skipped=outcome.get("skipped", 0),
        refused=refused.get("count", 0),
        diverse=asked.get("diverse", []),
        cards=place.cards(),
        **found,
    )


class _Place:
    """Where the pictures of a curation are to be had now: in the collection, or waiting in its scratch folder."""

    def __init__(self, served: Served, record: CurationRecord) -> None:
        self.view: View = served.view()
        self.record = record
        self.root = served.collection.store.root
        self.kept = {pick.image for pick in served.collection.picks(record.id)}
        self.base = f"/api/v1/collections/{served.name}"

    def thumb(self, image: str) -> str | None:
        """The address of a small copy."""
        if image in self.view.places:
            return f"{self.base}/images/{image}/thumb"
        if scratch.file_in(self.root, self.record.scratch, image):
            return f"{self.base}/curations/{self.record.id}/pictures/{image}"
        return None

    def small(self, row: Mapping[str, Any]) -> Small:
        """A near-duplicate, or a candidate that was refused."""
        image = row["image"]
        return Small(image, _name(row), self.thumb(image), row.get("similarity"), list(row.get("reasons", [])))

    def cards(self) -> list[Card]:
        """What was shown, best first."""
        confidence = np.array([row.get("confidence", np.nan) for row in self.record.shown], np.float64)
        bands = band(confidence, Thresholds())
        return [self._card(row, BAND_NAMES[int(b)]) for row, b in zip(self.record.shown, bands, strict=True)]

    def _card(self, row: Mapping[str, Any], in_band: str) -> Card:
        image = row["image"]
        at = self.view.places.get(image)
        same = ("rank", "image", "page", "licence", "score", "matched")
        return Card(
            **{name: row[name] for name in same},
            name=_name(row),
            path=None if at is None else str(self.view.paths[at]),
            url=row["where"] if is_url(row["where"]) else "",
            width=row.get("width"),
            height=row.get("height"),
            parts=list(row["parts"]),
            margin=row.get("margin"),
            confidence=plain_of(row.get("confidence")),
            band=in_band,
            verdict=row.get("verdict"),
            remark=row.get("remark", ""),
            alike=[self.small(one) for one in row.get("alike", [])],
            thumb=self.thumb(image),
            here=at is not None,
            kept=image in self.kept,
        )


def _name(row: Mapping[str, Any]) -> str:
    """A title, or the end of a path: never where on this machine a file lies."""
    where: str = row["where"]
    end = where.partition("?")[0].rstrip("/") if is_url(where) else where
    return row.get("title") or end.rsplit("/", 1)[-1] or where


__all__ = ["router"]
