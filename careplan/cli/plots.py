"""Forecasts and suggestions on the terminal, and forecasts as a page."""

from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from careplan import therapies
from careplan.cli.console import aligned
from careplan.clinic.views import Forecast
from careplan.clock import duration_in_words
from careplan.display import Unit, clock, sentence
from careplan.practice import Words
from careplan.suggestion import Kind, Line, Path, Suggestion
from careplan.therapies.glucose.bands import HIGH, LOW
from careplan.therapies.glucose.words import (
    MG_DL,
    outcome,
    risk_of_high,
    risk_of_low,
)

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito: told apart by everyone
EVERY = 30.0  # minutes between printed rows
OUTCOMES_SHOWN = 4  # what fits beside an option's name in 80 columns
IN_ONE_LOOK = ("In short", "How sure", "Risk of a low")


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


def write_paths(file: File, title: str, unit: str, paths: Mapping[str, Any]) -> None:
    """Predicted paths, as plain values, with their 90 % intervals: a page that needs no network."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_hrect(y0=LOW, y1=HIGH, fillcolor="#009E73", opacity=0.08, line_width=0)
    for (name, path), colour in zip(paths.items(), COLOURS, strict=False):
        around, edge = [*path["minutes"], *reversed(path["minutes"])], [*path["high"], *reversed(path["low"])]
        figure.add_scatter(
            x=around, y=edge, fill="toself", fillcolor=colour, opacity=0.15, line_width=0, showlegend=False, hoverinfo="skip"
        )
        figure.add_scatter(x=path["minutes"], y=path["mid"], mode="lines", name=name, line={"color": colour})
    told = f"{title}. For research use; not a medical device."
    figure.update_layout(title=told, xaxis_title="minutes", yaxis_title=unit, template="simple_white")
    figure.write_html(file, include_plotlyjs=True)


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


def print_suggestion(console: Console, suggestion: Suggestion, *, brief: bool = False, verbose: bool = False) -> None:
    """What it would change and what each option is predicted to do, in one look at 80 columns.

    brief: without the options. verbose: with everything behind it, every limit that bound among it.
    """
    number = "" if suggestion.id is None else f", suggestion {suggestion.id}"
    what = "settings for the coming weeks" if suggestion.kind == "regimen" else "doses of the coming hours"
    console.print(f"\n[bold]{escape(suggestion.patient)}[/]: {what}, {suggestion.at:%Y-%m-%d %H:%M} UTC{number}", highlight=False)
    for banner in suggestion.banners:
        _indented(console, f"[yellow]{escape(banner)}[/]")
    if suggestion.abstained:
        _indented(console, "[yellow]Abstains:[/] " + escape("; ".join(suggestion.reasons)))
        return
    if suggestion.lines:
        settings = _words(suggestion)[0].settings
        for text in aligned([_line(line, settings, suggestion.kind) for line in suggestion.lines], left=(0, 1, 5)):
            console.print(f"  {text}", markup=False, highlight=False)
        if suggestion.source == "guideline":
            _indented(console, "[yellow]The guideline, not the model:[/] " + escape("; ".join(suggestion.reasons)))
            return
    else:
        _indented(console, "No change. " + escape("; ".join(suggestion.reasons)))
    words, unit = _words(suggestion)
    told = dict(words.said(suggestion, unit))
    if brief:
        _told(console, {name: text for name, text in told.items() if name == "In short"})
        return
    _options(console, suggestion)
    if verbose:
        if suggestion.why is None and suggestion.limits_bound:
            told["Limits that bound it"] = ", ".join(words.limits(suggestion.limits_bound, unit))
        told = {"Reasons": "; ".join(suggestion.reasons), **told} if suggestion.lines else told
        _told(console, told)
        return
    _told(console, {name: text for name, text in told.items() if name in IN_ONE_LOOK})
    bound = len(words.limits(suggestion.limits_bound, unit))
    limits = f"{bound} limit{'s' if bound > 1 else ''} bound it. " if bound else ""
    console.print(f"  {limits}What drove it, every limit, the days behind it: --verbose.", style="dim", highlight=False)


def _options(console: Console, suggestion: Suggestion) -> None:
    """What each option is predicted to do, with 90 % intervals."""
    if not suggestion.options:
        return
    names = list(suggestion.options[0].outcomes)[:OUTCOMES_SHOWN]
    _, unit = _words(suggestion)
    rows = [["", *(outcome(name, unit) for name in names)]]
    for option in suggestion.options:
        values = (option.outcomes[name] for name in names)
        cells = (f"{value.mid:.1f} ({value.low:.0f} to {value.high:.0f})" for value in values)
        rows.append([sentence(option.name).rstrip("."), *cells])
    console.print()
    for text in aligned(rows, left=(0,)):
        console.print(f"  {text}", markup=False, highlight=False)
    console.print()


def _told(console: Console, told: Mapping[str, str]) -> None:
    for name, text in told.items():
        _indented(console, f"[bold]{name}.[/] {escape(sentence(text))}")


def _indented(console: Console, text: str) -> None:
    console.print(Padding(text, (0, 0, 0, 2)), highlight=False)


# Of a therapy that brings no words.
PLAIN = Words(
    settings={},
    said=lambda suggestion, _: [("In short", "; ".join(suggestion.reasons))],
    because=lambda line, *_: line.why,
    limits=lambda bound, _: [each.rule for each in bound],
)


def _words(suggestion: Suggestion) -> tuple[Words, Unit]:
    """How the therapy of a suggestion says it, in the therapy's own unit."""
    practice = therapies.practice(suggestion.therapy) if suggestion.therapy else therapies.first()
    return practice.words or PLAIN, practice.units[0] if practice.units else Unit("", 1.0, 1)


def _line(line: Line, settings: Mapping[str, str], kind: Kind) -> tuple[str, ...]:
    """When, what, from, to, in which unit, by how much, and on how many days of evidence."""
    name = settings.get(line.setting, line.setting)
    when = f"{clock(line.start)}-{clock(line.end)}"
    if kind == "doses":
        when = f"in {duration_in_words(line.start)}" if line.start else "now"
    if line.setting in ("bolus", "temp_basal") or (kind == "doses" and not line.current):
        return when, name, "", "", f"{line.proposed:g}", line.unit, ""
    change = f"{100 * (line.proposed / line.current - 1):+.0f} %" if line.current else ""
    return when, name, f"{line.current:g}", "to", f"{line.proposed:g}", line.unit, change


def _cell(path: Path, minute: float) -> str:
    index = path.minutes.index(minute)
    return f"{path.mid[index]:.0f} ({path.low[index]:.0f} to {path.high[index]:.0f})"


def _at(path: Path, minute: float) -> str:
    near = [level for when, level in zip(path.minutes, path.mid, strict=True) if abs(when - minute) <= 5]
    return f"{near[0]:.0f}" if near else ""
