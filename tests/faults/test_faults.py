"""A small fixed sample of the faults that `python -m tests.faults` draws by the hundred."""

import sys
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from ..store.conftest import postgresql_url  # noqa: F401  (a fixture)
from . import databases, folders
from .databases import postgresql_places, sqlite_places, statements

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and signals")
SHARES = {"personalise": (0.6,), "plan": (0.3, 0.8)}  # of a work's statements
OTHERWISE = (0.2, 0.55, 0.9)
Place = Callable[[], str]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[databases.Fault, Place]]:
    if request.param == "postgresql":
        with postgresql_places(request.getfixturevalue("postgresql_url")) as found:
            yield "lost", found
    else:
        with sqlite_places() as found:
            yield "full", found


@pytest.mark.parametrize("name", databases.WORKS)
def test_work_that_is_broken_off_loses_and_doubles_nothing_and_goes_on(place: tuple[databases.Fault, Place], name: str) -> None:
    other, found = place
    work = databases.WORKS[name]
    most = statements(work, found)
    assert most >= 3
    for share in SHARES.get(name, OTHERWISE):
        for fault in (cast(databases.Fault, "kill"), other):
            databases.try_point(work, fault, max(1, round(share * most)), found)


@pytest.mark.parametrize("fault", folders.FAULTS)
@pytest.mark.parametrize("name", folders.WORKS)
def test_a_folder_that_is_broken_off_holds_what_was_finished_and_is_gone_on_with(name: str, fault: folders.Fault) -> None:
    work = folders.WORKS[name]
    for share in (0.0, 0.45, 0.85):
        folders.try_point(work, fault, folders.point(work, fault, share))
