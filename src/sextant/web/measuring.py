"""Counts and times requests, and says so in the text that Prometheus reads."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Figures:
    """What was asked since the server started, by route: never by address, of which there are as many as images."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = defaultdict(int)
        self._times: dict[str, list[float]] = defaultdict(lambda: [0.0] * (len(SECONDS) + 2))
        self.running = 0
        self.asked = 0

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        with self._lock:
            self.asked += 1
            self._requests[method, route, status] += 1
            times = self._times[route]
            times[0] += seconds
            times[1] += 1
            for place, edge in enumerate(SECONDS):
                if seconds <= edge:
                    times[2 + place] += 1

    def text(self, images: dict[str, int]) -> str:
        """The figures, with the number of images by collection."""
        with self._lock:
            return "\n".join(self._lines(images)) + "\n"

    def _lines(self, images: dict[str, int]) -> Iterator[str]:
        yield "# TYPE sextant_requests_total counter"
        for (method, route, status), n in sorted(self._requests.items()):
            yield f'sextant_requests_total{{method="{method}",route="{_said(route)}",status="{status}"}} {n}'
        yield "# TYPE sextant_request_seconds histogram"
        for route, (total, asked, *below) in sorted(self._times.items()):
            name = _said(route)
            for edge, count in zip(SECONDS, below, strict=True):
                yield f'sextant_request_seconds_bucket{{route="{name}",le="{edge:g}"}} {count:.0f}'
            yield f'sextant_request_seconds_bucket{{route="{name}",le="+Inf"}} {asked:.0f}'
            yield f'sextant_request_seconds_sum{{route="{name}"}} {total:.6f}'
            yield f'sextant_request_seconds_count{{route="{name}"}} {asked:.0f}'
        yield "# TYPE sextant_requests_running gauge"
        yield f"sextant_requests_running {self.running}"
        yield "# TYPE sextant_images gauge"
        for collection, n in sorted(images.items()):
            yield f'sextant_images{{collection="{_said(collection)}"}} {n}'


class Measured:
    """An application whose requests are counted."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self.app, self.figures = app, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands on, and notes how that went."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started: float = time.perf_counter()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.figures.running += 1
        try:
            await self.app(scope, receive, noted)
        finally:
            self.figures.running -= 1
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.figures.add(method, _route(scope), status, time.perf_counter() - started)


def _route(scope: Scope) -> str:
    """The address with the names of its parts in place of what they were; `other` where nothing is there."""
    if scope.get("endpoint") is None and scope.get("route") is None:
        return "other"
    named = {value: f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    if "{path}" in named.values():
        return scope["path"].split("/", 2)[1].join(("/", "/{path}"))  # type: ignore[no-any-return]
    return "/".join(named.get(part, part) for part in scope["path"].split("/"))


def _said(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
