"""Files to what is in them: an id, facts and pixels by threads of this process, or rows as well by workers elsewhere.

A file that cannot be read is a `Skipped`, and so is one that ends its worker every time. Knows nothing of tables.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sextant.embedding import encode, prepared
from sextant.errors import CollectionError, ImageError
from sextant.place import read
from sextant.settings import Settings
from sextant.types import Encoder, Floats, ImageFacts, Lost, Skipped, Spread
from sextant.walk import Candidate

MAX_BYTES = 1 << 30
"""A file larger than this is refused unread."""
FRAGMENT = 256  # files that a worker elsewhere is handed at a time
HOPELESS = 8  # parts, the first ones, that end their workers before it is given up
AHEAD_BATCHES = 2

T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[Sequence[Candidate]], "list[Read | Skipped]"]


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was read. `pixels` is None where the image needs no encoding, or has a `row` already.

    `row` is what the encoder made of it elsewhere: its vector (dim,), or the reason why there is none.
    """

    file: Candidate
    id: str
    facts: ImageFacts | None = None
    pixels: Any = None
    row: Floats | str | None = None


def ahead(items: Iterable[T], work: Callable[[T], R], *, workers: int, window: int) -> Iterator[R]:
    """`work` of every item, in order, computed by threads at most `window` items ahead of the reader."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="sextant-decode")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def afar(files: Sequence[Candidate], make: Callable[[], Work], spread: Spread) -> Iterator[list[Read | Skipped]]:
    """What workers elsewhere make of files, in order, a fragment of them at a time; `make` makes what a worker does.

    A fragment that ended its worker too often is tried again file by file, so that only the culprit is left out.

    Raises:
        CollectionError: workers die of whatever they are given.
    """
    parts = [files[i : i + FRAGMENT] for i in range(0, len(files), FRAGMENT)]
    lost: list[Candidate] = []
    done = False
    for number, (part, found) in enumerate(zip(parts, spread(make, parts), strict=True), 1):
        if isinstance(found, Lost):
            lost += part
            _despair(done, number, found)
        else:
            done = True
            yield found
    alone = spread(make, [[i] for i in lost], alone=True) if lost else ()
    for number, (item, found) in enumerate(zip(lost, alone, strict=True), 1):
        if isinstance(found, Lost):
            yield [Skipped(item.name, f"the worker that read it died each time, {found.times} times")]
            _despair(done, number, found)
        else:
            done = True
            yield found


def _despair(done: bool, lost: int, found: Lost) -> None:
    """Ends a run in which nothing was ever done: it is not the pictures that workers die of."""
    if not done and lost >= HOPELESS:
        raise CollectionError(
            f"the first {lost} parts of the work each ended their worker {found.times} times, and nothing was done: "
            "give the workers more memory, or a smaller model or --batch, or use --engine local"
        )


def worker(load: Callable[[], Encoder], settings: Settings, complete: NDArray[np.bytes_]) -> Work:
    """In another process: what reads and encodes one fragment of files. `complete` are sorted ids that need nothing."""
    encoder = load()

    def is_complete(image: str) -> bool:
        place = int(np.searchsorted(complete, image.encode()))
        return place < len(complete) and bool(complete[place] == image.encode())

    def work(files: Sequence[Candidate]) -> list[Read | Skipped]:
        window = AHEAD_BATCHES * settings.batch + settings.workers
        out: list[Read | Skipped] = []
        waiting: dict[str, list[int]] = {}  # by id, the places in `out`; a copy is encoded once
        for item in ahead(files, lambda f: read_one(f, encoder, is_complete), workers=settings.workers, window=window):
            if isinstance(item, Read) and item.pixels is not None:
                waiting.setdefault(item.id, []).append(len(out))
            out.append(item)
            if sum(map(len, waiting.values())) >= settings.batch:
                _encode_waiting(out, waiting, encoder)
        _encode_waiting(out, waiting, encoder)
        return out

    return work


def _encode_waiting(out: list[Read | Skipped], waiting: dict[str, list[int]], encoder: Encoder) -> None:
    """Gives a batch of what was read its rows, in place of its pixels."""
    first: list[Any] = [out[places[0]] for places in waiting.values()]
    for places, row in zip(waiting.values(), encode(encoder, [item.pixels for item in first]), strict=True):
        for place in places:
            item = out[place]
            if isinstance(item, Read):
                out[place] = replace(item, pixels=None, row=row)
    waiting.clear()


def read_one(item: Candidate, encoder: Encoder, complete: Callable[[str], bool]) -> Read | Skipped:
    """In a thread: a file's bytes to an id and, where the image is not complete, pixels and facts."""
    from sextant import images  # brings Pillow, which a query has no need of

    try:
        data = bytes_of(item)
        image = images.identify(data)
        if complete(image):
            return Read(item, image)
        pixels, facts = prepared(data, encoder)
        return Read(item, image, facts, pixels)
    except ImageError as error:
        return Skipped(item.name, str(error))
    except MemoryError:
        return Skipped(item.name, "too large for this machine's memory")


def bytes_of(file: Candidate) -> bytes:
    """All of a file. Raises `ImageError` where it is too large or cannot be read."""
    try:
        if file.bytes > MAX_BYTES:
            raise ImageError(f"larger than {MAX_BYTES >> 20} MiB")
        return read(file.path)
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}") from error
