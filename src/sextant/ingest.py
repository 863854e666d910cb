"""Files to vectors: a bounded pipeline that reads and decodes ahead in threads while the encoder runs.

`walk` turns what a person names into candidates; `Ingest` turns candidates into rows, a batch at a time, and never
holds more than a few batches. What is known is not read again: a file is known by size and time of change, its image
by the hash of its bytes. A bad file is a `Skipped`. This stage knows nothing of vocabularies: the logits of columns
that exist already come from a function it is handed.
"""

from __future__ import annotations

import glob
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sextant import images
from sextant.errors import ImageError, ModelError, UsageError
from sextant.settings import Settings
from sextant.store import FILES, IMAGES, LogitsOf, Store, Vectors
from sextant.types import AddReport, Encoder, Floats, ImageFacts, PreparingEncoder, Progress, Skipped

MAX_BYTES = 1 << 30
"""A file larger than this is refused unread."""
ROWS_A_FLUSH = 1024
AHEAD_BATCHES = 2
SECONDS_A_REPORT = 0.2

T = TypeVar("T")
R = TypeVar("R")
Source = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One file that may hold an image: where it lies, and `name`, its path from the collection's folder."""

    path: Path
    name: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Known:
    """What the collection remembers of a file."""

    id: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class _Read:
    """A file that was read. `pixels` is None where the image needs no encoding."""

    file: Candidate
    id: str
    facts: ImageFacts | None = None
    pixels: Any = None


# what a person names


def walk(sources: Iterable[Source], root: Path) -> Iterator[Candidate | Skipped]:
    """Every file behind paths, folders, patterns and `file://` URLs, each once; else a `Skipped`."""
    seen: set[str] = set()
    for source in sources:
        for found in _expand(source):
            item = found if isinstance(found, Skipped) else _candidate(found, root)
            key = item.path if isinstance(item, Skipped) else item.name
            if key not in seen:
                seen.add(key)
                yield item


def folders(sources: Iterable[Source]) -> list[Path]:
    """The folders among the sources, absolute."""
    paths = (_local(os.fspath(s)) for s in sources)
    return [absolute(p) for p in paths if p is not None and p.is_dir()]


def _local(source: str) -> Path | None:
    """The path of a plain path or a `file://` URL; None for any other URL."""
    if "://" not in source:
        return Path(source).expanduser()
    parts = urlsplit(source)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return None


def _expand(source: Source) -> Iterator[Path | Skipped]:
    text = os.fspath(source)
    path = _local(text)
    if path is None:
        yield Skipped(text, "only local files can be added: download it first, then add the file or its folder")
    elif path.is_dir():
        yield from _folder(path)
    elif path.exists() or path.is_symlink():
        yield path
    elif glob.has_magic(text):
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 – Path.glob takes no absolute pattern
        if not matches:
            yield Skipped(text, "the pattern matches no file")
        for match in matches:
            yield from _folder(Path(match)) if Path(match).is_dir() else [Path(match)]
    else:
        yield Skipped(text, "no such file or folder")


def _folder(folder: Path) -> Iterator[Path | Skipped]:
    """Files with an image's suffix below a folder, in order; hidden folders and links to folders are passed over."""
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except OSError as error:
        yield Skipped(str(folder), f"the folder cannot be listed: {error.strerror}")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _folder(Path(entry.path))
        elif Path(entry.name).suffix.lower() in images.SUFFIXES:
            yield Path(entry.path)


def absolute(path: Path) -> Path:
    """A path from the root, `..` resolved by name: links stay what a person called them."""
    return Path(os.path.abspath(path))  # noqa: PTH100 – resolve() would follow links


def name_of(path: Path, root: Path) -> str:
    """A file as the collection in `root` writes it down."""
    return Path(os.path.relpath(absolute(path), root)).as_posix()


def _candidate(path: Path, root: Path) -> Candidate | Skipped:
    try:
        status = path.stat()
    except FileNotFoundError:
        return Skipped(str(path), "the link points nowhere" if path.is_symlink() else "no such file")
    except OSError as error:
        return Skipped(str(path), f"cannot be looked at: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return Skipped(str(path), "not a regular file")
    name = name_of(path, root)
    try:
        name.encode()
    except UnicodeEncodeError:
        return Skipped(repr(name), "the file name is not valid UTF-8: rename it")
    return Candidate(path, name, status.st_size, status.st_mtime_ns)


# the pipeline


def ahead(items: Iterable[T], work: Callable[[T], R], *, workers: int, window: int) -> Iterator[R]:
    """`work` of every item, in order, computed by threads at most `window` items ahead of the reader."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="sextant-decode")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
        self._batch: list[_Read] = []
        self._encoded: list[tuple[list[str], Floats]] = []
        self._flushed = time.monotonic()

    def run(
        self,
        candidates: Iterable[Candidate | Skipped],
        *,
        total: int = 0,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Reads, encodes and writes everything that is new; `tally` holds the counts afterwards."""
        started = reported = time.monotonic()
        window = AHEAD_BATCHES * self.settings.batch + self.settings.workers
        for item in ahead(candidates, self._read, workers=self.settings.workers, window=window):
            self.tally.done += 1
            self._take(item)
            if len(self._batch) >= self.settings.batch:
                self._encode()
            if self._due():
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

    def _read(self, item: Candidate | Skipped) -> _Read | Skipped:
        """In a thread: the file's bytes to an id and, where needed, pixels."""
        if isinstance(item, Skipped):
            return item
        known = self.files.get(item.name)
        if known and (known.bytes, known.mtime_ns) == (item.bytes, item.mtime_ns) and self._complete(known.id):
            return _Read(item, known.id)
        try:
            if item.bytes > MAX_BYTES:
                raise ImageError(f"larger than {MAX_BYTES >> 20} MiB")
            data = item.path.read_bytes()
            image_id = images.identify(data)
            if self._complete(image_id):
                return _Read(item, image_id)
            pixels, facts = _prepared(data, self.encoder)
            return _Read(item, image_id, facts, pixels)
        except OSError as error:
            return Skipped(item.name, f"cannot be read: {error.strerror or error}")
        except (ImageError, ModelError) as error:
            return Skipped(item.name, str(error))
        except MemoryError:
            return Skipped(item.name, "too large for this machine's memory")

    def _complete(self, image_id: str) -> bool:
        return image_id in self.have_vector and image_id in self.have_facts

    def _take(self, item: _Read | Skipped) -> None:
        if isinstance(item, Skipped):
            self.tally.skipped.append(item)
        elif item.pixels is None or self._complete(item.id):
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
            self._encoded.append(([item.id], row[None, :]))
            self._rows_of(item)
            self.tally.encoded += 1
        for item in batch:
            self._remember(item)

    def _rows_of(self, item: _Read) -> None:
        if item.id not in self.have_facts and item.facts is not None:
            facts = {name: getattr(item.facts, name) for name in IMAGES.names if hasattr(item.facts, name)}
            now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
            self._images.append({"id": item.id, "bytes": item.file.bytes, "added_at": now, **facts})
            self.have_facts.add(item.id)
        self.have_vector.add(item.id)

    def _remember(self, item: _Read) -> None:
        """Notes where the image lies, and counts what kind of news that is."""
        file, old = item.file, self.files.get(item.file.name)
        if old and old.id == item.id:
            self.tally.unchanged += 1
        elif old:
            self.tally.changed += 1
        elif item.id in self.paths_of:
            gone = [p for p in self.paths_of[item.id] if p != file.name and not (self.store.root.parent / p).exists()]
            if gone:
                self.tally.moved += 1
                self.paths_of[item.id].remove(gone[0])
                del self.files[gone[0]]
                self._rows.append({"path": gone[0], "id": None, "bytes": None, "mtime_ns": None})
            else:
                self.tally.copies += 1
        else:
            self.tally.added += 1
        known = Known(item.id, file.bytes, file.mtime_ns)
        if old != known:
            self._rows.append({"path": file.name, "id": item.id, "bytes": file.bytes, "mtime_ns": file.mtime_ns})
            self.files[file.name] = known
            if not old or old.id != item.id:
                self.paths_of.setdefault(item.id, []).append(file.name)

    def _due(self) -> bool:
        waited = time.monotonic() - self._flushed
        return sum(len(ids) for ids, _ in self._encoded) >= ROWS_A_FLUSH or waited >= self.settings.flush_seconds

    def _flush(self) -> None:
        """Writes what is finished: vectors, then facts, then paths, so whoever sees a path finds the rest."""
        if self._encoded:
            ids = [i for batch, _ in self._encoded for i in batch]
            rows = np.concatenate([rows for _, rows in self._encoded])
            self.vectors.append(ids, rows, self.background(rows), self.logits_of, self.metadata)
        if self._images:
            self.store.append_images(pa.Table.from_pylist(self._images, schema=IMAGES))
        if self._rows:
            newest = list({row["path"]: row for row in self._rows}.values())
            self.store.put_files(pa.Table.from_pylist(newest, schema=FILES))
        self._encoded, self._images, self._rows = [], [], []
        self._flushed = time.monotonic()

    def missing(self, below: Sequence[Path], seen: set[str]) -> list[str]:
        """Known paths below the folders that the walk did not meet and that are gone from the disk."""
        root = self.store.root.parent
        gone = []
        for name in self.files:
            if name not in seen:
                path = Path(os.path.normpath(root / name))
                if any(path.is_relative_to(folder) for folder in below) and not os.path.lexists(path):
                    gone.append(name)
        return gone

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
    rows: Floats,
    *,
    background: Callable[[Floats], Floats],
    logits_of: LogitsOf,
    metadata: Mapping[str, str],
    workers: int,
) -> AddReport:
    """Takes unit vectors (n, dim) made elsewhere, for files by path or for ids already known.

    A file that is there is read once, for its id and facts. One that is not keeps its name, and an id made from it.
    """
    started = time.monotonic()
    folder = store.root.parent
    known_ids = set(store.images(["id"])["id"].to_pylist())
    read = list(ahead(names, lambda name: _brought(name, folder, known_ids), workers=workers, window=4 * workers))
    good = [place for place, item in enumerate(read) if not isinstance(item, Skipped)]
    kept = [item for item in read if not isinstance(item, Skipped)]
    before = len(vectors)
    if kept:
        chosen = rows[good]
        vectors.append([i["id"] for i, _ in kept], chosen, background(chosen), logits_of, metadata)
    added = store.append_images(pa.Table.from_pylist([i for i, _ in kept], schema=IMAGES)) if kept else 0
    store.put_files(pa.Table.from_pylist([f for _, f in kept if f is not None], schema=FILES))
    return AddReport(
        added=added,
        copies=0,
        unchanged=len(kept) - (len(vectors) - before),
        changed=0,
        moved=0,
        missing_paths=(),
        encoded=0,
        skipped=tuple(item for item in read if isinstance(item, Skipped)),
        seconds=time.monotonic() - started,
    )


def _brought(name: str, folder: Path, known: set[str]) -> tuple[dict[str, Any], dict[str, Any] | None] | Skipped:
    """The rows of images and files for one name."""
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    if name in known:
        return {"id": name, "added_at": now}, None
    path = Path(name).expanduser()
    path = path if path.exists() else folder / name
    if not path.is_file():
        image = images.identify(name.encode())
        return {"id": image, "added_at": now}, {"path": name, "id": image, "bytes": None, "mtime_ns": None}
    file = _candidate(path, folder)
    if isinstance(file, Skipped):
        return file
    try:
        data = path.read_bytes()
        _, facts = images.decode(data, least_side=images.FACTS_SIDE)
    except (OSError, ImageError) as error:
        return Skipped(file.name, str(error))
    image = images.identify(data)
    row = {"id": image, "bytes": file.bytes, "added_at": now}
    row |= {field: getattr(facts, field) for field in IMAGES.names if hasattr(facts, field)}
    return row, {"path": file.name, "id": image, "bytes": file.bytes, "mtime_ns": file.mtime_ns}


def embed_file(path: Path, encoder: Encoder) -> tuple[str, Floats]:
    """The id and the unit vector (dim,) of one image file that need not belong to a collection.

    Raises:
        ImageError: it cannot be read, or the encoder makes nothing of it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error
    pixels, _ = _prepared(data, encoder)
    row = encode(encoder, [pixels])[0]
    if isinstance(row, str):
        raise ImageError(f"{path}: {row}")
    return images.identify(data), row


def _prepared(data: bytes, encoder: Encoder) -> tuple[Any, ImageFacts]:
    """Bytes to what the encoder takes, and the facts."""
    if isinstance(encoder, PreparingEncoder):
        picture, facts = images.decode(data, least_side=encoder.decode_side)
        return encoder.prepare(picture), facts
    return images.decode(data)


def encode(encoder: Encoder, pixels: Sequence[Any]) -> list[Floats | str]:
    """A unit row for every picture, or the reason why it has none. One bad picture does not spoil its batch."""
    if not pixels:
        return []
    call = encoder.encode_prepared if isinstance(encoder, PreparingEncoder) else encoder.encode_images
    try:
        rows = call(pixels)
        if rows.shape != (len(pixels), encoder.dim):
            raise UsageError(f"{encoder.name} gave rows of shape {rows.shape}, not ({len(pixels)}, {encoder.dim})")
        if _sound(rows).all():
            return list(rows)
    except (ModelError, ValueError, RuntimeError) as error:
        if len(pixels) == 1:
            return [f"the encoder failed on it: {error}"]
    if len(pixels) == 1:
        return ["the encoder makes nothing of it: it gave no vector of unit length"]
    return [encode(encoder, [one])[0] for one in pixels]


def _sound(rows: Floats) -> NDArray[np.bool_]:
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    return np.asarray(np.isfinite(lengths) & (np.abs(lengths - 1) < 1e-2))
