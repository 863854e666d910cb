"""Where things lie: a path of this machine, or an object below a prefix of a bucket, `s3://bucket/prefix`.

What is read, listed, replaced and deleted in a bucket goes through here; tables go through Lance, which is told here
how to reach it. Both find credentials, region and endpoint where every program of AWS does: in `AWS_*` and `~/.aws`.
Requests that fail are tried again. Knows nothing of collections.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sextant.errors import UsageError

SCHEME = "s3://"
ATTEMPTS = 8  # of one request; each waits longer than the one before
CONNECT_SECONDS, ANSWER_SECONDS = 10, 60
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
REMEDY = "Check the network, the bucket's name and the AWS_* variables, then run the same command again"


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """An object, or what lies below a prefix, by its URL without a slash at its end; `/` goes deeper."""

    url: str

    @classmethod
    def at(cls, url: str) -> Bucket:
        """The place that a URL names.

        Raises:
            UsageError: it names no bucket, or steps out of its own prefix.
        """
        name, _, key = url.removeprefix(SCHEME).rstrip("/").partition("/")
        if not _BUCKET.fullmatch(name) or (key and {"", ".", ".."} & set(key.split("/"))) or "\0" in key:
            raise UsageError(f"'{url}' is no place in a bucket: it has the form s3://bucket/prefix")
        return cls(f"{SCHEME}{name}/{key}".rstrip("/"))

    def __truediv__(self, part: str) -> Bucket:
        return Bucket(f"{self.url}/{part}")

    def __str__(self) -> str:
        return self.url

    @property
    def parts(self) -> tuple[str, ...]:
        """The bucket's name, and those of the key."""
        return tuple(self.url.removeprefix(SCHEME).split("/"))

    @property
    def name(self) -> str:
        """The last part."""
        return self.parts[-1]

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return Path(self.name).stem

    @property
    def suffix(self) -> str:
        """The suffix of the last part."""
        return Path(self.name).suffix

    @property
    def path(self) -> str:
        """Bucket and key, as `pyarrow.fs` names them."""
        return self.url.removeprefix(SCHEME)


Place = Path | Bucket
"""Where a file or a table lies."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing says of one object."""

    place: Bucket
    bytes: int
    mtime_ns: int


def is_url(name: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a place in a bucket."""
    return os.fspath(name).startswith(SCHEME)


def lies(folder: Path, name: str) -> Place:
    """Where something lies that is called by its path from a folder, or by the URL of an object."""
    return Bucket.at(name) if is_url(name) else folder / name


def read(place: Place) -> bytes:
    """The bytes of a file or an object. Raises `OSError`, and `FileNotFoundError` where there is nothing."""
    if isinstance(place, Path):
        return place.read_bytes()
    with _files().open_input_file(place.path) as file:
        return bytes(file.readall())


def write(place: Bucket, data: bytes) -> None:
    """Puts an object, whole or not at all, in the place of what was there. Raises `OSError`."""
    with _files().open_output_stream(place.path) as file:
        file.write(data)


def entry(place: Bucket) -> Entry | None:
    """One object; None where there is none. Raises `OSError`."""
    from pyarrow.fs import FileType

    found = _files().get_file_info(place.path)
    return _entry(found) if found.type == FileType.File else None


def is_gone(place: Place) -> bool:
    """Whether nothing is there any more. What cannot be looked at is not gone."""
    try:
        if isinstance(place, Bucket):
            return entry(place) is None
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def below(place: Bucket) -> Iterator[Entry]:
    """Every object below a prefix, in the order of their names. Raises `OSError`."""
    from pyarrow.fs import FileType

    found = [i for i in _selected(place, recursive=True) if i.type == FileType.File]
    return (_entry(info) for info in sorted(found, key=lambda i: str(i.path)))


def children(place: Place) -> list[Place]:
    """What lies right below a place, folders too, by name; nothing where there is no such place."""
    if isinstance(place, Path):
        return sorted(place.glob("*"))
    return sorted(Bucket(SCHEME + info.path) for info in _selected(place, recursive=False))


def size(place: Place) -> int:
    """Bytes of all that lies below a place; what goes away meanwhile counts nothing."""
    if isinstance(place, Bucket):
        return sum(item.bytes for item in below(place))
    total = 0
    for path in place.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def delete(place: Place) -> None:
    """Deletes all that lies below a place. Raises `OSError`."""
    if isinstance(place, Path):
        shutil.rmtree(place)
    else:
        _files().delete_dir(place.path)


def table_options(place: Place) -> dict[str, str] | None:
    """What Lance is to be told to reach a place; None for one on this machine."""
    if isinstance(place, Path):
        return None
    told = {"client_max_retries": str(ATTEMPTS), "connect_timeout": f"{CONNECT_SECONDS}s"}
    endpoint = _endpoint()
    if endpoint:
        told |= {"aws_endpoint": endpoint, "aws_region": _region() or "us-east-1"}
        told |= {"allow_http": "true"} if endpoint.startswith("http://") else {}
    return told


def home(place: Bucket) -> Path:
    """The folder of this machine for what belongs to a place in a bucket, but is a cache or is not to be shared."""
    own = os.environ.get("SEXTANT_HOME")
    data = os.environ.get("XDG_DATA_HOME")
    start = Path(own) if own else Path(data or Path.home() / ".local" / "share") / "sextant"
    return start.resolve().joinpath("s3", *place.parts)


def _entry(info: Any) -> Entry:
    return Entry(Bucket(SCHEME + info.path), int(info.size), int(info.mtime_ns or 0))


def _selected(place: Bucket, *, recursive: bool) -> list[Any]:
    from pyarrow.fs import FileSelector

    return list(_files().get_file_info(FileSelector(place.path, recursive=recursive, allow_not_found=True)))


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _region() -> str | None:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def _files() -> Any:
    return _filesystem(_endpoint(), _region())


@lru_cache(maxsize=4)
def _filesystem(endpoint: str | None, region: str | None) -> Any:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    how: dict[str, Any] = {"region": region} if region else {}
    if endpoint:
        parts = urlsplit(endpoint)
        how |= {"endpoint_override": parts.netloc, "scheme": parts.scheme, "region": region or "us-east-1"}
    return S3FileSystem(
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        connect_timeout=CONNECT_SECONDS,
        request_timeout=ANSWER_SECONDS,
        allow_delayed_open=True,  # a small object is one request
        **how,
    )
