"""A table to its index, in one pass, and how much of the truth it finds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from secrets import token_hex

import numpy as np
import pyarrow as pa

from sextant.errors import CollectionError
from sextant.index import record
from sextant.index.coordinates import coordinates
from sextant.index.parts import SHARD, Codes, Halves
from sextant.index.reading import Index
from sextant.index.record import Built
from sextant.pinned import Pinned
from sextant.types import Floats, Progress
from sextant.vectors import Vectors

TRAINED_ON = 20_000
RECALL_AT = 10
LEAST_RECALL = 0.98
DEPTHS = (64, 128, 256, 512, 1024, 2048, 4096)
UNCHECKED_DEPTH = 1024
CHUNK = 8192
TIE = 1e-6

Report = Callable[[Progress], None]


def build(vectors: Vectors, folder: Path, queries: Mapping[str, Floats], *, progress: Report | None = None) -> Built:
    """Makes the index of a table anew in `folder`, whole or not at all; whoever holds the old one keeps it.

    `queries` are directions (q, dim) such as will be asked, by kind, to check recall with: as many rows are compared
    again after their codes as a recall@10 of 0.98 for every kind takes. Hold the collection's write lock meanwhile.

    Raises:
        CollectionError: the table is empty, or the folder cannot be written.
        MissingExtra: faiss is not installed.
    """
    if not len(vectors):
        raise CollectionError("there are no vectors to make an index of: sextant add FOLDER")
    name = f"{vectors.path.stem}.{token_hex(4)}"
    try:
        (folder / name).mkdir(parents=True)
        try:
            built = _Builder(Pinned(vectors), folder / name, queries, progress).run()
            record.point(folder, vectors, built)
        except BaseException:
            shutil.rmtree(folder / name, ignore_errors=True)
            raise
    except OSError as error:
        raise CollectionError(
            f"{folder}: the index cannot be written: {error.strerror or error}. Make room or allow writing there"
        ) from error
    return built


class _Builder:
    """One pass over a table: halves, codes, and the exact answers that recall is judged by."""

    def __init__(self, pinned: Pinned, folder: Path, queries: Mapping[str, Floats], progress: Report | None) -> None:
        self.started = time.monotonic()
        self.pinned, self.folder, self.progress = pinned, folder, progress
        self.kinds = {kind: np.asarray(rows, np.float32) for kind, rows in queries.items() if len(rows)}
        self.queries = np.concatenate([np.zeros((0, pinned.dim), np.float32), *self.kinds.values()])
        self.truth = np.full((len(self.queries), 0), -np.inf, np.float32)
        self.rounding = 0.0

    def run(self) -> Built:
        """Writes the parts, then measures them."""
        n = len(self.pinned)
        sample = self.pinned.take(np.unique(np.linspace(0, n - 1, min(n, TRAINED_ON)).astype(np.int64)))
        centre = sample.mean(axis=0)
        for_rows, for_directions = coordinates(sample)
        np.save(self.folder / "directions.npy", for_directions, allow_pickle=False)
        fitted, done = Codes.fitted((sample - centre) @ for_rows.T), 0
        for number, rows in enumerate(blocks(self.pinned.batches(), SHARD)):
            self._copied(number, rows, fitted, centre, for_rows)
            done += len(rows)
            del rows  # before the next are gathered
            if self.progress:
                self.progress(Progress("index", done, n, time.monotonic() - self.started))
        ids = pa.table({"id": self.pinned.ids()})
        with pa.OSFile(str(self.folder / "ids.arrow"), "wb") as file, pa.ipc.new_file(file, ids.schema) as writer:
            writer.write_table(ids)
        return self._measured()

    def _copied(self, number: int, rows: Floats, fitted: Codes, centre: Floats, for_rows: Floats) -> None:
        """Writes the halves and the codes of one shard."""
        halves = Halves.of(rows)
        halves.write(self.folder, number)
        turned = np.empty((len(rows), len(for_rows)), np.float32)
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            self._look(rows[part], halves.roughly(part))
            turned[part] = (rows[part] - centre) @ for_rows.T  # the centre is the same for all: no order changes
        del halves
        fitted.of(turned).write(self.folder / f"codes-{number:05d}.faiss")

    def _look(self, rows: Floats, rough: Floats) -> None:
        """Notes how far rounding moved these rows, and which are among the best of a query."""
        self.rounding = max(self.rounding, float(np.linalg.norm(rows - rough, axis=1).max()))
        if len(self.queries):
            scores = np.concatenate([self.truth, self.queries @ rows.T], axis=1)
            most = min(RECALL_AT, scores.shape[1])
            self.truth = -np.partition(-scores, most - 1, axis=1)[:, :most]

    def _measured(self) -> Built:
        """With the least depth that finds enough."""
        if not self.kinds:
            return self._built(UNCHECKED_DEPTH, {})
        index = Index(self._built(0, {}), self.folder, self.pinned)
        ends = np.cumsum([len(rows) for rows in self.kinds.values()])[:-1]
        for depth in DEPTHS:
            found = np.array([self._found(index, row, depth) for row in range(len(self.queries))])
            recall = {k: float(part.mean()) for k, part in zip(self.kinds, np.split(found, ends), strict=True)}
            if min(recall.values()) >= LEAST_RECALL:
                return self._built(depth, recall)
        return self._built(0, dict.fromkeys(self.kinds, 1.0))

    def _found(self, index: Index, query: int, depth: int) -> float:
        """The share of a query's ten nearest that are found with this depth; a tie with the tenth is as good as it."""
        wanted, truth = self.queries[query : query + 1], self.truth[query]
        rows = index.by_codes(wanted, depth)
        exact = index.take(rows) @ wanted[0]
        return min(1.0, np.count_nonzero(exact >= truth.min() - TIE) / len(truth))

    def _built(self, depth: int, recall: Mapping[str, float]) -> Built:
        return Built(
            rows=len(self.pinned),
            dim=self.pinned.dim,
            depth=depth,
            recall=recall,
            queries={kind: len(rows) for kind, rows in self.kinds.items()},
            rounding=self.rounding,
            seconds=time.monotonic() - self.started,
            bytes=sum(path.stat().st_size for path in self.folder.iterdir()),
            version=self.pinned.version,
            folder=self.folder.name,
        )


def blocks(batches: Iterator[Floats], size: int) -> Iterator[Floats]:
    """The same rows in the same order, `size` at a time, in arrays of their own."""
    waiting: list[Floats] = []
    room = size
    for batch in batches:
        rest = batch
        while len(rest):
            waiting.append(rest[:room])
            room, rest = room - len(waiting[-1]), rest[room:]
            if not room:
                block, waiting, room = np.concatenate(waiting), [], size
                yield block
                del block
    if waiting:
        yield np.concatenate(waiting)
