"""`curate`: the best pictures for a purpose, chosen, explained, and kept only where a person picked them.

candidates → fetched → scored → gated → ranked → near-duplicates folded → a model's second look → shown. What is
shown is on record under a number; `keep` stores the picks and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from sextant.curate import pool, scratch
from sextant.curate.candidates import Candidate, Provider, SavedResults, SearXng
from sextant.curate.choosing import Choosing
from sextant.curate.gates import Gates
from sextant.curate.keeping import keep
from sextant.curate.meter import Meter
from sextant.curate.request import Curation, Kept, Options, Pick, Refused, Shown
from sextant.curate.second import SecondLook
from sextant.edges import Edges
from sextant.errors import SextantError, UsageError
from sextant.types import Progress
from sextant.walk import Source

if TYPE_CHECKING:
    from sextant.fetch import Fetcher

__all__ = [
    "Candidate",
    "Curation",
    "Gates",
    "Kept",
    "Options",
    "Pick",
    "Provider",
    "Refused",
    "SavedResults",
    "SearXng",
    "SecondLook",
    "Shown",
    "curate",
    "discard",
    "keep",
]
Report = Callable[[Progress], None]


def curate(
    edges: Edges,
    query: str,
    sources: Sequence[Source],
    *,
    where: str | None = None,
    providers: Sequence[Provider] = (),
    options: Options,
    fetcher: Fetcher | None = None,
    progress: Report | None = None,
) -> Curation:
    """The best candidates for a query: of files, URLs and providers, or of the collection where none are named.

    Raises:
        UsageError: a request that cannot be.
        RuleError: the rule cannot be read.
    """
    begun = time.monotonic()
    phrases = options.phrases(query)
    if where is not None and (sources or providers):
        raise UsageError("--where chooses among the collection's own pictures; leave it out, or the other sources")
    if options.sheet is not None and not options.sheet.absolute().parent.is_dir():
        raise UsageError(f"{options.sheet}: there is no such folder to write the page into")
    scratch.clean(edges.store.root)
    place = scratch.Scratch(edges.store.root)
    try:
        if sources or providers:
            edges.first_encoder(None)
            offered, notes = _offered(providers, phrases, options)
            meter = Meter(edges, phrases, options.negatives)
            found = pool.from_outside(edges, meter, sources, offered, scratch=place, fetcher=fetcher, progress=progress)
            found.notes += notes
        else:
            found = pool.of_collection(edges, Meter(edges, phrases, options.negatives), where)
        run = Choosing(edges, query, phrases, options, found)
        answer = run.answer(place.name if place.used else "", begun, progress)
    except BaseException:
        place.clear()
        raise
    place.release()
    return answer


def discard(edges: Edges) -> int:
    """Deletes every picture from outside that waits for a pick, unless a curation is under way; how many folders."""
    return scratch.clean(edges.store.root)


def _offered(
    providers: Iterable[Provider], phrases: Sequence[str], options: Options
) -> tuple[list[Candidate], list[str]]:
    """What the providers find for every phrase, in turns, each URL once; and which could not be asked."""
    lists, notes = [], []
    for provider in providers:
        for phrase in phrases:
            try:
                lists.append(list(provider.search(phrase, options.candidates)))
            except SextantError as error:
                notes.append(str(error))
    if notes and len(notes) == len(phrases) * len(list(providers)):
        raise UsageError(notes[0])
    longest = max(map(len, lists), default=0)
    turns = [one[rank] for rank in range(longest) for one in lists if rank < len(one)]
    found = list({c.url: c for c in reversed(turns)}.values())[::-1]
    return found[: options.candidates], list(dict.fromkeys(notes))
