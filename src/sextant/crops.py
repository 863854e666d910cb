"""`crops`: parts of pictures as vectors of their own, for things too small to be seen in the whole.

Five parts of each picture, its corners and its centre, go through the same encoder and are kept in a table beside the
encoder's. An image then counts by the best of the whole and its parts. Its background is of the same kind: for each
background prompt the best of the six, so that looking six times makes nothing more likely.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sextant import search, tables
from sextant.background import background_prompts
from sextant.edges import Edges
from sextant.embedding import encode
from sextant.errors import ImageError
from sextant.maths.logits import logit_matrix
from sextant.place import Place, lies
from sextant.place import read as read_bytes
from sextant.reading import ahead
from sextant.types import Encoder, Floats, PreparingEncoder, Progress, Skipped
from sextant.view import View

if TYPE_CHECKING:
    from PIL import Image

SHARE = 0.6
"""A part's sides, as a share of the picture's: more than half, so that what lies on a middle line is in one part."""
PARTS = 5
ROWS_A_FLUSH = 500
WHOLE = -1
SAMPLE = 2000

Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class CropsReport:
    """What `crops` did: how many images got parts now, had them before, and were left out with a reason."""

    added: int
    unchanged: int
    skipped: tuple[Skipped, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Best:
    """For images `ids` (n,), the best cosine (n, k) with each direction, and of which part: 0 to 4, −1 the whole."""

    ids: pa.Array
    cosines: Floats
    parts: NDArray[np.int8]


# making them


def boxes(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Left, top, right and bottom of the four corners and the centre, in pixels."""
    w, h = max(1, round(SHARE * width)), max(1, round(SHARE * height))
    right, low = width - w, height - h
    corners = [(0, 0), (right, 0), (0, low), (right, low), (right // 2, low // 2)]
    return [(x, y, x + w, y + h) for x, y in corners]


def add(edges: Edges, *, progress: Report | None = None) -> CropsReport:
    """Embeds the parts of every image that has none yet; what was finished before an interruption is kept."""
    started = time.monotonic()
    path, encoder = edges.store.crops(edges.vectors.name), edges.encoder()
    there, own = _ids(path), set(edges.vectors.ids().to_pylist())
    places = {image: place for place, image in sorted(edges.located().items(), reverse=True) if image in own}
    todo = sorted((place, image) for image, place in places.items() if image not in there)
    writer = _Writer(edges, path, encoder)
    settings, skipped = edges.settings, list[Skipped]()
    waiting: list[tuple[str, str, list[Any]]] = []

    def finish() -> None:
        skipped.extend(writer.take(waiting))
        waiting.clear()

    def read(item: tuple[str, str]) -> tuple[str, str, list[Any]] | Skipped:
        return _read(lies(edges.folder, item[0]), item, encoder)

    items = ahead(todo, read, workers=settings.workers, window=settings.workers + settings.batch)
    for done, item in enumerate(items, 1):
        if isinstance(item, Skipped):
            skipped.append(item)
        else:
            waiting.append(item)
        if PARTS * len(waiting) >= settings.batch:
            finish()
        if progress:
            progress(Progress("crops", done, len(todo), time.monotonic() - started, writer.added, len(skipped)))
    finish()
    writer.flush()
    edges.store.compact()
    return CropsReport(writer.added, len(places) - len(todo), tuple(skipped), time.monotonic() - started)


def _read(path: Place, item: tuple[str, str], encoder: Encoder) -> tuple[str, str, list[Any]] | Skipped:
    """In a thread: a file to the five parts as the encoder takes them."""
    from sextant import images

    name, image = item
    try:
        data = read_bytes(path)
        if images.identify(data) != image:
            raise ImageError("is not the picture that was added: sextant add it again")
        return name, image, prepared(data, encoder)
    except OSError as error:
        return Skipped(name, f"cannot be read: {error.strerror or error}")
    except (ImageError, MemoryError) as error:
        return Skipped(name, str(error) or "too large for this machine's memory")


def prepared(data: bytes, encoder: Encoder) -> list[Any]:
    """The five parts of a picture as its encoder takes them. Raises `ImageError`."""
    from sextant import images

    if not isinstance(encoder, PreparingEncoder):
        return cut(images.decode(data)[0])
    side = encoder.decode_side
    picture, _ = images.decode(data, least_side=None if side is None else math.ceil(side / SHARE))
    try:
        return [encoder.prepare(part) for part in cut(picture)]
    except Exception as error:  # an encoder is anybody's code, and one picture must not end a run
        raise ImageError(f"the encoder failed on it: {type(error).__name__}: {error}") from error


def cut(picture: Image.Image) -> list[Image.Image]:
    """The five parts of a picture."""
    return [picture.crop(box) for box in boxes(*picture.size)]


class _Writer:
    """Encodes parts, and appends those of whole images to the table, a few hundred rows in one commit."""

    def __init__(self, edges: Edges, path: Place, encoder: Encoder) -> None:
        self.edges, self.path, self.encoder = edges, path, encoder
        self.prompts = edges.phrases()(background_prompts())
        self.added = 0
        self._ready: list[tuple[str, Floats]] = []

    def take(self, batch: Sequence[tuple[str, str, list[Any]]]) -> list[Skipped]:
        """Encodes a batch; the pictures of which the encoder makes nothing."""
        rows = encode(self.encoder, [part for _, _, parts in batch for part in parts])
        bad = []
        for k, (name, image, _) in enumerate(batch):
            own = rows[PARTS * k : PARTS * (k + 1)]
            reason = next((row for row in own if isinstance(row, str)), None)
            if reason is not None:
                bad.append(Skipped(name, f"a part of it: {reason}"))
            else:
                self._ready.append((image, np.stack([row for row in own if not isinstance(row, str)])))
        if PARTS * len(self._ready) >= ROWS_A_FLUSH:
            self.flush()
        return bad

    def flush(self) -> None:
        """Writes what is ready, less what another process wrote meanwhile."""
        with self.edges.store.writing():
            there = _ids(self.path) if self._ready else set()
            ready = [(image, rows) for image, rows in self._ready if image not in there]
            if ready:
                tables.append(self.path, self._table(ready))
        self.added += len(ready)
        self._ready = []

    def _table(self, ready: Sequence[tuple[str, Floats]]) -> pa.Table:
        ids, parts = [image for image, _ in ready], np.stack([rows for _, rows in ready])
        whole = dict(zip(*self.edges.vectors.some(ids), strict=True))
        six = np.stack([np.concatenate([whole[image][None, :], rows]) for image, rows in ready])
        background = _best_of(six, self.prompts, *self.edges.scale).mean(axis=1)
        dim = parts.shape[2]
        columns = {
            "id": pa.array(np.repeat(ids, PARTS), pa.string()),
            "crop": pa.array(np.tile(np.arange(PARTS, dtype=np.int8), len(ids))),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(parts.ravel(), pa.float32()), dim),
            "background": pa.array(np.repeat(background, PARTS), pa.float32()),
        }
        return pa.table(columns).replace_schema_metadata({"encoder": self.edges.vectors.name})


# asking them


def exist(edges: Edges) -> bool:
    """Whether any image has parts, for the encoder in use."""
    return tables.exists(edges.store.crops(edges.vectors.name))


def best(edges: Edges, directions: Floats) -> Best:
    """The best cosine of every image, of the whole and its parts, with directions (k, dim).

    Images in the order of the encoder's table; one without parts counts by the whole.
    """

    def read() -> Best:
        wanted = np.atleast_2d(np.asarray(directions, np.float32))
        ids, pieces = [pa.array([], pa.string())], [np.zeros((0, len(wanted)), np.float32)]
        for names, rows in edges.vectors.batches():
            ids.append(names)
            pieces.append(logit_matrix(rows, wanted, scale=1.0))
        every, cosines = pa.concat_arrays(ids), np.concatenate(pieces)
        parts = np.full(cosines.shape, WHOLE, np.int8)
        for names, crops, rows in _batches(edges.store.crops(edges.vectors.name)):
            place = pc.fill_null(pc.index_in(names, value_set=every), -1).to_numpy()
            found = logit_matrix(rows, wanted, scale=1.0)
            for crop in range(PARTS):
                mine = (crops == crop) & (place >= 0)
                here = place[mine]
                better = found[mine] > cosines[here]
                cosines[here] = np.where(better, found[mine], cosines[here])
                parts[here] = np.where(better, np.int8(crop), parts[here])
        return Best(every, cosines, parts)

    return tables.steadily(read)


def logits(edges: Edges, view: View, directions: Floats) -> tuple[Floats, Floats]:
    """Logits (n, k) of the best of every image of a view and its parts, and the background (n,) to compare them with.

    An image without parts counts by the whole, against its own background.
    """
    scale, bias = edges.scale
    found = best(edges, directions)
    ids, own = background(edges)
    among = search.rows_of(view, ids)
    beside = np.where(among >= 0, search.taken(own[:, None], among)[:, 0], view.background)
    table = np.asarray(scale * found.cosines.astype(np.float64) + bias, np.float32)
    return search.taken(table, search.rows_of(view, found.ids)), np.asarray(beside, np.float32)


def background(edges: Edges) -> tuple[pa.Array, Floats]:
    """Ids and backgrounds (n,) of the images that have parts: to be compared with logits of `best`."""
    schema = pa.schema([("id", pa.string()), ("crop", pa.int8()), ("background", pa.float32())])
    table = tables.table(edges.store.crops(edges.vectors.name), schema, schema.names)
    table = table.filter(pc.equal(table["crop"], 0)).combine_chunks()
    ids = pa.concat_arrays([pa.array([], pa.string()), *table["id"].chunks])
    return ids, np.asarray(table["background"].to_numpy(), np.float32)


def background_logits(edges: Edges, most: int = SAMPLE) -> Floats:
    """Logits (n, k) of some images, best of whole and parts, for the background prompts: what a level is fitted on."""
    prompts, dim = edges.phrases()(background_prompts()), edges.vectors.dim
    ids, _ = background(edges)
    if not len(ids):
        return np.zeros((0, len(prompts)), np.float32)
    chosen = ids.take(pa.array(np.unique(np.linspace(0, len(ids) - 1, min(most, len(ids))).astype(np.int64))))
    rows: dict[str, list[Floats]] = {image: [] for image in chosen.to_pylist()}
    for names, _, found in _batches(edges.store.crops(edges.vectors.name)):
        for k in np.flatnonzero(pc.is_in(names, value_set=chosen)).tolist():
            rows[names[k].as_py()].append(found[k])
    for image, row in zip(*edges.vectors.some(list(rows)), strict=True):
        rows[image].append(row)
    six = [np.stack(own) for own in rows.values() if len(own) == PARTS + 1]
    stacked = np.stack(six) if six else np.zeros((0, PARTS + 1, dim), np.float32)
    return _best_of(stacked, prompts, *edges.scale)


def _best_of(six: Floats, prompts: Floats, scale: float, bias: float) -> Floats:
    """Logits (n, k) of the best of the rows (n, 6, dim) of each image for prompts (k, dim)."""
    n, parts, dim = six.shape
    logits = logit_matrix(six.reshape(-1, dim), prompts, scale=scale, bias=bias)
    return np.asarray(logits.reshape(n, parts, len(prompts)).max(axis=1))


def _ids(path: Place) -> set[str]:
    return set(tables.table(path, pa.schema([("id", pa.string())]), ["id"])["id"].to_pylist())


def _batches(path: Place) -> Iterator[tuple[pa.Array, NDArray[np.int8], Floats]]:
    """Ids, parts and vectors, some rows at a time."""
    if tables.exists(path):
        with tables.reading(path):
            for batch in tables.opened(path).to_batches(columns=["id", "crop", "vector"], batch_size=8192):
                if batch.num_rows:
                    rows = batch["vector"].flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
                    yield batch["id"], batch["crop"].to_numpy(), rows
