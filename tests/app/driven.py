"""A real browser and the app as `careplan app` serves it, for the tests that drive the one through the other."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from app.access import NOTICE

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,900"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",  # a page needs nothing from elsewhere
)
PATIENCE = 90  # seconds a busy machine may take; not a measure


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


@contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """A browser with a profile in a folder; skips where none is installed, which CI refuses."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        absent("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = str(program)
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield found
    finally:
        found.quit()


def absent(reason: str) -> None:
    """Skips for want of a program; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def serving(folder: Path, port: int, *, sign_in: Path | None = None) -> Iterator[str]:
    """The app on the database that the environment names, from a folder that is not the checkout; its address."""
    database = os.environ["CAREPLAN_DATABASE"]
    given = f"port={port}, browser=False, sign_in=None if {str(sign_in)!r} == 'None' else Path({str(sign_in)!r})"
    command = (
        f"import sys; from pathlib import Path; from careplan.cli.serve import serve; sys.exit(serve({database!r}, {given}))"
    )
    log = (folder / "app.log").open("w+")
    process = subprocess.Popen([sys.executable, "-c", command], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://localhost:{port}"
    try:
        for _ in range(PATIENCE * 2):
            try:
                with urlopen(f"{url}/_stcore/health", timeout=2):
                    break
            except (URLError, OSError):
                assert process.poll() is None, (folder / "app.log").read_text()
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        assert process.wait(60) == 0, (folder / "app.log").read_text()
        log.close()


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
