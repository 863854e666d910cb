"""`/review`: what a person should look at, and why."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from sextant.survey import KINDS
from sextant.web.access import Read
from sextant.web.gallery import plain_of

router = APIRouter(prefix="/collections/{collection}/review", tags=["review"])


@router.get("")
def review(
    served: Read,
    conflict: Annotated[list[str] | None, Query(max_length=20, description="A rule that no image may satisfy.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 24,
) -> dict[str, Any]:
    """Close calls, contradictions, odd pictures and failing controls, the most telling first."""
    found = served.collection.review(conflicts=conflict or (), limit=limit)
    return {"kinds": dict(KINDS), **plain_of(found)}
