"""A selection as XMP sidecars beside the pictures, for digiKam, darktable, Lightroom and whatever reads keywords.

A sidecar is called `photo.jpg.xmp` or `photo.xmp`. Every one that is there and belongs to the picture alone is brought
up to date; a new one is made only where there is something to say. Each is replaced whole. One that cannot be changed
safely is a `Skipped` and stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sextant import xmp
from sextant.errors import ExchangeError, UsageError
from sextant.manifest import replacing
from sextant.place import is_url
from sextant.selection import Picked, Selection
from sextant.types import Skipped

NAMES = ("photo.jpg.xmp", "photo.xmp")
"""How a new sidecar may be called. The first is the default: it cannot be taken for another picture's."""
PICKS = {"accepted": 3, "tentative": 2}
"""digiKam's pick labels. `rejected` has none: that a picture shows no dog is no reason to reject the picture."""


@dataclass(frozen=True, slots=True)
class SidecarReport:
    """How many sidecars were made, brought up to date, or as they should be already; and which were left alone, why."""

    made: int
    updated: int
    unchanged: int
    skipped: tuple[Skipped, ...]


def write(
    selection: Selection, folder: Path, places: Iterable[tuple[str, str]], *, naming: str = NAMES[0]
) -> SidecarReport:
    """Writes the sidecars of all files of the selected images; `places` are (path, id) of the files there are.

    Raises:
        UsageError: `naming` is not one of `NAMES`.
    """
    if naming not in NAMES:
        raise UsageError(f"a new sidecar is called {' or '.join(NAMES)}, not {naming!r}")
    words = {picked.id: words_of(selection, picked) for picked in selection}
    counts = {"made": 0, "updated": 0, "unchanged": 0}
    skipped: list[Skipped] = []
    stems: dict[Path, dict[str, int]] = {}
    for path, image in sorted(places):
        if image not in words:
            continue
        if is_url(path):
            skipped.append(Skipped(path, "lies in a bucket: sidecars are written beside files alone"))
            continue
        picture = Path(os.path.normpath(folder / path))
        if not picture.is_file():
            skipped.append(Skipped(path, "no such file"))
            continue
        if picture.parent not in stems:
            stems[picture.parent] = _stems(picture.parent)
        alone = stems[picture.parent].get(picture.stem) == 1
        for file in _files(picture, naming, alone=alone):
            try:
                counts[_write(file, words[image])] += 1
            except (ExchangeError, OSError) as error:
                reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                skipped.append(Skipped(os.path.relpath(file, folder), f"left as it is: {reason}"))
    return SidecarReport(**counts, skipped=tuple(skipped))


def words_of(selection: Selection, picked: Picked) -> xmp.Words:
    """What the sidecar of an image says: labels, `Sextant/TYPE/LABEL`, and a pick label for the best band."""
    labels = [xmp.clean(selection.label(shown.code)) for shown in picked.shown]
    tags = [_tag(selection.kind(s.code), label) for s, label in zip(picked.shown, labels, strict=True) if label]
    picks = [PICKS[shown.band] for shown in picked.shown if shown.band in PICKS]
    return xmp.Words(tuple(filter(None, labels)), tuple(tags), max(picks, default=None))


def _tag(kind: str, label: str) -> str:
    parts = [part.replace("/", "-") for part in (xmp.clean(kind), label) if part]
    return "/".join(["Sextant", *parts])


def _stems(folder: Path) -> dict[str, int]:
    """How many files of a folder, sidecars aside, share each name before the suffix; nothing where it may not look."""
    counts: dict[str, int] = {}
    try:
        with os.scandir(folder) as entries:
            files = [Path(entry.name) for entry in entries if not entry.is_dir()]
    except OSError:
        return {}
    for file in files:
        if file.suffix.lower() != ".xmp":
            counts[file.stem] = counts.get(file.stem, 0) + 1
    return counts


def _files(picture: Path, naming: str, *, alone: bool) -> Sequence[Path]:
    """The sidecars of a picture that are there, or the one to make. `photo.xmp` may be the raw file's beside it."""
    full, short = picture.with_name(f"{picture.name}.xmp"), picture.with_suffix(".xmp")
    candidates = [full, short] if alone else [full]
    held = [file for file in candidates if os.path.lexists(file)]
    return held or [short if naming == NAMES[1] and alone else full]


def _write(file: Path, words: xmp.Words) -> str:
    """Writes one sidecar; says whether it was `made`, `updated` or `unchanged`."""
    if not os.path.lexists(file):
        if not words:
            return "unchanged"
        with replacing(file, over=False) as part:
            part.write(xmp.written(xmp.EMPTY, words))
        return "made"
    if file.stat().st_size > xmp.MOST_BYTES:
        raise ExchangeError(f"it is larger than {xmp.MOST_BYTES >> 20} MiB")
    before = file.read_bytes()
    after = xmp.written(before, words)
    if after == before:
        return "unchanged"
    real = file.resolve()  # a link stays one
    mode = real.stat().st_mode & 0o777
    if not words and after == xmp.EMPTY:
        file.unlink()  # we made it, and nobody has added anything
        return "updated"
    with replacing(real) as part:
        part.write(after)
        os.fchmod(part.fileno(), mode)
    return "updated"
