"""Recordings come in: files are read and shown, questioned, kept; and an import is taken back."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import available_timezones

import streamlit as st

from app import access
from app.channels import channel_name
from app.screens import sources
from app.wording import when
from careplan.clinic import (
    Actor,
    ClinicError,
    Incoming,
    StoreError,
    arrivals,
    doubts,
    imports,
    patient_names,
    read_files,
    take_back,
    take_in,
    take_in_site,
)
from careplan.clinic.incoming import Arrival
from careplan.clinic.views import ImportReport

NEW, ADD, LEAVE = "Add as a new patient", "Add to a patient who is here", "Leave out"
SHOWN = 30  # imports listed


def draw() -> None:
    actor = access.actor()
    st.title("Patients")
    if done := st.session_state.pop("kept", None):
        _kept(done)
    st.header("Bring recordings in")
    st.caption(
        "Exports of sensors, pumps and diaries, also zipped: Clarity, LibreView, Glooko, CareLink, Tandem, Tidepool, Nightscout, "
        "xDrip, FHIR, or a plain table. What each file is, is found by looking into it; nothing is kept before you say so."
    )
    files = st.file_uploader("Files", accept_multiple_files=True, key=f"upload:{st.session_state.get('uploads', 0)}")
    zone = st.selectbox(
        "Time zone of files that do not say",
        sorted(available_timezones()),
        index=None,
        placeholder="Only needed where the report says so",
        key="upload_zone",
        width=360,
    )
    if files:
        names = tuple((file.file_id, file.name) for file in files)
        if st.session_state.get("incoming_of") != (names, zone):
            with st.spinner("Reading the files"), TemporaryDirectory() as scratch:
                folder = Path(scratch) / "upload"
                folder.mkdir()
                for place, file in enumerate(files):
                    name = Path(file.name).name
                    (folder / (name if not (folder / name).exists() else f"{place}-{name}")).write_bytes(file.getvalue())
                st.session_state["incoming"] = read_files(folder, zone=zone)
            st.session_state["incoming_of"] = (names, zone)
        st.session_state.pop("incoming_site", None)
        _incoming(st.session_state["incoming"], actor)
    elif (at_site := sources.ask(zone)) is not None:
        _incoming(at_site, actor)
    sources.kept(actor)
    _imports(actor)


def _incoming(incoming: Incoming, actor: Actor) -> None:
    """What was read, person by person, with what to do with it."""
    for name, problem in incoming.refused.items():
        st.error(f"**{name}** cannot be read: {problem}", icon=":material/error:")
    if not incoming.records:
        return
    here = patient_names(access.database())
    names: dict[int, str] = {}
    add: set[int] = set()
    for place, arrival in enumerate(arrivals(access.database(), incoming)):
        with st.container(border=True):
            _arrival(arrival)
            chosen = _chosen(incoming, place, arrival, here)
        if chosen is not None:
            names[place] = chosen[0]
            add |= {place} if chosen[1] else set()
    pressed = st.button(
        f"Keep {len(names)} of {len(incoming.records)}" if len(incoming.records) > 1 else "Keep",
        type="primary",
        disabled=not names,
        key="keep",
        icon=":material/download_done:",
    )
    if pressed:
        try:
            site = st.session_state.get("incoming_site")
            take = take_in if site is None else partial(take_in_site, site=site)
            st.session_state["kept"] = take(access.database(), incoming=incoming, names=names, actor=actor, add=frozenset(add))
        except (ClinicError, StoreError) as error:
            st.error(f"**Nothing was kept.** {error}", icon=":material/error:")
            return
        st.session_state["uploads"] = st.session_state.get("uploads", 0) + 1
        for name in ("incoming", "incoming_site"):
            st.session_state.pop(name, None)
        st.session_state.pop("incoming_of", None)
        access.forget()
        st.rerun()


def _arrival(arrival: Arrival) -> None:
    [person] = arrival.report.patients
    st.markdown(f"### {arrival.name}")
    st.caption(
        f"{', '.join(person.files) or person.source}: {person.source}{person.why and f', because {person.why}'}. "
        f"{person.rows_read:,} rows, {when(arrival.first, arrival.zone)} to {when(arrival.last, arrival.zone)} ({arrival.zone})."
    )
    if not arrival.clock:
        st.warning(
            f"The files do not say which time zone their clock is in; it is taken as {arrival.zone}. Choose one above where "
            "that is wrong: times of day would be off.",
            icon=":material/schedule:",
        )
    counts = [f"{count:,} {channel_name(name).lower()}" for name, count in arrival.events.items()]
    st.markdown(f"Comes in: {', '.join(counts) or 'nothing'}.")
    kinds = arrival.report.kinds
    if kinds:
        with st.expander(f"Dropped or changed: {sum(kind.rows for kind in kinds):,} rows, by {len(kinds)} rules"):
            st.dataframe(
                {
                    "What": [kind.action for kind in kinds],
                    "Why": [kind.rule for kind in kinds],
                    "Field": [kind.field for kind in kinds],
                    "Rows": [kind.rows for kind in kinds],
                    "For example": [kind.example for kind in kinds],
                },
                hide_index=True,
            )


def _chosen(incoming: Incoming, place: int, arrival: Arrival, here: list[str]) -> tuple[str, bool] | None:
    """The name to keep a record under, and whether it is added to somebody; None where it is left out."""
    ways = [NEW, ADD, LEAVE] if here else [NEW, LEAVE]
    way = st.radio(
        f"What to do with {arrival.name}",
        ways,
        index=ways.index(ADD) if arrival.known else 0,
        key=f"way:{place}",
        horizontal=True,
        label_visibility="collapsed",
    )
    if way == LEAVE:
        return None
    if way == NEW:
        name = st.text_input("Name of the new patient", value=arrival.name, key=f"name:{place}", width=320).strip()
        if name in here:
            st.warning(f"{name} is here already. Add the files to them, or give another name.", icon=":material/warning:")
            return None
        return (name, False) if name else None
    known = here.index(arrival.name) if arrival.known else None
    patient = st.selectbox("Patient", here, index=known, key=f"patient:{place}", placeholder="Choose a patient", width=320)
    if patient is None:
        return None
    found = doubts(access.database(), incoming, place, patient)
    if found:
        listed = "".join(f"\n- {doubt}" for doubt in found)
        st.warning(f"**Is this the same person?**\n{listed}", icon=":material/person_alert:")
        if not st.checkbox(f"Yes, this is {patient}", key=f"sure:{place}:{patient}"):
            return None
    return patient, True


def _kept(report: ImportReport) -> None:
    """What an import did."""
    for person in report.patients:
        added = sum(person.events_added.values())
        known = f"; {person.events_known:,} were here already" if person.events_known else ""
        st.success(f"**{person.patient}**: {added:,} entries kept{known}.", icon=":material/download_done:")
    for name, problem in report.failed.items():
        st.error(f"**{name}** was not kept: {problem}", icon=":material/error:")


def _imports(actor: Actor) -> None:
    found = imports(access.database())
    if not found:
        return
    st.header("Imports")
    if told := st.session_state.pop("taken_back", None):
        st.success(told, icon=":material/undo:")
    st.caption("The newest first. Taking an import back removes what it added; that it was there stays on record.")
    for each in found[:SHOWN]:
        people = ", ".join(f"{name} ({count:,})" for name, count in each.events.items())
        state = "" if each.state == "kept" else f" · {each.state}"
        with st.expander(f"{each.created:%d %b %Y %H:%M} UTC · {people}{state}"):
            st.markdown(f"{', '.join(each.files) or 'no file named'} · {', '.join(each.sources)} · `{each.run[:8]}`")
            if each.state == "taken back":
                continue
            reason = st.text_input("Why it is taken back", key=f"why:{each.run}")
            if st.button("Take back", key=f"back:{each.run}", disabled=not reason.strip(), icon=":material/undo:"):
                try:
                    done = take_back(access.database(), each.run, reason=reason, actor=actor)
                except (ClinicError, StoreError) as error:
                    st.error(str(error), icon=":material/error:")
                    continue
                more = f" Others held some of them too; bring in again: {', '.join(done.again)}." if done.again else ""
                counts = ", ".join(f"{count:,} of {name}" for name, count in done.events.items())
                st.session_state["taken_back"] = f"Taken back: {counts}.{more}"
                access.forget()
                st.rerun()
