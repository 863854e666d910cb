"""Memory that nothing uses any more goes back: few arenas, free pages, rings of garbage, views of before."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fakes import VOCABULARY, many, opened, picture
from sextant.view import View
from sextant.vocabulary import parse
from sextant.web import sparing
from sextant.web.app import application

API = "/api/v1/collections/photos"
SOURCE = Path(__file__).parents[1] / "src"
ARENAS = """
import ctypes, os, tempfile, threading
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p

def arenas():
    with tempfile.TemporaryFile() as file:
        out = ctypes.c_void_p(library.fdopen(os.dup(file.fileno()), b"w"))
        library.malloc_info(0, out)
        library.fclose(out)
        file.seek(0)
        return file.read().count(b"<heap nr=")

def after(threads):
    meet = threading.Barrier(threads)
    def work():
        library.free(ctypes.c_void_p(library.malloc(5000)))
        meet.wait()
    library.malloc.restype = ctypes.c_void_p
    started = [threading.Thread(target=work) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return arenas()
"""
FREED = """
import ctypes, os
from sextant.web import sparing
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

taken = [ctypes.c_void_p(library.malloc(65_536)) for _ in range(2_000)]
for one in taken:
    ctypes.memset(one, 1, 65_536)
for place, one in enumerate(taken):
    if place % 100 != 99:  # those that stay keep the rest from going by itself
        library.free(one)
before = resident()
sparing.give_back()
print(before - resident())
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas and free pages are glibc's")


def said(program: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SEXTANT_", "MALLOC_", "GLIBC_"))}
    env = {**kept, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "photos"
    picture(folder / "red.png", "red")
    many(folder / "many", 20)
    with opened(folder) as collection:
        collection.add(folder)
        collection.tag(parse(VOCABULARY, "vocabulary.yaml"))
    return folder


@glibc
def test_the_server_has_few_arenas_however_many_threads_tables_begin(photos: Path) -> None:
    program = f"""{ARENAS}
from sextant.cli import cli
from sextant.web import server
server.run = lambda app, listener: print(after(threads=8))
try:
    cli.main(["serve", "-C", {str(photos)!r}, "--port", "0"])
except SystemExit as end:
    assert not end.code, end.code
"""
    assert 1 <= int(said(program)) <= sparing.ARENAS
    assert int(said(f"{ARENAS}\nprint(after(threads=4))")) > sparing.ARENAS  # or this test could not fail


@glibc
def test_free_pages_between_what_is_in_use_go_back() -> None:
    assert float(said(FREED)) > 100


def test_memory_is_given_back_only_where_something_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [0, 0, 3, 3, 3, 4]
    given: list[int] = []
    left = iter(counts)
    monkeypatch.setattr(sparing, "give_back", lambda: given.append(len(given)))

    def asked() -> int:
        try:
            return next(left)
        except StopIteration:
            raise asyncio.CancelledError from None

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(sparing.giving_back(asked, seconds=0))
    assert len(given) == 2


def test_rings_go_soon_in_a_server_and_what_was_there_before_is_not_looked_at() -> None:
    program = """
import gc, weakref
from sextant.web import sparing
class Ring: pass
gc.set_threshold(100_000)
sparing.settled()
rings = []
for _ in range(2_000):
    ring = Ring()
    ring.itself = ring
    rings.append(weakref.ref(ring))
del ring
print(sum(ring() is not None for ring in rings), gc.get_freeze_count() > 5_000)
"""
    alive, frozen = said(program).split()
    assert int(alive) <= 2 * sparing.YOUNG
    assert frozen == "True"


def test_of_many_writes_one_view_is_left(photos: Path) -> None:
    with opened(photos) as collection, TestClient(application([collection]), base_url="http://127.0.0.1") as client:
        image = client.get(f"{API}/images").json()["images"][0]["id"]
        for turn in range(6):
            assert client.put(f"{API}/columns/red/labels/{image}", json={"value": turn % 2 == 0}).status_code < 300
            assert client.get(f"{API}/query", params={"rule": "red"}).status_code == 200
            assert client.get(f"{API}/search", params={"q": "red"}).status_code == 200
        gc.collect()
        views = [o for o in gc.get_objects() if type(o) is View and o.store is collection.store]
        assert len(views) == 1
