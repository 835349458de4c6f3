"""What is stored of one patient: channels, gaps, each day."""

import streamlit as st

from app import access, charts
from app.channels import NAMES, channel_name
from app.screens import choose, what_if
from app.wording import duration, percent, when
from careplan.clinic import review_page
from careplan.clinic.views import PatientSummary, ReviewPage
from careplan.language import N_


def draw() -> None:
    actor = access.actor()
    patient = choose.patient(N_("Record of patient {patient}"))
    page = access.remembered(f"page:{patient}", lambda: review_page(access.database(), patient, actor=actor))
    summary = page.summary
    st.caption(
        f"Source {summary.source} · {when(summary.first, summary.zone)} to {when(summary.last, summary.zone)} ({summary.zone}) · "
        f"{summary.days:.1f} days · {percent(summary.metrics.active)} of expected readings"
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.header("What is recorded")
        names = [
            *(name for name in NAMES if name in summary.events),
            *(name for name in summary.events if name not in NAMES),
        ]
        st.table({"Channel": [channel_name(name) for name in names], "Entries": [f"{summary.events[name]:,}" for name in names]})
    with right:
        _gaps(summary)
    _day(page)


def _gaps(summary: PatientSummary) -> None:
    st.header("Gaps in glucose")
    if not summary.gap_count:
        st.markdown("None over 15 minutes.")
        return
    shown = f", the {len(summary.gaps)} longest" if summary.gap_count > len(summary.gaps) else ""
    st.caption(f"{summary.gap_count} over 15 minutes{shown}:")
    st.table(
        {
            "From": [when(start, summary.zone) for start, _ in summary.gaps],
            "Without a reading": [duration(minutes) for _, minutes in summary.gaps],
        }
    )


def _day(page: ReviewPage) -> None:
    st.header("One day")
    if not page.days:
        st.info("No day is recorded.")
        return
    dates = [day.date for day in reversed(page.days)]
    chosen = st.selectbox("Day", dates, key="record_day", width=220)
    day = next(day for day in page.days if day.date == chosen)
    unit = access.unit()
    st.plotly_chart(charts.day_figure(day, unit, page.targets), config=charts.CONFIG, key="record_chart")
    insulin, carbs = sum(units for _, units in day.boluses), sum(grams for _, grams in day.carbs)
    st.caption(
        f"{percent(day.metrics.in_range)} in range, mean {unit.text(day.metrics.mean)} {unit.name}; "
        f"{insulin:.1f} U in {len(day.boluses)} boluses, {carbs:.0f} g in {len(day.carbs)} meals."
    )
    what_if.past_day(page.summary.patient, page.summary.zone, day, unit, page.targets)
