"""The app in a real browser: it comes up, a patient is reviewed, a reload loses nothing, every screen says what it is for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from careplan.clinic import Database, load_draft

from .conftest import ADA
from .driven import click, free_port, notice, serving, text, title, visible, wait


@pytest.fixture
def address(db: Database, tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path, free_port()) as url:
        yield url


@pytest.mark.timeout(400)
def test_a_clinician_reviews_a_patient(browser: webdriver.Chrome, address: str, db: Database) -> None:
    browser.get(address)
    wait(browser, lambda: title(browser) == "Worklist")
    notice(browser)
    assert browser.find_elements(By.CSS_SELECTOR, "[data-testid='stAppDeployButton']") == []

    click(browser, "Review")
    wait(browser, lambda: title(browser) == "Patient ann")
    wait(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg")) >= 2)
    assert len(browser.find_elements(By.CSS_SELECTOR, ".cp-days img")) == 14
    wait(browser, lambda: "Proposed for fewer lows" in visible(browser, ".cp-point").text)
    wait(browser, lambda: visible(browser, ".cp-why"))
    said = visible(browser, ".cp-why").text
    assert "Fewer lows 06:00-11:00" in said and "3 of 14 3, 5, 9 Mar" in " ".join(said.split())
    drawn = browser.find_elements(By.CSS_SELECTOR, ".cp-bar i")
    assert len(drawn) == 2 and all(bar.size["width"] > 2 for bar in drawn)
    notice(browser)
    click(browser, "Accept")
    wait(browser, lambda: "1 of 3 lines decided" in text(browser))
    assert [decision.verdict for decision in load_draft(db, 1, ADA)] == ["accept"]

    browser.refresh()  # the session is gone; the address and the draft are not
    wait(browser, lambda: title(browser) == "Patient ann")
    wait(browser, lambda: "2 of 3 lines are still to decide" in text(browser))

    click(browser, "Next hours")
    wait(browser, lambda: title(browser) == "Next hours of patient ann")
    wait(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg")) >= 1)
    wait(browser, lambda: "Bolus, now" in text(browser))
    wait(browser, lambda: "as prescribed" in text(browser))
    wait(browser, lambda: "4 Mar 12:05" in visible(browser, ".cp-moments").text)
    click(browser, "Reject")
    wait(browser, lambda: "1 of 2 lines decided" in text(browser))
    assert [decision.verdict for decision in load_draft(db, 4, ADA)] == ["reject"]

    for page, heading in (("Record", "Record of patient ann"), ("Cohorts", "Cohorts"), ("Audit trail", "Audit trail")):
        click(browser, page)
        wait(browser, lambda heading=heading: title(browser) == heading)
        notice(browser)
    wait(browser, lambda: "the trail is whole" in text(browser))
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [
        message for message in errors if "_stcore" not in message
    ] == []  # Streamlit looks for its server under the page's path first
