"""Where the stories are played: a browser at the app, pictures of what it shows, and what every page must hold.

A page that is shown has no horizontal scrollbar on a wide screen, on a usual one and on a phone, and axe-core finds nothing
serious or critical on it. `CAREPLAN_AXE` names axe-core's `axe.min.js`.
"""

import os
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from .driven import visible, wait

USUAL, WIDE, PHONE = (1400, 900), (1920, 1080), (390, 844)
TALLEST = 6000  # pixels of a picture
STOPS = 300  # presses of Tab after which what is looked for cannot be reached by them
GRAVE = ("serious", "critical")
AXE = """
const done = arguments[0];
axe.run(document, {resultTypes: ['violations']}).then(done, error => done({error: String(error)}));
"""
AT_REST = "return document.querySelector('[data-test-script-state=\"notRunning\"]') !== null"
WIDER = """
const pages = [document.documentElement, document.querySelector('[data-testid=stMain]')];
return Math.max(...pages.filter(Boolean).map(each => each.scrollWidth - each.clientWidth));
"""
HEIGHT = """
return Math.max(...['stMain', 'stSidebarContent'].map(id => document.querySelector(`[data-testid=${id}]`)?.scrollHeight ?? 0));
"""
TO_HEADING = """
const headings = [...document.querySelectorAll('h1, h2, h3')];
(headings.find(each => arguments[0] && each.innerText.startsWith(arguments[0])) ?? headings[0])?.scrollIntoView({block: 'start'});
"""
FOLDS = 768  # pixels below which the menu lies over the page until it is folded
FOLD = """
const button = document.querySelector('[data-testid=stSidebarCollapseButton] button');
const there = document.querySelector('[data-testid=stSidebar][aria-expanded=true]') !== null;
if (button && there) button.click();
return button !== null && there;
"""
UNFOLD = "document.querySelector('[data-testid=stExpandSidebarButton]')?.click()"
FOCUS = """
const at = document.activeElement;
return [at.tagName, at.getAttribute('aria-label') ?? '', (at.innerText ?? '').trim(), at.type ?? ''];
"""


@dataclass
class Stage:
    """A browser at an app. out: where pictures go; None takes none. wrong: what pages did not hold. seen: titles of pages."""

    browser: webdriver.Chrome
    address: str
    folder: Path
    out: Path | None = None
    axe: str | None = None
    wrong: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    shots: int = 0

    def show(self, name: str, about: str = "") -> None:
        """The page as it is, with a picture of it for a desk and for a phone, held to what every page must hold.

        about: the heading at which the picture of one screen begins, which is taken besides.
        """
        self.shots += 1
        self.rest()
        self.seen |= {each.text for each in self.browser.find_elements(By.TAG_NAME, "h1") if each.text}
        for size, kind in ((WIDE, None), (PHONE, "-phone"), (USUAL, "")):
            with self.sized(*size):
                if (over := self.browser.execute_script(WIDER)) > 0:
                    self.wrong.append(f"{name} at {size[0]} pixels: {over} pixels too wide")
                if kind is not None:
                    self.rest()  # what was asked for before it was shown may be drawn anew only now, and what is stale fades
                    self.wrong += [f"{name} at {size[0]} pixels: {each}" for each in self.barriers()]
                    self.picture(f"{self.shots:02d}-{name}{kind}", size[0])
        if self.out is not None:
            with self.sized(*USUAL):
                self.browser.execute_script(TO_HEADING, about)
                self.shoot(f"{self.shots:02d}-{name}-view")

    def rest(self) -> None:
        """Until the app has drawn all it has to draw."""
        wait(self.browser, lambda: self.browser.execute_script(AT_REST))

    def field(self, label: str) -> WebElement:
        """The visible field whose label begins so. A page comes piece by piece: it is there, and all the page is drawn."""

        def found() -> WebElement:
            return visible(self.browser, f"input[aria-label^='{label}']")

        wait(self.browser, found)
        self.rest()
        return wait(self.browser, found)

    @contextmanager
    def sized(self, width: int, height: int) -> Iterator[None]:
        """The page as a screen of that size shows it, its menu folded on a phone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        folded = width < FOLDS and self.browser.execute_script(FOLD)
        settled(lambda: self.browser.execute_script(WIDER))
        yield
        if folded:
            self.browser.execute_script(UNFOLD)
        self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def picture(self, name: str, width: int) -> None:
        """All of the page from top to bottom."""
        if self.out is None:
            return
        height = min(TALLEST, max(900, self.browser.execute_script(HEIGHT) + 60))
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        settled(lambda: self.browser.execute_script(HEIGHT))
        self.shoot(name)

    def shoot(self, name: str) -> None:
        """What is on the screen."""
        if self.out is not None:
            shot = self.browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
            (self.out / f"{name}.png").write_bytes(b64decode(shot["data"]))

    def barriers(self) -> list[str]:
        """What axe-core finds that keeps people out, in words."""
        if self.axe is None:
            return []
        if self.browser.execute_script("return typeof axe") == "undefined":
            self.browser.execute_script(self.axe)
        found: dict[str, Any] = self.browser.execute_async_script(AXE)
        if "error" in found:
            return [f"axe-core failed: {found['error']}"]
        grave = [each for each in found["violations"] if each["impact"] in GRAVE]
        return [f"{each['impact']}: {each['help']} ({each['id']}), at {each['nodes'][0]['target'][0]}" for each in grave]

    def press(self, *keys: str) -> None:
        """Keys, as at a keyboard, to whatever has the focus."""
        ActionChains(self.browser).send_keys(*keys).perform()

    def focus(self) -> tuple[str, str, str, str]:
        """Tag, label, text and type of what has the focus."""
        tag, label, text, kind = self.browser.execute_script(FOCUS)
        return tag, label, text, kind

    def tab_to(self, *names: str) -> None:
        """Presses Tab until the focus is on something of one of those names."""
        passed = []
        for _ in range(STOPS):
            self.press(Keys.TAB)
            _, label, text, _ = self.focus()
            if label in names or text.splitlines()[-1:] in [[name] for name in names]:
                return
            passed.append(label or text[:40])
        raise AssertionError(f"{names} cannot be reached with Tab from here; it passed {[*dict.fromkeys(passed)]}")


def settled(measure: Callable[[], object]) -> None:
    """Until a measure is the same three times in a row."""
    from time import sleep

    last, same = None, 0
    for _ in range(60):
        now = measure()
        last, same = now, same + 1 if now == last else 0
        if same >= 3:
            return
        sleep(0.1)


def axe() -> str | None:
    """axe-core itself; None where it is not here."""
    named = os.environ.get("CAREPLAN_AXE")
    return Path(named).read_text(encoding="utf-8") if named else None
