"""How fast the gallery and the API answer, and what becomes of feedback and silent clients.

    python benchmarks/web.py                       # every step over the archive of 12,217 pictures, drawn where missing
    python benchmarks/web.py --write               # and into docs/performance.md
    python benchmarks/web.py --images 1200 --step speed

A real `sextant serve` answers on loopback, asked from another process. Beside a figure stands one taken in the same
minute of something that does not depend on the server: an empty answer of bare uvicorn, or the call of the library that
the request makes. What the server's process spent of the processor is said as well, since other programs lengthen the
clock's time but hardly that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import resource
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import quote

import demo
from report import section

import sextant

HEAD = ["figure", "measured", "wanted", "beside it"]
CLIENTS, ASKED, MIXED, EVENTS, KILLS, IDLE = 8, 300, 1600, 10_000, 2, 10_000
WORDS = "rocket moon earth astronaut station flag ocean launch stars rover satellite crater cloud sunrise dune ship"
KINDS = "red blue dark bright distant small large old blurred drawn striped round lonely crowded snowy golden"
JSON = {"Content-Type": "application/json"}
BARE = """
import socket, sys, uvicorn
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
listener.listen(64)
print(f"http://127.0.0.1:{listener.getsockname()[1]}/", file=sys.stderr, flush=True)
uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False)).run(sockets=[listener])
"""
Ask = Callable[[str], bytes]


# a server, and who asks it


@contextmanager
def running(command: Sequence[str]) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port, as it says itself on its first line, and its process number."""
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found is None:
                raise SystemExit(f"the server does not start: {line}{process.stderr.read()}")
            yield int(found[1]), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def serving(folder: Path, port: int = 0) -> list[str]:
    """The command that serves a collection."""
    return ["-m", "sextant", "serve", "-C", str(folder), "--port", str(port)]


@contextmanager
def asking(port: int) -> Iterator[Ask]:
    """Asks over one connection, opened anew where it stood idle for too long; anything but 200 ends the benchmark."""
    connection = HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(path: str) -> bytes:
        for again in (True, False):
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
                break
            except (ConnectionError, HTTPException):
                connection.close()
                if not again:
                    raise
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {body[:200]!r}")
        return body

    try:
        yield ask
    finally:
        connection.close()


def base_of(ask: Ask) -> str:
    """Where the one collection that is served has its API."""
    return f"/api/v1/collections/{json.loads(ask('/api/v1/collections'))[0]['name']}"


def processor(pid: int) -> float:
    """Seconds of the processor that a process has spent."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds(do: Callable[[], object]) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun


def timed(ask: Callable[[str], object], paths: Sequence[str]) -> list[float]:
    """Milliseconds of each, in ascending order."""
    return sorted(1000 * seconds(lambda path=path: ask(path)) for path in paths)


def at(times: Sequence[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))]


def quantiles(times: Sequence[float]) -> str:
    return f"{at(times, 0.5):.1f} / {at(times, 0.99):.1f} ms"


def together(port: int, shares: Sequence[Sequence[str]]) -> float:
    """Requests a second when every share is asked by a client of its own."""

    def work(paths: Sequence[str]) -> None:
        with asking(port) as ask:
            for path in paths:
                ask(path)

    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(len(share) for share in shares) / (time.perf_counter() - begun)


def questions(n: int, seed: int) -> list[str]:
    """Phrases of two things, hardly one of them twice."""
    numbers, things, kinds = random.Random(seed), WORDS.split(), KINDS.split()
    one = lambda: f"a {numbers.choice(kinds)} {numbers.choice(things)}"  # noqa: E731
    return [f"{one()} and {one()}" for _ in range(n)]


# the steps


def start(folder: Path) -> Iterator[list[str]]:
    """From the command to the first answer, and to the first search's; the best of three."""

    def first(command: Sequence[str], path: str) -> float:
        begun = time.perf_counter()
        with running(command) as (port, _), asking(port) as ask:
            ask(path.replace("BASE", base_of(ask)) if "BASE" in path else path)
            return time.perf_counter() - begun

    ready = min(first(serving(folder), "/api/v1/health") for _ in range(3))
    searched = min(first(serving(folder), "BASE/search?q=a+moon") for _ in range(3))
    bare = min(first(["-c", BARE], "/") for _ in range(3))
    beside = f"bare uvicorn {bare:.2f} s: × {ready / bare:.1f}"
    yield ["from the command to the first answer, to the first search's", f"{ready:.2f}, {searched:.2f} s", "–", beside]


def speed(folder: Path) -> Iterator[list[str]]:
    """Searches, the first page, a page of pictures, a mix of readers."""
    with running(serving(folder)) as (port, pid), running(["-c", BARE]) as (bare, _), asking(port) as ask:
        base = base_of(ask)
        listed = json.loads(ask(f"{base}/images?limit=500"))
        yield from searches(folder, ask, base, pid, bare)
        yield from pages(ask, base, bare, listed["total"])
        yield from tried(port, base)
        yield from mixed(port, bare, pid, base, [image["id"] for image in listed["images"]])


def searches(folder: Path, ask: Ask, base: str, pid: int, bare: int) -> Iterator[list[str]]:
    """Questions that were not asked before, as the gallery asks them, and the same once more."""
    timed(ask, [f"{base}/search?q={quote(q)}" for q in questions(20, 1)])
    paths = [f"{base}/search?q={quote(q)}&limit=60" for q in questions(ASKED, 0)]
    before = processor(pid)
    times = timed(ask, paths)
    spent = 1000 * (processor(pid) - before) / len(paths)
    again = timed(ask, paths[-10:])
    with sextant.open(folder) as photos:
        timed(photos.search, questions(20, 1))
        own = timed(lambda q: photos.search(q, limit=125, fold=True, expand=True), questions(ASKED // 3, 2))
    beside = f"the library's call, alone in its process, {quantiles(own)}: × {at(times, 0.5) / at(own, 0.5):.2f}"
    yield ["a search, p50 / p99", f"{quantiles(times)}; {spent:.1f} ms of the processor", "≤ 30 / ≤ 120 ms", beside]
    with asking(bare) as empty:
        least = timed(empty, ["/"] * ASKED)
    beside = f"an empty answer {at(least, 0.5):.1f} ms: × {at(again, 0.5) / at(least, 0.5):.0f}"
    yield ["a search that was asked just before, p50", f"{at(again, 0.5):.1f} ms", "–", beside]


def pages(ask: Ask, base: str, bare: int, total: int) -> Iterator[list[str]]:
    """What a browser fetches before anything is seen, and then to see sixty pictures."""
    address = f"/c/{base.rsplit('/', 1)[1]}"
    needed = [address, *linked(ask(address).decode(), ask)]
    times = sorted(seconds(lambda: [ask(path) for path in needed]) for _ in range(21))
    size = sum(len(ask(path)) for path in needed)
    with asking(bare) as empty:
        least = sorted(seconds(lambda: [empty("/") for _ in needed]) for _ in range(21))
    measured = f"{times[10]:.3f} s, at most {times[-1]:.3f}; {len(needed)} files, {size / 1000:.0f} kB"
    beside = f"as many empty answers {least[10]:.3f} s: × {times[10] / least[10]:.1f}"
    yield ["first page: HTML, CSS, scripts", measured, "≤ 1 s", beside]
    sizes = []
    for offset in random.Random(0).sample(range(max(1, total - 60)), 5):
        listed = ask(f"{base}/images?limit=60&offset={offset}")
        thumbs = [len(ask(f"{base}/images/{image['id']}/thumb")) for image in json.loads(listed)["images"]]
        sizes.append(len(listed) + sum(thumbs))
    mean, most = statistics.mean(sizes) / 1000, max(sizes) / 1000
    measured = f"{mean:.0f} kB, at most {most:.0f}; with the page itself {most + size / 1000:.0f}"
    yield ["60 pictures with their list", measured, "≤ 500 kB", "–"]


def linked(html: str, ask: Ask) -> list[str]:
    """The addresses of styles and scripts that a page needs, those that its scripts import among them."""
    found = list(dict.fromkeys(re.findall(r'(?:src|href)="(/static/[^"]+\.(?:js|css)[^"]*)"', html)))
    for path in found:  # grows while it is read
        if ".js" in path:
            parts = re.findall(r'from "\./([^"]+)"', ask(path).decode())
            more = dict.fromkeys(f"{path.rsplit('/', 1)[0]}/{part}" for part in parts)
            found += [part for part in more if part not in [known.split("?")[0] for known in found]]
    return found


def tried(port: int, base: str) -> Iterator[list[str]]:
    """A phrase as a column, before it is saved."""
    connection = HTTPConnection("127.0.0.1", port, timeout=120)

    def post(phrase: str) -> None:
        connection.request("POST", f"{base}/vocabulary/preview", json.dumps({"description": phrase}), JSON)
        answer = connection.getresponse()
        if answer.read() and answer.status != 200:
            raise SystemExit(f"preview: {answer.status}")

    times = timed(post, [f"{word} in the snow" for word in WORDS.split()])
    connection.close()
    yield ["a new column tried on all pictures", f"{at(times, 0.5):.0f} ms, at most {times[-1]:.0f}", "≤ 1 s", "–"]


def mixed(port: int, bare: int, pid: int, base: str, ids: Sequence[str]) -> Iterator[list[str]]:
    """Eight clients: thumbnails half of the time, else a page of the list, a picture, a search, the columns."""
    numbers, asked = random.Random(3), [quote(q) for q in questions(60, 4)]

    def path() -> str:
        part = numbers.random()
        if part < 0.5:
            return f"{base}/images/{numbers.choice(ids)}/thumb"
        if part < 0.7:
            return f"{base}/images?limit=60&offset={numbers.randrange(1000)}"
        if part < 0.8:
            return f"{base}/images/{numbers.choice(ids)}"
        return f"{base}/search?q={numbers.choice(asked)}&limit=60" if part < 0.95 else f"{base}/columns"

    shares = [[path() for _ in range(MIXED // CLIENTS)] for _ in range(CLIENTS)]
    with asking(port) as ask:
        timed(ask, [f"{base}/images/{image}/thumb" for image in ids])
    before = processor(pid)
    rate = together(port, shares)
    spent = 1000 * (processor(pid) - before) / MIXED
    empty = together(bare, [["/"] * (MIXED // CLIENTS)] * CLIENTS)
    measured = f"{rate:.0f} a second; {spent:.1f} ms of the processor each"
    yield ["mix of reading, 8 clients", measured, "≥ 150", f"empty answers {empty:.0f} a second: × {rate / empty:.2f}"]


def silent(folder: Path) -> Iterator[list[str]]:
    """Connections that say nothing: what a search takes beside them, and what becomes of them."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = min(IDLE, most - 200)
    with running(serving(folder)) as (port, pid), asking(port) as ask:
        path = f"{base_of(ask)}/search?q=a+moon"
        alone = timed(ask, [path] * 50)
        opened, times, closed = asyncio.run(_held(port, held, lambda: timed(ask, [path] * 50)))
        memory = int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024
    measured = f"{at(times, 0.5):.1f} ms a search; {closed:,} of {opened:,} closed after 18 s; {memory:.0f} MiB at most"
    beside = f"{at(alone, 0.5):.1f} ms without them"
    yield [f"{held:,} silent connections (open files: {most:,})", measured, "the server answers", beside]


async def _held(port: int, n: int, measure: Callable[[], list[float]]) -> tuple[int, list[float], int]:
    found: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for begun in range(0, n, 500):
        several = (asyncio.open_connection("127.0.0.1", port) for _ in range(min(500, n - begun)))
        found += await asyncio.gather(*several)
    times = await asyncio.to_thread(measure)
    opened = sum(not reader.at_eof() and reader.exception() is None for reader, _ in found)
    await asyncio.sleep(18)
    closed = sum(reader.at_eof() or reader.exception() is not None for reader, _ in found)
    for _, writer in found:
        writer.transport.abort()
    return opened, times, closed


# feedback, and a server that dies


def durable(folder: Path, events: int = EVENTS, kills: int = KILLS) -> Iterator[list[str]]:
    """Every event that was acknowledged is in the catalog, once, though the server is killed in between."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with sextant.open(folder) as photos:
        ids = photos.view().ids.to_pylist()[:500]
    with running(serving(folder)) as (asked, _), asking(asked) as ask:
        base = base_of(ask)
    mark, begun = f"{time.time_ns():x}", time.perf_counter()
    with ProcessPoolExecutor(CLIENTS, get_context("spawn")) as pool:
        each = events // CLIENTS
        told = [pool.submit(tell, port, base, ids, f"{mark}-{k}", each) for k in range(CLIENTS)]
        dead = killing(folder, port, mark, [(k + 1) * events // (kills + 1) for k in range(kills)], told)
        acknowledged = {key: number for client in told for key, number in client.result()[0].items()}
        again = sum(client.result()[1] for client in told)
    rate = len(acknowledged) / (time.perf_counter() - begun)
    found = kept(folder, mark)
    there = dict(found)
    missing = sum(there.get(key) != number for key, number in acknowledged.items())
    twice = len(found) - len(there)
    measured = f"{len(acknowledged) - missing:,} of {len(acknowledged):,} acknowledged are there, {twice} of them twice"
    beside = f"{dead} × SIGKILL, {again} requests repeated, {rate:.0f} events a second, downtime and starts included"
    yield [f"{each * CLIENTS:,} events of {CLIENTS} processes", measured, "every one, once", beside]
    if missing or twice:
        raise SystemExit(measured)


def killing(folder: Path, port: int, mark: str, when: list[int], told: Sequence[Future[object]]) -> int:
    """Serves until all is told; killed and begun anew whenever so many events are there. How often that was."""
    dead = 0
    server = subprocess.Popen([sys.executable, *serving(folder, port)], stderr=subprocess.DEVNULL)
    try:
        while not all(client.done() for client in told):
            if dead < len(when) and len(kept(folder, mark)) >= when[dead]:
                server.kill()
                server.wait()
                dead += 1
                server = subprocess.Popen([sys.executable, *serving(folder, port)], stderr=subprocess.DEVNULL)
            time.sleep(0.05)
    finally:
        server.terminate()
        server.wait(30)
    return dead


def kept(folder: Path, mark: str) -> list[tuple[str, int]]:
    """Keys and numbers of the events of this run that are in the catalog."""
    file = sqlite3.connect(f"file:{quote(str(folder / '.sextant' / 'catalog.db'))}?mode=ro", uri=True, timeout=60)
    try:
        return file.execute("SELECT key, id FROM events WHERE key LIKE ?", (f"{mark}-%",)).fetchall()
    finally:
        file.close()


def tell(port: int, base: str, ids: Sequence[str], mark: str, count: int) -> tuple[dict[str, int], int]:
    """Sends events until each is acknowledged: their numbers by key, and how many requests were repeated."""
    numbers, acknowledged, again = random.Random(mark), dict[str, int](), 0
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    for place in range(count):
        key = f"{mark}-{place}"
        body = {"kind": numbers.choice(["clicked", "picked", "up"]), "image": numbers.choice(ids), "key": key}
        while key not in acknowledged:
            try:
                connection.request("POST", f"{base}/feedback", json.dumps(body), JSON)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, HTTPException):
                connection.close()
                again += 1
                time.sleep(0.1)
                continue
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} {content!r}")
            acknowledged[key] = json.loads(content)["event"]
    return acknowledged, again


STEPS = {"start": start, "speed": speed, "silent": silent, "durable": durable}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=demo.IMAGES)
    parser.add_argument("--step", choices=STEPS, action="append", help="only this; repeatable")
    parser.add_argument("--anew", action="store_true", help="embed and tag the pictures again")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance.md")
    chosen = parser.parse_args()
    folder = demo.archive(chosen.images)
    if chosen.anew or not (folder / ".sextant").is_dir():
        demo.collection(chosen.images)[0].close()
    rows = []
    for step in chosen.step or STEPS:
        for row in STEPS[step](folder):
            print(" | ".join(row), flush=True)
            rows.append(row)
    if chosen.write:
        load = f"{os.getloadavg()[0]:.1f}"
        note = (
            f"{chosen.images:,} pictures, encoder mini; other programs ran meanwhile (load average {load} at the end)."
        )
        section("web", "python benchmarks/web.py --write", HEAD, rows, note)


if __name__ == "__main__":
    main()
