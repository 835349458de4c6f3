"""Which patient a screen is about: kept in the address, so that a reload or a bookmark comes back to the same one."""

import streamlit as st

from app import access
from careplan.clinic import patient_names
from careplan.clinic.roles import BRINGS_IN
from careplan.language import N_, _


def patient(title: str = N_("Patient {patient}")) -> str:
    """The heading with the patient to choose in it; ends the run where there are none.

    Somebody who is asked for and is not here is never taken for another: then whoever reads chooses.
    """
    names = access.remembered("names", lambda: patient_names(access.database()))
    if not names:
        nobody()
        st.stop()
    asked = st.query_params.get("patient") or st.session_state.get("patient")
    index: int | None = 0 if asked is None else names.index(asked) if asked in names else None
    if index is None:
        st.error(_("Patient {patient} is not in the store.", patient=asked))
    heading, choice = st.columns([3, 1], vertical_alignment="bottom")
    with choice:
        chosen = st.selectbox(_("Patient"), names, index, key="choose_patient", placeholder=_("Choose a patient"))
    if chosen is None:
        heading.title(_("Choose a patient"))
        st.stop()
    heading.title(_(title, patient=chosen))
    st.session_state["patient"] = st.query_params["patient"] = chosen
    return chosen


def nobody() -> None:
    """Says that there are no patients yet, with a way to the page that brings them in for whoever may."""
    if not access.allowed(BRINGS_IN):
        st.info(_("There are no patients yet."))
        return
    st.info(_("There are no patients yet. Drop the files of their devices on the page Patients to bring them in."))
    if st.button(_("Bring recordings in"), key="bring_in", type="primary"):
        st.switch_page(st.session_state["pages"]["patients"])
