"""The clinician's app: `careplan app`, or `streamlit run app/main.py`. Screens only draw; `careplan.clinic` does the work."""

from functools import partial
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from app import access, planning
from app.screens import ask, audit, cohort, doses, patients, record, review, worklist
from careplan.clinic import StoreError

HERE = Path(__file__).parent


def main() -> None:
    st.set_page_config(page_title="careplan", page_icon=str(HERE / "icon.svg"), layout="wide")
    st.html(HERE / "style.css")
    st.html(f"<div class='cp-notice' role='note'>{access.NOTICE}</div>")
    pages = {
        "worklist": st.Page(partial(worklist.draw, _open), title="Worklist", icon=":material/list:", default=True),
        "patients": st.Page(patients.draw, title="Patients", icon=":material/person_add:", url_path="patients"),
        "review": st.Page(review.draw, title="Review", icon=":material/rule:", url_path="review"),
        "doses": st.Page(doses.draw, title="Next hours", icon=":material/timeline:", url_path="doses"),
        "record": st.Page(record.draw, title="Record", icon=":material/database:", url_path="record"),
        "cohorts": st.Page(cohort.draw, title="Cohorts", icon=":material/groups:", url_path="cohorts"),
        "ask": st.Page(ask.draw, title="Ask", icon=":material/chat:", url_path="ask"),
        "audit": st.Page(audit.draw, title="Audit trail", icon=":material/history:", url_path="audit"),
    }
    st.session_state["pages"] = pages
    # Before the name is asked, so that the address (which page, which patient) outlives the question.
    page = st.navigation(list(pages.values()), position="sidebar" if access.known() else "hidden")
    reviewer = access.reviewer()
    if st.session_state.get("screen") != page.title:
        access.forget()
        st.session_state["screen"] = page.title

    access.worker().ensure()
    try:
        _draw(page, reviewer)
    except StoreError as error:
        st.error(
            f"**The database cannot be used just now.** {error}.\n\nWhat was decided or signed before is kept; a choice that "
            "this page did not mark as kept must be made again. Load the page again when the database is back.",
            icon=":material/cloud_off:",
        )


def _draw(page: StreamlitPage, reviewer: access.Reviewer) -> None:
    with st.sidebar:
        planning.sidebar()
        access.choose_unit()
        st.caption(
            f"Reviewing as **{reviewer.name}**, {reviewer.role.lower()}. Signed off after {access.IDLE_MINUTES} idle minutes."
        )
        st.button("Sign off", on_click=access.leave, width="stretch")
        st.caption(f"{access.NOTICE}.")
    access.watch()
    page.run()


def _open(patient: str) -> None:
    """Go to a patient's review."""
    st.session_state["patient"] = patient
    st.switch_page(st.session_state["pages"]["review"])


main()
