"""Which files are the index of a table, and what it says of itself: one small file, replaced in one step."""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sextant.vectors import Vectors

FORMAT = 2


@dataclass(frozen=True, slots=True)
class Built:
    """What an index is. `recall` is recall@10 by kind of query, empty where there were none to check it with.

    `depth` is how many rows are compared again after their codes, 0 where codes lose too much and are not used.
    `queries` says how many there were of each kind, `rounding` the furthest that bfloat16 moved any vector, `version`
    which version of the table it was made of, `folder` where its parts lie.
    """

    rows: int
    dim: int
    depth: int
    recall: Mapping[str, float]
    queries: Mapping[str, int]
    rounding: float
    seconds: float
    bytes: int
    version: int
    folder: str
    format: int = FORMAT


def stored(folder: Path, vectors: Vectors) -> Built | None:
    """What the index of a table says of itself; None where there is none, or one of another format."""
    try:
        found = json.loads(_file(folder, vectors).read_text(encoding="utf-8"))
        return Built(**found) if found.get("format") == FORMAT else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def is_outdated(folder: Path, vectors: Vectors) -> bool:
    """Whether there is an index of a table that another release made, in a format that this one does not read."""
    try:
        return bool(json.loads(_file(folder, vectors).read_text(encoding="utf-8"))["format"] != FORMAT)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def point(folder: Path, vectors: Vectors, built: Built) -> None:
    """Makes a finished index the one in use, and deletes what it replaces; whoever holds that keeps it."""
    part = folder / f"{built.folder}.part"
    part.write_text(json.dumps(asdict(built), indent=2) + "\n", encoding="utf-8")
    part.replace(_file(folder, vectors))
    _sweep(folder, vectors, keep=built.folder)


def drop(folder: Path, vectors: Vectors) -> bool:
    """Deletes the index of a table; says whether there was one."""
    file = _file(folder, vectors)
    there = file.exists()
    file.unlink(missing_ok=True)
    _sweep(folder, vectors, keep=None)
    return there


def _file(folder: Path, vectors: Vectors) -> Path:
    return folder / f"{vectors.path.stem}.json"


def _sweep(folder: Path, vectors: Vectors, keep: str | None) -> None:
    for path in folder.glob(f"{glob.escape(vectors.path.stem)}.????????"):
        if path.name != keep and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(f"{glob.escape(vectors.path.stem)}.????????.part"):
        path.unlink(missing_ok=True)
