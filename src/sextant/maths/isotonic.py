"""Numbers in a row become the nearest ones that never fall: isotonic regression, by pooling adjacent violators.

After Busing, Monotone Regression: A Simple and Fast O(n) PAVA Implementation, Journal of Statistical Software 102
(2022), as scipy.optimize.isotonic_regression does it. That loads for a third of a second, and every first search needs
a curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import UsageError


@dataclass(frozen=True, slots=True)
class Steps:
    """Values (n,) that never fall, and where they change: block k is `values[blocks[k] : blocks[k + 1]]`."""

    values: NDArray[np.float64]
    blocks: NDArray[np.intp]


def rising(values: ArrayLike, weights: ArrayLike) -> Steps:
    """The values (n,) that never fall and are nearest to these by weighted squares; every weight is above 0.

    Raises:
        UsageError: there are no values, not as many weights, or a weight that is not above 0.
    """
    given, shares = np.asarray(values, np.float64).tolist(), np.asarray(weights, np.float64).tolist()
    if not given or len(given) != len(shares) or not min(shares) > 0:
        raise UsageError(f"isotonic regression of {len(given)} values needs as many weights, each above 0")
    means, worth, ends = [given[0]], [shares[0]], [1]
    place, count = 1, len(given)
    while place < count:
        mean, share = given[place], shares[place]
        place += 1
        if means[-1] >= mean:
            above, mass = means.pop(), worth.pop()
            ends.pop()
            total, share = mass * above + share * mean, share + mass
            mean = total / share
            while place < count and mean >= given[place]:
                total, share = total + shares[place] * given[place], share + shares[place]
                mean, place = total / share, place + 1
            while means and means[-1] >= mean:
                before, mass = means.pop(), worth.pop()
                ends.pop()
                total, share = total + mass * before, share + mass
                mean = total / share
        means.append(mean)
        worth.append(share)
        ends.append(place)
    blocks = np.array([0, *ends], np.intp)
    return Steps(np.repeat(means, np.diff(blocks)), blocks)
