"""`pick` and `clusters`: a few images that stand for many, and what many fall into.

Both stand on stored vectors; no image is read. Suppressed near-duplicates are left out of picks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sextant.duplicates import Stock, stock
from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.maths import clusters as clustering
from sextant.maths import diversity
from sextant.view import KINDS, View
from sextant.vocabulary import Derived, did_you_mean

Way = Literal["relevance", "spread"]
Method = Literal["kmeans", "hdbscan"]

ACCEPTED = 2
MOST_CLUSTERS = 25
MOST_BY_DENSITY = 50_000
NAMES = 3
LEAST_SHARE, LEAST_LIFT = 0.25, 1.2
"""An attribute names a cluster if so many of its images show it, and so much more often than the collection's."""
LEAST_CONFIDENCE, LEAST_RISE = 0.05, 1.5
"""Where none does, one may name it with a `perhaps` whose mean confidence is so high, and so many times its own."""
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Picked:
    """One picked image. `quality` runs from 0 to 1; `similarity` is the largest cosine with those picked before it."""

    id: str
    path: str
    quality: float
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Choice:
    """How to pick. `by` names an attribute or a number to prefer; `weight` is λ of MMR, 1 for the plain order."""

    where: str | None = None
    by: str | None = None
    way: Way = "relevance"
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.way not in get_args(Way):
            raise UsageError(f"a pick goes by relevance or spread, not '{self.way}'")
        if not 0 <= self.weight <= 1:
            raise UsageError(f"a weight is between 0 (difference alone) and 1 (quality alone), not {self.weight}")


@dataclass(frozen=True, slots=True)
class Shown:
    """How many images of a cluster show an attribute: `share` of the cluster, `lift` times that of the collection.

    `confidence` is the mean over the cluster, `rise` how many times that of the collection.
    """

    code: str
    label: str
    accepted: int
    share: float
    lift: float
    confidence: float
    rise: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images that lie together. `attributes` go by how much they tell of it; `examples` are nearest to its centre.

    The images that belong to no cluster, where there are any, are number −1.
    """

    number: int
    name: str
    size: int
    attributes: tuple[Shown, ...]
    examples: tuple[str, ...]
    members: tuple[str, ...]


def pick(edges: Edges, k: int, choice: Choice) -> list[Picked]:
    """k images that are good and differ from each other, in the order in which they were picked."""
    if k < 1:
        raise UsageError(f"pick at least 1 image, not {k}")
    _check_name(edges, choice.by)
    held = stock(edges, choice.where, [choice.by] if choice.by and choice.by not in KINDS else [])
    held = _in_sight(held)
    quality = _preference(held, choice.by)
    if choice.way == "spread":
        rows = diversity.spread(held.vectors, k, quality)
    else:
        rows = diversity.relevant(held.vectors, k, quality, choice.weight)
    chosen = held.vectors[rows]
    cosine = np.tril(chosen @ chosen.T, -1) + np.triu(np.full((len(rows), len(rows)), -2.0))
    return [
        Picked(
            id=str(held.view.ids[int(held.row[row])]),
            path=str(held.view.paths[int(held.row[row])]),
            quality=float(quality[row]),
            similarity=float(cosine[place].max()) if place else None,
        )
        for place, row in enumerate(rows.tolist())
    ]


def clusters(
    edges: Edges, k: int | None = None, *, method: Method = "kmeans", where: str | None = None, seed: int = 0
) -> list[Cluster]:
    """What the images fall into, largest first, named by the attributes that set each cluster apart."""
    if method not in get_args(Method):
        raise UsageError(f"a method is kmeans or hdbscan, not '{method}'")
    if k is not None and k < 1:
        raise UsageError(f"make at least 1 cluster, not {k}")
    codes = edges.codes()
    held = stock(edges, where, codes)
    found = _clustered(held, k, method, seed)
    known = {code: _Known.of(held, code) for code in codes}
    numbers = [*range(len(found.centres)), *([-1] if (found.label < 0).any() else [])]
    return [_described(held, known, found, number) for number in numbers]


def _clustered(held: Stock, k: int | None, method: Method, seed: int) -> clustering.Clustering:
    if method == "kmeans":
        several = max(1, min(MOST_CLUSTERS, round((len(held) / 2) ** 0.5)))
        return clustering.k_means(held.vectors, k or several, seed=seed)
    if k is not None:
        raise UsageError("hdbscan finds the number of clusters itself: leave it out, or use kmeans")
    if len(held) > MOST_BY_DENSITY:
        raise UsageError(
            f"hdbscan compares every two images, and {len(held):,} are too many (at most {MOST_BY_DENSITY:,}): "
            "narrow them with a rule, or use kmeans"
        )
    return clustering.by_density(held.vectors, least=max(5, len(held) // 200))


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of an attribute over all images that are clustered, (m,) each."""

    accepted: NDArray[np.bool_]
    confidence: NDArray[np.float64]

    @classmethod
    def of(cls, held: Stock, code: str) -> _Known:
        values = held.view.values(code)
        return cls(values.band[held.row] == ACCEPTED, np.nan_to_num(values.confidence[held.row]))


def _described(held: Stock, known: dict[str, _Known], found: clustering.Clustering, number: int) -> Cluster:
    rows = np.flatnonzero(found.label == number)
    shown = [_shown(held.view, code, values, rows) for code, values in known.items()]
    attributes = tuple(sorted(shown, key=lambda a: (_tells(a.share, a.lift), a.confidence), reverse=True))
    middle = found.centres[number] if number >= 0 else held.vectors[rows].mean(axis=0)
    near = rows[np.argsort(-(held.vectors[rows] @ middle), kind="stable")[:EXAMPLES]]
    return Cluster(
        number=number,
        name=_name(held.view, attributes, number),
        size=len(rows),
        attributes=attributes,
        examples=tuple(str(held.view.paths[int(row)]) for row in held.row[near]),
        members=tuple(held.view.ids.take(held.row[rows]).to_pylist()),
    )


def _shown(view: View, code: str, known: _Known, rows: NDArray[np.intp]) -> Shown:
    item = view.describe(code)
    share, confidence = float(known.accepted[rows].mean()), float(known.confidence[rows].mean())
    return Shown(
        code,
        item.label or code if item else code,
        accepted=int(known.accepted[rows].sum()),
        share=share,
        lift=_ratio(share, float(known.accepted.mean())),
        confidence=confidence,
        rise=_ratio(confidence, float(known.confidence.mean())),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if part else 0.0


def _tells(share: float, lift: float) -> float:
    """How much an attribute says of a cluster: bits that its images save by being known to lie in it."""
    return share * float(np.log2(lift)) if lift > 0 else float("-inf")


def _name(view: View, attributes: Sequence[Shown], number: int) -> str:
    """The labels of the base attributes that tell most, or a number."""
    if number < 0:
        return "in no cluster"
    base = [a for a in attributes if not isinstance(view.describe(a.code), Derived)]
    telling = [a.label for a in base if a.share >= LEAST_SHARE and a.lift >= LEAST_LIFT]
    if telling:
        return _joined(telling[:NAMES])
    likely = [a for a in base if a.confidence >= LEAST_CONFIDENCE and a.rise >= LEAST_RISE]
    likely.sort(key=lambda a: _tells(a.confidence, a.rise), reverse=True)
    return f"perhaps {_joined([a.label for a in likely[:NAMES]])}" if likely else f"cluster {number + 1}"


def _joined(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def _check_name(edges: Edges, name: str | None) -> None:
    if name is None or (name not in KINDS and name in edges.codes()) or KINDS.get(name) == "number":
        return
    known = [*edges.codes(), *(fact for fact, kind in KINDS.items() if kind == "number")]
    raise UsageError(f"no attribute or number '{name}' to pick by.{did_you_mean(name, known)}")


def _in_sight(held: Stock) -> Stock:
    """Without the near-duplicates that are suppressed."""
    shown = ~held.view.out_of_sight[held.row]
    return held if shown.all() else Stock(held.view, held.row[shown], held.vectors[shown])


def _preference(held: Stock, by: str | None) -> NDArray[np.float64]:
    """What to prefer, from 0 to 1: a confidence as it is, any other number by the share of images below it."""
    if by is not None and by not in KINDS:
        return np.nan_to_num(held.view.values(by).confidence[held.row])
    values = held.quality if by is None else held.view.fact_values(by)[held.row]
    known = np.sort(values[~np.isnan(values)])
    below = np.searchsorted(known, np.nan_to_num(values, nan=-np.inf)) / max(1, len(known) - 1)
    return np.minimum(1.0, below)
