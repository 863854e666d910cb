"""URLs into files: pictures from the web become plain files in `downloads/`, with a record of where they came from.

A picture is called by its host and the hash of its bytes: `downloads/example.org/0f3a….jpg`. Beside them,
`downloads/sources.jsonl` has a line for every URL: `url`, `final`, `path`, `id`, `bytes`, `licence`, `at`. It lies with
the pictures, not in `.sextant/`, so that copying the pictures copies their provenance. What it lists and is still there
is not fetched again. How pictures are fetched safely is `fetch`'s business.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sextant.errors import CollectionError
from sextant.manifest import replacing
from sextant.types import Skipped
from sextant.walk import Candidate, Source, candidate, printable

if TYPE_CHECKING:
    from sextant.fetch import Fetched, Fetcher

FOLDER = "downloads"
SOURCES = "sources.jsonl"
AT_ONCE = 4
AT_ONCE_A_HOST = 2
LONGEST_HOST = 100
SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif"}
"""File name endings where the format's own name in lower case is not the usual one."""


def is_url(source: Source) -> bool:
    """Whether a source is to be fetched."""
    return os.fspath(source).lower().startswith(("http://", "https://"))


def gather(urls: Iterable[str], root: Path, fetcher: Fetcher | None = None) -> Iterator[Candidate | Skipped]:
    """The file of every URL, each URL once and in order; fetched a few at a time where it is not there yet.

    Raises:
        CollectionError: the folder of downloads cannot be written.
        MissingExtra: httpx is not installed, and something has to be fetched.
    """
    wanted = list(dict.fromkeys(urls))
    downloads = Downloads(root)
    held = {url: file for url in wanted if (file := downloads.file_of(url)) is not None}
    missing = [url for url in wanted if url not in held]
    if missing and fetcher is None:
        from sextant.fetch import Fetcher  # brings httpx, which a list without URLs has no need of

        fetcher = Fetcher()
    fetched = fetch_all(missing, fetcher) if fetcher is not None else iter(())
    for url in wanted:
        if url in held:
            yield held[url]
            continue
        found = next(fetched)
        yield found if isinstance(found, Skipped) else downloads.keep(found)


class Downloads:
    """The folder of fetched pictures of one collection, and the record of their sources."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER
        self._sources = _read(self.folder / SOURCES)

    def file_of(self, url: str) -> Candidate | None:
        """The file that a URL was fetched into before, if it is still there and of the same size."""
        known = self._sources.get(url)
        if known is None:
            return None
        file = candidate(self.root / known["path"], self.root)
        return file if isinstance(file, Candidate) and file.bytes == known["bytes"] else None

    def keep(self, fetched: Fetched) -> Candidate | Skipped:
        """Writes a picture and then its source; a picture that is there already is not written again."""
        from sextant.images import identify

        image = identify(fetched.data)
        suffix = SUFFIXES.get(fetched.format, f".{fetched.format.lower()}")
        file = self.folder / folder_of(fetched.url) / f"{image}{suffix}"
        path = file.relative_to(self.root).as_posix()
        source = {
            "url": fetched.url,
            "final": fetched.final,
            "path": path,
            "id": image,
            "bytes": len(fetched.data),
            "licence": fetched.licence,
            "at": fetched.at.isoformat(),
        }
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.is_file() or file.stat().st_size != len(fetched.data):
                with replacing(file) as part:
                    part.write(fetched.data)
            _append(self.folder / SOURCES, source)
        except OSError as error:
            raise CollectionError(f"{self.folder}: cannot be written: {error.strerror or error}") from error
        self._sources[fetched.url] = source
        return candidate(file, self.root)


def folder_of(url: str) -> str:
    """The folder for pictures of a URL's host: letters, digits, dots and hyphens, not hidden."""
    try:
        host = urlsplit(url).hostname or ""
        plain = host.encode("idna").decode() if not host.isascii() else host
    except (ValueError, UnicodeError):
        plain = ""
    return re.sub(r"[^a-z0-9.-]", "-", plain.lower()).strip(".-")[:LONGEST_HOST].rstrip(".") or "host"


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """The newest line of every URL. A line that was cut short, or that a person broke, is as if it were not there."""
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        try:
            row = json.loads(line)
            if isinstance(row["url"], str) and _is_below(row["path"]):
                found[row["url"]] = row
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
    return found


def _is_below(path: str) -> bool:
    parts = Path(path).parts
    return parts[0] == FOLDER and ".." not in parts


def _append(file: Path, row: dict[str, Any]) -> None:
    """One line at the end, in one write; after a line that was cut short it begins a new one."""
    line = json.dumps(row, ensure_ascii=True).encode() + b"\n"
    with file.open("ab+", buffering=0) as out:
        if out.seek(0, os.SEEK_END):
            out.seek(-1, os.SEEK_END)
            line = line if out.read(1) == b"\n" else b"\n" + line
        out.write(line)
        os.fsync(out.fileno())


def fetch_all(urls: Sequence[str], fetcher: Fetcher) -> Iterator[Fetched | Skipped]:
    """Every URL's picture, in order; a few at a time, and fewer from any one host."""
    turns: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(AT_ONCE_A_HOST))
    hosts = {url: turns[folder_of(url)] for url in urls}

    def one(url: str) -> Fetched | Skipped:
        with hosts[url]:
            found = fetcher.fetch(url)
        return Skipped(printable(url), found.reason) if isinstance(found, Skipped) else found

    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sextant-fetch")
    waiting: deque[Future[Fetched | Skipped]] = deque()
    try:
        for url in urls:
            waiting.append(pool.submit(one, url))
            if len(waiting) > AT_ONCE:  # one more than are under way: memory holds a handful of pictures
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        if waiting:
            fetcher.stop()
        pool.shutdown(wait=True, cancel_futures=True)
