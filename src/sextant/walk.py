"""What a person names, files, folders, patterns, `file://` and `s3://` URLs, as files that may hold an image.

A file is called by its path from the folder of the collection, so that the two can be moved together; an object in a
bucket by its URL. What cannot be an image, or cannot be looked at, is a `Skipped`. Nothing here opens a file.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sextant import place
from sextant.errors import UsageError
from sextant.place import Bucket, Place, is_gone
from sextant.types import Skipped

__all__ = ["Candidate", "Source", "candidate", "folders", "is_gone", "name_of", "place_of", "printable", "walk"]

Source = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One file that may hold an image: where it lies, and `name`, its path from the collection's folder or its URL."""

    path: Place
    name: str
    bytes: int
    mtime_ns: int


def walk(sources: Iterable[Source], root: Path) -> Iterator[Candidate | Skipped]:
    """Every file behind paths, folders, patterns, `file://` and `s3://` URLs, each once; else a `Skipped`."""
    seen: set[str] = set()
    for source in sources:
        for found in _expand(source):
            item = candidate(found, root) if isinstance(found, Path) else found
            key = item.path if isinstance(item, Skipped) else item.name
            if key not in seen:
                seen.add(key)
                yield item


def folders(sources: Sequence[Source]) -> list[Place]:
    """The folders among the sources, and what may be prefixes of a bucket."""
    paths = (_local(os.fspath(s)) for s in sources)
    found: list[Place] = [p for p in paths if p is not None and os.path.isdir(p)]  # noqa: PTH112 – as below
    return [*found, *(Bucket(os.fspath(s).rstrip("/")) for s in sources if place.is_url(s))]


def place_of(folder: Path, root: Path) -> Path:
    """Where a folder lies, in the same terms as `root / name` of the files below it."""
    return Path(os.path.normpath(root / name_of(folder / "file", root))).parent


def name_of(path: str | os.PathLike[str], root: Path) -> str:
    """A file as the collection in `root` writes it down; links keep their names, wherever that leads below `root`."""
    named, below = os.path.abspath(path), os.path.join(root, "")  # noqa: PTH100, PTH118 – asked of every file
    if named.startswith(below):
        return named[len(below) :].replace(os.sep, "/")
    if named != os.fspath(root):  # `root` itself may have been reached through a link
        folder, last = os.path.split(named)
        named = os.path.join(os.path.realpath(folder), last)  # noqa: PTH118
    return Path(os.path.relpath(named, root)).as_posix()


def printable(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 as `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def candidate(path: Path, root: Path) -> Candidate | Skipped:
    """One file to look at, or why it is none."""
    name = name_of(path, root)
    if printable(name) != name:
        return Skipped(printable(name), "the file name is not valid UTF-8: rename it")
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Skipped(name, "the link points nowhere" if path.is_symlink() else "no such file or folder")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return Skipped(name, f"cannot be looked at: {getattr(error, 'strerror', None) or error}")
    if not stat.S_ISREG(status.st_mode):
        return Skipped(name, "not a regular file")
    return Candidate(path, name, status.st_size, status.st_mtime_ns)


def _local(source: str) -> Path | None:
    """The path of a plain path or a `file://` URL; None for any other URL, and for an empty name."""
    if not source:
        return None
    if "://" not in source:
        return Path(os.path.expanduser(source))  # noqa: PTH111 – Path's raises for a file that is called `~draft.png`
    parts = urlsplit(source)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return None


def _expand(source: Source) -> Iterator[Path | Candidate | Skipped]:
    text = os.fspath(source)
    if place.is_url(text):
        yield from _in_bucket(text)
        return
    path = _local(text)
    if path is None:
        remedy = "only local files can be added: download it first, then add the file or its folder"
        yield Skipped(printable(text), remedy if text else "the name is empty: say . for the current folder")
    elif os.path.isdir(path):  # noqa: PTH112 – Path.is_dir raises where it may not look
        yield from _folder(path)
    elif os.path.lexists(path) or not glob.has_magic(text):
        yield path
    else:
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 – Path.glob takes no absolute pattern
        if not matches:
            yield Skipped(printable(text), "the pattern matches no file")
        for match in matches:
            yield from _expand(match)


def _in_bucket(url: str) -> Iterator[Candidate | Skipped]:
    """One object, or those with an image's suffix below a prefix, in order; hidden ones are passed over."""
    from sextant.images import SUFFIXES  # as below

    try:
        start = Bucket.at(url)
        one = place.entry(start) if len(start.parts) > 1 else None
        found = [one] if one else list(place.below(start))
    except (OSError, UsageError) as error:
        yield Skipped(printable(url), f"cannot be looked at: {error}")
        return
    if not found:
        yield Skipped(printable(url), "no such object, and none below it")
    for item in found:
        below = item.place.parts[len(start.parts) :]
        if one or (item.place.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in below)):
            yield Candidate(item.place, str(item.place), item.bytes, item.mtime_ns)


def _folder(folder: Path) -> Iterator[Path | Skipped]:
    """Files with an image's suffix below a folder, in order; hidden folders and links to folders are passed over."""
    from sextant.images import SUFFIXES  # brings Pillow, which a query has no need of

    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda e: e.name)
    except OSError as error:
        yield Skipped(printable(str(folder)), f"the folder cannot be listed: {error.strerror}")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _folder(Path(entry.path))
        elif Path(entry.name).suffix.lower() in SUFFIXES:
            yield Path(entry.path)
