"""Asking for plans, and seeing how far they are: on a patient's pages, on the worklist, and in the sidebar of every page."""

from collections.abc import Sequence

import streamlit as st

from app import access
from careplan.clinic import ClinicError, Job, StoreError, ask, ask_again, cancel, jobs
from careplan.clinic.roles import DECIDES
from careplan.language import N_, _, ngettext, retold
from careplan.suggestion import Kind

EVERY = 1.0  # seconds between looks at a job that runs
DOING = {
    "": N_("starting"),
    "read": N_("reading the recordings"),
    "personalise": N_("fitting the model to this patient"),
    "check": N_("checking whether the model may speak"),
    "encode": N_("looking at the recent days"),
    "search": N_("searching for the best change"),
    "guard": N_("holding it to the limits"),
    "explain": N_("finding what drives it"),
    "store": N_("keeping the suggestion"),
}
PLAN: dict[Kind, str] = {"regimen": N_("Plan a regimen"), "doses": N_("Plan the next hours")}
AGAIN: dict[Kind, str] = {"regimen": N_("Plan a regimen again"), "doses": N_("Plan the next hours again")}
PLANNING: dict[Kind, str] = {
    "regimen": N_("Planning a regimen for {who}: {doing}"),
    "doses": N_("Planning the next hours for {who}: {doing}"),
}


def plan(patient: str, kind: Kind, *, planned: bool) -> None:
    """The button that plans for one patient, or how far it is. planned: whether there is a suggestion already."""
    newest = next(iter(jobs(access.database(), patient=patient, kind=kind)), None)
    if newest is not None and newest.active:
        _watch(newest.id, patient, kind)
        return
    if newest is not None:
        _ended(newest, patient)
    if not access.allowed(DECIDES):
        return
    label = _(AGAIN[kind] if planned else PLAN[kind])
    if st.button(label, key=f"plan:{kind}", icon=":material/play_arrow:", type="secondary" if planned else "primary"):
        begin([patient], kind)


def last(patient: str, kind: Kind) -> int:
    """The newest job that has planned for a patient: when it changes, there is something new to read."""
    done = (job.id for job in jobs(access.database(), patient=patient, kind=kind) if patient in job.patients[: job.done])
    return next(done, 0)


def begin(patients: Sequence[str], kind: Kind) -> None:
    """Asks for plans, and shows the page anew with how far they are."""
    try:
        ask(access.database(), patients, kind, actor=access.actor())
    except (ClinicError, StoreError) as error:
        st.error(_("Nothing is planned: {error}", error=retold(str(error))), icon=":material/error:")
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
        stops = _("Stop planning for {who}; what is planned is kept.", who=_people(job))
        if st.button(_("Cancel"), key=f"cancel:{job.id}", help=stops):
            cancel(access.database(), job.id)


@st.fragment(run_every=EVERY)
def _watch(id: int, patient: str, kind: Kind) -> None:
    """One patient's job until it ends; then the page is shown anew, with what it planned."""
    try:
        now = next((job for job in jobs(access.database(), patient=patient, kind=kind) if job.id == id), None)
    except StoreError as error:
        st.error(retold(str(error)), icon=":material/error:")
        return
    if now is None or not now.active or patient in now.patients[: now.done]:
        access.forget()
        st.rerun()
    _bar(now)


def _bar(job: Job) -> None:
    doing = _("waiting its turn") if job.state == "waiting" else _(DOING.get(job.doing, job.doing))
    said = _(PLANNING[job.kind], who=job.next or _people(job), doing=doing)
    if len(job.patients) > 1:
        said += _(" ({done} of {count} done)", done=job.done, count=len(job.patients))
    steps = list(DOING)
    within = steps.index(job.doing) / len(steps) if job.doing in DOING else 0.0
    st.progress(min(1.0, (job.done + within) / len(job.patients)), text=said)


def _ended(job: Job, patient: str) -> None:
    """Why nothing was planned, where that is so."""
    if patient in job.failed:
        st.error(_("**Nothing was planned.** {why}", why=retold(job.failed[patient])), icon=":material/error:")
    elif job.state in ("died", "failed") and patient not in job.patients[: job.done]:
        said = _("**Planning ended early:** {why}. Nothing is lost; it can be started again.", why=retold(job.problem))
        st.error(said, icon=":material/error:")
        if st.button(_("Start again"), key=f"again:{job.id}", icon=":material/replay:"):
            ask_again(access.database(), job.id, actor=access.actor())
            access.worker().ensure()
            st.rerun()
    elif job.state == "cancelled" and patient not in job.patients[: job.done]:
        st.info(_("Planning was cancelled."), icon=":material/cancel:")


def _people(job: Job) -> str:
    return job.patients[0] if len(job.patients) == 1 else ngettext("{count} patient", "{count} patients", len(job.patients))
