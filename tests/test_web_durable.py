"""A real `sextant serve` that is killed, outlives what it serves, or is asked by thousands who say nothing."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from fakes import VOCABULARY, many, opened, pictures
from sextant.collection import Collection
from sextant.feedback.recording import Context
from sextant.vocabulary import parse
from sextant.web.app import application
from sextant.web.keys import Keys

SOURCE = str(Path(__file__).resolve().parents[1] / "src")
HERE = "http://127.0.0.1"
BASE = "/api/v1/collections/photos"
EVENTS, CLIENTS = 300, 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "photos"
    pictures(folder, "red", "green", "blue")
    many(folder / "many", 20)
    with opened(folder) as collection:
        collection.add(folder)
        collection.tag(parse(VOCABULARY, "vocabulary.yaml"))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "photos"))


class Server:
    """`sextant serve` in a process of its own, on one port however often it is begun."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.command = [sys.executable, "-m", "sextant", "serve", "-C", str(folder), "--port", str(self.port), *options]
        self.begin()

    def begin(self) -> None:
        environment = {**os.environ, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(self.command, env=environment, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        assert "http://" in self.process.stderr.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)

    def ask(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=60, **options)


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    found = Server(folder)
    yield found
    found.kill()


def test_every_event_that_was_acknowledged_is_there_once_though_the_server_is_killed(folder: Path) -> None:
    with opened(folder) as photos:
        result = photos.search("red", limit=10)
        shown = photos.shown(result, Context(person="ada"))
        ranks = {hit.id: place for place, hit in enumerate(result.hits, 1)}
    server = Server(folder)
    acknowledged: dict[str, tuple[int, str]] = {}
    halfway = threading.Event()

    def tell(client: int) -> None:
        numbers = random.Random(client)
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        for place in range(EVENTS // CLIENTS):
            key, image = f"{client}-{place}", numbers.choice(list(ranks))
            body = {"kind": "picked", "image": image, "impression": shown, "key": key}
            told = 0
            while told < 1 + (numbers.random() < 0.1):  # some are sent again though they were acknowledged
                try:
                    connection.request(
                        "POST", f"{BASE}/feedback", json.dumps(body), {"Content-Type": "application/json"}
                    )
                    answer = connection.getresponse()
                    content = json.loads(answer.read())
                except (OSError, HTTPException):
                    connection.close()
                    time.sleep(0.02)
                    continue
                assert answer.status == 200, content
                assert acknowledged.setdefault(key, (content["event"], image)) == (content["event"], image)
                told += 1
            if len(acknowledged) >= EVENTS // 2:
                halfway.set()
        connection.close()

    threads = [threading.Thread(target=tell, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    assert halfway.wait(60)
    server.kill()
    server.begin()
    for thread in threads:
        thread.join()
    server.kill()
    with opened(folder) as photos:
        found = photos.catalog.events()
    assert len(acknowledged) == EVENTS
    assert {event.key: (event.id, event.image) for event in found} == acknowledged
    assert len(found) == EVENTS
    assert all((event.rank, event.person) == (ranks[event.image], "ada") for event in found)


@pytest.fixture
def photos(folder: Path) -> Iterator[Collection]:
    with opened(folder) as found:
        yield found


def got(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_who_looks_further_is_told_of_as_one_answer(photos: Collection) -> None:
    question = {"q": "red", "fold": False}
    with TestClient(application([photos]), base_url=HERE) as client:
        hits = got(client.get(f"{BASE}/search", params=question))["hits"]
        told = {"asked": question, "shown": 5}
        first = got(client.post(f"{BASE}/impressions", json=told))["impression"]
        second = got(client.post(f"{BASE}/impressions", json={**told, "start": 5, "continues": first}))["impression"]
        assert client.post(f"{BASE}/impressions", json={**told, "start": 5}).status_code == 400
        got(client.post(f"{BASE}/feedback", json={"kind": "clicked", "image": hits[7]["id"], "impression": second}))
    assert [event.rank for event in photos.events()] == [8]
    assert photos.metrics().overall.shown == 1


def test_answers_for_learning_turn_neighbours_round_and_record_what_was_shown(photos: Collection) -> None:
    def ids(client: TestClient, visitor: str) -> list[str]:
        answer = client.get(
            f"{BASE}/search", params={"q": "red", "fold": False, "limit": 20}, headers={"X-Sextant-Visitor": visitor}
        )
        return [hit["id"] for hit in got(answer)["hits"]]

    with TestClient(application([photos]), base_url=HERE) as plain:
        usual = ids(plain, "ada")
    with TestClient(application([photos], swapping=True), base_url=HERE) as client:
        seen = {visitor: ids(client, visitor) for visitor in ("ada", "bob", "eve", "joe")}
        assert ids(client, "") == usual
        assert len({tuple(order) for order in seen.values()}) > 1
        for visitor, order in seen.items():
            assert all(abs(order.index(image) - place) <= 1 for place, image in enumerate(usual[:-1]))
            headers = {"X-Sextant-Visitor": visitor}
            body = {"asked": {"q": "red", "fold": False}, "shown": 20}
            number = got(client.post(f"{BASE}/impressions", json=body, headers=headers))["impression"]
            shown = photos.catalog.impression(number)
            assert shown is not None
            assert [hit["id"] for hit in shown.hits] == order == ids(client, visitor)


def test_a_collection_that_is_removed_for_good_is_gone_and_the_server_stays(server: Server, folder: Path) -> None:
    image = server.ask(f"{BASE}/images").json()["images"][0]["id"]
    shutil.rmtree(folder)
    for path in ("/images", "/columns", f"/images/{image}", f"/images/{image}/original", "/query?rule=red"):
        answer = server.ask(BASE + path)
        assert answer.status_code == 410, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    event = {"kind": "up", "image": image}
    assert server.ask(f"{BASE}/feedback", "POST", json=event).status_code == 410
    assert server.ask("/c/photos", headers={"Accept": "text/html"}).status_code == 410
    assert server.ask("/api/v1/health").json()["status"] == "degraded"
    assert not folder.exists()


def bomb(side: int) -> bytes:
    """A PNG of some kilobytes that unpacks to side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_bomb_costs_the_server_no_memory(server: Server, folder: Path) -> None:
    data = bomb(40_000)
    assert len(data) < 300_000
    server.ask(f"{BASE}/images")
    before = most_memory(server)
    answer = server.ask(f"{BASE}/images", "POST", files={"file": ("bomb.png", data, "image/png")})
    assert answer.status_code == 415, answer.text
    assert answer.json()["detail"]
    assert most_memory(server) - before < 100
    assert not list(folder.glob("uploads/*"))


def most_memory(server: Server) -> float:
    """MiB that the process had at most."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def test_a_key_is_asked_for_its_scope(folder: Path, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    (_, reader), (_, labeller) = keys.add("ada", ["read"]), keys.add("bob", ["label"])
    server = Server(folder, "--keys", str(keys.file))
    try:
        image = server.ask(f"{BASE}/images", headers=bearer(reader)).json()["images"][0]["id"]
        event = {"kind": "up", "image": image}
        statuses = {
            token: server.ask(f"{BASE}/feedback", "POST", json=event, headers=headers).status_code
            for token, headers in {"": {}, "reader": bearer(reader), "labeller": bearer(labeller)}.items()
        }
        assert statuses == {"": 401, "reader": 403, "labeller": 200}
        upload = server.ask(f"{BASE}/images", "POST", files={"file": b"x"}, headers=bearer(labeller))
        assert upload.status_code == 403
    finally:
        server.kill()
    with opened(folder) as photos:
        assert [(event.kind, event.person) for event in photos.events()] == [("up", "bob")]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_thousands_who_say_nothing_or_dribble_are_no_hindrance(server: Server) -> None:
    most = min(2000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(most)]
    try:
        for number, connection in enumerate(held):
            if number % 2:
                connection.sendall(b"GET /api/v1/hea")
        for _ in range(5):
            assert server.ask("/api/v1/health").status_code == 200
        for connection in held[1::2]:
            connection.sendall(b"lth HT")
        assert server.ask(f"{BASE}/images").status_code == 200
    finally:
        for connection in held:
            connection.close()
    assert server.ask("/api/v1/health").status_code == 200
