"""`/search`, `/query` and `/facets`: questions whose answers are images."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray

from sextant import facets
from sextant.maths.rules import BAND_NAMES, band
from sextant.types import Hit, SearchResult
from sextant.view import KINDS, View
from sextant.vocabulary import Thresholds
from sextant.web import cursors
from sextant.web.access import CallerOf, Read
from sextant.web.answers import Found, FoundHit, Neighbour
from sextant.web.gallery import Where, checked, number, ordered, plain_of, size_of
from sextant.web.served import Served

router = APIRouter(prefix="/collections/{collection}", tags=["asking"])
STEPS = (60, 240, 1000, 4000)
"""A ranking is worked out in one go so far, and kept; then again, further."""
FACETS = ("format", "camera_model", "taken_at", "tags", "folder", "megapixels")
USUAL = Thresholds()


@router.get("/search")
def search(
    served: Read,
    caller: CallerOf,
    q: Annotated[str, Query(min_length=1, max_length=2000, description="Words, as in `a beach + sunset - 2:people`.")],
    negative: Annotated[list[str] | None, Query(max_length=20, description="What must not be seen.")] = None,
    where: Where = None,
    threshold: Annotated[float, Query(ge=0, le=1)] = 0.0,
    fold: Annotated[bool, Query(description="Show one of several near-duplicates.")] = True,
    expand: bool = True,
    image: Annotated[str | None, Query(max_length=64, description="The id of an image to resemble as well.")] = None,
    likeness: Annotated[float, Query(ge=0, le=1)] = 0.5,
    diversity: Annotated[float, Query(ge=0, le=1)] = 0.0,
    limit: Annotated[int, Query(ge=1, le=500)] = 60,
    cursor: str | None = None,
) -> Found:
    """The images most likely to show what is asked, best first, or `nothing`."""
    options: dict[str, Any] = {"negatives": tuple(negative or ()), "where": where, "threshold": threshold, "fold": fold}
    options |= {"expand": expand, "likeness": likeness, "diversity": diversity}
    options["image"] = served.image(image) if image else None
    question = {"q": q, **options}
    begin = cursors.read(cursor, question)[0] if cursor else 0
    view = served.view()
    result = _ranked(served, view, q, options, begin + limit + 1)
    hits = result.hits[begin : begin + limit]
    more = begin + limit < len(result.hits)
    return Found(
        query=result.query,
        asked=result.asked,
        state=result.state,
        nothing=_is_nothing(result),
        hints=list(result.hints),
        likely=sum(1 for hit in result.hits if (hit.confidence or 0.0) >= USUAL.tentative),
        total=len(result.hits),
        hits=_hits(served, view, hits),
        next=cursors.write(question, begin + limit, hits[-1].id) if more else None,
        impression=None if cursor else _shown(served, result, caller.person),
    )


def _ranked(served: Served, view: View, q: str, options: dict[str, Any], wanted: int) -> SearchResult:
    """A ranking of at least so many hits, where there are so many."""
    limit = next((step for step in STEPS if step >= wanted), max(STEPS))
    found: SearchResult = served.kept(
        view,
        f"search {q!r} {sorted(options.items())!r} {limit}",
        lambda: served.collection.search(q, limit=limit, **options),
    )
    return found


def _is_nothing(result: SearchResult) -> bool:
    """Whether no hit is likely, and nobody has said that one is right."""
    best = max((hit.confidence or 0.0 for hit in result.hits), default=0.0)
    return best < USUAL.tentative and not any(hit.said for hit in result.hits)


def _shown(served: Served, result: SearchResult, person: str) -> str | None:
    """Keeps what was shown, so that what is clicked and picked can be held against it."""
    keep = getattr(served.collection, "shown", None)
    if keep is None or not result.hits or served.collection.catalog.read_only:
        return None
    kept = keep(result, person=person)
    return str(getattr(kept, "id", kept))


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
            folded=[Neighbour(view.find(p) or "", p, p.rsplit("/", 1)[-1], float("nan")) for p in hit.folded],
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
    codes = [name for name in wanted if name not in KINDS]
    view = checked(served, codes, None)
    mask = np.zeros(len(view), np.bool_)
    mask[ordered(served, view, where, None)] = True
    if q:
        mask &= _likely(served, view, q)
    counted: list[dict[str, Any]] = served.kept(
        view, f"facets {q!r} {where!r} {wanted!r} {limit}", lambda: plain_of(facets.count(view, mask, wanted, limit))
    )
    return counted


def _likely(served: Served, view: View, q: str) -> NDArray[np.bool_]:
    confidence = np.nan_to_num(served.collection.score(view, q))
    return np.asarray(confidence >= USUAL.tentative)


__all__ = ["number", "router"]
