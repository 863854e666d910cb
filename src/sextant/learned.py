"""What was learned from labels, in the catalog: light heads, and which images an encoder was trained on.

A head is for one encoder and attribute; the newest of a column counts, and one without numbers takes those before it
out of use. Knows nothing of how either is learned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sextant.database import Database, now
from sextant.maths.heads import Head
from sextant.schema import heads, taught


@dataclass(frozen=True, slots=True)
class HeadRecord:
    """A head as it was stored. `measured` are JSON values; `id` grows with time."""

    id: int
    encoder: str
    code: str
    head: Head
    measured: Mapping[str, Any]
    at: str


class Learned(Database):
    """Heads and images that were learned from, in the catalog's database."""

    def put_taught(self, encoder: str, images: Iterable[str]) -> None:
        """Records that an encoder was trained on images: their labels cannot say how good it is."""
        rows = [{"encoder": encoder, "image": image} for image in dict.fromkeys(images)]
        if rows:
            with self._writing() as connection:
                connection.execute(self._insert(taught).on_conflict_do_nothing(), rows)

    def taught(self, encoder: str) -> frozenset[str]:
        """The images that an encoder was trained on, as far as anybody said."""
        query = sa.select(taught.c.image).where(taught.c.encoder == encoder)
        return frozenset(row.image for row in self._all(query))

    def put_heads(self, encoder: str, found: Mapping[str, tuple[Head, Mapping[str, Any]] | None]) -> None:
        """Records heads by code with what they were measured to be worth; None takes a column's head out of use."""
        rows = []
        for code, pair in found.items():
            row: dict[str, Any] = {"encoder": encoder, "code": code, "hash": "", "folds": 0, "at": now()}
            row |= {"about": "{}", "numbers": None, "measured": "{}"}
            if pair is not None:
                head, measured = pair
                row |= {"hash": head.hash, "folds": len(head.offsets), "about": json.dumps(dict(head.about))}
                row |= {"numbers": head.to_bytes(), "measured": json.dumps(dict(measured))}
            rows.append(row)
        if rows:
            with self._writing() as connection:
                connection.execute(heads.insert(), rows)

    def head_hashes(self, encoder: str) -> dict[str, str]:
        """The hash of the head in use by code, without reading any."""
        c = heads.c
        newest = sa.select(sa.func.max(c.id)).where(c.encoder == encoder).group_by(c.code)
        query = sa.select(c.code, c.hash).where(c.id.in_(newest), c.numbers.is_not(None)).order_by(c.code)
        return {row.code: row.hash for row in self._all(query)}

    def heads(self, encoder: str) -> dict[str, HeadRecord]:
        """The heads in use by code."""
        c = heads.c
        newest = sa.select(sa.func.max(c.id)).where(c.encoder == encoder).group_by(c.code)
        query = sa.select(heads).where(c.id.in_(newest), c.numbers.is_not(None)).order_by(c.code)
        return {row.code: _record(row) for row in self._all(query)}

    def head(self, encoder: str, hash_: str) -> HeadRecord | None:
        """The head with this hash, in use or not: a column may still be of one that was replaced."""
        c = heads.c
        query = sa.select(heads).where(c.encoder == encoder, c.hash == hash_, c.numbers.is_not(None))
        row = self._one(query.order_by(c.id.desc()).limit(1))
        return None if row is None else _record(row)


def _record(row: Any) -> HeadRecord:
    head = Head.from_bytes(row.numbers, row.folds, json.loads(row.about))
    return HeadRecord(row.id, row.encoder, row.code, head, json.loads(row.measured), row.at)
