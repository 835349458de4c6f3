"""Plotly figures of a replayed cohort: time in ranges, paired differences, one person's day under each policy."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.palette import BANDS, CARBS, COLORS, INK, LINE, MUTED, PROPOSED, RUNNER_UP, translucent
from careplan.display import Unit, signed
from careplan.language import N_, _
from careplan.studies.cohorts import Difference, Outcome
from careplan.therapies.glucose.bands import HIGH, LOW, VERY_LOW

POLICIES = (PROPOSED, "#c2571a", RUNNER_UP, "#2c7d5b", "#8a6d1f", "#4a4a4a")  # a line each, in the order of the replay
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MEASURES = {  # title, and whether it is a glucose level
    "true_in_range": (N_("In range, %"), False),
    "true_below_70": (N_("Below {low}, %"), False),
    "true_very_low": (N_("Below {very_low}, %"), False),
    "true_above_180": (N_("Above {high}, %"), False),
    "true_mean": (N_("Mean, {unit}"), True),
    "true_cv": ("CV, %", False),
    "true_gri": ("GRI", False),
    "insulin": (N_("Insulin, U/day"), False),
}


def measure_title(measure: str, unit: Unit) -> str:
    names = {"low": unit.text(LOW), "very_low": unit.text(VERY_LOW), "high": unit.text(HIGH), "unit": unit.name}
    return _(MEASURES[measure][0], **names)


def scaled(measure: str, value: float, unit: Unit) -> float:
    """A difference as it is shown."""
    return unit.of(value) if MEASURES[measure][1] else value


def ranges_figure(outcomes: Sequence[Outcome]) -> go.Figure:
    """A stacked bar a group and policy, very low first; shares of 5 % and more are written in."""
    shown = list(reversed(outcomes))
    names = [[_(outcome.group) for outcome in shown], [outcome.policy for outcome in shown]]
    figure = go.Figure()
    for band in reversed(BANDS):
        shares = [outcome.spreads[f"true_{band.field}"].mean or 0.0 for outcome in shown]
        figure.add_bar(
            y=names,
            x=shares,
            orientation="h",
            name=_(band.name),
            marker={"color": band.color},
            text=[f"{share:.0f}" if share >= 5 else "" for share in shares],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            hovertemplate="%{y}: %{x:.1f} % " + _(band.name).lower() + "<extra></extra>",
        )
    _look(figure, 90 + 34 * len(shown))
    figure.update_layout(barmode="stack", bargap=0.25)
    figure.update_xaxes(range=[0, 100], ticksuffix=" %", showgrid=False, fixedrange=True)
    figure.update_yaxes(fixedrange=True, dividercolor=LINE)
    return figure


def differences_figure(differences: Sequence[Difference], unit: Unit) -> go.Figure:
    """Mean and 95 % interval of each measure by group; where the interval holds no difference it is pale."""
    groups = list(reversed(dict.fromkeys(_(row.group) for row in differences)))
    figure = make_subplots(
        rows=2, cols=4, subplot_titles=[measure_title(measure, unit) for measure in MEASURES], vertical_spacing=0.3
    )
    for place, measure in enumerate(MEASURES):
        where = {"row": place // 4 + 1, "col": place % 4 + 1}
        for row in (found for found in differences if found.measure == measure):
            mean = scaled(measure, row.mean, unit)
            low, high = (None if value is None else scaled(measure, value, unit) for value in (row.low, row.high))
            certain = low is not None and high is not None and (low > 0 or high < 0)
            color = PROPOSED if certain else MUTED
            between = "" if low is None or high is None else _(" ({low} to {high})", low=signed(low, 2), high=signed(high, 2))
            group = _(row.group)
            said = f"{group}: {signed(mean, 2)}{between}"
            hover = {"hovertemplate": said + "<extra></extra>", "showlegend": False}
            if low is not None:
                figure.add_scatter(
                    x=[low, high], y=[group] * 2, mode="lines", line={"color": color, "width": 2}, **hover, **where
                )
            figure.add_scatter(x=[mean], y=[group], mode="markers", marker={"color": color, "size": 8}, **hover, **where)
        figure.add_vline(x=0, line={"color": LINE, "width": 1}, **where)
        figure.update_yaxes(categoryorder="array", categoryarray=groups, showticklabels=place % 4 == 0, **where)
    _look(figure, 130 + 2 * (50 + 22 * len(groups)))
    figure.update_xaxes(showgrid=False, zeroline=False, fixedrange=True, nticks=5)
    figure.update_yaxes(showgrid=False, fixedrange=True)
    figure.update_annotations(font={"size": 12, "color": MUTED})
    return figure.update_layout(margin={"t": 40})


def day_figure(steps: pd.DataFrame, unit: Unit) -> go.Figure:
    """One day under each policy: true glucose and readings; boluses; meals as eaten and as announced; sensitivity, activity."""
    policies = list(dict.fromkeys(steps["policy"]))
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, row_heights=[0.62, 0.22, 0.16], vertical_spacing=0.06)
    first = steps[steps["policy"] == policies[0]]
    for place, policy in enumerate(policies):
        rows, color = steps[steps["policy"] == policy], POLICIES[place % len(POLICIES)]
        common = {"x": rows["time"], "legendgroup": policy}
        figure.add_scatter(
            **common,
            y=unit.series(rows["glucose"]),
            mode="lines",
            name=policy,
            line={"color": color, "width": 2, "dash": DASHES[place % len(DASHES)]},
            hovertemplate="%{x|%H:%M}  " + _("true {level}, {policy}", level="%{y}", policy=policy) + "<extra></extra>",
            row=1,
            col=1,
        )
        figure.add_scatter(
            **common,
            y=unit.series(None if pd.isna(value) else value for value in rows["reading"]),
            mode="markers",
            name=_("{policy}, readings", policy=policy),
            marker={"color": color, "size": 3, "opacity": 0.55},
            hovertemplate="%{x|%H:%M}  " + _("read {level}, {policy}", level="%{y}", policy=policy) + "<extra></extra>",
            row=1,
            col=1,
        )
        _marks(figure, rows[rows["bolus"] > 0], "bolus", f"{policy}, U", color, "triangle-down", policy)
    target = {"y0": unit.of(LOW), "y1": unit.of(HIGH), "fillcolor": translucent(COLORS["in_range"], 0.12)}
    figure.add_hrect(**target, line_width=0, layer="below", row=1, col=1)
    meals = first[(first["eaten"] > 0) | (first["announced"] > 0)]
    _marks(figure, meals, "eaten", _("eaten (announced), g"), CARBS, "diamond", None)
    figure.add_scatter(
        x=first["time"],
        y=first["sensitivity"],
        mode="lines",
        line={"color": INK, "width": 1.5},
        showlegend=False,
        hovertemplate="%{x|%H:%M}  " + _("sensitivity x{times}", times="%{y:.2f}") + "<extra></extra>",
        row=3,
        col=1,
    )
    for start, end in _runs(first[first["activity"] > 1]["time"]):
        figure.add_vrect(x0=start, x1=end, fillcolor=translucent(CARBS, 0.18), line_width=0, row=3, col=1)
    _look(figure, 480)
    figure.update_yaxes(showgrid=False, zeroline=False, fixedrange=True)
    figure.update_yaxes(title={"text": unit.name}, row=1, col=1)
    figure.update_yaxes(title={"text": _("insulin acts x")}, row=3, col=1)
    figure.update_xaxes(showgrid=False, tickformat="%H:%M", fixedrange=True)
    return figure.update_layout(margin={"l": 110})


def _marks(figure: go.Figure, rows: pd.DataFrame, column: str, name: str, color: str, symbol: str, policy: str | None) -> None:
    """What was given or eaten, as marks on a line of its own with the amount beside each."""
    text = [f"{value:.3g}" for value in rows[column]]
    if policy is None:
        text = [f"{eaten:.0f} ({said:.0f})" for eaten, said in zip(rows["eaten"], rows["announced"], strict=True)]
    figure.add_scatter(
        x=rows["time"],
        y=[name] * len(rows),
        mode="markers+text",
        text=text,
        textposition="top center",
        textfont={"size": 10, "color": color},
        marker={"symbol": symbol, "size": 8, "color": color},
        legendgroup=policy,
        showlegend=False,
        cliponaxis=False,
        hovertemplate="%{x|%H:%M}  %{text}<extra></extra>",
        row=2,
        col=1,
    )


def _runs(times: pd.Series) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Start and end of each unbroken stretch of five-minute rows."""
    runs: list[tuple[pd.Timestamp, pd.Timestamp]] = []
    step = pd.Timedelta(minutes=5)
    for time in times:
        if runs and time == runs[-1][1]:
            runs[-1] = (runs[-1][0], time + step)
        else:
            runs.append((time, time + step))
    return runs


def _look(figure: go.Figure, height: int) -> None:
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 30, "b": 30},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 12},
        hovermode="closest",
        dragmode=False,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
    )
