"""Weights between those of the base and those that were trained: how far to go is chosen by what is held out.

Wortsman et al. 2022 (WiSE-FT): a straight line between the two often does better than either end, in the domain and out
of it. Knows nothing of data: it is handed two measures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sextant.train.pair import Pair, State

STEPS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the line: 0 is the base, 1 is trained. `inside` and `outside` are measured on held-out images."""

    alpha: float
    inside: float
    outside: float


@dataclass(frozen=True, slots=True)
class Line:
    """All points measured, the one chosen, and whether it keeps what was asked outside the domain."""

    points: tuple[Point, ...]
    chosen: Point
    kept: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def between(base: State, trained: State, alpha: float) -> State:
    """`(1 − alpha) · base + alpha · trained`; whole numbers and what did not change stay as they are."""
    return {
        name: value if not value.is_floating_point() or value.equal(base[name]) else base[name].lerp(value, alpha)
        for name, value in trained.items()
    }


def choose(
    pair: Pair, base: State, trained: State, measure: Callable[[Pair], tuple[float, float]], tolerance: float
) -> Line:
    """Leaves the pair at the point of the line that does best inside, of those that lose little outside.

    `measure` gives (inside, outside) of a pair, both better when higher. A point whose `outside` is more than
    `tolerance` below the base's is chosen only where every point but the base is such; then the best inside is, and
    `kept` says so: nobody trains to be handed the base.
    """
    points = []
    for alpha in STEPS:
        pair.load(between(base, trained, alpha))
        points.append(Point(alpha, *measure(pair)))
    floor = points[0].outside - tolerance
    able = [point for point in points[1:] if point.outside >= floor]
    best = max(able or points[1:], key=lambda p: p.inside)
    pair.load(between(base, trained, best.alpha))
    return Line(tuple(points), best, bool(able))
