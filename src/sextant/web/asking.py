"""`/search`, `/query` and `/facets`: questions whose answers are images."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from sextant import facets
from sextant.feedback.recording import swapped
from sextant.maths.rules import ACCEPTED, BAND_NAMES, band
from sextant.types import Hit, SearchResult
from sextant.view import KINDS, View
from sextant.vocabulary import Thresholds
from sextant.web import cursors
from sextant.web.access import Read, Visitor
from sextant.web.answers import Found, FoundHit, Neighbour
from sextant.web.gallery import Where, checked, label_of, ordered, plain_of, size_of
from sextant.web.served import Served

router = APIRouter(prefix="/collections/{collection}", tags=["asking"])
STEPS = (125, 500, 2000)
"""A ranking is worked out in one go so far, and kept; then again, further."""
SHOWS = "shows"
"""The facet of all attributes together: which are accepted most often."""
FACETS = (SHOWS, "tags", "camera_model", "taken_at", "format", "folder", "width")
USUAL = Thresholds()
SWAPPED = 60
"""Neighbours may be turned round among the first so many hits, which are the same however far a ranking goes."""


class Asked(BaseModel):
    """A search and its options."""

    q: str = Field(min_length=1, max_length=2000, description="Words, as in `a beach + sunset - 2:people`.")
    negative: list[str] = Field(default_factory=list, max_length=20, description="What must not be seen.")
    where: str | None = Field(default=None, max_length=10_000, description="A rule; only images for which it is true.")
    threshold: float = Field(default=0.0, ge=0, le=1)
    fold: bool = Field(default=True, description="Show one of several near-duplicates.")
    expand: bool = True
    image: str | None = Field(default=None, max_length=64, description="The id of an image to resemble as well.")
    likeness: float = Field(default=0.5, ge=0, le=1)
    diversity: float = Field(default=0.0, ge=0, le=1)


class Search(Asked):
    """A search, and which part of its answer is wanted."""

    limit: int = Field(default=60, ge=1, le=500)
    cursor: str | None = None


@router.get("/search")
def search(served: Read, visitor: Visitor, asked: Annotated[Search, Query()]) -> Found:
    """The images most likely to show what is asked, best first, or `nothing`.

    While an experiment runs, `variant` says by which of its two ways this visitor was answered.
    """
    question = asked.model_dump(exclude={"limit", "cursor"})
    begin = cursors.read(asked.cursor, question)[0] if asked.cursor else 0
    view = served.view()
    result, variant, _ = asked_for(served, asked, visitor, None, begin + asked.limit + 1)
    hits = result.hits[begin : begin + asked.limit]
    more = begin + asked.limit < len(result.hits)
    likely = sum(1 for hit in result.hits if (hit.confidence or 0.0) >= USUAL.tentative)
    return Found(
        query=result.query,
        asked=result.asked,
        state=result.state,
        nothing=_is_nothing(result),
        hints=list(result.hints),
        likely=likely,
        more_likely=0 < likely == len(result.hits),
        total=len(result.hits),
        hits=_hits(served, view, hits),
        next=cursors.write(question, begin + asked.limit, hits[-1].id) if more else None,
        variant=variant,
    )


def asked_for(
    served: Served, asked: Asked, visitor: str, shown: int | None, wanted: int = 1
) -> tuple[SearchResult, str, dict[str, Any]]:
    """The ranking that was asked for, the variant of an experiment that it is, and the options it was made with.

    `shown` cuts it to the first hits. Where the collection is served for learning, neighbours among those that people
    look at are turned round by chance, always the same way for a visitor and a question.
    """
    options = asked.model_dump(exclude={"q", "negative", "limit", "cursor"})
    options |= {"negatives": tuple(asked.negative), "where": asked.where or None}
    options["image"] = served.image(asked.image) if asked.image else None
    variant, changes = _variant(served, visitor)
    options |= {name: value for name, value in changes.items() if name in options}
    result = _ranked(served, asked.q, options, max(wanted, shown or 0))
    if served.swapping and visitor:
        result = _swapped(result, f"{visitor} {asked.q} {sorted(options.items())!r}")
    return (result if shown is None else replace(result, hits=result.hits[:shown])), variant, options


def _swapped(result: SearchResult, seed: str) -> SearchResult:
    head = swapped(replace(result, hits=result.hits[:SWAPPED]), seed=seed)
    return replace(result, hits=(*head.hits, *result.hits[SWAPPED:]))


def _variant(served: Served, visitor: str) -> tuple[str, dict[str, Any]]:
    """The experiment that runs, as this visitor takes part in it."""
    running = [record for record in served.collection.experiments() if record.stopped_at is None] if visitor else []
    if not running:
        return "", {}
    assigned = served.collection.assign(running[-1].name, visitor)
    return assigned.variant, dict(assigned.options)


def _ranked(served: Served, q: str, options: dict[str, Any], wanted: int) -> SearchResult:
    """A ranking of at least so many hits, where there are so many."""
    limit = next((step for step in STEPS if step >= wanted), max(STEPS))
    found: SearchResult = served.kept(
        served.view(),
        f"search {q!r} {sorted(options.items())!r} {limit}",
        lambda: served.collection.search(q, **{**options, "limit": limit}),
    )
    return found


def _is_nothing(result: SearchResult) -> bool:
    """Whether no hit is likely, and nobody has said that one is right."""
    best = max((hit.confidence or 0.0 for hit in result.hits), default=0.0)
    return best < USUAL.tentative and not any(hit.said for hit in result.hits)


def _hits(served: Served, view: View, hits: tuple[Hit, ...]) -> list[FoundHit]:
    sizes = size_of(served, view)
    confidence = np.array([np.nan if hit.confidence is None else hit.confidence for hit in hits], np.float64)
    bands = band(confidence, USUAL)
    return [
        FoundHit(
            id=hit.id,
            path=hit.path,
            name=hit.path.rsplit("/", 1)[-1],
            width=sizes[view.places[hit.id]][0] if hit.id in view.places else None,
            height=sizes[view.places[hit.id]][1] if hit.id in view.places else None,
            cosine=hit.cosine,
            logit=hit.logit,
            confidence=hit.confidence,
            band=BAND_NAMES[int(bands[k])],
            matched=hit.matched,
            margin=hit.margin,
            said=hit.said,
            folded=[Neighbour(view.find(p) or "", p, p.rsplit("/", 1)[-1], None) for p in hit.folded],
        )
        for k, hit in enumerate(hits)
    ]


@router.get("/images/{image}/similar")
def similar(
    served: Read,
    image: str,
    where: Where = None,
    fold: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 60,
) -> Found:
    """The images most like one of the collection; itself is left out."""
    found = served.image(image)
    view = served.view()
    result = served.collection.similar(found, limit=limit, where=where, fold=fold)
    hits = _hits(served, view, result.hits)
    return Found(found, "", result.state, not hits, list(result.hints), 0, len(hits), hits, None)


@router.get("/query")
def query(
    served: Read,
    rule: Annotated[str, Query(min_length=1, max_length=10_000)],
    show: Annotated[str, Query(max_length=2000)] = "",
    sort: Annotated[str | None, Query(max_length=80)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> dict[str, Any]:
    """The images for which a rule is true, as rows of plain values."""
    names = [name for name in show.split(",") if name]
    rows = served.collection.query(rule, show=names, sort=sort, limit=limit)
    return {"names": rows.names, "rows": plain_of(list(rows))}


@router.get("/rule")
def check_rule(served: Read, text: Annotated[str, Query(max_length=10_000)]) -> dict[str, Any]:
    """Whether a rule can be read, and how many images it is true of."""
    view = served.view()
    return {"images": len(ordered(served, view, text or None, None)), "of": len(view)}


@router.get("/facets")
def facet_counts(
    served: Read,
    q: Annotated[str | None, Query(max_length=2000)] = None,
    where: Where = None,
    names: Annotated[str, Query(max_length=2000, description="Facts and codes, joined by commas.")] = ",".join(FACETS),
    limit: Annotated[int, Query(ge=1, le=50)] = 8,
) -> list[dict[str, Any]]:
    """What an answer falls into: for every name its values, how many images have each, and the rule that selects those.

    With `q`, of the images that are more likely than not to show that.
    """
    wanted = [name for name in names.split(",") if name]
    codes = [name for name in wanted if name not in KINDS and name != SHOWS]
    view = checked(served, [*codes, *(served.view().codes() if SHOWS in wanted else ())], None)
    mask = np.zeros(len(view), np.bool_)
    mask[ordered(served, view, where, None)] = True
    if q:
        mask &= _likely(served, view, q)
    counted: list[dict[str, Any]] = served.kept(
        view, f"facets {q!r} {where!r} {wanted!r} {limit}", lambda: _counted(view, mask, wanted, limit)
    )
    return counted


def _counted(view: View, mask: NDArray[np.bool_], wanted: list[str], limit: int) -> list[dict[str, Any]]:
    found = plain_of(facets.count(view, mask, [name for name in wanted if name != SHOWS], limit))
    return [_shows(view, mask, limit), *found] if SHOWS in wanted else found


def _shows(view: View, mask: NDArray[np.bool_], limit: int) -> dict[str, Any]:
    """The attributes that most images of an answer show, but not all: those would narrow nothing."""
    total = int(mask.sum())
    counts = {code: int((view.values(code).band[mask] == ACCEPTED).sum()) for code in view.codes()}
    telling = sorted((code for code, n in counts.items() if 0 < n < total), key=lambda code: (-counts[code], code))
    values = [{"value": label_of(view, code), "count": counts[code], "rule": code} for code in telling[:limit]]
    return {"name": SHOWS, "kind": "attributes", "values": values, "others": 0, "missing": 0}


def _likely(served: Served, view: View, q: str) -> NDArray[np.bool_]:
    confidence = np.nan_to_num(served.collection.score(view, q))
    return np.asarray(confidence >= USUAL.tentative)


__all__ = ["router"]
