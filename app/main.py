"""The clinician's app: `careplan app`, or `streamlit run app/main.py`. Screens only draw; `careplan.clinic` does the work."""

from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Thread

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from app import access, planning
from app.screens import worklist
from careplan.clinic import Actor, StoreError
from careplan.clinic.roles import BRINGS_IN, STUDIES, VERIFIES, may
from careplan.display import listed, sentence
from careplan.language import _, retold

HERE = Path(__file__).parent
# The worklist waits for none of them.
LATER = ("review", "patients", "doses", "targets", "history", "record", "cohort", "ask", "audit")


def main() -> None:
    st.set_page_config(page_title="careplan", page_icon=str(HERE / "icon.svg"), layout="wide")
    st.html(HERE / "style.css")
    access.speak()
    st.html(f"<div class='cp-notice' role='note'>{access.notice()}</div>")
    pages = {
        "worklist": st.Page(partial(worklist.draw, _open), title=_("Worklist"), icon=":material/list:", default=True),
        "patients": st.Page(partial(_screen, "patients"), title=_("Patients"), icon=":material/person_add:", url_path="patients"),
        "review": st.Page(partial(_screen, "review"), title=_("Review"), icon=":material/rule:", url_path="review"),
        "doses": st.Page(partial(_screen, "doses"), title=_("Next hours"), icon=":material/timeline:", url_path="doses"),
        "targets": st.Page(partial(_screen, "targets"), title=_("Targets"), icon=":material/target:", url_path="targets"),
        "history": st.Page(partial(_screen, "history"), title=_("History"), icon=":material/manage_history:", url_path="history"),
        "record": st.Page(partial(_screen, "record"), title=_("Record"), icon=":material/database:", url_path="record"),
        "cohorts": st.Page(partial(_screen, "cohort"), title=_("Cohorts"), icon=":material/groups:", url_path="cohorts"),
        "ask": st.Page(partial(_screen, "ask"), title=_("Ask"), icon=":material/chat:", url_path="ask"),
        "audit": st.Page(partial(_screen, "audit"), title=_("Audit trail"), icon=":material/history:", url_path="audit"),
    }
    st.session_state["pages"] = pages
    known = access.known()
    takes = {"patients": BRINGS_IN, "cohorts": STUDIES, "audit": VERIFIES}
    shown = [page for name, page in pages.items() if known is None or name not in takes or may(known, takes[name])]
    # Before the door, so that the address (which page, which patient) outlives it.
    page = st.navigation(shown, position="sidebar" if known is not None else "hidden")
    actor = access.actor()
    if there := access.came_back():
        st.session_state["patient"] = there[1]
        st.switch_page(pages[there[0]])
    if st.session_state.get("screen") != page.title:
        access.forget()
        st.session_state["screen"] = page.title
    try:
        _draw(page, actor)
    except StoreError as error:
        said = _(
            "**The database cannot be used just now.** {error}.\n\nWhat was decided or signed before is kept; a choice that "
            "this page did not mark as kept must be made again. Load the page again when the database is back.",
            error=retold(str(error)),
        )
        st.error(said, icon=":material/cloud_off:")
    finally:
        access.worker().ensure()  # once there is something to read: it loads for seconds


def _draw(page: StreamlitPage, actor: Actor) -> None:
    with st.sidebar:
        access.choose_clinic()
        planning.sidebar()
        access.choose_unit()
        access.choose_language()
        who = listed([f"**{actor.name}**", *(_(role) for role in sorted(actor.roles or ()))])
        st.caption(_("At work: {who}. Signed off after {minutes:g} idle minutes.", who=who, minutes=access.activity().minutes))
        st.button(_("Sign off"), on_click=access.leave, width="stretch")
        st.caption(sentence(access.notice()))
    access.watch()
    page.run()
    _load_others()


def _screen(name: str) -> None:
    """Draws a page, whose module is loaded when it is first opened, if it is not by then."""
    import_module(f"app.screens.{name}").draw()


@st.cache_resource(show_spinner=False)
def _load_others() -> Thread:
    """Loads the other pages, once for the process, while the first one is read."""
    thread = Thread(target=lambda: [import_module(f"app.screens.{name}") for name in LATER], daemon=True)
    thread.start()
    return thread


def _open(patient: str, page: str = "review") -> None:
    """Go to a patient's page."""
    st.session_state["patient"] = patient
    st.switch_page(st.session_state["pages"][page])


main()
