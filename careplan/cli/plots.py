"""Forecasts and suggestions on the terminal, and forecasts as a page."""

from pathlib import Path as File

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from careplan import therapies
from careplan.breach import in_words
from careplan.clinic.views import Forecast
from careplan.practice import Practice
from careplan.suggestion import Line, Path, Suggestion
from careplan.therapies.glucose.bands import HIGH, LOW
from careplan.therapies.glucose.words import MG_DL, risk_of_high, risk_of_low, sentence

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito: told apart by everyone
EVERY = 30.0  # minutes between printed rows


def print_forecast(console: Console, forecast: Forecast) -> None:
    """Every half hour, or at few minutes all: each future's prediction and interval, and what happened."""
    zone_time = pd.Timestamp(forecast.at)
    table = Table(title=f"{escape(forecast.patient)} from {zone_time:%Y-%m-%d %H:%M} UTC, {forecast.unit}", title_justify="left")
    table.add_column("In")
    for name in forecast.paths:
        table.add_column(escape(name))
    if forecast.observed is not None:
        table.add_column("happened")
    minutes = [minute for minute in next(iter(forecast.paths.values())).minutes if minute]
    for minute in minutes if len(minutes) <= 8 else [minute for minute in minutes if minute % EVERY == 0]:
        cells = [_cell(path, minute) for path in forecast.paths.values()]
        happened = [] if forecast.observed is None else [_at(forecast.observed, minute)]
        table.add_row(f"{minute:g} min", *cells, *happened)
    for banner in forecast.banners:
        console.print(f"[yellow]{escape(banner)}[/]")
    console.print(table)
    console.print(sentence(risk_of_low(forecast.low_risk, MG_DL)))
    console.print(sentence(risk_of_high(forecast.high_risk, MG_DL)))
    console.print("Middle of the prediction, and its 90 % interval. For research use; not a medical device.", style="dim")


def write_forecast(file: File, forecast: Forecast) -> None:
    """The same as a page that needs no network."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_hrect(y0=LOW, y1=HIGH, fillcolor="#009E73", opacity=0.08, line_width=0)
    figure.add_scatter(
        x=forecast.history.minutes, y=forecast.history.mid, mode="markers", name="recorded", marker={"color": "#444"}
    )
    for (name, path), colour in zip(forecast.paths.items(), COLOURS * len(forecast.paths), strict=False):
        around = [*path.minutes, *reversed(path.minutes)]
        edge = [*path.high, *reversed(path.low)]
        figure.add_scatter(
            x=around, y=edge, fill="toself", fillcolor=colour, opacity=0.15, line_width=0, showlegend=False, hoverinfo="skip"
        )
        figure.add_scatter(x=path.minutes, y=path.mid, mode="lines", name=name, line={"color": colour})
    if forecast.observed is not None:
        figure.add_scatter(
            x=forecast.observed.minutes,
            y=forecast.observed.mid,
            mode="markers",
            name="happened",
            marker={"color": "#444", "symbol": "circle-open"},
        )
    figure.update_layout(
        title=f"{forecast.patient}, from {pd.Timestamp(forecast.at):%Y-%m-%d %H:%M} UTC. For research use; not a medical device.",
        xaxis_title="minutes",
        yaxis_title=forecast.unit,
        template="simple_white",
    )
    figure.write_html(file, include_plotlyjs=True)


def print_suggestion(console: Console, suggestion: Suggestion, *, brief: bool = False) -> None:
    """What it would change, what each option is predicted to do, the limits that bound, and why."""
    number = "" if suggestion.id is None else f"suggestion {suggestion.id}, "
    console.print(f"\n[bold]{escape(suggestion.patient)}[/] ({number}{suggestion.kind}, at {suggestion.at:%Y-%m-%d %H:%M} UTC)")
    for banner in suggestion.banners:
        console.print(f"  [yellow]{escape(banner)}[/]")
    if suggestion.abstained:
        console.print("  [yellow]Abstains:[/] " + escape("; ".join(suggestion.reasons)), soft_wrap=True)
        return
    if not suggestion.lines:
        console.print("  No change. " + escape("; ".join(suggestion.reasons)), soft_wrap=True)
    else:
        for line in suggestion.lines:
            console.print(f"  {_line(line)}", soft_wrap=True)
        console.print("  " + escape("; ".join(suggestion.reasons)), soft_wrap=True, style="dim")
    if brief:
        for name, text in _said(suggestion)[:1]:
            console.print(f"  [bold]{name}.[/] {escape(sentence(text))}", soft_wrap=True, highlight=False)
        return
    table = Table("Option", *(name.replace("_", " ") for name in suggestion.options[0].outcomes))
    for option in suggestion.options:
        table.add_row(
            f"{option.name}\n{escape(option.does)}" if suggestion.kind == "doses" else option.name,
            *(f"{value.mid:.1f} ({value.low:.1f} to {value.high:.1f})" for value in option.outcomes.values()),
        )
    console.print(table)
    if suggestion.why is None and suggestion.limits_bound:
        rules = _practice(suggestion).rules
        bound = ", ".join(in_words(limit, rules) for limit in suggestion.limits_bound)
        console.print(f"  Limits that bound: {escape(bound)}", soft_wrap=True)
    for name, text in _said(suggestion):
        console.print(f"  [bold]{name}.[/] {escape(sentence(text))}", soft_wrap=True, highlight=False)


def _practice(suggestion: Suggestion) -> Practice:
    return therapies.practice(suggestion.therapy) if suggestion.therapy else therapies.first()


def _said(suggestion: Suggestion) -> list[tuple[str, str]]:
    """What its therapy says of a suggestion, in the therapy's own unit."""
    practice = _practice(suggestion)
    return [] if practice.words is None else practice.words.said(suggestion, practice.units[0])


def _line(line: Line) -> str:
    if line.setting in ("bolus", "temp_basal"):
        when = f"in {line.start} min" if line.start else "now"
        return f"{line.setting.replace('_', ' ')} {line.proposed:g} {line.unit}, {when}"
    when = f"{line.start // 60:02d}:{line.start % 60:02d}-{line.end // 60:02d}:{line.end % 60:02d}"
    change = f" ({100 * (line.proposed / line.current - 1):+.0f} %)" if line.current else ""
    values = f"{line.current:g} to {line.proposed:g} {line.unit}{change}"
    return f"{when} {line.setting.replace('_', ' ')} {values}: {line.why}; {line.days} days of evidence"


def _cell(path: Path, minute: float) -> str:
    index = path.minutes.index(minute)
    return f"{path.mid[index]:.0f} ({path.low[index]:.0f} to {path.high[index]:.0f})"


def _at(path: Path, minute: float) -> str:
    near = [level for when, level in zip(path.minutes, path.mid, strict=True) if abs(when - minute) <= 5]
    return f"{near[0]:.0f}" if near else ""
