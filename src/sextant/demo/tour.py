"""What the demo shows: a domain of drawn pictures in a folder, their truth, their vocabulary, and questions to ask.

Draws a collection into a folder once and never touches anything that it did not make. Knows nothing of encoders.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from sextant import vocabulary
from sextant.demo.truth import DEMO_SEEDS
from sextant.errors import UsageError

MARK = "demo.json"
PICTURES = "pictures"
VOCABULARY = "vocabulary.yaml"
GOLDEN = "golden.yaml"
SHEET = "contact-sheet.png"
TRUTH = "truth.jsonl"
SEEDS_APART = 1000
BYTES_A_PICTURE = 30_000  # with its vector, its facts and its columns

Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Search:
    """A phrase to search for; a picture is a right answer when it shows everything in `shows`."""

    text: str
    shows: frozenset[str]


@dataclass(frozen=True, slots=True)
class Domain:
    """A world of drawn pictures: its vocabulary file, its golden set if it has one, and the questions of the tour.

    `searches` are shown in the terminal, and with `more` on the contact sheet.
    """

    name: str
    title: str
    vocabulary: str
    queries: tuple[str, ...]
    searches: tuple[Search, ...]
    more: tuple[Search, ...]
    inspect: str
    golden: str | None = None


def _search(text: str, shows: str) -> Search:
    return Search(text, frozenset(shows.split()))


SCENES = Domain(
    name="scenes",
    title="a space archive",
    vocabulary="vocabulary.yaml",
    queries=("astronaut and lunar_surface", "earth and spacecraft and not moon"),
    searches=(
        _search("an astronaut outside a spacecraft above the earth", "astronaut spacecraft earth"),
        _search("a rocket lifting off with fire and smoke", "launch"),
    ),
    more=(
        _search("the earth seen through a round window", "earth porthole"),
        _search("a rover on the moon", "vehicle lunar_surface"),
        _search("a crew taking a selfie", "crew selfie"),
    ),
    inspect="porthole",
    golden="golden.yaml",
)
FACADES = Domain(
    name="facades",
    title="building façades",
    vocabulary="facades.yaml",
    queries=("dome and not tower", "arch or column"),
    searches=(_search("a building with a dome", "dome"), _search("a row of columns", "column")),
    more=(
        _search("an arcade with arches", "arch"),
        _search("a tall tower", "tower"),
        _search("an onion dome", "onion_dome"),
    ),
    inspect="dome",
)
DOMAINS: Mapping[str, Domain] = {domain.name: domain for domain in (SCENES, FACADES)}


@dataclass(frozen=True, slots=True)
class Order:
    """Which pictures a demo folder holds; the same order draws the same pictures."""

    domain: str
    images: int
    seed: int

    @property
    def first(self) -> int:
        """The seed of the first picture: among those that the embedded encoder was not trained on."""
        return DEMO_SEEDS.start + SEEDS_APART * self.seed

    def check(self) -> None:
        """Raises `UsageError` for what cannot be drawn."""
        if self.domain not in DOMAINS:
            raise UsageError(f"no domain '{self.domain}'; there are {', '.join(DOMAINS)}")
        seeds = len(DEMO_SEEDS) // SEEDS_APART
        if not 0 <= self.seed < seeds:
            raise UsageError(f"--seed is a whole number from 0 to {seeds - 1}, not {self.seed}")
        most = self._most()
        least = 1 if self.domain == "scenes" else len(_styles())
        if not least <= self.images <= most:
            why = f" with --seed {self.seed}" if self.seed else ""
            raise UsageError(
                f"the demo draws {least:,} to {most:,} pictures{why}, not {self.images:,}; say another number with "
                "--images"
            )

    def _most(self) -> int:
        room = len(DEMO_SEEDS) - SEEDS_APART * self.seed
        return room if self.domain == "scenes" else len(_styles()) * min(room, 10_000)


def _styles() -> tuple[str, ...]:
    from sextant.demo import facades

    return facades.STYLES


def claim(folder: Path, order: Order) -> None:
    """Makes `folder` the demo's own, or finds that it is already, with the same order.

    Raises:
        UsageError: what was ordered cannot be drawn, the folder holds anything else, or it cannot be written.
    """
    order.check()
    with _writing(folder):
        held = _held(folder)
        if held == order:
            return
        if held is not None:
            raise UsageError(
                f"{folder} already holds a demo: --images {held.images} --seed {held.seed} --domain {held.domain}. "
                "Ask for the same again, or name a new folder with --dir"
            )
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; name a folder with --dir")
        other = next(iter(sorted(folder.iterdir())), None) if folder.is_dir() else None
        if other is not None:
            raise UsageError(
                f"{folder} already holds something else ({other.name}). The demo overwrites nobody's files: name a new "
                "folder with --dir"
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).write_text(json.dumps(asdict(order)) + "\n", encoding="utf-8")


def draw(folder: Path, order: Order, *, progress: Report | None = None) -> bool:
    """Draws the pictures of a claimed folder; returns whether there was anything to draw.

    They are drawn aside and moved in when all are there, so a run that was stopped leaves no half collection, and
    what is there is never drawn over.
    """
    with _writing(folder):
        domain = DOMAINS[order.domain]
        _shipped(domain.vocabulary, folder / VOCABULARY)
        if domain.golden:
            _shipped(domain.golden, folder / GOLDEN)
        if (folder / PICTURES / TRUTH).is_file():
            return False
        need, free = order.images * BYTES_A_PICTURE, shutil.disk_usage(folder).free
        if need > free:
            raise UsageError(
                f"{order.images:,} pictures need about {need / 1e9:,.0f} GB, and {folder} has room for "
                f"{free / 1e9:,.0f} GB; say a smaller number with --images"
            )
        aside = folder / ".drawing"
        shutil.rmtree(aside, ignore_errors=True)
        if order.domain == "scenes":
            from sextant.demo import scenes

            scenes.collection(aside, order.images, seed=order.first, progress=progress)
        else:
            from sextant.demo import facades

            facades.collection(aside, order.images // len(_styles()), seed=order.first)
        aside.rename(folder / PICTURES)
    return True


@dataclass(frozen=True, slots=True)
class Known:
    """What is true of one picture: all it shows, a caption, and the burst of near-duplicates it belongs to."""

    shows: frozenset[str]
    caption: str
    burst: str | None


def truth(folder: Path) -> dict[str, Known]:
    """What is true of every picture, by its path from the demo folder.

    Raises `UsageError` when the file of truths is damaged.
    """
    path = folder / PICTURES / TRUTH
    try:
        records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        return {f"{PICTURES}/{record['path']}": _known(record) for record in records}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}. Delete {folder} and run the demo again") from error


def _known(record: Mapping[str, Any]) -> Known:
    codes = record["attributes"] if "attributes" in record else [record["style"], *record["coarse"]]
    return Known(frozenset(codes), str(record["caption"]), record.get("series"))


def codes(domain: Domain) -> tuple[str, ...]:
    """Every code of the shipped vocabulary, and so of the truth."""
    text = files("sextant.demo").joinpath(domain.vocabulary).read_text(encoding="utf-8")
    return vocabulary.parse(text, domain.vocabulary).codes()


def _shipped(name: str, target: Path) -> None:
    """A copy of a shipped file, to be edited; one that is there already is left alone."""
    if not target.exists():
        target.write_text(files("sextant.demo").joinpath(name).read_text(encoding="utf-8"), "utf-8")


def _held(folder: Path) -> Order | None:
    """The order that an earlier demo left in a folder."""
    mark = folder / MARK
    if not mark.is_file():
        return None
    try:
        return Order(**json.loads(mark.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{mark} is not the demo's own; name a new folder with --dir") from error


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write into {folder}: {error.strerror or error}; choose another folder with --dir"
        ) from error
