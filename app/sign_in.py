"""The clinic's identity provider: who is signed in, with which roles in which clinics, and whether they were asked just now.

The sign-in itself is Streamlit's (`st.login`, OpenID Connect by Authlib); its settings are a TOML file that `CAREPLAN_SIGN_IN` or
`careplan app --sign-in` names: `[auth]` with `redirect_uri`, `cookie_secret`, `client_id`, `client_secret` and
`server_metadata_url`, and `[auth.again]` with the same client and `client_kwargs = { prompt = "login" }`, which asks
for the password anew. Claims: `roles` and `clinics`, each a list or words, without which nobody is shown anything; `auth_time`
(when the password was asked for), without which nobody is let in.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from time import time
from typing import Any

import streamlit as st

from careplan.clinic import Actor
from careplan.clinic.roles import ROLES
from careplan.language import _
from careplan.settings import Settings

AGAIN = "again"  # the provider's section that asks for the password anew
FRESH = 120.0  # seconds for which a password that was asked for anew is enough to sign with
WAIT = 4.0  # seconds for the provider to answer


def configured() -> bool:
    """Whether people sign in; otherwise this is one person's own machine."""
    return Settings().sign_in is not None


def signed_in() -> Actor | None:
    """Who the provider says this is; None where nobody is signed in."""
    claims = _claims()
    if not claims.get("is_logged_in"):
        return None
    return actor_of(claims)


def actor_of(claims: Mapping[str, Any]) -> Actor:
    """The actor behind the claims of an identity token. Raises `ValueError` without issuer or subject."""
    given = {name: str(claims.get(name) or "").strip() for name in ("iss", "sub", "name", "email")}
    return Actor(
        kind="identity provider",
        name=" ".join((given["name"] or given["email"] or given["sub"]).split()),
        issuer=given["iss"],
        subject=given["sub"],
        roles=frozenset(_words(claims.get("roles"))) & frozenset(ROLES),
        clinics=frozenset(_words(claims.get("clinics"))),
    )


def asked_at() -> float:
    """When the provider last asked this person for the password (`auth_time`), in seconds since 1970; 0 where it does not say.

    When the token was made does not tell: of a session that is open at the provider one is made without a password.
    """
    return float(_claims().get("auth_time") or 0.0)


def fresh() -> bool:
    """Whether the provider has just asked for the password anew; a first sign-in, however recent, is not enough to sign with."""
    return _claims().get("provider") == AGAIN and time() - asked_at() <= FRESH


def begin(*, anew: bool = False) -> None:
    """Sends the person to the provider; says so where it cannot be reached. anew: asks for the password in any case."""
    if problem := unreachable():
        said = _(
            "**The clinic's sign-in cannot be reached.** {problem} Nothing is lost; try again in a minute, or ask whoever runs "
            "the clinic's accounts.",
            problem=problem,
        )
        st.error(said, icon=":material/cloud_off:")
        return
    if anew:
        st.login(AGAIN)
    else:
        st.login()


def unreachable() -> str | None:
    """Why the provider does not answer, in words; None where it does."""
    import httpx

    try:
        auth = tomllib.loads(Path(str(Settings().sign_in)).read_text())["auth"]
        answer = httpx.get(auth["server_metadata_url"], timeout=WAIT)
    except (OSError, KeyError, ValueError):
        return _("Its settings cannot be read.")
    except httpx.HTTPError:
        return _("It does not answer.")
    return None if answer.is_success else _("It answers {code}.", code=answer.status_code)


def _claims() -> Mapping[str, Any]:
    return st.user.to_dict()


def _words(claim: object) -> list[str]:
    """A claim that is a list, or words, or nothing."""
    if isinstance(claim, str):
        return claim.replace(",", " ").split()
    return [str(each) for each in claim] if isinstance(claim, list | tuple) else []
