"""Runs the application with uvicorn; a connection that says nothing, or does not listen, is closed.

Ten thousand idle connections cost memory and file descriptors, but never a thread, and none for longer than a quarter
of a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from threadpoolctl import threadpool_limits
from uvicorn.protocols.http.h11_impl import H11Protocol

from sextant.web import sparing

if TYPE_CHECKING:
    from fastapi import FastAPI

HEADER_SECONDS = 15.0
"""A connection must have brought a whole request head by then."""
LISTEN_SECONDS = 60.0
"""A client that takes nothing of an answer for so long is given up."""
KEEP_ALIVE_SECONDS = 15
HEAD_BYTES = 32_768
BACKLOG = 4096


class Impatient(H11Protocol):
    """uvicorn's own protocol, with an end to waiting for a request's head and for a client that does not read."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Starts the clock."""
        super().connection_made(transport)
        self._wait(HEADER_SECONDS)

    def handle_events(self) -> None:
        """Stops it where a request has come whole; a head that dribbles in does not stop it."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._stop()

    def pause_writing(self) -> None:
        """The client does not read: for how long?"""
        super().pause_writing()
        self._wait(LISTEN_SECONDS)

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self, seconds: float) -> None:
        self._stop()
        self._waiting = self.loop.call_later(seconds, self._give_up)

    def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


def config(app: FastAPI, **options: Any) -> uvicorn.Config:
    """How the server runs."""
    return uvicorn.Config(
        app,
        http=Impatient,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=HEAD_BYTES,
        backlog=BACKLOG,
        **options,
    )


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises OSError where the port is taken or the host is not this machine's."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError:
        found.close()
        raise
    return found


def run(app: FastAPI, listener: socket.socket) -> None:
    """Serves until interrupted.

    Each request has one thread for its products: several requests share the processors anyway, and threads of
    products that wait for each other were measured to spend three times as much of them.
    """
    more_files()
    sparing.settled()
    server = uvicorn.Server(config(app))
    with contextlib.suppress(KeyboardInterrupt), threadpool_limits(limits=1, user_api="blas"):
        server.run(sockets=[listener])


def more_files() -> None:
    """Allows this process as many open files, and so connections, as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
