"""The log of a run as TensorBoard reads it, where tensorboardX is installed: the same lines, and no other record.

`train/log.jsonl` stays what counts. The event file is written from it, anew each time a run is begun or goes on, so a
run that was stopped has each epoch once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from sextant.types import Progress

Report = Callable[[Progress], None]
FOLDER = "tensorboard"
NOT_A_FIGURE = ("epoch", "time", "stage")


class Mirror:
    """Follows a run's log. Without tensorboardX it does nothing."""

    def __init__(self, run: Path, progress: Report | None = None) -> None:
        self.log, self.folder, self._progress = run / "train" / "log.jsonl", run / FOLDER, progress
        self._writer: Any = None
        self._read = 0
        self._seen = self.log.stat().st_size if self._is_settled() else 0
        try:
            import tensorboardX
        except ImportError:
            self._library: Any = None
        else:
            self._library = tensorboardX

    def _is_settled(self) -> bool:
        """Whether the event file holds all of the log already."""
        files = list(self.folder.glob("events.*"))
        return self.log.is_file() and any(path.stat().st_mtime >= self.log.stat().st_mtime for path in files)

    def __enter__(self) -> Mirror:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.update()
        if self._writer is not None:
            self._writer.close()

    def progress(self, now: Progress) -> None:
        """Passes on how far the run is, and writes what came since."""
        self.update()
        if self._progress is not None:
            self._progress(now)

    def update(self) -> None:
        """Writes the epochs that the log has got since the last time."""
        if self._library is None or not self.log.is_file() or self.log.stat().st_size <= self._seen:
            return
        self._seen = self.log.stat().st_size
        with self.log.open("rb") as file:
            file.seek(self._read)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            self._write(json.loads(line))

    def _write(self, line: dict[str, Any]) -> None:
        if self._writer is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._writer = self._library.SummaryWriter(str(self.folder))
        for name, value in line.items():
            if name not in NOT_A_FIGURE and isinstance(value, (int, float)):
                self._writer.add_scalar(f"{line['stage']}/{name}", value, line["epoch"], walltime=line.get("time"))
        self._writer.flush()
