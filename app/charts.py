"""Plotly figures: the AGP-style profile, one day, and predicted paths. Data in, figure out; glucose comes in mg/dL."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from app.drawings import written
from app.palette import CARBS, COLORS, INK, INSULIN, LINE, MUTED, PROPOSED, RUNNER_UP, TRIED, UNCHANGED, translucent
from app.wording import option_name
from careplan.display import MINUS, Unit, clock
from careplan.language import _
from careplan.minutes import DAY
from careplan.suggestion import Kind, Option, Path
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS, LEVELS, MARKS
from careplan.therapies.glucose.pages import Day
from careplan.therapies.glucose.views import Profile

BOTTOM, TOP = MARKS.bottom, MARKS.top
CONFIG: dict[str, Any] = {"displayModeBar": False, "responsive": True, "scrollZoom": False}
STYLES = {  # drawn from the first to the last, so that what matters most lies on top
    "no change": (UNCHANGED, "dash", 2.5),
    "runner-up": (RUNNER_UP, "dot", 2),
    "proposed": (PROPOSED, "solid", 3),
    "as now": (UNCHANGED, "dash", 2.5),
    "as proposed": (PROPOSED, "dot", 2.5),
    "as it was given": (UNCHANGED, "dash", 2.5),
    "as tried": (TRIED, "solid", 3),
    "what if": (TRIED, "solid", 3),
}
BANDED = ("no change", "proposed", "as now", "as tried", "as it was given", "what if")  # their 90 % intervals are drawn


def profile_figure(profile: Profile, unit: Unit, targets: Targets = ADULTS) -> go.Figure:
    """Median, 25-75 % and 5-95 % of glucose by time of day, over the target range."""
    figure = _figure(unit, targets, top=_highest(profile.p95), height=340)
    columns = (profile.minute, profile.p5, profile.p25, profile.p50, profile.p75, profile.p95)
    for index, run in enumerate(_runs(*columns)):
        minute, p5, p25, p50, p75, p95 = run
        first = index == 0
        _between(figure, minute, p5, p95, unit, translucent(PROPOSED, 0.15), "5-95 %", first)
        _between(figure, minute, p25, p75, unit, translucent(PROPOSED, 0.32), "25-75 %", first)
        figure.add_scatter(
            x=minute,
            y=unit.series(p50),
            mode="lines",
            line={"color": PROPOSED, "width": 3},
            name=_("Median"),
            legendgroup="Median",
            showlegend=first,
            customdata=[clock(m) for m in minute],
            hovertemplate="%{customdata}  " + _("median") + " %{y}<extra></extra>",
        )
    _clock_axis(figure)
    return figure


def day_figure(day: Day, unit: Unit, targets: Targets = ADULTS) -> go.Figure:
    """One day: readings coloured by band, boluses and meals below."""
    readings = [(minute, value) for minute, value in zip(day.minute, day.glucose, strict=True) if value is not None]
    figure = _figure(unit, targets, top=max((value for _, value in readings), default=0.0), height=360)
    figure.add_scatter(
        x=day.minute,
        y=unit.series(day.glucose),
        mode="lines+markers",
        line={"color": LINE, "width": 1.5},
        connectgaps=False,
        marker={"size": 5, "color": [MUTED if value is None else _color(value, targets) for value in day.glucose]},
        name=_("Glucose"),
        customdata=[clock(m) for m in day.minute],
        hovertemplate="%{customdata}  %{y} " + unit.name + "<extra></extra>",
        showlegend=False,
    )
    marks = (
        (day.boluses, _("Bolus"), "U", INSULIN, "triangle-down", 0.11, ".3g"),
        (day.carbs, _("Carbohydrate"), "g", CARBS, "diamond", 0.03, ".0f"),
    )
    for given, name, amount, color, symbol, height, digits in marks:
        if given:
            figure.add_scatter(
                x=[minute for minute, _ in given],
                y=[height] * len(given),
                yaxis="y2",
                mode="markers+text",
                name=f"{name}, {amount}",
                marker={"symbol": symbol, "size": 9, "color": color},
                text=[format(value, digits) for _, value in given],
                textposition="middle right",
                textfont={"size": 11, "color": color},
                cliponaxis=False,
                customdata=[clock(minute) for minute, _ in given],
                hovertemplate=f"%{{customdata}}  {name.lower()} %{{text}} {amount}<extra></extra>",
            )
    if day.boluses or day.carbs:
        figure.update_layout(
            yaxis={"domain": [0.22, 1]}, yaxis2={"domain": [0, 0.16], "range": [0, 0.16], "visible": False, "fixedrange": True}
        )
    _clock_axis(figure)
    return figure


def prediction_figure(
    options: Sequence[Option],
    unit: Unit,
    kind: Kind = "regimen",
    recorded: Path | None = None,
    targets: Targets = ADULTS,
) -> go.Figure:
    """Predicted paths with their 90 % intervals: what is proposed and no change with a band, the runner-up as a line.

    recorded: readings before and, where they are known, after the moment planned for, as dots.
    """
    paths = {option.name: option.path for option in options}
    figure = _figure(unit, targets, top=max((max(path.high, default=0.0) for path in paths.values()), default=0.0), height=340)
    _compare(figure, paths, unit, kind)
    if kind == "regimen":
        _clock_axis(figure)
        return figure
    first = 0
    if recorded is not None and recorded.minutes:
        first = -180
        _dots(figure, recorded, unit, _("Recorded"))
        figure.add_vline(x=0, line={"color": MUTED, "width": 1})
    last = max((path.minutes[-1] for path in paths.values() if path.minutes), default=240.0)
    ticks = list(range(first, int(last) + 1, 60))
    figure.update_xaxes(
        tickvals=ticks,
        ticktext=[_("{hours} h", hours=f"{tick // 60:+d}".replace("-", MINUS)) if tick else _("now") for tick in ticks],
        range=[first, last],
        showgrid=False,
        zeroline=False,
        fixedrange=True,
        tickfont={"size": 11, "color": MUTED},
    )
    return figure


def past_figure(paths: Mapping[str, Path], unit: Unit, start: int, targets: Targets = ADULTS) -> go.Figure:
    """What was, as dots, beside what the model says of the hours from a minute of the day on, as it was given and otherwise."""
    models = {name: path for name, path in paths.items() if name in STYLES}
    figure = _figure(unit, targets, top=max(max(path.high, default=0.0) for path in models.values()), height=340)
    _compare(figure, models, unit, "doses")
    for was in (path for name, path in paths.items() if name not in STYLES):
        _dots(figure, was, unit, option_name("what was"))
    last = max(path.minutes[-1] for path in models.values())
    ticks = list(range(-(start % 60) % 60, int(last) + 1, 60))
    figure.update_xaxes(
        tickvals=ticks,
        ticktext=[clock((start + tick) % DAY) for tick in ticks],
        range=[0, last],
        showgrid=False,
        zeroline=False,
        fixedrange=True,
        tickfont={"size": 11, "color": MUTED},
    )
    return figure


def _compare(figure: go.Figure, paths: Mapping[str, Path], unit: Unit, kind: Kind) -> None:
    """Paths over each other, with the bands of those that have one."""
    ordered = sorted(paths, key=lambda name: [*STYLES].index(name) if name in STYLES else -1)
    for name in ordered:
        if name in BANDED:
            path, color = paths[name], STYLES[name][0]
            interval = _("{name}, 90 % interval", name=_(name))
            _between(figure, path.minutes, path.low, path.high, unit, translucent(color, 0.18), interval, False)
    for name in ordered:
        _path(figure, name, paths[name], unit, kind)
    figure.update_layout(legend={"traceorder": "reversed"})


def _dots(figure: go.Figure, recorded: Path, unit: Unit, name: str) -> None:
    figure.add_scatter(
        x=recorded.minutes,
        y=unit.series(recorded.mid),
        mode="markers",
        marker={"color": INK, "size": 4},
        name=name,
        hovertemplate=_("{minutes} min", minutes="%{x:.0f}") + f"  {name.lower()} %{{y}}<extra></extra>",
    )


def _path(figure: go.Figure, name: str, path: Path, unit: Unit, kind: Kind) -> None:
    color, dash, width = STYLES.get(name, (INK, "solid", 1.5))
    times = [clock(m) if kind == "regimen" else _("+{minutes:.0f} min", minutes=m) for m in path.minutes]
    bounds = [
        _("{low} to {high}", low=unit.text(low), high=unit.text(high)) for low, high in zip(path.low, path.high, strict=True)
    ]
    figure.add_scatter(
        x=path.minutes,
        y=unit.series(path.mid),
        mode="lines",
        line={"color": color, "dash": dash, "width": width},
        name=option_name(name),
        customdata=list(zip(times, bounds, strict=True)),
        hovertemplate=f"%{{customdata[0]}}  {_(name)} %{{y}} (90 %: %{{customdata[1]}})<extra></extra>",
    )


def _figure(unit: Unit, targets: Targets, *, top: float, height: int) -> go.Figure:
    """Empty axes over the target range, in one look."""
    most = max(TOP, min(top * 1.05, 420.0))
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 30, "b": 30},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 12},
        hovermode="closest",
        dragmode=False,
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 12},
            "entrywidth": 0,
        },
    )
    marks = very_low, low, high, very_high = [targets.levels[name] for name in LEVELS]
    figure.update_yaxes(
        range=[unit.of(BOTTOM), unit.of(most)],
        tickvals=[unit.of(mark) for mark in marks],
        ticktext=[unit.text(mark) if mark in written(targets) else "" for mark in marks],
        title={"text": unit.name, "font": {"color": MUTED, "size": 11}, "standoff": 4},
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
    figure.add_hrect(
        y0=unit.of(low), y1=unit.of(high), fillcolor=translucent(COLORS["in_range"], 0.09), line_width=0, layer="below"
    )
    for mark, color, width in (
        (low, "in_range", 1.6),
        (high, "in_range", 1.6),
        (very_low, "very_low", 1),
        (very_high, "very_high", 1),
    ):
        dash = "solid" if color == "in_range" else "dot"
        figure.add_hline(y=unit.of(mark), line={"color": COLORS[color], "width": width, "dash": dash}, layer="below")
    return figure


def _clock_axis(figure: go.Figure) -> None:
    ticks = list(range(0, DAY + 1, 180))
    figure.update_xaxes(
        range=[0, DAY],
        tickvals=ticks,
        ticktext=[clock(tick) for tick in ticks],
        showgrid=True,
        gridcolor="#eef1f4",
        zeroline=False,
        fixedrange=True,
        tickfont={"size": 11, "color": MUTED},
    )


def _between(
    figure: go.Figure,
    minute: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    unit: Unit,
    color: str,
    name: str,
    legend: bool,
) -> None:
    figure.add_scatter(
        x=[*minute, *reversed(minute)],
        y=unit.series([*high, *reversed(low)]),
        fill="toself",
        fillcolor=color,
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        name=name,
        legendgroup=name,
        showlegend=legend,
    )


def _runs(minute: Sequence[int], *columns: Sequence[float | None]) -> Iterator[tuple[list[Any], ...]]:
    """The stretches without a missing value; the last one reaches midnight where the day begins with a value."""
    closed = [*zip(minute, *columns, strict=True)]
    if closed:
        closed.append((DAY, *closed[0][1:]))
    run: list[tuple[Any, ...]] = []
    for row in [*closed, (None,)]:
        if None not in row:
            run.append(row)
        elif run:
            yield tuple(list(column) for column in zip(*run, strict=True))
            run = []


def _highest(values: Sequence[float | None]) -> float:
    return max((value for value in values if value is not None), default=0.0)


def _color(glucose: float, targets: Targets) -> str:
    very_low, low, high, very_high = (targets.levels[name] for name in LEVELS)
    if glucose < very_low:
        return COLORS["very_low"]
    if glucose < low:
        return COLORS["low"]
    if glucose <= high:
        return COLORS["in_range"]
    return COLORS["high"] if glucose <= very_high else COLORS["very_high"]
