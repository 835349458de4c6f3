"""One patient's review: how it has been, what is proposed, what that would do, and the decision."""

import re

import streamlit as st

from app import access, chart_note, charts, drawings, paper, planning
from app.screens import choose, course, decide, proposal, what_if
from app.wording import percent, when
from careplan.clinic import Actor, UnknownPatient, review_page
from careplan.clinic.views import PatientSummary, Review, ReviewPage
from careplan.display import Unit
from careplan.therapies.glucose.views import Metrics


def draw() -> None:
    actor = access.actor()
    unit = access.unit()
    patient = choose.patient()
    newest = planning.last(patient, "regimen")
    try:
        page = access.remembered(f"page:{patient}:{newest}", lambda: review_page(access.database(), patient, actor=actor))
    except UnknownPatient as error:
        st.error(str(error))
        return
    proposal.notices(page.notices)
    if not isinstance(page.recent, Metrics):
        course.draw(page, actor)
        return
    suggestion = page.suggestion
    signed = next((review for review in page.history if suggestion and review.suggestion == suggestion.id), None)
    _heading(page.summary)
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
        st.header("What earlier changes did")
        st.html(drawings.experiments_table(suggestion.experiments, unit))
    decide.history(page.history, page.summary.zone)
    _on_paper(page, actor, unit)
    if suggestion is not None:
        proposal.provenance(suggestion)


def _heading(summary: PatientSummary) -> None:
    weight = "weight not recorded" if summary.weight is None else f"{summary.weight:g} kg"
    dose = "" if summary.total_daily_dose is None else f" · {summary.total_daily_dose:.1f} U a day"
    st.caption(
        f"{summary.group.capitalize()} · {weight}{dose} · {summary.days:.0f} days recorded, "
        f"{when(summary.first, summary.zone)} to {when(summary.last, summary.zone)} ({summary.zone}) · source {summary.source}"
    )


def _banners(page: ReviewPage) -> None:
    if not page.summary.sufficient:
        metrics = page.summary.metrics
        st.warning(
            f"Too little data to judge by: {page.summary.days:.1f} days with {percent(metrics.active)} of readings; "
            "14 days with 70 % are needed.",
            icon=":material/hourglass_empty:",
        )
    if page.suggestion is not None:
        proposal.warnings(page.suggestion)


def _profile(page: ReviewPage, unit: Unit) -> None:
    left, right = st.columns([2.7, 1], gap="medium")
    with left:
        st.header("A typical day")
        st.caption(f"AGP-style: glucose by time of day over the last {len(page.days)} days. Green: the target range.")
        st.plotly_chart(charts.profile_figure(page.profile, unit, page.targets), config=charts.CONFIG, key="profile")
    with right:
        st.header("Time in ranges")
        st.caption(f"The last {len(page.days)} days.")
        st.html(drawings.band_bar(page.recent, unit, page.targets))


def _proposal(page: ReviewPage, signed: Review | None, unit: Unit) -> None:
    suggestion = page.suggestion
    lines = () if suggestion is None or signed is not None else suggestion.lines
    st.header("Regimen in force" if not lines else "Current and proposed regimen")
    if not page.regimen:
        st.info("No regimen is stored for this patient.")
    else:
        st.html(drawings.regimen_table(page.regimen, lines, unit))
    planning.plan(page.summary.patient, "regimen", planned=suggestion is not None)
    if suggestion is None:
        st.info("No suggestion yet.")
        return
    if suggestion.abstained or signed is not None:
        return
    if not suggestion.lines:
        st.info("careplan proposes no change.")
    proposal.why(suggestion, unit)


def _days(page: ReviewPage, unit: Unit) -> None:
    st.header("The days behind it")
    if not page.days:
        st.info("No day is recorded.")
        return
    st.caption("Midnight to midnight, with the time in range; \N{BLACK DOWN-POINTING TRIANGLE} is the time below target.")
    st.html(drawings.thumbnails(page.days, unit, page.targets))
    dates = [day.date for day in reversed(page.days)]
    chosen = st.selectbox("Look closely at", dates, key="day", index=None, placeholder="Choose a day", width=220)
    if chosen is not None:
        day = next(day for day in page.days if day.date == chosen)
        st.plotly_chart(charts.day_figure(day, unit, page.targets), config=charts.CONFIG, key="day_chart")


def _on_paper(page: ReviewPage, actor: Actor, unit: Unit) -> None:
    """One page to print, a note to paste into the chart, and tables."""
    st.header("On paper and in the chart")
    name = re.sub(r"[^\w-]+", "-", page.summary.patient)
    with st.container(horizontal=True):
        st.download_button(
            "One page (PDF)",
            lambda: paper.review_pdf(page, unit, by=actor.name),
            f"{name}.pdf",
            "application/pdf",
            key="pdf",
            icon=":material/print:",
            on_click="ignore",
        )
        for key, made in (("days", chart_note.days_csv), ("settings", chart_note.settings_csv)):
            st.download_button(
                f"{key.capitalize()} (CSV)",
                made(page, unit),
                f"{name}-{key}.csv",
                "text/csv",
                key=f"csv:{key}",
                on_click="ignore",
            )
    with st.expander("A note to paste"):
        st.code(chart_note.note(page, unit), language=None, wrap_lines=True)
