"""One Lance table in a folder or a bucket: read, appended to, merged, trimmed, each in one commit.

Only this file imports Lance. What goes wrong comes out as a `CollectionError` in a person's words. This file knows
nothing of what tables hold, and takes no lock: whoever writes holds the collection's.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sextant import place
from sextant.errors import CollectionError, remedy
from sextant.place import Bucket, Place

PAGE_ROWS = 1024  # at a time to Lance, which makes a page of them that is read as a whole
COMPACT_ROWS = 1024  # in memory at a time: a merge must not need more of it than the run that made the fragments
LITTLE_AHEAD = {"batch_readahead": 2, "fragment_readahead": 1, "io_buffer_size": 32 << 20}
"""How far a local disk is read ahead: Lance's own habit is meant for a bucket, and fills half a GiB with what waits."""
WHOLE_ROWS = 32_768  # a fragment of so many gains nothing by being merged, and rewriting it costs more than all else
COMPACT_ABOVE = 64  # fragments; below it reading is not slowed enough to be worth rewriting
KEPT = timedelta(hours=1)  # how long an old version stays for whoever is still reading it
TRIES = 5

ALLOW = "Allow reading and writing in the collection's folder, then run the same command again"
COPY = "If the folder was copied, copy it again; what models computed can also be deleted and added anew"
ROOM = "If the disk is full or read-only, make room or allow writing, then run the same command again"

R = TypeVar("R")


class Vanished(CollectionError):
    """A file of the version being read is gone: a vacuum took it."""


def exists(path: Place) -> bool:
    """Whether a first version was ever committed; a killed writer can leave a folder without one."""
    if isinstance(path, Bucket):
        return bool(moment(path))
    try:
        return any(name.endswith(".manifest") for name in os.listdir(path / "_versions"))  # noqa: PTH208 – as below
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise CollectionError(f"{path}: cannot be read: {error.strerror or error}. {remedy(error, ALLOW)}") from error


def moment(path: Place) -> tuple[tuple[str, int], ...]:
    """What changes with every commit, read without opening the table: names and times of the versions there are."""
    if isinstance(path, Bucket):
        with reading(path):
            found = [(item.place.name, item.mtime_ns) for item in place.below(path / "_versions")]
        return tuple(dict.fromkeys([*found[:1], *found[-1:]]))
    try:
        names = sorted(os.listdir(path / "_versions"))  # noqa: PTH208 – asked with every question
        ends = dict.fromkeys([*names[:1], *names[-1:]])
        return tuple((name, os.stat(path / "_versions" / name).st_mtime_ns) for name in ends)  # noqa: PTH116
    except FileNotFoundError:  # no table yet, or a vacuum that takes a version away at this moment
        return ()
    except OSError as error:
        raise CollectionError(f"{path}: cannot be read: {error.strerror or error}. {remedy(error, ALLOW)}") from error


def opened(path: Place, version: int | None = None) -> Any:
    """The dataset, newest version unless one is named."""
    import lance

    with reading(path):
        return lance.dataset(str(path), version=version, storage_options=place.table_options(path))


@contextmanager
def reading(path: Place) -> Iterator[None]:
    """Says in a person's words what went wrong with a read."""
    try:
        yield
    except BaseException as error:
        if not _is_ours_to_say(error):
            raise
        kind = Vanished if "not found" in str(error).lower() else CollectionError
        help_ = place.REMEDY if isinstance(path, Bucket) else remedy(error, COPY)
        raise kind(f"{path}: cannot be read: {_plain(error)}. {help_}") from error


@contextmanager
def writing(path: Place) -> Iterator[None]:
    """Says in a person's words what went wrong with a write; a write that failed has changed nothing."""
    try:
        yield
    except BaseException as error:
        if not _is_ours_to_say(error):
            raise
        help_ = f"It is as it was before. {place.REMEDY if isinstance(path, Bucket) else remedy(error, ROOM)}"
        raise CollectionError(f"{path}: could not be written: {_plain(error)}. {help_}") from error


def _is_ours_to_say(error: BaseException) -> bool:
    """Whether it came from Lance or the system; a panic of Lance's is no Exception."""
    return isinstance(error, (OSError, ValueError, RuntimeError)) or type(error).__name__ == "PanicException"


def steadily(read: Callable[[], R]) -> R:
    """`read`, once more where a vacuum deleted the version that it had begun."""
    for _ in range(TRIES - 1):
        with suppress(Vanished):
            return read()
    return read()


def table(path: Place, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Some or all columns of every row; nothing, in the given schema, where the table does not exist."""
    chosen = None if columns is None else list(columns)

    def read() -> pa.Table:
        with reading(path):
            return opened(path).to_table(columns=chosen)

    if exists(path):
        return steadily(read)
    return schema.empty_table().select(chosen) if chosen else schema.empty_table()


def batches(path: Place, columns: Sequence[str], size: int, version: int | None = None) -> Iterator[pa.RecordBatch]:
    """Columns of every row of one version in their order, `size` rows at a time. Raises `Vanished` where it is gone."""
    ahead = {} if isinstance(path, Bucket) else LITTLE_AHEAD
    with reading(path):
        yield from opened(path, version).to_batches(columns=list(columns), batch_size=size, **ahead)


def append(path: Place, rows: pa.Table) -> None:
    """Adds rows, and makes the table with the first of them."""
    import lance

    with writing(path):
        if isinstance(path, Path):
            path.parent.mkdir(exist_ok=True)  # and none above it: where that is gone, the collection was moved
        mode = "append" if exists(path) else "create"
        pages = pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches(max_chunksize=PAGE_ROWS))
        lance.write_dataset(pages, str(path), mode=mode, storage_options=place.table_options(path))


class Keys:
    """The keys of a table that one column holds: read once, and kept up by who appends while it holds the lock.

    A long run that read them anew with every few rows would take four times as long for twice the rows.
    """

    def __init__(self, path: Place, column: str) -> None:
        self.path, self.column = path, column
        self._there = pa.chunked_array([], pa.string())
        self._as_of: tuple[int, int] | None = None

    def fresh(self, keys: Sequence[str]) -> NDArray[np.bool_]:
        """True at the first place of every key that the table does not hold."""
        now = self._moment()
        if now is None or now != self._as_of:
            self._there = table(self.path, pa.schema([(self.column, pa.string())]), [self.column])[self.column]
            self._as_of = now
        asked = pa.array(keys, pa.string())
        met = self._there.filter(pc.is_in(self._there, value_set=asked)).combine_chunks()
        known: NDArray[np.bool_] = pc.is_in(asked, value_set=met).to_numpy(zero_copy_only=False)
        return first(keys) & ~known

    def append(self, rows: pa.Table) -> None:
        """Adds rows with fresh keys."""
        append(self.path, rows)
        self._there = pa.chunked_array([*self._there.chunks, *rows[self.column].chunks], pa.string())
        self._as_of = self._moment()

    def append_fresh(self, rows: pa.Table) -> int:
        """Adds the rows whose key is not there yet; returns how many that were."""
        rows = rows.filter(pa.array(self.fresh(rows[self.column].to_pylist())))
        if rows.num_rows:
            self.append(rows)
        return int(rows.num_rows)

    def _moment(self) -> tuple[int, int] | None:
        """Which version of the table there is; no other writer can change it while the lock is held."""
        if not exists(self.path):
            return None
        dataset = opened(self.path)
        return dataset.version, dataset.count_rows()


def first(keys: Sequence[str]) -> NDArray[np.bool_]:
    """True at the first place of every key."""
    places: dict[str, int] = {}
    return np.array([places.setdefault(key, place) == place for place, key in enumerate(keys)], np.bool_)


def upsert(path: Place, rows: pa.Table, key: str) -> None:
    """Inserts rows, or replaces those of the same key."""
    if not exists(path):
        append(path, rows)
        return
    with writing(path):
        opened(path).merge_insert(key).when_matched_update_all().when_not_matched_insert_all().execute(rows)


def delete(path: Place, key: str, values: pa.Array | pa.ChunkedArray) -> None:
    """Removes the rows with these keys."""
    if exists(path) and len(values):
        with writing(path):
            opened(path).merge_insert(key).when_matched_delete().execute(pa.table({key: values}))


def compact(path: Place) -> None:
    """Merges small fragments where there are many, and deletes what is an hour old; cheap where there are few."""
    if exists(path) and len(opened(path).get_fragments()) > COMPACT_ABOVE:
        with suppress(OSError):  # a disk too full for a merge leaves the table as it was
            opened(path).optimize.compact_files(batch_size=COMPACT_ROWS, num_threads=1)
            opened(path).cleanup_old_versions(older_than=KEPT)


def vacuum(path: Place) -> None:
    """Merges small fragments, drops the space of deleted rows and dropped columns, and deletes every old version.

    Large fragments stay where nothing was deleted or dropped: to merge them would gain nothing. Rows keep their order.
    """
    if exists(path):
        with writing(path):
            dataset = opened(path)
            target = WHOLE_ROWS if _only_the_end_is_small(dataset) and not _holds_dropped(dataset) else None
            dataset.optimize.compact_files(target_rows_per_fragment=target, materialize_deletions_threshold=0.0)
            opened(path).cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)


def _only_the_end_is_small(dataset: Any) -> bool:
    """Whether large fragments without deleted rows come first, and then no more than makes one.

    What Lance merges it puts at the end, so that anything else has to be merged as a whole to keep the rows' order.
    """
    fragments = dataset.get_fragments()
    rows = [0 if fragment.num_deletions else fragment.physical_rows for fragment in fragments]
    first_rows = list(itertools.takewhile(lambda n: n >= WHOLE_ROWS, rows))
    end = rows[len(first_rows) :]
    return bool(first_rows) and 0 not in end and max(end, default=0) < WHOLE_ROWS and sum(end) < 2 * WHOLE_ROWS


def _holds_dropped(dataset: Any) -> bool:
    """Whether a file still holds a column that the table no longer has."""
    there = {field.id() for field in dataset.lance_schema.fields()}
    files = (file for fragment in dataset.get_fragments() for file in fragment.data_files())
    return any(not there.issuperset(file.fields) for file in files)


def _plain(error: BaseException) -> str:
    """Lance's message without the places in its own source that it ends with."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.split(", /")[0].split("\n")[0].strip().rstrip(".")
