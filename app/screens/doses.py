"""The next hours of one patient: which doses are proposed from a moment on, what they would do, and the decision."""

import streamlit as st

from app import access, planning
from app.screens import choose, course, decide, proposal
from app.wording import when
from careplan.clinic import UnknownPatient, dose_page
from careplan.clinic.views import DosePage
from careplan.language import N_, _, retold
from careplan.suggestion import Suggestion
from careplan.therapies.glucose.views import Metrics


def draw() -> None:
    actor = access.actor()
    unit = access.unit()
    patient = choose.patient(N_("Next hours of patient {patient}"))
    newest = planning.last(patient, "doses")
    try:
        page = access.remembered(f"doses:{patient}:{newest}", lambda: dose_page(access.database(), patient, actor=actor))
    except UnknownPatient as error:
        st.error(retold(str(error)))
        return
    proposal.notices(page.notices)
    if not isinstance(page.summary.metrics, Metrics | None):
        course.draw_doses(page, actor)
        return
    suggestion = page.suggestion
    planning.plan(patient, "doses", planned=suggestion is not None)
    if suggestion is None:
        st.info(_("No doses are suggested yet. **Plan the next hours** searches for them, from the last reading on."))
    else:
        _moment(page, suggestion)
        proposal.warnings(suggestion)
        if not suggestion.abstained:
            if not suggestion.lines:
                st.info(_("careplan proposes no dose beyond what is prescribed."))
            proposal.point(suggestion, unit)
            proposal.why(suggestion, unit)
            proposal.effect(suggestion, unit, page.recorded)
        signed = next((review for review in page.history if review.suggestion == suggestion.id), None)
        if signed is not None:
            decide.signed_review(suggestion, signed, unit)
        elif not suggestion.abstained:
            if page.caution:
                said = _("More insulin needs a typed reason: {why}.", why=retold(page.caution))
                st.warning(said, icon=":material/warning:")
            decide.decide(suggestion, page.draft, page.out_of_date, actor, unit)
    decide.history(page.history, "doses")
    if suggestion is not None:
        proposal.provenance(suggestion)


def _moment(page: DosePage, suggestion: Suggestion) -> None:
    zone = page.summary.zone
    now, planned = when(suggestion.at, zone), when(suggestion.created, zone)
    st.caption(_('"Now" is {now} ({zone}); planned {planned}.', now=now, zone=zone, planned=planned))
