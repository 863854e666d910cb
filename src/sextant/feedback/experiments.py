"""Two ways to answer, each shown to its share of people, and which of them people select from more often.

Who gets which is fixed by a hash of the experiment's name and the person, so nothing needs to be stored and nobody sees
both. What was shown carries the variant `NAME:a` or `NAME:b`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.events import ExperimentRecord
from sextant.feedback import counting
from sextant.feedback.counting import Answer
from sextant.maths import experiments as maths
from sextant.maths.experiments import Difference, Rate
from sextant.vocabulary import did_you_mean

NAME = re.compile(r"[\w.-]{1,100}")
RELATIVE_EFFECT = 0.1
"""Unless said otherwise, the effect that an experiment should be able to see, as a share of the rate of a."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a person gets: `variant` is to be recorded with every answer, `options` are those of a search."""

    experiment: str
    variant: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """How an experiment stands. `difference` is the selection rate of b less that of a.

    `needed` are the answers a side, and `needed_people` the people a side, at which a true difference of `effect`
    comes out four times in five. `mismatch` is how probable so uneven a division of people is.
    """

    experiment: ExperimentRecord
    a: Rate
    b: Rate
    people: tuple[int, int]
    difference: Difference
    effect: float
    needed: int | None
    needed_people: int | None
    mismatch: float
    warnings: tuple[str, ...]


def start(edges: Edges, record: ExperimentRecord, search: Callable[..., Any]) -> None:
    """Starts an experiment; `search` is the function whose options the variants are.

    Raises:
        UsageError: a name that is taken or is none, an option that a search does not have, a share of nobody.
    """
    if not NAME.fullmatch(record.name):
        raise UsageError(f"'{record.name}' cannot name an experiment; use letters, digits, '.', '-' and '_'")
    if not 0 < record.share < 1:
        raise UsageError(f"b goes to a share of people between 0 and 1, not {record.share}")
    known = [p.name for p in signature(search).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in (*record.a, *record.b):
        if option not in known:
            raise UsageError(f"a search has no option '{option}'.{did_you_mean(option, known)}")
    edges.catalog.put_experiment(record)


def stop(edges: Edges, name: str) -> ExperimentRecord:
    """Ends an experiment: nobody is assigned any more. What was measured stays."""
    edges.catalog.stop_experiment(find(edges, name).name)
    return find(edges, name)


def find(edges: Edges, name: str) -> ExperimentRecord:
    """The experiment of a name. Raises `UsageError` with the nearest one where there is none."""
    known = {record.name: record for record in edges.catalog.experiments()}
    if name not in known:
        raise UsageError(f"no experiment '{name}'.{did_you_mean(name, known)}")
    return known[name]


def assign(edges: Edges, name: str, person: str) -> Assignment:
    """Which way to answer a person gets, always the same.

    Raises:
        UsageError: there is no such experiment, it was stopped, or nobody in particular is to be assigned.
    """
    record = find(edges, name)
    if record.stopped_at is not None:
        raise UsageError(f"the experiment '{name}' was stopped at {record.stopped_at}")
    if not person:
        raise UsageError("an assignment needs a person: any name that stays the same from visit to visit")
    letter = maths.assigned(name, person, record.share)
    return Assignment(name, f"{name}:{letter}", record.a if letter == "a" else record.b)


def report(edges: Edges, name: str, *, effect: float | None = None) -> ExperimentReport:
    """How an experiment stands, from everything that was shown as one of its variants.

    Raises:
        UsageError: there is no such experiment, or `effect` cannot be one.
    """
    record = find(edges, name)
    names = [f"{name}:a", f"{name}:b"]
    found = counting.answers(edges, variants=names)
    sides = [[answer for answer in found if answer.showing.variant == variant] for variant in names]
    a, b = (counting.tally(side).selection for side in sides)
    people = tuple({x.showing.person for x in side if x.showing.person} for side in sides)
    chance = maths.mismatch(len(people[0]), len(people[1]), record.share)
    effect = _effect(a, effect)
    needed = _needed(a, b, effect)
    each = (a.n + b.n) / max(1, a.clusters + b.clusters)
    return ExperimentReport(
        experiment=record,
        a=a,
        b=b,
        people=(len(people[0]), len(people[1])),
        difference=maths.difference(a, b),
        effect=effect,
        needed=needed,
        needed_people=None if needed is None else max(1, round(needed / each)),
        mismatch=chance,
        warnings=tuple(_warnings(record, found, chance)),
    )


def _effect(a: Rate, effect: float | None) -> float:
    if effect is not None:
        return effect
    return max(0.01, RELATIVE_EFFECT * a.value) if a.n else RELATIVE_EFFECT


def _needed(a: Rate, b: Rate, effect: float) -> int | None:
    if not a.n:
        return None
    down = a.value + effect > 1  # nothing above to go to
    return maths.needed(a.value, -effect if down else effect, design=max(a.design, b.design))


def _warnings(record: ExperimentRecord, found: Sequence[Answer], chance: float) -> list[str]:
    said = []
    if chance < maths.MISMATCH:
        said.append(
            f"people are divided as unevenly as chance does once in {1 / max(chance, 1e-12):,.0f} times: "
            "something loses answers of one side, and the result means nothing until that is found"
        )
    astray = {
        x.showing.person
        for x in found
        if x.showing.person
        and x.showing.variant != f"{record.name}:{maths.assigned(record.name, x.showing.person, record.share)}"
    }
    if astray:
        said.append(f"{len(astray)} people were shown a variant that was not theirs")
    nobody = sum(not x.showing.person for x in found)
    if nobody:
        said.append(f"{nobody} answers were shown to nobody in particular, and count as to one person each")
    return said
