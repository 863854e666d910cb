"""From what people selected in rankings to weights of features, corrected for where on the page a hit stood.

People select what they see, and they see what stands high. A hit at rank r is looked at with probability r^-η (the
position-based model with a power law). η is measured where the same hit of the same question was shown at several
ranks (intervention harvesting; Agarwal, Zaitsev, Wang, Li, Najork and Joachims 2019); where that never happened it may
be anything from 0 to `MOST_ETA`. A selection then counts by the inverse of that probability, clipped (Joachims,
Swaminathan and Schnabel 2017).

Weights are those of a regularised conditional logistic model of which hit of a list is selected. They are worth using
only when they rank lists better that they were not learned from; `learn` measures that, and at both ends of the
interval of η, so that a wrong idea of η makes no weights look good. Knows nothing of images or of what a feature means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import UsageError
from sextant.maths.metrics import Estimate

Doubles = NDArray[np.float64]

CUT = 10
"""Rankings are compared by nDCG of so many hits."""
MOST_ETA = 2.0
STEPS = 101
CLIP = 10.0
"""In learning, a selection counts at most so many times, however unlikely it was to be seen."""
LEAST_SEEN = 0.05
"""In measuring, a hit counts as seen at least so often. What that cuts off would speak for hits that stood far down, so
it is cautious.
"""
RIDGE = 1.0
FOLDS = 5
LEAST_GROUPS = 10
LEAST_SELECTED = 50
RESAMPLES = 2000
LEVEL = 0.99
"""Of the interval of a gain. What holds one fifth out learns from another that is judged by it in turn, so errors hang
together: at 0.95, one shuffled log in twenty had passed.
"""


@dataclass(frozen=True, slots=True)
class Lists:
    """Rankings as they were shown, one a row, padded to the longest.

    `features` (i, l, f); `rank` (i, l) from 1 on, 0 where there is no hit; `selected` (i, l) 0 or 1; `pair` (i, l)
    numbers what was shown, the same hit of the same question alike; `group` (i,) keeps lists together that must not
    be on both sides of a split, such as those of one question.
    """

    features: Doubles
    rank: NDArray[np.intp]
    selected: Doubles
    pair: NDArray[np.intp]
    group: NDArray[np.intp]

    def __post_init__(self) -> None:
        shape, rest = self.rank.shape, (self.selected.shape, self.pair.shape)
        if self.features.shape[:2] != shape or rest != (shape, shape) or self.group.shape != shape[:1]:
            raise UsageError(f"features {self.features.shape}, ranks {shape}, selections and pairs {rest} and "
                             f"groups {self.group.shape} are not of the same lists")  # fmt: skip

    def __len__(self) -> int:
        return len(self.rank)

    def some(self, rows: NDArray[Any]) -> Lists:
        """Some of the lists."""
        return Lists(self.features[rows], self.rank[rows], self.selected[rows], self.pair[rows], self.group[rows])


@dataclass(frozen=True, slots=True)
class Examination:
    """How fast attention falls: the exponent η with its 95 % interval, from `pairs` hits seen at several ranks."""

    eta: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Weights:
    """A linear score: Σ weight · (feature − mean) / scale, over features by name."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]

    def to_params(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {name: list(getattr(self, name)) for name in ("names", "mean", "scale", "weight")}

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Weights:
        """The weights that `to_params` made."""
        numbers = (tuple(float(v) for v in params[name]) for name in ("mean", "scale", "weight"))
        return cls(tuple(params["names"]), *numbers)


@dataclass(frozen=True, slots=True)
class Learned:
    """Weights, and what they are worth on lists they were not learned from.

    `shown` and `learned` are corrected nDCG@10 of both rankings at the best η, `gain` their difference with its 99 %
    interval; `worst` is the lowest end of that interval over the interval of η. `applied` where `worst` is above 0.
    """

    weights: Weights | None
    applied: bool
    reason: str
    examination: Examination
    lists: int
    selected: int
    groups: int
    shown: float
    learned: float
    gain: Estimate | None
    worst: float


def rerank(features: ArrayLike, weights: Weights) -> Doubles:
    """Scores (n,) to rank by, the highest first, from features (n, f); what is unknown of a hit counts as the mean."""
    x = np.asarray(features, np.float64)
    if x.ndim != 2 or x.shape[1] != len(weights.names):
        raise UsageError(f"weights of {len(weights.names)} features do not fit features of shape {x.shape}")
    return np.asarray(_standardised(x, weights) @ np.array(weights.weight), np.float64)


def _standardised(x: Doubles, weights: Weights) -> Doubles:
    scaled = (x - np.array(weights.mean)) / np.array(weights.scale)
    return np.asarray(np.nan_to_num(scaled, posinf=0.0, neginf=0.0), np.float64)


# where people look


def examination(pair: ArrayLike, rank: ArrayLike, selected: ArrayLike) -> Examination:
    """How fast attention falls with rank, from hits that were shown at several ranks.

    Each of the m showings has the `pair` (question and image) that was shown, its `rank` and whether it was `selected`.
    Within a pair the hit is the same, so its selections divide among its ranks as attention does.
    """
    pairs, ranks = np.asarray(pair, np.intp), np.asarray(rank, np.float64)
    clicks: Doubles = np.asarray(selected, np.float64)
    grid = np.linspace(0, MOST_ETA, STEPS)
    _, place = np.unique(pairs, return_inverse=True)
    number = int(place.max(initial=-1)) + 1
    total = np.bincount(place, clicks, number).astype(np.float64)
    lowest, highest = np.full(number, np.inf), np.zeros(number)
    np.minimum.at(lowest, place, ranks)
    np.maximum.at(highest, place, ranks)
    telling = (lowest < highest) & (total > 0)
    kept = telling[place]
    place, logs, clicks = place[kept], np.log(ranks[kept]), clicks[kept]
    likelihood = np.array([_likelihood(eta, place, logs, clicks, total) for eta in grid])
    near = grid[likelihood >= likelihood.max() - 1.92]  # half of χ²'s 95 % point, 1 degree of freedom
    best = float(grid[int(np.argmax(likelihood))]) if telling.any() else 1.0
    return Examination(best, float(near[0]), float(near[-1]), int(telling.sum()))


def _likelihood(eta: float, place: NDArray[np.intp], logs: Doubles, clicks: Doubles, total: Doubles) -> float:
    attention = np.bincount(place, np.exp(-eta * logs), len(total))
    shares = np.zeros_like(total)
    np.log(attention, out=shares, where=attention > 0)
    return float(-eta * (clicks @ logs) - total[attention > 0] @ shares[attention > 0])


def propensity_weights(rank: ArrayLike, eta: float) -> Doubles:
    """What a selection at each rank counts: 1 / r^-η, at most `CLIP`; 0 where there is no hit."""
    r = np.asarray(rank, np.float64)
    return np.asarray(np.where(r > 0, np.minimum(np.maximum(r, 1.0) ** eta, CLIP), 0.0))


# weights


def fit(lists: Lists, names: Sequence[str], eta: float, *, ridge: float = RIDGE) -> Weights:
    """Weights of the model that a selected hit was chosen among those of its list, L2-regularised.

    Every selection counts by `propensity_weights`, scaled so that they count as many as there are.
    """
    from scipy.optimize import minimize

    there = lists.rank > 0
    known = np.where(there[..., None], lists.features, np.nan).reshape(-1, len(names))
    mean, scale = _moments(known)
    weights = Weights(tuple(names), tuple(mean), tuple(scale), (0.0,) * len(names))
    x = _standardised(lists.features, weights)
    counts = lists.selected * propensity_weights(lists.rank, eta) * there
    rows = counts.sum(axis=1) > 0
    x, there, counts = x[rows], there[rows], counts[rows]
    counts *= lists.selected[rows].sum() / max(counts.sum(), 1e-12)

    def loss(w: Doubles) -> tuple[float, Doubles]:
        score = np.where(there, x @ w, -np.inf)
        top = score.max(axis=1, keepdims=True)
        share = np.exp(score - top)
        norm = share.sum(axis=1, keepdims=True)
        share /= norm
        logs = np.where(there, score - top - np.log(norm), 0.0)
        pull = counts.sum(axis=1, keepdims=True) * share - counts
        return float(-(counts * logs).sum() + ridge / 2 * w @ w), np.einsum("il,ilf->f", pull, x) + ridge * w

    found = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B") if len(x) else None
    return Weights(weights.names, weights.mean, weights.scale, tuple(map(float, found.x)) if found else weights.weight)


def _moments(known: Doubles) -> tuple[list[float], list[float]]:
    """Mean and spread of each column (n, f), NaN left out; 0 and 1 where there is nothing to tell."""
    there = np.isfinite(known)
    n = np.maximum(there.sum(axis=0), 1)
    values = np.where(there, known, 0.0)
    mean = values.sum(axis=0) / n
    spread = np.sqrt((np.where(there, known - mean, 0.0) ** 2).sum(axis=0) / n)
    return mean.tolist(), np.where(spread > 1e-9, spread, 1.0).tolist()


# what they are worth


def learn(lists: Lists, names: Sequence[str], looked: Examination, *, seed: int = 0) -> Learned:
    """Weights from lists that were shown, applied only where they rank lists better that they were not learned from.

    Lists of one group are held out together, in `FOLDS` parts. The gain is in nDCG@10 corrected for position; its
    interval, a bootstrap over groups, must lie above 0 at the best η and at both ends of its interval.
    """
    groups, selected = len(np.unique(lists.group[lists.selected.any(axis=1)])), int(lists.selected.sum())
    few = _too_few(groups, selected)
    if few:
        return Learned(None, False, few, looked, len(lists), selected, groups, np.nan, np.nan, None, -np.inf)
    held = _held_out(lists, names, looked.eta, seed)
    gains = {eta: _gain(lists, held, eta, seed) for eta in dict.fromkeys((looked.eta, looked.low, looked.high))}
    shown, learned, gain = gains[looked.eta]
    worst = min(g.low for _, _, g in gains.values())
    if worst > 0:
        reason = "ranks better on lists it was not learned from"
    elif gain.low > 0:
        reason = "better only if attention falls with rank as estimated, which the log does not tell well enough"
    else:
        reason = "does not rank better on lists it was not learned from"
    weights = fit(lists, names, looked.eta)
    return Learned(weights, worst > 0, reason, looked, len(lists), selected, groups, shown, learned, gain, worst)


def _too_few(groups: int, selected: int) -> str:
    if groups < LEAST_GROUPS:
        return f"{groups} different questions with a selection; at least {LEAST_GROUPS} are needed"
    return f"{selected} selections; at least {LEAST_SELECTED} are needed" if selected < LEAST_SELECTED else ""


def _held_out(lists: Lists, names: Sequence[str], eta: float, seed: int) -> Doubles:
    """Scores (i, l) of every list by weights that were learned without its group."""
    known, place = np.unique(lists.group, return_inverse=True)
    part = np.random.default_rng(seed).permutation(len(known)) % FOLDS
    fold, scores = part[place], np.zeros(lists.rank.shape)
    for number in range(FOLDS):
        out = fold == number
        weights = fit(lists.some(~out), names, eta)
        scores[out] = _standardised(lists.features[out], weights) @ np.array(weights.weight)
    return scores


def _gain(lists: Lists, scores: Doubles, eta: float, seed: int) -> tuple[float, float, Estimate]:
    """Corrected nDCG@10 as shown and by scores, and the difference with its bootstrap interval over groups."""
    before, best = corrected(lists, -lists.rank.astype(np.float64), eta)
    from scipy.special import ndtri, stdtrit  # loads slowly, and every search reads weights

    after, _ = corrected(lists, scores, eta)
    _, place = np.unique(lists.group, return_inverse=True)
    sums = np.stack([np.bincount(place, values) for values in (before, after, best)])  # (3, groups)
    groups = sums.shape[1]
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
    again = drawn @ sums.T
    gap = (again[:, 1] - again[:, 0]) / np.maximum(again[:, 2], 1e-12)
    total = np.maximum(sums.sum(axis=1), 1e-12)
    shown, learned = float(total[0] / total[2]), float(total[1] / total[2])
    upper = (1 + LEVEL) / 2
    wider = float(stdtrit(groups - 1, upper) / ndtri(upper)) * np.sqrt(groups / (groups - 1))  # few groups vary little
    low, high = learned - shown + wider * (np.quantile(gap, [1 - upper, upper]) - (learned - shown))
    return shown, learned, Estimate(learned - shown, float(low), float(high))


def pooled_gains(lists: Lists, eta: float) -> Doubles:
    """How much each hit (i, l) is liked: how often it was selected in all its showings, over how often it was seen."""
    there = lists.rank > 0
    _, place = np.unique(lists.pair[there], return_inverse=True)
    number = int(place.max(initial=-1)) + 1
    selected = np.bincount(place, lists.selected[there], number)
    seen = np.bincount(place, lists.rank[there].astype(np.float64) ** -eta, number)
    gains = np.zeros(there.shape)
    gains[there] = (selected / np.maximum(seen, LEAST_SEEN))[place]
    return gains


def corrected(lists: Lists, scores: ArrayLike, eta: float, cut: int = CUT) -> tuple[Doubles, Doubles]:
    """DCG@cut (i,) of lists in the order of scores, and the highest that there is, by `gains`.

    The measure of many lists is Σ DCG / Σ best: normalising each list by itself would cancel the correction wherever
    one hit was selected.
    """
    gains = pooled_gains(lists, eta)
    length = gains.shape[1]
    discount = np.where(np.arange(length) < cut, 1 / np.log2(np.arange(2, length + 2)), 0.0)
    ordered = np.where(lists.rank > 0, np.asarray(scores, np.float64), -np.inf)
    order = np.argsort(-ordered, axis=1, kind="stable")
    best = -np.sort(-gains, axis=1)
    return np.take_along_axis(gains, order, axis=1) @ discount, best @ discount
