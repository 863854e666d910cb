"""Who is asking, and what they may do: a key in a header, a browser that signed in, or anybody on this machine.

Without a file of keys the server listens on loopback only, and whoever reaches it may do everything.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from sextant.errors import UsageError
from sextant.web.keys import SCOPES, Key, Keys, Scope
from sextant.web.problems import Problem
from sextant.web.served import Served, Shelf, Unknown

COOKIE = "sextant_session"
VISITOR = "X-Sextant-Visitor"
SESSION_SECONDS = 12 * 3600
MOST_SESSIONS = 10_000
REPAIR = "Whoever runs the server restores it from a backup, or makes new keys."
REMEDY = "Send a key as `Authorization: Bearer …`; `sextant keys add NAME` makes one."


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. `person` is what labels and overrides are signed with."""

    person: str
    scopes: tuple[Scope, ...]
    collections: tuple[str, ...] = ()

    def may(self, scope: Scope) -> bool:
        """Whether the caller holds a scope; both others include reading."""
        return scope in self.scopes or (scope == "read" and bool(self.scopes))

    def sees(self, name: str) -> bool:
        """Whether a collection is for this caller."""
        return not self.collections or name in self.collections


ANYBODY = Caller("", SCOPES)
"""Whoever sits at this machine, where no keys were asked for."""


class Access:
    """Turns a request into a caller. Sessions of browsers live in memory and end with the server."""

    def __init__(self, keys: Keys | None) -> None:
        self.keys = keys
        self._sessions: dict[str, tuple[str, float]] = {}

    def caller(self, request: Request) -> Caller | None:
        """Who is asking; None without a key that is known."""
        if self.keys is None:
            return ANYBODY
        try:
            self.keys.all()
        except UsageError as error:
            raise Problem(503, "The keys cannot be read", "the server's file of keys is damaged", REPAIR) from error
        said = request.headers.get("authorization", "")
        kind, _, token = said.partition(" ")
        if said:
            return _caller(self.keys.of(token.strip()) if kind.lower() == "bearer" else None)
        return _caller(self._of_session(request.cookies.get(COOKIE, "")))

    def _of_session(self, session: str) -> Key | None:
        held = self._sessions.get(session)
        if held is None or held[1] < time.monotonic():
            self._sessions.pop(session, None)
            return None
        return self.keys.held(held[0]) if self.keys else None

    def sign_in(self, token: str) -> str | None:
        """A session for a browser that knows a key; None where the key is not known."""
        key = self.keys.of(token.strip()) if self.keys else None
        if key is None:
            return None
        if len(self._sessions) >= MOST_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        session = secrets.token_urlsafe(32)
        self._sessions[session] = (key.id, time.monotonic() + SESSION_SECONDS)
        return session

    def sign_out(self, session: str) -> None:
        """Ends a session."""
        self._sessions.pop(session, None)


def _caller(key: Key | None) -> Caller | None:
    return None if key is None else Caller(key.name, key.scopes, key.collections)


def caller_of(request: Request) -> Caller:
    """Who is asking. Raises `Problem` 401 for nobody known."""
    access: Access = request.app.state.access
    found = access.caller(request)
    if found is None:
        tried = "authorization" in request.headers
        why = "the key is not known here, or was revoked" if tried else "this needs a key, and none was sent"
        raise Problem(401, "A key is needed", why, REMEDY, (("WWW-Authenticate", 'Bearer realm="sextant"'),))
    return found


def holding(scope: Scope) -> Callable[[Request], Caller]:
    """A dependency: the caller, who must hold a scope."""

    def check(request: Request) -> Caller:
        found = caller_of(request)
        if not found.may(scope):
            held = ", ".join(found.scopes)
            raise Problem(
                403,
                "The key is not for this",
                f"this needs a key with the scope '{scope}', and this one has {held}",
                f"`sextant keys add NAME --scope {scope}` makes one.",
            )
        return found

    return check


def collection_for(scope: Scope) -> Callable[[Request, str], Served]:
    """A dependency: the collection in the address, for a caller who holds a scope there."""
    check = holding(scope)

    def find(request: Request, collection: str) -> Served:
        found = check(request)
        shelf: Shelf = request.app.state.shelf
        if not found.sees(collection):
            raise Unknown(f"no collection '{collection[:80]}' is served here")
        return shelf[collection]

    return find


def visitor_of(request: Request) -> str:
    """Whose clicks these are: the key's name; without keys, the name that a browser gave itself, which says no more."""
    person = caller_of(request).person
    return person or "".join(c for c in request.headers.get(VISITOR, "") if c.isascii() and c.isalnum())[:40]


Read = Annotated[Served, Depends(collection_for("read"))]
Label = Annotated[Served, Depends(collection_for("label"))]
Write = Annotated[Served, Depends(collection_for("write"))]
CallerOf = Annotated[Caller, Depends(caller_of)]
Visitor = Annotated[str, Depends(visitor_of)]
