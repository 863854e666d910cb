"""What was shown and what people made of it, in the catalog; experiments, and the weights that were learned.

An event is on the disk before the call returns, and counts once however often it is sent with the same key. Knows
nothing of what events mean: options, hits, weights and measures are JSON values here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sextant.database import Database, now
from sextant.errors import UsageError
from sextant.schema import changes, events, experiments, impressions, labels, weights

THUMB = "thumb"
"""The source of a label that is a thumb on a column."""
PART = 500  # a statement takes a limited number of values


@dataclass(frozen=True, slots=True, kw_only=True)
class Impression:
    """One answer as a person saw it. `hits` are in order, each with its `id` and what was known of it then.

    `nothing_here` tells that the answer said there is nothing here. A later page `continues` the first one, and its
    first hit stands behind `start` others.
    """

    query: str
    hits: Sequence[Mapping[str, Any]]
    id: int = 0
    options: Mapping[str, Any]
    state: str = ""
    variant: str = ""
    person: str = ""
    nothing_here: bool = False
    start: int = 0
    continues: int | None = None
    key: str | None = None
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a person made of one image: `kind` is clicked, picked, up or down; `rank` begins at 1.

    `code` names the column that a thumb is about.
    """

    kind: str
    image: str
    id: int = 0
    impression: int | None = None
    rank: int | None = None
    reason: str | None = None
    person: str = ""
    code: str | None = None
    key: str | None = None
    at: str = ""


@dataclass(frozen=True, slots=True)
class Showing:
    """An impression without its hits, for counting."""

    id: int
    variant: str
    person: str
    nothing_here: bool
    continues: int | None
    at: str


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    """Two ways to answer, `a` and `b` (options of a search), and the `share` of people who get `b`."""

    name: str
    a: Mapping[str, Any]
    b: Mapping[str, Any]
    share: float
    at: str
    stopped_at: str | None = None


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """Weights as they were stored, with what they were measured to be worth; `weights` None: they were dropped."""

    id: int
    encoder: str
    weights: Mapping[str, Any] | None
    measured: Mapping[str, Any]
    at: str


class Events(Database):
    """The part of a catalog that feedback writes."""

    def put_impression(self, shown: Impression) -> int:
        """Records an impression and returns its number; that of the first one where the key is known already."""
        return self.put_impressions([shown])[0]

    def put_impressions(self, rows: Sequence[Impression]) -> list[int]:
        """Records impressions, all or none, and returns their numbers.

        Raises:
            UsageError: a key that belongs to another impression.
        """
        plain = ("query", "state", "variant", "person", "nothing_here", "start", "continues", "key")
        fixed = ("query", "variant", "person", "hits", "start")
        with self._writing(counted=False) as connection:
            return [
                self._once(
                    connection,
                    impressions,
                    {name: getattr(shown, name) for name in plain}
                    | {"options": json.dumps(dict(shown.options)), "hits": json.dumps([dict(h) for h in shown.hits])}
                    | {"at": shown.at or now()},
                    fixed,
                )[0]
                for shown in rows
            ]

    def put_event(self, event: Event) -> int:
        """Records an event and returns its number; as `put_events`."""
        return self.put_events([event])[0]

    def put_events(self, rows: Sequence[Event]) -> list[int]:
        """Records events, all or none, and returns their numbers; a thumb on a column becomes a label with it.

        Raises:
            UsageError: a key that belongs to another event.
        """
        fixed = ("kind", "image", "impression", "reason", "person", "code")
        numbers: list[int] = []
        with self._writing(counted=False) as connection:
            for event in rows:
                row = {name: getattr(event, name) for name in (*fixed, "rank", "key")} | {"at": event.at or now()}
                number, new = self._once(connection, events, row, fixed)
                numbers.append(number)
                if new and event.code is not None:
                    connection.execute(labels.insert().values(**_label(event, row["at"])))
                    connection.execute(changes.update().values(number=changes.c.number + 1))
        return numbers

    def _once(
        self, connection: sa.Connection, table: sa.Table, row: Mapping[str, Any], fixed: Iterable[str]
    ) -> tuple[int, bool]:
        """The number of a row, and whether it is new; one of the same key must be the same in what is `fixed`."""
        insert = self._insert(table).values(**row).on_conflict_do_nothing(index_elements=["key"])
        number = connection.execute(insert.returning(table.c.id)).scalar()
        if number is not None:
            return int(number), True
        held = connection.execute(sa.select(table).where(table.c.key == row["key"])).one()
        if any(held._mapping[name] != row[name] for name in fixed):
            raise UsageError(f"the key {row['key']!r} was used before for something else; every event needs its own")
        return int(held.id), False

    def impression(self, number: int) -> Impression | None:
        """An impression by its number."""
        row = self._one(sa.select(impressions).where(impressions.c.id == number))
        return _impression(row) if row else None

    def impressions(self, *, variants: Sequence[str] | None = None, limit: int | None = None) -> list[Impression]:
        """Impressions, oldest first; of some variants, or the newest `limit`."""
        c = impressions.c
        query = sa.select(impressions).order_by(c.id.desc()).limit(limit)
        query = query if variants is None else query.where(c.variant.in_(list(variants)))
        return [_impression(row) for row in reversed(self._all(query))]

    def showings(self, *, since: str | None = None, variants: Sequence[str] | None = None) -> list[Showing]:
        """Impressions without their hits, oldest first; `since` is a date or time in ISO 8601, UTC."""
        c = impressions.c
        query = sa.select(c.id, c.variant, c.person, c.nothing_here, c.continues, c.at).order_by(c.id)
        query = query if since is None else query.where(c.at >= since)
        query = query if variants is None else query.where(c.variant.in_(list(variants)))
        return [Showing(r.id, r.variant, r.person, bool(r.nothing_here), r.continues, r.at) for r in self._all(query)]

    def events(self, *, limit: int | None = None, shown: Sequence[int] | None = None) -> list[Event]:
        """Events, oldest first: all, the newest `limit`, or those of some impressions."""
        if shown is not None:
            parts = [list(shown[i : i + PART]) for i in range(0, len(shown), PART)]
            query = sa.select(events).order_by(events.c.id)
            found = [row for part in parts for row in self._all(query.where(events.c.impression.in_(part)))]
            return [Event(**row._mapping) for row in sorted(found, key=lambda row: int(row.id))]
        rows = self._all(sa.select(events).order_by(events.c.id.desc()).limit(limit))
        return [Event(**row._mapping) for row in reversed(rows)]

    # experiments

    def put_experiment(self, record: ExperimentRecord) -> None:
        """Starts an experiment. Raises `UsageError` where there was one of that name."""
        row = {"name": record.name, "a": json.dumps(dict(record.a)), "b": json.dumps(dict(record.b))}
        insert = self._insert(experiments).values(**row, share=record.share, at=record.at or now())
        with self._writing(counted=False) as connection:
            once = insert.on_conflict_do_nothing().returning(experiments.c.name)  # a rowcount is told by SQLite alone
            if connection.execute(once).scalar() is None:
                raise UsageError(f"there was an experiment '{record.name}' already; an experiment keeps its name")

    def stop_experiment(self, name: str) -> None:
        """Ends an experiment; one that was ended stays as it is."""
        c = experiments.c
        with self._writing(counted=False) as connection:
            change = experiments.update().where(c.name == name, c.stopped_at.is_(None))
            connection.execute(change.values(stopped_at=now()))

    def experiments(self) -> list[ExperimentRecord]:
        """Every experiment, oldest first."""
        rows = self._all(sa.select(experiments).order_by(experiments.c.at, experiments.c.name))
        return [ExperimentRecord(r.name, json.loads(r.a), json.loads(r.b), r.share, r.at, r.stopped_at) for r in rows]

    # learned weights

    def put_weights(self, encoder: str, values: Mapping[str, Any] | None, measured: Mapping[str, Any]) -> int:
        """Records weights and what they are worth; None takes the ones before out of use. Returns the version."""
        row = {"encoder": encoder, "weights": None if values is None else json.dumps(dict(values)), "at": now()}
        with self._writing(counted=False) as connection:
            insert = weights.insert().values(**row, measured=json.dumps(dict(measured)))
            (number,) = connection.execute(insert).inserted_primary_key or (0,)
        return int(number)

    def weights(self, encoder: str) -> list[WeightsRecord]:
        """Every version of an encoder's weights, oldest first."""
        rows = self._all(sa.select(weights).where(weights.c.encoder == encoder).order_by(weights.c.id))
        return [
            WeightsRecord(r.id, r.encoder, json.loads(r.weights) if r.weights else None, json.loads(r.measured), r.at)
            for r in rows
        ]


def _impression(row: sa.Row[Any]) -> Impression:
    values = dict(row._mapping)
    return Impression(**{**values, "options": json.loads(row.options), "hits": json.loads(row.hits)})


def _label(event: Event, at: str) -> dict[str, Any]:
    value = event.kind == "up"
    return {"image": event.image, "code": event.code, "value": value, "person": event.person, "at": at, "source": THUMB}
