"""Clusters of unit vectors: k-means from k-means++ starts, in numpy; HDBSCAN where scikit-learn is installed.

Arthur and Vassilvitskii 2007; Campello, Moulavi and Sander 2013. Knows nothing of images or attributes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sextant.errors import MissingExtra
from sextant.types import Floats

Rows = NDArray[np.intp]
FITTED_ON = 50_000  # rows that centres are fitted on; all are then assigned
ROUNDS = 100
ROWS_AT_ONCE = 65_536
DENSITY_WIDTH = 32  # directions kept for HDBSCAN: density means little in hundreds of dimensions


@dataclass(frozen=True, slots=True)
class Clustering:
    """`label` (n,) is the cluster of each row, −1 for none; `centres` (k, dim) their means; largest cluster first.

    `inertia` is the sum of squared distances to the centres.
    """

    label: Rows
    centres: Floats
    inertia: float


def k_means(vectors: Floats, k: int, *, seed: int = 0, restarts: int = 3) -> Clustering:
    """k clusters of rows (n, dim): the best of several starts. Fewer where there are fewer different rows.

    Centres of many rows are fitted on a sample.
    """
    n = len(vectors)
    random = np.random.default_rng(seed)
    sample = vectors if n <= FITTED_ON else vectors[np.sort(random.choice(n, FITTED_ON, replace=False))]
    runs = [_lloyd(sample, _starts(sample, k, random), random) for _ in range(restarts if len(sample) else 0)]
    if not runs:
        return Clustering(np.zeros(0, np.intp), np.zeros((0, vectors.shape[1]), np.float32), 0.0)
    centres = min(runs, key=lambda run: run[1])[0]
    return _sorted(vectors, _nearest(vectors, centres)[0])


def by_density(vectors: Floats, *, least: int = 10) -> Clustering:
    """Clusters of at least `least` rows where rows lie dense; the others belong to none.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import HDBSCAN
    except ImportError as error:
        raise MissingExtra("Clustering by density", "clusters") from error
    if len(vectors) < max(2, least):
        return _sorted(vectors, np.full(len(vectors), -1, np.intp))
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    flat = centred @ directions[:, -DENSITY_WIDTH:]
    found = HDBSCAN(min_cluster_size=least, copy=True).fit(flat.astype(np.float64))
    return _sorted(vectors, np.asarray(found.labels_, np.intp))


def _starts(rows: Floats, k: int, random: np.random.Generator) -> Floats:
    """k-means++: each next centre is drawn with a probability in proportion to its squared distance to those so far."""
    chosen = [int(random.integers(len(rows)))]
    lengths = np.einsum("ij,ij->i", rows, rows)
    distance = _squared(rows, lengths, rows[chosen])[:, 0]
    while len(chosen) < k and distance.max() > 1e-6:
        chosen.append(int(random.choice(len(rows), p=distance / distance.sum(dtype=np.float64))))
        distance = np.minimum(distance, _squared(rows, lengths, rows[chosen[-1:]])[:, 0])
    return rows[chosen]


def _lloyd(rows: Floats, centres: Floats, random: np.random.Generator) -> tuple[Floats, float]:
    """Centres that are the means of the rows nearest to them, and the sum of squared distances."""
    label, inertia = _nearest(rows, centres)
    for _ in range(ROUNDS):
        centres = _means(rows, label, len(centres))
        empty = np.flatnonzero(np.bincount(label, minlength=len(centres)) == 0)
        if len(empty):  # a centre that lost all its rows starts again at one of them
            centres[empty] = rows[random.choice(len(rows), len(empty), replace=False)]
        after, now = _nearest(rows, centres)
        if np.array_equal(after, label):
            break
        label, inertia = after, now
    return centres, inertia


def _nearest(rows: Floats, centres: Floats) -> tuple[Rows, float]:
    """The nearest centre of every row, and the sum of squared distances."""
    label, total = np.empty(len(rows), np.intp), 0.0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        distance = _squared(part, np.einsum("ij,ij->i", part, part), centres)
        label[start : start + ROWS_AT_ONCE] = distance.argmin(axis=1)
        total += float(distance.min(axis=1).sum(dtype=np.float64))
    return label, total


def _squared(rows: Floats, lengths: Floats, centres: Floats) -> Floats:
    """Squared distances (n, k); `lengths` (n,) are squared."""
    out: Floats = lengths[:, None] - 2 * (rows @ centres.T) + np.einsum("ij,ij->i", centres, centres)
    np.maximum(out, 0, out=out)
    return out


def _means(rows: Floats, label: Rows, k: int) -> Floats:
    out = np.zeros((k, rows.shape[1]), np.float64)
    for cluster in range(k):
        members = np.flatnonzero(label == cluster)
        if len(members):
            out[cluster] = rows[members].mean(axis=0, dtype=np.float64)
    return out.astype(np.float32)


def _sorted(vectors: Floats, label: Rows) -> Clustering:
    """Clusters renumbered, the largest first; empty ones are left out."""
    counts = np.bincount(label[label >= 0], minlength=0)
    order = np.argsort(-counts, kind="stable")[: int(np.count_nonzero(counts))]
    number = np.full(len(counts) + 1, -1, np.intp)  # the last one is for −1
    number[order] = np.arange(len(order))
    fresh = number[label]
    centres = _means(vectors, fresh, len(order))
    inside = np.flatnonzero(fresh >= 0)
    inertia = 0.0
    for start in range(0, len(inside), ROWS_AT_ONCE):
        part = inside[start : start + ROWS_AT_ONCE]
        inertia += float(((vectors[part] - centres[fresh[part]]) ** 2).sum(dtype=np.float64))
    return Clustering(fresh, centres, inertia)
