"""Recordings come in: files are read and shown, questioned, kept; and an import is taken back."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import available_timezones

import streamlit as st

from app import access
from app.channels import channel_name
from app.screens import sites
from app.wording import when
from careplan.clinic import (
    Actor,
    ClinicError,
    PreviewedFiles,
    StoreError,
    import_previewed,
    import_site,
    imports,
    mismatches,
    patient_names,
    previewed_people,
    read_files,
    take_back,
)
from careplan.clinic.import_preview import PreviewedPerson
from careplan.clinic.views import ImportReport
from careplan.display import listed
from careplan.language import ENGLISH, N_, _, current, moment, number, retold

NEW, ADD, LEAVE = N_("Add as a new patient"), N_("Add to a patient who is here"), N_("Leave out")
STATES = (N_("taken back"), N_("kept"))
SHOWN = 30  # imports listed


def draw() -> None:
    actor = access.actor()
    st.title(_("Patients"))
    if done := st.session_state.pop("kept", None):
        _kept(done)
    st.header(_("Bring recordings in"))
    st.caption(
        _(
            "Exports of sensors, pumps and diaries, also zipped: Clarity, LibreView, Glooko, CareLink, Tandem, Tidepool, "
            "Nightscout, xDrip, FHIR, or a plain table. What each file is, is found by looking into it; nothing is kept before "
            "you say so. A file may have 200 MB; a larger one is marked red and is not read."
        )
    )
    files = st.file_uploader(_("Files"), accept_multiple_files=True, key=f"upload:{st.session_state.get('uploads', 0)}")
    zone = st.selectbox(
        _("Time zone of files that do not say"),
        sorted(available_timezones()),
        index=None,
        placeholder=_("Only needed where the report says so"),
        key="upload_zone",
        width=360,
    )
    if files:
        names = tuple((file.file_id, file.name) for file in files)
        if st.session_state.get("incoming_of") != (names, zone):
            with st.spinner(_("Reading the files")), TemporaryDirectory() as scratch:
                folder = Path(scratch) / "upload"
                folder.mkdir()
                for place, file in enumerate(files):
                    name = Path(file.name).name
                    (folder / (name if not (folder / name).exists() else f"{place}-{name}")).write_bytes(file.getvalue())
                st.session_state["incoming"] = read_files(folder, zone=zone)
            st.session_state["incoming_of"] = (names, zone)
        st.session_state.pop("incoming_site", None)
        _incoming(st.session_state["incoming"], actor)
    elif (at_site := sites.ask(zone)) is not None:
        _incoming(at_site, actor)
    sites.kept(actor)
    _imports(actor)


def _why(problem: str) -> str:
    """Why a file cannot be read; where the reader of its format has no words in the language, that they are English is said."""
    told = retold(problem)
    if told != problem or current() == ENGLISH:
        return told
    return _("{problem} (in English, as its reader says it)", problem=problem)


def _incoming(incoming: PreviewedFiles, actor: Actor) -> None:
    """What was read, person by person, with what to do with it."""
    for name, problem in incoming.refused.items():
        why = _why(problem.removeprefix(f"{name}: "))
        st.error(_("**{file}** cannot be read: {problem}", file=name, problem=why), icon=":material/error:")
    if not incoming.records:
        return
    here = patient_names(access.database())
    names: dict[int, str] = {}
    add: set[int] = set()
    for place, arrival in enumerate(previewed_people(access.database(), incoming)):
        with st.container(border=True):
            _arrival(arrival)
            chosen = _chosen(incoming, place, arrival, here)
        if chosen is not None:
            names[place] = chosen[0]
            add |= {place} if chosen[1] else set()
    some = _("Keep {count} of {all}", count=len(names), all=len(incoming.records))
    pressed = st.button(
        some if len(incoming.records) > 1 else _("Keep"),
        type="primary",
        disabled=not names,
        key="keep",
        icon=":material/download_done:",
    )
    if pressed:
        try:
            site = st.session_state.get("incoming_site")
            take = import_previewed if site is None else partial(import_site, site=site)
            st.session_state["kept"] = take(access.database(), incoming=incoming, names=names, actor=actor, add=frozenset(add))
        except (ClinicError, StoreError) as error:
            st.error(_("**Nothing was kept.** {why}", why=retold(str(error))), icon=":material/error:")
            return
        st.session_state["uploads"] = st.session_state.get("uploads", 0) + 1
        for name in ("incoming", "incoming_site"):
            st.session_state.pop(name, None)
        st.session_state.pop("incoming_of", None)
        access.forget()
        st.rerun()


def _arrival(arrival: PreviewedPerson) -> None:
    [person] = arrival.report.patients
    st.markdown(f"### {arrival.name}")
    what = _(person.source)
    if person.why:
        what = _("{source}, because {why}", source=what, why=retold(person.why))
    said = _(
        "{files}: {what}. {rows} rows, {first} to {last} ({zone}).",
        files=listed(person.files) or _(person.source),
        what=what,
        rows=number(person.rows_read),
        first=when(arrival.first, arrival.zone),
        last=when(arrival.last, arrival.zone),
        zone=arrival.zone,
    )
    st.caption(said)
    if not arrival.clock:
        said = _(
            "The files do not say which time zone their clock is in; it is taken as {zone}. Choose one above where that is "
            "wrong: times of day would be off.",
            zone=arrival.zone,
        )
        st.warning(said, icon=":material/schedule:")
    counts = [_("{count} {what}", count=number(count), what=channel_name(name).lower()) for name, count in arrival.events.items()]
    st.markdown(_("Comes in: {what}.", what=listed(counts) or _("nothing")))
    kinds = arrival.report.kinds
    if kinds:
        rows = number(sum(kind.rows for kind in kinds))
        with st.expander(_("Dropped or changed: {rows} rows, by {rules} rules", rows=rows, rules=len(kinds))):
            st.dataframe(
                {
                    _("What"): [_(kind.action) for kind in kinds],
                    _("Why"): [retold(kind.rule) for kind in kinds],
                    _("Field"): [kind.field for kind in kinds],
                    _("Rows"): [kind.rows for kind in kinds],
                    _("For example"): [kind.example for kind in kinds],
                },
                hide_index=True,
            )


def _chosen(incoming: PreviewedFiles, place: int, arrival: PreviewedPerson, here: list[str]) -> tuple[str, bool] | None:
    """The name to keep a record under, and whether it is added to somebody; None where it is left out."""
    ways = [NEW, ADD, LEAVE] if here else [NEW, LEAVE]
    way = st.radio(
        _("What to do with {name}", name=arrival.name),
        ways,
        format_func=_,
        index=ways.index(ADD) if arrival.known else 0,
        key=f"way:{place}",
        horizontal=True,
        label_visibility="collapsed",
    )
    if way == LEAVE:
        return None
    if way == NEW:
        name = st.text_input(_("Name of the new patient"), value=arrival.name, key=f"name:{place}", width=320).strip()
        if name in here:
            said = _("{name} is here already. Add the files to them, or give another name.", name=name)
            st.warning(said, icon=":material/warning:")
            return None
        return (name, False) if name else None
    known = here.index(arrival.name) if arrival.known else None
    asks = _("Choose a patient")
    patient = st.selectbox(_("Patient"), here, index=known, key=f"patient:{place}", placeholder=asks, width=320)
    if patient is None:
        return None
    found = mismatches(access.database(), incoming, place, patient)
    if found:
        told = "".join(f"\n- {retold(doubt)}" for doubt in found)
        st.warning(_("**Is this the same person?**\n{doubts}", doubts=told), icon=":material/person_alert:")
        if not st.checkbox(_("Yes, this is {patient}", patient=patient), key=f"sure:{place}:{patient}"):
            return None
    return patient, True


def _kept(report: ImportReport) -> None:
    """What an import did."""
    for person in report.patients:
        added, known = number(sum(person.events_added.values())), number(person.events_known)
        said = _("**{patient}**: {count} entries kept.", patient=person.patient, count=added)
        if person.events_known:
            told = N_("**{patient}**: {count} entries kept; {known} were here already.")
            said = _(told, patient=person.patient, count=added, known=known)
        st.success(said, icon=":material/download_done:")
    for name, problem in report.failed.items():
        st.error(_("**{file}** was not kept: {problem}", file=name, problem=retold(problem)), icon=":material/error:")


def _imports(actor: Actor) -> None:
    found = imports(access.database())
    if not found:
        return
    st.header(_("Imports"))
    if told := st.session_state.pop("taken_back", None):
        st.success(told, icon=":material/undo:")
    st.caption(_("The newest first. Taking an import back removes what it added; that it was there stays on record."))
    for each in found[:SHOWN]:
        people = listed(f"{name} ({number(count)})" for name, count in each.events.items())
        state = "" if each.state == "kept" else f" · {_(each.state)}"
        with st.expander(f"{moment(each.created)} UTC · {people}{state}"):
            files, sources = listed(each.files) or _("no file named"), listed(_(source) for source in each.sources)
            st.markdown(f"{files} · {sources} · `{each.run[:8]}`")
            if each.state == "taken back":
                continue
            reason = st.text_input(_("Why it is taken back"), key=f"why:{each.run}")
            if st.button(_("Take back"), key=f"back:{each.run}", disabled=not reason.strip(), icon=":material/undo:"):
                try:
                    done = take_back(access.database(), each.run, reason=reason, actor=actor)
                except (ClinicError, StoreError) as error:
                    st.error(retold(str(error)), icon=":material/error:")
                    continue
                counts = listed(_("{count} of {name}", count=number(count), name=name) for name, count in done.events.items())
                said = _("Taken back: {counts}.", counts=counts)
                if done.again:
                    said += _(" Others held some of them too; bring in again: {names}.", names=listed(done.again))
                st.session_state["taken_back"] = said
                access.forget()
                st.rerun()
