"""Which examples are learnt from, chosen by, calibrated on and tested on; and which of them the base doubts.

Near-duplicates, also those that a chain of others connects, stay in one part. numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import softmax

from sextant.errors import UsageError
from sextant.maths import groups
from sextant.types import Floats

Rows = NDArray[np.intp]
PARTS = ("train", "choice", "calibration", "test")
SHARES = (0.64, 0.10, 0.11, 0.15)
LIKENESS = 0.8
"""Cosine of two perceptual hashes from which two images are of one shot, as in `sextant duplicates`."""
MOST_LOST = 0.3


def connected(vectors: Floats, hashes: Floats, threshold: float | None = None) -> Rows:
    """The number (n,) of the set of near-duplicates that each image belongs to; (n, dim) and (n, 64) unit rows.

    Two images are near where the cosine reaches `threshold` (by default that of `sextant duplicates`) and their
    perceptual hashes agree.
    """
    n = len(vectors)
    order = np.arange(n)
    edge = groups.threshold_of(vectors) if threshold is None else threshold

    def related(left: Rows, right: Rows) -> NDArray[np.bool_]:
        return groups.similarities(hashes, left, right) >= LIKENESS

    search = groups.Search(vectors, order, edge, related)
    rows, columns = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for start in range(0, n, groups.ROWS):
        stop = min(start + groups.ROWS, n)
        for left in range(0, stop, groups.COLUMNS):
            near = search.near(start, stop, left)
            rows.append(near.row)
            columns.append(near.column)
    i, j = np.concatenate(rows), np.concatenate(columns)
    _, found = connected_components(coo_array((np.ones(len(i), np.int8), (i, j)), shape=(n, n)), directed=False)
    return np.asarray(found, np.intp)


def split(labels: Rows, group: Rows, *, seed: int, shares: Sequence[float] = SHARES) -> Rows:
    """The part (n,) of each example, an index into `PARTS`: every class in every part, every group in one part.

    A group goes to the part that lacks most of its (first) class. Where near-duplicates leave a class without images in
    a part, that is an error.

    Raises:
        UsageError: a class whose images are all near-duplicates of too few.
    """
    rng = np.random.default_rng([seed, 0])
    part = np.full(len(labels), -1, np.intp)
    order = rng.permutation(int(group.max()) + 1)
    members = _members(group)
    for code in np.unique(labels):
        wanted = _counts(int((labels == code).sum()), shares)
        wanted = wanted - np.bincount(part[(labels == code) & (part >= 0)], minlength=len(shares))
        mine = [g for g in order if part[members[g][0]] < 0 and labels[members[g][0]] == code]
        mine.sort(key=lambda g: -len(members[g]))  # large sets first, or they find no room; stable, so still random
        for g in mine:
            chosen = int(np.argmax(wanted / np.maximum(_counts(int((labels == code).sum()), shares), 1)))
            part[members[g]] = chosen
            wanted[chosen] -= int((labels[members[g]] == code).sum())
    for code in np.unique(labels):
        missing = [PARTS[k] for k in range(len(shares)) if not ((labels == code) & (part == k)).any()]
        if missing:
            raise UsageError(
                f"the images of class number {code} are near-duplicates of so few that none is left for "
                f"{' and '.join(missing)}; add other images of it, or leave the class out with --without"
            )
    return part


def _members(group: Rows) -> list[Rows]:
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _counts(n: int, shares: Sequence[float]) -> Rows:
    """How many of n go to each part: at least one, the rest to the first."""
    counts = np.maximum(1, np.round(n * np.asarray(shares)).astype(np.intp))
    counts[0] = n - counts[1:].sum()
    return counts


@dataclass(frozen=True, slots=True)
class Gate:
    """The base's zero-shot probability (n,) of each training image's own class, and which are kept."""

    probability: NDArray[np.float64]
    kept: NDArray[np.bool_]
    dropped: dict[str, int]
    shares: dict[str, float]

    def gutted(self, most: float = MOST_LOST) -> list[str]:
        """Classes that lose a larger share than this."""
        return [code for code, share in self.shares.items() if share > most]


def gate(logits: Floats, labels: Rows, classes: Sequence[str], least: float) -> Gate:
    """Keeps the training images to whose own class the base gives a probability of `least` or more.

    `logits` (n, classes) are the base's, by canonical prompts. The gate of the reference; it belongs to training images
    alone, or the test becomes as easy as the base likes it.
    """
    probability = softmax(np.asarray(logits, np.float64), axis=1)[np.arange(len(labels)), labels]
    kept = probability >= least
    dropped = {code: int((~kept & (labels == k)).sum()) for k, code in enumerate(classes)}
    shares = {code: dropped[code] / max(1, int((labels == k).sum())) for k, code in enumerate(classes)}
    return Gate(probability, kept, dropped, shares)


def stop_at_gutted(found: Gate, least: float, most: float = MOST_LOST) -> None:
    """Raises `UsageError` where the gate would take too much of a class."""
    gutted = found.gutted(most)
    if gutted:
        told = ", ".join(f"{code} {100 * found.shares[code]:.0f} %" for code in gutted[:8])
        more = f" and {len(gutted) - 8} more" if len(gutted) > 8 else ""
        raise UsageError(
            f"the base gives less than {least:g} to so many training images that classes would lose more than "
            f"{100 * most:.0f} %: {told}{more}. It does not know these classes well enough to judge their images. "
            "Leave the gate out with --gate 0, or describe the classes in words that it knows (--classes)"
        )
