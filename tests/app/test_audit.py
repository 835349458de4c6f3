"""The audit page tells its entries in words."""

from streamlit.testing.v1 import AppTest

from careplan.clinic import Database

from .conftest import checked


def test_what_an_entry_keeps_is_told_in_words(db: Database) -> None:
    at = checked(AppTest.from_string("from app.screens import audit\naudit.draw()", default_timeout=60).run())
    table = at.dataframe[0].value
    told = dict(zip(table["What"], table["Detail"], strict=True))
    assert "entries" in told["imported"] and "lines proposed" in " ".join(table["Detail"])
    assert not any(sign in text for text in table["Detail"] for sign in '{}[]"_')
