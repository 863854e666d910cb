"""Near-duplicates: from unit vectors to groups in which every two images resemble each other.

A group is a clique: all its pairs reach the threshold, so a chain A~B~C whose ends differ is never one group, whatever
lies between. Images are taken in a given order, best first; each joins the group all of whose members it resembles
(where there are several, the one whose least similar member is most similar), or starts one. Hence the first image of
a group is its best, no two groups could be merged, and no list of pairs is kept: memory stays small where thousands of
frames are alike.

Pairs are found exactly. With an orthonormal basis of the directions that matter most, x = p + r, and by Cauchy-Schwarz
x·y ≤ p·q + |r||s|: one product of (p, |r|) with (q, |s|), an eighth of the full width or less, leaves few pairs to be
computed in full. Knows nothing of images, files or levels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from sextant.types import Floats

Rows = NDArray[np.intp]
Related = Callable[[Rows, Rows], NDArray[np.bool_]]
"""Whether the images of two lists of rows, pair by pair, resemble each other in another way as well."""

ROWS, COLUMNS = 256, 4096  # of one block of the product: 4 MiB
SLACK = 1e-5  # sums of float32 round: a bound that misses the threshold by less is looked at in full
DENSE = 1 / 80  # share of near pairs in a block above which one full product is cheaper than pair by pair
FEW = 1024  # rows that are compared in full: a basis and threads would cost more than they save
SAMPLE = 1500  # rows on which the width of the sketch is chosen
PAIRS_AT_ONCE = 32_768
WIDTHS = (16, 32, 64, 128)
DEFAULT, MOST = 0.98, 0.99
RELATIVE = 0.04
FEWEST = 50  # images that say something about how far apart images are
SAMPLED = 2000
COMPARING, FETCHING = 20.0, 80.0
"""What it costs to compare a bound, in multiply-adds, and by how much a single pair is dearer than in a product."""


@dataclass(frozen=True, slots=True)
class Near:
    """Pairs of near rows, as positions in the order: `row` > `column`; (m,) each."""

    row: Rows
    column: Rows
    similarity: Floats

    def only(self, chosen: NDArray[np.bool_]) -> Near:
        """Some of the pairs."""
        return Near(self.row[chosen], self.column[chosen], self.similarity[chosen])


def groups(
    vectors: Floats,
    thresholds: Sequence[float],
    *,
    order: Rows | None = None,
    related: Related | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Rows]:
    """The row of each image's group leader, (n,), once for every threshold; an image alone leads itself.

    `vectors` (n, dim) are unit rows; one with NaN is alone. `order` (n,) lists the rows best first. Pairs must be
    `related` as well, where that is given. `progress` hears how many rows are done.
    """
    n = len(vectors)
    order = np.arange(n) if order is None else np.asarray(order, np.intp)
    partitions = [_Partition(n, threshold) for threshold in thresholds]
    with _workers(n) as each:
        search = Search(vectors, order, min(thresholds), related)
        for start in range(0, n, ROWS):
            stop = min(start + ROWS, n)

            def counted(left: int, start: int = start, stop: int = stop) -> list[tuple[_Tally, Near]]:
                near = search.near(start, stop, left)
                return [partition.counted(near, start) for partition in partitions]

            found = list(each(counted, range(0, stop, COLUMNS)))
            for number, partition in enumerate(partitions):
                partition.settle([part[number] for part in found])
            if progress:
                progress(stop)
    return [_by_row(partition.leader, order) for partition in partitions]


def with_neighbours(vectors: Floats, threshold: float) -> NDArray[np.bool_]:
    """Which rows (n,) have any other within the threshold."""
    n = len(vectors)
    found = np.zeros(n, np.bool_)
    with _workers(n) as each:
        search = Search(vectors, np.arange(n), threshold)
        for start in range(0, n, ROWS):
            stop = min(start + ROWS, n)

            def note(left: int, start: int = start, stop: int = stop) -> None:
                near = search.near(start, stop, left)
                found[near.row] = found[near.column] = True

            list(each(note, range(0, stop, COLUMNS)))
    return found


@contextmanager
def _workers(rows: int) -> Iterator[Any]:
    """`map` over one thread a core, each with its own products: threads inside of products wait for each other."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with _libraries().limit(limits=1, user_api="blas"):
        if rows <= FEW:
            yield map
            return
        with ThreadPoolExecutor(cores) as pool:
            yield pool.map


@cache
def _libraries() -> ThreadpoolController:
    """The libraries that have threads of their own; looking for them takes ten milliseconds."""
    return ThreadpoolController()


def sizes(leaders: Rows) -> Rows:
    """How many rows each row's group has, (n,)."""
    return np.asarray(np.bincount(leaders, minlength=len(leaders))[leaders], np.intp)


def similarities(vectors: Floats, left: Rows, right: Rows) -> Floats:
    """The cosines (m,) of m pairs of rows."""
    out = np.empty(len(left), np.float32)
    for start in range(0, len(left), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        np.einsum("ij,ij->i", vectors[left[part]], vectors[right[part]], out=out[part])
    return out


class Search:
    """Finds the near pairs of unit rows, block by block and exactly. `order` gives positions their rows."""

    def __init__(self, vectors: Floats, order: Rows, threshold: float, related: Related | None = None) -> None:
        self.vectors, self.order, self.threshold, self.related = vectors, order, threshold, related
        if len(order) <= FEW:
            self.width, self.sketch = vectors.shape[1], vectors[order]
            return
        sample = order[:: max(1, len(order) // SAMPLE)]
        basis = _basis(vectors[sample])
        self.width = self._width(basis, sample)
        self.sketch = self._sketch(order, basis[:, : self.width].astype(np.float32))

    def near(self, start: int, stop: int, left: int) -> Near:
        """The near pairs of the positions from `start` to `stop` with those before each of the block from `left`."""
        rows, columns = np.arange(start, stop), np.arange(left, min(left + COLUMNS, stop))
        close = self.sketch[start:stop] @ self.sketch[left : columns[-1] + 1].T >= self.threshold - SLACK
        some = np.flatnonzero(close.any(axis=1))
        found = self._checked(rows[some], columns, close[some])
        if self.related is None:
            return found
        return found.only(self.related(self.order[found.row], self.order[found.column]))

    def _checked(self, rows: Rows, columns: Rows, close: NDArray[np.bool_]) -> Near:
        """The pairs among `close` (rows, columns) that are near indeed."""
        close &= rows[:, None] > columns[None, :]
        i, j = np.nonzero(close)
        row, column = rows[i], columns[j]
        if len(i) > DENSE * close.size:
            whole = self.vectors[self.order[rows]] @ self.vectors[self.order[columns]].T
            similarity = whole[i, j]
        else:
            similarity = similarities(self.vectors, self.order[row], self.order[column])
        return Near(row, column, similarity).only(similarity >= self.threshold)

    def _sketch(self, order: Rows, basis: Floats) -> Floats:
        """(p, |r|) of every row in order, (n, width + 1)."""
        out = np.empty((len(order), basis.shape[1] + 1), np.float32)
        for start in range(0, len(order), PAIRS_AT_ONCE):
            part = self.vectors[order[start : start + PAIRS_AT_ONCE]]
            inner = part @ basis
            rest = np.einsum("ij,ij->i", part, part) - np.einsum("ij,ij->i", inner, inner)
            out[start : start + PAIRS_AT_ONCE, :-1] = inner
            out[start : start + PAIRS_AT_ONCE, -1] = np.sqrt(np.maximum(rest, 0.0))
        return out

    def _width(self, basis: NDArray[np.float64], sample: Rows) -> int:
        """How many directions make the search cheapest, by what they leave to be computed in full on a sample."""
        dim, pairs = int(basis.shape[0]), max(1, len(sample)) ** 2
        costs: dict[int, float] = {dim: dim + COMPARING}
        for width in (w for w in WIDTHS if w < dim):
            sketch = self._sketch(sample, basis[:, :width].astype(np.float32))
            left = np.count_nonzero(sketch @ sketch.T >= self.threshold - SLACK) - len(sample)
            costs[width] = width + COMPARING + min(FETCHING * left / pairs, 1.0) * dim
        return min(costs, key=costs.__getitem__)


def _basis(sample: Floats) -> NDArray[np.float64]:
    """Orthonormal directions (dim, dim), those first in which the rows are longest."""
    sound = sample[np.isfinite(sample).all(axis=1)].astype(np.float64)
    _, directions = np.linalg.eigh(sound.T @ sound)
    return np.ascontiguousarray(directions[:, ::-1])


class _Partition:
    """Groups at one threshold, as far as the order has been walked. Rows and leaders are positions in the order."""

    def __init__(self, n: int, threshold: float) -> None:
        self.threshold = threshold
        self.leader = np.arange(n)
        self._size = np.ones(n, np.intp)

    def counted(self, near: Near, start: int) -> tuple[_Tally, Near]:
        """Pairs with rows that have their group, counted by it; and those within the block that begins at `start`."""
        near = near.only(near.similarity >= self.threshold)
        old = near.only(near.column < start)
        return _tally(old.row, self.leader[old.column], old.similarity), near.only(near.column >= start)

    def settle(self, parts: Sequence[tuple[_Tally, Near]]) -> None:
        """Gives the rows of a block their groups, in their order."""
        groups_of: dict[int, dict[int, tuple[int, float]]] = {}
        for tally, _ in parts:
            for row, leader, count, least in tally.lines():
                _add(groups_of.setdefault(row, {}), leader, count, least)
        inner: dict[int, list[tuple[int, float]]] = {}
        for _, near in parts:
            lines = zip(near.row.tolist(), near.column.tolist(), near.similarity.tolist(), strict=True)
            for row, column, similarity in lines:
                inner.setdefault(row, []).append((column, similarity))
        for row in sorted({*groups_of, *inner}):
            found = groups_of.get(row, {})
            for column, similarity in inner.get(row, ()):
                _add(found, int(self.leader[column]), 1, similarity)
            self._join(row, found)

    def _join(self, row: int, found: dict[int, tuple[int, float]]) -> None:
        whole = [(least, -leader) for leader, (count, least) in found.items() if count == self._size[leader]]
        if whole:
            joined = -max(whole)[1]
            self.leader[row] = joined
            self._size[joined] += 1


def _add(found: dict[int, tuple[int, float]], leader: int, count: int, least: float) -> None:
    before, so_far = found.get(leader, (0, 1.0))
    found[leader] = (before + count, min(so_far, least))


@dataclass(frozen=True, slots=True)
class _Tally:
    """For a row and a group: how many of its members are near, and the least similar of them; (m,) each."""

    row: Rows
    leader: Rows
    count: Rows
    least: Floats

    def lines(self) -> Iterator[tuple[int, int, int, float]]:
        """Row, leader, count and least similarity."""
        return zip(self.row.tolist(), self.leader.tolist(), self.count.tolist(), self.least.tolist(), strict=True)


def _tally(row: Rows, leader: Rows, similarity: Floats) -> _Tally:
    """One line for each row and group."""
    if not len(row):
        return _Tally(row, leader, row, similarity)
    order = np.lexsort((leader, row))
    row, leader = row[order], leader[order]
    first = np.flatnonzero(np.r_[True, (row[1:] != row[:-1]) | (leader[1:] != leader[:-1])])
    count = np.diff(np.r_[first, len(row)])
    return _Tally(row[first], leader[first], count, np.minimum.reduceat(similarity[order], first))


def _by_row(leader: Rows, order: Rows) -> Rows:
    """Leaders by position, as leaders by row."""
    out = np.empty_like(leader)
    out[order] = order[leader]
    return out


def threshold_of(vectors: Floats) -> float:
    """The cosine from which two images count as one scene, by how alike this encoder makes the collection's images.

    With m the median cosine of two images, 1 − .04 · (1 − m), at most .99: .98 at m = .5, as CLIP has it, .967 at .17.
    Below 50 images .98. The share .04 was chosen on drawn bursts.
    """
    if len(vectors) < FEWEST:
        return DEFAULT
    sample = vectors[np.unique(np.linspace(0, len(vectors) - 1, SAMPLED).astype(np.intp))]
    middle = float(np.nanmedian((sample @ sample.T)[np.triu_indices(len(sample), 1)]))
    return round(min(MOST, 1 - RELATIVE * (1 - middle)), 4)
