"""Two ways to answer, compared by what people selected: rates and their difference with honest intervals.

Counts come by person, because the answers that one person saw are not independent of each other: `trials` and
`successes` are (c,) arrays with an entry a person. Knows nothing of rankings or images.

A rate's interval is Wilson's (1927) at the number of independent trials that the clusters are worth; that of a
difference joins two of them by Newcombe's method 10 (1998), also known as MOVER. `anytime` is the asymptotic confidence
sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024): valid however often somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from math import ceil, log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtri, stdtrit

from sextant.errors import UsageError
from sextant.maths.metrics import Estimate

Doubles = NDArray[np.float64]

LEVEL = 0.95
POWER = 0.8
RESAMPLES = 1000
PLANNED = 500
"""People at whom the anytime interval is about as narrow as it can be."""
LEAST_PEOPLE = 30
"""Below so many the anytime interval, an asymptotic one, says nothing."""
MISMATCH = 0.001


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of `n` trials with its 95 % interval; `design` is how many dependent trials are worth one."""

    value: float
    low: float
    high: float
    n: int
    clusters: int
    design: float

    @property
    def standard_error(self) -> float:
        """Of the share, with a trial of either outcome added: never 0."""
        worth = self.n / self.design
        p = (self.value * worth + 1) / (worth + 2)
        return sqrt(p * (1 - p) / worth)


@dataclass(frozen=True, slots=True)
class Difference:
    """The rate of b less that of a: the 95 % interval for one look at a time fixed before, and the one for any time."""

    value: float
    low: float
    high: float
    anytime_low: float
    anytime_high: float

    @property
    def significant(self) -> bool:
        """Whether the interval for one look leaves out 0."""
        return self.low > 0 or self.high < 0

    @property
    def significant_anytime(self) -> bool:
        """Whether the interval for any time leaves out 0."""
        return self.anytime_low > 0 or self.anytime_high < 0


def assigned(experiment: str, person: str, share: float = 0.5) -> str:
    """`a` or `b`, always the same for a person, by a hash; a `share` of people gets `b`."""
    digest = blake2b(f"{experiment}\0{person}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return "b" if int.from_bytes(digest, "big") < share * 2.0**64 else "a"


def wilson(successes: float, n: float, critical: float | None = None) -> tuple[float, float]:
    """Wilson's score interval for a rate; (0, 1) without trials. `critical` is the normal quantile's place."""
    z = float(ndtri((1 + LEVEL) / 2)) if critical is None else critical
    if n <= 0:
        return 0.0, 1.0
    p, spread = successes / n, z * z / n
    middle = (p + spread / 2) / (1 + spread)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def rate(successes: ArrayLike, trials: ArrayLike) -> Rate:
    """The share of trials that succeeded, of people (c,) who each made some."""
    s, t = _counts(successes, trials)
    n, clusters = float(t.sum()), len(t)
    if not n:
        return Rate(float("nan"), 0.0, 1.0, 0, 0, 1.0)
    p, design = float(s.sum() / n), _design(s, t)
    single = bool((t == 1).all())
    critical = None if single or clusters < 2 else float(stdtrit(clusters - 1, (1 + LEVEL) / 2))
    low, high = wilson(p * n / design, n / design, critical)
    return Rate(p, low, high, int(n), clusters, design)


def _design(s: Doubles, t: Doubles) -> float:
    """How many trials are worth an independent one, at least 1: the clusters' variance over the binomial one."""
    n, clusters, p = t.sum(), len(t), s.sum() / t.sum()
    alike = float((t**2).sum() / n)  # if all trials of a person came out the same
    if (t == 1).all():
        return 1.0
    if clusters < 2 or p * (1 - p) <= 0:
        return alike
    variance = clusters / (clusters - 1) * float(((s - p * t) ** 2).sum()) / n**2
    return float(max(1.0, variance * n / (p * (1 - p))))


def difference(a: Rate, b: Rate) -> Difference:
    """The rate of b less that of a, with both intervals. Without trials on a side anything is possible."""
    if not a.n or not b.n:
        return Difference(float("nan"), -1.0, 1.0, -1.0, 1.0)
    gap = b.value - a.value
    low = gap - sqrt((b.value - b.low) ** 2 + (a.high - a.value) ** 2)
    high = gap + sqrt((b.high - b.value) ** 2 + (a.value - a.low) ** 2)
    half = anytime_half_width(sqrt(a.standard_error**2 + b.standard_error**2), a.clusters + b.clusters)
    return Difference(gap, low, high, max(-1.0, gap - half), min(1.0, gap + half))


def anytime_half_width(standard_error: float, people: int, planned: int = PLANNED) -> float:
    """Half the width of the interval that holds at all times at once; infinite below `LEAST_PEOPLE`.

    `planned` must be chosen before anything is seen.
    """
    if people < LEAST_PEOPLE:
        return float("inf")
    alpha = 1 - LEVEL
    rho = (-2 * log(alpha) + log(-2 * log(alpha)) + 1) / planned  # ρ², narrowest at `planned`
    t = people * rho
    return standard_error * sqrt(2 * (t + 1) / t * log(sqrt(t + 1) / alpha))


def mismatch(a: int, b: int, share: float = 0.5) -> float:
    """How probable it is that people divide at least so unevenly by chance (χ², 1 degree of freedom)."""
    n = a + b
    if not n or not 0 < share < 1:
        return 1.0
    expected = n * share
    return float(chdtrc(1, (b - expected) ** 2 / expected + (a - (n - expected)) ** 2 / (n - expected)))


def needed(base: float, effect: float, *, design: float = 1.0, power: float = POWER) -> int:
    """Trials a side at which a true difference of `effect` from the rate `base` comes out with probability `power`.

    Raises:
        UsageError: an effect of 0, or one that leads out of 0 to 1.
    """
    other = base + effect
    if not effect or not 0 <= base <= 1 or not 0 <= other <= 1:
        raise UsageError(f"an effect of {effect:g} on a rate of {base:.3g} leads nowhere between 0 and 1")
    z = float(ndtri((1 + LEVEL) / 2) + ndtri(power))
    variance = base * (1 - base) + other * (1 - other)
    return max(1, ceil(z * z * variance / effect**2 * design))


def ratio(sums: ArrayLike, counts: ArrayLike, *, seed: int = 0) -> Estimate | None:
    """Σ sums / Σ counts of people (c,), such as a mean rank, with a bootstrap interval over people; None of nothing."""
    s, n = np.asarray(sums, np.float64).ravel(), np.asarray(counts, np.float64).ravel()
    s, n = s[n > 0], n[n > 0]
    if not len(n):
        return None
    drawn = np.random.default_rng(seed).multinomial(len(n), np.full(len(n), 1 / len(n)), RESAMPLES)
    again = (drawn @ s) / (drawn @ n)  # every draw holds somebody, and everybody counts at least one
    low, high = np.quantile(again, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(s.sum() / n.sum()), float(low), float(high))


def _counts(successes: ArrayLike, trials: ArrayLike) -> tuple[Doubles, Doubles]:
    s, t = np.asarray(successes, np.float64).ravel(), np.asarray(trials, np.float64).ravel()
    if s.shape != t.shape or (s < 0).any() or (s > t).any():
        raise UsageError("successes are from 0 to the number of trials, and every person has both")
    return s[t > 0], t[t > 0]
