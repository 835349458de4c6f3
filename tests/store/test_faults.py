"""A small fixed sample of the faults that `tests/store/faults.py` draws by the hundred."""

import sys
from collections.abc import Iterator

import pytest

from .faults import WORKS, Fault, postgresql_places, sqlite_places, statements, try_point

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and signals")
SHARES = (0.2, 0.55, 0.9)  # of a work's statements


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Iterator[object]:
    if request.param == "postgresql":
        with postgresql_places(request.getfixturevalue("postgresql_url")) as found:
            yield ("lost", found)
    else:
        with sqlite_places() as found:
            yield ("full", found)


@pytest.mark.parametrize("name", WORKS)
def test_work_that_is_broken_off_loses_and_doubles_nothing_and_goes_on(place: tuple[Fault, object], name: str) -> None:
    other, found = place
    most = statements(WORKS[name], found)  # type: ignore[arg-type]
    assert most >= 3
    for share in SHARES:
        for fault in ("kill", other):
            try_point(WORKS[name], fault, max(1, round(share * most)), found)  # type: ignore[arg-type]
