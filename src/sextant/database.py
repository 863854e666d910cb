"""A SQL database: opened, brought up to date, read and written in transactions, with errors in a person's words.

SQLite in a file that cannot be written is opened for reading alone. Knows nothing of what the tables mean.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from sextant.errors import CollectionError, UsageError
from sextant.schema import MIGRATIONS, changes, migrations

BUSY_SECONDS = 60
IMPATIENT_MILLISECONDS = 20
REMEDIES = {
    "locked": "another program holds it: close that, then run the same command again",
    "full": "make room on the disk, then run the same command again",
    "readonly": "allow writing to the collection's folder, or work on a copy",
    "unable to open": "allow writing to the collection's folder once, or work on a copy",
    "no such module": "run it with a Python whose SQLite has full-text search (FTS5)",
    "not a database": "restore it from a backup",
    "malformed": "restore it from a backup",
}


class Database:
    """The database at a URL; opening it brings its tables up to date."""

    def __init__(self, url: str | URL) -> None:
        try:
            given = sa.make_url(url)
            self.url = given.render_as_string(hide_password=True)
            chosen = _readable(given)
            self.read_only = chosen != given
            self._engine = _engine(chosen)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise CollectionError(f"the catalog's URL cannot be used: {error}") from error
        with self._saying("cannot be opened"):
            _patiently(self._engine, self.url)

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()

    def changes(self) -> int:
        """A number that grows with every change that what is said of images can depend on."""
        row = self._one(sa.select(changes.c.number))
        return int(row.number) if row else 0

    @contextmanager
    def _writing(self, *, counted: bool = True) -> Iterator[sa.Connection]:
        """One transaction: all of it or nothing. One that changes no answer about any image need not be `counted`."""
        with self._saying("could not be written"), self._engine.begin() as connection:
            yield connection
            if counted:
                connection.execute(changes.update().values(number=changes.c.number + 1))

    @contextmanager
    def _writing_at_once(self, *, patiently: bool = False) -> Iterator[sa.Connection]:
        """A transaction for what can be lost: in SQLite it waits for no disk, and for others only `patiently`."""
        with self._saying("could not be written"), self._engine.connect() as connection:
            sqlite = self._engine.dialect.name == "sqlite"
            if sqlite:  # before the transaction: inside it the setting would be ignored
                if not patiently:
                    connection.exec_driver_sql(f"PRAGMA busy_timeout = {IMPATIENT_MILLISECONDS}")
                connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
            try:
                yield connection
                connection.commit()
            finally:
                connection.rollback()
                if sqlite:
                    _steady(connection.connection.dbapi_connection)

    def _all(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with self._saying("could not be read"), self._engine.connect() as connection:
            return connection.execute(query).all()

    def _one(self, query: sa.Select[Any]) -> sa.Row[Any] | None:
        rows = self._all(query)
        return rows[0] if rows else None

    def _insert(self, table: sa.Table) -> Any:
        """An INSERT that knows ON CONFLICT, which SQLAlchemy has by dialect only."""
        from sqlalchemy.dialects import postgresql, sqlite

        return (sqlite if self._engine.dialect.name == "sqlite" else postgresql).insert(table)

    @contextmanager
    def _saying(self, what: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            why = str(error.orig)
            remedy = next((f"; {help_}" for word, help_ in REMEDIES.items() if word in why), "")
            raise CollectionError(f"{self.url}: the catalog {what}: {why}{remedy}") from error
        except UnicodeEncodeError as error:
            raise UsageError(f"{error.object!r} is not valid text: it cannot be written as UTF-8") from error


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _readable(url: URL) -> URL:
    """The same database, as a file that is only read where SQLite's file cannot be written."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return url
    file = Path(url.database)
    if not os.path.exists(file) or (  # noqa: PTH110 – Path.exists raises where it may not look
        os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
    ):
        return url
    query = {"mode": "ro", "uri": "true"}
    if not file.with_name(file.name + "-wal").exists():  # nobody is writing, and SQLite need not ask anybody
        query["immutable"] = "1"
    return URL.create("sqlite", database=f"file:{quote(str(file.resolve()))}", query=query)


def _engine(url: URL) -> Engine:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            _steady(connection)

    return engine


def _steady(connection: Any) -> None:
    """Makes a connection of SQLite's driver wait for other writers, and for the disk."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS}")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _patiently(engine: Engine, url: str) -> None:
    """`_migrate`, again while another process does the same: SQLite does not wait for the switch to WAL by itself."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return _migrate(engine, url)
        except sa.exc.OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() > end:
                raise
        time.sleep(0.02)


def _migrate(engine: Engine, url: str) -> None:
    if _version(engine) == len(MIGRATIONS):
        return
    sqlite = engine.dialect.name == "sqlite"
    if sqlite:  # outside a transaction, once: the file remembers it
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    with engine.begin() as connection:
        if sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # two first openers wait for each other
        migrations.create(connection, checkfirst=True)
        done = connection.execute(sa.select(sa.func.max(migrations.c.version))).scalar() or 0
        if done > len(MIGRATIONS):
            raise CollectionError(
                f"{url}: the catalog is of version {done}, this program knows {len(MIGRATIONS)}. Update sextant."
            )
        for number, step in enumerate(MIGRATIONS[done:], done + 1):
            step(connection)
            connection.execute(migrations.insert().values(version=number, applied_at=now()))


def _version(engine: Engine) -> int:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("migrations"):
            return 0
        return connection.execute(sa.select(sa.func.max(migrations.c.version))).scalar() or 0
