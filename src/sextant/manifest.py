"""`collection.json`: what a collection is, in one small file that is replaced whole; and how a collection is found."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, BinaryIO

from sextant.errors import CollectionError

FOLDER = ".sextant"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """`encoder` is `NAME@REVISION` of the vectors in use, None before the first `add`; `model` is how it is loaded."""

    format: int = FORMAT
    model: str | None = None
    precision: str = "auto"
    encoder: str | None = None
    dim: int = 0
    logit_scale: float = 0.0
    logit_bias: float = 0.0
    catalog: str = "catalog.db"

    def with_encoder(self, **values: Any) -> Manifest:
        """A copy that uses another encoder."""
        return replace(self, **values)


def find(start: Path) -> Path | None:
    """The nearest folder at or above `start` that holds a collection."""
    start = start.resolve()
    return next((folder for folder in (start, *start.parents) if (folder / FOLDER / "collection.json").is_file()), None)


def read(folder: Path) -> Manifest:
    """The manifest of the collection in `folder`.

    Raises:
        CollectionError: there is none, it is damaged, or a newer program wrote it.
    """
    file = folder / FOLDER / "collection.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CollectionError(f"{folder}: no collection here; `sextant add` makes one") from error
    except (OSError, ValueError) as error:
        raise CollectionError(f"{file}: cannot be read: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise CollectionError(f"{file}: is not the manifest of a collection")
    if content["format"] > FORMAT:
        raise CollectionError(f"{file}: is of format {content['format']}; this program knows {FORMAT}. Update sextant.")
    known = {f.name for f in fields(Manifest)}
    return Manifest(**{k: v for k, v in content.items() if k in known})


def write(folder: Path, manifest: Manifest) -> None:
    """Replaces the manifest in one step."""
    target = folder / FOLDER / "collection.json"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            file.write((json.dumps(asdict(manifest), indent=2) + "\n").encode())
    except OSError as error:
        raise CollectionError(f"{target.parent}: cannot be written: {error.strerror or error}") from error


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file to write into that takes the place of `target` at the end: whole or not at all, also after a power cut."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
