"""In through the door: a real browser, a real identity provider on the loopback, roles and clinics from its claims."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from app import access, sign_in
from app.activity import Activity
from careplan.clinic import Database, review_page
from careplan.clinic.roles import assign

from .conftest import ADA, Start, shown
from .driven import click, free_port, page_text, serving, text, title, wait
from .provider import come_in, go_out, name_oneself, providing

PEOPLE = {
    "ada": {"name": "Dr Ada", "roles": ["clinician"], "clinics": ["north"]},
    "eve": {"name": "Dr Eve", "roles": "clinician administrator", "clinics": "south"},
    "vic": {"name": "Vic", "roles": ["viewer"], "clinics": ["north", "south"]},
}

User = Callable[..., None]


@pytest.fixture
def clinics(db: Database) -> Database:
    """ann and bea of the north, cyd and dan of the south."""
    assign(db, ["ann", "bea"], "north", reason="where they live")
    assign(db, ["cyd", "dan"], "south", reason="where they live")
    return db


@pytest.mark.timeout(600)
def test_in_through_the_door(browser: webdriver.Chrome, clinics: Database, tmp_path: Path) -> None:
    port = free_port()
    with providing(tmp_path, PEOPLE, f"http://localhost:{port}") as provider:
        (tmp_path / "sign_in.toml").write_text(provider.settings)
        with serving(tmp_path, port, sign_in=tmp_path / "sign_in.toml") as address:
            browser.get(f"{address}/review?patient=ann")
            wait(browser, lambda: "Sign in" in page_text(browser))
            assert "ann" not in page_text(browser).split()
            come_in(browser, "ada")
            assert provider.asked[-1].keys() >= {"nonce", "state", "code_challenge"}
            wait(browser, lambda: "2 patients" in text(browser))
            assert "cyd" not in text(browser) and "Audit trail" not in page_text(browser)

            click(browser, "Review")
            wait(browser, lambda: title(browser) == "Patient ann")
            for place in range(3):
                accept(browser, place)
            click(browser, "Confirm who you are")  # it is signed only after the provider has asked again
            wait(browser, lambda: browser.find_element(By.NAME, "password"))
            assert provider.asked[-1]["prompt"] == "login"
            browser.get(provider.without_a_password())  # and nobody who holds the browser gets past it
            wait(browser, lambda: "does not say when it asked for the password" in page_text(browser))
            click(browser, "Sign in")
            name_oneself(browser, "ada")
            wait(browser, lambda: title(browser) == "Patient ann")  # and comes back to where it was
            wait(browser, lambda: "3 of 3 lines decided" in text(browser))
            click(browser, "Sign")
            wait(browser, lambda: "Dr Ada, " in text(browser))
            assert review_page(clinics, "ann").history[0].reviewer == "Dr Ada"

            go_out(browser)
            come_in(browser, "eve")
            wait(browser, lambda: "2 patients" in text(browser))
            for page in ("review", "doses", "record"):
                browser.get(f"{address}/{page}?patient=ann")
                wait(browser, lambda: "Patient ann is not in the store" in text(browser))
            click(browser, "Audit trail")
            wait(browser, lambda: title(browser) == "Audit trail")
            assert "ann" not in page_text(browser).split()

            provider.stop()
            click(browser, "Sign off")
            click(browser, "Sign in")
            wait(browser, lambda: "The clinic's sign-in cannot be reached" in page_text(browser))


def accept(browser: webdriver.Chrome, place: int) -> None:
    """Accepts one line, of those that there are."""

    def pressed() -> bool:
        found = [button for button in browser.find_elements(By.CSS_SELECTOR, "button") if button.text.strip() == "Accept"]
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found[place])
        found[place].click()
        return True

    wait(browser, pressed)
    wait(browser, lambda: f"{place + 1} of 3 lines decided" in text(browser))


@pytest.mark.timeout(400)
def test_after_idle_neither_a_reload_nor_the_back_button_shows_a_patient(
    browser: webdriver.Chrome, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAREPLAN_IDLE_MINUTES", "0.5")
    with serving(tmp_path, free_port()) as address:
        browser.get(address)
        wait(browser, lambda: title(browser) == "Worklist")
        click(browser, "Review")
        wait(browser, lambda: title(browser) == "Patient ann")
        wait(browser, lambda: "Signed off after 0.5 minutes" in page_text(browser))
        for again in (browser.refresh, browser.back, browser.forward):
            again()
            wait(browser, lambda: "Signed off after" in page_text(browser))
            assert "Patient ann" not in page_text(browser) and "bea" not in page_text(browser).split()
        click(browser, f"Continue as {ADA.subject}")
        wait(browser, lambda: title(browser) != "careplan")


def claims(**given: Any) -> dict[str, Any]:
    return {"iss": "https://clinic.example", "sub": "1", "is_logged_in": True, **given}


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> User:
    """Makes somebody who has signed in the app's user, with claims besides."""
    monkeypatch.setenv("CAREPLAN_SIGN_IN", str(tmp_path / "sign_in.toml"))

    def signed_in(**given: Any) -> None:
        monkeypatch.setattr(sign_in.st, "user", SimpleNamespace(to_dict=lambda: claims(**given)))

    return signed_in


def test_claims_become_an_actor_with_known_roles_alone() -> None:
    found = sign_in.actor_of(claims(name="Dr  Ada", roles=["clinician", "owner"], clinics="north, south"))
    assert (found.name, found.issuer, found.subject) == ("Dr Ada", "https://clinic.example", "1")
    assert found.roles == {"clinician"} and found.clinics == {"north", "south"}
    nobody = sign_in.actor_of(claims())
    assert nobody.name == "1" and nobody.roles == frozenset() == nobody.clinics
    with pytest.raises(ValueError, match="issuer"):
        sign_in.actor_of({"sub": "1", "is_logged_in": True})


def test_only_a_password_that_was_asked_for_anew_is_fresh_and_for_two_minutes(user: User) -> None:
    user(provider="again", iat=time.time(), auth_time=time.time() - 600)  # a token made just now, of a password typed long ago
    assert not sign_in.fresh()
    user(provider="again", iat=time.time())  # a token made just now, which does not say of when the password is
    assert not sign_in.fresh()
    user(provider="again", iat=time.time() - 600, auth_time=time.time() - 5)
    assert sign_in.fresh()
    user(provider="default", auth_time=time.time())  # the first sign-in
    assert not sign_in.fresh()
    user()
    assert not sign_in.fresh()


def test_the_door_says_why_a_sign_in_does_not_count(start: Start, user: User) -> None:
    user(iat=time.time())
    assert "does not say when it asked for the password" in shown(start())
    user(iat=time.time(), auth_time=time.time() - 3600)
    assert "typed more than 15 minutes ago" in shown(start())


def test_somebody_at_two_machines_is_signed_off_at_the_one_they_left(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    access.activity.clear()  # type: ignore[attr-defined]
    came, minutes = time.time(), [0.0]
    monkeypatch.setattr("app.activity.monotonic", lambda: 60 * minutes[0])

    def at(machine: int, minute: float) -> bool:
        minutes[0] = minute
        user(auth_time=came - machine)
        if (found := access.known()) is not None:
            assert access.actor() == found
        return found is not None

    assert at(1, 0.0) and at(2, 0.0) and at(1, 10.0)
    assert not at(2, 20.0) and at(1, 20.0)


def test_after_too_long_away_only_a_new_sign_in_counts() -> None:
    activity, now = Activity(15.0), time.time()
    assert activity.here("ada", now - 60, now=0.0)
    assert not activity.here("old cookie", now - 20 * 60, now=0.0)
    activity.touch("ada", now=0.0)
    assert activity.here("ada", now - 60, now=14 * 60.0)
    assert not activity.here("ada", now - 60, now=16 * 60.0)
    assert not activity.here("ada", now - 60, now=16 * 60.0)  # nor with the same sign-in again
    assert activity.here("ada", time.time() + 1, now=17 * 60.0)
    activity.leave("ada")
    assert not activity.here("ada", now - 60, now=17 * 60.0)
