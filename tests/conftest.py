"""Fixtures that many test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import Postgres

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real photos and real CLIP vectors that lies beside the repository."""
    if not REAL.is_dir():
        pytest.skip(f"no real photos at {REAL}")
    return REAL


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test trusts is no business of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL that this run of the tests started; skips where none is installed."""
    pytest.importorskip("psycopg")
    if reason := Postgres.reason():
        pytest.skip(reason)
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database: of SEXTANT_TEST_POSTGRES, or of a server that the tests start."""
    import sqlalchemy as sa

    url: str = os.environ.get("SEXTANT_TEST_POSTGRES") or request.getfixturevalue("postgres_server").url
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    return url


@pytest.fixture(autouse=True)
def every_catalog(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With SEXTANT_TEST_CATALOG=postgres every test's collection has its catalog there: any test, on PostgreSQL."""
    if os.environ.get("SEXTANT_TEST_CATALOG") == "postgres":
        monkeypatch.setenv("SEXTANT_CATALOG", request.getfixturevalue("postgres"))
