"""Where to go on in a long answer, as an opaque text that is checked before it is believed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sextant.web.problems import Problem

CHECK_BYTES = 6
MOST_CHARACTERS = 400


def write(question: Mapping[str, Any], offset: int, last: str) -> str:
    """A cursor behind the image `last`, which stands at `offset` − 1 of the answer to a question."""
    content = json.dumps([_digest(question), offset, last], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_check(content) + content).decode().rstrip("=")


def read(cursor: str, question: Mapping[str, Any]) -> tuple[int, str]:
    """The offset and image of a cursor. Raises `Problem` where it is damaged or belongs to another question."""
    if len(cursor) > MOST_CHARACTERS:
        raise _malformed("it is too long")
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("it is not of this server's making") from None
    check, content = raw[:CHECK_BYTES], raw[CHECK_BYTES:]
    if not content or check != _check(content):
        raise _malformed("it is damaged")
    digest, offset, last = json.loads(content)
    if digest != _digest(question):
        raise _malformed("it belongs to another question: repeat every other parameter as it was")
    return int(offset), str(last)


def _malformed(why: str) -> Problem:
    return Problem(400, "The cursor cannot be used", f"the cursor cannot be used: {why}", "Begin again without one.")


def _check(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=CHECK_BYTES, person=b"sextant").digest()


def _digest(question: Mapping[str, Any]) -> str:
    said = json.dumps(question, sort_keys=True, default=str).encode()
    return hashlib.blake2b(said, digest_size=6).hexdigest()
