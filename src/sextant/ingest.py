"""Files to vectors: a bounded pipeline that reads and decodes ahead in threads while the encoder runs.

`Ingest` turns the candidates of a walk into rows, a batch at a time, and never holds more than a few batches. What is
known is not read again: a file is known by size and time of change, its image by the hash of its bytes. A bad file is
a `Skipped`. This stage knows nothing of vocabularies: the logits of columns that exist already come from a function it
is handed.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sextant.embedding import embed_file, encode
from sextant.errors import ImageError
from sextant.place import Bucket, Place, is_url, lies
from sextant.reading import AHEAD_BATCHES, Read, afar, ahead, bytes_of, read_one, worker
from sextant.settings import Settings
from sextant.store import FILES, IMAGES, Store
from sextant.types import AddReport, Encoder, Floats, ImageFacts, Progress, Skipped, Spread
from sextant.vectors import LogitsOf, Vectors
from sextant.walk import Candidate, Source, candidate, folders, is_gone, name_of, place_of, walk

__all__ = ["Candidate", "Ingest", "Source", "bring", "embed_file", "folders", "name_of", "walk"]

ROWS_A_FLUSH = 512
NAMES_A_LOT = 64
SECONDS_A_REPORT = 0.2


@dataclass(frozen=True, slots=True)
class Known:
    """What the collection remembers of a file."""

    id: str
    bytes: int
    mtime_ns: int


@dataclass
class _Tally:
    added: int = 0
    copies: int = 0
    unchanged: int = 0
    changed: int = 0
    moved: int = 0
    encoded: int = 0
    done: int = 0
    skipped: list[Skipped] = field(default_factory=list)


class Ingest:
    """One run of `add` for one encoder: hand it candidates with `run`."""

    def __init__(
        self,
        store: Store,
        vectors: Vectors,
        encoder: Encoder,
        settings: Settings,
        *,
        background: Callable[[Floats], Floats],
        logits_of: LogitsOf,
        metadata: Mapping[str, str],
    ) -> None:
        self.store, self.vectors, self.encoder, self.settings = store, vectors, encoder, settings
        self.background, self.logits_of, self.metadata = background, logits_of, metadata
        files = store.files()
        self.files = {
            p: Known(i, b, m)
            for p, i, b, m in zip(*(files[c].to_pylist() for c in FILES.names), strict=True)
            if i is not None
        }
        self.paths_of: dict[str, list[str]] = {}
        for path, known in self.files.items():
            self.paths_of.setdefault(known.id, []).append(path)
        self.have_facts = set(store.images(["id"])["id"].to_pylist())
        self.have_vector = set(vectors.ids().to_pylist())
        self.tally = _Tally()
        self._images: list[dict[str, Any]] = []
        self._rows: list[dict[str, Any]] = []
        self._batch: list[Read] = []
        self._encoded: list[tuple[str, Floats]] = []
        self._flushed = time.monotonic()

    def run(
        self,
        candidates: Iterable[Candidate | Skipped],
        *,
        total: int = 0,
        progress: Callable[[Progress], None] | None = None,
        spread: Spread | None = None,
        load: Callable[[], Encoder] | None = None,
    ) -> None:
        """Reads, encodes and writes everything that is new; `tally` holds the counts afterwards.

        With `spread` other processes read and encode, each with an encoder that `load` gives it; all else is the same.
        """
        started = reported = time.monotonic()
        window = AHEAD_BATCHES * self.settings.batch + self.settings.workers
        if spread is None or load is None:
            items = ahead(candidates, self._read, workers=self.settings.workers, window=window)
        else:
            items = self._elsewhere(candidates, spread, load)
        for item in items:
            self.tally.done += 1
            self._take(item)
            if len(self._batch) >= self.settings.batch:
                self._encode()
            if spread is None and self._due():
                self._flush()
            if progress and time.monotonic() - reported >= SECONDS_A_REPORT:
                reported = time.monotonic()
                progress(self._progress(total, reported - started))
        self._encode()
        self._flush()
        if progress:
            progress(self._progress(total, time.monotonic() - started))

    def _progress(self, total: int, seconds: float) -> Progress:
        tally = self.tally
        return Progress("add", tally.done, max(total, tally.done), seconds, tally.encoded, len(tally.skipped))

    def _read(self, item: Candidate | Skipped) -> Read | Skipped:
        """In a thread: the file's bytes to an id and, where needed, pixels."""
        if isinstance(item, Skipped):
            return item
        return self._unchanged(item) or read_one(item, self.encoder, self._complete)

    def _unchanged(self, item: Candidate) -> Read | None:
        """A file that need not be read, by its size and time of change."""
        known = self.files.get(item.name)
        if known and (known.bytes, known.mtime_ns) == (item.bytes, item.mtime_ns) and self._complete(known.id):
            return Read(item, known.id)
        return None

    def _elsewhere(
        self, candidates: Iterable[Candidate | Skipped], spread: Spread, load: Callable[[], Encoder]
    ) -> Iterator[Read | Skipped]:
        """What other processes make of the candidates that are new; the others come first, as they are known."""
        new: list[Candidate] = []
        for item in candidates:
            if isinstance(item, Skipped):
                yield item
            elif known := self._unchanged(item):
                yield known
            else:
                new.append(item)
        complete = np.array(sorted(self.have_vector & self.have_facts), "S32")
        for fragment in afar(new, partial(worker, load, self.settings, complete), spread):
            yield from fragment
            if self._due():  # here, and not within the next, which may be long in coming
                self._flush()

    def _complete(self, image_id: str) -> bool:
        return image_id in self.have_vector and image_id in self.have_facts

    def _take(self, item: Read | Skipped) -> None:
        if isinstance(item, Skipped):
            self.tally.skipped.append(item)
        elif isinstance(item.row, str):
            self.tally.skipped.append(Skipped(item.file.name, item.row))
        elif self._complete(item.id) or (item.pixels is None and item.row is None):
            self._remember(item)
        elif item.row is not None:
            self._keep(item, item.row)
            self._remember(item)
        else:
            self._batch.append(item)

    def _encode(self) -> None:
        batch, self._batch = self._batch, []
        unique = list({item.id: item for item in batch}.values())
        for item, row in zip(unique, encode(self.encoder, [i.pixels for i in unique]), strict=True):
            if isinstance(row, str):
                copies = [i for i in batch if i.id == item.id]
                self.tally.skipped += [Skipped(i.file.name, row) for i in copies]
                batch = [i for i in batch if i.id != item.id]
                continue
            self._keep(item, row)
        for item in batch:
            self._remember(item)

    def _keep(self, item: Read, row: Floats) -> None:
        self._encoded.append((item.id, row))
        self._rows_of(item)
        self.tally.encoded += 1

    def _rows_of(self, item: Read) -> None:
        if item.id not in self.have_facts and item.facts is not None:
            now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
            self._images.append({"id": item.id, "bytes": item.file.bytes, "added_at": now, **_facts_row(item.facts)})
            self.have_facts.add(item.id)
        self.have_vector.add(item.id)

    def _remember(self, item: Read) -> None:
        """Notes where the image lies, and counts what kind of news that is."""
        file, old = item.file, self.files.get(item.file.name)
        if old and old.id == item.id:
            self.tally.unchanged += 1
        elif old:
            self.tally.changed += 1
            self.paths_of[old.id].remove(file.name)
        elif item.id in self.paths_of:
            self._count_new_place(item.id)
        else:
            self.tally.added += 1
        known = Known(item.id, file.bytes, file.mtime_ns)
        if old != known:
            self._rows.append({"path": file.name, "id": item.id, "bytes": file.bytes, "mtime_ns": file.mtime_ns})
            if old:  # a path that is new is met once in a run, and need not be remembered beside its row
                self.files[file.name] = known
            if not old or old.id != item.id:
                self.paths_of.setdefault(item.id, []).append(file.name)

    def _count_new_place(self, image: str) -> None:
        """A known image at a path of its own: moved there if one of its files is gone, else a copy."""
        places, root = self.paths_of[image], self.store.root.parent
        gone = next((p for p in places if is_gone(lies(root, p))), None)
        if gone is not None:
            places.remove(gone)
            self.files.pop(gone, None)
            self._rows.append({"path": gone, "id": None, "bytes": None, "mtime_ns": None})
        if gone is not None or not places:
            self.tally.moved += 1
        else:
            self.tally.copies += 1

    def _due(self) -> bool:
        waited = time.monotonic() - self._flushed
        return len(self._encoded) >= ROWS_A_FLUSH or waited >= self.settings.flush_seconds

    def _flush(self) -> None:
        """Writes what is finished: vectors, then facts, then paths, so whoever sees a path finds the rest."""
        if self._encoded:
            ids, rows = [i for i, _ in self._encoded], np.stack([row for _, row in self._encoded])
            self.vectors.append(ids, rows, self.background(rows), self.logits_of, self.metadata)
        if self._images:
            self.store.append_images(pa.Table.from_pylist(self._images, schema=IMAGES))
        if self._rows:
            newest = list({row["path"]: row for row in self._rows}.values())
            self.store.put_files(pa.Table.from_pylist(newest, schema=FILES))
        self._encoded, self._images, self._rows = [], [], []
        self._flushed = time.monotonic()

    def missing(self, below: Sequence[Place], seen: set[str]) -> list[str]:
        """Known paths below the folders and prefixes that the walk did not meet and that are gone."""
        root = self.store.root.parent
        places = [place_of(folder, root) for folder in below if isinstance(folder, Path)]
        prefixes = tuple(f"{prefix}/" for prefix in below if isinstance(prefix, Bucket))
        unseen = [name for name in self.files if name not in seen]
        objects = [n for n in unseen if is_url(n) and n.startswith(prefixes) and is_gone(lies(root, n))]
        paths = ((n, Path(os.path.normpath(root / n))) for n in unseen if not is_url(n))
        return [n for n, path in paths if any(path.is_relative_to(p) for p in places) and is_gone(path)] + objects

    def report(self, missing: Sequence[str], seconds: float, *, dropped: int = 0) -> AddReport:
        """The counts of this run."""
        t = self.tally
        return AddReport(
            added=t.added,
            copies=t.copies,
            unchanged=t.unchanged,
            changed=t.changed,
            moved=t.moved,
            missing_paths=tuple(missing),
            encoded=t.encoded,
            skipped=tuple(t.skipped),
            seconds=seconds,
            dropped=dropped,
        )


def bring(
    store: Store,
    vectors: Vectors,
    names: Sequence[str],
    batches: Iterable[Floats],
    *,
    background: Callable[[Floats], Floats],
    logits_of: LogitsOf,
    metadata: Mapping[str, str],
    workers: int,
) -> AddReport:
    """Takes unit vectors made elsewhere, in batches (k, dim), for files by path or for ids already known.

    A file that is there is read once, for its id and facts. One that is not keeps its name, and an id made from it.
    """
    started = time.monotonic()
    folder = store.root.parent
    known = set(store.images(["id"])["id"].to_pylist())
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    read = itertools.chain.from_iterable(
        ahead(
            _lots(names),
            lambda lot: [_brought(name, folder, known, now) for name in lot],
            workers=workers,
            window=2 * workers,
        )
    )
    skipped: list[Skipped] = []
    added = fresh = taken = 0
    for rows in batches:
        items = list(itertools.islice(read, len(rows)))
        skipped += [item for item in items if isinstance(item, Skipped)]
        kept = [item for item in items if not isinstance(item, Skipped)]
        if kept:
            there = np.fromiter((not isinstance(item, Skipped) for item in items), np.bool_, len(items))
            chosen = rows if there.all() else rows[there]
            images = [image for image, _ in kept]
            fresh += vectors.append([i["id"] for i in images], chosen, background(chosen), logits_of, metadata)
            added += store.append_images(_table(images, IMAGES))
            files = {file["path"]: file for _, file in kept if file is not None}
            store.put_files(_table(list(files.values()), FILES))
            taken += len(kept)
    return AddReport(
        added=added,
        copies=0,
        unchanged=taken - fresh,
        changed=0,
        moved=0,
        missing_paths=(),
        encoded=0,
        skipped=tuple(skipped),
        seconds=time.monotonic() - started,
    )


def _lots(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Names a few at a time: a thread that is handed one by one is mostly woken up."""
    return (names[start : start + NAMES_A_LOT] for start in range(0, len(names), NAMES_A_LOT))


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table; a column that no row has costs nothing."""
    held = set().union(*rows)
    return pa.table(
        {
            field.name: pa.array([row.get(field.name) for row in rows], field.type)
            if field.name in held
            else pa.nulls(len(rows), field.type)
            for field in schema
        },
        schema=schema,
    )


def _brought(
    name: str, folder: Path, known: set[str], now: datetime
) -> tuple[dict[str, Any], dict[str, Any] | None] | Skipped:
    """The rows of images and files for one name."""
    from sextant import images  # brings Pillow, which a query has no need of

    if name in known:
        return {"id": name, "added_at": now}, None
    below = os.path.join(folder, name)  # noqa: PTH118 – as in `name_of`, a path a name would take as long as all else
    path = next((Path(p) for p in (name, below) if os.path.isfile(p)), None)  # noqa: PTH113 – never raises
    if path is None:
        called = name if "://" in name else name_of(below, folder)
        image = images.identify(called.encode())
        return {"id": image, "added_at": now}, {"path": called, "id": image, "bytes": None, "mtime_ns": None}
    file = candidate(path, folder)
    if isinstance(file, Skipped):
        return file
    try:
        data = bytes_of(file)
        _, facts = images.decode(data, least_side=images.FACTS_SIDE)
    except ImageError as error:
        return Skipped(file.name, str(error))
    image = images.identify(data)
    row = {"id": image, "bytes": file.bytes, "added_at": now, **_facts_row(facts)}
    return row, {"path": file.name, "id": image, "bytes": file.bytes, "mtime_ns": file.mtime_ns}


def _facts_row(facts: ImageFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in IMAGES.names if hasattr(facts, name)}
