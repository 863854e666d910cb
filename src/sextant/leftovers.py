"""What a killed process left of a file that it wrote: found by its name, deleted once nobody can be writing it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PARTS = ".sextant-*.part"
BESIDE = ("downloads", "picks", "uploads")
"""Folders of a collection, beside `.sextant`, into which files are written."""
OLD_SECONDS = 3600.0


def clear(folder: Path, *, older: float = OLD_SECONDS) -> int:
    """Deletes parts of files in a collection's folder that have not been written to for an hour; bytes freed."""
    freed = 0
    for path in _parts(folder):
        with suppress(OSError):  # gone meanwhile, or not to be deleted: it does no harm
            status = path.stat()
            if time.time() - status.st_mtime >= older:
                path.unlink()
                freed += status.st_size
    return freed


def _parts(folder: Path) -> Iterator[Path]:
    for place in (folder / ".sextant", *(folder / name for name in BESIDE)):
        if place.is_dir():
            yield from place.rglob(PARTS)
