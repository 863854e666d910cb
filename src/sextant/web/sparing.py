"""Keeps a process that answers for weeks from keeping memory that nothing uses any more.

Nothing is lost without this: the C library and Python hold what requests gave back, in case the next one wants it.
Knows nothing of what is served.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
from collections.abc import Callable
from contextlib import suppress

ARENA_MAX, ARENAS = -8, 2
"""M_ARENA_MAX of glibc's malloc, and how many. By itself it makes eight a core, and each keeps what its threads once
needed. It has to be told before they are made: with a first look into a table there are seven to ten."""
EVERY = 10.0
"""Seconds between two looks at whether there is memory to give back: it takes some milliseconds."""
YOUNG = 700
"""Objects that are made before Python looks for rings of them that nothing else holds: its own habit. A ring may hold
the answer of a request, with all its columns; a command, which ends anyway, waits for more."""


def fewer_arenas() -> None:
    """Lets all threads that begin from now on share two arenas of the C library's memory, where it is glibc's."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(ARENA_MAX, ARENAS)


def settled() -> None:
    """Says that what is in memory now stays: rings are looked for among what comes after it alone, and soon."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)


def give_back() -> None:
    """Gives free pages in the midst of the C library's memory back to the system, where it is glibc's."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def give_back_of_arrow() -> None:
    """The same for Arrow's own heaps. In the main thread alone it takes in those of threads that have ended."""
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()


async def giving_back(asked: Callable[[], int], seconds: float = EVERY) -> None:
    """Gives memory back again and again, wherever the number of requests that were `asked` has changed meanwhile."""
    before = asked()
    while True:
        await asyncio.sleep(seconds)
        now = asked()
        if now != before:
            before = now
            give_back_of_arrow()
            await asyncio.to_thread(give_back)
