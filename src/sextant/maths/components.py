"""Fits a `Prior`, an encoder's own mixture components, from a labelled collection; and says what to use without one.

Knows nothing of the attributes that the prior will be used for: judged on one of them, it must have been fitted on
others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import UsageError
from sextant.maths.calibration import log_odds, sigmoid
from sextant.maths.mixture import Level, Prior, background_level, fit_student, prior

Doubles = NDArray[np.float64]
Training = Literal["softmax", "sigmoid"]

LEAST_EACH = 20  # labelled cells of either answer
PREVALENCE = (0.2, 3.0)  # Beta: most phrases are shown by hardly any image of a collection
LEAST_WEIGHT = 0.1  # a smaller λ costs a look-up and buys nothing
MOST_WEIGHT = 1.2
STRETCHES = (1.0, 1.5, 2.0, 2.75)
SHARED = 0.2  # share of a phrase's variance that must be common to all before an unknown encoder's background counts

# Recomputed by `python benchmarks/calibration.py --clip-prior`, and compared with it by the tests.
CLIP_VIT_B32 = Prior(
    weight=0.751,
    absent=(7.232, 0.0723, 0.8965),
    present=((1.0, 4.095, 1.402),),
    shift=0.2735,
    shift_spread=0.5996,
    slope=0.8573,
    offset=-0.5454,
    prevalence=(0.2, 3.0),
    source="CLIP ViT-B/32 on 250 CIFAR-10 images",
    level=Level(center=4.998, across=1.103, spread=1.204, shared=0.5197, null=(10.02, 0.02028, 0.9254), images=250),
)


def unknown_prior(background_logits: ArrayLike, training: Training = "softmax") -> Prior:
    """What to use for an encoder whose card has no prior: cautious, from its background logits (n, k) alone.

    The absent part is what unrelated prompts show of this encoder (an empirical null, widened until its outermost
    thousandth fits); the present part is that of CLIP ViT-B/32 and its stretched copies, since another encoder may
    separate more widely; and few images show anything. The background is subtracted
    where it carries at least a fifth of what moves a phrase from image to image, and never for a sigmoid-trained
    encoder, whose logits do not float.
    """
    floats = training == "softmax" and background_level(background_logits, 0.0).shared >= SHARED
    weight = CLIP_VIT_B32.weight if floats else 0.0
    level = background_level(background_logits, weight)
    df, location, scale = level.null
    _, mean, sd = CLIP_VIT_B32.present[0]
    return Prior(
        weight=weight,
        absent=(df, location, scale * max(1.0, _outermost(background_logits, level, weight))),
        present=tuple((1 / len(STRETCHES), mean * stretch, sd * stretch) for stretch in STRETCHES),
        shift=0.5,
        shift_spread=1.0,
        slope=1.0,
        offset=0.0,
        prevalence=(0.2, 60.0),
        source="an encoder nobody has measured: its own background prompts, and CLIP ViT-B/32 on 250 CIFAR-10 images",
        level=level,
    )


def _outermost(background_logits: ArrayLike, level: Level, weight: float) -> float:
    """The background prompts' outermost thousandth of evidence, as a multiple of where their Student t puts it."""
    table = np.asarray(background_logits, dtype=np.float64)
    table = table[np.isfinite(table).all(axis=1)]
    own = table - weight * table.mean(axis=1, keepdims=True)
    evidence = (own - np.median(own, axis=0)) / level.spread
    from scipy.special import stdtrit

    df, location, scale = level.null
    return (float(np.quantile(evidence, 0.999)) - location) / (scale * float(stdtrit(df, 0.999)))


def fit_prior(
    logits: ArrayLike,
    background: ArrayLike,
    background_logits: ArrayLike,
    truth: ArrayLike,
    *,
    source: str,
    weights: ArrayLike | None = None,
) -> Prior:
    """An encoder's prior from logits (n, a), background (n,), background logits (m, k) and truth (n, a).

    `truth` is 1, 0 or NaN where nobody knows; `weights` (n, a) are inverse inclusion probabilities where labels were
    picked by score. Raises `UsageError` below 20 labelled cells of either answer.
    """
    values, known = np.asarray(logits, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    base = np.asarray(background, dtype=np.float64)
    known = np.where(np.isfinite(values) & np.isfinite(base)[:, None], known, np.nan)
    share = np.where(np.isnan(known), 0.0, 1.0 if weights is None else np.asarray(weights, dtype=np.float64))
    keep = [a for a in range(values.shape[1]) if (known[:, a] == 1).any() and (known[:, a] == 0).any()]
    values, known, share = values[:, keep], known[:, keep], share[:, keep]
    if min((known == 1).sum(), (known == 0).sum()) < LEAST_EACH:
        raise UsageError(f"a prior needs at least {LEAST_EACH} labelled cells that are true and as many that are not")
    weight = background_weight(values, base, known, share)
    level = background_level(background_logits, weight)
    card = _parts(values - weight * base[:, None], known, share, level)
    card = replace(card, weight=weight, level=level, source=source)
    return _corrected(card, values, base, known, share)


def background_weight(logits: Doubles, background: Doubles, truth: Doubles, share: Doubles) -> float:
    """λ: minus the ratio of the coefficients of background and logit in one logistic regression for all attributes.

    Each attribute has its own intercept, so that only differences between images count.
    """
    row, column = np.nonzero(share)
    z, b, y, w = logits[row, column], background[row], truth[row, column], share[row, column]
    count = logits.shape[1]
    z_scale, b_scale = max(z.std(), 1e-9), max(b.std(), 1e-9)
    x, g = (z - z.mean()) / z_scale, (b - b.mean()) / b_scale

    def loss(free: Doubles) -> tuple[float, Doubles]:
        linear = free[0] * x + free[1] * g + free[2:][column]
        value = np.average(np.logaddexp(0, linear) - y * linear, weights=w) + 1e-4 * (free**2).sum()
        slope = w * (sigmoid(linear) - y) / w.sum()
        intercepts = np.bincount(column, slope, count)
        return float(value), np.concatenate([[slope @ x, slope @ g], intercepts]) + 2e-4 * free

    from scipy.optimize import minimize  # loads slowly, and most collections fit no components

    best = minimize(loss, np.zeros(count + 2), jac=True, method="L-BFGS-B").x
    if best[0] <= 0:
        return 0.0
    weight = -(best[1] / b_scale) / (best[0] / z_scale)
    return 0.0 if weight < LEAST_WEIGHT else round(float(min(weight, MOST_WEIGHT)), 3)


def _parts(values: Doubles, truth: Doubles, share: Doubles, level: Level) -> Prior:
    """Both densities, and where the absent level of an attribute lies against that of unrelated prompts."""
    levels = np.array([_median(v[t == 0], s[t == 0]) for v, t, s in zip(values.T, truth.T, share.T, strict=True)])
    evidence = (values - levels) / level.spread
    absent, present = truth == 0, truth == 1
    df, location, scale = fit_student(evidence[absent], share[absent])
    mean = float(np.average(evidence[present], weights=share[present]))
    sd = float(np.sqrt(np.average((evidence[present] - mean) ** 2, weights=share[present])))
    shifts = (levels - level.center) / level.spread
    across = level.across / level.spread
    # Few attributes say little of how attributes vary: the unrelated prompts speak as four more of them.
    spread = np.sqrt((((shifts - shifts.mean()) ** 2).sum() + 4 * across**2) / (len(shifts) + 3))
    return Prior(
        weight=0.0,
        absent=(df, location, scale),
        present=((1.0, mean, max(sd, 0.1)),),
        shift=float(shifts.mean()),
        shift_spread=float(max(spread, 0.1)),
        slope=1.0,
        offset=0.0,
        prevalence=PREVALENCE,
        source="",
    )


def _corrected(card: Prior, logits: Doubles, background: Doubles, truth: Doubles, share: Doubles) -> Prior:
    """The card with the slope and offset that its unlabelled answers would have needed, or the encoder's sigmoid."""
    odds = np.empty_like(logits)
    for a in range(logits.shape[1]):
        curve = prior(logits[:, a], background, card)
        odds[:, a] = log_odds(curve, logits[:, a], background)
    seen = share > 0
    y, w = truth[seen], share[seen]
    (slope, offset), mixed = _line(odds[seen], y, w)
    own, native = _line(logits[seen], y, w)
    return replace(card, slope=slope, offset=offset, native=own if native < mixed else None)


def _line(x: Doubles, y: Doubles, w: Doubles) -> tuple[tuple[float, float], float]:
    """Slope and offset on log-odds x, drawn gently towards 1 and 0, and the Brier score they reach.

    On raw logits this tries the encoder's own sigmoid: only a sigmoid-trained encoder has one near slope 1, offset 0.
    """

    def loss(free: Doubles) -> float:
        linear = np.exp(free[0]) * x + free[1]
        fit = np.average(np.logaddexp(0, linear) - y * linear, weights=w) * len(x)
        return float(fit + 0.5 * (free[0] / 0.5) ** 2 + 0.5 * (free[1] / 2.0) ** 2)

    from scipy.optimize import minimize

    best = minimize(loss, [0.0, 0.0], method="Nelder-Mead").x
    slope, offset = float(np.exp(best[0])), float(best[1])
    return (slope, offset), float(np.average((sigmoid(slope * x + offset) - y) ** 2, weights=w))


def _median(values: Doubles, weights: Doubles) -> float:
    order = np.argsort(values)
    rank = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(rank, rank[-1] / 2)])
