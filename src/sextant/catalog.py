"""What people said, in a SQL database: vocabularies, calibrations, overrides, tags and descriptions.

SQLite beside the vectors by default, any database by URL. Every table is append-only or keyed by what it is about, and
each call is one transaction, so a killed process leaves the last acknowledged state. Knows nothing of vectors or
confidences.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sextant import fulltext
from sextant.curations import Curations
from sextant.database import POSTGRES, NoRoom, now, parsed
from sextant.events import THUMB, Events
from sextant.learned import Learned
from sextant.memory import Memory
from sextant.schema import (
    calibrations,
    descriptions,
    duplicate_members,
    duplicate_runs,
    labels,
    levels,
    overrides,
    samples,
    tags,
    texts,
    vocabularies,
)


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """A calibration as it was stored. `calibration` and `measured` are JSON values; `id` grows with time."""

    id: int
    encoder: str
    code: str
    hash: str
    calibration: Mapping[str, Any]
    prompt_hash: str
    measured: Mapping[str, Any]
    at: str


@dataclass(frozen=True, slots=True)
class Override:
    """A person's final word on one cell; `value` None withdraws it."""

    image: str
    code: str
    value: bool | None
    person: str | None = None
    note: str | None = None
    at: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A person's yes or no for (image, attribute), to calibrate by. `value` None withdraws it.

    `source` is `thumb` where nobody was asked: a thumb that came with an answer somebody looked at.
    """

    image: str
    code: str
    value: bool | None
    person: str = ""
    at: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """An image that was drawn to be asked about: in which batch, with which probability, from which stratum."""

    image: str
    code: str
    batch: int
    probability: float
    stratum: int


@dataclass(frozen=True, slots=True)
class DuplicateRun:
    """One time that near-duplicates were suppressed. `restored` counts those of `images` that were brought back."""

    id: int
    encoder: str
    level: str
    threshold: float | None
    at: str
    images: int
    restored: int


def public(url: str) -> str:
    """A catalog's URL as it may be written down: without a password. A file's name stays as it is."""
    if "://" not in url:
        return url
    parts = parsed(url)._asdict() | {"password": None}
    parts["drivername"] = parts["drivername"].replace(POSTGRES, "postgresql")
    return sa.URL.create(**parts).render_as_string(hide_password=False)


class Catalog(Memory, Curations, Events, Learned):
    """What people said, in the database at `url`."""

    @classmethod
    def beside(cls, file: Path) -> Catalog:
        """The SQLite catalog in `file`."""
        return cls(sa.URL.create("sqlite", database=str(file)))

    @classmethod
    def at(cls, url: str, asked: str = "") -> Catalog:
        """The catalog at a URL; `asked` is the same URL with its password, or anything else."""
        return cls(asked if asked and public(asked) == public(url) else url)

    # vocabularies

    def put_vocabulary(self, name: str, text: str) -> None:
        """Makes this text the current vocabulary; the ones before stay on record."""
        if self.vocabulary() == (name, text):
            return
        with self._writing() as connection:
            connection.execute(vocabularies.insert().values(name=name, text=text, at=now()))

    def vocabulary(self) -> tuple[str, str] | None:
        """Name and text of the current vocabulary."""
        query = sa.select(vocabularies.c.name, vocabularies.c.text).order_by(vocabularies.c.id.desc()).limit(1)
        row = self._one(query)
        return (row.name, row.text) if row else None

    # vectors of phrases, a cache

    def put_texts(self, encoder: str, vectors: Mapping[str, bytes]) -> None:
        """Keeps the vectors of phrases, so that none is encoded twice; not where the catalog can only be read."""
        rows = [{"encoder": encoder, "text": text, "vector": vector} for text, vector in vectors.items()]
        if self.read_only or not rows:
            return
        with suppress(NoRoom), self._writing_at_once(patiently=True) as connection:
            connection.execute(self._insert(texts).on_conflict_do_nothing(), rows)

    def texts(self, encoder: str, wanted: Sequence[str]) -> dict[str, bytes]:
        """The vectors that are kept of these phrases."""
        found: dict[str, bytes] = {}
        for start in range(0, len(wanted), 500):  # a statement takes a limited number of values
            part = list(wanted[start : start + 500])
            query = sa.select(texts.c.text, texts.c.vector).where(texts.c.encoder == encoder, texts.c.text.in_(part))
            found.update({row.text: row.vector for row in self._all(query)})
        return found

    def drop_texts(self, encoder: str) -> None:
        """Forgets the phrases of an encoder."""
        with self._writing() as connection:
            connection.execute(texts.delete().where(texts.c.encoder == encoder))

    # calibrations

    def put_calibrations(
        self,
        encoder: str,
        rows: Mapping[str, tuple[str, Mapping[str, Any], str]],
        measured: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Adds (hash, calibration, prompt hash) by code where the newest differs from it, or from what was measured."""
        newest, at, values = self.calibrations(encoder), now(), []
        for code, (hash_, calibration, prompt_hash) in rows.items():
            old = newest.get(code)
            news = (measured or {}).get(code)
            changed = old is None or (old.hash, old.prompt_hash) != (hash_, prompt_hash)
            if changed or (old is not None and news is not None and news != old.measured):
                row = {"encoder": encoder, "code": code, "hash": hash_, "prompt_hash": prompt_hash, "at": at}
                values.append({**row, "calibration": json.dumps(calibration), "measured": json.dumps(news or {})})
        if values:
            with self._writing() as connection:
                connection.execute(calibrations.insert(), values)

    def calibrations(self, encoder: str) -> dict[str, CalibrationRecord]:
        """The newest calibration of every column."""
        c = calibrations.c
        newest = sa.select(sa.func.max(c.id)).where(c.encoder == encoder).group_by(c.code)
        return {r.code: r for r in self._records(sa.select(calibrations).where(c.id.in_(newest)))}

    def history(self, encoder: str, code: str) -> list[CalibrationRecord]:
        """Every calibration a column ever had, oldest first."""
        c = calibrations.c
        query = sa.select(calibrations).where(c.encoder == encoder, c.code == code).order_by(c.id)
        return list(self._records(query))

    def _records(self, query: sa.Select[Any]) -> Iterator[CalibrationRecord]:
        for row in self._all(query):
            values = dict(row._mapping)
            values["calibration"] = json.loads(values["calibration"])
            values["measured"] = json.loads(values["measured"])
            yield CalibrationRecord(**values)

    # what a collection makes of phrases that mean nothing to it

    def put_level(self, encoder: str, background_hash: str, level: Mapping[str, Any]) -> None:
        """Keeps the level (a JSON value) that free queries are judged by, for one list of background prompts."""
        if self.read_only:  # a cache
            return
        with suppress(NoRoom), self._writing() as connection:
            connection.execute(levels.delete().where(levels.c.encoder == encoder))
            row = {"encoder": encoder, "background_hash": background_hash, "level": json.dumps(level), "at": now()}
            connection.execute(levels.insert().values(**row))

    def level(self, encoder: str, background_hash: str) -> dict[str, Any] | None:
        """The level that is kept for this list of prompts."""
        c = levels.c
        row = self._one(sa.select(c.level).where(c.encoder == encoder, c.background_hash == background_hash))
        return dict(json.loads(row.level)) if row else None

    # labels

    def put_sample(self, code: str, rows: Iterable[tuple[str, float, int]]) -> None:
        """Records one batch of (image, probability, stratum) that was drawn to be asked about."""
        at = now()
        with self._writing(counted=False) as connection:
            last = (
                connection.execute(sa.select(sa.func.max(samples.c.batch)).where(samples.c.code == code)).scalar() or 0
            )
            values = [
                {"batch": last + 1, "image": image, "code": code, "probability": p, "stratum": stratum, "at": at}
                for image, p, stratum in rows
            ]
            if values:
                connection.execute(samples.insert(), values)

    def sample(self, codes: Sequence[str] | None = None) -> list[Drawn]:
        """Everything that was drawn, oldest first."""
        c = samples.c
        query = sa.select(c.image, c.code, c.batch, c.probability, c.stratum).order_by(c.id)
        if codes is not None:
            query = query.where(c.code.in_(list(codes)))
        return [Drawn(r.image, r.code, r.batch, r.probability, r.stratum) for r in self._all(query)]

    def put_labels(self, rows: Iterable[Label]) -> None:
        """Records labels; the newest of a person for a cell holds, and a withdrawal takes that person's thumb along."""
        values, at = [], now()
        for r in rows:
            row = {"image": r.image, "code": r.code, "value": r.value, "person": r.person, "at": at}
            values += [{**row, "source": r.source or None}]
            values += [{**row, "source": THUMB}] if r.value is None and not r.source else []
        if values:
            with self._writing(counted=False) as connection:
                connection.execute(labels.insert(), values)

    def labels(self, codes: Sequence[str] | None = None, *, thumbs: bool = True) -> list[Label]:
        """The labels that hold now: one a person and cell, withdrawn ones left out; and a thumb, unless without."""
        c = labels.c
        newest = sa.select(sa.func.max(c.id)).group_by(c.image, c.code, c.person, c.source)
        query = sa.select(c.image, c.code, c.value, c.person, c.at, c.source)
        query = query.where(c.id.in_(newest), c.value.is_not(None)).order_by(c.id)
        if codes is not None:
            query = query.where(c.code.in_(list(codes)))
        if not thumbs:
            query = query.where(c.source.is_(None))
        rows = map(tuple, self._all(query))  # a row's names are looked up slowly, and there can be very many
        return [Label(image, code, value, who, at, source or "") for image, code, value, who, at, source in rows]

    # what people say of images

    def put_overrides(self, rows: Iterable[Override]) -> None:
        """Records final words; the newest of a cell holds."""
        values = [
            {"image": r.image, "code": r.code, "value": r.value, "person": r.person, "note": r.note, "at": now()}
            for r in rows
        ]
        if values:
            with self._writing() as connection:
                connection.execute(overrides.insert(), values)

    def overrides(self, codes: Sequence[str] | None = None) -> list[Override]:
        """The words that hold now: one a cell, withdrawn ones left out."""
        c = overrides.c
        newest = sa.select(sa.func.max(c.id)).group_by(c.image, c.code)
        query = sa.select(overrides).where(c.id.in_(newest), c.value.is_not(None)).order_by(c.id)
        if codes is not None:
            query = query.where(c.code.in_(list(codes)))
        return [Override(r.image, r.code, r.value, r.person, r.note, r.at) for r in self._all(query)]

    def put_tags(self, image: str, words: Iterable[str]) -> None:
        """Adds tags to an image; one that is there already stays as it is."""
        self.put_words({image: (list(words), "")})

    def put_words(self, by_image: Mapping[str, tuple[Sequence[str], str]]) -> None:
        """Adds tags to images, and sets the descriptions that are not empty; all or nothing."""
        at = now()
        tagged = [{"image": i, "tag": w, "at": at} for i, (words, _) in by_image.items() for w in dict.fromkeys(words)]
        described = [{"image": i, "text": text, "at": at} for i, (_, text) in by_image.items() if text]
        with self._writing() as connection:
            if tagged:
                connection.execute(self._insert(tags).on_conflict_do_nothing(), tagged)
            if described:
                insert = self._insert(descriptions)
                changes = {"text": insert.excluded.text, "at": insert.excluded.at}
                connection.execute(insert.on_conflict_do_update(index_elements=["image"], set_=changes), described)
            fulltext.refresh(connection, by_image)

    def drop_tags(self, image: str, words: Iterable[str]) -> None:
        """Takes tags off an image."""
        with self._writing() as connection:
            connection.execute(tags.delete().where(tags.c.image == image, tags.c.tag.in_(list(words))))
            fulltext.refresh(connection, [image])

    def tags(self, images: Sequence[str] | None = None) -> dict[str, list[str]]:
        """Tags by image, in alphabetical order; of all images, or of some."""
        query = sa.select(tags.c.image, tags.c.tag)
        if images is not None:
            query = query.where(tags.c.image.in_(list(images)))
        found: dict[str, list[str]] = {}
        for image, tag in sorted((row.image, row.tag) for row in self._all(query)):  # databases sort by their locale
            found.setdefault(image, []).append(tag)
        return found

    def put_description(self, image: str, text: str) -> None:
        """Sets the description of an image; an empty text removes it."""
        if text:
            self.put_words({image: ([], text)})
            return
        with self._writing() as connection:
            connection.execute(descriptions.delete().where(descriptions.c.image == image))
            fulltext.refresh(connection, [image])

    def descriptions(self) -> dict[str, str]:
        """Descriptions by image."""
        return {row.image: row.text for row in self._all(sa.select(descriptions.c.image, descriptions.c.text))}

    def match_words(self, text: str, limit: int, *, every: bool = True, prefix: bool = True) -> list[fulltext.Found]:
        """The images whose tags and descriptions match a text, (id, score), best first; scores compare here alone.

        All words of the text must be there, or with `every` off at least one. With `prefix` a word of three letters or
        more also finds longer ones that begin with it, which count less.
        """
        with self._saying("could not be read"), self._engine.connect() as connection:
            return fulltext.matching(connection, text, limit, every=every, prefix=prefix)

    # near-duplicates that are out of sight

    def suppress(
        self, encoder: str, level: str, threshold: float | None, groups: Iterable[Sequence[tuple[str, float]]]
    ) -> int:
        """Records groups of (image, similarity to the first), the first of each kept, and suppresses the others.

        What runs before this one suppressed is restored. Returns the run's number.
        """
        d, at = duplicate_members.c, now()
        with self._writing() as connection:
            connection.execute(duplicate_members.update().where(d.restored_at.is_(None)).values(restored_at=at))
            run = duplicate_runs.insert().values(encoder=encoder, level=level, threshold=threshold, at=at)
            (number,) = connection.execute(run).inserted_primary_key or (0,)
            rows = [
                {"run": number, "image": image, "kept": group[0][0], "similarity": similarity}
                for group in groups
                for image, similarity in group
            ]
            if rows:
                connection.execute(duplicate_members.insert(), rows)
        return int(number)

    def restore(self, images: Sequence[str] | None = None, *, run: int | None = None) -> int:
        """Brings suppressed images back: all, or some, or those of one run. Returns how many that were."""
        d, found = duplicate_members.c, 0
        parts = [None] if images is None else [list(images[i : i + 500]) for i in range(0, len(images), 500)]
        with self._writing() as connection:
            for part in parts:
                change = duplicate_members.update().where(d.restored_at.is_(None), d.kept != d.image)
                change = change if run is None else change.where(d.run == run)
                change = change if part is None else change.where(d.image.in_(part))
                found += connection.execute(change.values(restored_at=now())).rowcount
        return found

    def suppressed(self) -> dict[str, str]:
        """The images that are out of sight now, each with the one that stands for it."""
        d = duplicate_members.c
        query = sa.select(d.image, d.kept).where(d.restored_at.is_(None), d.kept != d.image)
        return {row.image: row.kept for row in self._all(query)}

    def duplicate_runs(self) -> list[DuplicateRun]:
        """Every run that suppressed anything, oldest first."""
        r, d = duplicate_runs.c, duplicate_members.c
        counts = (sa.func.count(d.image).label("images"), sa.func.count(d.restored_at).label("restored"))
        joined = sa.outerjoin(duplicate_runs, duplicate_members, sa.and_(r.id == d.run, d.kept != d.image))
        query = sa.select(r.id, r.encoder, r.level, r.threshold, r.at, *counts).select_from(joined)
        query = query.group_by(r.id, r.encoder, r.level, r.threshold, r.at).order_by(r.id)
        return [DuplicateRun(**row._mapping) for row in self._all(query)]
