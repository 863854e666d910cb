"""Keys for the API: a file of names, scopes and hashes; a key itself is shown once, when it is made, and kept nowhere.

A key is 256 random bits, so a plain SHA-256 of it tells nothing to whoever reads the file. The file is read again when
it changes: a revoked key is refused at its next request.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from sextant.errors import UsageError
from sextant.manifest import replacing

Scope = Literal["read", "label", "write"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "sxt_"
NAME = re.compile(r"[\w.@ -]{1,60}")


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key. `label` and `write` include reading; no `collections` means all that are served."""

    id: str
    name: str
    hash: str
    scopes: tuple[Scope, ...]
    collections: tuple[str, ...] = ()
    created_at: str = ""


class Keys:
    """The keys in a file; where there is no file yet there are none."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._seen: tuple[int, int] | None = None
        self._keys: dict[str, Key] = {}

    def all(self) -> list[Key]:
        """Every key, oldest first."""
        try:
            status = self.file.stat()
        except OSError:
            self._seen, self._keys = None, {}
            return []
        moment = (status.st_mtime_ns, status.st_size)
        if moment != self._seen:
            self._keys = {key.id: key for key in _read(self.file)}
            self._seen = moment
        return list(self._keys.values())

    def of(self, token: str) -> Key | None:
        """The key that a token is, in constant time; None for one that is not known."""
        number, _, _ = token.removeprefix(PREFIX).partition("_")
        held = next((key for key in self.all() if key.id == number), None)
        there = hmac.compare_digest(held.hash if held else "0" * 64, _hash(token))
        return held if there else None

    def held(self, number: str) -> Key | None:
        """The key of an id, if it has not been revoked."""
        return next((key for key in self.all() if key.id == number), None)

    def add(self, name: str, scopes: Sequence[str], collections: Sequence[str] = ()) -> tuple[Key, str]:
        """Makes a key; returns what is known of it, and the token, which is shown this once."""
        if not NAME.fullmatch(name):
            raise UsageError(f"a key's name has 1 to 60 letters, digits, spaces or . @ - _, and {name!r} does not")
        for scope in scopes:
            if scope not in SCOPES:
                raise UsageError(f"no scope '{scope}'; scopes are {', '.join(SCOPES)}")
        number = secrets.token_hex(4)
        token = f"{PREFIX}{number}_{secrets.token_urlsafe(32)}"
        chosen: tuple[Scope, ...] = tuple(s for s in SCOPES if s in scopes) or ("read",)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        key = Key(number, name, _hash(token), chosen, tuple(collections), made)
        self._write([*self.all(), key])
        return key, token

    def revoke(self, number: str) -> Key:
        """Forgets a key, by its id or its name. Raises `UsageError` where there is none, or several."""
        found = [key for key in self.all() if number in (key.id, key.name)]
        if len(found) != 1:
            many = f"{len(found)} keys are called '{number}': name the id" if found else f"no key '{number}'"
            raise UsageError(f"{many}. `sextant keys list` shows them")
        self._write([key for key in self.all() if key.id != found[0].id])
        return found[0]

    def _write(self, keys: Sequence[Key]) -> None:
        content = json.dumps({"keys": [asdict(key) for key in keys]}, indent=2) + "\n"
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.file) as out:
                Path(out.name).chmod(0o600)
                out.write(content.encode())
        except OSError as error:
            raise UsageError(f"{self.file}: the keys cannot be written: {error.strerror or error}") from error
        self._seen = None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _read(file: Path) -> list[Key]:
    try:
        held: Any = json.loads(file.read_text(encoding="utf-8"))
        keys = []
        for row in held["keys"]:
            values = {**row, "scopes": tuple(row["scopes"]), "collections": tuple(row.get("collections", ()))}
            keys.append(Key(**values))
        return keys
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: is not a file of keys: {error}. `sextant keys add` makes one") from error
