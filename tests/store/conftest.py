import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from careplan.store import Database, StoreError, open_database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = open_database(str(tmp_path / "store.db"))
    yield database
    with suppress(StoreError):  # a trail that the test broke is not signed
        database.close()


@pytest.fixture(scope="session")
def postgresql_url() -> str:
    """The address of an empty database."""
    url = os.environ.get("CAREPLAN_TEST_POSTGRESQL")
    if url is None:
        reason = "CAREPLAN_TEST_POSTGRESQL does not name an empty database"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return url if worker is None else own_database(url, worker)


def own_database(url: str, worker: str) -> str:
    """A database of its own, on the same server, for each process that runs tests."""
    given = make_url(url)
    mine = f"{given.database}_{worker}"
    engine = create_engine(given, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{mine}"'))
        connection.execute(text(f'CREATE DATABASE "{mine}"'))
    engine.dispose()
    return given.set(database=mine).render_as_string(hide_password=False)


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Database]:
    """An empty database on the server that CAREPLAN_TEST_POSTGRESQL names."""
    database = open_database(postgresql_url)
    yield database
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    database.engine.dispose()
