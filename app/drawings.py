"""Small pictures and tables as HTML and SVG: they flow with the width of the window, where a chart would shrink."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from app.palette import BANDS, COLORS, FAR, INK, LINE, share
from app.wording import change, percent, scale, setting_name
from careplan import therapies
from careplan.display import Marks, Unit, clock
from careplan.language import _, number, retold, weekday
from careplan.minutes import DAY
from careplan.suggestion import Experiment, Line
from careplan.targets import Targets
from careplan.therapies.glucose.bands import ADULTS, LEVELS, LOW, MARKS
from careplan.therapies.glucose.views import Metrics

if TYPE_CHECKING:
    from careplan.therapies.glucose.pages import Day

WIDTH, HEIGHT = 168, 64  # of a thumbnail
APART = 14.0  # mg/dL between two numbers on an axis, at least


class Consensus(NamedTuple):
    """A metric as it is shown, its target, and whether it misses it."""

    name: str
    value: str
    target: str
    missed: bool


def consensus(metrics: Metrics, unit: Unit, targets: Targets = ADULTS) -> list[Consensus]:
    """The metrics that the patient has targets for."""
    below, above, shares = _sum(metrics, "low", "very_low"), _sum(metrics, "high", "very_high"), targets.shares
    very_low, low, high, very_high = (unit.text(targets.levels[name]) for name in LEVELS)
    every = (
        ("in_range", _("In range {low}-{high}", low=low, high=high), metrics.in_range),
        ("below_70", _("Below {level}", level=low), below),
        ("below_54", _("Below {level}", level=very_low), metrics.very_low),
        ("above_180", _("Above {level}", level=high), above),
        ("above_250", _("Above {level}", level=very_high), metrics.very_high),
        ("cv", "CV", metrics.cv),
    )
    found = []
    for key, name, value in every:
        if key not in shares:
            continue
        limit = shares[key]
        target = {"in_range": f"> {limit:g} %", "cv": _("at most {level:g} %", level=limit)}.get(key, f"< {limit:g} %")
        over = value is not None and (value > limit if key == "cv" else value >= limit)
        missed = value is not None and value <= limit if key == "in_range" else over
        found.append(Consensus(name, percent(value, 1 if value is not None and value < 10 else 0), target, missed))
    return found


def scrolled(table: str, name: str) -> str:
    """A table that is moved sideways where a screen is narrower than it, by keyboard too. name: for those who do not see it."""
    return f"<div class='cp-scroll' role='region' aria-label='{escape(name)}' tabindex='0'>{table}</div>"


def tiles(metrics: Metrics, unit: Unit, targets: Targets = ADULTS) -> str:
    """The consensus metrics beside their targets, each marked where it misses."""
    cells = []
    for each in consensus(metrics, unit, targets):
        said = _("target {target}", target=each.target.replace("at most", chr(0x2264)))
        if each.missed:
            said += _(" <b class='cp-miss'>\N{BLACK UP-POINTING TRIANGLE} off</b>")
        cells.append(_tile(each.name, each.value, said, each.missed))
    gmi = "-" if metrics.gmi is None else f"{metrics.gmi:.1f} %"
    mean = "-" if metrics.mean is None else f"{unit.text(metrics.mean)} <small>{unit.name}</small>"
    cells.append(_tile(_("Mean"), mean, f"GMI {gmi}", False))
    cells.append(_tile(_("Readings"), percent(metrics.active), _("{count} present", count=number(metrics.readings)), False))
    return f"<div class='cp-tiles'>{''.join(cells)}</div>"


def experiments_table(experiments: Sequence[Experiment], unit: Unit) -> str:
    """Signed changes that were lived with: what each was to do, and what then happened, before and after."""
    names = {
        "in_range": _("In range"),
        "below_70": _("Below {level}", level=unit.text(LOW)),
        "mean": _("Mean, {unit}", unit=unit.name),
    }

    def pair(values: tuple[float, float] | None, name: str) -> str:
        if values is None:
            return "-"
        before, after = (unit.text(value) if name == "mean" else f"{value:.1f} %" for value in values)
        return _("{before} to {after}", before=before, after=after)

    rows = [
        f"<tr><td>{each.since:%Y-%m-%d}</td><td>{escape(retold(each.does))}</td><td>{said}</td>"
        + "".join(f"<td>{pair(getattr(each.outcomes[name], part), name)}</td>" for name in names)
        + "</tr>"
        for each in experiments
        for said, part in ((_("predicted"), "predicted"), (_("lived"), "lived"))
    ]
    heads = "".join(f"<th>{name}</th>" for name in (_("Since"), _("Changed"), "", *names.values()))
    return scrolled(f"<table class='cp-regimen'><tr>{heads}</tr>{''.join(rows)}</table>", _("What earlier changes did"))


def band_bar(metrics: Metrics, unit: Unit, targets: Targets = ADULTS) -> str:
    """The stacked five-band bar, very high on top, with the targets beside it."""
    shares = targets.shares
    said = {
        "very_high": f"< {shares['above_250']:g} %" if "above_250" in shares else "",
        "high": _("< {target:g} % with very high", target=shares["above_180"]) if "above_180" in shares else "",
        "in_range": f"> {shares['in_range']:g} %",
        "low": _("< {target:g} % with very low", target=shares["below_70"]),
        "very_low": f"< {shares['below_54']:g} %" if "below_54" in shares else "",
    }
    levels, next_to = targets.levels, unit.per if unit.digits == 0 else unit.per / 10  # the least that can be shown
    very_low, low, high, very_high = (unit.text(levels[name]) for name in LEVELS)
    ranges = {
        "very_high": f"> {very_high}",
        "high": f"{unit.text(levels['high'] + next_to)}-{very_high}",
        "in_range": f"{low}-{high}",
        "low": f"{very_low}-{unit.text(levels['low'] - next_to)}",
        "very_low": f"< {very_low}",
    }
    parts = "".join(f"<i style='flex:{share(metrics, band.field) or 0.0:.2f} 0 0;background:{band.color}'></i>" for band in BANDS)
    rows = "".join(
        f"<tr><td><i style='background:{band.color}'></i>{_(band.name)}<small>{ranges[band.field]} {unit.name}</small></td>"
        f"<td class='n'>{percent(share(metrics, band.field), 1)}<small>{said[band.field]}</small></td></tr>"
        for band in BANDS
    )
    return f"<div class='cp-bands'><div class='cp-stack'>{parts}</div><table>{rows}</table></div>"


def mini_bar(metrics: Any, marks: Marks = MARKS) -> str:
    """A therapy's bands lying down, the lowest first, as the worklist shows them."""
    if not metrics.readings:
        none = _("no readings")
        return f"<div class='cp-mini cp-none'>{none}</div>"
    shares = [(band, share(metrics, band.field)) for band in reversed(marks.bands)]
    parts = "".join(
        f"<i style='width:{value or 0.0:.2f}%;background:{FAR[band.far]}' title='{_(band.name)} {percent(value, 1)}'></i>"
        for band, value in shares
    )
    below = _("below range {share}", share=percent(_sum(metrics, *(band.field for band in marks.bands if band.far < 0)), 1))
    wanted = _sum(metrics, *(band.field for band in marks.bands if band.far == 0))
    within = _("in range {share}", share=percent(wanted))
    legend = f"<div class='cp-legend'><span>{below}</span><span>{within}</span></div>"
    return f"<div class='cp-mini'><div class='cp-strip'>{parts}</div>{legend}</div>"


def written(targets: Targets) -> set[float]:
    """The edges whose numbers an axis can write: those of the range, and beside them what is far enough away to be read."""
    very_low, low, high, very_high = (targets.levels[name] for name in LEVELS)
    far = {very_low} if low - very_low >= APART else set()
    return {low, high} | far | ({very_high} if very_high - high >= APART else set())


def marks_of(therapy: str, targets: Targets) -> Marks | None:
    """What charts of a therapy mark for somebody with these targets."""
    return therapies.practice(therapy).at(targets).marks


def strip(metrics: Any, marks: Marks | None) -> str:
    """A therapy's bands lying down with their shares written out, the lowest first; empty where it marks none."""
    if marks is None:
        return ""
    shown = [(band, getattr(metrics, band.field, None) or 0.0) for band in reversed(marks.bands)]
    parts = "".join(f"<i style='width:{value:.2f}%;background:{FAR[band.far]}'></i>" for band, value in shown)
    told = "".join(
        f"<span><i style='background:{FAR[band.far]}'></i>{escape(_(band.name))} <b>{percent(value, 1)}</b></span>"
        for band, value in shown
    )
    return f"<div class='cp-strip'>{parts}</div><div class='cp-legend cp-shares'>{told}</div>"


def thumbnails(days: "Sequence[Day]", unit: Unit, targets: Targets = ADULTS) -> str:
    """Each day as a small curve over the target range; lows stand out."""
    return f"<div class='cp-days'>{''.join(_thumbnail(day, unit, targets) for day in days)}</div>"


def regimen_table(regimen: Mapping[str, Sequence[tuple[int, float]]], lines: Sequence[Line], unit: Unit) -> str:
    """The whole regimen by time block; where a line would change it, current and proposed with the change."""
    starts = sorted({start for setting, slots in regimen.items() for start, _ in slots if setting != "long_acting"} or {0})
    ends = [*starts[1:], DAY]
    head = "".join(f"<th>{clock(start)}-{clock(end)}</th>" for start, end in zip(starts, ends, strict=True))
    rows = []
    for setting, slots in regimen.items():
        shown = scale(setting, unit)
        changed = {line.start: line for line in lines if line.setting == setting}
        title = f"<th>{escape(setting_name(setting))}<small>{shown.unit}</small></th>"
        if setting == "long_acting":
            start, value = slots[0]
            line = next(iter(changed.values()), None)
            cell = _cell(setting, value, line, unit, _(" at {time}", time=clock(start)), len(starts))
            rows.append(f"<tr>{title}{cell}</tr>")
            continue
        values = dict(slots)
        cells, value = [], next(iter(values.values()))
        for start in starts:
            value = values.get(start, value)
            cells.append(_cell(setting, value, changed.get(start), unit))
        rows.append(f"<tr>{title}{''.join(cells)}</tr>")
    table = f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return scrolled(f"<table class='cp-regimen'>{table}</table>", _("Regimen"))


def _cell(setting: str, value: float, line: Line | None, unit: Unit, note: str = "", span: int = 1) -> str:
    shown = scale(setting, unit)
    width = f" colspan='{span}'" if span > 1 else ""
    if line is None:
        return f"<td{width}>{shown.text(value)}{note}</td>"
    return (
        f"<td{width} class='cp-changed'>{shown.text(line.current)} \N{RIGHTWARDS ARROW} <b>{shown.text(line.proposed)}</b>{note}"
        f"<small>{escape(change(setting, line.current, line.proposed, unit))}</small></td>"
    )


def _tile(name: str, value: str, note: str, missed: bool) -> str:
    look = "cp-tile cp-off" if missed else "cp-tile"
    return f"<div class='{look}'><span>{name}</span><strong>{value}</strong><small>{note}</small></div>"


def _thumbnail(day: "Day", unit: Unit, targets: Targets) -> str:
    levels = targets.levels
    points: list[str] = []
    dots: list[str] = []
    broken = True
    for minute, glucose in zip(day.minute, day.glucose, strict=True):
        if glucose is None:
            broken = True
            continue
        x, y = minute / DAY * WIDTH, _y(glucose)
        points.append(f"{'M' if broken else 'L'}{x:.1f} {y:.1f}")
        broken = False
        if glucose < levels["low"]:
            color = COLORS["very_low" if glucose < levels["very_low"] else "low"]
            dots.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='1.7' fill='{color}'/>")
    green, above, below = COLORS["in_range"], _y(levels["high"]), _y(levels["low"])
    target = f"<rect x='0' y='{above:.1f}' width='{WIDTH}' height='{below - above:.1f}' fill='{green}' opacity='.16'/>"
    noon = f"<line x1='{WIDTH / 2}' x2='{WIDTH / 2}' y1='0' y2='{HEIGHT}' stroke='{LINE}'/>"
    path = f"<path d='{''.join(points)}' fill='none' stroke='{INK}' stroke-width='1.3'/>"
    lows = _sum(day.metrics, "low", "very_low")
    name = weekday(date.fromisoformat(day.date))
    low = f" <b>\N{BLACK DOWN-POINTING TRIANGLE}{percent(lows)}</b>" if lows and lows >= 0.5 else ""
    said = _(
        "{day}: {share} in range, mean {mean} {unit}",
        day=name,
        share=percent(day.metrics.in_range),
        mean=unit.text(day.metrics.mean),
        unit=unit.name,
    )
    # An <img>, because Streamlit strips <svg> out of HTML.
    drawn = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' preserveAspectRatio='none'>"
        f"{target}{noon}{path}{''.join(dots)}</svg>"
    )
    picture = f"<img alt='{said}' src='data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}'>"
    return (
        f"<figure><figcaption><span>{name}</span><span>{percent(day.metrics.in_range)}{low}</span></figcaption>{picture}</figure>"
    )


def _y(glucose: float) -> float:
    return HEIGHT * (MARKS.top - min(max(glucose, MARKS.bottom), MARKS.top)) / (MARKS.top - MARKS.bottom)


def _sum(metrics: Metrics, *fields: str) -> float | None:
    values = [share(metrics, field) for field in fields]
    return None if None in values else sum(value for value in values if value is not None)
