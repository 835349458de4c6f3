"""The audit page tells its entries in words."""

from streamlit.testing.v1 import AppTest

from careplan.clinic import Database

from ..kept import edit
from .conftest import checked, press


def test_what_an_entry_keeps_is_told_in_words(db: Database) -> None:
    at = checked(AppTest.from_string("from app.screens import audit\naudit.draw()", default_timeout=60).run())
    table = at.dataframe[0].value
    told = dict(zip(table["What"], table["Detail"], strict=True))
    assert "entries" in told["imported"] and "lines proposed" in " ".join(table["Detail"])
    assert not any(sign in text for text in table["Detail"] for sign in '{}[]"_')


def test_the_whole_trail_is_recomputed_when_asked_for(db: Database) -> None:
    at = checked(AppTest.from_string("from app.screens import audit\naudit.draw()", default_timeout=60).run())
    assert "the trail is whole" in at.success[0].value
    edit(db, "UPDATE audit SET actor = 'nobody' WHERE id = 1")  # of what was verified just now
    assert "the trail is whole" in checked(at.run()).success[0].value
    at = press(at, "verify_all")
    assert not at.success and "What is on record was changed" in at.error[0].value
