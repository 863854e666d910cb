"""An ordered, bounded map over processes."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

from sextant.errors import UsageError

Job = TypeVar("Job")
Result = TypeVar("Result")
CHUNK = 16


def mapped(work: Callable[[Job], Result], jobs: Iterable[Job], processes: int | None) -> Iterator[Result]:
    """The results in the order of the jobs. `processes=None` takes one for each core; 1 works in this process.

    Few jobs are in flight at any time, so an endless stream of jobs is fine.
    """
    if processes is not None and processes < 1:
        raise UsageError(f"at least one process has to draw, not {processes}")
    count = processes if processes is not None else os.cpu_count() or 1
    if count <= 1:
        yield from map(work, jobs)
        return
    stream = iter(jobs)
    # spawn: forking a process that already runs threads (torch, Arrow) can deadlock.
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future[list[Result]]] = deque()
        try:
            while True:
                while len(waiting) < 3 * count and (chunk := list(islice(stream, CHUNK))):
                    waiting.append(pool.submit(_chunk, work, chunk))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _chunk(work: Callable[[Job], Result], jobs: list[Job]) -> list[Result]:
    return [work(job) for job in jobs]
