"""What was curated, in the catalog: each curation with what it showed, the picks, and a model's answers about pictures.

Every call is one transaction. Knows nothing of scores, files or models: what was shown, and what a model said, are
JSON values here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sextant.database import Database, now
from sextant.schema import curations, judgements, picks


@dataclass(frozen=True, slots=True)
class CurationRecord:
    """One run of `curate`: what was asked, with `request`, and what it showed. `scratch` names its waiting folder."""

    id: int
    name: str
    query: str
    encoder: str
    state: str
    request: Mapping[str, Any]
    shown: Sequence[Mapping[str, Any]]
    scratch: str
    at: str


@dataclass(frozen=True, slots=True)
class PickRecord:
    """One picture that was kept: where it lies, where it came from, and how it scored at the time."""

    curation: int
    name: str
    rank: int
    image: str
    path: str
    url: str
    page: str
    title: str
    licence: str | None
    score: float
    parts: Sequence[Mapping[str, Any]]
    fetched_at: str | None
    at: str


class Curations(Database):
    """The part of a catalog that `curate` writes."""

    def put_curation(
        self,
        name: str,
        query: str,
        *,
        encoder: str,
        state: str,
        request: Mapping[str, Any],
        shown: Sequence[Mapping[str, Any]],
        scratch: str,
    ) -> int:
        """Records a curation; returns its number."""
        values = {"name": name, "query": query, "encoder": encoder, "state": state, "scratch": scratch, "at": now()}
        values |= {"request": json.dumps(request), "shown": json.dumps(shown)}
        with self._writing(counted=False) as connection:
            (number,) = connection.execute(curations.insert().values(**values)).inserted_primary_key or (0,)
        return int(number)

    def curation(self, number: int | None = None) -> CurationRecord | None:
        """A curation by its number, or the newest."""
        query = sa.select(curations).order_by(curations.c.id.desc()).limit(1)
        row = self._one(query if number is None else query.where(curations.c.id == number))
        if row is None:
            return None
        values = dict(row._mapping)
        return CurationRecord(**{**values, "request": json.loads(row.request), "shown": json.loads(row.shown)})

    def curations(self, limit: int, before: int | None = None) -> list[CurationRecord]:
        """The newest curations, or the newest `before` a number."""
        query = sa.select(curations).order_by(curations.c.id.desc()).limit(limit)
        rows = self._all(query if before is None else query.where(curations.c.id < before))
        told = ((row, json.loads(row.request), json.loads(row.shown)) for row in rows)
        return [CurationRecord(**{**row._mapping, "request": request, "shown": shown}) for row, request, shown in told]

    def put_picks(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Records picks, all or none; a picture of a curation that is picked again keeps its first record."""
        at = now()
        values = [{**row, "parts": json.dumps(row["parts"]), "at": at} for row in rows]
        if values:
            with self._writing(counted=False) as connection:
                connection.execute(self._insert(picks).on_conflict_do_nothing(), values)

    def picks(self, curation: int | None = None) -> list[PickRecord]:
        """Every pick, or those of one curation, in the order of curations and ranks."""
        c = picks.c
        query = sa.select(picks, curations.c.name).join(curations, curations.c.id == c.curation)
        query = query if curation is None else query.where(c.curation == curation)
        rows = self._all(query.order_by(c.curation, c.rank))
        return [PickRecord(**{**row._mapping, "parts": json.loads(row.parts)}) for row in rows]

    def put_judgement(self, image: str, prompt_hash: str, model: str, answer: Mapping[str, Any]) -> None:
        """Keeps what a model said of a picture, so that it is not asked again."""
        if self.read_only:  # a cache
            return
        row = {"image": image, "prompt_hash": prompt_hash, "model": model, "answer": json.dumps(answer), "at": now()}
        with self._writing(counted=False) as connection:
            connection.execute(self._insert(judgements).on_conflict_do_nothing(), [row])

    def judgements(self, images: Sequence[str], prompt_hash: str, model: str) -> dict[str, dict[str, Any]]:
        """What a model said of these pictures in answer to one prompt, by image."""
        c, found = judgements.c, {}
        for start in range(0, len(images), 500):  # a statement takes a limited number of values
            part = list(images[start : start + 500])
            query = sa.select(c.image, c.answer).where(
                c.prompt_hash == prompt_hash, c.model == model, c.image.in_(part)
            )
            found.update({row.image: json.loads(row.answer) for row in self._all(query)})
        return found
