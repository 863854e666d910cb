"""How far a long run is, on standard error: a bar on a terminal, one JSON line a second elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sextant.output import json_text, note, on_terminal

if TYPE_CHECKING:
    from sextant.types import Progress

SECONDS_A_LINE = 1.0
Report = Callable[["Progress"], None]


@contextmanager
def reporting(verb: str, what: str) -> Iterator[Report]:
    """A function to call with each `Progress`; `what` names the things that are counted."""
    if on_terminal(sys.stderr):
        with _bar(verb, what) as report:
            yield report
    else:
        lines = Lines()
        yield lines
        lines.last()


class Lines:
    """At most one JSON line a second, and always one for the end."""

    def __init__(self) -> None:
        self._printed = time.monotonic()
        self._waiting: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Prints the line when it is due, else keeps it."""
        self._waiting = progress
        if time.monotonic() - self._printed >= SECONDS_A_LINE:
            self.last()

    def last(self) -> None:
        """Prints the line that was kept, if any."""
        if self._waiting is not None:
            note(json_text(as_json(self._waiting)))
            self._waiting, self._printed = None, time.monotonic()


def as_json(progress: Progress) -> dict[str, Any]:
    """One line: done, total, items a second, seconds left (null while unknown)."""
    return {
        "verb": progress.verb,
        "done": progress.done,
        "total": progress.total,
        "encoded": progress.encoded,
        "skipped": progress.skipped,
        "rate": round(progress.rate, 2),
        "left": None if progress.left is None else round(progress.left, 1),
        "seconds": round(progress.seconds, 1),
    }


@contextmanager
def _bar(verb: str, what: str) -> Iterator[Report]:
    """A bar that appears with the first report, so that whatever an encoder says while it loads stays above it."""
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.TextColumn(verb),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TextColumn(f"{what} · {{task.fields[rate]:,.0f}} a second ·"),
        rich.TimeRemainingColumn(compact=True),
        rich.TextColumn("left"),
    )
    bar = rich.Progress(*columns, console=Console(stderr=True, highlight=False), transient=True)
    task = bar.add_task(verb, total=None, rate=0.0)

    def report(progress: Progress) -> None:
        bar.update(task, completed=progress.done, total=progress.total or None, rate=progress.rate)
        bar.start()

    try:
        yield report
    finally:
        bar.stop()
