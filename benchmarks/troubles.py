"""Makes the machine fail a run in the middle, and looks at what the run says and what is left.

    python benchmarks/troubles.py                      # every trouble, every verb
    python benchmarks/troubles.py --write              # and the table into docs/reliability.md
    python benchmarks/troubles.py full files           # some troubles

A worker does a verb's real work, as in `faults.py`, while

- full: the disk has so many kilobytes left, from none to a megabyte (a tmpfs that is mounted for it: needs root);
- readonly: it runs as a user who may not write in the folder;
- lost: the folder's permission to write is taken away after the first thing was acknowledged;
- files: it may have so many files open, from 10 up;
- moved: the folder is renamed after the first thing was acknowledged;
- clock: the clock jumps by hours and years, forwards and backwards, all the time (libfaketime; FAKETIME_LIBRARY).

Held for each run: it ends well, or with one of Sextant's own errors, whose message tells what to do; afterwards the
collection can be read, and has what was acknowledged; and the same work done again without the trouble ends in the same
rows as a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults import WORKS
from faults_forker import Ended, Forker
from faults_state import digest, rows_of, usable
from faults_work import Work, told_of
from report import RELIABILITY, section

HEAD = ["trouble", "runs", "ended in a message", "such as", "unexpected errors, or messages without a remedy",
        "unreadable or lost", "another state in the end"]  # fmt: skip
VERBS = ("Add", "Tag", "Calibrate", "Feedback", "MakeIndex", "Curate", "Tidy", "Use")
NOBODY = 65534
REMEDIES = ("make room", "allow", "copy", "ulimit", "again", "free", "named", "with -c", "moved", "sextant add", "try")
FREE_KIB = (0, 8, 32, 96, 256, 1024)
FILES = (10, 13, 16, 20, 32, 96)
JUMPS = ("+0", "-3d", "+40d", "-9y", "+9y", "-1h", "+2h")


@dataclass
class Outcome:
    """What a trouble came to over all runs of it."""

    runs: int = 0
    messages: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


class Bench:
    """One verb: its prepared collection, and what a run that nobody disturbs makes of it."""

    def __init__(self, name: str, forker: Forker, scratch: Path) -> None:
        self.name, self.forker, self.scratch = name, forker, scratch
        self.work: Work = WORKS[name]()
        self.template = scratch / "template" / "c"
        self.template.mkdir(parents=True)
        self.work.prepare(self.template)
        folder = self.copy(scratch / "undisturbed")
        self.forker.end(name, folder, self.work.seconds)
        self.wanted = digest(self.rows(folder))
        shutil.rmtree(folder.parent)

    def copy(self, place: Path) -> Path:
        """The prepared collection in a folder of its own, which anybody may write."""
        shutil.copytree(self.template.parent, place, dirs_exist_ok=True)
        for path in (place, *place.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        return place / "c"

    def rows(self, folder: Path) -> dict[str, Any]:
        """What is there in the end."""
        self.work.finish(folder)
        with self.work.open(folder) as photos:
            return rows_of(photos)

    def judge(self, found: Outcome, ended: Ended, folder: Path, logs: Path, again: Forker) -> None:
        """Looks at how a run ended and at what it left, then does the same work without the trouble."""
        found.runs += 1
        if ended.status or ended.killed:
            found.messages.append(f"{self.name}: {ended.message}")
            if ended.killed or not ended.expected or not any(word in ended.message.lower() for word in REMEDIES):
                found.unexpected.append(f"{self.name}: {ended.error or ended.status}: {ended.message[:600]}")
        try:
            self.look(folder, logs)
        except Exception as error:  # noqa: BLE001 – whatever it is, it is a finding
            found.lost.append(f"{self.name}: {type(error).__name__}: {str(error)[:600]}")
        last = again.end(self.name, folder, self.work.seconds, logs=logs)
        if last.status or last.killed:
            found.differing.append(f"{self.name}: cannot be done again: {last.error}: {last.message[:600]}")
            return
        rows = digest(self.rows(folder))
        parts = [part for part in self.wanted if rows.get(part) != self.wanted[part]]
        found.differing += [f"{self.name}: {', '.join(parts)}"] if parts else []

    def look(self, folder: Path, logs: Path) -> None:
        """Whether the collection can be used, and has what was told."""
        told = told_of(logs / "told.jsonl")
        if (folder / ".sextant" / "collection.json").exists():
            with self.work.open(folder) as photos:
                usable(photos)
        if told:
            self.work.check(folder, told)


Trouble = Callable[[Bench, Outcome], None]


def logs_of(bench: Bench) -> Path:
    """A folder for what a worker says, elsewhere than its collection."""
    logs = Path(tempfile.mkdtemp(dir=bench.scratch, prefix="logs-"))
    logs.chmod(0o777)
    return logs


# the troubles


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 64 MiB."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full(bench: Bench, found: Outcome) -> None:
    """A disk with little room left."""
    for free in FREE_KIB:
        with small_disk(bench.scratch / "disk") as disk:
            folder, logs = bench.copy(disk / "r"), logs_of(bench)
            left = shutil.disk_usage(disk).free - 1024 * free
            filler = disk / "filler"
            filler.write_bytes(bytes(max(0, left)))
            ended = bench.forker.end(bench.name, folder, bench.work.seconds, logs=logs)
            looked = Outcome()
            try:
                bench.look(folder, logs)  # while there is no room
            except Exception as error:  # noqa: BLE001 – as above
                looked.lost.append(f"{bench.name} at {free} KiB: {type(error).__name__}: {str(error)[:400]}")
            filler.unlink()
            found.lost += looked.lost
            bench.judge(found, ended, folder, logs, bench.forker)
        (bench.scratch / "disk").rmdir()


def readonly(bench: Bench, found: Outcome) -> None:
    """A user who may only read."""
    folder, logs = bench.copy(bench.scratch / "readonly"), logs_of(bench)
    for path in (folder.parent, *folder.parent.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    ended = bench.forker.end(bench.name, folder, bench.work.seconds, logs=logs, uid=NOBODY)
    for path in (folder.parent, *folder.parent.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    bench.judge(found, ended, folder, logs, bench.forker)


def files(bench: Bench, found: Outcome) -> None:
    """Few files that may be open at a time."""
    for most in FILES:
        folder, logs = bench.copy(bench.scratch / f"files-{most}"), logs_of(bench)
        ended = bench.forker.end(bench.name, folder, 120, logs=logs, files=most)
        bench.judge(found, ended, folder, logs, bench.forker)


def after_the_first(logs: Path, do: Callable[[], None]) -> threading.Thread:
    """Does something once a worker has acknowledged anything."""

    def wait() -> None:
        until = time.monotonic() + 120
        while not told_of(logs / "told.jsonl") and time.monotonic() < until:
            if (logs / "ended.json").exists() and (logs / "ended.json").stat().st_size:
                return
            time.sleep(0.001)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def lost(bench: Bench, found: Outcome) -> None:
    """A permission that goes while a run goes on."""
    folder, logs = bench.copy(bench.scratch / "lost"), logs_of(bench)

    def close() -> None:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)

    thread = after_the_first(logs, close)
    ended = bench.forker.end(bench.name, folder, bench.work.seconds, logs=logs, uid=NOBODY)
    thread.join()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    bench.judge(found, ended, folder, logs, bench.forker)


def moved(bench: Bench, found: Outcome) -> None:
    """A folder that is renamed while a run goes on."""
    folder, logs = bench.copy(bench.scratch / "moved"), logs_of(bench)
    away = folder.with_name("away")
    thread = after_the_first(logs, lambda: folder.rename(away) and None)
    ended = bench.forker.end(bench.name, folder, bench.work.seconds, logs=logs)
    thread.join()
    if folder.exists():
        left = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        if away.exists() and any(".sextant" in name and "lock" not in name for name in left):
            found.lost.append(f"{bench.name}: written where the collection was: {left[:5]}")
        if away.exists():
            shutil.rmtree(folder)
    if away.exists():
        away.rename(folder)
    bench.judge(found, ended, folder, logs, bench.forker)


def clock(bench: Bench, found: Outcome) -> None:
    """A clock that jumps."""
    library = os.environ.get("FAKETIME_LIBRARY", "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
    if not Path(library).exists():
        raise SystemExit(f"no libfaketime at {library}: install it, or name it with FAKETIME_LIBRARY")
    stamp = bench.scratch / "stamp"
    stamp.write_text("+0")
    wild = {"FAKETIME_TIMESTAMP_FILE": str(stamp), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    forker, numbers, done = Forker({"LD_PRELOAD": library, **wild}), random.Random(0), threading.Event()

    def jump() -> None:
        while not done.wait(numbers.uniform(0.05, 0.4)):
            stamp.with_suffix(".new").write_text(numbers.choice(JUMPS))
            stamp.with_suffix(".new").replace(stamp)

    thread = threading.Thread(target=jump)
    thread.start()
    try:
        for turn in range(3):
            folder, logs = bench.copy(bench.scratch / f"clock-{turn}"), logs_of(bench)
            ended = forker.end(bench.name, folder, bench.work.seconds, logs=logs)
            bench.judge(found, ended, folder, logs, bench.forker)
    finally:
        done.set()
        thread.join()
        forker.close()


TROUBLES: dict[str, tuple[str, Trouble]] = {
    "full": (f"a disk with {FREE_KIB[0]} to {FREE_KIB[-1]} KiB left", full),
    "readonly": ("a folder that can only be read", readonly),
    "lost": ("permission to write is lost after the first acknowledgement", lost),
    "files": (f"{FILES[0]} to {FILES[-1]} open files allowed", files),
    "moved": ("the folder is renamed after the first acknowledgement", moved),
    "clock": ("the clock jumps by hours and years, both ways", clock),
}


def line(name: str, found: Outcome) -> list[str]:
    """A row of the table."""
    said = Counter(re.sub(r"/tmp/\S+?/c\b", "COLLECTION", text.split(": ", 1)[1]) for text in found.messages)
    sample = said.most_common(1)[0][0].replace("|", "/").replace("\n", " ") if said else "–"
    counts = [len(found.unexpected), len(found.lost), len(found.differing)]
    return [TROUBLES[name][0], str(found.runs), str(len(found.messages)), sample, *map(str, counts)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("troubles", nargs="*", help=", ".join(TROUBLES))
    parser.add_argument("--verbs", nargs="*", default=VERBS, help=", ".join(VERBS))
    parser.add_argument("--keep", type=Path, help="keep the rows in this file, and go on from those in it")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    chosen = parser.parse_args(arguments)
    forker, bad = Forker(), 0
    rows: dict[str, list[str]] = json.loads(chosen.keep.read_text()) if chosen.keep and chosen.keep.exists() else {}
    outcomes = {name: Outcome() for name in chosen.troubles or TROUBLES}
    for verb in chosen.verbs:
        with tempfile.TemporaryDirectory(prefix="troubles-") as scratch:
            Path(scratch).chmod(0o755)
            bench = Bench(verb, forker, Path(scratch))
            for name, found in outcomes.items():
                TROUBLES[name][1](bench, found)
                print(f"{verb}, {name}: {found.runs} runs so far", flush=True)
    for name, found in outcomes.items():
        rows[name] = line(name, found)
        print(" | ".join(rows[name]))
        for what in dict.fromkeys([*found.unexpected, *found.lost, *found.differing]):
            print("  !", what)
        bad += len(found.unexpected) + len(found.lost) + len(found.differing)
    forker.close()
    if chosen.keep:
        chosen.keep.write_text(json.dumps(rows, indent=1))
    if chosen.write:
        table = [rows[name] for name in TROUBLES if name in rows]
        section("troubles", "python benchmarks/troubles.py --write", HEAD, table, page=RELIABILITY)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
