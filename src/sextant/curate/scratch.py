"""A place for pictures that nobody has picked yet: a folder under `.sextant/scratch/`, emptied when it is done with.

A folder waits for its curation's picks. It goes when they were kept, and at the next run at the latest, also after
`kill -9`: a lock that ends with its process says whether anybody still works in it.
"""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from sextant.errors import CollectionError
from sextant.manifest import replacing

FOLDER = "scratch"
LOCK = "lock"
_NAME = re.compile(r"[0-9a-f]{16}")


class Scratch:
    """A folder of this run's own, made when the first picture comes, held until `release`."""

    def __init__(self, root: Path) -> None:
        self.root, self.name = root / FOLDER, token_hex(8)
        self._held: BinaryIO | None = None

    @property
    def folder(self) -> Path:
        """Where the pictures lie."""
        return self.root / self.name

    @property
    def used(self) -> bool:
        """Whether anything was written."""
        return self._held is not None

    def keep(self, name: str, data: bytes) -> Path:
        """Writes one picture; one of that name is there already."""
        try:
            if self._held is None:
                with _alone(self.root):
                    self.folder.mkdir()
                    self._held = (self.folder / LOCK).open("xb")
                    fcntl.flock(self._held, fcntl.LOCK_EX)
            file = self.folder / name
            if not file.exists():
                with replacing(file) as part:
                    part.write(data)
        except OSError as error:
            raise CollectionError(f"{self.folder}: cannot be written: {error.strerror or error}. Make room") from error
        return file

    def release(self) -> None:
        """Lets the folder wait for its picks; the next run clears it away."""
        if self._held is not None:
            self._held.close()

    def clear(self) -> None:
        """Deletes the folder and all that is in it."""
        self.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def file_in(root: Path, name: str, image: str) -> Path | None:
    """The picture of this id that still waits in a scratch folder, if any."""
    if not _NAME.fullmatch(name):
        return None
    return next((f for f in sorted((root / FOLDER / name).glob("*.*")) if f.stem == image), None)


def waits(root: Path) -> bool:
    """Whether pictures from outside wait to be picked."""
    return any(_NAME.fullmatch(folder.name) for folder in (root / FOLDER).glob("*"))


def drop(root: Path, name: str) -> None:
    """Deletes one scratch folder by its name."""
    if _NAME.fullmatch(name):
        shutil.rmtree(root / FOLDER / name, ignore_errors=True)


def clean(root: Path) -> int:
    """Deletes every scratch folder in which nobody works any more; how many."""
    if not (root / FOLDER).is_dir():
        return 0
    gone = 0
    with _alone(root / FOLDER):
        for folder in sorted((root / FOLDER).iterdir()):
            if folder.is_dir() and not _is_held(folder):
                shutil.rmtree(folder, ignore_errors=True)
                gone += not folder.exists()
    return gone


def _is_held(folder: Path) -> bool:
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One process at a time makes folders or clears them away."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / LOCK).open("ab") as lock:
        with suppress(OSError):  # a file system without locks: then nobody else is on it either
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
