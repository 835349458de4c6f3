"""Asking for plans, and seeing how far they are: on a patient's pages, on the worklist, and in the sidebar of every page."""

from collections.abc import Sequence

import streamlit as st

from app import access
from careplan.clinic import ClinicError, Job, StoreError, again, ask, cancel, jobs
from careplan.suggestion import Kind

EVERY = 1.0  # seconds between looks at a job that runs
DOING = {
    "": "starting",
    "read": "reading the recordings",
    "personalise": "fitting the model to this patient",
    "check": "checking whether the model may speak",
    "encode": "looking at the recent days",
    "search": "searching for the best change",
    "guard": "holding it to the limits",
    "explain": "finding what drives it",
    "store": "keeping the suggestion",
}
WHAT: dict[Kind, str] = {"regimen": "a regimen", "doses": "the next hours"}


def plan(patient: str, kind: Kind, *, planned: bool) -> None:
    """The button that plans for one patient, or how far it is. planned: whether there is a suggestion already."""
    newest = next(iter(jobs(access.database(), patient=patient, kind=kind)), None)
    if newest is not None and newest.active:
        _watch(newest.id, patient, kind)
        return
    if newest is not None:
        _ended(newest, patient)
    label = f"Plan {WHAT[kind]} again" if planned else f"Plan {WHAT[kind]}"
    if st.button(label, key=f"plan:{kind}", icon=":material/play_arrow:", type="secondary" if planned else "primary"):
        begin([patient], kind)


def last(patient: str, kind: Kind) -> int:
    """The newest job that has planned for a patient: when it changes, there is something new to read."""
    done = (job.id for job in jobs(access.database(), patient=patient, kind=kind) if patient in job.patients[: job.done])
    return next(done, 0)


def begin(patients: Sequence[str], kind: Kind) -> None:
    """Asks for plans, and shows the page anew with how far they are."""
    try:
        ask(access.database(), patients, kind, actor=access.reviewer().actor)
    except (ClinicError, StoreError) as error:
        st.error(f"Nothing is planned: {error}", icon=":material/error:")
        return
    access.worker().ensure()
    st.rerun()


def sidebar() -> None:
    """What is being planned, on every page; nothing where nothing is."""
    if any(job.active for job in jobs(access.database())):
        access.worker().ensure()  # a worker that died is begun again for those that wait
        _running()


@st.fragment(run_every=EVERY)
def _running() -> None:
    try:
        active = [job for job in jobs(access.database()) if job.active]
    except StoreError:
        return
    if not active:
        st.rerun()
    for job in active:
        _bar(job)
        if st.button("Cancel", key=f"cancel:{job.id}", help=f"Stop planning for {_people(job)}; what is planned is kept."):
            cancel(access.database(), job.id)


@st.fragment(run_every=EVERY)
def _watch(id: int, patient: str, kind: Kind) -> None:
    """One patient's job until it ends; then the page is shown anew, with what it planned."""
    try:
        now = next((job for job in jobs(access.database(), patient=patient, kind=kind) if job.id == id), None)
    except StoreError as error:
        st.error(str(error), icon=":material/error:")
        return
    if now is None or not now.active or patient in now.patients[: now.done]:
        access.forget()
        st.rerun()
    _bar(now)


def _bar(job: Job) -> None:
    what = f"Planning {WHAT[job.kind]} for {job.next or _people(job)}"
    doing = "waiting its turn" if job.state == "waiting" else DOING.get(job.doing, job.doing)
    said = f"{what}: {doing}"
    if len(job.patients) > 1:
        said += f" ({job.done} of {len(job.patients)} done)"
    steps = list(DOING)
    within = steps.index(job.doing) / len(steps) if job.doing in DOING else 0.0
    st.progress(min(1.0, (job.done + within) / len(job.patients)), text=said)


def _ended(job: Job, patient: str) -> None:
    """Why nothing was planned, where that is so."""
    if patient in job.failed:
        st.error(f"**Nothing was planned.** {job.failed[patient]}", icon=":material/error:")
    elif job.state in ("died", "failed") and patient not in job.patients[: job.done]:
        st.error(f"**Planning ended early:** {job.problem}. Nothing is lost; it can be started again.", icon=":material/error:")
        if st.button("Start again", key=f"again:{job.id}", icon=":material/replay:"):
            again(access.database(), job.id, actor=access.reviewer().actor)
            access.worker().ensure()
            st.rerun()
    elif job.state == "cancelled" and patient not in job.patients[: job.done]:
        st.info("Planning was cancelled.", icon=":material/cancel:")


def _people(job: Job) -> str:
    return job.patients[0] if len(job.patients) == 1 else f"{len(job.patients)} patients"
