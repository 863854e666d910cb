"""What a query should leave out, by the pictures that people gave a thumb down.

Each attribute of the vocabulary, and each other word for what was asked, is tried: do the pictures with a thumb down
show it more than those that were liked? Words are chosen on one half of the pictures and judged on the other, in the
order of how well they did and until the first that fails (fixed-sequence testing), so that of many words tried none is
suggested by luck more than one time in twenty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sextant import question
from sextant.edges import Edges
from sextant.feedback import features
from sextant.feedback.weights import POSITIVE, key_of
from sextant.view import View

Doubles = NDArray[np.float64]

LEAST = 8
"""Pictures of either kind below which no half could tell anything."""
FAILURE = 0.05
CHOSEN_FROM = 0.7
"""The separation on the first half from which a word is tried on the other."""


@dataclass(frozen=True, slots=True)
class Suggested:
    """A negative for a query: an `attribute`, by its `code`, or another word from the dictionary (`expansion`).

    `separation` is how often a picture with a thumb down shows it more than a liked one, `chance` how probable so much
    is by luck; both are of the `downs` and `ups` that the word was not chosen by.
    """

    text: str
    origin: str
    code: str | None
    separation: float
    chance: float
    downs: int
    ups: int


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Negatives for a query, the most telling first, and why there are none."""

    query: str
    downs: int
    ups: int
    found: tuple[Suggested, ...]
    reason: str


def suggest(edges: Edges, query: str, *, seed: int = 0) -> Suggestions:
    """Attributes and words that set the thumbs down of a query apart from what people liked."""
    view = edges.view(edges.codes())
    downs, ups = (_rows(view, ids) for ids in verdicts(edges, query))
    if min(len(downs), len(ups)) < LEAST:
        reason = f"{len(downs)} pictures with a thumb down and {len(ups)} liked; {LEAST} of each are needed"
        return Suggestions(query, len(downs), len(ups), (), reason)
    tried = _candidates(edges, view, query)
    found = separating({name: (values[downs], values[ups]) for name, values in tried.items()}, seed=seed)
    reason = "" if found else f"of {len(tried)} words none sets the thumbs down apart on pictures it was not chosen by"
    return Suggestions(query, len(downs), len(ups), tuple(_told(item) for item in found), reason)


def verdicts(edges: Edges, query: str) -> tuple[list[str], list[str]]:
    """The images with a thumb down in answers to a query, and those that were liked; the last word counts."""
    wanted = key_of(query)
    numbers = [s.id for s in edges.catalog.impressions() if key_of(s.query) == wanted]
    last: dict[str, str] = {}
    for event in edges.catalog.events(shown=numbers):
        if event.code is None and not (event.kind == "clicked" and last.get(event.image) == "down"):
            last[event.image] = event.kind
    downs = [image for image, kind in last.items() if kind == "down"]
    return downs, [image for image, kind in last.items() if kind in POSITIVE]


def _rows(view: View, ids: Sequence[str]) -> NDArray[np.intp]:
    rows = features.places(view, ids)
    return rows[rows >= 0]


def _candidates(edges: Edges, view: View, query: str) -> dict[tuple[str, str | None], Doubles]:
    """Confidences (n,) by (text, code): columns that the query does not name, and other words for it."""
    asked = set(features.columns_in(view, query))
    attributes = view.vocabulary.attributes if view.vocabulary else ()
    tried: dict[tuple[str, str | None], Doubles] = {
        (item.label.lower(), item.code): view.values(item.code).confidence
        for item in attributes
        if item.code in view.columns and item.code not in asked
    }
    for variants in question.question(edges, query).variants:
        for variant in variants[1:]:  # the first is the term itself
            tried.setdefault((variant.text, None), question.score(edges, view, variant.text))
    return tried


def _told(item: Separating) -> Suggested:
    text, code = item.name
    origin = "expansion" if code is None else "attribute"
    return Suggested(text, origin, code, item.separation, item.chance, item.downs, item.ups)


# what sets two groups apart


@dataclass(frozen=True, slots=True)
class Separating:
    """A name whose values are higher in downs than in ups, on the half that it was not chosen by."""

    name: tuple[str, str | None]
    separation: float
    chance: float
    downs: int
    ups: int


def separating(tried: Mapping[tuple[str, str | None], tuple[Doubles, Doubles]], *, seed: int = 0) -> list[Separating]:
    """The names whose values (d,) of downs lie above those (u,) of ups, each half judging what the other chose."""
    if not tried:
        return []
    d, u = (len(values) for values in next(iter(tried.values())))
    numbers = np.random.default_rng(seed)
    halves = numbers.permutation(d) % 2, numbers.permutation(u) % 2
    best: dict[tuple[str, str | None], Separating] = {}
    for half in (0, 1):
        for item in _confirmed(tried, (halves[0] == half, halves[1] == half)):
            if item.name not in best or best[item.name].chance > item.chance:
                best[item.name] = item
    return sorted(best.values(), key=lambda item: (item.chance, -item.separation, item.name[0]))


def _confirmed(
    tried: Mapping[tuple[str, str | None], tuple[Doubles, Doubles]],
    chosen: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> list[Separating]:
    """Names in the order of how well they separate the chosen half, until the first that fails on the other."""
    ranked = sorted(((_separation(d[chosen[0]], u[chosen[1]]), name) for name, (d, u) in tried.items()),
                    key=lambda pair: (-pair[0], pair[1][0]))  # fmt: skip
    found = []
    for first, name in ranked:
        down, up = tried[name][0][~chosen[0]], tried[name][1][~chosen[1]]
        down, up = down[np.isfinite(down)], up[np.isfinite(up)]
        chance = _chance(down, up)
        if first < CHOSEN_FROM or chance > FAILURE / 2:  # two halves
            break
        found.append(Separating(name, _separation(down, up), chance, len(down), len(up)))
    return found


def _separation(downs: Doubles, ups: Doubles) -> float:
    """The area under the curve: how often a down lies above an up, ties by half; .5 where there is nothing known."""
    downs, ups = downs[np.isfinite(downs)], ups[np.isfinite(ups)]
    if not len(downs) or not len(ups):
        return 0.5
    above = (downs[:, None] > ups).mean() + 0.5 * (downs[:, None] == ups).mean()
    return float(above)


def _chance(downs: Doubles, ups: Doubles) -> float:
    """How probable such a separation is by luck (Mann and Whitney 1947), one-sided."""
    from scipy.stats import mannwhitneyu

    if not len(downs) or not len(ups):
        return 1.0
    tied = len(np.unique(np.concatenate([downs, ups]))) < len(downs) + len(ups)
    small = not tied and max(len(downs), len(ups)) <= 20
    return float(mannwhitneyu(downs, ups, alternative="greater", method="exact" if small else "asymptotic").pvalue)
