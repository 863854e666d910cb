"""One encoder's table: id, vector (dim), background, and one float32 logit column per attribute code.

Rows are appended whole and columns are written whole: a replaced column is written beside the old one and swapped by
renaming, in one commit, so readers see the old column or the new one. Knows nothing of encoders or vocabularies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sextant import tables
from sextant.errors import CollectionError
from sextant.place import Place
from sextant.types import Floats, Lost, Spread

FIXED = ("id", "vector", "background")  # columns of a vectors table that are no attribute
NEW, OLD = "$new", "$old"  # marks of a column while it is swapped; no attribute code can contain them
ROWS_A_BATCH = 8192
ROWS_A_PART = 65_536  # what a worker elsewhere computes at a time
SCATTERED = 50  # reading one row by its place costs about as much as reading so many one after another

Provenance = Mapping[str, Any]
LogitsOf = Callable[[Floats, NDArray[np.float32]], Mapping[str, Floats]]
Lock = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Column:
    """A logit column as the table describes it."""

    code: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of the table: all its columns, and the rows (id, background, some logits) that were asked for."""

    columns: dict[str, Column]
    metadata: dict[str, str]
    rows: int
    """How many the whole table has."""
    table: pa.Table
    more: Callable[[Sequence[str]], pa.Table]
    """Reads id and further columns of the same version. Raises `tables.Vanished` if a vacuum took it away."""


class Vectors:
    """The table of the encoder `name` at `path`; `lock` is held while it is written."""

    def __init__(self, path: Place, name: str, lock: Lock) -> None:
        self.path = path
        self.name = name
        self._lock = lock
        self._keys = tables.Keys(path, "id")

    # reading

    def exists(self) -> bool:
        """Whether anything was ever written."""
        return tables.exists(self.path)

    def __len__(self) -> int:
        return int(tables.opened(self.path).count_rows()) if self.exists() else 0

    @property
    def dim(self) -> int:
        """Length of a vector; 0 while the table does not exist."""
        return int(self._schema().field("vector").type.list_size) if self.exists() else 0

    def ids(self) -> pa.ChunkedArray:
        """The image ids, in the order of every other read of the same version."""
        return tables.table(self.path, pa.schema([pa.field("id", pa.string())]), ["id"])["id"]

    def columns(self) -> dict[str, Column]:
        """The logit columns by attribute code, with the provenance that was written with each."""
        return _columns(self._schema()) if self.exists() else {}

    def metadata(self) -> dict[str, str]:
        """What was written with the table itself."""
        return _metadata(self._schema()) if self.exists() else {}

    def outline(self) -> tuple[dict[str, Column], dict[str, str], int]:
        """`columns`, `metadata` and the number of rows, of one version."""
        if not self.exists():
            return {}, {}, 0
        dataset = tables.opened(self.path)
        return _columns(dataset.schema), _metadata(dataset.schema), int(dataset.count_rows())

    def read(self, codes: Sequence[str] = (), *, vectors: bool = False) -> pa.Table:
        """id, background and the logit columns asked for, in one consistent version; with vectors if wanted."""
        columns = ["id", "background", *(["vector"] if vectors else []), *codes]
        schema = pa.schema([pa.field(n, pa.string() if n == "id" else pa.float32()) for n in columns])
        return tables.table(self.path, schema, columns)

    def snapshot(self, codes: Sequence[str] = (), images: pa.Array | None = None) -> Snapshot:
        """The columns there are, and id, background and those of `codes` that are among them, of the same version.

        `images` narrows the rows to those with these ids; only they are read.
        """

        def read() -> Snapshot:
            dataset = tables.opened(self.path)
            schema, count = dataset.schema, int(dataset.count_rows())
            columns = _columns(schema)
            scattered = images is not None and len(images) * SCATTERED < count
            rows = _places(self.path, dataset, images) if scattered else None

            def more(wanted: Sequence[str]) -> pa.Table:
                with tables.reading(self.path):
                    if rows is not None:
                        return dataset.take(rows.tolist(), columns=["id", *wanted])
                    found = dataset.to_table(columns=["id", *wanted])
                return found if images is None else found.filter(pc.is_in(found["id"], value_set=images))

            table = more(["background", *(c for c in codes if c in columns)])
            return Snapshot(columns, _metadata(schema), count, table, more)

        if self.exists():
            return tables.steadily(read)
        empty = pa.table({"id": pa.array([], pa.string()), "background": pa.array([], pa.float32())})
        return Snapshot({}, {}, 0, empty, empty.select)

    def matrix(self) -> tuple[list[str], Floats]:
        """All ids and the (n, dim) float32 matrix of their vectors, which memory never holds twice."""

        def read() -> tuple[list[str], Floats]:
            ids: list[str] = []
            out = np.empty((len(self), self.dim), np.float32)
            for names, rows in self.batches():
                rows = rows[: len(out) - len(ids)]  # another process may have added some meanwhile
                out[len(ids) : len(ids) + len(rows)] = rows
                ids += names[: len(rows)].to_pylist()
            return ids, out[: len(ids)]

        return tables.steadily(read)

    def sample(self, count: int) -> Floats:
        """The vectors (at most `count`, dim) of rows spread evenly over the table."""
        n = len(self)
        if not n:
            return np.zeros((0, self.dim), np.float32)
        rows = np.unique(np.linspace(0, n - 1, min(count, n)).astype(np.int64))

        def read() -> pa.Table:
            with tables.reading(self.path):
                return tables.opened(self.path).take(rows.tolist(), columns=["vector"])

        return np.concatenate([_rows(chunk) for chunk in tables.steadily(read)["vector"].chunks])

    def vector(self, image: str) -> Floats | None:
        """The vector (dim,) of one image, or None."""
        ids, rows = self.some([image])
        return rows[0] if ids else None

    def some(self, images: Sequence[str]) -> tuple[list[str], Floats]:
        """The vectors (m, dim) of those of these images that have one, and their ids."""
        if not self.exists():
            return [], np.zeros((0, 0), np.float32)

        def read() -> pa.Table:
            with tables.reading(self.path):
                wanted = pc.field("id").isin(list(images))
                return tables.opened(self.path).scanner(columns=["id", "vector"], filter=wanted).to_table()

        found = tables.steadily(read)
        empty = np.zeros((0, self.dim), np.float32)
        return found["id"].to_pylist(), np.concatenate([empty, *(_rows(chunk) for chunk in found["vector"].chunks)])

    def unknown(self, codes: Sequence[str]) -> dict[str, int]:
        """How many rows of each column have no value."""

        def read() -> dict[str, int]:
            count = dict.fromkeys(codes, 0)
            for batch in tables.batches(self.path, codes, ROWS_A_BATCH) if codes else ():
                for code in codes:
                    count[code] += batch[code].null_count
            return count

        return tables.steadily(read)

    def batches(self, *, rows: int = ROWS_A_BATCH) -> Iterator[tuple[pa.Array, Floats]]:
        """Ids and vectors of one version, a batch at a time. Raises `tables.Vanished` if a vacuum takes it away."""
        if self.exists():
            for batch in tables.batches(self.path, ["id", "vector"], rows):
                every = pa.array(np.arange(batch.num_rows))
                yield batch["id"].take(every), _rows(batch["vector"])  # a copy: as it comes, it holds the vectors too

    def _schema(self) -> pa.Schema:
        return tables.opened(self.path).schema

    # writing

    def append(
        self, ids: Sequence[str], vectors: Floats, background: Floats, logits_of: LogitsOf, metadata: Mapping[str, str]
    ) -> int:
        """Adds the rows whose ids are not there yet, with the logits of the columns that exist when the lock is held.

        `logits_of(vectors (n, dim), background (n,))` gives logits by code; a column it does not give is left unknown.
        """
        with self._lock():
            ids_array = pa.array(ids, pa.string())
            fresh = self._keys.fresh(ids)
            if not fresh.any():
                return 0
            vectors, background = vectors[fresh], background[fresh]
            known = self.columns()
            logits = logits_of(vectors, background) if known else {}
            arrays = [ids_array.filter(pa.array(fresh)), _fixed(vectors), pa.array(background, pa.float32())]
            schema = _table_schema(vectors.shape[1], metadata)
            for code in known:
                values = logits.get(code)
                nothing = pa.nulls(len(vectors), pa.float32())
                arrays.append(nothing if values is None else pa.array(values, pa.float32()))
                schema = schema.append(pa.field(code, pa.float32()))
            self._keys.append(pa.Table.from_arrays(arrays, schema=schema))
            return int(fresh.sum())

    def put_columns(
        self,
        columns: Mapping[str, Provenance],
        logits: Callable[[Floats], Mapping[str, Floats]],
        spread: Spread | None = None,
    ) -> int:
        """Writes whole columns, new or in place of old ones; returns the number of rows of each.

        `logits(vectors (n, dim))` gives every column's logits for a batch of rows; vectors are streamed, never all in
        memory. Readers see the old columns or the new ones, nothing between. With `spread` other processes read the
        vectors and compute, a few rows each; they have to reach the table by the same name.
        """
        if not columns:
            return 0
        with self._lock():
            return self._replace({c: _encode(provenance) for c, provenance in columns.items()}, logits, spread)

    def put_background(self, values: Callable[[Floats], Floats], metadata: Mapping[str, str]) -> None:
        """Writes the background of every row anew, as one column, and what the table says of itself."""
        with self._lock():
            self._replace({"background": {}}, lambda rows: {"background": values(rows)})
            with tables.writing(self.path):
                tables.opened(self.path).update_schema_metadata(dict(metadata))

    def _replace(
        self,
        columns: Mapping[str, Mapping[str, str]],
        values: Callable[[Floats], Mapping[str, Floats]],
        spread: Spread | None = None,
    ) -> int:
        """Columns by name with their field's metadata: written beside those there are, then swapped in one commit."""
        self.tidy()
        dataset = tables.opened(self.path)
        schema = pa.schema([pa.field(n + NEW, pa.float32(), metadata=meta) for n, meta in columns.items()])
        names, version = list(columns), dataset.version

        def batches() -> Iterator[pa.RecordBatch]:
            here = map(values, self._stream(version))
            for found in self._afar(version, values, spread) if spread else here:
                yield pa.record_batch([pa.array(found[n], pa.float32()) for n in names], schema=schema)

        replaced = [n for n in names if n in dataset.schema.names]
        renames = [{"path": n, "name": n + OLD} for n in replaced] + [{"path": n + NEW, "name": n} for n in names]
        with tables.writing(self.path):
            dataset.add_columns(pa.RecordBatchReader.from_batches(schema, batches()))
            dataset = tables.opened(self.path)
            dataset.alter_columns(*renames)
        self.drop([n + OLD for n in replaced])
        return int(dataset.count_rows())

    def _stream(self, version: int) -> Iterator[Floats]:
        """The vectors of one version, a batch at a time; from a handle of its own, since a writer borrows the other."""
        for batch in tables.batches(self.path, ["vector"], ROWS_A_BATCH, version):
            if batch.num_rows:
                yield _rows(batch["vector"])

    def _afar(
        self, version: int, values: Callable[[Floats], Mapping[str, Floats]], spread: Spread
    ) -> Iterator[Mapping[str, Floats]]:
        """`values` of the rows of one version in their order, computed by other processes."""
        fragments = tables.opened(self.path, version).get_fragments()
        counts = [(f.fragment_id, f.count_rows()) for f in fragments]
        size = ROWS_A_PART
        parts = [(n, start, min(size, rows - start)) for n, rows in counts for start in range(0, rows, size)]
        for part, found in zip(parts, spread(partial(_reader, self.path, version, values), parts), strict=True):
            if isinstance(found, Lost):
                raise CollectionError(
                    f"{self.path}: the worker that computed rows from {part[1]:,} of fragment {part[0]} died each "
                    f"time, {found.times} times. No column was changed; use --engine local, or workers with more memory"
                )
            yield found

    def drop(self, codes: Iterable[str]) -> None:
        """Removes columns; the vectors stay."""
        with self._lock():
            there = self._schema().names if self.exists() else []
            gone = [c for c in codes if c in there]
            if gone:
                with tables.writing(self.path):
                    tables.opened(self.path).drop_columns(gone)

    def tidy(self) -> None:
        """Removes what a killed writer left of a column that it was swapping."""
        if self.exists():
            self.drop([n for n in self._schema().names if "$" in n])


def _reader(
    path: Place, version: int, values: Callable[[Floats], Mapping[str, Floats]]
) -> Callable[[tuple[int, int, int]], Mapping[str, Floats]]:
    """In another process: what reads some rows of a fragment and computes their values."""
    dataset = tables.opened(path, version)

    def work(part: tuple[int, int, int]) -> Mapping[str, Floats]:
        with tables.reading(path):
            fragment = dataset.get_fragment(part[0])
            rows = fragment.to_table(columns=["vector"], offset=part[1], limit=part[2])["vector"]
        return values(np.concatenate([_rows(chunk) for chunk in rows.chunks]))

    return work


def _metadata(schema: pa.Schema) -> dict[str, str]:
    return {k.decode(): v.decode() for k, v in (schema.metadata or {}).items()}


def _columns(schema: pa.Schema) -> dict[str, Column]:
    names = [n for n in schema.names if n not in FIXED and "$" not in n]
    return {n: Column(n, _provenance(schema.field(n))) for n in names}


def _places(path: Place, dataset: Any, images: pa.Array) -> NDArray[np.intp]:
    """The rows of these ids."""
    with tables.reading(path):
        ids = dataset.to_table(columns=["id"])["id"]
    return np.flatnonzero(pc.is_in(ids, value_set=images).to_numpy())


def _table_schema(dim: int, metadata: Mapping[str, str]) -> pa.Schema:
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dim)),
            pa.field("background", pa.float32()),
        ],
        metadata=dict(metadata),
    )


def _fixed(vectors: Floats) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def _rows(vectors: pa.FixedSizeListArray) -> Floats:
    out: Floats = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
    return out


def _encode(provenance: Provenance) -> dict[str, str]:
    return {"sextant": json.dumps(provenance, sort_keys=True)}


def _provenance(field: pa.Field) -> dict[str, Any]:
    raw = (field.metadata or {}).get(b"sextant")
    return dict(json.loads(raw)) if raw else {}
