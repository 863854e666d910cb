"""What was searched for, and which searches have a name: kept in the catalog, most recent first.

The history is a convenience: keeping it waits for nobody, fails silently and is bounded. A favourite is a person's
word and is kept like any other. Knows nothing of how a search is answered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sextant.database import Database, now
from sextant.schema import favourites, searches

KEPT = 10_000
"""So many searches are remembered; older ones are forgotten as new ones come."""


@dataclass(frozen=True, slots=True)
class Searched:
    """One search: its text and options, the state of its answer, how many hits, and the highest confidence."""

    text: str
    options: Mapping[str, Any]
    state: str
    hits: int
    best: float | None
    at: str = ""


@dataclass(frozen=True, slots=True)
class Favourite:
    """A search that has a name."""

    name: str
    text: str
    options: Mapping[str, Any]
    at: str = ""


class Memory(Database):
    """Searches and favourites, in the catalog's database."""

    def put_search(self, searched: Searched) -> None:
        """Keeps one search, at once or not at all; raises `CollectionError` where somebody else is writing."""
        row = {
            "text": searched.text,
            "options": json.dumps(dict(searched.options)),
            "state": searched.state,
            "hits": searched.hits,
            "best": searched.best,
            "at": now(),
        }
        with self._writing_at_once() as connection:
            (number,) = connection.execute(searches.insert().values(**row)).inserted_primary_key or (0,)
            connection.execute(searches.delete().where(searches.c.id <= number - KEPT))

    def searches(self, limit: int = 50) -> list[Searched]:
        """The last searches, the newest first."""
        s = searches.c
        query = sa.select(s.text, s.options, s.state, s.hits, s.best, s.at).order_by(s.id.desc()).limit(limit)
        return [Searched(r.text, json.loads(r.options), r.state, r.hits, r.best, r.at) for r in self._all(query)]

    def drop_searches(self) -> int:
        """Forgets every search; returns how many there were."""
        with self._writing(counted=False) as connection:
            return connection.execute(searches.delete()).rowcount

    def put_favourite(self, name: str, text: str, options: Mapping[str, Any]) -> None:
        """Gives a search a name; one of that name is replaced."""
        insert = self._insert(favourites).values(name=name, text=text, options=json.dumps(dict(options)), at=now())
        changes = {column: insert.excluded[column] for column in ("text", "options", "at")}
        with self._writing(counted=False) as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=changes))

    def favourites(self) -> list[Favourite]:
        """Every favourite, by name."""
        f = favourites.c
        rows = self._all(sa.select(f.name, f.text, f.options, f.at))
        return [Favourite(r.name, r.text, json.loads(r.options), r.at) for r in sorted(rows, key=lambda r: str(r.name))]

    def drop_favourites(self, names: Sequence[str]) -> int:
        """Forgets favourites by name; returns how many there were."""
        with self._writing(counted=False) as connection:
            return connection.execute(favourites.delete().where(favourites.c.name.in_(list(names)))).rowcount
