"""Who acts: how that is known, and that no environment variable changes it."""

import subprocess
import sys

import pytest

from careplan.store import Actor, local_account

NAME = "from careplan.store import local_account; print(local_account())"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX accounts")
def test_the_local_account_is_the_processs_own_whatever_the_environment_says() -> None:
    told = {"LOGNAME": "mallory", "USER": "mallory", "LNAME": "mallory", "USERNAME": "mallory"}
    done = subprocess.run([sys.executable, "-c", NAME], env=told, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(local_account()) and "mallory" not in done.stdout


def test_a_name_given_beside_the_account_does_not_replace_it() -> None:
    ada = local_account("Ada Lovelace (physician)")
    assert ada.subject == local_account().subject and ada.kind == "local account"
    assert str(ada) == f"Ada Lovelace (physician) [local account {ada.subject} of {ada.issuer}]"


@pytest.mark.parametrize("field", ["name", "issuer", "subject"])
def test_nobody_acts_without_a_name_an_issuer_and_a_subject(field: str) -> None:
    given = {"name": "Ada", "issuer": "https://clinic.example", "subject": "42", field: " "}
    with pytest.raises(ValueError, match=f"an actor needs a {field}"):
        Actor(kind="identity provider", **given)
