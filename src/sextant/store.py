"""What models computed, in Lance: facts of images, where their files lie, and one table of vectors an encoder.

    images.lance                 id, size and facts of the bytes; a row never changes
    files.lance                  path → id, with size and time of change, to know an unchanged file without reading it
    encoders/NAME@REV.lance      id, vector (dim), background, and one float32 logit column per attribute code

Writers take one lock and check inside it what is already there, so two of them never write a row twice. Rows and
columns are written whole: a replaced column is written beside the old one and swapped by renaming, in one commit.
This file knows nothing of encoders, vocabularies or confidences. It is the only one that imports Lance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from sextant.errors import CollectionError
from sextant.types import Floats

IMAGES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("bytes", pa.int64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("format", pa.string()),
        pa.field("taken_at", pa.timestamp("s")),
        pa.field("camera", pa.string()),
        pa.field("gps", pa.bool_()),
        pa.field("sharpness", pa.float32()),
        pa.field("darkness", pa.float32()),
        pa.field("brightness", pa.float32()),
        pa.field("added_at", pa.timestamp("s")),
    ]
)
FILES = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("id", pa.string()),
        pa.field("bytes", pa.int64()),
        pa.field("mtime_ns", pa.int64()),
    ]
)
FIXED = ("id", "vector", "background")  # columns of a vectors table that are no attribute
NEW, OLD = "$new", "$old"  # marks of a column while it is swapped; no attribute code can contain them
ROWS_A_BATCH = 8192
COMPACT_ABOVE = 32  # fragments; below it reading is not slowed enough to be worth rewriting
LOCK_SECONDS = 600.0

Provenance = Mapping[str, Any]
LogitsOf = Callable[[Floats, NDArray[np.float32]], Mapping[str, Floats]]


@dataclass(frozen=True, slots=True)
class Column:
    """A logit column as the table describes it. `unknown` counts rows that have no value."""

    code: str
    provenance: Provenance


class Store:
    """The Lance tables of one collection, below the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = FileLock(root / "lock", timeout=LOCK_SECONDS)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the collection's one write lock; entering it again from the same store is free.

        Raises:
            CollectionError: another process held the lock for ten minutes, or the folder cannot be written.
        """
        try:
            self._lock.acquire()
        except Timeout as error:
            raise CollectionError(
                f"{self.root}: another process has been writing for {LOCK_SECONDS / 60:.0f} minutes; "
                "wait for it, or end it (the lock goes with the process)"
            ) from error
        except OSError as error:
            raise CollectionError(f"{self.root}: cannot be written: {error.strerror or error}") from error
        try:
            yield
        finally:
            self._lock.release()

    # images and files

    def images(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The facts of every image, (n rows)."""
        return _read(self.root / "images.lance", IMAGES, columns)

    def files(self) -> pa.Table:
        """Path, id, bytes and mtime_ns of every file known; a path that was dropped has a null id."""
        return _read(self.root / "files.lance", FILES, None)

    def append_images(self, rows: pa.Table) -> int:
        """Adds the rows whose ids are not there yet; returns how many that were."""
        with self.writing():
            return _append_new(self.root / "images.lance", rows.cast(IMAGES))

    def put_files(self, rows: pa.Table) -> None:
        """Inserts or replaces rows by path."""
        if not rows.num_rows:
            return
        with self.writing():
            _upsert(self.root / "files.lance", rows.cast(FILES), "path")

    def drop_images(self, ids: Sequence[str]) -> None:
        """Removes images from every table; their paths are forgotten."""
        if not ids:
            return
        with self.writing():
            gone = self.files().filter(pc.is_in(self.files()["id"], pa.array(ids, pa.string())))
            _delete(self.root / "files.lance", "path", gone["path"])
            for path in (self.root / "images.lance", *self._encoder_paths()):
                _delete(path, "id", pa.array(ids, pa.string()))

    def drop_files(self, paths: Sequence[str]) -> None:
        """Forgets paths; the images stay."""
        if paths:
            with self.writing():
                _delete(self.root / "files.lance", "path", pa.array(paths, pa.string()))

    # vectors

    def vectors(self, encoder: str) -> Vectors:
        """The table of an encoder, named `NAME@REVISION`; it may not exist yet."""
        return Vectors(self, self.root / "encoders" / f"{file_name(encoder)}.lance", encoder)

    def encoders(self) -> list[str]:
        """The names, `NAME@REVISION`, of the encoders that have a table."""
        return [_encoder_name(path) for path in self._encoder_paths()]

    def drop_encoder(self, encoder: str) -> None:
        """Deletes an encoder's table with its vectors and logits."""
        import shutil

        with self.writing():
            shutil.rmtree(self.vectors(encoder).path, ignore_errors=True)

    def _encoder_paths(self) -> list[Path]:
        return sorted(p for p in (self.root / "encoders").glob("*.lance") if (p / "_versions").is_dir())

    # housekeeping

    def vacuum(self) -> int:
        """Merges small fragments and deletes versions that nobody reads any more; returns the bytes freed."""
        before = _size(self.root)
        with self.writing():
            for path in (self.root / "images.lance", self.root / "files.lance", *self._encoder_paths()):
                if _exists(path):
                    if path.parent.name == "encoders":
                        Vectors(self, path, path.stem).drop([c for c in _dataset(path).schema.names if "$" in c])
                    _compact(path, above=1)
                    _dataset(path).cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
        return max(0, before - _size(self.root))

    def compact(self) -> None:
        """Merges small fragments where there are many; cheap when there are not."""
        with self.writing():
            for path in (self.root / "images.lance", self.root / "files.lance", *self._encoder_paths()):
                if _exists(path):
                    _compact(path, above=COMPACT_ABOVE)

    def size(self) -> int:
        """Bytes on disk."""
        return _size(self.root)


class Vectors:
    """One encoder's table: a unit vector, a background and the logits of every image."""

    def __init__(self, store: Store, path: Path, name: str) -> None:
        self.store = store
        self.path = path
        self.name = name

    def exists(self) -> bool:
        """Whether anything was ever written."""
        return _exists(self.path)

    def __len__(self) -> int:
        return int(_dataset(self.path).count_rows()) if self.exists() else 0

    @property
    def dim(self) -> int:
        """Length of a vector; 0 while the table does not exist."""
        return int(_dataset(self.path).schema.field("vector").type.list_size) if self.exists() else 0

    def ids(self) -> pa.ChunkedArray:
        """The image ids, in the order of every other read of the same version."""
        if not self.exists():
            return pa.chunked_array([], pa.string())
        return _dataset(self.path).to_table(columns=["id"])["id"]

    def columns(self) -> dict[str, Column]:
        """The logit columns by attribute code, with the provenance that was written with each."""
        if not self.exists():
            return {}
        schema = _dataset(self.path).schema
        names = [n for n in schema.names if n not in FIXED and "$" not in n]
        return {n: Column(n, _provenance(schema.field(n))) for n in names}

    def metadata(self) -> dict[str, str]:
        """What was written with the table itself."""
        raw = _dataset(self.path).schema.metadata or {} if self.exists() else {}
        return {k.decode(): v.decode() for k, v in raw.items()}

    def read(self, codes: Sequence[str] = (), *, vectors: bool = False) -> pa.Table:
        """id, background and the logit columns asked for, in one consistent version; with vectors if wanted."""
        columns = ["id", "background", *(["vector"] if vectors else []), *codes]
        return _dataset(self.path).to_table(columns=columns)

    def matrix(self) -> tuple[list[str], Floats]:
        """All ids and the (n, dim) float32 matrix of their vectors."""
        if not self.exists():
            return [], np.zeros((0, 0), np.float32)
        table = _dataset(self.path).to_table(columns=["id", "vector"])
        out = np.empty((table.num_rows, self.dim), np.float32)
        row = 0
        for chunk in table["vector"].chunks:
            out[row : row + len(chunk)] = chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), -1)
            row += len(chunk)
        return table["id"].to_pylist(), out

    def vector(self, image: str) -> Floats | None:
        """The vector of one image, or None."""
        if not self.exists():
            return None
        found = _dataset(self.path).scanner(columns=["vector"], filter=pc.field("id") == image).to_table()
        return np.asarray(found["vector"][0].as_py(), np.float32) if found.num_rows else None

    def append(
        self, ids: Sequence[str], vectors: Floats, background: Floats, logits_of: LogitsOf, metadata: Mapping[str, str]
    ) -> int:
        """Adds the rows whose ids are not there yet, with the logits of the columns that exist when the lock is held.

        `logits_of(vectors (n, dim), background (n,))` gives logits by code; a column it does not give is left unknown.
        """
        with self.store.writing():
            ids_array = pa.array(ids, pa.string())
            fresh = np.ones(len(ids), np.bool_)
            if self.exists():
                fresh = ~pc.is_in(ids_array, value_set=self.ids().combine_chunks()).to_numpy(zero_copy_only=False)
            fresh &= _first(ids)
            if not fresh.any():
                return 0
            vectors, background = vectors[fresh], background[fresh]
            known = self.columns()
            logits = logits_of(vectors, background) if known else {}
            arrays = [ids_array.filter(pa.array(fresh)), _fixed(vectors), pa.array(background, pa.float32())]
            schema = _vectors_schema(vectors.shape[1], metadata)
            for code in known:
                values = logits.get(code)
                nothing = pa.nulls(len(vectors), pa.float32())
                arrays.append(nothing if values is None else pa.array(values, pa.float32()))
                schema = schema.append(pa.field(code, pa.float32()))
            _write(self.path, pa.Table.from_arrays(arrays, schema=schema))
            return int(fresh.sum())

    def put_columns(self, columns: Mapping[str, Provenance], logits: Callable[[Floats], Mapping[str, Floats]]) -> int:
        """Writes whole columns, new or in place of old ones; returns the number of rows of each.

        `logits(vectors (n, dim))` gives every column's logits for a batch of rows; vectors are streamed, never all in
        memory. Readers see the old columns or the new ones, nothing between.
        """
        if not columns:
            return 0
        with self.store.writing():
            dataset = _dataset(self.path)
            self.drop([n for n in dataset.schema.names if "$" in n])
            dataset = _dataset(self.path)
            schema = pa.schema(
                [pa.field(c + NEW, pa.float32(), metadata=_encode(provenance)) for c, provenance in columns.items()]
            )
            codes, version = list(columns), dataset.version

            def batches() -> Iterator[pa.RecordBatch]:
                for rows in _stream(self.path, version):
                    values = logits(rows)
                    yield pa.record_batch([pa.array(values[c], pa.float32()) for c in codes], schema=schema)

            dataset.add_columns(pa.RecordBatchReader.from_batches(schema, batches()))
            dataset = _dataset(self.path)
            replaced = [c for c in codes if c in dataset.schema.names]
            renames = [{"path": c, "name": c + OLD} for c in replaced] + [{"path": c + NEW, "name": c} for c in codes]
            dataset.alter_columns(*renames)
            self.drop([c + OLD for c in replaced])
            return int(dataset.count_rows())

    def drop(self, codes: Iterable[str]) -> None:
        """Removes columns; the vectors stay."""
        codes = [c for c in codes if self.exists() and c in _dataset(self.path).schema.names]
        if codes:
            with self.store.writing():
                _dataset(self.path).drop_columns(codes)

    def unknown(self, codes: Sequence[str]) -> dict[str, int]:
        """How many rows of each column have no value."""
        table = _dataset(self.path).to_table(columns=list(codes)) if codes else None
        return {c: table[c].null_count for c in codes} if table is not None else {}

    def batches(self, *, rows: int = ROWS_A_BATCH) -> Iterator[tuple[list[str], Floats]]:
        """Ids and vectors, a batch at a time."""
        if self.exists():
            for batch in _dataset(self.path).to_batches(columns=["id", "vector"], batch_size=rows):
                yield batch["id"].to_pylist(), _rows(batch["vector"])

    def put_background(self, values: Callable[[Floats], Floats], metadata: Mapping[str, str]) -> None:
        """Writes the background of every row anew, as one column."""
        with self.store.writing():
            dataset = _dataset(self.path)
            self.drop([n for n in dataset.schema.names if "$" in n])
            dataset = _dataset(self.path)
            schema, version = pa.schema([pa.field("background" + NEW, pa.float32())]), dataset.version

            def batches() -> Iterator[pa.RecordBatch]:
                for rows in _stream(self.path, version):
                    yield pa.record_batch([pa.array(values(rows), pa.float32())], schema=schema)

            dataset.add_columns(pa.RecordBatchReader.from_batches(schema, batches()))
            dataset = _dataset(self.path)
            dataset.alter_columns(
                {"path": "background", "name": "background" + OLD}, {"path": "background" + NEW, "name": "background"}
            )
            self.drop(["background" + OLD])
            _dataset(self.path).update_schema_metadata(dict(metadata))


def file_name(encoder: str) -> str:
    """An encoder's `NAME@REVISION` as a file name: `/` becomes `__`, anything else unusual a `-`."""
    return re.sub(r"[^\w.@+-]", "-", encoder.replace("/", "__"))


def _encoder_name(path: Path) -> str:
    recorded = (_dataset(path).schema.metadata or {}).get(b"encoder")
    return recorded.decode() if recorded else path.stem


def _lance() -> Any:
    import lance

    return lance


def _exists(path: Path) -> bool:
    return (path / "_versions").is_dir()


def _dataset(path: Path) -> Any:
    try:
        return _lance().dataset(str(path))
    except (OSError, ValueError) as error:
        raise CollectionError(f"{path}: cannot be opened: {error}") from error


def _stream(path: Path, version: int) -> Iterator[Floats]:
    """The vectors of one version, a batch at a time; from a handle of its own, since a writer borrows the other."""
    for batch in _lance().dataset(str(path), version=version).to_batches(columns=["vector"], batch_size=ROWS_A_BATCH):
        if batch.num_rows:
            yield _rows(batch["vector"])


def _read(path: Path, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Table:
    if not _exists(path):
        table = schema.empty_table()
        return table.select(list(columns)) if columns else table
    return _dataset(path).to_table(columns=list(columns) if columns else None)


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _lance().write_dataset(table, str(path), mode="append" if _exists(path) else "create")
    except OSError as error:
        raise CollectionError(f"{path}: could not be written: {error}. Is the disk full or read-only?") from error


def _append_new(path: Path, rows: pa.Table) -> int:
    if _exists(path):
        there = _dataset(path).to_table(columns=["id"])["id"].combine_chunks()
        rows = rows.filter(pc.invert(pc.is_in(rows["id"], value_set=there)))
    rows = rows.filter(pa.array(_first(rows["id"].to_pylist())))
    if rows.num_rows:
        _write(path, rows)
    return int(rows.num_rows)


def _first(ids: Sequence[str]) -> NDArray[np.bool_]:
    """True at the first place of every id."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(image, place) == place for place, image in enumerate(ids)], np.bool_)


def _upsert(path: Path, rows: pa.Table, key: str) -> None:
    if not _exists(path):
        _write(path, rows)
        return
    _dataset(path).merge_insert(key).when_matched_update_all().when_not_matched_insert_all().execute(rows)


def _delete(path: Path, key: str, values: pa.Array | pa.ChunkedArray) -> None:
    if _exists(path) and len(values):
        _dataset(path).merge_insert(key).when_matched_delete().execute(pa.table({key: values}))


def _compact(path: Path, *, above: int) -> None:
    dataset = _dataset(path)
    if len(dataset.get_fragments()) > above:
        with suppress(OSError):  # a merge that loses a race or finds the disk full leaves the table as it was
            dataset.optimize.compact_files()


def _vectors_schema(dim: int, metadata: Mapping[str, str]) -> pa.Schema:
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


def _size(root: Path) -> int:
    total = 0
    for path in root.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total
