"""How often people find something: selection rate, mean rank of what was selected, answers with nothing in them.

One answer with all its pages counts once, on the day its first page was shown (UTC). It was selected from if any of its
images was clicked or picked. Intervals go by people, since what one person does hangs together; answers to nobody in
particular count as to one person each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.events import Event, Showing
from sextant.maths import experiments
from sextant.maths.experiments import Rate
from sextant.maths.metrics import Estimate

SELECTED = ("clicked", "picked")


@dataclass(frozen=True, slots=True)
class Tally:
    """The figures of one day and variant; None stands for all of them. `events` counts them by kind."""

    day: str | None
    variant: str | None
    shown: int
    people: int
    selection: Rate
    mean_rank: Estimate | None
    nothing: Rate
    events: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Everything together, by variant, and by day and variant."""

    overall: Tally
    variants: tuple[Tally, ...]
    days: tuple[Tally, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer with all its pages, and the best rank of every image of it that was selected."""

    showing: Showing
    selected: Mapping[str, int]
    events: Counter[str]

    @property
    def cluster(self) -> str:
        """Whom it belongs to."""
        return self.showing.person or f"\0{self.showing.id}"


def metrics(edges: Edges, *, since: str | None = None) -> Metrics:
    """The figures of all answers that were shown, or of those since a day (`2026-01-31`).

    Raises:
        UsageError: that is no day.
    """
    found = answers(edges, since=since)
    by_variant: dict[str, list[Answer]] = {}
    by_day: dict[tuple[str, str], list[Answer]] = {}
    for answer in found:
        by_variant.setdefault(answer.showing.variant, []).append(answer)
        by_day.setdefault((answer.showing.at[:10], answer.showing.variant), []).append(answer)
    variants = tuple(tally(some, variant=name) for name, some in sorted(by_variant.items()))
    days = tuple(tally(some, day=day, variant=name) for (day, name), some in sorted(by_day.items()))
    return Metrics(tally(found), variants, days)


def answers(edges: Edges, *, since: str | None = None, variants: Sequence[str] | None = None) -> list[Answer]:
    """What was shown, page joined to page, with what was made of it."""
    if since is not None:
        _day(since)
    showings = edges.catalog.showings(since=since, variants=variants)
    firsts = {s.id: s for s in showings if s.continues is None}
    root = {s.id: s.id if s.continues is None else s.continues for s in showings}
    everything = since is None and variants is None
    events = edges.catalog.events() if everything else edges.catalog.events(shown=list(root))
    selected: dict[int, dict[str, int]] = {}
    counts: dict[int, Counter[str]] = {}
    for event in events:
        first = root.get(event.impression) if event.impression is not None else None
        if first in firsts:
            counts.setdefault(first, Counter())[event.kind] += 1
            _select(selected.setdefault(first, {}), event)
    return [Answer(s, selected.get(i, {}), counts.get(i, Counter())) for i, s in firsts.items()]


def _select(selected: dict[str, int], event: Event) -> None:
    if event.kind in SELECTED and event.rank is not None:
        selected[event.image] = min(event.rank, selected.get(event.image, event.rank))


def tally(found: Sequence[Answer], *, day: str | None = None, variant: str | None = None) -> Tally:
    """The figures of some answers."""
    clusters = list(dict.fromkeys(answer.cluster for answer in found))
    trials = _sums(clusters, ((a.cluster, 1) for a in found))
    events: Counter[str] = Counter()
    for answer in found:
        events.update(answer.events)
    return Tally(
        day=day,
        variant=variant,
        shown=len(found),
        people=len({a.showing.person for a in found if a.showing.person}),
        selection=experiments.rate(_sums(clusters, ((a.cluster, bool(a.selected)) for a in found)), trials),
        mean_rank=experiments.ratio(
            _sums(clusters, ((a.cluster, sum(a.selected.values())) for a in found)),
            _sums(clusters, ((a.cluster, len(a.selected)) for a in found)),
        ),
        nothing=experiments.rate(_sums(clusters, ((a.cluster, a.showing.nothing_here) for a in found)), trials),
        events=dict(sorted(events.items())),
    )


def _sums(clusters: Sequence[str], pairs: Iterable[tuple[str, int]]) -> list[int]:
    sums = dict.fromkeys(clusters, 0)
    for cluster, value in pairs:
        sums[cluster] += int(value)
    return list(sums.values())


def _day(text: str) -> None:
    from datetime import date

    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"'{text}' is no day; write it as 2026-01-31") from error
