"""What every request passes before anything looks at it, and every answer on its way out.

The host and the origin are checked (a page elsewhere must neither read nor write here, whatever its name resolves to),
a body is limited in size and may not dawdle, and answers carry the headers that keep a browser strict.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sextant.web import problems
from sextant.web.problems import Problem

MIB = 1 << 20
MOST_BYTES = 2 * MIB
"""Of any body but an upload."""
CHUNK_SECONDS = 20.0
"""A body that brings nothing for so long is given up."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES = frozenset({"localhost"})
POLICY = "; ".join(
    (
        *("default-src 'none'", "img-src 'self' blob:", "script-src 'self'", "style-src 'self'", "connect-src 'self'"),
        *("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'", "manifest-src 'self'"),
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """The outermost part of the application. `hosts` are names it answers to; None for any, where keys protect it."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] | None, most_upload: int) -> None:
        self.app = app
        self.hosts = None if hosts is None else frozenset(h.lower() for h in hosts)
        self.most_upload = most_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses, or hands on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        guarded = _strict(send)
        problem = self._refusal(scope, headers)
        if problem is not None:
            await problems.answer(problem, scope["path"])(scope, receive, guarded)
            return
        await self.app(scope, self._limited(scope, receive), guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        host = headers.get("host", "")
        if self.hosts is not None and not _is_local(_name(host), self.hosts):
            why = f"this server does not answer to the name '{host[:100]}'"
            return Problem(421, "The wrong host", why, "Use http://localhost or http://127.0.0.1 with its port.")
        if scope["method"] not in SAFE:
            origin, site = headers.get("origin"), headers.get("sec-fetch-site")
            foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
            if foreign or site in ("cross-site", "same-site"):
                why = f"a page of {(origin or 'another site')[:100]} may not change anything here"
                return Problem(403, "Another origin", why, "Use this server's own pages, or the API without a browser.")
        length = headers.get("content-length", "0")
        if not length.isdigit():
            return Problem(400, "A header is malformed", "Content-Length is not a number")
        return self._too_large(scope) if int(length) > self._most(scope) else None

    def _most(self, scope: Scope) -> int:
        uploading = scope["method"] == "POST" and scope["path"].rstrip("/").endswith("/images")
        return self.most_upload if uploading else MOST_BYTES

    def _too_large(self, scope: Scope) -> Problem:
        most = self._most(scope) / MIB
        return Problem(413, "Too large", f"a body of at most {most:,.0f} MiB is taken here", "Send less at a time.")

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """`receive`, but for so many bytes and so much patience."""
        most, taken, whole = self._most(scope), 0, False

        async def limited() -> Message:
            nonlocal taken, whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), CHUNK_SECONDS)
            except TimeoutError:
                why = f"nothing came for {CHUNK_SECONDS:.0f} seconds"
                raise Problem(408, "Too slow", why, "Send the rest faster, or less of it.") from None
            taken += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if taken > most:
                raise self._too_large(scope)
            return message

        return limited


def _strict(send: Send) -> Send:
    async def strict(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return strict


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_local(name: str, hosts: frozenset[str]) -> bool:
    if name in hosts or name in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
