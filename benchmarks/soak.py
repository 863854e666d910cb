"""Keeps a real `sextant serve` at work for half an hour, and says whether it grew: memory, files, threads, disk.

    python benchmarks/soak.py                         # 30 minutes, prints the rows
    python benchmarks/soak.py --write                 # and puts them into docs/reliability.md
    python benchmarks/soak.py --minutes 2 --warm 0.5  # a quick look

Four clients read and write: searches, queries, pages, thumbnails, labels, events, impressions, uploads of pictures that
nobody has seen yet, calibrations. Every few seconds the resident memory of the server and whatever it started is read
from /proc, with its open files, its threads, and the bytes below `.sextant`. Memory counts as flat where the median of
the last part is within 5 % of that of an early one (minutes 5 to 10, of thirty). At the end the server is stopped and
`sextant vacuum` run; the live data are what the same rows take in tables that were written just now.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

import demo
import web
from PIL import Image, ImageDraw
from report import RELIABILITY, section

import sextant

PICTURES, CLIENTS, EVERY = 600, 4, 5.0
THINK = 0.3
"""Seconds that a client waits on average between two requests: the server shares its machine."""
MOST_GROWTH, MOST_DISK = 1.05, 1.5
CODES = ("earth", "moon", "astronaut", "spacecraft", "rocket")
HEAD = ["figure", "measured", "wanted"]
MIX = {
    "search": 30, "query": 14, "page": 10, "thumb": 12, "image": 6, "columns": 3, "column": 3, "facets": 2,
    "label": 7, "event": 8, "impression": 3, "words": 1.5, "upload": 1.2, "calibrate": 0.3,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """What one look at the server found; memory in bytes, of all its processes."""

    seconds: float
    memory: int
    files: int
    threads: int
    disk: int


@dataclass
class Traffic:
    """What the clients did: how many requests of each kind, how long they took, and what went wrong."""

    done: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)


class Client:
    """One visitor with one connection."""

    def __init__(self, port: int, base: str, seed: int, ids: Sequence[str], traffic: Traffic) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=120)
        self.base, self.ids, self.traffic = base, list(ids), traffic
        self.numbers = random.Random(seed)
        self.asked = web.questions(400, seed)

    def run(self) -> None:
        """Asks until it is told to stop."""
        kinds, weights = list(MIX), list(MIX.values())
        while not self.traffic.stopped.wait(self.numbers.uniform(0, 2 * THINK)):
            kind = self.numbers.choices(kinds, weights)[0]
            begun = time.perf_counter()
            try:
                status, body = self._send(*getattr(self, kind)())
            except (OSError, HTTPException) as error:
                self.connection.close()
                if not self.traffic.stopped.is_set():
                    self.traffic.wrong[f"{kind}: {type(error).__name__}"] += 1
                continue
            self.traffic.done[kind] += 1
            self.traffic.slowest = max(self.traffic.slowest, time.perf_counter() - begun)
            if status >= 400:
                self.traffic.wrong[f"{kind}: {status} {body[:160]!r}"] += 1
            elif kind == "upload":
                self.ids.append(json.loads(body)["id"])

    def _send(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, bytes]:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        for again in (True, False):
            try:
                self.connection.request(method, path, content, {"Content-Type": kind} if content else {})
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (ConnectionError, HTTPException):
                self.connection.close()  # it stood idle for too long
                if not again:
                    raise
        raise AssertionError

    def _code(self) -> str:
        return self.numbers.choice(CODES)

    def _image(self) -> str:
        return f"{self.base}/images/{self.numbers.choice(self.ids)}"

    # one method a kind of request: method, path, body

    def search(self) -> tuple[Any, ...]:
        return "GET", f"{self.base}/search?q={quote(self.numbers.choice(self.asked))}&limit=60"

    def query(self) -> tuple[Any, ...]:
        rule = f"{self._code()} and not {self._code()} and width > {self.numbers.randrange(300)}"
        return "GET", f"{self.base}/query?rule={quote(rule)}&limit=60"

    def page(self) -> tuple[Any, ...]:
        return "GET", f"{self.base}/images?limit=60&offset={self.numbers.randrange(500)}"

    def thumb(self) -> tuple[Any, ...]:
        return "GET", f"{self._image()}/thumb"

    def image(self) -> tuple[Any, ...]:
        return "GET", self._image()

    def columns(self) -> tuple[Any, ...]:
        return "GET", f"{self.base}/columns"

    def column(self) -> tuple[Any, ...]:
        return "GET", f"{self.base}/columns/{self._code()}"

    def facets(self) -> tuple[Any, ...]:
        return "GET", f"{self.base}/facets?q={quote(self.numbers.choice(self.asked))}"

    def label(self) -> tuple[Any, ...]:
        path = f"{self.base}/columns/{self._code()}/labels/{self.numbers.choice(self.ids)}"
        return "PUT", path, {"value": self.numbers.random() < 0.5}

    def event(self) -> tuple[Any, ...]:
        kind = self.numbers.choice(("clicked", "picked", "up", "down"))
        body = {"kind": kind, "image": self.numbers.choice(self.ids), "key": f"{self.numbers.getrandbits(64):x}"}
        return "POST", f"{self.base}/feedback", body

    def impression(self) -> tuple[Any, ...]:
        return "POST", f"{self.base}/impressions", {"asked": {"q": self.numbers.choice(self.asked)}, "shown": 30}

    def words(self) -> tuple[Any, ...]:
        said = {"tags": [self.numbers.choice(web.KINDS.split())], "description": self.numbers.choice(self.asked)}
        return "PATCH", f"{self._image()}/words", said

    def calibrate(self) -> tuple[Any, ...]:
        return "POST", f"{self.base}/columns/{self._code()}/calibrate"

    def upload(self) -> tuple[Any, ...]:
        mark = f"{self.numbers.getrandbits(64):016x}"
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{mark}.jpg"\r\n\r\n'
        body = head.encode() + drawn(self.numbers) + f"\r\n--{mark}--\r\n".encode()
        return "POST", f"{self.base}/images", body, f"multipart/form-data; boundary={mark}"


def drawn(numbers: random.Random) -> bytes:
    """A small JPEG that nobody has seen yet."""
    colour = lambda: tuple(numbers.randrange(256) for _ in range(3))  # noqa: E731
    picture = Image.new("RGB", (160, 120), colour())
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y, r = numbers.randrange(160), numbers.randrange(120), numbers.randrange(4, 40)
        pen.ellipse((x - r, y - r, x + r, y + r), colour())
    out = io.BytesIO()
    picture.save(out, "JPEG")
    return out.getvalue()


# what the server takes


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found = [pid]
    for one in found:  # grows while it is read
        found += children.get(one, [])
    return found


def sample(pid: int, folder: Path, begun: float) -> Sample:
    """One look."""
    memory = files = threads = 0
    for one in family(pid):
        try:
            memory += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            files += sum(1 for _ in Path(f"/proc/{one}/fd").iterdir())
            threads += sum(1 for _ in Path(f"/proc/{one}/task").iterdir())
        except OSError:  # it ended meanwhile
            continue
    return Sample(time.monotonic() - begun, memory, files, threads, size(folder / ".sextant"))


def size(folder: Path) -> int:
    """Bytes below a folder."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def live(folder: Path, scratch: Path) -> int:
    """Bytes of the same rows in tables that were written just now, in a catalog without free pages."""
    import lance

    held = folder / ".sextant"
    for table in [held / "images.lance", held / "files.lance", *(held / "encoders").glob("*.lance")]:
        lance.write_dataset(lance.dataset(str(table)).to_table(), str(scratch / table.name))
    source = sqlite3.connect(held / "catalog.db")
    source.execute("VACUUM INTO ?", (str(scratch / "catalog.db"),))
    source.close()
    rest = size(held / "thumbs") + size(held / "cache") + (held / "collection.json").stat().st_size
    return size(scratch) + rest


# the run


def soak(folder: Path, minutes: float) -> tuple[list[Sample], Traffic]:
    """The samples of a run, and what was asked meanwhile."""
    with web.running(web.serving(folder)) as (port, pid), web.asking(port) as ask:
        base = web.base_of(ask)
        ids = [image["id"] for image in json.loads(ask(f"{base}/images?limit=500"))["images"]]
        traffic, begun, found = Traffic(), time.monotonic(), []
        clients = [Client(port, base, seed, ids, traffic) for seed in range(CLIENTS)]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in threads:
            thread.start()
        while time.monotonic() - begun < 60 * minutes:
            time.sleep(EVERY)
            found.append(sample(pid, folder, begun))
            if len(found) % 12 == 0:
                print(_line(found[-1]), sum(traffic.done.values()), dict(traffic.wrong), flush=True)
        traffic.stopped.set()
        for thread in threads:
            thread.join()
    return found, traffic


def _line(one: Sample) -> str:
    return f"{one.seconds / 60:.0f} min: {mib(one.memory)}, {one.files} files, {one.threads} threads, {mib(one.disk)}"


def mib(number: float) -> str:
    return f"{number / 2**20:,.1f} MiB"


def rows(found: Sequence[Sample], traffic: Traffic, minutes: float, warm: float) -> tuple[list[list[str]], bool]:
    """The table without the disk's rows, and whether all is as wanted."""

    def median(of: Callable[[Sample], float], start: float) -> float:
        return statistics.median(of(one) for one in found if start <= one.seconds / 60 < start + warm)

    early, late = (median(lambda one: one.memory, start) for start in (warm, minutes - warm))
    files = [median(lambda one: one.files, start) for start in (warm, minutes - warm)]
    threads = [median(lambda one: one.threads, start) for start in (warm, minutes - warm)]
    count = sum(traffic.done.values())
    told = ", ".join(f"{n:,} × {kind}" for kind, n in traffic.done.most_common())
    flat = late <= MOST_GROWTH * early
    quiet = not traffic.wrong
    return [
        ["requests", f"{count:,}: {told}; the slowest took {traffic.slowest:.1f} s", "–"],
        ["answers that were refusals or errors", f"{sum(traffic.wrong.values())}", "0"],
        [f"resident memory, median of minutes {warm:g} to {2 * warm:g} → of the last {warm:g}",
         f"{mib(early)} → {mib(late)}: × {late / early:.3f}", f"≤ × {MOST_GROWTH}"],
        ["open files, threads, the same medians",
         f"{files[0]:.0f} → {files[1]:.0f}, {threads[0]:.0f} → {threads[1]:.0f}; at most "
         f"{max(one.files for one in found)} and {max(one.threads for one in found)}", "no growth"],
    ], flat and quiet and files[1] <= files[0] + 5 and threads[1] <= threads[0] + 2  # fmt: skip


def disk(folder: Path, found: Sequence[Sample], environment: dict[str, str]) -> tuple[list[list[str]], bool]:
    """The disk's rows: while serving, and after `vacuum`."""
    command = [sys.executable, "-m", "sextant", "vacuum", "-C", str(folder)]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as scratch:
        data = live(folder, Path(scratch))
    after = size(folder / ".sextant")
    most = max(one.disk for one in found)
    return [
        ["disk below `.sextant`: at the start, most, after `vacuum`",
         f"{mib(found[0].disk)}, {mib(most)}, {mib(after)}", "–"],
        ["after `vacuum`, over the live data", f"{mib(after)} / {mib(data)}: × {after / data:.2f}", f"≤ × {MOST_DISK}"],
    ], after <= MOST_DISK * data  # fmt: skip


def prepared(where: Path | None) -> Path:
    """A tagged collection of its own, of drawn pictures."""
    folder = (where or demo.CACHE) / "soak"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(demo.archive(PICTURES), folder, ignore=shutil.ignore_patterns(".sextant"))
    with sextant.open(folder, create=True, model="mini") as photos:
        photos.add(folder / "pictures")
        photos.tag(folder / "vocabulary.yaml")
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--warm", type=float, default=5, help="minutes before memory is compared, and of each median")
    parser.add_argument("--write", action="store_true", help="put the rows into docs/reliability.md")
    parser.add_argument("--samples", type=Path, help="write every sample to this JSON file")
    chosen = parser.parse_args()
    folder = prepared(None)
    found, traffic = soak(folder, chosen.minutes)
    if chosen.samples:
        chosen.samples.write_text(json.dumps([[s.seconds, s.memory, s.files, s.threads, s.disk] for s in found]))
    table, fine = rows(found, traffic, chosen.minutes, chosen.warm)
    more, small = disk(folder, found, dict(os.environ))
    for row in [*table, *more]:
        print(" | ".join(row))
    print(dict(traffic.wrong) or "nothing went wrong")
    if chosen.write:
        note = f"{PICTURES} drawn pictures at the start, encoder mini, {CLIENTS} clients; {chosen.minutes:g} minutes."
        section("soak", "python benchmarks/soak.py --write", HEAD, [*table, *more], note, page=RELIABILITY)
    return 0 if fine and small else 1


if __name__ == "__main__":
    sys.exit(main())
