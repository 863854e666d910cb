"""The tables of the catalog, and the numbered steps by which an older one becomes the newest."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sextant import fulltext

TABLES = sa.MetaData()
_Id = sa.Integer  # SQLite gives only an INTEGER key its own numbers

migrations = sa.Table(
    "migrations", TABLES, sa.Column("version", sa.Integer, primary_key=True), sa.Column("applied_at", sa.Text)
)
vocabularies = sa.Table(
    "vocabularies",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)
texts = sa.Table(
    "texts",
    TABLES,
    sa.Column("encoder", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, primary_key=True),
    sa.Column("vector", sa.LargeBinary, nullable=False),
)
calibrations = sa.Table(
    "calibrations",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("encoder", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("calibration", sa.Text, nullable=False),
    sa.Column("prompt_hash", sa.Text, nullable=False),
    sa.Column("measured", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Index("calibrations_of_column", "encoder", "code", "id"),
)
overrides = sa.Table(
    "overrides",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("image", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("value", sa.Boolean),
    sa.Column("person", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("at", sa.Text, nullable=False),
    sa.Index("overrides_of_cell", "code", "image", "id"),
)
tags = sa.Table(
    "tags",
    TABLES,
    sa.Column("image", sa.Text, primary_key=True),
    sa.Column("tag", sa.Text, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
)
descriptions = sa.Table(
    "descriptions",
    TABLES,
    sa.Column("image", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)

samples = sa.Table(
    "samples",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("batch", sa.Integer, nullable=False),
    sa.Column("image", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("probability", sa.Float, nullable=False),
    sa.Column("stratum", sa.Integer, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Index("samples_of_column", "code", "batch"),
)
labels = sa.Table(
    "labels",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("image", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("value", sa.Boolean),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("source", sa.Text),  # "thumb" where it came with an answer that was looked at; null for a label proper
    sa.Index("labels_of_cell", "code", "image", "person", "id"),
)


levels = sa.Table(
    "levels",
    TABLES,
    sa.Column("encoder", sa.Text, primary_key=True),
    sa.Column("background_hash", sa.Text, nullable=False),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)

duplicate_runs = sa.Table(
    "duplicate_runs",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("encoder", sa.Text, nullable=False),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("threshold", sa.Float),
    sa.Column("at", sa.Text, nullable=False),
)
duplicate_members = sa.Table(
    "duplicate_members",
    TABLES,
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("image", sa.Text, primary_key=True),
    sa.Column("kept", sa.Text, nullable=False),  # the image of the group that stands for it; its own id for that one
    sa.Column("similarity", sa.Float),
    sa.Column("restored_at", sa.Text),
)

changes = sa.Table(
    "changes",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # one row, 1
    sa.Column("number", sa.Integer, nullable=False),
)

searches = sa.Table(
    "searches",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("hits", sa.Integer, nullable=False),
    sa.Column("best", sa.Float),
    sa.Column("at", sa.Text, nullable=False),
)
favourites = sa.Table(
    "favourites",
    TABLES,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)

curations = sa.Table(
    "curations",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("encoder", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("shown", sa.Text, nullable=False),
    sa.Column("scratch", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)
picks = sa.Table(
    "picks",
    TABLES,
    sa.Column("curation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("image", sa.Text, primary_key=True),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("page", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("licence", sa.Text),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("parts", sa.Text, nullable=False),
    sa.Column("fetched_at", sa.Text),
    sa.Column("at", sa.Text, nullable=False),
)
judgements = sa.Table(
    "judgements",
    TABLES,
    sa.Column("image", sa.Text, primary_key=True),
    sa.Column("prompt_hash", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)


impressions = sa.Table(
    "impressions",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("variant", sa.Text, nullable=False),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("hits", sa.Text, nullable=False),
    sa.Column("nothing_here", sa.Boolean, quote=True, nullable=False),
    sa.Column("start", sa.Integer, nullable=False),  # hits that earlier pages of the same answer showed
    sa.Column("continues", sa.Integer),  # the impression of the first page
    sa.Column("key", sa.Text, unique=True),
    sa.Column("at", sa.Text, nullable=False),
)
events = sa.Table(
    "events",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("image", sa.Text, nullable=False),
    sa.Column("impression", sa.Integer),
    sa.Column("rank", sa.Integer),
    sa.Column("reason", sa.Text),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("code", sa.Text),
    sa.Column("key", sa.Text, unique=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Index("events_of_impression", "impression"),
)
experiments = sa.Table(
    "experiments",
    TABLES,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("a", sa.Text, nullable=False),
    sa.Column("b", sa.Text, nullable=False),
    sa.Column("share", sa.Float, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("stopped_at", sa.Text),
)
weights = sa.Table(
    "weights",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("encoder", sa.Text, nullable=False),
    sa.Column("weights", sa.Text),  # null: dropped
    sa.Column("measured", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)
heads = sa.Table(
    "heads",
    TABLES,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("encoder", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("folds", sa.Integer, nullable=False),
    sa.Column("numbers", sa.LargeBinary),  # null: taken out of use
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("measured", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Index("heads_of_column", "encoder", "code", "id"),
)
taught = sa.Table(
    "taught",
    TABLES,
    sa.Column("encoder", sa.Text, primary_key=True),
    sa.Column("image", sa.Text, primary_key=True),
)


def _first_tables(connection: Connection) -> None:
    tables = [vocabularies, texts, calibrations, overrides, tags, descriptions]
    TABLES.create_all(connection, tables=tables)


def _label_tables(connection: Connection) -> None:
    TABLES.create_all(connection, tables=[samples, labels, levels])


def _duplicate_tables(connection: Connection) -> None:
    TABLES.create_all(connection, tables=[duplicate_runs, duplicate_members])


def _change_table(connection: Connection) -> None:
    TABLES.create_all(connection, tables=[changes])
    connection.execute(changes.insert().values(id=1, number=0))


def _search_tables(connection: Connection) -> None:
    TABLES.create_all(connection, tables=[searches, favourites])
    fulltext.create(connection)


def _curation_tables(connection: Connection) -> None:
    TABLES.create_all(connection, tables=[curations, picks, judgements])


def _feedback_tables(connection: Connection) -> None:
    TABLES.create_all(connection, tables=[impressions, events, experiments, weights])
    if "source" not in {column["name"] for column in sa.inspect(connection).get_columns("labels")}:
        connection.execute(sa.text("ALTER TABLE labels ADD COLUMN source TEXT"))


def _head_table(connection: Connection) -> None:
    TABLES.create_all(connection, tables=[heads])


def _taught_table(connection: Connection) -> None:
    TABLES.create_all(connection, tables=[taught])


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    _first_tables,
    _label_tables,
    _duplicate_tables,
    _change_table,
    _search_tables,
    _curation_tables,
    _feedback_tables,
    _head_table,
    _taught_table,
)
"""Applied in order, each once; number N is the N-th. Never edit one that was released: add another."""
