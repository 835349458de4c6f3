"""Who is at work, which database they see, which unit.

Local mode, the default, is for one person on their own machine: it listens on the loopback alone and acts as the machine's
account. With a sign-in people come through the clinic's identity provider (`app.sign_in`). What matters is never kept here: a
reload loses the session, so drafts, decisions and jobs live in the database.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import time
from typing import TypeVar, cast

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import sign_in
from app.activity import Activity
from app.wording import UNITS
from careplan.clinic import Actor, Database, local_account, open_database
from careplan.clinic.keeper import Worker
from careplan.clinic.roles import Role, may
from careplan.display import Unit
from careplan.language import LANGUAGES, N_, _, asking, current, preferred
from careplan.settings import Settings
from careplan.therapies.glucose.words import MG_DL

NOTICE = N_("Research use only \N{EN DASH} not a medical device")

T = TypeVar("T")


def notice() -> str:
    """What is said on every screen."""
    return _(NOTICE)


def speak() -> None:
    """Speaks the language that the address names, else the one chosen before, else that of the settings or of the browser."""
    state, named = st.session_state, st.query_params.get("language")
    if named in LANGUAGES:
        state["language"] = named
    elif "language" not in state:
        state["language"] = Settings().language or preferred(st.context.locale)
    elif state.get("language_kept"):
        st.query_params["language"] = state["language"]


def _spoken() -> str | None:
    """The language of the session that asks; None outside of any."""
    return None if get_script_run_ctx(suppress_warning=True) is None else st.session_state.get("language")


asking(_spoken)  # every session of the server has its own


def choose_language() -> None:
    st.segmented_control(
        _("Language"),
        list(LANGUAGES),
        default=current(),
        format_func=LANGUAGES.__getitem__,
        key="language_choice",
        on_change=_keep_language,
        width="stretch",
    )


def _keep_language() -> None:
    forget()
    st.session_state["language"] = st.query_params["language"] = st.session_state["language_choice"] or current()
    st.session_state["language_kept"] = True


def database() -> Database:
    """The database that `CAREPLAN_DATABASE` names, opened once for the process; of one clinic, where people sign in."""
    whole = _open(Settings().database)
    return whole if not sign_in.configured() else whole.of(clinic())


def address() -> str:
    """Where that database is."""
    return Settings().database


def replays() -> Path:
    """The folder of replays that `CAREPLAN_REPLAYS` names."""
    return Settings().replays_folder()


@st.cache_resource(show_spinner="Opening the database")
def _open(url: str) -> Database:
    return open_database(url)


def worker() -> Worker:
    """The process that plans, one for this app and its database."""
    return _worker(Settings().database)


@st.cache_resource(show_spinner=False)
def _worker(url: str) -> Worker:
    return Worker(url)


@st.cache_resource(show_spinner=False)
def activity() -> Activity:
    """Who was last active when, in this server."""
    return Activity(Settings().idle_minutes)


def actor() -> Actor:
    """Who is at work; nothing is shown to anybody else."""
    found = known()
    if found is None:
        _door()
        st.stop()
    activity().touch(_at_work(found))
    return found


def known() -> Actor | None:
    """Who is at work and still there; None before the door, and after too long away."""
    found = sign_in.signed_in() if sign_in.configured() else local_account()
    if found is None:
        return None
    asked = sign_in.asked_at() if sign_in.configured() else st.session_state.setdefault("came", _came())
    return found if activity().here(_at_work(found), asked) else None


def allowed(roles: Sequence[Role]) -> bool:
    """Whether whoever is at work has one of the roles."""
    return may(actor(), roles)


def clinic() -> str:
    """The clinic that is worked in: of several, the one that was chosen. Ends the run for somebody who is of none."""
    mine, me = sorted(actor().clinics or ()), actor()
    if me.roles is not None and not me.roles:
        st.error(_("Your sign-in names no role, so nothing is open to you. Whoever runs the clinic's accounts can add one."))
        st.button(_("Sign off"), on_click=leave)
        st.stop()
    if not mine:
        st.error(_("Your sign-in names no clinic, so there is nothing to show. Whoever runs the clinic's accounts can add one."))
        st.button(_("Sign off"), on_click=leave)
        st.stop()
    chosen = st.session_state.get("clinic")
    return chosen if chosen in mine else mine[0]


def choose_clinic() -> None:
    """Which clinic, for somebody who works in several; and the mode, for somebody on their own machine."""
    if not sign_in.configured():
        st.caption(_("**Local mode**: this computer alone, as its account **{account}**.", account=local_account().subject))
    elif len(mine := sorted(actor().clinics or ())) > 1:
        st.selectbox(_("Clinic"), mine, mine.index(clinic()), key="clinic_choice", on_change=_keep_clinic)
    else:
        st.caption(_("Clinic: **{clinic}**", clinic=clinic()))


def _keep_clinic() -> None:
    forget()
    st.query_params.clear()
    for name in ("patient", "worklist_asked"):
        st.session_state.pop(name, None)
    st.session_state["clinic"] = st.session_state["clinic_choice"]


def _identity(who: Actor) -> str:
    return f"{who.kind} {who.issuer} {who.subject}"


def _at_work(who: Actor) -> str:
    """Somebody by their sign-in: at two machines they are signed off at the one that they left."""
    return f"{_identity(who)} {sign_in.asked_at()}" if sign_in.configured() else _identity(who)


def _came() -> float:
    """When this session of the machine's account began; a session that begins after it was away too long did not begin yet."""
    return 0.0 if _identity(local_account()) in activity().off else time()


def _door() -> None:
    """What stands before the first page: the sign-in, or after too long away the way back."""
    away = sign_in.signed_in() is not None if sign_in.configured() else True
    with st.columns([1, 1.4, 1])[1]:
        st.title("careplan")
        st.markdown(_("A personalised treatment planner. It proposes; a person decides."))
        if away:
            st.info(_("{why} Drafts are kept.", why=_why()))
        if sign_in.configured():
            if st.button(_("Sign in"), type="primary", key="sign_in", icon=":material/login:"):
                sign_in.begin(anew=away)
        else:
            me = local_account().subject
            st.button(_("Continue as {account}", account=me), type="primary", key="continue", on_click=_continue)
            st.caption(
                _(
                    "Local mode: this page is open to this computer alone, and everything is on record as done by {account}.",
                    account=me,
                )
            )


def _why() -> str:
    """Why somebody who was let in, or has signed in, is asked again."""
    if "left" in st.session_state:
        return _(st.session_state["left"])
    me = sign_in.signed_in() if sign_in.configured() else None
    if me is None or _at_work(me) in activity().off:
        return _("Signed off after {minutes:g} minutes without activity.", minutes=activity().minutes)
    if not sign_in.asked_at():
        return _(
            "The clinic's sign-in does not say when it asked for the password (`auth_time`), so it does not count. Whoever runs "
            "the clinic's accounts can add that."
        )
    return _("The password was typed more than {minutes:g} minutes ago.", minutes=activity().minutes)


def _continue() -> None:
    st.session_state["came"] = time()
    st.session_state.pop("left", None)


def come_back(page: str, patient: str) -> None:
    """Where to go on after the provider has asked again."""
    activity().back[_identity(actor())] = (page, patient)


def came_back() -> tuple[str, str] | None:
    """Where to go on, once, for somebody whom the provider has just asked."""
    return activity().back.pop(_identity(actor()), None) if sign_in.configured() and sign_in.fresh() else None


LOOKS = 30.0  # seconds at most between two looks whether the person has gone


def watch() -> None:
    """Looks now and then whether the person has gone; then clears the screen."""
    st.fragment(_watch, run_every=min(LOOKS, 60 * activity().minutes / 4))()


def _watch() -> None:
    if known() is None:
        forget()
        st.rerun()


def leave() -> None:
    """Signs off: forgets everything loaded for the person, and lets nobody back in without being asked."""
    if (found := known()) is not None:
        activity().leave(_at_work(found))
    for name in list(st.session_state):
        del st.session_state[name]
    st.session_state["left"] = N_("Signed off.")
    if sign_in.configured():
        st.logout()
    else:
        st.session_state["came"] = 0.0


def unit() -> Unit:
    return UNITS[st.session_state.get("unit", MG_DL.name)]


def choose_unit() -> None:
    label = _("Glucose in")
    st.segmented_control(label, list(UNITS), default=unit().name, key="unit_choice", on_change=_keep_unit, width="stretch")


def _keep_unit() -> None:
    st.session_state["unit"] = st.session_state["unit_choice"] or unit().name  # a second click would clear the choice


def remembered(name: str, load: Callable[[], T], *, only: str | None = None) -> T:
    """What `load` gave when this screen was opened: reading again at every click would be slow, and logged as another look.

    only: how the names begin of which no more than this one is kept.
    """
    kept = st.session_state.setdefault("remembered", {})
    if name not in kept:
        if only is not None:
            for other in [each for each in kept if each.startswith(only)]:
                del kept[other]
        kept[name] = load()
    return cast(T, kept[name])


def forget() -> None:
    """Read anew at the next `remembered`."""
    st.session_state.pop("remembered", None)
