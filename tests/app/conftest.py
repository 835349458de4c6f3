import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from selenium import webdriver
from streamlit.testing.v1 import AppTest

from careplan.clinic import Database, local_account, open_database

from .build import clinic
from .driven import chromium

MAIN = Path(__file__).parents[2] / "app" / "main.py"
ADA = local_account()  # as whom the app acts in local mode


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clinic of `build`, made once, with its audit key and checkpoints beside it."""
    path = tmp_path_factory.mktemp("clinic") / "clinic.db"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CAREPLAN_AUDIT", str(path.parent / "audit"))
        db = open_database(str(path))
        clinic(db)
        db.close()
    return path


@pytest.fixture
def db(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A copy of it, which the app opens too."""
    path = tmp_path / "store.db"
    shutil.copyfile(made, path)
    shutil.copytree(made.parent / "audit", tmp_path / "audit")
    monkeypatch.setenv("CAREPLAN_AUDIT", str(tmp_path / "audit"))
    monkeypatch.setenv("CAREPLAN_DATABASE", str(path))
    monkeypatch.setattr("careplan.clinic.keeper.Worker.ensure", lambda worker: None)  # tests run jobs themselves
    database = open_database(str(path))
    yield database
    database.close()
    st.cache_resource.clear()


Start = Callable[..., AppTest]


@pytest.fixture
def start(db: Database) -> Start:
    """A new session at the worklist, as after a reload."""

    def begin(unit: str = "mg/dL") -> AppTest:
        at = AppTest.from_file(str(MAIN), default_timeout=60)
        at.session_state["unit"] = unit
        return checked(at.run())

    return begin


@pytest.fixture
def review(start: Start) -> Start:
    """A new session with a patient's review open."""

    def begin(patient: str = "ann", **known: object) -> AppTest:
        return press(start(**known), f"open:{patient}")

    return begin


def press(at: AppTest, key: str) -> AppTest:
    return checked(next(button for button in at.button if key in (button.key, button.label)).click().run())


def choose(at: AppTest, verdicts: dict[str, str]) -> AppTest:
    """Accept, edit or reject lines."""
    for line, verdict in verdicts.items():
        at.button_group(key=f"verdict:1:{line}").set_value(verdict)
    return checked(at.run())


def say(at: AppTest, key: str, text: str) -> AppTest:
    return checked(at.text_input(key=key).set_value(text).run())


def sign(at: AppTest, name: str = ADA.name) -> AppTest:
    at.text_input(key="sign_name").set_value(name)
    return press(at, "Sign")


def checked(at: AppTest) -> AppTest:
    assert not at.exception, at.exception[0].value
    return at


def shown(at: AppTest) -> str:
    """Everything a reader sees as text."""
    kinds = (at.title, at.header, at.markdown, at.caption, at.warning, at.error, at.info, at.success)
    html = [str(element.proto.body) for element in at.get("html")]
    return "\n".join([str(element.value) for kind in kinds for element in kind] + html)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path) as found:
        yield found
