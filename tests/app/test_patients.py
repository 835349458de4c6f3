"""Recordings come in through the app: shown, questioned, kept, taken back."""

from io import BytesIO

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from careplan.clinic import Database, imports, patient_names
from tests.loopback import serve
from tests.records.test_nightscout_site import TOKEN, nightscout

from .conftest import checked, press, shown

TABLE = "time,glucose\n" + "".join(
    f"2024-05-01 {hour:02d}:{minute:02d},{110 + minute}\n" for hour in range(6) for minute in (0, 30)
)


class Upload(BytesIO):
    """A file as the browser hands it over."""

    def __init__(self, name: str, body: bytes) -> None:
        super().__init__(body)
        self.name = self.file_id = name


def uploaded(monkeypatch: pytest.MonkeyPatch, *files: tuple[str, bytes]) -> AppTest:
    """The page with files dropped on it."""
    monkeypatch.setattr(st, "file_uploader", lambda *_, key, **__: [Upload(*file) for file in files] if key == "upload:0" else [])

    def draw() -> None:
        from app.screens import patients

        patients.draw()

    at = AppTest.from_function(draw, default_timeout=60)
    return checked(at.run())


def test_a_file_is_shown_and_kept_only_when_told_to(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    at = uploaded(monkeypatch, ("eva.csv", TABLE.encode()))
    text = shown(at)
    assert "12 glucose readings" in text and "which time zone" in text
    assert "eva" not in patient_names(db)
    at.text_input(key="name:0").set_value("Eva")
    at = press(checked(at.run()), "keep")
    assert "**Eva**: 12 entries kept" in shown(at)
    assert "Eva" in patient_names(db)


def test_a_doubt_must_be_answered_before_a_file_is_added(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    at = uploaded(monkeypatch, ("eva.csv", TABLE.encode()))
    at.radio(key="way:0").set_value("Add to a patient who is here")
    at = checked(at.run())
    at.selectbox(key="patient:0").set_value("ann")
    at = checked(at.run())
    assert "Is this the same person?" in shown(at) and "'eva'" in shown(at)
    assert next(button for button in at.button if button.key == "keep").disabled
    at = checked(at.checkbox(key="sure:0:ann").check().run())
    press(at, "keep")
    assert imports(db)[0].events == {"ann": 12}


def test_a_name_that_is_taken_is_refused(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    at = uploaded(monkeypatch, ("eva.csv", TABLE.encode()))
    at.text_input(key="name:0").set_value("ann")
    at = checked(at.run())
    assert "ann is here already" in shown(at)
    assert next(button for button in at.button if button.key == "keep").disabled


def test_a_pdf_by_the_name_of_a_table_is_told(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    at = uploaded(monkeypatch, ("letter.csv", b"%PDF-1.7\n1 0 obj"), ("eva.csv", TABLE.encode()))
    text = shown(at)
    assert "**letter.csv** cannot be read" in text and "PDF" in text
    assert "12 glucose readings" in text


def test_an_import_is_taken_back_with_a_reason(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    at = press(uploaded(monkeypatch, ("eva.csv", TABLE.encode())), "keep")
    run = imports(db)[0].run
    at.text_input(key=f"why:{run}").set_value("wrong person")
    at = press(checked(at.run()), f"back:{run}")
    assert "Taken back: 12 of eva" in shown(at)
    assert imports(db)[0].state == "taken back"


def test_a_site_is_looked_at_kept_and_read_again(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(nightscout([])) as address:
        at = uploaded(monkeypatch)
        at.text_input(key="site_address:0").set_value(address)
        at.text_input(key="site_token:0").set_value(TOKEN)
        at = press(at, "Look")
        assert "144 glucose readings" in shown(at) and "nightscout-127-0-0-1" not in patient_names(db)
        at.text_input(key="name:0").set_value("Nora")
        at = press(checked(at.run()), "keep")
        assert "Nora" in patient_names(db) and f"**Nora** from {address}" in shown(at) and TOKEN not in shown(at)
        at = press(at, f"again:Nora:{address}")
        assert "**Nora**: 0 entries kept" in shown(at)
    at = press(at, f"again:Nora:{address}")
    assert "**Nora** was not read" in shown(at) and "no answer" in shown(at) and TOKEN not in shown(at)
    at = press(at, f"forget:Nora:{address}")
    assert "Sites that are read again" not in shown(at)
