"""Fixtures that many test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from object_store import ObjectStore
from servers import Postgres

CATALOG = os.environ.pop("SEXTANT_TEST_CATALOG", "")  # no settings of Sextant's own
POSTGRES = os.environ.pop("SEXTANT_TEST_POSTGRES", "")
S3 = os.environ.pop("SEXTANT_TEST_S3", "")
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

    url: str = POSTGRES or request.getfixturevalue("postgres_server").url
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    return url


@pytest.fixture(autouse=True)
def every_catalog(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With SEXTANT_TEST_CATALOG=postgres every test's collection has its catalog there: any test, on PostgreSQL."""
    if CATALOG == "postgres":
        if marked := request.node.get_closest_marker("sqlite"):
            pytest.skip(f"about SQLite itself: {marked.args[0]}")
        monkeypatch.setenv("SEXTANT_CATALOG", request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[ObjectStore]:
    """An S3 on loopback."""
    server = ObjectStore()
    yield server
    server.close()


@pytest.fixture
def s3(s3_server: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The same, empty; AWS_* and SEXTANT_HOME of this test lead there. With SEXTANT_TEST_S3, a server of moto's."""
    s3_server.empty()
    for method, path in (("POST", "/moto-api/reset"), ("PUT", "/photos")) if S3 else ():
        with urlopen(Request(S3 + path, method=method)):
            pass
    for name, value in aws(s3_server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SEXTANT_HOME", str(tmp_path / "home"))
    return s3_server


def aws(server: ObjectStore) -> dict[str, str]:
    """The variables by which a process finds this S3."""
    said = {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "REGION": "us-east-1"}
    said |= {"ENDPOINT_URL": S3 or server.url, "EC2_METADATA_DISABLED": "true"}
    return {f"AWS_{name}": value for name, value in said.items()}
