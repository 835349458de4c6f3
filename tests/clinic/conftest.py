from collections.abc import Iterator
from pathlib import Path

import pytest

from careplan.store import Database, open_database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = open_database(str(tmp_path / "store.db"))
    yield database
    database.close()
