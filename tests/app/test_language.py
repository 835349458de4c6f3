"""Every text that people read is of one catalogue, whole in every language that it is in."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from careplan import language
from careplan.language import LANGUAGES, LOCALE, PLACEHOLDER, _, retold, using

from .conftest import Start, checked, shown

ROOT = Path(__file__).parents[2]
MARKS = ("_", "N_", "ngettext")


def marked() -> Iterator[tuple[str, str]]:
    """Every message that the product marks, with where."""
    for folder in ("app", "careplan", "cohorts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text()
            for node in ast.walk(ast.parse(source)) if "careplan.language import" in source or "def N_(" in source else ():
                if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") in MARKS):
                    continue
                if isinstance(node.args[0], ast.Constant):
                    yield str(node.args[0].value), f"{path.relative_to(ROOT)}:{node.lineno}"


def catalogue(name: str) -> Catalog:
    with (LOCALE / name / "LC_MESSAGES" / "careplan.po").open("rb") as file:
        return read_po(file, locale=name)


@pytest.mark.parametrize("name", [name for name in LANGUAGES if name != language.ENGLISH])
def test_every_message_is_translated(name: str) -> None:
    found = catalogue(name)
    missing = {message: where for message, where in marked() if message not in found or not said_of(found, message)}
    assert missing == {}, "say them in the catalogue, as docs/reference/languages.md tells"
    known = {message for message, _where in marked()}
    assert [each.id for each in found if each.id and first(each.id) not in known] == [], "messages that nobody says"
    for each in found:
        if each.id:
            message, said = first(each.id), said_of(found, first(each.id))
            assert sorted(PLACEHOLDER.findall(message)) == sorted(PLACEHOLDER.findall(said)), message
            assert message.count("**") == said.count("**"), message


def first(message: str | tuple[str, ...] | list[str]) -> str:
    return message if isinstance(message, str) else message[0]


def said_of(found: Catalog, message: str) -> str:
    said = found[message].string
    return said if isinstance(said, str) else said[0]


def test_numbers_and_dates_are_the_readers() -> None:
    noon, spring = datetime(2026, 3, 4, 12, 5, tzinfo=UTC), date(2026, 3, 4)
    assert (language.moment(noon), language.number(1234.5, 1), language.weekday(spring)) == (
        "04 Mar 2026 12:05",
        "1,234.5",
        "Wed 04 Mar",
    )
    with using("ja"):
        assert language.moment(noon, "Asia/Tokyo") == "2026年3月4日 21:05"
        assert (language.number(1234.5, 1), language.weekday(spring)) == ("1,234.5", "3月4日(水)")


def test_a_language_is_of_whoever_is_spoken_to() -> None:
    assert language.current() == "en" and _("Low") == "Low"
    with using("ja"):
        assert (_("Low"), _("")) == ("低い", "")
        with using("en"):
            assert _("Low") == "Low"
    with pytest.raises(ValueError, match="expected one of en, ja"), using("xx"):
        pass
    found = [language.preferred(locale) for locale in ("ja-JP", "ja", "en_GB", "de", None)]
    assert found == ["ja", "ja", "en", "en", "en"]


def test_a_stored_text_is_told_again_by_the_message_that_it_was_made_from() -> None:
    text = "1.5 % below 54 mg/dL (target < 1 %)"
    assert retold(text) == text
    with using("ja"):
        assert retold(text) == "54 mg/dL 未満 1.5 %（目標 < 1 %）"
        assert retold(f"{text}; no change") == "54 mg/dL 未満 1.5 %（目標 < 1 %）／変更なし"
        assert retold("written by a person") == "written by a person" and retold("") == ""


def test_the_language_is_chosen_in_the_sidebar_and_kept_in_the_address(start: Start) -> None:
    at = start()
    at.button_group(key="language_choice").set_value("ja")
    text = shown(checked(at.run()))
    assert "患者一覧" in text and "54 mg/dL 未満" in text and "Worklist" not in text
    assert at.query_params["language"] in ("ja", ["ja"])


SHOWS = re.compile(
    r"^(title|header|subheader|caption|markdown|info|warning|error|success|button|toggle|checkbox|expander|spinner|metric"
    r"|selectbox|multiselect|pills|radio|segmented_control|text_input|text_area|number_input|date_input|file_uploader"
    r"|form_submit_button|download_button)$"
)


def test_no_screen_says_a_text_past_the_catalogue() -> None:
    """What Streamlit is given to show is no literal of the source, but for signs and numbers."""
    found = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and SHOWS.match(node.func.attr) and node.args:
                text = node.args[0]
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                said = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant) and part.value is not None)
                if re.search("[A-Za-z]{3}", re.sub(r":material/\w+:|&nbsp;|</?\w+[^>]*>|careplan|UTC", "", said)):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {said[:60]}")
    assert found == []
