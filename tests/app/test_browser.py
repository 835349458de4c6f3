"""The app in a real browser: it comes up, a patient is reviewed, a reload loses nothing, every screen says what it is for."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from app.access import NOTICE
from careplan.clinic import Database, load_draft

from .conftest import ADA

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,900"),
)
PATIENCE = 90  # seconds a busy machine may take; not a measure


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        reason = "chromium and chromedriver are not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield found
    found.quit()


@pytest.fixture
def address(db: Database, tmp_path: Path) -> Iterator[str]:
    """The app as `careplan app` serves it, from a folder that is not the checkout."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    database = os.environ["CAREPLAN_DATABASE"]
    command = f"import sys; from careplan.cli.serve import serve; sys.exit(serve({database!r}, port={port}, browser=False))"
    log = (tmp_path / "app.log").open("w+")
    process = subprocess.Popen([sys.executable, "-c", command], cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://localhost:{port}"
    try:
        for _ in range(PATIENCE * 2):
            try:
                with urlopen(f"{url}/_stcore/health", timeout=2):
                    break
            except (URLError, OSError):
                assert process.poll() is None, (tmp_path / "app.log").read_text()
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        assert process.wait(60) == 0, (tmp_path / "app.log").read_text()
        log.close()


@pytest.mark.timeout(400)
def test_a_clinician_reviews_a_patient(browser: webdriver.Chrome, address: str, db: Database) -> None:
    browser.get(address)
    enter(browser)
    wait(browser, lambda: title(browser) == "Worklist")
    notice(browser)
    assert browser.find_elements(By.CSS_SELECTOR, "[data-testid='stAppDeployButton']") == []

    click(browser, "Review")
    wait(browser, lambda: title(browser) == "Patient ann")
    wait(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg")) >= 2)
    assert len(browser.find_elements(By.CSS_SELECTOR, ".cp-days img")) == 14
    assert "Proposed for fewer lows" in visible(browser, ".cp-point").text
    wait(browser, lambda: visible(browser, ".cp-why"))
    said = visible(browser, ".cp-why").text
    assert "Fewer lows 06:00-11:00" in said and "3 of 14 3, 5, 9 Mar" in " ".join(said.split())
    drawn = browser.find_elements(By.CSS_SELECTOR, ".cp-bar i")
    assert len(drawn) == 2 and all(bar.size["width"] > 2 for bar in drawn)
    notice(browser)
    click(browser, "Accept")
    wait(browser, lambda: "1 of 3 lines decided" in text(browser))
    assert [decision.verdict for decision in load_draft(db, 1, ADA.actor)] == ["accept"]

    browser.refresh()  # the session is gone; the address and the draft are not
    enter(browser)
    wait(browser, lambda: title(browser) == "Patient ann")
    wait(browser, lambda: "2 of 3 lines are still to decide" in text(browser))

    click(browser, "Next hours")
    wait(browser, lambda: title(browser) == "Next hours of patient ann")
    wait(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg")) >= 1)
    wait(browser, lambda: "Bolus, now" in text(browser))
    assert "as prescribed" in text(browser)
    assert "4 Mar 12:05" in visible(browser, ".cp-moments").text
    click(browser, "Reject")
    wait(browser, lambda: "1 of 2 lines decided" in text(browser))
    assert [decision.verdict for decision in load_draft(db, 4, ADA.actor)] == ["reject"]

    for page, heading in (("Record", "Record of patient ann"), ("Cohorts", "Cohorts"), ("Audit trail", "Audit trail")):
        click(browser, page)
        wait(browser, lambda heading=heading: title(browser) == heading)
        notice(browser)
    assert "the trail is whole" in text(browser)
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [
        message for message in errors if "_stcore" not in message
    ] == []  # Streamlit looks for its server under the page's path first


def enter(browser: webdriver.Chrome) -> None:
    """Says who is reviewing."""
    name = wait(browser, lambda: visible(browser, "input[aria-label='Name']"))
    name.send_keys(Keys.CONTROL, "a")
    name.send_keys("Ada Lovelace", Keys.TAB)
    click(browser, "Continue")


def wait(browser: webdriver.Chrome, condition: Callable[[], object]) -> WebElement:
    """What the condition gives once it holds; where it does not in time, says what the page shows instead."""
    try:
        return WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(lambda _: condition())
    except TimeoutException:
        raise AssertionError(
            f"waited {PATIENCE} s in vain at {browser.current_url}; the page says:\n{page_text(browser)}"
        ) from None


def click(browser: webdriver.Chrome, label: str) -> None:
    """The first visible button or link of that name, once it is there."""

    def pressed() -> bool:
        for element in browser.find_elements(By.CSS_SELECTOR, "button, a"):
            if element.is_displayed() and element.text.strip().splitlines()[-1:] == [label]:
                browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
                element.click()
                return True
        return False

    wait(browser, pressed)


def visible(browser: webdriver.Chrome, selector: str) -> WebElement:
    return next(element for element in browser.find_elements(By.CSS_SELECTOR, selector) if element.is_displayed())


def title(browser: webdriver.Chrome) -> str:
    return visible(browser, "h1").text


def text(browser: webdriver.Chrome) -> str:
    return visible(browser, "[data-testid='stMain']").text


def page_text(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def notice(browser: webdriver.Chrome) -> None:
    assert visible(browser, ".cp-notice").text == NOTICE
