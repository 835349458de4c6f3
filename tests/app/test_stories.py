"""The stories are played, and every page that they come by holds what it must (`tests/app/stage.py`)."""

from collections.abc import Iterator

import pytest
from selenium import webdriver

from .driven import absent, chromium
from .stage import Stage, axe
from .stories import AFTER, IN_A_CLINIC, STORIES, Story, alone, in_a_clinic

PAGES = (
    "Worklist",
    "Patients",
    "Patient ",
    "Next hours of",
    "Targets",
    "History",
    "Record of",
    "Cohorts",
    "Ask",
    "Audit trail",
    "careplan",
)
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def machine(browser: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with alone(browser, tmp_path_factory.mktemp("alone") / "app") as stage:
        yield stage


@pytest.fixture(scope="module")
def house(browser: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with in_a_clinic(browser, tmp_path_factory.mktemp("clinic") / "app") as stage:
        yield stage


@pytest.fixture(scope="module")
def ended() -> set[Story]:
    """The stories that came to their end."""
    return set()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_on_ones_own_machine(machine: Stage, story: Story, ended: set[Story]) -> None:
    play(machine, story, ended)


@pytest.mark.parametrize("story", IN_A_CLINIC, ids=lambda story: story.__name__)
def test_in_a_clinic(house: Stage, story: Story, ended: set[Story]) -> None:
    play(house, story, ended)


def play(stage: Stage, story: Story, ended: set[Story]) -> None:
    """Plays a story, where the one that it goes on from came to its end."""
    if story in AFTER and AFTER[story] not in ended:
        pytest.skip(f"the story {AFTER[story].__name__} did not come to its end")
    story(stage)
    ended.add(story)


def test_no_page_was_passed_by_and_each_holds_what_it_must(machine: Stage, house: Stage) -> None:
    seen = machine.seen | house.seen
    assert [page for page in PAGES if not any(title.startswith(page) for title in seen)] == []
    assert [*machine.wrong, *house.wrong] == []
    if axe() is None:
        absent("CAREPLAN_AXE does not name axe-core")
