"""`oidc-provider`, an identity provider that others wrote and that is OpenID Certified, on the loopback (`provider.mjs`).

`CAREPLAN_OIDC` names a folder in which `npm install oidc-provider@8.8.1` was run. A test that needs it skips without it; in CI it
fails.
"""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from .driven import PATIENCE, absent, click, page_text, title, wait

OIDC = "CAREPLAN_OIDC"
CLIENT, SECRET = "careplan", "not-a-secret"  # of the app, as the provider knows it


@dataclass(frozen=True)
class Provider:
    """One that runs, for the app at an address. log: its address and, a line each, what it was asked."""

    app: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def issuer(self) -> str:
        return self.log.read_text().partition("\n")[0]

    @property
    def asked(self) -> list[dict[str, str]]:
        """Every request for authorisation."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    @property
    def settings(self) -> str:
        """The TOML that `careplan app --sign-in` reads."""
        client = (
            f'client_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
            f'server_metadata_url = "{self.issuer}/.well-known/openid-configuration"\nclient_kwargs = {{ prompt = "login" }}\n'
        )
        cookie = f'redirect_uri = "{self.app}/oauth2callback"\ncookie_secret = "{secrets.token_hex(16)}"\n'
        return f"[auth]\n{cookie}{client}[auth.again]\n{client}"

    def without_a_password(self) -> str:
        """The address that the browser was last sent to, but for its request to ask for a password."""
        return f"{self.issuer}/auth?{urlencode({name: value for name, value in self.asked[-1].items() if name != 'prompt'})}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@contextmanager
def providing(folder: Path, people: Mapping[str, Mapping[str, Any]], app: str) -> Iterator[Provider]:
    """A provider that knows people by name with their claims, for the app at an address; it is stopped in the end."""
    node, packages = shutil.which("node"), Path(os.environ.get(OIDC, "/nowhere"))
    if node is None or not (packages / "node_modules" / "oidc-provider").is_dir():
        absent(f"no identity provider: set {OIDC} to a folder in which oidc-provider was installed by npm")
    given = json.dumps({"people": people, "app": app, "client": CLIENT, "secret": SECRET})
    command = [str(node), str(Path(__file__).with_suffix(".mjs")), given]
    with (folder / "provider.log").open("wb") as log, (folder / "provider.err").open("wb") as err:
        process = subprocess.Popen(command, cwd=packages, stdout=log, stderr=err)
    found = Provider(app, folder / "provider.log", process)
    try:
        for _ in range(PATIENCE * 10):
            if found.issuer:
                break
            assert process.poll() is None, (folder / "provider.err").read_text()
            time.sleep(0.1)
        yield found
    finally:
        found.stop()


def name_oneself(browser: webdriver.Chrome, who: str) -> None:
    """Types a name and a password at the provider."""
    wait(browser, lambda: browser.find_element(By.NAME, "login")).send_keys(who)
    browser.find_element(By.NAME, "password").send_keys("any", Keys.ENTER)


def come_in(browser: webdriver.Chrome, who: str) -> None:
    """Through the app's door, to the page that it shows first."""
    click(browser, "Sign in")
    name_oneself(browser, who)
    wait(browser, lambda: title(browser) == "Worklist")


def go_out(browser: webdriver.Chrome) -> None:
    """Signs off, at the provider too."""
    click(browser, "Sign off")
    click(browser, "Yes, sign me out")
    wait(browser, lambda: "Sign in" in page_text(browser))
