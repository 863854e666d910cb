"""Candidates with what is needed to judge them: vectors, sizes, words and a way to their bytes.

The collection's own pictures bring what is stored. Files are read where they lie, and what is behind a URL is fetched
into a scratch folder; both are embedded without entering the collection. One that cannot be had is a `Skipped`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sextant import embedding, fingerprint, gather, images, walk
from sextant.curate.candidates import Candidate
from sextant.curate.gates import Seen
from sextant.curate.meter import Meter, Readings
from sextant.curate.scores import Part
from sextant.curate.scratch import Scratch
from sextant.duplicates import stock
from sextant.edges import Edges
from sextant.errors import ImageError
from sextant.place import Place, lies, read
from sextant.types import Floats, ImageFacts, Progress, Skipped
from sextant.vlm import Verdict
from sextant.walk import Source

if TYPE_CHECKING:
    from sextant.fetch import Fetcher

MOST = 20_000
"""Pictures of a collection that are looked at: those that resemble the query most."""
AT_ONCE = 32
SIDE = 64  # pixels of the copy whose light says whether a frame is blank: noise is gone in it
Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Look:
    """What the pixels of a picture say: how its light varies, and a perceptual hash."""

    spread: float
    hash: bytes


@dataclass
class Entry:
    """One candidate on its way. `file` holds its bytes now, `path` is its place in the collection, if it has one."""

    candidate: Candidate
    image: str
    file: Place
    path: str | None
    size: tuple[int, int]
    darkness: float
    sharpness: float
    vector: Floats
    background: float
    words: str = ""
    fetched_at: str | None = None
    look: Look | None = None
    margin: float = 0.0
    likeness: float = 0.0
    confidence: float = 0.0
    matched: int = 0
    parts: tuple[Part, ...] = ()
    score: float = 0.0
    verdict: Verdict | None = None
    remark: str = ""

    def seen(self, state: str) -> Seen:
        """What the gates are to know; a confidence that is uncalibrated is not held against a probability."""
        spread = self.look.spread if self.look else None
        relevance = self.verdict.relevance if self.verdict else None
        confidence = None if state == "uncalibrated" else self.confidence
        return Seen(*self.size, self.darkness, self.sharpness, spread, confidence, relevance, state)


@dataclass
class Pool:
    """The candidates of a curation; `count` is how many there were, `vectors` those that say how alike images are."""

    entries: list[Entry]
    count: int
    state: str
    vectors: Floats
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    where: str | None = None


def of_collection(edges: Edges, meter: Meter, where: str | None) -> Pool:
    """The pictures of the collection that satisfy a rule and are not suppressed as near-duplicates."""
    held = stock(edges, where)
    shown = ~held.view.out_of_sight[held.row]
    rows, vectors = held.row[shown], held.vectors[shown]
    background = held.view.background[rows]
    readings = meter.read(vectors, background)
    best = np.argsort(-readings.value, kind="stable")[:MOST]
    facts = {n: held.view.fact_values(n)[rows[best]] for n in ("width", "height", "darkness", "sharpness")}
    said = [held.view.fact(n).take(rows[best].tolist()).to_pylist() for n in ("tags", "description")]
    entries = []
    for k, at in enumerate(best.tolist()):
        row = int(rows[at])
        path, tags, description = str(held.view.paths[row]), said[0][k] or [], said[1][k] or ""
        entry = Entry(
            Candidate(path, description=description),
            image=str(held.view.ids[row]),
            file=lies(edges.folder, path),
            path=path,
            size=(int(facts["width"][k]), int(facts["height"][k])),
            darkness=float(facts["darkness"][k]),
            sharpness=float(facts["sharpness"][k]),
            vector=vectors[at],
            background=float(background[at]),
            words=" ".join([*tags, description]),
        )
        entries.append(entry)
    _mark(entries, readings, best)
    notes = [f"only the {MOST:,} that resemble the query most were looked at"] if len(vectors) > MOST else []
    return Pool(entries, len(vectors), readings.state, vectors, notes=notes, where=where)


def from_outside(
    edges: Edges,
    meter: Meter,
    sources: Sequence[Source],
    offered: Sequence[Candidate],
    *,
    scratch: Scratch,
    fetcher: Fetcher | None,
    progress: Report | None,
) -> Pool:
    """Files, folders, patterns and URLs, and what providers offered; each URL and each file once."""
    local = [source for source in sources if not gather.is_url(source)]
    named = [Candidate(os.fspath(source)) for source in sources if gather.is_url(source)]
    web = {c.url: c for c in reversed([*named, *offered])}  # of several, the first counts
    urls = list(reversed(web))
    skipped: list[Skipped] = []
    files = [item for item in walk.walk(local, edges.folder) if _is_file(item, skipped)]
    found = _Outside(edges, scratch, skipped, _known(edges), len(files) + len(urls), progress)
    for batch in _batched(chain(_read(files, skipped), _fetched(urls, web, scratch, fetcher, skipped))):
        found.take(batch)
    entries = found.entries
    vectors = np.stack([e.vector for e in entries]) if entries else np.zeros((0, meter.edges.manifest.dim), np.float32)
    background = meter.background(vectors) if entries else np.zeros(0, np.float32)
    for entry, level in zip(entries, background.tolist(), strict=True):
        entry.background = level
    readings = meter.read(vectors, background)
    _mark(entries, readings, np.arange(len(entries)))
    return Pool(entries, len(files) + len(urls), readings.state, vectors, skipped)


def look_at(entry: Entry) -> str:
    """Opens a picture of the collection to see what its pixels say; why it cannot be, or nothing."""
    if entry.look is None:
        try:
            picture, _ = images.decode(read(entry.file), least_side=images.FACTS_SIDE)
        except ImageError as error:
            return str(error)
        except OSError as error:
            return f"the file cannot be read: {error.strerror or error}"
        entry.look = seen_in(picture)
    return ""


def seen_in(picture: Image.Image) -> Look:
    """What the pixels of an upright picture say."""
    small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return Look(float(np.asarray(small, np.float64).std()), fingerprint.fingerprint(picture))


def _mark(entries: Sequence[Entry], readings: Readings, rows: NDArray[np.intp]) -> None:
    for entry, row in zip(entries, rows.tolist(), strict=True):
        entry.margin, entry.likeness = float(readings.margin[row]), float(readings.value[row])
        entry.confidence, entry.matched = float(readings.confidence[row]), int(readings.matched[row])


def _known(edges: Edges) -> Mapping[str, str]:
    """Where the pictures of the collection lie, by id."""
    if not edges.vectors.exists():
        return {}
    view = edges.view()
    return dict(zip(view.ids.to_pylist(), view.paths.to_pylist(), strict=True))


# from outside


@dataclass(frozen=True, slots=True)
class _Raw:
    """A picture that was had from outside."""

    candidate: Candidate
    data: bytes
    file: Place
    fetched_at: str | None = None


class _Outside:
    """Turns batches of pictures into entries."""

    def __init__(
        self,
        edges: Edges,
        scratch: Scratch,
        skipped: list[Skipped],
        known: Mapping[str, str],
        total: int,
        progress: Report | None,
    ) -> None:
        self.entries: list[Entry] = []
        self._encoder = edges.encoder()
        self._scratch, self._skipped, self._known = scratch, skipped, known
        self._total, self._progress, self._begun = total, progress, time.monotonic()
        self._pool = ThreadPoolExecutor(edges.settings.workers, thread_name_prefix="sextant-curate")

    def take(self, batch: Sequence[_Raw]) -> None:
        """Embeds one batch."""
        ready = []
        for raw, found in zip(batch, self._pool.map(self._prepared, batch), strict=True):
            if isinstance(found, str):
                self._skipped.append(Skipped(raw.candidate.url, found))
            else:
                ready.append((raw, *found))
        rows = embedding.encode(self._encoder, [pixels for _, pixels, _, _ in ready])
        for (raw, _, facts, look), row in zip(ready, rows, strict=True):
            if isinstance(row, str):
                self._skipped.append(Skipped(raw.candidate.url, row))
            else:
                self.entries.append(self._entry(raw, facts, look, row))
        if self._progress:
            done = len(self.entries) + len(self._skipped)
            self._progress(Progress("curate: embedding", done, self._total, time.monotonic() - self._begun))

    def _prepared(self, raw: _Raw) -> tuple[Any, ImageFacts, Look] | str:
        try:
            pixels, facts = embedding.prepared(raw.data, self._encoder)
            picture, _ = images.decode(raw.data, least_side=images.FACTS_SIDE)
        except ImageError as error:
            return str(error)
        return pixels, facts, seen_in(picture)

    def _entry(self, raw: _Raw, facts: ImageFacts, look: Look, row: Floats) -> Entry:
        image = images.identify(raw.data)
        return Entry(
            raw.candidate,
            image=image,
            file=raw.file,
            path=self._known.get(image),
            size=(facts.width, facts.height),
            darkness=facts.darkness,
            sharpness=facts.sharpness,
            vector=row,
            background=0.0,
            words=" ".join([raw.candidate.title, raw.candidate.description]).strip(),
            fetched_at=raw.fetched_at,
            look=look,
        )


def _is_file(item: walk.Candidate | Skipped, skipped: list[Skipped]) -> bool:
    if isinstance(item, Skipped):
        skipped.append(item)
    return not isinstance(item, Skipped)


def _read(files: Iterable[walk.Candidate | Skipped], skipped: list[Skipped]) -> Iterator[_Raw]:
    for item in files:
        if isinstance(item, Skipped):
            continue
        try:
            yield _Raw(Candidate(item.name), read(item.path), item.path)
        except OSError as error:
            skipped.append(Skipped(item.name, f"cannot be read: {error.strerror or error}"))


def _fetched(
    urls: Sequence[str],
    by_url: Mapping[str, Candidate],
    scratch: Scratch,
    fetcher: Fetcher | None,
    skipped: list[Skipped],
) -> Iterator[_Raw]:
    if not urls:
        return
    if fetcher is None:
        from sextant.fetch import Fetcher  # brings httpx, which a folder of files has no need of

        fetcher = Fetcher()
    for found in gather.fetch_all(urls, fetcher):
        if isinstance(found, Skipped):
            skipped.append(found)
            continue
        candidate = by_url[found.url]
        licence = candidate.licence or found.licence
        candidate = Candidate(found.url, candidate.title, candidate.source, licence, candidate.description)
        suffix = gather.SUFFIXES.get(found.format, f".{found.format.lower()}")
        file = scratch.keep(f"{images.identify(found.data)}{suffix}", found.data)
        yield _Raw(candidate, found.data, file, found.at.isoformat())


def _batched(items: Iterator[_Raw]) -> Iterator[list[_Raw]]:
    while batch := list(islice(items, AT_ONCE)):
        yield batch
