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
from careplan.display import Unit, clock, is_percent, sentence
from careplan.practice import Practice, Words
from careplan.suggestion import Interval, Kind, Line, Path, Suggestion
from careplan.therapies.glucose.words import outcome

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito: told apart by everyone
OUTCOMES_SHOWN = 4  # what fits beside an option's name in 80 columns
IN_ONE_LOOK = ("In short", "How sure", "Risk of a low")


def print_forecast(console: Console, forecast: Forecast, practice: Practice) -> None:
    """Every look of the therapy's clock, or at few minutes all: each future's prediction and interval, and what happened."""
    zone_time, clock, unit = pd.Timestamp(forecast.at), practice.therapy.clock, unit_of(practice)
    table = Table(title=f"{escape(forecast.patient)} from {zone_time:%Y-%m-%d %H:%M} UTC, {forecast.unit}", title_justify="left")
    table.add_column("In")
    for name in forecast.paths:
        table.add_column(escape(name))
    if forecast.observed is not None:
        table.add_column("happened")
    minutes = [minute for minute in next(iter(forecast.paths.values())).minutes if minute]
    for minute in minutes if len(minutes) <= 8 else [minute for minute in minutes if minute % clock.look == 0]:
        cells = [_cell(path, minute, unit) for path in forecast.paths.values()]
        happened = [] if forecast.observed is None else [_at(forecast.observed, minute, unit, clock.step)]
        table.add_row(duration_in_words(minute), *cells, *happened)
    for banner in forecast.banners:
        console.print(f"[yellow]{escape(banner)}[/]")
    console.print(table)
    for name, share in (("low", forecast.low_risk), ("high", forecast.high_risk)):
        if share is not None:
            hazard = practice.therapy.hazard(name)
            beyond = f"{'below' if hazard.side < 0 else 'above'} {unit.text(hazard.level)} {unit.name}"
            within = f"within {duration_in_words(hazard.within)}, everyone behaving as usual"
            console.print(f"Risk of a reading {beyond} {within}: {100 * share:.0f} %.", highlight=False)
    console.print("Middle of the prediction, and its 90 % interval. For research use; not a medical device.", style="dim")


def unit_of(practice: Practice) -> Unit:
    """The first unit that a therapy's level is shown in."""
    return practice.units[0] if practice.units else Unit(practice.therapy.channel(practice.therapy.regulated).unit, 1.0, 1)


def write_paths(file: File, title: str, practice: Practice, paths: Mapping[str, Path]) -> None:
    """Predicted paths with their 90 % intervals: a page that needs no network."""
    _figure(f"{title}. For research use; not a medical device.", practice, paths).write_html(file, include_plotlyjs=True)


def write_forecast(file: File, forecast: Forecast, practice: Practice) -> None:
    """A forecast with what was recorded before, and what happened where it is known, as such a page."""
    title = f"{forecast.patient}, from {pd.Timestamp(forecast.at):%Y-%m-%d %H:%M} UTC. For research use; not a medical device."
    figure, (per, _) = _figure(title, practice, forecast.paths), _axis(forecast.paths)
    for name, seen, symbol in (("recorded", forecast.history, "circle"), ("happened", forecast.observed, "circle-open")):
        if seen is not None:
            marker, minutes = {"color": "#444", "symbol": symbol}, [minute / per for minute in seen.minutes]
            figure.add_scatter(x=minutes, y=seen.mid, mode="markers", name=name, marker=marker)
    figure.write_html(file, include_plotlyjs=True)


def _figure(title: str, practice: Practice, paths: Mapping[str, Path]) -> Any:
    """Each path with its interval, and the band that is aimed at where the therapy marks one."""
    import plotly.graph_objects as go

    figure, (per, axis) = go.Figure(), _axis(paths)
    for band in () if practice.marks is None else practice.marks.bands:
        if band.far == 0:
            figure.add_hrect(y0=band.low, y1=band.high, fillcolor="#009E73", opacity=0.08, line_width=0)
    for (name, path), colour in zip(paths.items(), COLOURS * len(paths), strict=False):
        minutes = [minute / per for minute in path.minutes]
        around, edge = [*minutes, *reversed(minutes)], [*path.high, *reversed(path.low)]
        figure.add_scatter(
            x=around, y=edge, fill="toself", fillcolor=colour, opacity=0.15, line_width=0, showlegend=False, hoverinfo="skip"
        )
        figure.add_scatter(x=minutes, y=path.mid, mode="lines", name=name, line={"color": colour})
    figure.update_layout(title=title, xaxis_title=axis, yaxis_title=unit_of(practice).name, template="simple_white")
    return figure


def _axis(paths: Mapping[str, Path]) -> tuple[float, str]:
    """What minutes are divided by so that they are read at a glance, and what they are then."""
    longest = max((max(path.minutes, default=0.0) for path in paths.values()), default=0.0)
    return (1440.0, "days") if longest > 2 * 1440 else (60.0, "hours") if longest > 720 else (1.0, "minutes")


def print_suggestion(console: Console, suggestion: Suggestion, *, brief: bool = False, verbose: bool = False) -> None:
    """What it would change and what each option is predicted to do, in one look at 80 columns.

    brief: without the options. verbose: with everything behind it, every limit that bound among it.
    """
    number = "" if suggestion.id is None else f", suggestion {suggestion.id}"
    practice = therapies.practice(suggestion.therapy) if suggestion.therapy else therapies.first()
    ahead = duration_in_words(practice.therapy.clock.ahead)
    what = "settings for the coming weeks" if suggestion.kind == "regimen" else f"doses of the next {ahead}"
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
    unit = unit_of(therapies.practice(suggestion.therapy) if suggestion.therapy else therapies.first())
    rows = [["", *(outcome(name, unit) + ", %" * is_percent(name) for name in names)]]
    for option in suggestion.options:
        cells = (_outcome(option.outcomes[name], unit if name.startswith("mean") else None) for name in names)
        rows.append([sentence(option.name).rstrip("."), *cells])
    console.print()
    for text in aligned(rows, left=(0,)):
        console.print(f"  {text}", markup=False, highlight=False)
    console.print()


def _outcome(value: Interval, unit: Unit | None) -> str:
    """With as many decimals as the unit of a level says, if it is one: one more where it has none."""
    edge = 0 if unit is None else unit.digits
    return f"{value.mid:.{max(1, edge)}f} ({value.low:.{edge}f} to {value.high:.{edge}f})"


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
    return practice.words or PLAIN, unit_of(practice)


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


def _cell(path: Path, minute: float, unit: Unit) -> str:
    index = path.minutes.index(minute)
    return f"{unit.text(path.mid[index])} ({unit.text(path.low[index])} to {unit.text(path.high[index])})"


def _at(path: Path, minute: float, unit: Unit, near: float) -> str:
    found = [level for when, level in zip(path.minutes, path.mid, strict=True) if abs(when - minute) <= near]
    return unit.text(found[0]) if found else ""
