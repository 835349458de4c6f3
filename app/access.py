"""Who is reviewing, which database, which unit. Local use by one person: a name is asked for, and asked again after a while idle.

What matters is never kept here: a reload loses the session, so drafts and decisions live in the database.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TypeVar, cast

import streamlit as st

from app.wording import UNITS
from careplan.clinic import Actor, Database, local_account, open_database
from careplan.clinic.worker import Worker
from careplan.display import Unit
from careplan.settings import Settings
from careplan.therapies.glucose.words import MG_DL

IDLE_MINUTES = 15
ROLES = ("Physician", "Diabetes nurse or educator", "Dietitian", "Researcher")
NOTICE = "Research use only \N{EN DASH} not a medical device"

T = TypeVar("T")


@dataclass(frozen=True)
class Reviewer:
    name: str
    role: str

    @property
    def actor(self) -> Actor:
        """Who drafts, reviews and the audit trail say this is: the account of the machine that the app runs on, and beside it
        the name the person gave. A sign-in at the clinic's identity provider gives its own actor here.
        """
        return local_account(f"{self.name} ({self.role.lower()})")


def database() -> Database:
    """The database that `CAREPLAN_DATABASE` names, opened once for the process."""
    return _open(Settings().database)


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


def reviewer() -> Reviewer:
    """Who is reviewing; nothing is shown to anybody before they say."""
    found = st.session_state.get("reviewer")
    if found is not None and idle():
        leave()
        st.session_state["left"] = f"Signed off after {IDLE_MINUTES} minutes without activity. Drafts are kept."
        found = None
    if found is None:
        _ask()
        st.stop()
    st.session_state["seen"] = monotonic()
    return cast(Reviewer, found)


def _ask() -> None:
    with st.columns([1, 1.4, 1])[1]:
        st.title("careplan")
        st.markdown("A personalised treatment planner. It proposes; a person decides.")
        if note := st.session_state.get("left"):
            st.info(note)
        with st.form("who", border=True):
            st.subheader("Who is reviewing?")
            name = st.text_input("Name", value=local_account().name, key="who_name")
            role = st.selectbox("Role", ROLES, key="who_role")
            if st.form_submit_button("Continue", type="primary"):
                if name.strip():
                    st.session_state["reviewer"] = Reviewer(" ".join(name.split()), role)
                    st.session_state["seen"] = monotonic()
                    st.session_state.pop("left", None)
                    st.rerun()
                st.error("A review needs a name.")
        st.caption(
            "Whoever can open this page on this computer can review. Every page of a patient that is opened and every signature "
            f"is on record as done by this computer's account {local_account().subject}, with the name given here beside it."
        )


def known() -> bool:
    """Whether somebody has said who they are, and is still there."""
    return "reviewer" in st.session_state and not idle()


def idle() -> bool:
    return bool(monotonic() - st.session_state.get("seen", 0.0) > 60 * IDLE_MINUTES)


@st.fragment(run_every=30)
def watch() -> None:
    """Looks now and then whether the person has gone; then clears the screen."""
    if not known():
        st.rerun()


def leave() -> None:
    """Forget the person and everything loaded for them."""
    for name in list(st.session_state):
        del st.session_state[name]


def unit() -> Unit:
    return UNITS[st.session_state.get("unit", MG_DL.name)]


def choose_unit() -> None:
    st.segmented_control("Glucose in", list(UNITS), default=unit().name, key="unit_choice", on_change=_keep_unit, width="stretch")


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
