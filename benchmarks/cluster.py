"""What a Ray cluster on this machine costs beside the local engine: seconds of the processor, same pictures, `mini`.

    python benchmarks/cluster.py [--pictures 200 1000] [--write]

Each run is `sextant add` in a process of its own, with one worker for as many threads as the local run has. What every
process of a run used is read from /proc, those of Ray too; they are known by a variable that all inherit. Two sizes
tell what a start costs and what a picture costs. `--write` puts the table into docs/cluster.md. Needs the extra
`cluster`, and Linux.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import report
from PIL import Image

MARK = "RUN_OF_THE_BENCHMARK"
PAGE = report.DOCS / "cluster.md"
SIDE = 320
LOOK_SECONDS = 0.2
NAMES = ("the command", "workers", "Ray itself")


@dataclass(frozen=True)
class Used:
    """Seconds of the processor by kind of process, and how long the run took."""

    of: dict[str, float]
    waited: float

    @property
    def all(self) -> float:
        """Of all processes."""
        return sum(self.of.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; with `--write` into the page too."""
    parser = argparse.ArgumentParser(description="Seconds of the processor on Ray beside a local run.")
    parser.add_argument("--pictures", type=int, nargs="+", default=(200, 1000), metavar="N")
    parser.add_argument("--write", action="store_true", help="put the table into docs/cluster.md")
    asked = parser.parse_args(arguments)
    sizes = sorted(asked.pictures)
    used: dict[tuple[str, int], Used] = {}
    with tempfile.TemporaryDirectory() as folder:
        drawn = [draw(Path(folder) / str(n), n) for n in sizes]
        for pictures, count in zip(drawn, sizes, strict=True):
            for engine in ("local", "ray"):
                used[engine, count] = seconds(engine, pictures)
                print(f"{engine}, {count} pictures: {used[engine, count]}", file=sys.stderr)
    rows = [[engine, f"{count:,}", *(f"{value:.1f} s" for value in (found.all, *found.of.values(), found.waited))]
            for (engine, count), found in used.items()]  # fmt: skip
    head = ["engine", "pictures", "processor, all", *(f"of it {name}" for name in NAMES), "time"]
    note = (
        "Ray's own processes cost something for as long as they run: their share grows with the time of a busy machine."
    )
    print(report.table(head, rows), note, sep="\n\n")
    if asked.write:
        command = f"python benchmarks/cluster.py --pictures {' '.join(map(str, sizes))} --write"
        report.section("overhead", command, head, rows, note, page=PAGE)
    return 0


def draw(folder: Path, count: int) -> Path:
    """JPEG files of coarse noise, different for every number."""
    (folder / "pictures").mkdir(parents=True)
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        image = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        image.save(folder / "pictures" / f"{number:05d}.jpg", quality=90)
    return folder / "pictures"


def seconds(engine: str, pictures: Path) -> Used:
    """What one `add` and all that it started used of the processor."""
    with tempfile.TemporaryDirectory() as collection:
        mark = f"{engine}-{pictures.parent.name}-{os.getpid()}"
        command = [sys.executable, "-m", "sextant", "-C", collection, "add", str(pictures), "--model", "mini",
                   "--engine", engine, "--actors", "1", "--threads", "1", "--json"]  # fmt: skip
        used: dict[tuple[int, str], tuple[str, float]] = {}
        over = threading.Event()
        look = threading.Thread(target=watch, args=(mark, used, over))
        look.start()
        begun = time.monotonic()
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, env={**os.environ, MARK: mark}, stdout=quiet, stderr=quiet) as process:
            process.wait()
        waited = time.monotonic() - begun
        over.set()
        look.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Used({name: sum(value for kind, value in used.values() if kind == name) for name in NAMES}, waited)


def watch(mark: str, used: dict[tuple[int, str], tuple[str, float]], over: threading.Event) -> None:
    """Notes what every process with this mark has used, until the run is over."""
    wanted = f"{MARK}={mark}".encode()
    foreign: set[tuple[int, str]] = set()
    tick = os.sysconf("SC_CLK_TCK")
    while not over.wait(LOOK_SECONDS):
        for process in Path("/proc").glob("[0-9]*"):
            try:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                key = int(process.name), fields[19]  # a number may be given anew: the moment of its start tells
                if key in foreign:
                    continue
                started_here = int(fields[1]) in {number for number, _ in used}  # Ray writes over what it inherited
                if key not in used and not started_here and wanted not in (process / "environ").read_bytes():
                    foreign.add(key)
                    continue
                kind = _kind((process / "cmdline").read_bytes())
            except OSError:
                continue
            if key in used and used[key][0] != NAMES[2]:
                kind = used[key][0]  # Ray's processes call themselves by what they do at the moment
            used[key] = kind, (int(fields[11]) + int(fields[12])) / tick


def _kind(command: bytes) -> str:
    if b"MapWorker" in command:
        return NAMES[1]
    return NAMES[0] if b"\0sextant\0" in command else NAMES[2]


if __name__ == "__main__":
    sys.exit(main())
