"""What models computed, below one folder or prefix: facts and files of images, and a table of vectors an encoder.

    images.lance                 id, size and facts of the bytes; a row never changes
    files.lance                  path → id, with size and time of change, to know an unchanged file without reading it
    encoders/NAME@REV.lance      id, vector (dim), background, and one float32 logit column per attribute code
    encoders/NAME@REV.crops.lance  id, crop, vector (dim) and background of parts of images, where they were asked for

Writers take one lock and check inside it what is already there, so two of them never write a row twice. Readers take
none. This file knows nothing of encoders, vocabularies or confidences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock

from sextant import place as places
from sextant import tables
from sextant.errors import CollectionError, remedy
from sextant.place import Bucket, Place
from sextant.vectors import Column, LogitsOf, Vectors

__all__ = ["FILES", "IMAGES", "Column", "LogitsOf", "Store", "Vectors", "file_name"]

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
LOCK_SECONDS = 600.0
READ_ONLY = "A collection that is read-only can be asked, but not changed: allow writing, or work on a copy"
CROPS = ".crops.lance"  # what the folder of a table of parts of images ends with
DROPPED = ".dropped"  # what the folder of an encoder's table ends with while it is being deleted


class Lock(Protocol):
    """What keeps writers apart; taking it again from the same thread is free, waiting too long a `TimeoutError`."""

    def acquire(self) -> Any:
        """Waits for it."""

    def release(self) -> Any:
        """Lets the next one have it."""


class Store:
    """The Lance tables of one collection below `place`; what is only this machine's lies in the folder `root`.

    Writers take a lock of the operating system in `root`, or the one that `lock` names.
    """

    def __init__(self, root: Path, place: Place | None = None, lock: Callable[[], Lock] | None = None) -> None:
        self.root, self.place = root, place or root
        self._images, self._files = self.place / "images.lance", self.place / "files.lance"
        self._image_ids, self._paths = tables.Keys(self._images, "id"), tables.Keys(self._files, "path")
        self.own_lock = FileLock(root / "lock", timeout=LOCK_SECONDS)
        self._lock: Callable[[], Lock] = lock or (lambda: self.own_lock)
        self._there = root.is_dir()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the collection's one write lock; entering it again from the same thread is free.

        Raises:
            CollectionError: another process held the lock for ten minutes, or the folder cannot be written.
        """
        lock = self._lock()
        try:
            if self._there:
                self.root.stat()  # a lock would make a folder where one was moved away
            lock.acquire()
        except TimeoutError as error:
            raise CollectionError(
                f"{self.place}: another process has been writing for {LOCK_SECONDS / 60:.0f} minutes; "
                "wait for it, or end it (the lock goes with the process)"
            ) from error
        except OSError as error:
            raise CollectionError(
                f"{self.root}: cannot be written: {error.strerror or error}. {remedy(error, READ_ONLY)}"
            ) from error
        self._there = True
        try:
            yield
        finally:
            lock.release()

    # images and files

    def images(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The facts of every image, (n rows)."""
        return tables.table(self._images, IMAGES, columns)

    def files(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Path, id, bytes and mtime_ns of every file known; a path whose file moved away has a null id."""
        return tables.table(self._files, FILES, columns)

    def append_images(self, rows: pa.Table) -> int:
        """Adds the rows whose ids are not there yet; returns how many that were."""
        with self.writing():
            return self._image_ids.append_fresh(rows.cast(IMAGES))

    def put_files(self, rows: pa.Table) -> None:
        """Inserts or replaces rows by path."""
        if rows.num_rows:
            with self.writing():
                if self._paths.fresh(rows["path"].to_pylist()).all():  # far cheaper than to look for each
                    self._paths.append(rows.cast(FILES))
                else:
                    tables.upsert(self._files, rows.cast(FILES), "path")

    def drop_images(self, ids: Sequence[str]) -> None:
        """Removes images from every table; their paths are forgotten."""
        if ids:
            gone = pa.array(ids, pa.string())
            with self.writing():
                files = self.files()
                tables.delete(self._files, "path", files.filter(pc.is_in(files["id"], gone))["path"])
                # the images last: as long as they are known, what a killed run left of them is found again
                for path in (*self._encoder_paths(), *self._crops_paths(), self._images):
                    tables.delete(path, "id", gone)

    def drop_files(self, paths: Sequence[str]) -> None:
        """Forgets paths; the images stay."""
        if paths:
            with self.writing():
                tables.delete(self._files, "path", pa.array(paths, pa.string()))

    def moment(self, encoder: str) -> tuple[object, ...]:
        """What changes whenever anything is written that a reader of this encoder's images can see."""
        return tuple(tables.moment(path) for path in (self._images, self._files, self.vectors(encoder).path))

    # vectors

    def vectors(self, encoder: str) -> Vectors:
        """The table of an encoder, named `NAME@REVISION`; it may not exist yet."""
        return Vectors(self.place / "encoders" / f"{file_name(encoder)}.lance", encoder, self.writing)

    def crops(self, encoder: str) -> Place:
        """Where an encoder's table of parts of images lies; it may not exist."""
        return self.place / "encoders" / f"{file_name(encoder)}{CROPS}"

    def encoders(self) -> list[str]:
        """The names, `NAME@REVISION`, of the encoders that have a table."""
        return [_encoder_name(path) for path in self._encoder_paths()]

    def drop_encoder(self, encoder: str) -> None:
        """Deletes an encoder's table with its vectors and logits, at once for whoever reads."""
        with self.writing():
            known = {path.name for path in self._tables()}
            for path in (p for p in (self.vectors(encoder).path, self.crops(encoder)) if p.name in known):
                with tables.writing(path):
                    if isinstance(path, Bucket):  # nothing is renamed there: what makes it a table goes first
                        places.delete(path / "_versions")
                        places.delete(path)
                    else:
                        places.delete(path.rename(path.with_name(path.name + DROPPED)))

    def _tables(self) -> list[Place]:
        with tables.reading(self.place):
            return [p for p in places.children(self.place / "encoders") if p.name.endswith(".lance")]

    def _encoder_paths(self) -> list[Place]:
        return [p for p in self._tables() if not p.name.endswith(CROPS) and tables.exists(p)]

    def _crops_paths(self) -> list[Place]:
        return [p for p in self._tables() if p.name.endswith(CROPS) and tables.exists(p)]

    # housekeeping

    def vacuum(self) -> int:
        """Merges small fragments and deletes versions that nobody reads any more; returns the bytes freed."""
        before = self.size()
        with self.writing():
            for rest in places.children(self.place / "encoders"):
                if rest.name.endswith(DROPPED):
                    with suppress(OSError):
                        places.delete(rest)
            files = self.files()
            tables.delete(self._files, "path", files.filter(pc.is_null(files["id"]))["path"])
            for path in self._encoder_paths():
                Vectors(path, path.stem, self.writing).tidy()
            for path in (self._images, self._files, *self._encoder_paths(), *self._crops_paths()):
                tables.vacuum(path)
        return max(0, before - self.size())

    def compact(self) -> None:
        """Merges small fragments where there are many; cheap when there are not."""
        with self.writing():
            for path in (self._images, self._files, *self._encoder_paths(), *self._crops_paths()):
                tables.compact(path)

    def size(self) -> int:
        """Bytes on disk, and in the bucket."""
        with tables.reading(self.place):
            return places.size(self.root) + (places.size(self.place) if isinstance(self.place, Bucket) else 0)


def file_name(encoder: str) -> str:
    """An encoder's `NAME@REVISION` as a file name: `/` becomes `__`, anything else unusual a `-`."""
    return re.sub(r"[^\w.@+-]", "-", encoder.replace("/", "__"))


def _encoder_name(path: Place) -> str:
    recorded = (tables.opened(path).schema.metadata or {}).get(b"encoder")
    return recorded.decode() if recorded else path.stem
