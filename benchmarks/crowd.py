"""Two writers and ten readers on one collection for ten minutes, each a process of its own.

    python benchmarks/crowd.py               # prints the rows
    python benchmarks/crowd.py --write       # and puts them into docs/reliability.md
    python benchmarks/crowd.py --minutes 1

One writer adds pictures, a few at a time, and labels them. The other writes all columns anew with other prompts, gives
overrides, calibrates, and vacuums now and then. A reader looks again and again, and holds that

- what was acknowledged before it looked is there;
- versions of the tables, the number of changes, and the number of images only grow;
- every column is whole: its logits are those of the prompts that stand beside it, in every row of the same version;
- query and search answer.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from faults_state import usable
from faults_work import CODES, fakes, many, opened, told_of, vocabulary, words
from report import RELIABILITY, section

WRITERS, READERS, PICTURES, A_TIME = 2, 10, 20_000, 5
HEAD = ["figure", "measured", "wanted"]
Told = Callable[..., None]


def adder(folder: Path, told: Told, until: float) -> None:
    """Adds pictures, a few at a time, and labels one of them."""
    photos, start = opened(folder), 20
    while time.monotonic() < until and start < PICTURES:
        made = many(folder / "p", A_TIME, start)
        report = photos.add(*made)
        assert (report.added, report.skipped) == (A_TIME, ()), report
        told("added", [f"p/{path.name}" for path in made])
        photos.label(f"p/{made[0].name}", "red", start % 2 == 0)
        told("label", f"p/{made[0].name}")
        start += A_TIME
        time.sleep(0.1)


def changer(folder: Path, told: Told, until: float) -> None:
    """Writes every column anew, over and over; overrides, calibrates, vacuums."""
    photos, turn = opened(folder), 0
    while time.monotonic() < until:
        turn += 1
        said = {code: f"{code} and {CODES[turn % 6]}" for code in CODES}
        report = photos.tag(vocabulary(folder, words(**said), f"{turn % 7}.yaml"))
        told("tagged", len(report.columns))
        photos.override(f"p/{turn % 20:05d}.png", "green", turn % 2 == 0)
        told("override", f"p/{turn % 20:05d}.png")
        if turn % 5 == 0:
            photos.calibrate(["red"])
            told("calibrated", "red")
        if turn % 30 == 0:
            photos.vacuum()
            told("vacuumed", turn)
        time.sleep(0.1)


def reader(folder: Path, told: Told, until: float, seed: int) -> None:
    """Looks again and again."""
    numbers, photos = random.Random(seed), opened(folder)
    before: tuple[Any, ...] = ()
    while time.monotonic() < until:
        known = [row[1] for row in told_of(folder.parent / "0.jsonl") if row[0] == "added"]
        located = photos.located()
        assert {path for paths in known for path in paths} <= set(located), "an acknowledged row is not there"
        now = (*versions(folder, photos.vectors.path), photos.catalog.changes(), len(located))
        assert not before or all(b <= n for b, n in zip(before, now, strict=True)), f"back in time: {before} → {now}"
        before = now
        whole(photos)
        assert len(photos.query("width > 0")) >= len(located)
        assert photos.search(numbers.choice(CODES), limit=5).hits
        told("looked", len(located))
        if numbers.random() < 0.1:
            photos.close()
            photos = opened(folder)
        time.sleep(numbers.uniform(0.05, 0.5))


def whole(photos: Any) -> None:
    """Every column of one version says what its record says, in every row."""
    vectors = photos.vectors
    snapshot = vectors.snapshot(CODES)
    assert set(CODES) <= set(snapshot.columns), "a column is missing"
    rows = snapshot.more(["vector", *CODES])
    matrix = np.stack([np.asarray(row, np.float32) for row in rows["vector"].to_pylist()])
    for code in CODES:
        (prompt,) = snapshot.columns[code].provenance["prompts"]
        wanted = fakes.SCALE * matrix @ fakes.colour_of(prompt)
        assert not rows[code].null_count, f"{code} lacks rows"
        assert np.allclose(rows[code].to_numpy(), wanted, atol=1e-3), f"{code} is not what its record says"


def versions(folder: Path, vectors: Path) -> list[int]:
    """The newest version of each table."""
    import lance

    tables = [folder / ".sextant" / "images.lance", folder / ".sextant" / "files.lance", vectors]
    return [lance.dataset(str(path)).version for path in tables]


def work(role: int, folder: Path, until: float) -> None:
    """One process of the crowd; what it does is told in a log of its own."""
    os.nice(10)
    log = os.open(folder.parent / f"{role}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def told(*what: Any) -> None:
        os.write(log, (json.dumps(what) + "\n").encode())

    try:
        if role < WRITERS:
            (adder, changer)[role](folder, told, until)
        else:
            reader(folder, told, until, role)
    except BaseException as error:  # noqa: BLE001 – a finding, whatever it is
        told("wrong", f"{'writer' if role < WRITERS else 'reader'}: {type(error).__name__}: {error}")
        traceback.print_exc()


def crowd(folder: Path, minutes: float) -> tuple[Counter[str], list[str]]:
    """What was done, counted, and what went wrong."""
    many(folder / "p", 20)
    with opened(folder) as photos:
        photos.add(folder / "p")
        photos.tag(vocabulary(folder, words(**{c: c for c in CODES})))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["crowd"])
    until = time.monotonic() + 60 * minutes
    tasks = [context.Process(target=work, args=(role, folder, until)) for role in range(WRITERS + READERS)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    told = [row for role in range(WRITERS + READERS) for row in told_of(folder.parent / f"{role}.jsonl")]
    wrong = [what for kind, what in told if kind == "wrong"]
    wrong += [f"a process ended with {task.exitcode}" for task in tasks if task.exitcode]
    done = Counter(kind for kind, _ in told)
    added = {path for kind, what in told if kind == "added" for path in what}
    with opened(folder) as photos:
        usable(photos)
        whole(photos)
        there = set(photos.located())
        labels = {photos.located()[what] for kind, what in told if kind == "label"}
        lost = len(added - there) + len(labels - {label.image for label in photos.catalog.labels(["red"])})
    done["pictures"], done["lost"] = len(added), lost
    return done, wrong


def rows(done: Counter[str], wrong: list[str]) -> list[list[str]]:
    """The table."""
    return [
        ["pictures added, columns written anew, vacuums",
         f"{done['pictures']:,} in {done['added']:,} runs; {done['tagged']:,} × {len(CODES)}; {done['vacuumed']}", "–"],
        ["looks of ten readers, each at every column, a query and a search", f"{done['looked']:,}", "–"],
        ["looks that found a half, something older, or less than was told; failures", f"{len(wrong)}", "0"],
        ["acknowledged rows and labels that are not there in the end", f"{done['lost']}", "0"],
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--write", action="store_true", help="put the rows into docs/reliability.md")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crowd-") as scratch:
        done, wrong = crowd(Path(scratch) / "c", chosen.minutes)
    table = rows(done, wrong)
    for row in table:
        print(" | ".join(row))
    for what in dict.fromkeys(wrong):
        print(" ", what[:1000])
    if chosen.write:
        load = f"{os.getloadavg()[0]:.0f}"
        note = f"{chosen.minutes:g} minutes, the fake encoder of the tests; load average {load} at the end."
        section("crowd", "python benchmarks/crowd.py --write", HEAD, table, note, page=RELIABILITY)
    return 1 if wrong or done["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
