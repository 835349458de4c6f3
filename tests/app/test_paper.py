"""The page of paper is read as text, and its fonts are in it; the note and the tables say the same."""

import csv
from datetime import UTC, datetime
from io import BytesIO, StringIO

import pytest
from pypdf import PdfReader

from app.chart_note import days_csv, note, settings_csv
from app.paper import NOTICE, review_pdf
from careplan.clinic import Database, review_page, sign_review
from careplan.display import Unit
from careplan.language import using
from careplan.suggestion import Decision
from careplan.therapies.glucose.words import MG_DL, MMOL_L

from .conftest import ADA

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def read(body: bytes) -> tuple[PdfReader, str]:
    found = PdfReader(BytesIO(body))
    return found, " ".join(" ".join(page.extract_text() for page in found.pages).split())


def sign(db: Database) -> None:
    page = review_page(db, "ann")
    assert page.suggestion is not None
    basal, *others = page.suggestion.lines
    kept = [Decision(key=line.key, verdict="accept", value=line.proposed) for line in others]
    edit = Decision(key=basal.key, verdict="reject", value=basal.current, reason="she carries snacks now")
    sign_review(db, 1, [edit, *kept], ADA, "prescribe with changes")


@pytest.mark.parametrize("unit", [MG_DL, MMOL_L], ids=lambda unit: unit.name)
def test_the_proposal_fits_one_page_with_its_reasons(db: Database, unit: Unit) -> None:
    found, text = read(review_pdf(review_page(db, "ann"), unit, by="Dr Ada", now=NOW))
    assert len(found.pages) == 1
    for said in ("Patient ann", NOTICE, "proposal, not decided", "Settings, now and proposed", "1.00 to 0.90", "by Dr Ada"):
        assert said in text
    assert "Basal rate, 06:00-11:00: 1.00 to 0.90 U/h, -0.10 U/h (-10 %)" in text
    assert "13 days of evidence" in text and "Predicted, no change: in range" in text and "careplan 0" in text
    assert ("In range 70-180" in text) == (unit is MG_DL) and ("In range 3.9-10.0" in text) == (unit is MMOL_L)
    assert "printed 02 Jan 2026 03:04 UTC" in text and "\N{BLACK SQUARE}" not in text


def test_fonts_are_embedded(db: Database) -> None:
    found, _ = read(review_pdf(review_page(db, "ann"), MG_DL, by="Dr Ada", now=NOW))
    fonts = [font.get_object() for font in found.pages[0]["/Resources"]["/Font"].values()]  # type: ignore[index]
    used = [font for font in fonts if "Vera" in str(font["/BaseFont"])]
    assert len(used) == 2 and all("/FontFile2" in font["/FontDescriptor"] for font in used)


def test_what_was_decided_is_on_paper_with_its_signature(db: Database) -> None:
    sign(db)
    page = review_page(db, "ann")
    _, text = read(review_pdf(page, MG_DL, by="Dr Ada", now=NOW))
    assert "This page: signed" in text and "Settings in force" in text
    assert "rejected, prescribed 1.00 U/h (was 1.00, proposed 0.90)" in text and "she carries snacks now" in text
    assert f"Signed: {ADA.name}, " in text and '"prescribe with changes"' in text
    told = note(page, MG_DL)
    assert "Rejected: 1.00 U/h, because she carries snacks now." in told and f"Signed: {ADA.name}" in told


@pytest.mark.parametrize("patient", ["bea", "cyd", "dan"])
def test_abstention_no_change_and_next_to_nothing_are_told(db: Database, patient: str) -> None:
    page = review_page(db, patient)
    found, text = read(review_pdf(page, MG_DL, by="Dr Ada", now=NOW))
    told = {"bea": "Careplan abstains: the model is off", "cyd": "No change is proposed", "dan": "Settings in force"}[patient]
    assert len(found.pages) == 1 and told in text
    assert f"Patient {patient}" in note(page, MG_DL)


def test_the_note_is_plain_text_and_says_what_is_proposed(db: Database) -> None:
    told = note(review_page(db, "ann"), MG_DL)
    assert NOTICE in told and "Not decided." in told
    assert "- Basal rate, 06:00-11:00: 1.00 -> 0.90 U/h" in told and "13 days of evidence" in told
    assert len(told.splitlines()) < 20


def test_tables_are_csv(db: Database) -> None:
    page = review_page(db, "ann")
    days = list(csv.DictReader(StringIO(days_csv(page, MG_DL))))
    assert len(days) == len(page.days) and days[0]["date"] == page.days[0].date
    assert float(days[0]["in range %"]) == pytest.approx(page.days[0].metrics.in_range, abs=0.05)
    settings = list(csv.DictReader(StringIO(settings_csv(page, MMOL_L))))
    assert {"setting": "basal", "unit": "U/h", "from": "06:00", "in force": "1.00", "proposed": "0.90"} in settings


def test_the_page_is_japanese_with_its_letters_embedded(db: Database) -> None:
    page = review_page(db, "ann")
    with using("ja"):
        body = review_pdf(page, MG_DL, by="Dr Ada", now=NOW)
    found, text = read(body)
    assert len(found.pages) == 1 and "患者 ann" in text and "1.00 → 0.90" in text and "2026年1月2日 03:04" in text
    fonts = [font.get_object() for font in found.pages[0]["/Resources"]["/Font"].values()]  # type: ignore[index]
    [used] = [font for font in fonts if "IPAex" in str(font["/BaseFont"])]
    assert "/FontFile2" in used["/FontDescriptor"]


def test_without_the_font_the_page_is_english(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.paper.japanese_font", lambda: None)
    with using("ja"):
        body = review_pdf(review_page(db, "ann"), MG_DL, by="Dr Ada", now=NOW)
    assert "Patient ann" in read(body)[1]
