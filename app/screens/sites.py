"""Recordings that are read from a Nightscout site: looked at as files are, kept with the address, and read again on demand."""

import streamlit as st

from app import access
from app.wording import when
from careplan.clinic import (
    Actor,
    ClinicError,
    PreviewedFiles,
    Site,
    StoreError,
    forget_source,
    read_again,
    read_site,
    site_at,
    sources,
)
from careplan.errors import AskError
from careplan.language import _, number


def ask(zone: str | None) -> PreviewedFiles | None:
    """What is at a site that somebody names, to be kept or not; None before one is named."""
    state = st.session_state
    with st.expander(_("Or read from a Nightscout site"), expanded="incoming_site" in state), st.form("site", border=False):
        turn = state.get("uploads", 0)
        address = st.text_input(_("Address"), placeholder="https://", key=f"site_address:{turn}")
        token = st.text_input(_("Access token, where it asks for one"), type="password", key=f"site_token:{turn}")
        st.caption(_("The address is kept so that it can be read again, and its token encrypted. Nobody is shown it."))
        pressed = st.form_submit_button(_("Look"), icon=":material/travel_explore:")
    if pressed:
        state.pop("incoming_site", None)
        try:
            site: Site = site_at(address, token)
        except ClinicError as error:
            st.error(str(error), icon=":material/error:")
            return None
        with st.spinner(_("Reading the site")):
            state["incoming_site"], state["incoming"] = site, read_site(site, zone=zone)
    return state["incoming"] if "incoming_site" in state else None


def kept(actor: Actor) -> None:
    """The addresses that are kept, each to be read again or forgotten."""
    found = sources(access.database())
    if not found:
        return
    st.header(_("Sites that are read again"))
    for told, icon in st.session_state.pop("sources_told", ()):
        (st.success if icon == "done" else st.error)(told, icon=f":material/{icon}:")
    for source in found:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            last = "-" if source.last is None else when(source.last, "UTC")
            said = _("**{patient}** from {address}, up to {last} UTC", patient=source.patient, address=source.address, last=last)
            st.markdown(said, width="stretch")
            place = f"{source.patient}:{source.address}"
            if st.button(_("Read again"), key=f"again:{place}", icon=":material/sync:"):
                with st.spinner(_("Reading the site")):
                    st.session_state["sources_told"] = [_read(source.patient, actor)]
                access.forget()
                st.rerun()
            if st.button(_("Forget"), key=f"forget:{place}", help=_("Removes the address and its token; what was read stays.")):
                forget_source(access.database(), source.patient, source.address, actor=actor)
                st.rerun()


def _read(patient: str, actor: Actor) -> tuple[str, str]:
    """What came of reading again, with its sign."""
    try:
        report = read_again(access.database(), patient, actor=actor)
    except (AskError, StoreError, ValueError) as error:
        return _("**{patient}** was not read: {problem}", patient=patient, problem=str(error)), "error"
    if report.failed:
        return _("**{patient}** was not read: {problem}", patient=patient, problem="; ".join(report.failed.values())), "error"
    added = sum(count for person in report.patients for count in person.events_added.values())
    return _("**{patient}**: {count} entries kept.", patient=patient, count=number(added)), "done"
