"""An index and its table, asked together: codes of all rows, then bfloat16 of some, then the vectors as they are.

With a filter, or where codes lose too much, every allowed row is compared in bfloat16, and so many of the best are
computed again in float32 that no rounding can have hidden one. Rows that came since are compared exactly, rows that
went are never answered.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sextant.errors import MissingExtra
from sextant.index.parts import SHARD, Codes, Halves, Mask, one_thread
from sextant.index.record import Built, stored
from sextant.maths.logits import logit_matrix
from sextant.pinned import Numbers, Pinned
from sextant.tables import Vanished
from sextant.types import Floats
from sextant.vectors import Vectors

SUMMED = 5e-5  # of a cosine: what adding up hundreds of float32 products can lose
CHECKED_ROWS = 32


@dataclass(frozen=True, slots=True)
class Nearest:
    """Rows of the table, best first, and their cosines (m, k) with each of the k directions."""

    rows: Numbers
    cosines: Floats


class Index:
    """An open index with the version of the table that it was opened on; `ids` are that version's, (n,).

    A search that needs rows that came since raises `tables.Vanished` if a vacuum took that version away: open it again.
    """

    def __init__(self, built: Built, folder: Path, pinned: Pinned) -> None:
        self.built, self._pinned = built, pinned
        self.ids = pinned.ids()
        with pa.OSFile(str(folder / "ids.arrow")) as file:
            known = pa.concat_arrays(pa.ipc.open_file(file).read_all()["id"].chunks)
        self._place, first = aligned(known, self.ids)  # of every row of the index, its row in the table
        self._there = self._place >= 0
        self._whole = bool(self._there.all())
        self.fresh = np.arange(first, len(self.ids), dtype=np.int64)
        self._at = np.full(len(self.ids), -1, np.int64)  # of every row of the table, its place in the index
        self._at[self._place[self._there]] = np.flatnonzero(self._there)
        files = sorted(folder.glob("codes-*.faiss"))
        self._codes = [Codes.read(path) for path in files]
        self._halves = [Halves.read(folder, number) for number in range(len(files))]
        self._turn: Floats = np.load(folder / "directions.npy", allow_pickle=False)
        if not sum(map(len, self._halves)) == sum(map(len, self._codes)) == len(known):
            raise ValueError(f"{folder}: its parts do not belong together")
        self._new: Floats | None = None
        threads = len(os.sched_getaffinity(0))
        self._shares = [range(start, len(files), threads) for start in range(min(threads, len(files)))]
        self._pool = ThreadPoolExecutor(threads, "sextant-index", one_thread)

    @classmethod
    def open(cls, folder: Path, vectors: Vectors) -> Index | None:
        """The index of a table; None where there is none that is of use, or no faiss.

        It is of no use where most rows came since, or where the table is another than it was made of.
        """
        for _ in range(2):  # a second time where another process replaced it between two reads
            built = stored(folder, vectors)
            if built is None or not vectors.exists():
                return None
            with suppress(OSError, ValueError, MissingExtra, Vanished):
                index = cls(built, folder / built.folder, Pinned(vectors))
                return index if index._fits() else None
        return None

    def __len__(self) -> int:
        return len(self.ids)

    def is_current(self) -> bool:
        """Whether nobody has written to the table since this was opened."""
        return self._pinned.is_newest()

    @property
    def gone(self) -> int:
        """How many rows of the index the table does not have any more."""
        return len(self._place) - int(np.count_nonzero(self._there))

    def background(self) -> Floats:
        """The background (n,) of every row."""
        return self._pinned.background()

    # asking

    def nearest(self, directions: Floats, limit: int, *, allowed: Mask | None = None) -> Nearest:
        """The rows whose best cosine with any of the directions (k, dim) is highest; ties go by id.

        Directions need not be of unit length. With `allowed` (n,) the answer is exact: the filter hides no match.
        """
        wanted = _rows_of(directions)
        rows = self.candidates(wanted, limit, allowed=allowed)
        exact = self.cosines(rows, wanted)
        table = pa.table({"best": exact.max(axis=1, initial=-np.inf), "id": self.ids.take(pa.array(rows))})
        order = pc.sort_indices(table, [("best", "descending"), ("id", "ascending")]).to_numpy()[:limit]
        return Nearest(rows[order], exact[order])

    def candidates(self, directions: Floats, limit: int, *, allowed: Mask | None = None) -> Numbers:
        """In rising order, the rows among which the `limit` nearest are: a few more, for rounding.

        For a ranking of one's own, such as by several directions at once, ask for more than are wanted.
        """
        wanted = _rows_of(directions)
        limit = min(limit, len(self))
        if limit < 1:
            return np.zeros(0, np.int64)
        if allowed is None and self.built.depth:
            places = self.by_codes(wanted, max(self.built.depth, 2 * limit))
            best = self._roughly(places, wanted)
        else:
            places, best = self._by_scan(wanted, limit, self._inside(allowed))
        rows = np.concatenate([self._place[places], self.fresh])
        best = np.concatenate([best, self._fresh_scores(wanted, allowed)])
        return np.sort(rows[(best >= _last(best, limit) - 2 * self.slack(wanted)) & np.isfinite(best)])

    def cosines(self, rows: Numbers, directions: Floats) -> Floats:
        """The cosines (m, k) of some rows with directions (k, dim): to the last bit those that every verb computes."""
        return logit_matrix(self.take(rows), _rows_of(directions), scale=1.0)

    def take(self, rows: Numbers) -> Floats:
        """The vectors (m, dim) of some rows, in the order asked for."""
        rows = np.asarray(rows, np.int64)
        places = self._at[rows]
        out = self._gathered(places, Halves.exactly)
        if len(self.fresh):
            out[places < 0] = self._fresh_rows()[rows[places < 0] - self.fresh[0]]
        return out

    # parts

    def by_codes(self, wanted: Floats, depth: int) -> Numbers:
        """Places in the index: the best `depth` for each direction by their codes, of those that still exist."""
        if depth >= len(self._place):
            return np.flatnonzero(self._there)
        turned, count = wanted @ self._turn.T, depth
        while True:
            shares = self._pool.map(lambda mine: [self._coded(n, turned, count) for n in mine], self._shares)  # noqa: B023
            parts = [part for share in shares for part in share]
            scores = np.concatenate([part for part, _ in parts], axis=1)
            places = np.concatenate([part for _, part in parts], axis=1)
            kept = (places >= 0) & self._there[places]
            best = np.where(kept, scores, np.float32(-np.inf))
            cut = np.array([_last(row, depth) for row in best])
            # What was removed may stand in the way: a shard whose list ends above the cut may have more above it.
            if count >= SHARD or self._whole or not any((part[:, -1] > cut).any() for part, _ in parts):
                return np.unique(places[kept & (best >= cut[:, None])])
            count *= 2

    def _coded(self, number: int, turned: Floats, count: int) -> tuple[Floats, Numbers]:
        """Scores and places of the best of a shard by their codes."""
        shard = self._codes[number]
        scores, places = shard.search(turned, min(count, len(shard)))
        return scores, np.where(places < 0, -1, places + number * SHARD)

    def _roughly(self, places: Numbers, wanted: Floats) -> Floats:
        """The best cosine (m,) of some places with any direction, from bfloat16."""
        best: Floats = (self._gathered(places, Halves.roughly) @ wanted.T).max(axis=1, initial=-np.inf)
        return best

    def _gathered(self, places: Numbers, read: Callable[[Halves, Numbers], Floats]) -> Floats:
        """Rows (m, dim) of some places by a way of `Halves`; a place of −1 is left for others to fill."""
        rows = np.empty((len(places), self._pinned.dim), np.float32)
        shards = places // SHARD
        for number in np.unique(shards[places >= 0]).tolist():
            mine = np.flatnonzero(shards == number)
            rows[mine] = read(self._halves[number], places[mine] - number * SHARD)
        return rows

    def slack(self, wanted: Floats) -> float:
        """How far a cosine from bfloat16 can be off."""
        return float(np.linalg.norm(wanted, axis=1).max()) * (self.built.rounding + SUMMED)

    def _by_scan(self, wanted: Floats, limit: int, inside: Mask | None) -> tuple[Numbers, Floats]:
        """Every place that can be among the `limit` nearest, and its best cosine from bfloat16."""
        bits = None if inside is None else np.packbits(inside, bitorder="little")
        count = 2 * limit + 32
        while True:
            parts = list(self._pool.map(lambda n: self._shard(n, wanted, count, bits), range(len(self._halves))))  # noqa: B023
            places = np.unique(np.concatenate([found.ravel() for _, found in parts]))
            places = places[places >= 0]
            best = self._roughly(places, wanted)
            cut = _last(best, limit) - 2 * self.slack(wanted)
            # A shard that filled its list with nothing below the cut may have more above it.
            full = ((found[:, -1] >= 0) & (scores[:, -1] >= cut) for scores, found in parts)
            if count >= SHARD or not any(some.any() for some in full):
                return places, best
            count *= 4

    def _shard(
        self, number: int, wanted: Floats, count: int, bits: np.ndarray[tuple[int], np.dtype[np.uint8]] | None
    ) -> tuple[Floats, Numbers]:
        shard = self._halves[number]
        own = None if bits is None else np.ascontiguousarray(bits[number * SHARD // 8 : (number + 1) * SHARD // 8])
        scores, places = shard.search(wanted, min(count, len(shard)), own)
        return scores, np.where(places < 0, -1, places + number * SHARD)

    def _inside(self, allowed: Mask | None) -> Mask | None:
        """Which places may be answered, from the rows of the table that may; None for all."""
        if allowed is None:
            return None if self._whole else self._there
        if self._whole:
            return allowed[: len(self._place)]
        inside = self._there.copy()
        inside[inside] = allowed[self._place[inside]]
        return inside

    def _fresh_scores(self, wanted: Floats, allowed: Mask | None) -> Floats:
        """The best cosine of every row that came since; −∞ where it is not allowed."""
        if not len(self.fresh):
            return np.zeros(0, np.float32)
        best: Floats = (self._fresh_rows() @ wanted.T).max(axis=1)
        return best if allowed is None else np.where(allowed[self.fresh], best, np.float32(-np.inf))

    def _fresh_rows(self) -> Floats:
        if self._new is None:
            self._new = self._pinned.take(self.fresh)
        return self._new

    def _fits(self) -> bool:
        """Whether most rows are in the index, and some that are have the vectors of the table."""
        places = np.flatnonzero(self._there)
        if len(self.fresh) > len(places) or self._pinned.dim != self.built.dim:
            return False
        places = places[np.unique(np.linspace(0, len(places) - 1, CHECKED_ROWS).astype(np.int64))]
        return np.array_equal(self._gathered(places, Halves.exactly), self._pinned.take(self._place[places]))


def aligned(known: pa.Array, now: pa.Array) -> tuple[Numbers, int]:
    """For every id of an index its row in the table, −1 where it is gone; and the row from which on all are new.

    A table loses rows anywhere and gains them at its end, so what stands out of the old order was added anew.
    """
    n = len(known)
    if len(now) >= n and now.slice(0, n).equals(known):
        return np.arange(n, dtype=np.int64), n
    found = np.asarray(pc.fill_null(pc.index_in(now, value_set=known), -1).to_numpy(), np.int64)
    before = np.maximum.accumulate(np.concatenate([[-1], found]))[:-1]
    wrong = np.flatnonzero(found <= before)
    first = int(wrong[0]) if len(wrong) else len(now)
    place = np.full(n, -1, np.int64)
    place[found[:first]] = np.arange(first)
    return place, first


def _rows_of(directions: Floats) -> Floats:
    return np.ascontiguousarray(np.atleast_2d(directions), np.float32)


def _last(best: Floats, limit: int) -> float:
    """The `limit`-th highest; −∞ where there are not so many."""
    return -np.inf if len(best) <= limit else float(np.partition(best, len(best) - limit)[len(best) - limit])
