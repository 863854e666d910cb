"""Real servers on this machine to fetch from, and the policy that alone reaches them."""

from __future__ import annotations

import io
import ipaddress
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

from sextant.fetch import Policy

Answer = Callable[[BaseHTTPRequestHandler], None]


def png(colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


PNG = png()


class Server(ThreadingHTTPServer):
    """Answers by path from `answers`, and keeps what it was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.server_port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up in the middle is what is being tested."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        self.close_connection = True
        answers = self.server.answers
        (answers.get(self.path) or answers[self.path.partition("?")[0]])(self)

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(self.body)
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


def send(body: bytes, kind: str | None = "image/png", status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        said = {"Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
        for name, value in ({"Content-Type": kind} if kind else {}).items() | said.items():
            request.send_header(name, value)
        request.end_headers()
        with suppress(OSError):
            request.wfile.write(body)

    return answer


def leads_to(url: str, status: int = 302) -> Answer:
    return send(b"", None, status, Location=url)


def trickle(first: bytes, again: bytes, pause: float, seconds: float = 20.0) -> Answer:
    """Raw bytes, then more of them for as long as anybody listens."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        until = time.monotonic() + seconds
        with suppress(OSError):
            request.wfile.write(first)
            while time.monotonic() < until:
                request.wfile.write(again)
                time.sleep(pause)

    return answer


@contextmanager
def running(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


HERE = Policy(allows=lambda address: address == ipaddress.ip_address("127.0.0.1"), ports=None)
