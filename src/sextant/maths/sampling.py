"""Which images to label, and what such labels say of all the others: counts with intervals, a promised precision.

Labels are worth most where a decision is close, but only a sample whose chances are known speaks for the rest. So
images are drawn at random within strata of confidence, more from strata near a band edge, and every draw keeps its
inclusion probability. Knows nothing of how a confidence came about; a wrong one costs width, not truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import UsageError

Doubles = NDArray[np.float64]
Rows = NDArray[np.intp]

EDGES = (0.5, 0.8)
CUTS = (0.02, 0.1, 0.3, 0.95)  # strata far from the edges
NEAR = 0.08  # half the width of a stratum around an edge
BOOST = 2.0  # how much more an image near an edge is worth than its doubt alone
LEAST_DOUBT = 0.06  # standard deviation granted to a stratum that claims to be certain
SIMULATIONS = 4000
LEAST_SURPRISE = 0.3, 0.5  # of a label, that a stratum may hold less or more than it shows, whatever its confidences
ERRORS = (0, 2, 6)  # wrong labels with which the search for a threshold may begin
STEP = 1.25  # growth from one tried number of labels to the next


@dataclass(frozen=True, slots=True)
class Choice:
    """Images to label: their `rows` (k,), the `probability` (k,) each was drawn with, and its `stratum` (k,)."""

    rows: Rows
    probability: Doubles
    stratum: Rows


@dataclass(frozen=True, slots=True)
class Count:
    """How many images really show it, with a 95 % interval, from n labels of which `positives` are yes."""

    value: float
    low: float
    high: float
    n: int
    positives: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """A confidence from which `precision` is promised, or None with the reason.

    `right` of the `n` labels used there are yes; `bound` is the exact lower confidence bound of their precision;
    `tried` thresholds were tested, which the bound accounts for.
    """

    value: float | None
    n: int
    right: int
    bound: float
    tried: int
    reason: str


def choose(
    confidence: ArrayLike,
    size: int,
    *,
    edges: Sequence[float] = EDGES,
    labelled: ArrayLike | None = None,
    seed: int = 0,
) -> Choice:
    """`size` images of (n,) confidences to label next; `labelled` (n,) marks those that are out.

    Strata share the draws by size, doubt and nearness to an edge. Images without a confidence are never drawn.
    """
    p = np.asarray(confidence, dtype=np.float64)
    open_rows = np.isfinite(p)
    if labelled is not None:
        open_rows &= ~np.asarray(labelled, dtype=bool)
    rows = np.flatnonzero(open_rows)
    if size < 1 or not len(rows):
        raise UsageError(f"nothing to draw: {size} images asked for, {len(rows)} without a label")
    strata, worth = _strata(p[rows], min(size, len(rows)), edges)
    numbers = np.random.default_rng(seed)
    chosen, chance, place = [], [], []
    for h, (members, draws) in enumerate(zip(strata, _shares(strata, worth, min(size, len(rows))), strict=True)):
        picked = numbers.choice(members, draws, replace=False)
        chosen.append(rows[picked])
        chance.append(np.full(draws, draws / len(members)))
        place.append(np.full(draws, h))
    return Choice(np.concatenate(chosen), np.concatenate(chance), np.concatenate(place))


def label_weights(probability: ArrayLike, batch: ArrayLike | None = None) -> Doubles:
    """Weights (k,) that make labels speak for the whole collection, however many times more were drawn.

    Each batch was drawn with `probability` from what was unlabelled then. Batch after batch, the images already
    labelled plus the new ones weighted by 1 / probability are a fair picture of all; their mean, by batch size, is too.
    """
    chance = np.asarray(probability, dtype=np.float64)
    if not ((chance > 0) & (chance <= 1)).all():
        raise UsageError("an inclusion probability lies above 0 and not above 1")
    number = np.zeros(len(chance)) if batch is None else np.asarray(batch)
    weights = np.zeros(len(chance))
    for name in np.unique(number):
        drawn, earlier = number == name, number < name
        share = drawn.sum() / len(chance)
        weights += share * (drawn / chance + earlier)
    return weights


def horvitz_thompson(truth: ArrayLike, weights: ArrayLike) -> float:
    """The unbiased number of true images: the sum of the weights of the true."""
    return float(np.asarray(weights, dtype=np.float64) @ np.asarray(truth, dtype=np.float64))


def hajek(truth: ArrayLike, weights: ArrayLike, population: int) -> float:
    """The number of true images in a collection of `population` as its weighted share: steadier, hardly biased."""
    w = np.asarray(weights, dtype=np.float64)
    return population * float(w @ np.asarray(truth, dtype=np.float64)) / float(w.sum())


def estimate_count(
    truth: ArrayLike,
    probability: ArrayLike,
    stratum: ArrayLike,
    *,
    expected: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Count:
    """How many images of the strata drawn from are true, from one batch of labels: truth, probability, stratum (k,).

    Within a stratum the unlabelled images are as many draws from a Beta distribution that its labels leave, nudged by
    less than half a label towards `expected` (k,), the confidences, or a coin. A wrong confidence costs width only.
    """
    y, chance, place = np.asarray(truth, dtype=np.float64), np.asarray(probability), np.asarray(stratum)
    if not len(y):
        raise UsageError("a count needs at least one label")
    prejudice = np.full(len(y), 0.5) if expected is None else np.asarray(expected, dtype=np.float64)
    numbers = np.random.default_rng(seed)
    lower, upper, value = np.zeros(SIMULATIONS), np.zeros(SIMULATIONS), 0.0
    for h in np.unique(place):
        inside = place == h
        n, right, rate = int(inside.sum()), float(y[inside].sum()), float(prejudice[inside].mean())
        rest = round(n / float(chance[inside][0])) - n
        value += right + rest * right / n
        # Two sides of the same doubt, as in the exact binomial interval: one label less, one label more.
        low = numbers.beta(right + 0.02 * rate + 1e-9, n - right + max(1 - rate, LEAST_SURPRISE[0]), SIMULATIONS)
        high = numbers.beta(right + max(rate, LEAST_SURPRISE[1]), n - right + 0.5 * (1 - rate) + 1e-9, SIMULATIONS)
        lower += right + numbers.binomial(rest, np.clip(low, 0, 1))
        upper += right + numbers.binomial(rest, np.clip(high, 0, 1))
    side = (1 - level) / 2
    return Count(
        value=value,
        low=min(value, float(np.quantile(lower, side))),
        high=max(value, float(np.quantile(upper, 1 - side))),
        n=len(y),
        positives=int(y.sum()),
    )


def precision_threshold(
    confidence: ArrayLike,
    truth: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    precision: float,
    failure: float = 0.05,
    seed: int = 0,
) -> Threshold:
    """The lowest confidence from which at least `precision` of the images are true, wrong with at most `failure`.

    Labels (k,) drawn with unequal chances are thinned at random to equal ones above each threshold. Thresholds are
    tested from the strictest down, each with the exact binomial bound (Clopper and Pearson), and the search stops
    where one fails (fixed-sequence testing), from a few starting points that share `failure` among them.
    """
    if not (0 < precision < 1 and 0 < failure < 1):
        raise UsageError(f"precision and failure lie between 0 and 1, not {precision} and {failure}")
    labels = _Ranked.of(confidence, truth, weights, seed)
    share = failure / len(ERRORS)
    fewest = int(np.ceil(np.log(share) / np.log(precision)))
    best, tried = Threshold(None, 0, 0, 0.0, 0, ""), 0
    for errors in ERRORS:
        for last, n, right in labels.growing(_enough(errors, precision, share)):
            tried += 1
            bound = lower_bound(right, n, share)
            if bound < precision:
                break
            if best.value is None or labels.confidence[last] < best.value:
                best = Threshold(float(labels.confidence[last]), n, right, bound, 0, "")
    if best.value is not None:
        return replace(best, tried=tried)
    n, right = labels.kept(len(labels.confidence))
    if not tried:
        reason = f"{n} labels after evening out their chances; at least {fewest + 1} are needed for this promise"
    else:
        reason = f"no threshold reaches {precision:.0%} with {n} labels, of which {right} are right"
    return Threshold(None, n, right, 0.0, tried, reason)


@lru_cache(maxsize=256)
def _enough(errors: int, precision: float, share: float) -> int:
    """The fewest labels of which `errors` may be wrong with the bound still at `precision`."""
    n = errors + 1
    while lower_bound(n - errors, n, share) < precision:
        n += 1
    return n


def lower_bound(right: int, n: int, failure: float) -> float:
    """The exact lower bound of a rate of which `right` of n were seen, wrong with `failure` (Clopper and Pearson)."""
    from scipy.special import betaincinv  # loads slowly, and few calibrations promise anything

    return float(betaincinv(right, n - right + 1, failure)) if right else 0.0


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Labels in falling order of confidence, with a fixed random number each that decides whether it is kept."""

    confidence: Doubles
    truth: Doubles
    weight: Doubles
    heaviest: Doubles
    number: Doubles

    @classmethod
    def of(cls, confidence: ArrayLike, truth: ArrayLike, weights: ArrayLike | None, seed: int) -> _Ranked:
        p, y = np.asarray(confidence, dtype=np.float64), np.asarray(truth, dtype=np.float64)
        w = np.ones_like(p) if weights is None else np.asarray(weights, dtype=np.float64)
        usable = np.isfinite(p) & np.isfinite(y)
        order = np.flatnonzero(usable)[np.argsort(-p[usable], kind="stable")]
        heaviest = np.maximum.accumulate(w[order])
        return cls(p[order], y[order], w[order], heaviest, np.random.default_rng(seed).random(len(order)))

    def kept(self, last: int) -> tuple[int, int]:
        """How many of the first `last` labels stay when thinned to equal chances, and how many of those are yes."""
        if not last:
            return 0, 0
        stays = self.number[:last] * self.heaviest[last - 1] < self.weight[:last]
        return int(stays.sum()), int(self.truth[:last][stays].sum())

    def growing(self, fewest: int) -> Iterator[tuple[int, int, int]]:
        """(position of the threshold, labels kept above it, of them right) from `fewest` kept on, in growing steps."""
        last, wanted = 0, fewest
        while last < len(self.confidence):
            n, right = self.kept(last)
            if n >= wanted:
                yield last, n, right
                wanted = int(np.ceil(n * STEP))
            ahead = min(last + max(wanted - n - 1, 0), len(self.confidence) - 1)  # no nearer can there be enough
            # Equal confidences go above the threshold together.
            last = int(np.searchsorted(-self.confidence, -self.confidence[ahead], side="right"))


def _strata(p: Doubles, size: int, edges: Sequence[float]) -> tuple[list[Rows], Doubles]:
    """Rows of each stratum that is not empty, and the worth of one of its images."""
    near = [cut for edge in edges for cut in (edge - NEAR, edge + NEAR)]
    cuts = np.unique(np.clip([*(c for c in CUTS if all(abs(c - e) > NEAR for e in edges)), *near], 0, 1))
    place = np.searchsorted(cuts, p, side="right")
    names = np.unique(place)
    if size < 2 * len(names):  # a stratum with one draw says nothing of its doubt
        place = np.searchsorted(names, place) * max(1, size // 2) // len(names)
        names = np.unique(place)
    strata = [np.flatnonzero(place == name) for name in names]
    worth = []
    for members in strata:
        mean = float(p[members].mean())
        close = any(abs(mean - edge) <= NEAR for edge in edges)
        worth.append(max(np.sqrt(mean * (1 - mean)), LEAST_DOUBT) * (BOOST if close else 1.0))
    return strata, np.array(worth)


def _shares(strata: Sequence[Rows], worth: Doubles, size: int) -> NDArray[np.intp]:
    """How many to draw from each stratum: at least two where they are there, the rest by size times worth."""
    sizes = np.array([len(members) for members in strata])
    draws = np.minimum(sizes, 2 if size >= 2 * len(sizes) else 1)
    while (left := size - draws.sum()) > 0:
        room = sizes - draws
        # The square root keeps a stratum of thousands from taking all there is.
        want = np.where(room > 0, np.sqrt(sizes) * worth, 0.0)
        more = np.minimum(room, np.floor(left * want / want.sum())).astype(np.intp)
        if not more.any():
            more[np.argmax(want / (draws + 1))] = 1
        draws = draws + more
    return np.asarray(draws, dtype=np.intp)
