"""A review page for therapies that are seen rarely: the course of the level and its doses, what is proposed, and the decision.

It draws what the therapy's practice says: its marks, its words, its unit. Nothing here names a therapy.
"""

import plotly.graph_objects as go
import streamlit as st

from app import charts, planning
from app.palette import COLORS, INK, MUTED, PROPOSED, RUNNER_UP, UNCHANGED, translucent
from app.screens import decide, proposal
from app.wording import percent, when
from careplan import therapies
from careplan.clinic import Actor
from careplan.clinic.views import ReviewPage
from careplan.display import Marks, Unit
from careplan.minutes import DAY
from careplan.practice import Practice
from careplan.suggestion import Interval, Suggestion

STYLES = {"proposed": (PROPOSED, "solid"), "no change": (UNCHANGED, "dash"), "protocol": (RUNNER_UP, "dot")}


def draw(page: ReviewPage, actor: Actor) -> None:
    """Everything of one patient's review."""
    practice = therapies.practice(page.summary.therapy).at(page.targets)
    unit, suggestion = practice.units[0], page.suggestion
    signed = next((review for review in page.history if suggestion and review.suggestion == suggestion.id), None)
    _heading(page, practice)
    if suggestion is not None:
        proposal.warnings(suggestion)
    _figures(page, practice)
    st.subheader("The course")
    st.plotly_chart(_course(page, practice, unit), config=charts.CONFIG, key="course")
    st.subheader("Regimen in force")
    st.table(_regimen(page, practice))
    planning.plan(page.summary.patient, "regimen", planned=suggestion is not None)
    if suggestion is None:
        st.info("No suggestion yet.")
    else:
        _suggested(suggestion, practice, unit)
        if signed is not None:
            decide.signed_review(suggestion, signed, unit)
        elif not suggestion.abstained:
            decide.decide(suggestion, page.draft, page.out_of_date, actor, unit)
    decide.history(page.history, page.summary.zone)
    if suggestion is not None:
        proposal.provenance(suggestion)


def _heading(page: ReviewPage, practice: Practice) -> None:
    summary = page.summary
    dose = "" if summary.total_daily_dose is None else f" · {summary.total_daily_dose:.1f} a day"
    st.caption(
        f"{practice.name.capitalize()} · {summary.group}{dose} · {summary.days:.0f} days, {when(summary.first, summary.zone)} to "
        f"{when(summary.last, summary.zone)} ({summary.zone}) · source {summary.source}"
    )


def _figures(page: ReviewPage, practice: Practice) -> None:
    """The share of time in each band of the recent course."""
    marks = practice.marks
    if marks is None:
        return
    for column, band in zip(st.columns(len(marks.bands)), marks.bands, strict=True):
        column.metric(f"{band.name[:1].upper()}{band.name[1:]}", percent(getattr(page.recent, band.field)))


def _course(page: ReviewPage, practice: Practice, unit: Unit) -> go.Figure:
    """Levels as dots and doses as bars below, over the days; the range as a band."""
    course, figure = page.profile, go.Figure()
    known = [(date, level) for date, level in zip(course.dates, course.inr, strict=True) if level is not None]
    figure.add_scatter(
        x=[date for date, _ in known],
        y=unit.series([level for _, level in known]),
        mode="lines+markers",
        line={"color": MUTED, "width": 1},
        marker={"size": 8, "color": INK},
        name=unit.name,
    )
    doses = [(date, dose) for date, dose in zip(course.dates, course.dose, strict=True) if dose is not None]
    figure.add_bar(
        x=[date for date, _ in doses],
        y=[dose for _, dose in doses],
        yaxis="y2",
        name="mg",
        marker={"color": PROPOSED},
        opacity=0.55,
    )
    _range(figure, practice.marks, unit)
    figure.update_layout(
        height=360,
        margin={"l": 60, "r": 20, "t": 20, "b": 30},
        xaxis={"anchor": "y2"},
        yaxis={"domain": [0.3, 1], "title": unit.name},
        yaxis2={"domain": [0, 0.22], "title": "mg"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )
    return figure


def _range(figure: go.Figure, marks: Marks | None, unit: Unit) -> None:
    if marks is None:
        return
    wanted = next(band for band in marks.bands if band.far == 0)
    low, high = unit.of(wanted.low), unit.of(wanted.high)
    figure.add_hrect(y0=low, y1=high, fillcolor=translucent(COLORS["in_range"], 0.12), line_width=0, layer="below")


def _regimen(page: ReviewPage, practice: Practice) -> dict[str, list[str]]:
    names = {} if practice.words is None else practice.words.settings
    rows = {names.get(name, name): ", ".join(f"{value:g}" for _, value in slots) for name, slots in page.regimen.items()}
    return {"Setting": list(rows), "In force": list(rows.values())}


def _suggested(suggestion: Suggestion, practice: Practice, unit: Unit) -> None:
    """What is proposed in words, and its effect beside no change."""
    if practice.words is not None and not suggestion.abstained:
        st.subheader("Proposal")
        for heading, text in practice.words.said(suggestion, unit):
            st.markdown(f"**{heading}.** {text}")
    if not suggestion.options:
        return
    st.subheader("Predicted effect, beside no change")
    figure = go.Figure()
    for option in suggestion.options:
        color, dash = STYLES.get(option.name, (INK, "solid"))
        days = [minute / DAY for minute in option.path.minutes]
        if option.name == "proposed":
            figure.add_scatter(x=days, y=unit.series(option.path.high), mode="lines", line={"width": 0}, showlegend=False)
            figure.add_scatter(
                x=days, y=unit.series(option.path.low), mode="lines", line={"width": 0}, fill="tonexty",
                fillcolor=translucent(color, 0.18), name="90 % interval",
            )  # fmt: skip
        line = {"color": color, "dash": dash, "width": 2.5}
        figure.add_scatter(x=days, y=unit.series(option.path.mid), mode="lines", line=line, name=option.name)
    _range(figure, practice.marks, unit)
    figure.update_layout(
        height=320,
        margin={"l": 60, "r": 20, "t": 20, "b": 40},
        xaxis={"title": "days from now"},
        yaxis={"title": unit.name},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )
    st.plotly_chart(figure, config=charts.CONFIG, key="prediction")
    keys = list(dict.fromkeys(key for option in suggestion.options for key in option.outcomes))
    shown = {"": [f"{option.name}: {option.does}" for option in suggestion.options]}
    for key in keys:
        shown[key.replace("_", " ")] = [_interval(key, option.outcomes.get(key)) for option in suggestion.options]
    st.table(shown)


def _interval(key: str, value: Interval | None) -> str:
    if value is None:
        return "-"
    sign = "" if key in ("mean", "risk") else " %"
    return f"{value.mid:.1f}{sign} ({value.low:.1f} to {value.high:.1f})"
