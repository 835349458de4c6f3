"""One patient's review: how it has been, what is proposed, what that would do, and the decision."""

from collections.abc import Mapping

import streamlit as st

from app import access, charts, drawings
from app.screens import choose, decide
from app.wording import Unit, key_name, percent, sentence, when
from careplan.clinic import UnknownPatient, review_page
from careplan.clinic.views import Interval, PatientSummary, Review, ReviewPage, Suggestion

OUTCOMES: Mapping[str, str] = {
    "in_range": "In range",
    "below_70": "Below {low}",
    "below_54": "Below {very_low}",
    "above_180": "Above {high}",
    "mean": "Mean",
    "risk": "Mean risk",
}


def draw() -> None:
    reviewer = access.reviewer()
    unit = access.unit()
    patient = choose.patient()
    try:
        page = access.remembered(f"page:{patient}", lambda: review_page(access.database(), patient, actor=reviewer.signature))
    except UnknownPatient as error:
        st.error(str(error))
        return
    suggestion = page.suggestion
    signed = next((review for review in page.history if suggestion and review.suggestion == suggestion.id), None)
    _heading(page.summary)
    _banners(page)
    st.html(drawings.tiles(page.recent, unit))
    _profile(page, unit)
    _days(page, unit)
    _proposal(page, signed, unit)
    if suggestion is not None:
        if suggestion.options:
            _effect(suggestion, unit)
        if signed is not None:
            decide.signed_review(suggestion, signed, unit)
        elif not suggestion.abstained:
            decide.decide(suggestion, page.draft, reviewer, unit)
    _history(page.history, page.summary.zone)
    if suggestion is not None:
        with st.expander("How this suggestion was made"):
            st.table({"": list(suggestion.provenance), "value": [str(value) for value in suggestion.provenance.values()]})


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
    if page.suggestion is None:
        return
    if page.suggestion.abstained:
        why = "\n".join(f"- {sentence(reason)}" for reason in page.suggestion.reasons)
        st.warning(f"**careplan abstains for this patient.**\n\n{why}", icon=":material/front_hand:")
    for banner in page.suggestion.banners:
        st.warning(banner, icon=":material/warning:")


def _profile(page: ReviewPage, unit: Unit) -> None:
    left, right = st.columns([2.7, 1], gap="medium")
    with left:
        st.subheader("A typical day")
        st.caption(f"AGP-style: glucose by time of day over the last {len(page.days)} days. Green: the target range.")
        st.plotly_chart(charts.profile_figure(page.profile, unit), config=charts.CONFIG, key="profile")
    with right:
        st.subheader("Time in ranges")
        st.caption(f"The last {len(page.days)} days.")
        st.html(drawings.band_bar(page.recent, unit))


def _proposal(page: ReviewPage, signed: Review | None, unit: Unit) -> None:
    suggestion = page.suggestion
    lines = () if suggestion is None or signed is not None else suggestion.lines
    st.subheader("Regimen in force" if not lines else "Current and proposed regimen")
    if not page.regimen:
        st.info("No regimen is stored for this patient.")
    else:
        st.html(drawings.regimen_table(page.regimen, lines, unit))
    if suggestion is None:
        st.info(f"No suggestion yet. `careplan plan {page.summary.patient}` makes one.")
        return
    if suggestion.abstained or signed is not None:
        return
    if not suggestion.lines:
        st.info("careplan proposes no change.")
    if suggestion.reasons:
        st.markdown("**Why.** " + " ".join(sentence(reason) for reason in suggestion.reasons))
    if suggestion.limits_bound:
        st.markdown("**Limits that bound it.** " + sentence("; ".join(suggestion.limits_bound)))


def _effect(suggestion: Suggestion, unit: Unit) -> None:
    st.subheader("Predicted effect, beside no change")
    left, right = st.columns([1.35, 1], gap="medium")
    with left:
        st.plotly_chart(
            charts.prediction_figure(suggestion.options, unit, suggestion.kind), config=charts.CONFIG, key="prediction"
        )
    with right:
        st.html(_outcomes(suggestion, unit))
        st.caption(
            "Each value with its 90 % interval, by this patient's own model on recorded days. A prediction, not a promise."
        )


def _outcomes(suggestion: Suggestion, unit: Unit) -> str:
    names = {"low": unit.text(70), "very_low": unit.text(54), "high": unit.text(180)}
    keys = list(dict.fromkeys(key for option in suggestion.options for key in option.outcomes))
    head = "".join(f"<th>{option.name[:1].upper()}{option.name[1:]}</th>" for option in suggestion.options)
    rows = []
    for key in keys:
        title = OUTCOMES.get(key, key.replace("_", " ").capitalize()).format(**names)
        cells = "".join(f"<td>{_interval(key, option.outcomes.get(key), unit)}</td>" for option in suggestion.options)
        rows.append(f"<tr><th>{title}</th>{cells}</tr>")
    return (
        f"<div class='cp-scroll'><table class='cp-regimen'><thead><tr><th></th>{head}</tr></thead>{''.join(rows)}</table></div>"
    )


def _interval(key: str, value: Interval | None, unit: Unit) -> str:
    if value is None:
        return "-"
    if key == "mean":
        return f"<b>{unit.text(value.mid)}</b><small>{unit.text(value.low)} to {unit.text(value.high)} {unit.name}</small>"
    if key == "risk":
        return f"<b>{value.mid:.1f}</b><small>{value.low:.1f} to {value.high:.1f}</small>"
    return f"<b>{value.mid:.1f} %</b><small>{value.low:.1f} to {value.high:.1f} %</small>"


def _days(page: ReviewPage, unit: Unit) -> None:
    st.subheader("The days behind it")
    if not page.days:
        st.info("No day is recorded.")
        return
    st.caption("Midnight to midnight, with the time in range; \N{BLACK DOWN-POINTING TRIANGLE} is the time below target.")
    st.html(drawings.thumbnails(page.days, unit))
    dates = [day.date for day in reversed(page.days)]
    chosen = st.selectbox("Look closely at", dates, key="day", index=None, placeholder="Choose a day", width=220)
    if chosen is not None:
        day = next(day for day in page.days if day.date == chosen)
        st.plotly_chart(charts.day_figure(day, unit), config=charts.CONFIG, key="day_chart")


def _history(history: tuple[Review, ...], zone: str) -> None:
    if not history:
        return
    st.subheader("Signed reviews")
    for review in history:
        with st.expander(f"{when(review.signed, zone)}, {review.reviewer}"):
            st.markdown(f"> {review.meaning}")
            for decision in review.decisions:
                reason = f": {decision.reason}" if decision.reason else ""
                st.markdown(f"- {key_name(decision.key)}: **{decide.PAST[decision.verdict]}** at {decision.value:g}{reason}")
