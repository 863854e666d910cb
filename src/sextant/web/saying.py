"""What people say of an image or an answer: overrides, tags, a description, a thumb."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field

from sextant.feedback.recording import Context
from sextant.web.access import CallerOf, Label, Read, Visitor, Write
from sextant.web.answers import Done
from sextant.web.asking import Asked, asked_for
from sextant.web.gallery import plain_of
from sextant.web.served import Served, Unknown

router = APIRouter(prefix="/collections/{collection}", tags=["saying"])


class Words(BaseModel):
    """Changes to what people say of an image in words."""

    tags: list[Annotated[str, Field(max_length=100)]] = Field(default_factory=list, max_length=100)
    untag: list[Annotated[str, Field(max_length=100)]] = Field(default_factory=list, max_length=100)
    description: str | None = Field(default=None, max_length=5000)


class Event(BaseModel):
    """What a person made of one image of an answer, or of a column; `key` names the event, so that it counts once."""

    kind: Literal["clicked", "picked", "up", "down"]
    image: str = Field(max_length=64)
    impression: int | None = Field(default=None, ge=1, le=2**53)
    code: str | None = Field(default=None, max_length=80)
    reason: str | None = Field(default=None, max_length=1000)
    key: str | None = Field(default=None, max_length=200)


class Way(BaseModel):
    """One way to answer: the options of a search that differ from what the gallery asks for."""

    model_config = ConfigDict(extra="forbid")
    diversity: float = Field(default=0.0, ge=0, le=1)
    fold: bool = True
    expand: bool = True
    threshold: float = Field(default=0.0, ge=0, le=1)


class Comparison(BaseModel):
    """An experiment: two ways to answer, and the share of people who get `b`."""

    name: str = Field(min_length=1, max_length=100)
    a: Way = Field(default_factory=Way)
    b: Way
    share: float = Field(default=0.5, gt=0, lt=1)


@router.put("/images/{image}/overrides/{code}")
def override(
    served: Label,
    caller: CallerOf,
    image: str,
    code: str,
    value: Annotated[bool | None, Body()],
    note: Annotated[str | None, Body(max_length=1000)] = None,
) -> Done:
    """A person's final word on one attribute of one image; null withdraws it."""
    with served.writing:
        images = served.collection.override(
            served.image(image), served.column(code), value, person=caller.person or None, note=note
        )
    return Done(images=images)


@router.patch("/images/{image}/words")
def words(served: Label, image: str, said: Words) -> dict[str, Any]:
    """Adds and takes off tags, and sets the description; an empty one removes it."""
    found = served.image(image)
    with served.writing:
        served.collection.describe(found, tags=said.tags, untag=said.untag, description=said.description)
    catalog = served.collection.catalog
    return {"tags": catalog.tags([found]).get(found, []), "description": catalog.descriptions().get(found)}


@router.post("/impressions")
def impression(
    served: Read,
    visitor: Visitor,
    asked: Asked,
    shown: Annotated[int, Body(ge=1, le=1000)] = 60,
    start: Annotated[int, Body(ge=0, le=1000)] = 0,
    continues: Annotated[int | None, Body(ge=1, le=2**53)] = None,
    key: Annotated[str | None, Body(max_length=200)] = None,
) -> dict[str, int]:
    """Keeps that a person saw `shown` hits of an answer, so that clicks and picks can be held against it.

    Who looks further tells of a page more: its `start`, and the number of the impression that it `continues`.
    """
    result, variant, options = asked_for(served, asked, visitor, start + shown)
    result = replace(result, hits=result.hits[start:])
    kept = {name: value for name, value in options.items() if value not in (None, (), 0.0)}
    context = Context(person=visitor, variant=variant, options=kept, start=start, continues=continues, key=key)
    return {"impression": served.collection.shown(result, context)}


@router.post("/feedback")
def feedback(served: Label, visitor: Visitor, event: Event) -> dict[str, int]:
    """Keeps a click, a pick or a thumb, on the disk before this answers; a thumb on a column is a label."""
    given = event.model_dump(exclude={"kind", "image"})
    return {"event": served.collection.feedback(event.kind, served.image(event.image), person=visitor, **given)}


@router.get("/feedback/metrics")
def metrics(served: Read, since: Annotated[str | None, Query(pattern=r"^\d{4}-\d\d-\d\d$")] = None) -> dict[str, Any]:
    """Selection rate, mean rank of the selected, and rate of empty answers: in all, by variant, by day."""
    return plain_of(served.collection.metrics(since=since))  # type: ignore[no-any-return]


@router.get("/feedback/negatives")
def negatives(served: Read, q: Annotated[str, Query(min_length=1, max_length=2000)]) -> dict[str, Any]:
    """What a question should leave out, by the pictures that got a thumb down in its answers."""
    return plain_of(served.collection.suggest_negatives(q))  # type: ignore[no-any-return]


@router.get("/feedback/experiments")
def experiments(served: Read) -> list[dict[str, Any]]:
    """Every experiment, with how it stands."""
    photos = served.collection
    return [plain_of(photos.experiment(record.name)) for record in photos.experiments()]


@router.post("/feedback/experiments", status_code=201)
def start(served: Write, asked: Comparison) -> Done:
    """Starts to answer a share of people in another way; every visitor always gets the same one of the two."""
    a, b = (way.model_dump(exclude_unset=True) for way in (asked.a, asked.b))
    with served.writing:
        served.collection.start_experiment(asked.name, a, b, share=asked.share)
    return Done()


@router.post("/feedback/experiments/{name}/stop")
def stop(served: Write, name: str) -> Done:
    """Ends an experiment. What was measured stays."""
    if name not in {record.name for record in served.collection.experiments()}:
        raise Unknown(f"no experiment '{name[:80]}' in the collection '{served.name}'")
    with served.writing:
        served.collection.stop_experiment(name)
    return Done()


@router.post("/feedback/learn")
def learn(served: Write, dry_run: Annotated[bool, Body(embed=True)] = True) -> dict[str, Any]:
    """Learns weights of a ranking from what was selected; they are used only where they rank better."""
    with served.writing:
        return plain_of(served.collection.learn(dry_run=dry_run))  # type: ignore[no-any-return]


__all__ = ["Served", "router"]
