"""A SQL database: opened, brought up to date, read and written in transactions, with errors in a person's words.

SQLite in a file that cannot be written is opened for reading alone, and so is a PostgreSQL that takes no changes.
Writers wait for each other in both. Knows nothing of what the tables mean.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from sextant.errors import CollectionError, MissingExtra, UsageError
from sextant.schema import MIGRATIONS, changes, migrations

BUSY_SECONDS = 60
IMPATIENT_MILLISECONDS = 20
RESTART_SECONDS = 15.0  # so long a database that was there before may be away
POSTGRES = "postgresql+psycopg"  # the driver, whatever SQLAlchemy would take
_WRITERS = 0x53455854414E54  # the number of the lock that writers of a PostgreSQL hold: "SEXTANT"
REMEDIES = {
    "locked": "another program holds it: close that, then run the same command again",
    "full": "make room on the disk, then run the same command again",
    "disk I/O error": "make room on the disk, and see whether it works; then run the same command again",
    "readonly": "allow writing to the collection's folder or make room on its disk, or work on a copy",
    "unable to open": "allow writing to the collection's folder once, or work on a copy; if there are many files open, "
    "allow more (ulimit -n)",
    "no such module": "run it with a Python whose SQLite has full-text search (FTS5)",
    "not a database": "restore it from a backup",
    "malformed": "restore it from a backup",
    "permission denied": "give the role what it needs (GRANT, and CREATE on its schema for the first opening)",
    "read-only transaction": "name the server that takes changes, not its copy",
    "lock timeout": "another program is writing: run the same command again",
    "authentication failed": "set PGPASSWORD, keep the password in ~/.pgpass, or set SEXTANT_CATALOG to the whole URL",
    "no password supplied": "set PGPASSWORD, keep the password in ~/.pgpass, or set SEXTANT_CATALOG to the whole URL",
    "does not exist": "create it (createdb NAME), or correct the URL",
}
FULL = ("disk is full", "disk I/O error")
"""SQLite on a full disk; the second where there is no room for the file by which its users find each other."""
GONE = (
    "the server is away. What was acknowledged is kept and nothing is half-written: start it, or wait until it is "
    "back, then run the same command again"
)


class NoRoom(CollectionError):
    """The disk that a database is on is full, or fails."""


class Database:
    """The database at a URL; opening it brings its tables up to date."""

    def __init__(self, url: str | URL) -> None:
        try:
            given = parsed(url)
            self.url = given.render_as_string(hide_password=True)
            chosen = _readable(given)
            self.read_only = chosen != given
            self._engine = _engine(chosen)
        except ImportError as error:
            raise MissingExtra("a catalog on PostgreSQL", "postgres") from error
        except sa.exc.ArgumentError as error:
            raise CollectionError(f"the catalog's URL cannot be used: {error}") from error
        try:
            self._open()
        except NoRoom:
            frozen = _frozen(given)
            if frozen is None:
                raise
            self._engine.dispose()
            self._engine, self.read_only = _engine(frozen), True
            self._open()
        weakref.finalize(self, self._engine.dispose)  # whoever forgets to close leaves no connection to a server behind

    def _open(self) -> None:
        with self._saying("cannot be opened"):
            _patiently(self._engine, self.url)
            if self._engine.dialect.name == "postgresql":
                self.read_only = _takes_no_changes(self._engine)

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()

    @property
    def is_shared(self) -> bool:
        """Whether several machines can open it."""
        return self._engine.dialect.name == "postgresql"

    def turn(self, name: str, seconds: float) -> Turn:
        """A lock by name that everybody shares who opens this PostgreSQL; it is waited for so many seconds."""
        return Turn(self._engine, name, seconds)

    def changes(self) -> int:
        """A number that grows with every change that what is said of images can depend on."""
        row = self._one(sa.select(changes.c.number))
        return int(row.number) if row else 0

    @contextmanager
    def _writing(self, *, counted: bool = True) -> Iterator[sa.Connection]:
        """One transaction: all of it or nothing. One that changes no answer about any image need not be `counted`."""
        with self._saying("could not be written"), self._engine.begin() as connection:
            _in_turn(connection)
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
            else:
                _in_turn(connection, BUSY_SECONDS * 1000 if patiently else IMPATIENT_MILLISECONDS)
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
            why = " ".join(str(error.orig).split())
            if isinstance(error, sa.exc.DataError) and "NUL" in why:
                raise UsageError(f"a text holds a NUL character, which {self.url} cannot keep: leave it out") from error
            remedy = next((f"; {help_}" for word, help_ in REMEDIES.items() if word in why), "")
            if not remedy and (error.connection_invalidated or _is_away(why)):
                remedy = f"; {GONE}"
            kind = NoRoom if any(word in why for word in FULL) else CollectionError
            raise kind(f"{self.url}: the catalog {what}: {why}{remedy}") from error
        except UnicodeEncodeError as error:
            raise UsageError(f"{error.object!r} is not valid text: it cannot be written as UTF-8") from error


class Turn:
    """A lock in a PostgreSQL, free to take again from the same thread; it goes when its process or the server goes."""

    def __init__(self, engine: Engine, name: str, seconds: float) -> None:
        self._engine, self._name, self._seconds = engine, name, seconds
        self._key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
        self._thread, self._depth = threading.RLock(), 0
        self._held: sa.Connection | None = None

    def acquire(self) -> None:
        """Waits for it.

        Raises:
            TimeoutError: somebody else has it for too long.
            CollectionError: the server is away, or was meanwhile, so that somebody else may have it.
        """
        if not self._thread.acquire(timeout=self._seconds):
            raise TimeoutError(self._name)
        try:
            if self._held is None:
                self._held = self._taken()
            else:
                self._held.execute(sa.select(1))
            self._depth += 1
        except BaseException as error:
            self._thread.release()
            if isinstance(error, sa.exc.DBAPIError):
                raise self._explained(error) from error
            raise

    def release(self) -> None:
        """Lets the next one have it."""
        self._depth -= 1
        if self._depth == 0 and self._held is not None:
            held, self._held = self._held, None
            held.invalidate()  # its connection is closed, and the lock goes with it
            held.close()
        self._thread.release()

    def _taken(self) -> sa.Connection:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            patience = f"{int(self._seconds * 1000)}ms"
            connection.execute(sa.select(sa.func.set_config("lock_timeout", patience, False)))
            connection.execute(sa.select(sa.func.pg_advisory_lock(self._key)))
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        return connection

    def _explained(self, error: sa.exc.DBAPIError) -> Exception:
        if "lock timeout" in str(error.orig):
            return TimeoutError(self._name)
        return CollectionError(f"{self._name}: the lock that keeps writers apart is in the catalog, and {GONE}")


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def parsed(url: str | URL) -> URL:
    """A database's URL, with the driver that is used here; `postgres://` is PostgreSQL too.

    Raises:
        CollectionError: it is none, or a database of another kind.
    """
    try:
        text = f"postgresql{url[len('postgres') :]}" if isinstance(url, str) and url.startswith("postgres://") else url
        found = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise CollectionError(f"the catalog's URL cannot be used: {error}") from error
    if found.get_backend_name() not in ("sqlite", "postgresql"):
        raise CollectionError(
            f"{found.render_as_string(hide_password=True)}: a catalog is SQLite or PostgreSQL, such as "
            "postgresql://me@host/photos"
        )
    return found.set(drivername=POSTGRES) if found.drivername == "postgresql" else found


def _readable(url: URL) -> URL:
    """The same database, as a file that is only read where SQLite's file cannot be written."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return url
    file = Path(url.database)
    if not os.path.exists(file) or (  # noqa: PTH110 – Path.exists raises where it may not look
        os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
    ):
        return url
    if not file.with_name(file.name + "-wal").exists():  # nobody is writing, and SQLite need not ask anybody
        return _only_read(file, immutable="1")
    return _only_read(file)


def _frozen(url: URL) -> URL | None:
    """The same database as it lies there, for a disk on which nothing can be written; None while others write."""
    file = Path(url.database or "")
    waiting = file.with_name(file.name + "-wal")
    if url.get_backend_name() != "sqlite" or not file.is_file() or (waiting.exists() and waiting.stat().st_size):
        return None
    return _only_read(file, immutable="1")


def _only_read(file: Path, **query: str) -> URL:
    return URL.create(
        "sqlite", database=f"file:{quote(str(file.resolve()))}", query={"mode": "ro", "uri": "true", **query}
    )


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url)

        @sa.event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            _steady(connection)

        return engine
    engine = sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    been_there = False

    @sa.event.listens_for(engine, "do_connect")
    def _connected(dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        """Waits for a server that is restarting; one that never answered is waited for only while it says so."""
        nonlocal been_there
        end = time.monotonic() + RESTART_SECONDS
        while True:
            try:
                made = dialect.connect(*arguments, **options)
            except dialect.loaded_dbapi.OperationalError as error:
                starting = any(word in str(error) for word in ("starting up", "shutting down", "recovery"))
                if time.monotonic() > end or not (starting or (been_there and _is_away(str(error)))):
                    raise
                time.sleep(0.1)
            else:
                been_there = True
                return made

    return engine


def _is_away(why: str) -> bool:
    return any(word in why.lower() for word in ("connection", "terminating", "closed", "starting up", "shutting down"))


def _in_turn(connection: sa.Connection, milliseconds: int = BUSY_SECONDS * 1000) -> None:
    """Lets one writer of a PostgreSQL work at a time, as SQLite does: no deadlocks, and what was read stays true."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.set_config("lock_timeout", f"{milliseconds}ms", True)))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITERS)))


def _takes_no_changes(engine: Engine) -> bool:
    """Whether a PostgreSQL, or this role in it, only reads: a standby, or nothing granted but SELECT."""
    may = sa.func.has_table_privilege(changes.name, "UPDATE")
    query = sa.select(sa.func.current_setting("transaction_read_only") == "on", may)
    with engine.connect() as connection:
        read_only, allowed = connection.execute(query).one()
    return bool(read_only) or not allowed


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
        else:
            _in_turn(connection)
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
