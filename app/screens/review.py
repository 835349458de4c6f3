"""One patient's review: how it has been, what is proposed, what that would do, and the decision."""

import re

import streamlit as st

from app import access, chart_note, charts, drawings, paper, planning
from app.screens import choose, course, decide, proposal, what_if
from app.screens.targets import name_of
from app.wording import group_name, percent, when
from careplan import therapies
from careplan.clinic import Actor, UnknownPatient, review_page
from careplan.clinic.views import PatientSummary, Review, ReviewPage
from careplan.display import Unit, listed
from careplan.language import N_, _, current, retold, using
from careplan.therapies.glucose.views import Metrics


def draw() -> None:
    actor = access.actor()
    unit = access.unit()
    patient = choose.patient()
    newest = planning.last(patient, "regimen")
    try:
        page = access.remembered(f"page:{patient}:{newest}", lambda: review_page(access.database(), patient, actor=actor))
    except UnknownPatient as error:
        st.error(retold(str(error)))
        return
    proposal.notices(page.notices)
    if not isinstance(page.recent, Metrics):
        course.draw(page, actor)
        return
    suggestion = page.suggestion
    signed = next((review for review in page.history if suggestion and review.suggestion == suggestion.id), None)
    _heading(page.summary)
    st.caption(_("Treated to: {whom}", whom=name_of(page.targets, therapies.practice(page.summary.therapy).presets)))
    _banners(page)
    if suggestion is not None and signed is None:
        proposal.point(suggestion, unit)
    st.html(drawings.tiles(page.recent, unit, page.targets))
    _profile(page, unit)
    _days(page, unit)
    _proposal(page, signed, unit)
    if suggestion is not None and suggestion.options:
        proposal.effect(suggestion, unit)
    what_if.settings(page, newest, unit)
    if suggestion is not None:
        if signed is not None:
            decide.signed_review(suggestion, signed, unit)
        elif not suggestion.abstained:
            decide.decide(suggestion, page.draft, page.out_of_date, actor, unit)
    if suggestion is not None and suggestion.experiments:
        st.header(_("What earlier changes did"))
        st.html(drawings.experiments_table(suggestion.experiments, unit))
    decide.history(page.history)
    _on_paper(page, actor, unit)
    if suggestion is not None:
        proposal.provenance(suggestion)


def _heading(summary: PatientSummary) -> None:
    weight = _("weight not recorded") if summary.weight is None else f"{summary.weight:g} kg"
    dose = "" if summary.total_daily_dose is None else _("{units:.1f} U a day", units=summary.total_daily_dose)
    recorded = _(
        "{days:.0f} days recorded, {first} to {last} ({zone})",
        days=summary.days,
        first=when(summary.first, summary.zone),
        last=when(summary.last, summary.zone),
        zone=summary.zone,
    )
    source = _("source {source}", source=_(summary.source))
    st.caption(listed([group_name(summary.group), weight, dose, recorded, source], " · "))


def _banners(page: ReviewPage) -> None:
    if not page.summary.sufficient:
        metrics = page.summary.metrics
        st.warning(
            _(
                "Too little data to judge by: {days:.1f} days with {share} of readings; 14 days with 70 % are needed.",
                days=page.summary.days,
                share=percent(metrics.active),
            ),
            icon=":material/hourglass_empty:",
        )
    if page.suggestion is not None:
        proposal.warnings(page.suggestion)


def _profile(page: ReviewPage, unit: Unit) -> None:
    left, right = st.columns([2.7, 1], gap="medium")
    with left:
        st.header(_("A typical day"))
        said = _("AGP-style: glucose by time of day over the last {days} days. Green: the target range.", days=len(page.days))
        st.caption(said)
        st.plotly_chart(charts.profile_figure(page.profile, unit, page.targets), config=charts.CONFIG, key="profile")
    with right:
        st.header(_("Time in ranges"))
        st.caption(_("The last {days} days.", days=len(page.days)))
        st.html(drawings.band_bar(page.recent, unit, page.targets))


def _proposal(page: ReviewPage, signed: Review | None, unit: Unit) -> None:
    suggestion = page.suggestion
    lines = () if suggestion is None or signed is not None else suggestion.lines
    st.header(_("Regimen in force") if not lines else _("Current and proposed regimen"))
    if not page.regimen:
        st.info(_("No regimen is stored for this patient."))
    else:
        st.html(drawings.regimen_table(page.regimen, lines, unit))
    planning.plan(page.summary.patient, "regimen", planned=suggestion is not None)
    if suggestion is None:
        st.info(_("No suggestion yet."))
        return
    if suggestion.abstained or signed is not None:
        return
    if not suggestion.lines:
        st.info(_("careplan proposes no change."))
    proposal.why(suggestion, unit)


def _days(page: ReviewPage, unit: Unit) -> None:
    st.header(_("The days behind it"))
    if not page.days:
        st.info(_("No day is recorded."))
        return
    st.caption(_("Midnight to midnight, with the time in range; \N{BLACK DOWN-POINTING TRIANGLE} is the time below target."))
    st.html(drawings.thumbnails(page.days, unit, page.targets))
    dates = [day.date for day in reversed(page.days)]
    chosen = st.selectbox(_("Look closely at"), dates, key="day", index=None, placeholder=_("Choose a day"), width=220)
    if chosen is not None:
        day = next(day for day in page.days if day.date == chosen)
        st.plotly_chart(charts.day_figure(day, unit, page.targets), config=charts.CONFIG, key="day_chart")


def _on_paper(page: ReviewPage, actor: Actor, unit: Unit) -> None:
    """One page to print, a note to paste into the chart, and tables."""
    st.header(_("On paper and in the chart"))
    name = re.sub(r"[^\w-]+", "-", page.summary.patient)
    spoken = current()

    def printed() -> bytes:  # when it is pressed, outside of this session's run
        with using(spoken):
            return paper.review_pdf(page, unit, by=actor.name)

    with st.container(horizontal=True):
        st.download_button(
            _("One page (PDF)"),
            printed,
            f"{name}.pdf",
            "application/pdf",
            key="pdf",
            icon=":material/print:",
            on_click="ignore",
        )
        tables = (("days", N_("Days (CSV)"), chart_note.days_csv), ("settings", N_("Settings (CSV)"), chart_note.settings_csv))
        for key, label, made in tables:
            st.download_button(
                _(label),
                made(page, unit),
                f"{name}-{key}.csv",
                "text/csv",
                key=f"csv:{key}",
                on_click="ignore",
            )
    with st.expander(_("A note to paste")):
        st.code(chart_note.note(page, unit), language=None, wrap_lines=True)
