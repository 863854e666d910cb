"""What is seen in which order: oversampled rows, batches of which half comes from one cluster, proposed clusters.

numpy and scipy only; every draw comes from a generator that the caller seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

Rows = NDArray[np.intp]
Rng = np.random.Generator
MOST_IN_CLUSTER = 6


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of the oversampled set (n,); `hard` of them were drawn from one cluster."""

    rows: Rows
    hard: int


def oversample(labels: Rows, per_class: int, rng: Rng) -> Rows:
    """Indices into the originals so that each class has `per_class` rows or more; every original comes at least once.

    What is beyond the originals goes around them evenly: none comes twice more than another. With 0 every class has as
    many rows as the largest.
    """
    sizes = np.bincount(labels)
    wanted = int(sizes.max()) if per_class == 0 else per_class
    found = []
    for code in np.flatnonzero(sizes):
        mine = np.flatnonzero(labels == code)
        rounds = [mine]
        while sum(map(len, rounds)) < wanted:
            rounds.append(rng.permutation(mine))
        found.append(np.concatenate(rounds)[: max(wanted, len(mine))])
    return np.concatenate(found)


def epoch(
    labels: Rows, clusters: Sequence[Sequence[int]], size: int, share: float, rng: Rng, *, replacement: bool = False
) -> list[Batch]:
    """The batches of an epoch: every row once, and of each batch a `share` from one cluster of classes.

    `labels` (n,) are those of the oversampled rows. A cluster is chosen by how many of its rows are left. With
    `replacement` the hard part is drawn anew each time, from a cluster chosen evenly, and the rest from a shuffled pool
    that an epoch uses half of: so does the reference.
    """
    pools = [np.flatnonzero(np.isin(labels, list(cluster))) for cluster in clusters]
    pools = [pool for pool in pools if len(pool)]
    if replacement:
        return _drawn(len(labels), pools, size, round(size * share) if pools else 0, rng)
    return _once(len(labels), pools, size, share, rng)


def _drawn(n: int, pools: Sequence[Rows], size: int, hard: int, rng: Rng) -> list[Batch]:
    order, found = rng.permutation(n), []
    for start in range(0, n // size):
        easy = order[start * (size - hard) : (start + 1) * (size - hard)]
        picked = rng.choice(pools[int(rng.integers(len(pools)))], hard) if hard else order[:0]
        found.append(Batch(np.concatenate([picked, easy]), hard))
    return found


def _once(n: int, pools: Sequence[Rows], size: int, share: float, rng: Rng) -> list[Batch]:
    left = np.ones(n, np.bool_)
    order, queues = rng.permutation(n), [rng.permutation(pool) for pool in pools]
    found: list[Batch] = []
    for part in np.array_split(np.arange(n), max(1, round(n / size))):
        picked, hard = order[:0], round(len(part) * share)
        while queues and len(picked) < hard:  # one cluster, unless what is left of all is too little
            queues = [queue for queue in (queue[left[queue]] for queue in queues) if len(queue)]
            if not queues:
                break
            counts, wanted = np.array([len(queue) for queue in queues], np.float64), hard - len(picked)
            able = counts * (counts >= wanted) if (counts >= wanted).any() else counts
            taken = queues[int(rng.choice(len(queues), p=able / able.sum()))][:wanted]
            left[taken] = False
            picked = np.concatenate([picked, taken])
        order = order[left[order]]
        easy = order[: len(part) - len(picked)]
        left[easy] = False
        found.append(Batch(np.concatenate([picked, easy]), len(picked)))
    return found


def hard_share(batches: Sequence[Batch]) -> float:
    """Which share of the rows of all batches was drawn from a cluster."""
    return sum(batch.hard for batch in batches) / max(1, sum(len(batch.rows) for batch in batches))


def propose(confusion: NDArray[np.float64], most: int = MOST_IN_CLUSTER) -> list[list[int]]:
    """Clusters of classes (indices) that are taken for each other, from a confusion matrix (truth, answer) of counts.

    Average linkage on the share of confusions of two classes, cut where no cluster has more than `most` classes; a
    class that nobody confuses is in none.
    """
    rates = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    both = (rates + rates.T) / 2
    np.fill_diagonal(both, 0)
    if len(both) < 2 or not both.any():
        return []
    distance = 1 - both / both.max()
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    for height in sorted({*tree[:, 2]}, reverse=True):
        numbers = fcluster(tree, height, "distance")
        if np.bincount(numbers).max() <= most:
            break
    found = [np.flatnonzero(numbers == number).tolist() for number in np.unique(numbers)]
    return [part for part in found if len(part) > 1 and both[np.ix_(part, part)].any()]
