"""What was shown and what people made of it, checked and kept: on the disk before the call returns.

Knows nothing of what is concluded from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.events import Event, Impression
from sextant.types import Hit, SearchResult
from sextant.vocabulary import Derived, Thresholds, did_you_mean

KINDS = ("clicked", "picked", "up", "down")
THUMBS = ("up", "down")
MOST_CHARACTERS = {"reason": 1000, "person": 200, "key": 200, "variant": 200}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """How an answer came about: who saw it, by which `options` of a search, as which `variant` of an experiment.

    `key` is the caller's own name for this impression, so that a repeated request counts once. A later page has the
    number of the first one in `continues`, and in `start` how many hits were shown before it.
    """

    person: str = ""
    variant: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    start: int = 0
    continues: int | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        _short(person=self.person, variant=self.variant, key=self.key)
        if self.start < 0 or (self.start > 0) != (self.continues is not None):
            raise UsageError("a later page says both where it starts and which impression it continues")


def shown(edges: Edges, result: SearchResult, context: Context) -> int:
    """Keeps an answer as a person saw it; returns the impression's number.

    Raises:
        UsageError: there is no impression to continue, or the key belongs to another one.
    """
    if context.continues is not None and edges.catalog.impression(context.continues) is None:
        raise UsageError(f"no impression {context.continues} that this page could continue")
    return edges.catalog.put_impression(
        Impression(
            query=result.query,
            hits=[_kept(hit) for hit in result.hits],
            options=context.options,
            state=result.state,
            variant=context.variant,
            person=context.person,
            nothing_here=not context.start and nothing_here(result),
            start=context.start,
            continues=context.continues,
            key=context.key,
        )
    )


def nothing_here(result: SearchResult) -> bool:
    """Whether an answer has no hit, or only such as are not even likely and that nobody's words name."""
    if any(hit.said or hit.confidence is None for hit in result.hits):
        return False
    return all((hit.confidence or 0.0) < Thresholds().tentative for hit in result.hits)


def _kept(hit: Hit) -> dict[str, Any]:
    more: dict[str, Any] = {"said": True} if hit.said else {}
    more |= {"folded": len(hit.folded)} if hit.folded else {}
    return {"id": hit.id, "confidence": hit.confidence, **more}


def swapped(result: SearchResult, *, seed: int | str) -> SearchResult:
    """The same answer with some neighbours swapped at random, so that the log tells where people look.

    Hits stand in pairs, from the first or from the second on, and each pair is turned round half of the time
    (FairPairs; Radlinski and Joachims 2006): nothing moves by more than one place. Show, and record, what this returns.
    """
    numbers, hits = Random(str(seed)), list(result.hits)  # noqa: S311 – no secret
    for place in range(numbers.randrange(2), len(hits) - 1, 2):
        if numbers.random() < 0.5:
            hits[place], hits[place + 1] = hits[place + 1], hits[place]
    return replace(result, hits=tuple(hits))


def record(edges: Edges, event: Event) -> int:
    """Keeps what a person made of one image; returns the event's number. A thumb on a column becomes a label.

    The image is named by id or path. Raises:
        UsageError: an unknown kind, image, impression or column, or something that does not go together.
    """
    return edges.catalog.put_event(_checked(edges, event))


def record_all(edges: Edges, events: Sequence[Event]) -> list[int]:
    """Keeps several events, all or none, for the price of one; returns their numbers."""
    return edges.catalog.put_events([_checked(edges, event) for event in events])


def _checked(edges: Edges, event: Event) -> Event:
    if event.kind not in KINDS:
        raise UsageError(f"feedback is {', '.join(KINDS)}, not '{event.kind}'.{did_you_mean(event.kind, KINDS)}")
    _short(reason=event.reason, person=event.person, key=event.key)
    if event.code is not None:
        _column(edges, event)
    if event.impression is None:
        return replace(event, image=_image(edges, event.image), rank=None)
    shown = edges.catalog.impression(event.impression)
    if shown is None:
        raise UsageError(f"no impression {event.impression}; `shown` returns the number of one")
    ids = [hit["id"] for hit in shown.hits]
    image = event.image if event.image in ids else _image(edges, event.image)
    if image not in ids:
        raise UsageError(f"impression {event.impression} did not show '{event.image}'")
    rank = shown.start + ids.index(image) + 1
    return replace(event, image=image, rank=rank, person=event.person or shown.person)


def _column(edges: Edges, event: Event) -> None:
    if event.kind not in THUMBS:
        raise UsageError(f"a column gets thumbs, up or down, and cannot be {event.kind}")
    code = str(event.code)
    view = edges.view_of([code])
    if isinstance(view.describe(code), Derived):
        raise UsageError(f"'{code}' is derived; give the thumb to an attribute that it is made of")


def _image(edges: Edges, name: str) -> str:
    found = edges.view().find(name)
    if found is None:
        raise UsageError(f"no image '{name}' in the collection")
    return found


def _short(**texts: str | None) -> None:
    for name, text in texts.items():
        if text is not None and len(text) > MOST_CHARACTERS[name]:
            raise UsageError(f"a {name} has at most {MOST_CHARACTERS[name]:,} characters, not {len(text):,}")
