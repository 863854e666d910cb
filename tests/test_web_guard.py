"""Who may use the server: hosts, origins, keys and scopes; and what it does with slow and silent clients."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from click.testing import CliRunner
from fastapi.testclient import TestClient
from PIL import Image

from fakes import VOCABULARY, opened, pictures
from sextant.cli import program
from sextant.collection import Collection
from sextant.errors import UsageError
from sextant.vocabulary import parse
from sextant.web import guard, server
from sextant.web.access import COOKIE
from sextant.web.app import application
from sextant.web.keys import Keys

API = "/api/v1/collections/photos"
LABEL = f"{API}/columns/red/calibrate"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "photos"
    pictures(folder, "red", "green", "blue")
    with opened(folder) as collection:
        collection.add(folder)
        collection.tag(parse(VOCABULARY, "vocabulary.yaml"))
    return folder


@pytest.fixture
def photos(made: Path, tmp_path: Path) -> Iterator[Collection]:
    with opened(Path(shutil.copytree(made, tmp_path / "photos"))) as collection:
        yield collection


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


@pytest.fixture
def open_to_all(photos: Collection) -> Iterator[TestClient]:
    with TestClient(application([photos], hosts=["127.0.0.1"]), base_url="http://127.0.0.1:8765") as client:
        yield client


@pytest.fixture
def locked(photos: Collection, keys: Keys) -> Iterator[TestClient]:
    keys.add("nobody", ["read"], ["another"])
    with TestClient(application([photos], keys=keys), base_url="http://photos.example") as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# hosts and origins


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8765", "[::1]:8765", "LOCALHOST:1", "127.8.8.8"])
def test_names_of_this_machine_are_answered(open_to_all: TestClient, host: str) -> None:
    assert open_to_all.get("/api/v1/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.168.1.2", "", "127.0.0.1.evil", "[", "a@b"]
)
def test_a_name_that_was_made_to_point_here_is_not(open_to_all: TestClient, host: str) -> None:
    answer = open_to_all.get("/api/v1/health", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["remedy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_elsewhere_changes_nothing(open_to_all: TestClient, photos: Collection, headers: dict[str, str]) -> None:
    image = photos.view().find("red.png")
    body = {"value": True}
    answer = open_to_all.put(f"{API}/images/{image}/overrides/red", json=body, headers=headers)
    assert answer.status_code == 403
    assert not photos.catalog.overrides()


def test_our_own_pages_and_programs_may(open_to_all: TestClient, photos: Collection) -> None:
    image = photos.view().find("red.png")
    for headers in ({"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin"}, {}):
        answer = open_to_all.put(f"{API}/images/{image}/overrides/red", json={"value": True}, headers=headers)
        assert answer.status_code == 200


def test_no_other_origin_may_read_an_answer(open_to_all: TestClient) -> None:
    headers = open_to_all.get(f"{API}/images", headers={"Origin": "https://evil.example"}).headers
    assert "access-control-allow-origin" not in headers
    assert headers["cross-origin-resource-policy"] == "same-origin"


# keys


def test_a_key_is_shown_once_and_kept_as_a_hash(keys: Keys) -> None:
    key, token = keys.add("ada", ["label", "read"])
    text = keys.file.read_text()
    assert token not in text
    assert token.rsplit("_", 1)[-1] not in text
    assert key.scopes == ("read", "label")
    assert keys.file.stat().st_mode & 0o777 == 0o600
    assert Keys(keys.file).of(token) == key


@pytest.mark.parametrize("wrong", ["", "sxt_", "x", "sxt_00000000_" + "a" * 43, "ÿ" * 50])
def test_a_wrong_key_is_no_key(keys: Keys, wrong: str) -> None:
    _, token = keys.add("ada", ["read"])
    assert keys.of(wrong) is None
    assert keys.of(token[:-1]) is None
    assert keys.of(token + "a") is None


def test_keys_are_revoked_by_name_or_id(keys: Keys) -> None:
    one, token = keys.add("ada", ["read"])
    keys.add("bob", ["read"])
    keys.add("bob", ["write"])
    with pytest.raises(UsageError, match="name the id"):
        keys.revoke("bob")
    with pytest.raises(UsageError, match="no key"):
        keys.revoke("eve")
    keys.revoke("ada")
    assert keys.of(token) is None
    assert one.id not in [key.id for key in keys.all()]


@pytest.mark.parametrize("text", ["", "[]", '{"keys": [{"id": "x"}]}', "not json", '{"keys": 3}'])
def test_a_file_that_holds_no_keys_is_refused_not_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(UsageError, match="not a file of keys"):
        Keys(tmp_path / "keys.json").all()


@pytest.mark.parametrize("name", ["", "a/b", "x" * 61, "a\nb"])
def test_a_key_needs_a_name(keys: Keys, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        keys.add(name, ["read"])


def test_nothing_but_health_is_told_without_a_key(locked: TestClient) -> None:
    assert locked.get("/api/v1/health").status_code == 200
    for path in ("/api/v1/metrics", "/api/v1/collections", f"{API}/images", f"{API}/search?q=red", API):
        answer = locked.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    image = f"{API}/images/{'0' * 32}"
    assert locked.get(f"{image}/thumb").status_code == 401
    assert locked.get(f"{image}/original").status_code == 401
    assert locked.get("/c/photos", headers={"Accept": "text/html"}, follow_redirects=False).status_code == 303
    for wrong in ("Bearer x", "Basic eDp5", "Bearer", "bearer sxt_1_2"):
        assert locked.get(f"{API}/images", headers={"Authorization": wrong}).status_code == 401


def test_a_key_does_what_its_scopes_say(locked: TestClient, keys: Keys, photos: Collection) -> None:
    image = photos.view().find("red.png")
    tries: list[tuple[str, Callable[[dict[str, str]], Any]]] = [
        ("read", lambda h: locked.get(f"{API}/images", headers=h)),
        ("label", lambda h: locked.put(f"{API}/columns/red/labels/{image}", json={"value": True}, headers=h)),
        ("write", lambda h: locked.put(f"{API}/vocabulary", json={"text": VOCABULARY}, headers=h)),
        ("write", lambda h: locked.put(f"{API}/columns/red/settings", json={"center": 1, "scale": 1}, headers=h)),
        ("write", lambda h: locked.post(f"{API}/images", files={"file": b"x"}, headers=h)),
    ]
    for scope in ("read", "label", "write"):
        _, token = keys.add(scope, [scope])
        for needed, request in tries:
            status = request(bearer(token)).status_code
            assert (status == 403) == (needed not in (scope, "read"))


def test_every_change_asks_for_more_than_reading(locked: TestClient, keys: Keys, photos: Collection) -> None:
    _, token = keys.add("reader", ["read"])
    described = locked.get("/api/v1/openapi.json").json()["paths"]
    told = {"image": "0" * 32, "code": "red", "collection": "photos", "number": "1", "name": "x"}
    may = {
        ("/exports", "post"),
        ("/curations", "post"),
        ("/vocabulary/check", "post"),
        ("/vocabulary/preview", "post"),
        ("/impressions", "post"),
    }
    before = photos.catalog.changes()
    for path, methods in described.items():
        for method in set(methods) - {"get"}:
            short = path.split("{collection}")[-1]
            answer = locked.request(method, path.format(**told), headers=bearer(token), json={})
            assert ((short, method) in may) or answer.status_code == 403, (path, method)
    assert photos.catalog.changes() == before


def test_a_key_for_one_collection_does_not_see_another(
    photos: Collection, keys: Keys, tmp_path: Path, made: Path
) -> None:
    with opened(Path(shutil.copytree(made, tmp_path / "secret"))) as secret:
        _, token = keys.add("ada", ["read", "write"], ["photos"])
        with TestClient(application([photos, secret], keys=keys), base_url="http://any.example") as client:
            assert client.get(f"{API}/images", headers=bearer(token)).status_code == 200
            hidden = client.get("/api/v1/collections/secret/images", headers=bearer(token))
            absent = client.get("/api/v1/collections/nothing/images", headers=bearer(token))
            assert hidden.status_code == absent.status_code == 404
            assert hidden.json()["detail"].replace("secret", "nothing") == absent.json()["detail"]
            listed = client.get("/api/v1/collections", headers=bearer(token)).json()
            assert [c["name"] for c in listed] == ["photos"]
            assert "secret" not in client.get("/api/v1/metrics", headers=bearer(token)).text


def test_labels_are_signed_with_the_name_of_the_key(locked: TestClient, keys: Keys, photos: Collection) -> None:
    _, token = keys.add("ada", ["label"])
    image = photos.view().find("red.png")
    locked.put(f"{API}/columns/red/labels/{image}", json={"value": True}, headers=bearer(token))
    assert [row["person"] for row in photos.labels()] == ["ada"]


def test_a_browser_signs_in_and_out_and_is_shut_out_with_its_key(locked: TestClient, keys: Keys) -> None:
    key, token = keys.add("ada", ["read"])
    assert locked.post("/sign-in", data={"key": "wrong"}).status_code == 401
    answer = locked.post("/sign-in", data={"key": token}, follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert token not in answer.headers["set-cookie"]
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert locked.get("/c/photos").status_code == 200
    assert "Sign out" in locked.get("/c/photos").text
    keys.revoke(key.id)
    assert locked.get(f"{API}/images").status_code == 401
    _, token = keys.add("bob", ["read"])
    locked.post("/sign-in", data={"key": token})
    session = locked.cookies[COOKIE]
    locked.post("/sign-out")
    assert locked.get(f"{API}/images", headers={"Cookie": f"{COOKIE}={session}"}).status_code == 401


def test_keys_that_are_damaged_while_served_shut_everybody_out(locked: TestClient, keys: Keys) -> None:
    _, token = keys.add("ada", ["read"])
    assert locked.get(f"{API}/images", headers=bearer(token)).status_code == 200
    keys.file.write_text("{")
    for headers in (bearer(token), {"Accept": "text/html"}):
        answer = locked.get(f"{API}/images", headers=headers)
        assert answer.status_code == 503
        assert str(keys.file) not in answer.text
    assert locked.get("/c/photos", headers={"Accept": "text/html"}).status_code == 503


def test_a_problem_does_not_tell_where_a_collection_lies(locked: TestClient, keys: Keys, photos: Collection) -> None:
    _, token = keys.add("ada", ["read"])
    (photos.folder / ".sextant" / "collection.json").write_text("{")
    answer = locked.get(f"{API}/images", headers=bearer(token))
    assert answer.status_code == 503
    assert str(photos.folder) not in answer.text


# the command line


def test_serve_without_keys_stays_on_this_machine(photos: Collection) -> None:
    answer = CliRunner().invoke(program.cli, ["serve", "-C", str(photos.folder), "--host", "0.0.0.0"])
    assert answer.exit_code == 2
    assert "keys" in answer.stderr


def test_keys_on_the_command_line(tmp_path: Path) -> None:
    file = str(tmp_path / "some" / "keys.json")

    def run(*words: str) -> str:
        answer = CliRunner().invoke(program.cli, ["keys", *words, "--keys", file], catch_exceptions=False)
        assert answer.exit_code == 0
        return answer.stdout

    token = run("add", "ada", "--scope", "label", "--for", "holidays").strip()
    assert token.startswith("sxt_")
    (row,) = json.loads(run("list", "--json"))
    assert (row["name"], row["scopes"], row["collections"]) == ("ada", ["label"], ["holidays"])
    assert "hash" not in row
    assert "ada" in run("list")
    assert "revoked ada" in run("revoke", "ada")
    assert json.loads(run("list", "--json")) == []


# a real server


@contextmanager
def serving(photos: Collection, **options: Any) -> Iterator[int]:
    listener = server.listening("127.0.0.1", 0)
    running = uvicorn.Server(server.config(application([photos], hosts=["127.0.0.1"], **options)))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    end = time.monotonic() + 60
    while not running.started and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield int(listener.getsockname()[1])
    finally:
        running.should_exit = True
        thread.join(60)
        listener.close()


def closed(connection: socket.socket, within: float) -> bool:
    connection.settimeout(within)
    try:
        return connection.recv(10_000) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_a_connection_that_says_nothing_or_dribbles_is_closed(
    photos: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.4)
    with serving(photos) as port:
        silent = socket.create_connection(("127.0.0.1", port))
        dribbling = socket.create_connection(("127.0.0.1", port))
        for byte in b"GET / HT":
            dribbling.sendall(bytes([byte]))
            time.sleep(0.02)
        assert closed(silent, 5)
        assert closed(dribbling, 5)
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/health", timeout=60).status_code == 200
        silent.close()
        dribbling.close()


def test_a_request_that_takes_its_time_is_still_answered(photos: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    found = photos.search

    def slow(*words: Any, **options: Any) -> Any:
        time.sleep(0.6)
        return found(*words, **options)

    monkeypatch.setattr(photos, "search", slow)
    with serving(photos) as port:
        assert httpx.get(f"http://127.0.0.1:{port}{API}/search", params={"q": "red"}, timeout=60).status_code == 200


def test_a_body_that_stops_coming_is_given_up(photos: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CHUNK_SECONDS", 0.3)
    head = f"POST {API}/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n"
    head += "Content-Type: multipart/form-data; boundary=y\r\n\r\n--y\r\n"
    with serving(photos) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode())
        connection.settimeout(5)
        assert b" 408 " in connection.recv(10_000).split(b"\r\n")[0]


def test_a_head_without_end_is_refused(photos: Collection) -> None:
    with serving(photos) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000)
            connection.settimeout(5)
            assert b" 400 " in connection.recv(10_000).split(b"\r\n")[0]
        except ConnectionError:
            pass  # refused before all of it was sent
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/health", timeout=60).status_code == 200


def test_a_client_that_does_not_read_is_given_up(
    photos: Collection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given_up = threading.Event()

    class Watched(server.Impatient):
        def _give_up(self) -> None:
            super()._give_up()
            given_up.set()

    monkeypatch.setattr(server, "Impatient", Watched)
    monkeypatch.setattr(server, "LISTEN_SECONDS", 0.4)
    noise = np.random.default_rng(0).integers(0, 255, (3000, 3000, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos" / "noise.bmp")
    photos.add(tmp_path / "photos")
    image = photos.view().find("noise.bmp")
    with serving(photos) as port:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(f"GET {API}/images/{image}/original HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert given_up.wait(60)
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/health", timeout=60).status_code == 200
        taken = 0
        connection.settimeout(5)
        try:
            while data := connection.recv(1 << 16):
                taken += len(data)
        except (ConnectionError, TimeoutError):
            pass
        connection.close()
        assert taken < 27_000_000


def test_hundreds_of_idle_connections_are_no_hindrance(photos: Collection) -> None:
    async def idle(port: int) -> list[int]:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(400)]
        statuses = []
        async with httpx.AsyncClient(timeout=60) as client:
            for _ in range(10):
                answer = await client.get(f"http://127.0.0.1:{port}/api/v1/health")
                statuses.append(answer.status_code)
        for _, writer in held:
            writer.close()
        return statuses

    with serving(photos) as port:
        assert asyncio.run(idle(port)) == [200] * 10


def test_many_at_once_read_while_others_label(photos: Collection) -> None:
    image = photos.view().find("red.png")
    with serving(photos) as port:
        base = f"http://127.0.0.1:{port}{API}"
        statuses: list[int] = []

        def work(number: int) -> None:
            with httpx.Client() as client:
                for k in range(12):
                    if number % 3 == 0:
                        body = {"value": bool(k % 2)}
                        answer = client.put(f"{base}/columns/red/labels/{image}", json=body, timeout=60)
                    elif number % 3 == 1:
                        answer = client.get(f"{base}/search", params={"q": f"red {k}"}, timeout=60)
                    else:
                        answer = client.get(f"{base}/images", params={"where": "red"}, timeout=60)
                    statuses.append(answer.status_code)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 72


def test_the_program_serves_and_stops_when_told(photos: Collection) -> None:
    source = str(Path(__file__).resolve().parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "sextant", "serve", "-C", str(photos.folder), "--port"]
    with subprocess.Popen([*command, "0"], stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            address = process.stderr.readline().split(" ")[0]
            assert address.startswith("http://127.0.0.1:")
            assert httpx.get(f"{address}api/v1/health", timeout=60).json()["collections"] == 1
            port = address.rstrip("/").rsplit(":", 1)[-1]
            taken = subprocess.run([*command, port], capture_output=True, text=True, env=environment, timeout=60)
            assert taken.returncode == 2
            assert "another --port" in taken.stderr
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
