"""Confidence without a label: an attribute's logits read as a mixture of images that show it and images that do not.

What the two parts look like is a property of the encoder and comes from its card (`Prior`). Where the absent part lies
and how large the present one is belongs to the attribute and is found here from its logits alone, by summing over
both unknowns instead of picking one pair: an attribute that could be read two ways gets a curve between the two. Knows
nothing of labels; `components` fits a `Prior` from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import UsageError
from sextant.maths import isotonic, student
from sextant.maths.calibration import Calibration, sigmoid

Doubles = NDArray[np.float64]

LEAST_IMAGES = 20  # fewer say too little about the spread of a background
LEAST_SPREAD = 1e-6  # of a logit: an encoder whose background never moves must not divide by zero
POINTS = 250  # quantiles that stand for a whole column of logits
ENOUGH = 100_000  # images that a column of millions is thinned to first, evenly
WORTH = 400  # images at most that the likelihood may weigh: real columns are never quite the shape of the model
KNOTS: Doubles = np.concatenate([np.arange(-12, 12, 0.25), np.arange(12, 60.5, 1.0)])  # of evidence
RATIO_GRID: Doubles = np.arange(-20, 60.05, 0.1)
LEAST_RISE = 1e-3  # log-odds a unit of evidence, so that a flat stretch still keeps the order of its images
PREVALENCES: Doubles = sigmoid(np.linspace(-9.2, 6.9, 50))  # 0.01 % to 99.9 %
LEAST_BELOW = 10  # points below a level that say how wide the absent part is
NEGLIGIBLE = 1e-7  # weight of a level that no longer moves a confidence
MULTIPLIED, MOST_FACTOR = 10, 1e30  # factors of a likelihood that are multiplied before a logarithm, each below this
LEVEL_STEPS = np.linspace(-3.0, 3.0, 31)  # of the prior spread of an attribute's level


class TooFew(UsageError):
    """There are too few images for a prior."""


@dataclass(frozen=True, slots=True)
class Level:
    """How an encoder answers phrases that mean nothing to a collection, from its background logits.

    `center` and `across` are the median and the standard deviation, over prompts, of the prompt's median logit after
    subtracting λ · background; `spread` is σ, what is left of the logits after their image and prompt means; all three
    in logits. `shared` is the share of a prompt's variance from image to image that all prompts have in common; `null`
    the Student t (degrees of freedom, location, scale) of all prompts' evidence about their own medians, in σ.
    """

    center: float
    across: float
    spread: float
    shared: float
    null: tuple[float, float, float]
    images: int


@dataclass(frozen=True, slots=True)
class Prior:
    """What evidence looks like on one encoder, in units of its σ. Stored in the encoder's card.

    `weight` is λ, of the background. `absent` is a Student t (degrees of freedom, location, scale), `present` normal
    parts (share, mean, standard deviation). `shift` and `shift_spread` say where the absent level of an attribute lies
    against the level of unrelated prompts. `slope` and `offset` correct the mixture's log-odds for what the model
    leaves out. `prevalence` holds the two parameters of a Beta distribution. `level` is that of the collection it was
    fitted on, for collections too small to have their own. `source` says in words what it was fitted on. `native` is
    the slope and offset of the encoder's own sigmoid, where that was measured to be better than the mixture; the
    mixture is then not used.
    """

    weight: float
    absent: tuple[float, float, float]
    present: tuple[tuple[float, float, float], ...]
    shift: float
    shift_spread: float
    slope: float
    offset: float
    prevalence: tuple[float, float]
    source: str
    level: Level | None = None
    native: tuple[float, float] | None = None

    def to_params(self) -> dict[str, Any]:
        """Plain JSON values, for the card's key `prior`."""
        return asdict(self)

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Prior:
        """The prior that `to_params` wrote. Raises `UsageError` for anything else."""
        try:
            given = dict(params)
            level = given.pop("level", None)
            for name in ("absent", "prevalence"):
                given[name] = tuple(float(value) for value in given[name])
            given["present"] = tuple(tuple(float(value) for value in part) for part in given["present"])
            if given.get("native") is not None:
                slope, offset = given["native"]
                given["native"] = (float(slope), float(offset))
            if level is not None:
                level = Level(**{**level, "null": tuple(level["null"])})
            return cls(**given, level=level)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"not a prior of an encoder's card: {error}") from error


def background_level(background_logits: ArrayLike, weight: float) -> Level:
    """The level of a collection from the logits (n, k) of a sample of its images for the k background prompts.

    A few thousand images are plenty. Rows that are not finite are left out. Raises `UsageError` below 20 images.
    """
    table = np.asarray(background_logits, dtype=np.float64)
    table = table[np.isfinite(table).all(axis=1)]
    if len(table) < LEAST_IMAGES or table.shape[1] < 2:
        found = f"{len(table)} and {table.shape[1]}"
        raise UsageError(f"a background level needs at least {LEAST_IMAGES} images and 2 prompts, not {found}")
    image = table.mean(axis=1, keepdims=True)
    rest = table - image - table.mean(axis=0) + table.mean()
    spread = max(float(rest.std()), LEAST_SPREAD)
    own = table - weight * image
    medians = np.median(own, axis=0)
    return Level(
        center=float(np.median(medians)),
        across=float(medians.std()),
        spread=spread,
        shared=float(image.var() / max(image.var() + rest.var(), LEAST_SPREAD**2)),
        null=fit_student(((own - medians) / spread).ravel()),
        images=len(table),
    )


def prior(
    logits: ArrayLike,
    background: ArrayLike | None,
    card: Prior,
    level: Level | None = None,
    *,
    reference: float | None = None,
) -> Calibration:
    """The unlabelled calibration of one attribute, from its logits (n,) over a collection and their background (n,).

    Of kind `prior`, or `native` where the card trusts the encoder's own sigmoid. `level` is the collection's; without
    one, the card's. `reference` is the attribute's absent level after subtracting
    λ · background, in logits, where it is known from elsewhere. The curve and everything it rests on are frozen in the
    record, `prevalence` among them. Raises `UsageError` below 20 usable images.
    """
    if card.native is not None:
        return _native(np.asarray(logits, dtype=np.float64), card)
    level = level or card.level
    if level is None:
        raise UsageError("a prior needs the collection's background level, and its card has none to fall back on")
    raw = np.asarray(logits)
    images = int(np.isfinite(raw).sum())
    thin = np.s_[:: max(1, len(raw) // ENOUGH)]
    values = raw[thin].astype(np.float64)
    if card.weight:
        if background is None:
            raise UsageError("this encoder's prior compares a logit with its image's background, and none was given")
        values = values - card.weight * np.asarray(background)[thin]
    values = values[np.isfinite(values)]
    if len(values) < LEAST_IMAGES:
        raise TooFew(f"a prior needs at least {LEAST_IMAGES} images with a logit, not {len(values)}")
    expected = level.center + card.shift * level.spread if reference is None else reference
    curve, prevalence, shift = _posterior((values - expected) / level.spread, card)
    return Calibration(
        "prior",
        {
            "lambda": card.weight,
            "mu": expected,
            "sigma": level.spread,
            "e": KNOTS.tolist(),
            "log_odds": np.round(card.slope * curve + card.offset, 6).tolist(),
            "prevalence": prevalence,
            "level": expected + shift * level.spread,
            "images": images,
            "source": card.source,
        },
    )


def _native(logits: Doubles, card: Prior) -> Calibration:
    """The encoder's own sigmoid, with the prevalence that it implies."""
    slope, offset = card.native or (1.0, 0.0)
    usable = logits[np.isfinite(logits)]
    if len(usable) < LEAST_IMAGES:
        raise TooFew(f"a prior needs at least {LEAST_IMAGES} images with a logit, not {len(usable)}")
    return Calibration(
        "native",
        {
            "slope": slope,
            "offset": offset,
            "prevalence": float(sigmoid(slope * usable + offset).mean()),
            "images": len(usable),
            "source": card.source,
        },
    )


def _posterior(evidence: Doubles, card: Prior) -> tuple[Doubles, float, float]:
    """Log-odds at `KNOTS`, the mean prevalence and the mean level, over all levels and prevalences by their weight."""
    points = np.quantile(evidence, (np.arange(POINTS) + 0.5) / POINTS) if len(evidence) > POINTS else np.sort(evidence)
    worth = min(len(evidence), WORTH) / len(points)
    levels = card.shift_spread * LEVEL_STEPS
    widths = [_width(points, level, card) for level in levels]
    absent, present = log_densities(card, points - levels[:, None], np.array(widths)[:, None])
    excess = np.exp(np.clip(present - absent, -700, 700)) - 1
    weight = worth * (absent.sum(axis=1, keepdims=True) + np.array([_sums_of_logs(row) for row in excess]))
    weight += student.log_density(LEVEL_STEPS, (4.0, 0.0, 1.0))[:, None]
    a, b = card.prevalence  # one more of each: the grid is even in log-odds, whose density carries p (1 − p)
    weight += a * np.log(PREVALENCES) + b * np.log1p(-PREVALENCES)
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    curve = _mean_curve(levels, widths, weight, card)
    return curve, float(weight.sum(axis=0) @ PREVALENCES), float(weight.sum(axis=1) @ levels)


def _sums_of_logs(excess: Doubles) -> Doubles:
    """The sum of `log(1 + p · excess)` over all points for every p of `PREVALENCES`.

    A logarithm takes longer than ten products, so factors are multiplied first where no product can overflow.
    """
    together = MULTIPLIED if excess.max(initial=0.0) < MOST_FACTOR else 1
    padded = np.concatenate([excess, np.zeros(-len(excess) % together)])
    factors = (1 + PREVALENCES[:, None] * padded).reshape(len(PREVALENCES), together, -1)
    return cast("Doubles", np.log(factors.prod(axis=1)).sum(axis=1))


def _mean_curve(levels: Doubles, widths: list[float], weight: Doubles, card: Prior) -> Doubles:
    """Log-odds at `KNOTS` of the mean confidence over all levels and prevalences; a mean of rising curves rises."""
    odds = _logit(PREVALENCES)
    confidence = np.zeros(len(KNOTS))
    for level, width, share in zip(levels, widths, weight, strict=True):
        if share.sum() > NEGLIGIBLE:
            ratio = np.interp(KNOTS - level, RATIO_GRID, log_ratio(card, width))
            confidence += sigmoid(ratio[:, None] + odds) @ share
    curve = np.maximum.accumulate(_logit(np.clip(confidence, 1e-12, 1 - 1e-12)))
    return cast("Doubles", curve + LEAST_RISE * KNOTS)


def _logit(p: Doubles) -> Doubles:
    return cast("Doubles", np.log(p) - np.log1p(-p))


def _width(points: Doubles, level: float, card: Prior) -> float:
    """How many times wider than on the card the absent part is, judged by what lies below its level; at least 1.

    `points` are in rising order. What shows the attribute lies above, whatever its share, so the lower half belongs to
    the absent part alone. An attribute wider than others would push ordinary images out of its own absent part, and
    each would look like a match. A narrower one is left as it is: it would manufacture matches where there are none.
    """
    df, location, scale = card.absent
    below = int(np.searchsorted(points, level + location))
    if below < LEAST_BELOW:
        return 1.0
    middle = 0.5 * float(points[(below - 1) // 2] + points[below // 2])
    return max(1.0, (level + location - middle) / (scale * student.upper_quartile(df)))


@lru_cache(maxsize=64)
def log_ratio(card: Prior, width: float = 1.0) -> Doubles:
    """`log(present / absent)` on `RATIO_GRID`, made monotone.

    By isotonic regression, weighted by how often such evidence occurs: a running maximum would carry the noise of one
    thin tail over everything above it. The answer is kept, since most columns are no wider than the card says, and
    cannot be written to.
    """
    absent, present = log_densities(card, RATIO_GRID, width)
    often = np.exp(absent) + 0.1 * np.exp(present) + 1e-12
    found = isotonic.rising(np.clip(present - absent, -30, 30), often).values
    found.flags.writeable = False
    return found


def log_densities(card: Prior, evidence: Doubles, width: float | Doubles = 1.0) -> tuple[Doubles, Doubles]:
    """Log densities of evidence (n,) when the attribute is absent, its part `width` times wider, and when present."""
    parts = [
        np.log(share / (sd * np.sqrt(2 * np.pi))) - 0.5 * ((evidence - mean) / sd) ** 2
        for share, mean, sd in card.present
    ]
    df, location, scale = card.absent
    return student.log_density(evidence, (df, location, width * scale)), np.logaddexp.reduce(parts)


def fit_student(values: Doubles, weights: Doubles | None = None) -> tuple[float, float, float]:
    """Degrees of freedom (1.5 to 50), location and scale by maximum likelihood, on at most 2,000 quantiles."""
    points, share = _compressed(values, weights, 2000)
    start = float(max(np.sqrt(np.average((points - np.average(points, weights=share)) ** 2, weights=share)), 1e-9))

    def shape(free: Doubles) -> tuple[float, float, float]:
        return 1.5 + 48.5 * float(sigmoid(free[0])), float(free[1]) * start, start * float(np.exp(free[2]))

    def loss(free: Doubles) -> float:
        return -float(student.log_density(points, shape(free)) @ share)

    from scipy.optimize import minimize

    best = minimize(loss, [-2.0, float(np.median(points)) / start, -0.2], method="Nelder-Mead")
    df, location, scale = shape(best.x)
    return df, location, scale


def _compressed(values: Doubles, weights: Doubles | None, most: int) -> tuple[Doubles, Doubles]:
    """At most `most` points that stand for the values, and what each is worth, summing to 1."""
    if weights is None:
        if len(values) > most:
            values = np.quantile(values, (np.arange(most) + 0.5) / most)
        return values, np.full(len(values), 1 / len(values))
    order = np.argsort(values)
    rank = np.cumsum(weights[order]) / weights.sum()
    if len(values) > most:
        return values[order][np.searchsorted(rank, (np.arange(most) + 0.5) / most)], np.full(most, 1 / most)
    return values, weights / weights.sum()
