"""A small fixed sample of the faults that `python -m tests.faults` draws by the hundred."""

import sys
from collections.abc import Callable, Iterator

import pytest

from ..store.conftest import postgresql_url  # noqa: F401  (a fixture)
from . import databases, folders
from .databases import postgresql_places, sqlite_places, statements

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and signals")
KILLED, OTHERWISE = (0.25, 0.8), 0.55  # of a work's statements: where it is killed, and where its disk or connection goes
IN_FOLDERS: dict[folders.Fault, tuple[float, ...]] = {"kill": (0.0, 0.5, 0.9), "cut": (0.0, 0.6), "full": (0.4,)}
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
    databases.try_point(work, other, max(1, round(OTHERWISE * most)), found)
    for share in KILLED[: 1 if work.slow else 2]:
        databases.try_point(work, "kill", max(1, round(share * most)), found)


@pytest.mark.parametrize("fault", folders.FAULTS)
@pytest.mark.parametrize("name", folders.WORKS)
def test_a_folder_that_is_broken_off_holds_what_was_finished_and_is_gone_on_with(name: str, fault: folders.Fault) -> None:
    work = folders.WORKS[name]
    for share in IN_FOLDERS[fault]:
        folders.try_point(work, fault, folders.point(work, fault, share))
