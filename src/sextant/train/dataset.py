"""Turns a folder per class, a CSV or pairs of path and class into examples whose classes do not contradict each other.

Every file is read and decoded once. Knows nothing of encoders, splits or training.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sextant import images
from sextant.errors import ImageError, UsageError
from sextant.types import Skipped

if TYPE_CHECKING:
    from PIL import Image

LEAST = 8
"""Images a class must have: fewer cannot be split into parts to learn from, to choose by, to calibrate and to test."""
AHEAD = 64

Pair = tuple[Path, str]
Seen = Callable[[int, "Image.Image"], None]


@dataclass(frozen=True, slots=True)
class Example:
    """One image with its class: a row of the data set. `id` is the hash of its bytes."""

    path: str
    label: int
    id: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Classes by code, sorted; the examples; what was left out and why."""

    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    skipped: tuple[Skipped, ...]

    def counts(self) -> dict[str, int]:
        """Examples of each class."""
        found = Counter(example.label for example in self.examples)
        return {code: found[label] for label, code in enumerate(self.classes)}


def pairs_of(source: Path, column: str = "class") -> list[Pair]:
    """Every (file, class) of a folder that has a folder for each class, or of a CSV with the columns path and class.

    Raises:
        UsageError: there is no such folder or file, or it holds no classes.
    """
    if source.is_dir():
        found = [(path, folder.name) for folder in _folders(source) for path in _pictures(folder)]
        if not found:
            raise UsageError(f"{source} holds no folder with pictures; a data set is a folder for each class")
        return found
    if source.suffix.lower() == ".csv" and source.is_file():
        return list(_lines(source, column))
    raise UsageError(f"{source} is neither a folder with a folder for each class, nor a CSV with path and class")


def _folders(source: Path) -> list[Path]:
    return sorted(p for p in source.iterdir() if p.is_dir() and not p.name.startswith("."))


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in images.SUFFIXES and not p.name.startswith("."))


def _lines(source: Path, column: str) -> Iterator[Pair]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"path", column} <= set(rows.fieldnames or ()):
                raise UsageError(f"{source} needs the columns path and {column}; it has {rows.fieldnames}")
            for number, row in enumerate(rows, 2):
                path, label = (row["path"] or "").strip(), (row[column] or "").strip()
                if not path or not label:
                    raise UsageError(f"{source}, line {number}: path or {column} is empty")
                yield source.parent / path, label
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{source} cannot be read as a CSV: {error}") from error


def read(pairs: Sequence[Pair], *, side: int | None, seen: Seen, least: int = LEAST, workers: int = 2) -> Dataset:
    """Decodes every file and keeps one example of each image; `seen` gets each kept example's number and picture.

    Images that cannot be read, copies within a class, and images that two classes claim are left out and listed.
    `side` is the least side at which a JPEG may be decoded.

    Raises:
        UsageError: fewer than two classes, or a class with fewer than `least` images.
    """
    classes = tuple(sorted({label for _, label in pairs}))
    kept, skipped = _settled(pairs)
    examples: list[Example] = []
    for path, label, found in _decoded(kept, side, workers):
        if isinstance(found, str):
            skipped.append(Skipped(str(path), found))
            continue
        identity, picture = found
        seen(len(examples), picture)
        examples.append(Example(str(path), classes.index(label), identity))
    dataset = Dataset(classes, tuple(examples), tuple(skipped))
    _check(dataset, least)
    return dataset


def _settled(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Skipped]]:
    """The pairs whose bytes no other class claims, one of each, in order."""
    by_bytes: dict[str, list[Pair]] = defaultdict(list)
    skipped: list[Skipped] = []
    for path, label in pairs:
        try:
            by_bytes[images.identify(path.read_bytes())].append((path, label))
        except OSError as error:
            skipped.append(Skipped(str(path), f"it cannot be read: {error.strerror or error}"))
    kept: list[Pair] = []
    for same in by_bytes.values():
        claimed = sorted({label for _, label in same})
        if len(claimed) > 1:
            why = f"the same image is in {' and in '.join(claimed)}: one of them is wrong, and nobody said which"
            skipped += [Skipped(str(path), why) for path, _ in same]
            continue
        kept.append(same[0])
        skipped += [Skipped(str(path), f"the same bytes as {same[0][0]}") for path, _ in same[1:]]
    return kept, skipped


def _decoded(
    pairs: Sequence[Pair], side: int | None, workers: int
) -> Iterator[tuple[Path, str, tuple[str, Image.Image] | str]]:
    def one(pair: Pair) -> tuple[str, Image.Image] | str:
        try:
            data = pair[0].read_bytes()
            return images.identify(data), images.decode(data, least_side=side)[0]
        except ImageError as error:
            return str(error)
        except OSError as error:
            return f"it cannot be read: {error.strerror or error}"

    with ThreadPoolExecutor(workers) as pool:
        for part in _parts(pairs, AHEAD):
            for pair, found in zip(part, pool.map(one, part), strict=True):
                yield *pair, found


def _parts(pairs: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    rest = iter(pairs)
    while part := list(islice(rest, size)):
        yield part


def _check(dataset: Dataset, least: int) -> None:
    if len(dataset.classes) < 2:
        raise UsageError(f"a data set needs two classes or more; this one has {len(dataset.classes)}")
    small = {code: n for code, n in dataset.counts().items() if n < least}
    if small:
        told = ", ".join(f"{code} ({n})" for code, n in small.items())
        raise UsageError(
            f"too few images to learn from and to test on, at least {least} a class are needed: {told}. Add images, or "
            "leave these classes out with --without CLASS"
        )
