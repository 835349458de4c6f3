"""What is stored of one patient: channels; of glucose its gaps and each day too."""

import streamlit as st

from app import access, charts
from app.channels import NAMES, channel_name
from app.screens import choose, what_if
from app.wording import duration, percent, when
from careplan.clinic import review_page
from careplan.clinic.views import PatientSummary, ReviewPage
from careplan.language import N_, _, number
from careplan.therapies.glucose.views import Metrics


def draw() -> None:
    actor = access.actor()
    patient = choose.patient(N_("Record of patient {patient}"))
    page = access.remembered(f"page:{patient}", lambda: review_page(access.database(), patient, actor=actor))
    summary = page.summary
    in_days = isinstance(summary.metrics, Metrics)
    st.caption(
        _(
            "Source {source} · {first} to {last} ({zone}) · {days:.1f} days",
            source=_(summary.source),
            first=when(summary.first, summary.zone),
            last=when(summary.last, summary.zone),
            zone=summary.zone,
            days=summary.days,
        )
        + (_(" · {share} of expected readings", share=percent(summary.metrics.active)) if in_days else "")
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.header(_("What is recorded"))
        names = [
            *(name for name in NAMES if name in summary.events),
            *(name for name in summary.events if name not in NAMES),
        ]
        counts = [number(summary.events[name]) for name in names]
        st.table({_("Channel"): [channel_name(name) for name in names], _("Entries"): counts})
    if in_days:
        with right:
            _gaps(summary)
        _day(page)


def _gaps(summary: PatientSummary) -> None:
    st.header(_("Gaps in glucose"))
    if not summary.gap_count:
        st.markdown(_("None over 15 minutes."))
        return
    shown = len(summary.gaps)
    some = _("{count} over 15 minutes, the {shown} longest:", count=summary.gap_count, shown=shown)
    st.caption(some if summary.gap_count > shown else _("{count} over 15 minutes:", count=summary.gap_count))
    since, lasted = _("From"), _("Without a reading")
    st.table({since: [when(gap[0], summary.zone) for gap in summary.gaps], lasted: [duration(gap[1]) for gap in summary.gaps]})


def _day(page: ReviewPage) -> None:
    st.header(_("One day"))
    if not page.days:
        st.info(_("No day is recorded."))
        return
    dates = [day.date for day in reversed(page.days)]
    chosen = st.selectbox(_("Day"), dates, key="record_day", width=220)
    day = next(day for day in page.days if day.date == chosen)
    unit = access.unit()
    st.plotly_chart(charts.day_figure(day, unit, page.targets), config=charts.CONFIG, key="record_chart")
    st.caption(
        _(
            "{share} in range, mean {mean} {unit}; {insulin:.1f} U in {boluses} boluses, {carbs:.0f} g in {meals} meals.",
            share=percent(day.metrics.in_range),
            mean=unit.text(day.metrics.mean),
            unit=unit.name,
            insulin=sum(bolus[1] for bolus in day.boluses),
            boluses=len(day.boluses),
            carbs=sum(meal[1] for meal in day.carbs),
            meals=len(day.carbs),
        )
    )
    what_if.past_day(page.summary.patient, page.summary.zone, day, unit, page.targets)
