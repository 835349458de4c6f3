"""A review page for therapies that are seen rarely: the course of the level and its doses, what is proposed, and the decision.

It draws what the therapy's practice says: its marks, its words, its unit. Nothing here names a therapy.
"""

from itertools import cycle

import plotly.graph_objects as go
import streamlit as st

from app import charts, planning
from app.palette import COLORS, INK, MUTED, PROPOSED, RUNNER_UP, UNCHANGED, translucent
from app.screens import decide, proposal
from app.wording import option_name, outcome_name, percent, when
from careplan import therapies
from careplan.clinic import Actor
from careplan.clinic.views import DosePage, ReviewPage
from careplan.clock import UNITS
from careplan.course import Course
from careplan.display import Marks, Unit, is_percent, listed
from careplan.language import N_, _, retold
from careplan.practice import Practice
from careplan.suggestion import Interval, Suggestion

AHEAD = {
    "weeks": N_("weeks from now"),
    "days": N_("days from now"),
    "h": N_("h from now"),
    "min": N_("min from now"),
}
STYLES = {
    "proposed": (PROPOSED, "solid"),
    "no change": (UNCHANGED, "dash"),
    "protocol": (RUNNER_UP, "dot"),
    "runner-up": (RUNNER_UP, "dot"),
}


def draw(page: ReviewPage, actor: Actor) -> None:
    """Everything of one patient's review."""
    practice = therapies.practice(page.summary.therapy).at(page.targets)
    unit, suggestion = unit_of(practice), page.suggestion
    signed = next((review for review in page.history if suggestion and review.suggestion == suggestion.id), None)
    _heading(page, practice)
    if suggestion is not None:
        proposal.warnings(suggestion)
    _figures(page, practice)
    st.subheader(_("The course"))
    st.plotly_chart(_course(page, practice, unit), config=charts.CONFIG, key="course")
    st.subheader(_("Regimen in force"))
    st.table(_regimen(page, practice))
    if practice.plan_regimen is None:
        st.info(_("This therapy plans doses, not settings: see the page Next hours."))
    else:
        planning.plan(page.summary.patient, "regimen", planned=suggestion is not None)
    if suggestion is None:
        if practice.plan_regimen is not None:
            st.info(_("No suggestion yet."))
    else:
        _suggested(suggestion, practice, unit)
        if signed is not None:
            decide.signed_review(suggestion, signed, unit)
        elif not suggestion.abstained:
            decide.decide(suggestion, page.draft, page.out_of_date, actor, unit)
    decide.history(page.history)
    if suggestion is not None:
        proposal.provenance(suggestion)


def draw_doses(page: DosePage, actor: Actor) -> None:
    """The newest suggestion of doses, as the therapy's practice says it, and the decision."""
    practice, suggestion = therapies.practice(page.summary.therapy), page.suggestion
    unit = unit_of(practice)
    if practice.plan_doses is None:
        st.info(_("This therapy plans settings, not single doses: see the page Review."))
        return
    planning.plan(page.summary.patient, "doses", planned=suggestion is not None)
    if suggestion is None:
        st.info(_("No doses are suggested yet. **Plan the next hours** searches for them, from the last reading on."))
    else:
        proposal.warnings(suggestion)
        _suggested(suggestion, practice, unit)
        signed = next((review for review in page.history if review.suggestion == suggestion.id), None)
        if signed is not None:
            decide.signed_review(suggestion, signed, unit)
        elif not suggestion.abstained:
            if page.caution:
                st.warning(_("This needs a typed reason: {why}.", why=retold(page.caution)), icon=":material/warning:")
            decide.decide(suggestion, page.draft, page.out_of_date, actor, unit)
    decide.history(page.history, "doses")
    if suggestion is not None:
        proposal.provenance(suggestion)


def unit_of(practice: Practice) -> Unit:
    """The unit that a therapy's level is shown in: its first, or its channel's own."""
    return practice.units[0] if practice.units else Unit(practice.therapy.channel(practice.therapy.regulated).unit, 1.0, 1)


def _heading(page: ReviewPage, practice: Practice) -> None:
    summary = page.summary
    dose = "" if summary.total_daily_dose is None else _("{dose:.1f} a day", dose=summary.total_daily_dose)
    recorded = _(
        "{days:.0f} days, {first} to {last} ({zone})",
        days=summary.days,
        first=when(summary.first, summary.zone),
        last=when(summary.last, summary.zone),
        zone=summary.zone,
    )
    source = _("source {source}", source=_(summary.source))
    st.caption(listed([_(practice.name.capitalize()), _(summary.group), dose, recorded, source], " · "))


def _figures(page: ReviewPage, practice: Practice) -> None:
    """The share of time in each band of the recent course."""
    marks = practice.marks
    if marks is None:
        return
    for column, band in zip(st.columns(len(marks.bands)), marks.bands, strict=True):
        column.metric(option_name(band.name), percent(getattr(page.recent, band.field, None)))


def _course(page: ReviewPage, practice: Practice, unit: Unit) -> go.Figure:
    """Levels as dots and doses as bars below, over time; the range as a band."""
    course: Course = page.profile
    figure, first = go.Figure(), practice.therapy.regulated
    for name, values in course.levels.items():
        known = [(time, level) for time, level in zip(course.times, values, strict=True) if level is not None]
        levels = [level for _, level in known]
        figure.add_scatter(
            x=[time for time, _ in known],
            y=unit.series(levels) if name == first else levels,
            mode="lines+markers",
            line={"color": MUTED, "width": 1, "dash": "solid" if name == first else "dot"},
            marker={"size": 8 if name == first else 5, "color": INK if name == first else MUTED},
            name=_named(practice, name),
        )
    for (name, values), color in zip(course.doses.items(), cycle((PROPOSED, RUNNER_UP, UNCHANGED, INK)), strict=False):
        given = [(time, dose) for time, dose in zip(course.times, values, strict=True) if dose is not None]
        figure.add_bar(
            x=[time for time, _ in given],
            y=[dose for _, dose in given],
            yaxis="y2",
            name=_named(practice, name),
            marker={"color": color},
            opacity=0.55,
        )
    _range(figure, practice.marks, unit)
    units = dict.fromkeys(channel.unit for channel in practice.therapy.of("action"))
    figure.update_layout(
        height=360,
        margin={"l": 60, "r": 20, "t": 20, "b": 30},
        xaxis={"anchor": "y2", "tickformat": "%Y-%m-%d"},
        yaxis={"domain": [0.3, 1], "title": unit.name or first},
        yaxis2={"domain": [0, 0.22], "title": listed(units)},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )
    return figure


def _named(practice: Practice, name: str) -> str:
    """A channel as its therapy calls it, with its unit."""
    channel, called = practice.therapy.channel(name), practice.words.settings if practice.words else {}
    said = _(called.get(name, name.replace("_", " ")))
    return _("{setting}, {where}", setting=said, where=channel.unit) if channel.unit else said


def _range(figure: go.Figure, marks: Marks | None, unit: Unit) -> None:
    if marks is None:
        return
    wanted = next(band for band in marks.bands if band.far == 0)
    low, high = unit.of(wanted.low), unit.of(wanted.high)
    figure.add_hrect(y0=low, y1=high, fillcolor=translucent(COLORS["in_range"], 0.12), line_width=0, layer="below")


def _regimen(page: ReviewPage, practice: Practice) -> dict[str, list[str]]:
    names, units = ({}, {}) if practice.words is None else (practice.words.settings, practice.words.units)
    rows = {}
    for name, slots in page.regimen.items():
        said = _(names.get(name, name))
        shown = _("{setting}, {where}", setting=said, where=_(units[name])) if name in units else said
        rows[shown] = listed(f"{slot[1]:g}" for slot in slots)
    return {_("Setting"): list(rows), _("In force"): list(rows.values())}


def _suggested(suggestion: Suggestion, practice: Practice, unit: Unit) -> None:
    """What is proposed in words, and its effect beside no change."""
    if practice.words is not None and not suggestion.abstained:
        st.subheader(_("Proposal"))
        for heading, text in practice.words.said(suggestion, unit):
            st.markdown(_("**{heading}.** {text}", heading=heading, text=text))
    if not suggestion.options:
        return
    st.subheader(_("Predicted effect, beside no change"))
    figure = go.Figure()
    per, ahead = _scale(max(suggestion.options[0].path.minutes, default=0.0))
    for option in suggestion.options:
        color, dash = STYLES.get(option.name, (INK, "solid"))
        days = [minute / per for minute in option.path.minutes]
        if option.name == "proposed":
            figure.add_scatter(x=days, y=unit.series(option.path.high), mode="lines", line={"width": 0}, showlegend=False)
            figure.add_scatter(
                x=days, y=unit.series(option.path.low), mode="lines", line={"width": 0}, fill="tonexty",
                fillcolor=translucent(color, 0.18), name=_("90 % interval"),
            )  # fmt: skip
        line = {"color": color, "dash": dash, "width": 2.5}
        figure.add_scatter(x=days, y=unit.series(option.path.mid), mode="lines", line=line, name=_(option.name))
    _range(figure, practice.marks, unit)
    figure.update_layout(
        height=320,
        margin={"l": 60, "r": 20, "t": 20, "b": 40},
        xaxis={"title": _(AHEAD[ahead])},
        yaxis={"title": unit.name or practice.therapy.regulated},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )
    st.plotly_chart(figure, config=charts.CONFIG, key="prediction")
    keys = list(dict.fromkeys(key for option in suggestion.options for key in option.outcomes))
    said = N_("{name}: {said}")
    shown = {
        "": [
            _(said, name=_(option.name), said=retold(option.does)) if option.does else _(option.name)
            for option in suggestion.options
        ]
    }
    for key in keys:
        shown[outcome_name(key)] = [_interval(key, option.outcomes.get(key)) for option in suggestion.options]
    st.table(shown)


def _scale(minutes: float) -> tuple[float, str]:
    """The largest unit of time of which a stretch is a few at least: minutes each, and its name."""
    return next(((unit, name) for unit, name in UNITS if minutes >= 3 * unit), UNITS[-1])


def _interval(key: str, value: Interval | None) -> str:
    if value is None:
        return "-"
    mid = f"{value.mid:.1f} %" if is_percent(key) else f"{value.mid:.1f}"
    return _("{mid} ({low:.1f} to {high:.1f})", mid=mid, low=value.low, high=value.high)
