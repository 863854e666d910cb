"""A selection as a Hugging Face imagefolder: a new folder of pictures with a `metadata.jsonl` beside them.

Pictures are called by their ids, which are safe names everywhere and cannot collide; the path that they had in the
collection is a field of their line. The folder appears whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

from sextant.documents import encoded
from sextant.errors import ExchangeError
from sextant.place import Bucket, Place, lies, read
from sextant.selection import Selection
from sextant.types import Skipped

METADATA = "metadata.jsonl"
IMAGES = "images"
FACTS = ("width", "height", "tags", "description")


def write(
    selection: Selection, folder: Path, target: Path, *, link: bool = False, force: bool = False
) -> tuple[int, list[Skipped]]:
    """Copies the selected pictures into a new folder, or links to them; how many, and which are gone from their places.

    `force` replaces a folder that an earlier export made, and no other. Raises `ExchangeError`.
    """
    _check(target, force=force)
    part = target.with_name(f".sextant-{token_hex(8)}.part")
    skipped: list[Skipped] = []
    try:
        (part / IMAGES).mkdir(parents=True)
        count = 0
        with (part / METADATA).open("x", encoding="ascii", newline="\n") as lines:
            for source, line in _lines(selection, folder):
                try:
                    _place(source, part / line["file_name"], link=link)
                except FileNotFoundError:
                    skipped.append(Skipped(line["path"], "no such file"))
                    continue
                lines.write(encoded(line) + "\n")
                count += 1
        _take_place(part, target)
    except OSError as error:
        raise ExchangeError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return count, skipped


def _lines(selection: Selection, folder: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    facts = selection.facts(FACTS)
    for picked in selection:
        source = lies(folder, picked.path)
        suffix = "".join(c for c in source.suffix.lower() if c.isascii() and (c.isalnum() or c == "."))
        yield (
            source,
            {
                "file_name": f"{IMAGES}/{picked.id}{suffix}",
                "id": picked.id,
                "path": picked.path,
                **{name: facts[name][picked.row] for name in FACTS},
                "labels": [shown.code for shown in picked.shown],
                "confidences": selection.confidences(picked.row),
            },
        )


def _place(source: Place, target: Path, *, link: bool) -> None:
    if isinstance(source, Bucket):  # nothing to link to
        target.write_bytes(read(source))
        return
    source = Path(os.path.normpath(source))
    if not source.is_file():
        raise FileNotFoundError(source)
    if link:
        target.symlink_to(source)
    else:
        shutil.copyfile(source, target)


def _check(target: Path, *, force: bool) -> None:
    if not os.path.lexists(target) or (target.is_dir() and not target.is_symlink() and not any(target.iterdir())):
        return
    if not force:
        raise ExchangeError(f"{target}: is there already; name a new folder, or --force replaces an earlier export")
    known = target.is_dir() and not target.is_symlink() and {p.name for p in target.iterdir()} == {METADATA, IMAGES}
    if not known:
        raise ExchangeError(f"{target}: is no earlier export, so not even --force replaces it; name a new folder")


def _take_place(part: Path, target: Path) -> None:
    """The finished folder in the place of an earlier one, which goes only when the new one is there."""
    if not target.exists():
        part.rename(target)
        return
    old = target.with_name(f".sextant-{token_hex(8)}.old")
    target.rename(old)
    try:
        part.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
