"""A score from its parts: S = Σ wᵢ · valueᵢ, the weights of the parts that are known scaled to a sum of one.

Every value lies between 0 and 1, every candidate is scored by the same formula, and the points of the parts add up to
the score. Knows nothing of pictures: a candidate is its words, its size, its cosines.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sextant.errors import UsageError

Orientation = Literal["portrait", "landscape", "square"]
WEIGHTS: Mapping[str, float] = {"clip": 0.6, "keyword": 0.15, "resolution": 0.05, "orientation": 0.15, "vlm": 0.6}
SMALL, LARGE = 128, 1024  # shorter sides, in pixels, that are worth 0 and 1
HALFWAY = 0.5  # of an encoder's unit: phrases that mean nothing hardly ever get so far
LOWEST, HIGHEST, TAIL = -0.5, 1.3, 0.05  # margins over the rival, in units, that are worth .05 and .95
TURN, SLACK = 1.25, 1.1  # ratios of sides from which a picture is upright or lying, and up to which it is square
_STOP = frozenset(
    {"a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "into", "is", "it", "its", "of", "off", "on"}
    | {"or", "over", "that", "the", "their", "this", "to", "under", "with"}
)
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a score: its `value` from 0 to 1, its share of the weights, and the `points` that it adds."""

    name: str
    value: float
    weight: float
    points: float


def parts_of(values: Mapping[str, float | None], weights: Mapping[str, float]) -> tuple[Part, ...]:
    """The parts that are known, in the order of `weights`; those that are not leave their weight to the others."""
    known = {name: value for name in weights if (value := values.get(name)) is not None and weights[name] > 0}
    whole = math.fsum(weights[name] for name in known)
    return tuple(Part(n, v, weights[n] / whole, weights[n] / whole * v) for n, v in known.items())


def total(parts: Iterable[Part]) -> float:
    """The score: the sum of the points."""
    return math.fsum(part.points for part in parts)


def checked(weights: Mapping[str, float]) -> dict[str, float]:
    """The default weights with some of them changed. Raises `UsageError`."""
    for name, weight in weights.items():
        if name not in WEIGHTS:
            raise UsageError(f"there is no part '{name}' of a score; known: {', '.join(WEIGHTS)}")
        if not 0 <= weight < math.inf:
            raise UsageError(f"a weight is a number from 0 up, not {weight}")
    found = {**WEIGHTS, **weights}
    if found["clip"] <= 0:
        raise UsageError("the part clip cannot have a weight of 0: it is the one that every candidate has")
    return found


def likeness(
    positive: NDArray[np.float64], rival: NDArray[np.float64], usual: NDArray[np.float64], unit: float
) -> NDArray[np.float64]:
    """The part `clip` (n,), from 0 to 1, of logits (n,): how far the best phrase beats its best rival.

    `rival` is the best negative's logit (−inf where there is none), `usual` what phrases that mean nothing get from
    the image, `unit` how far above that pictures which show a thing usually lie, by the encoder's card. The rival is at
    least half a unit above the usual. Every unit is worth the same, from half a one below the rival (.05) to 1.3 above
    it (.95); beyond, values near 0 and 1 without reaching them, so that no two margins are worth the same.
    """
    best = np.maximum(rival, usual + HALFWAY * unit)
    line = TAIL + (1 - 2 * TAIL) * ((positive - best) / unit - LOWEST) / (HIGHEST - LOWEST)
    inner = np.clip(line, TAIL, 1 - TAIL)
    beyond = line - inner
    return np.asarray(inner + np.sign(beyond) * (TAIL - TAIL**2 / (TAIL + np.abs(beyond))))


def keywords(text: str) -> tuple[str, ...]:
    """The words of a phrase that say something, without case, accents and a plural s."""
    return tuple(dict.fromkeys(_stems(text)))


def overlap(phrases: Sequence[Sequence[str]], text: str) -> float | None:
    """The share of a phrase's keywords that a text has, for the phrase that fares best; None where there is no text."""
    there = set(_stems(text))
    known = [words for words in phrases if words]
    if not there or not known:
        return None
    return max(sum(word in there for word in words) / len(words) for words in known)


def resolution(width: int, height: int) -> float:
    """From 0 for a shorter side of 128 pixels to 1 for 1024 and more; every doubling is worth the same."""
    side = max(1, min(width, height))
    return min(1.0, max(0.0, math.log(side / SMALL) / math.log(LARGE / SMALL)))


def orientation(width: int, height: int, wanted: Orientation | None) -> float | None:
    """1 for a picture that stands or lies as wanted, down to 0 for the opposite; None where nothing was wanted."""
    if wanted is None:
        return None
    turn = math.log(max(1, width) / max(1, height))
    if wanted == "square":
        return min(1.0, max(0.0, 1 - (abs(turn) - math.log(SLACK)) / (math.log(1.5) - math.log(SLACK))))
    turn = turn if wanted == "landscape" else -turn
    return min(1.0, max(0.0, 0.5 + 0.5 * turn / math.log(TURN)))


def _stems(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    words = _WORD.findall("".join(c for c in plain if not unicodedata.combining(c)))
    return [w[:-1] if len(w) > 3 and w.endswith("s") and not w.endswith("ss") else w for w in words if w not in _STOP]
