"""`collection.json`: what a collection is, in one small file that is replaced whole; and how a collection is found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from secrets import token_hex
from types import NoneType
from typing import Any, BinaryIO

from sextant import place
from sextant.errors import CollectionError, remedy
from sextant.place import Bucket, Place

FOLDER = ".sextant"
FORMAT = 1
RESTORE = "Allow reading it, or restore it from a backup"


@dataclass(frozen=True, slots=True)
class Manifest:
    """`encoder` is `NAME@REVISION` of the vectors in use, None before the first `add`; `model` is how it is loaded.

    `taught_phrases` are those that a fine-tuning run taught it.
    """

    format: int = FORMAT
    model: str | None = None
    precision: str = "auto"
    encoder: str | None = None
    dim: int = 0
    logit_scale: float = 0.0
    logit_bias: float = 0.0
    catalog: str = "catalog.db"
    prior: dict[str, Any] | None = None
    taught_phrases: list[str] | None = None

    def with_encoder(self, **values: Any) -> Manifest:
        """A copy that uses another encoder."""
        return replace(self, **values)


def find(start: Path) -> Path | None:
    """The nearest folder at or above `start` that holds a collection."""
    start = start.resolve()
    return next((folder for folder in (start, *start.parents) if exists(folder)), None)


def exists(folder: Place) -> bool:
    """Whether a folder, or a prefix of a bucket, holds a collection."""
    if isinstance(folder, Bucket):
        return changed(folder) is not None
    return os.path.isfile(folder / FOLDER / "collection.json")  # noqa: PTH113 – Path.is_file raises where it may not look


def changed(folder: Place) -> object | None:
    """What differs whenever the manifest was written anew; None where there is none.

    Raises:
        CollectionError: a bucket that cannot be reached, of which nobody knows whether there is one.
    """
    if isinstance(folder, Bucket):
        try:
            return place.read(folder / FOLDER / "collection.json")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CollectionError(f"{folder}: cannot be reached: {error}. {place.REMEDY}") from error
    try:
        found = (folder / FOLDER / "collection.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read(folder: Place) -> Manifest:
    """The manifest of the collection in `folder`.

    Raises:
        CollectionError: there is none, it is damaged, or a newer program wrote it.
    """
    file = folder / FOLDER / "collection.json"
    try:
        content = json.loads(place.read(file).decode())
    except FileNotFoundError as error:
        raise CollectionError(
            f"{folder}: no collection here; `sextant add` makes one. If it was moved, name it with -C"
        ) from error
    except (OSError, ValueError) as error:
        raise CollectionError(f"{file}: cannot be read: {error}. {remedy(error, RESTORE)}") from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise CollectionError(f"{file}: is not the manifest of a collection")
    if content["format"] > FORMAT:
        raise CollectionError(f"{file}: is of format {content['format']}; this program knows {FORMAT}. Update sextant.")
    values = {f.name: content[f.name] for f in fields(Manifest) if f.name in content}
    for name, value in values.items():
        if not isinstance(value, _KINDS[name]) or isinstance(value, bool):
            raise CollectionError(f"{file}: is damaged: '{name}' cannot be {value!r}. Restore it from a backup")
    held = Manifest(**values)
    if "://" not in held.catalog and (Path(held.catalog).is_absolute() or ".." in Path(held.catalog).parts):
        raise CollectionError(f"{file}: names a catalog outside of the collection, {held.catalog}: that is not opened")
    return held


_KINDS: dict[str, tuple[type, ...]] = {
    "format": (int,),
    "model": (str, NoneType),
    "precision": (str,),
    "prior": (dict, NoneType),
    "taught_phrases": (list, NoneType),
    "encoder": (str, NoneType),
    "dim": (int,),
    "logit_scale": (float, int),
    "logit_bias": (float, int),
    "catalog": (str,),
}


def create(folder: Place, catalog: str = "catalog.db") -> None:
    """Makes an empty collection in `folder`; one that another process made meanwhile is left as it is."""
    target = folder / FOLDER / "collection.json"
    if isinstance(target, Bucket):
        if not exists(folder):  # whoever writes holds the lock
            write(folder, Manifest(catalog=catalog))
    elif not target.is_file():  # a collection that can only be read is asked too
        with _writing(target), suppress(FileExistsError), replacing(target, over=False) as file:
            file.write(_encoded(Manifest(catalog=catalog)))


def write(folder: Place, manifest: Manifest) -> None:
    """Replaces the manifest in one step."""
    target = folder / FOLDER / "collection.json"
    if isinstance(target, Bucket):
        try:
            place.write(target, _encoded(manifest))
        except OSError as error:
            raise CollectionError(f"{target}: could not be written: {error}. {place.REMEDY}") from error
        return
    with _writing(target), replacing(target) as file:
        file.write(_encoded(manifest))


def _encoded(manifest: Manifest) -> bytes:
    return (json.dumps(asdict(manifest), indent=2) + "\n").encode()


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise CollectionError(
            f"{target.parent}: cannot be written: {error.strerror or error}. Allow writing there, make room, or name "
            "another folder with -C"
        ) from error


@contextmanager
def replacing(target: Path, *, over: bool = True) -> Iterator[BinaryIO]:
    """A file to write into that takes the place of `target` at the end: whole or not at all, also after a power cut.

    Without `over` it raises FileExistsError where `target` is there by then.
    """
    part = target.with_name(f".sextant-{token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if over:
            part.replace(target)
        else:
            target.hardlink_to(part)
    finally:
        part.unlink(missing_ok=True)
