"""Turns good inputs into damaged ones: bytes, texts and JSON values, all from a seeded generator and nothing else.

Knows nothing of what is fuzzed. The same generator state gives the same damage on every machine.
"""

from __future__ import annotations

import copy
import json
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

MOST_BYTES = 1 << 20
EDGES = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE)
ODD_TEXTS = (
    *(
        "\0",
        "\ufeff",
        "\u202e",
        "\u2028",
        "\x85",
        "é",
        "ﬁ",
        "日本",
        "🦆",
        "\ud800",
        "İ",
        "ß",
        "\t",
        "\r\n",
        "\n\n",
        "'",
    ),
    *(
        '"',
        "\\",
        "%s",
        "{0}",
        "${x}",
        "../../etc/passwd",
        "=1+1",
        "<b>",
        "--",
        "/*",
        ";",
        "NaN",
        "-inf",
        "1e999",
        "0x1F",
    ),
    *(
        "9" * 400,
        "[" * 60,
        "(" * 300,
        "{a: " * 50,
        "&a [*a]",
        "not " * 200,
        "a" * 5000,
        "null",
        "~",
        "1_000",
        "é" * 200,
    ),
    *("2024-02-30", "0000-00-00", "99999-01-01", "-0", "1e-400", "٣", "½", "²", "\u0301" * 30, "\x1b[31m"),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 10**400, 0.0, -0.5, 1e308, float("nan"), float("inf")),
    *("", "x", "\0", "\ud800", "9" * 40, "a" * 3000, [], {}, [[]], [None], {"": None}, [1, "a", None], {"content": 1}),
)


def damaged(rng: random.Random, seeds: Sequence[bytes], *, repair: Callable[[bytes], bytes] | None = None) -> bytes:
    """One of the seeds with one to sixteen wounds; half of the time `repair` puts its checksums right again."""
    data = bytearray(rng.choice(seeds))
    for _ in range(1 if rng.random() < 0.5 else 1 + rng.randrange(15)):
        rng.choice(_WOUNDS)(rng, data, seeds)
        del data[MOST_BYTES:]
    return repair(bytes(data)) if repair and rng.random() < 0.5 else bytes(data)


def _place(rng: random.Random, data: bytearray) -> int:
    """A place in the data: half of the time among its first bytes, where headers are."""
    most = min(len(data), 256) if rng.random() < 0.5 else len(data)
    return rng.randrange(most) if most else 0


def _flip(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_place(rng, data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """An integer at the edge of its range, in either byte order: sizes, counts and offsets are such numbers."""
    packed = struct.pack(rng.choice("<>") + "I", rng.choice(EDGES) & 0xFFFFFFFF)
    packed = packed[: rng.choice((2, 4))] if rng.random() < 0.5 else packed[-rng.choice((2, 4)) :]
    at = _place(rng, data)
    data[at : at + len(packed)] = packed


def _cut(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 2, 4, 16, 256))]


def _end(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if rng.random() < 0.3:
        del data[rng.randrange(len(data) + 1) :]


def _repeat(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _place(rng, data)
    part = data[at : at + rng.choice((1, 4, 16, 64, 1024))]
    data[at:at] = part * rng.choice((1, 2, 16))


def _noise(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at, size = _place(rng, data), rng.choice((1, 4, 32))
    data[at : at + size * rng.randrange(2)] = rng.randbytes(size)


def _splice(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = rng.choice(seeds)
    if other:
        start = rng.randrange(len(other))
        at = _place(rng, data)
        data[at : at + rng.choice((0, 64, len(data)))] = other[start : start + rng.choice((4, 64, 4096))]


_WOUNDS = (_flip, _flip, _set, _set, _number, _number, _number, _cut, _end, _repeat, _noise, _splice)


def png_repaired(data: bytes) -> bytes:
    """A PNG with the checksums of its chunks put right, so that the damage is reached; anything else as it is."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + size > len(data):
            break
        body = data[at + 4 : at + 8 + size]
        out += data[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        at += 12 + size
    return bytes(out) + data[at:]


def reworded(rng: random.Random, seeds: Sequence[str], tokens: Sequence[str]) -> str:
    """One of the seeds with words of the language, and odd ones, put in, taken out, doubled and moved."""
    text = rng.choice(seeds)
    for _ in range(1 if rng.random() < 0.5 else 1 + rng.randrange(8)):
        at, other = rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)
        low, high = sorted((at, min(other, at + 40)))
        kind = rng.choice((0, 0, 0, 0, 3, 4, 5, 6, 7))
        if kind == 0:
            text = text[:at] + rng.choice(("", " ", "\n")) + rng.choice(tokens) + rng.choice(("", " ")) + text[at:]
        elif kind == 3:
            text = text[:at] + rng.choice(ODD_TEXTS) + text[at:]
        elif kind == 4:
            text = text[:low] + text[high:]
        elif kind == 5:
            text = text[:high] + text[low:high] * rng.choice((1, 1, 2, 30)) + text[high:]
        elif kind == 6:
            donor = rng.choice(seeds)
            start = rng.randrange(len(donor) + 1)
            text = text[:at] + donor[start : start + rng.choice((5, 20, 200))] + text[at:]
        else:
            text = text[:at] + chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x250)))) + text[at + 1 :]
    return text[: 1 << 17]


def revalued(rng: random.Random, value: Any) -> Any:
    """A JSON value with one to four of its parts replaced, taken out, wrapped or renamed."""
    value = copy.deepcopy(value)
    for _ in range(1 + rng.randrange(4)):
        boxes = list(_boxes(value))
        if not boxes:
            return rng.choice(ODD_VALUES)
        box = rng.choice(boxes)
        key = rng.choice(list(box) if isinstance(box, dict) else range(len(box)))
        kind = rng.randrange(6)
        if kind <= 2:
            box[key] = copy.deepcopy(rng.choice(ODD_VALUES))
        elif kind == 3:
            del box[key]
        elif kind == 4:
            box[key] = rng.choice(([box[key]], {"x": box[key]}, str(box[key])))
        elif isinstance(box, dict):
            box[rng.choice((*map(str, box), "x"))] = box.pop(key)
        else:
            box.extend(copy.deepcopy(box[:20]))
    return value


def _boxes(value: Any) -> list[Any]:
    """Every list and object in a value that has something in it."""
    found, waiting = [], [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list) and one:
            found.append(one)
            waiting.extend(one.values() if isinstance(one, dict) else one)
    return found


def json_bytes(rng: random.Random, value: Any) -> bytes:
    """A JSON document with damaged values, or with damaged bytes, or with both."""
    kind = rng.randrange(4)
    whole = json.dumps(revalued(rng, value) if kind else value).encode()
    return damaged(rng, [whole]) if kind in (0, 3) else whole
