"""`duplicates`: which images are the same bytes, the same shot or the same scene, and which of them is the best.

    exact   files with the same bytes: they are one image with several paths already
    shot    cosine and perceptual hash both say so: bursts, crops, other sizes, other JPEGs
    scene   cosine alone: the encoder sees the same thing

The vectors find the candidates; only those are read again from disk, at a fraction of their size, to be hashed, and
the hashes are kept. Nothing is deleted: what is suppressed stays on record, and `restore` brings it back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sextant import fingerprint, images
from sextant.edges import Edges
from sextant.errors import ImageError, UsageError
from sextant.maths import groups as near
from sextant.maths import rules
from sextant.place import lies, read
from sextant.types import Floats, Progress, Skipped
from sextant.view import KINDS, View

Level = Literal["exact", "shot", "scene"]
Rows = NDArray[np.intp]
Report = Callable[[Progress], None]

SENSITIVITY = (0.95, 0.96, 0.97, 0.98, 0.99)
MOST_FOR_TABLE = 100_000  # above this many images the sensitivity table is made on request only
LIKENESS = 0.8  # cosine of two perceptual hashes from which they are of one shot
HASH_SIDE = 64
DARK = 0.92  # share of pixels below 20/255 from which a frame counts as dark


@dataclass(frozen=True, slots=True)
class Member:
    """One image of a group; `similarity` is its cosine with the kept one, `paths` are all files of its bytes."""

    id: str
    path: str
    paths: tuple[str, ...]
    similarity: float
    quality: float


@dataclass(frozen=True, slots=True)
class Group:
    """Images of which every two are near-duplicates; the first is the best and would be kept."""

    members: tuple[Member, ...]

    @property
    def kept(self) -> Member:
        """The best of the group."""
        return self.members[0]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What another threshold would give, by cosine alone. `extra` images are those that would not be kept."""

    threshold: float
    groups: int
    images: int
    extra: int
    largest: int


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The groups, largest first. `unread` could not be hashed and are in no group; `run` is set where suppressed."""

    level: Level
    threshold: float | None
    images: int
    groups: tuple[Group, ...]
    sensitivity: tuple[Sensitivity, ...] = ()
    unread: tuple[Skipped, ...] = ()
    run: int | None = None
    seconds: float = 0.0

    @property
    def extra(self) -> int:
        """How many images, or files where the bytes are the same, are not the best of their group."""
        return sum(len(group.members) - 1 for group in self.groups)


@dataclass(frozen=True, slots=True)
class Request:
    """What to look for. `threshold` None goes by `groups.threshold_of`; `table` None is one where that is quick."""

    level: Level = "shot"
    threshold: float | None = None
    where: str | None = None
    table: bool | None = None
    suppress: bool = False

    def __post_init__(self) -> None:
        if self.level not in get_args(Level):
            raise UsageError(f"a level is exact, shot or scene, not '{self.level}'")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise UsageError(f"a threshold is a cosine above 0 and at most 1, not {self.threshold}")
        if self.level == "exact" and self.threshold is not None:
            raise UsageError("files with the same bytes need no threshold; leave it out, or look for --level scene")
        if self.level == "exact" and self.suppress:
            raise UsageError("files with the same bytes are one image already: there is nothing to suppress")


@dataclass
class Stock:
    """The images to look at: `row` (m,) is the row of each in the view, `vectors` (m, dim) are unit rows."""

    view: View
    row: Rows
    vectors: Floats
    quality: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.quality = quality(self.view)[self.row]

    def __len__(self) -> int:
        return len(self.row)

    def best_first(self) -> Rows:
        """The images from the best to the worst; ties go by id."""
        table = pa.table({"quality": self.quality, "id": self.view.ids.take(pa.array(self.row))})
        order = pc.sort_indices(table, [("quality", "descending"), ("id", "ascending")])
        return np.asarray(order.to_numpy(), np.intp)


def duplicates(edges: Edges, request: Request, *, progress: Report | None = None) -> Duplicates:
    """The near-duplicates of a collection, or of the images that satisfy a rule.

    Raises:
        UsageError: a request that cannot be.
        RuleError: the rule cannot be read.
    """
    begun = time.monotonic()
    if request.level == "exact":
        found = _exact(edges, request)
    else:
        found = _near(edges, request, progress)
    if request.suppress:
        chosen = [[(m.id, m.similarity) for m in group.members] for group in found.groups]
        found = replace(found, run=edges.catalog.suppress(edges.vectors.name, found.level, found.threshold, chosen))
    return replace(found, seconds=time.monotonic() - begun)


def restore(edges: Edges, named: Sequence[str] = (), *, run: int | None = None) -> int:
    """Brings suppressed images back: all, those named by id or path, or those of one run. Returns how many."""
    if run is not None and run not in {held.id for held in edges.catalog.duplicate_runs()}:
        known = ", ".join(str(held.id) for held in edges.catalog.duplicate_runs()) or "none"
        raise UsageError(f"there is no run {run} that suppressed anything; known: {known}")
    if not named:
        return edges.catalog.restore(run=run)
    view = edges.view()
    found = {name: view.find(name) for name in named}
    for name, image in found.items():
        if image is None:
            raise UsageError(f"no image '{name}' in the collection")
    return edges.catalog.restore([image for image in found.values() if image], run=run)


def stock(edges: Edges, where: str | None = None, codes: Sequence[str] = ()) -> Stock:
    """The images that have a vector and satisfy a rule; `codes` are columns that will be asked for."""
    view, chosen = _where(edges, where, codes)
    ids, vectors = edges.vectors.matrix()
    row = pc.fill_null(pc.index_in(pa.array(ids, pa.string()), value_set=view.ids), -1).to_numpy()
    known = np.r_[chosen, False][row]  # a vector without an image is row -1
    if not known.all():
        row, vectors = row[known], vectors[known]
    return Stock(view, np.asarray(row, np.intp), vectors)


def _where(edges: Edges, where: str | None, codes: Sequence[str] = ()) -> tuple[View, NDArray[np.bool_]]:
    """A view, and which of its images satisfy a rule."""
    if where is None:
        view = edges.view(codes)
        return view, np.ones(len(view), np.bool_)
    parsed = rules.parse(where, edges.known())
    view = edges.view([*codes, *(name for name in parsed.names if name not in KINDS)])
    return view, view.mask(parsed)


def quality(view: View) -> NDArray[np.float64]:
    """How good each image is to keep, (n,): twice as sharp counts as twice the pixels; a dark frame comes last.

    What is unknown of an image counts as nothing.
    """
    facts = {name: np.nan_to_num(view.fact_values(name)) for name in ("sharpness", "width", "height", "darkness")}
    pixels = np.maximum(1.0, facts["width"] * facts["height"])
    return np.asarray(np.log2(1 + facts["sharpness"]) + np.log2(pixels) - 100.0 * (facts["darkness"] >= DARK))


def _exact(edges: Edges, request: Request) -> Duplicates:
    view, chosen = _where(edges, request.where)
    chosen = chosen & (view.copies > 1)
    paths, merit = _paths(edges, view.ids.filter(pa.array(chosen))), quality(view)
    found = []
    for row in np.flatnonzero(chosen).tolist():
        image = str(view.ids[row])
        files = tuple(paths[image])
        found.append(Group(tuple(Member(image, path, files, 1.0, float(merit[row])) for path in files)))
    return Duplicates("exact", None, len(view), _largest_first(found))


def _near(edges: Edges, request: Request, progress: Report | None) -> Duplicates:
    held = stock(edges, request.where)
    threshold = near.threshold_of(held.vectors) if request.threshold is None else request.threshold
    order, heard = held.best_first(), _heard(progress, len(held))
    wants_table = request.table if request.table is not None else len(held) <= MOST_FOR_TABLE
    thresholds = SENSITIVITY if wants_table else ()
    unread: tuple[Skipped, ...] = ()
    if request.level == "scene":
        leaders, *others = near.groups(held.vectors, [threshold, *thresholds], order=order, progress=heard)
    else:
        others = near.groups(held.vectors, thresholds, order=order, progress=heard) if thresholds else []
        leaders, unread = _shots(edges, held, threshold, order, progress)
    table = tuple(_sensitivity(t, rows) for t, rows in zip(thresholds, others, strict=True))
    return Duplicates(
        request.level, threshold, len(held), _groups(edges, held, leaders, order), sensitivity=table, unread=unread
    )


def _shots(
    edges: Edges, held: Stock, threshold: float, order: Rows, progress: Report | None
) -> tuple[Rows, tuple[Skipped, ...]]:
    """Leaders by cosine and hash. Only images that have a near one by cosine are read."""
    leaders = np.arange(len(held))
    candidate = near.with_neighbours(held.vectors, threshold)
    hashes, unread = _hashes(edges, held, np.flatnonzero(candidate), progress)
    rows = np.array(sorted(hashes), np.intp)
    if len(rows):
        shapes = fingerprint.rows([hashes[row] for row in rows.tolist()])
        place = np.full(len(held), -1, np.intp)
        place[rows] = np.arange(len(rows))
        among = place[order]

        def alike(left: Rows, right: Rows) -> NDArray[np.bool_]:
            return near.similarities(shapes, left, right) >= LIKENESS

        (found,) = near.groups(held.vectors[rows], [threshold], order=among[among >= 0], related=alike)
        leaders[rows] = rows[found]
    return leaders, unread


def _hashes(
    edges: Edges, held: Stock, rows: Rows, progress: Report | None
) -> tuple[dict[int, bytes], tuple[Skipped, ...]]:
    """The perceptual hashes of some images by row, from the cache or from their files; and what could not be read."""
    names = held.view.ids.take(pa.array(held.row[rows])).to_pylist()
    paths = held.view.paths.take(pa.array(held.row[rows])).to_pylist()
    kept = fingerprint.read(edges.store.root)
    found = {row: kept[name] for row, name in zip(rows.tolist(), names, strict=True) if name in kept}
    new = [(row, name, path) for row, name, path in zip(rows.tolist(), names, paths, strict=True) if name not in kept]
    unread, begun = [], time.monotonic()
    with ThreadPoolExecutor() as pool:
        results = pool.map(lambda item: _hashed(edges, item[2]), new)
        for done, ((row, name, path), result) in enumerate(zip(new, results, strict=True), 1):
            if isinstance(result, bytes):
                found[row] = kept[name] = result
            else:
                unread.append(Skipped(path, result))
            if progress:
                progress(Progress("duplicates: reading", done, len(new), time.monotonic() - begun))
    if len(unread) < len(new):
        fingerprint.write(edges.store.root, kept)
    return found, tuple(unread)


def _hashed(edges: Edges, path: str) -> bytes | str:
    try:
        picture, _ = images.decode(read(lies(edges.folder, path)), least_side=HASH_SIDE)
        return fingerprint.fingerprint(picture)
    except ImageError as error:
        return str(error)
    except OSError as error:
        return f"the file cannot be read: {error.strerror or error}"


def _groups(edges: Edges, held: Stock, leaders: Rows, order: Rows) -> tuple[Group, ...]:
    """Groups of two and more, their members best first."""
    members: dict[int, list[int]] = {}
    several = near.sizes(leaders) > 1
    for row in order[several[order]].tolist():
        members.setdefault(int(leaders[row]), []).append(row)
    paths = _paths(edges, held.view.ids.take(pa.array(held.row[several])))

    def member(row: int, similarity: float) -> Member:
        image = str(held.view.ids[int(held.row[row])])
        files = tuple(paths[image])
        return Member(image, files[0], files, similarity, float(held.quality[row]))

    found = []
    for leader, rows in members.items():
        cosines = near.similarities(held.vectors, np.array(rows), np.full(len(rows), leader)).tolist()
        cosines[0] = 1.0  # its own, whatever float32 makes of it
        found.append(Group(tuple(member(row, min(1.0, c)) for row, c in zip(rows, cosines, strict=True))))
    return _largest_first(found)


def _largest_first(found: Sequence[Group]) -> tuple[Group, ...]:
    return tuple(sorted(found, key=lambda group: (-len(group.members), group.kept.path)))


def _paths(edges: Edges, ids: pa.Array) -> dict[str, list[str]]:
    """Every file of some images, in alphabetical order."""
    files = edges.store.files()
    files = files.filter(pc.is_in(files["id"], value_set=ids)).sort_by("path")
    by_image: dict[str, list[str]] = {}
    for path, image in zip(files["path"].to_pylist(), files["id"].to_pylist(), strict=True):
        by_image.setdefault(image, []).append(path)
    return by_image


def _sensitivity(threshold: float, leaders: Rows) -> Sensitivity:
    counts = np.bincount(leaders, minlength=1)
    several = counts[counts > 1]
    held = int(several.sum())
    return Sensitivity(threshold, len(several), held, held - len(several), int(several.max(initial=0)))


def _heard(progress: Report | None, total: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    begun = time.monotonic()
    return lambda done: progress(Progress("duplicates", done, total, time.monotonic() - begun))
