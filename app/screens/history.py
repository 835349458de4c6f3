"""What became of it: any two periods of a patient side by side, whether a prediction came true, and everything that was changed.

It draws what the therapy's practice says. Nothing here names a therapy.
"""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from app import access, drawings
from app.screens import choose
from app.screens.targets import unit_of
from app.wording import outcome_name, percent, scale, setting_name, when
from careplan.clinic import ClinicError, changes, compare_change, compare_periods, show, timeline
from careplan.clinic.periods import DRAWS, LEAST, Change, Comparison, Difference, Period, Verdict
from careplan.clinic.timelines import KINDS, Happened, Happening
from careplan.display import Marks, Unit, clock, signed
from careplan.language import N_, _, day, number, retold
from careplan.suggestion import Interval

WHAT: Mapping[Happened, tuple[str, str]] = {
    "regimen": (N_("Regimen"), ":material/medication:"),
    "targets": (N_("Targets"), ":material/target:"),
    "decision": (N_("Decision"), ":material/draw:"),
    "proposal": (N_("Suggestion"), ":material/lightbulb:"),
    "recordings": (N_("Recordings"), ":material/upload_file:"),
    "model": (N_("Model"), ":material/tune:"),
    "patient": (N_("Patient"), ":material/person:"),
}
FIRST: tuple[Happened, ...] = ("regimen", "targets", "decision", "proposal", "recordings")  # shown until more is asked for
VERDICTS: Mapping[Verdict, tuple[str, str]] = {
    "as predicted": (N_("as predicted"), "\N{CHECK MARK}"),
    "not told apart": (N_("not told apart"), "\N{ALMOST EQUAL TO}"),
    "beyond what was predicted": (N_("more than predicted"), "\N{BLACK UP-POINTING TRIANGLE}"),
    "short of what was predicted": (N_("less than predicted"), "\N{WHITE DOWN-POINTING TRIANGLE}"),
    "the other way": (N_("the other way"), "\N{RIGHTWARDS ARROW OVER LEFTWARDS ARROW}"),
}
ANY = 0  # instead of a change: any two periods
SHOWN = 60


def draw() -> None:
    patient = choose.patient(N_("History of patient {patient}"))
    summary = access.remembered(f"shown:{patient}", lambda: show(access.database(), patient))
    unit = unit_of(summary.therapy)
    st.header(_("What became of it"))
    found = _asked(patient, summary.zone, summary.first, summary.last)
    if found is not None:
        _compared(found, unit, summary.zone)
    _line(patient, summary.zone)


def _asked(patient: str, zone: str, first: datetime | None, last: datetime | None) -> Comparison | None:
    """The two periods that are asked for: about a change of the regimen, or any two."""
    if first is None or last is None:
        st.info(_("Nothing is recorded."))
        return None
    known = {each.version: each for each in access.remembered(f"changes:{patient}", lambda: changes(access.database(), patient))}
    chosen = st.selectbox(
        _("Before and after"),
        [*known, ANY],
        next((place for place, each in enumerate(known.values()) if each.since < last), len(known)),
        key=f"change:{patient}",
        format_func=lambda version: _("any two periods") if version == ANY else _named(known[version], zone),
        width=620,
    )
    asked = (None, None) if chosen != ANY else _periods(patient, zone, first, last)
    try:
        if chosen != ANY:
            return access.remembered(
                f"compared:{patient}:{chosen}",
                lambda: compare_change(access.database(), patient, chosen, actor=access.actor()),
                only="compared:",
            )
        before, after = asked
        if before is None or after is None:
            return None
        return access.remembered(
            f"compared:{patient}:{before}:{after}",
            lambda: compare_periods(access.database(), patient, before, after, actor=access.actor()),
            only="compared:",
        )
    except ClinicError as error:
        st.info(_("These cannot be compared yet: {problem}.", problem=retold(str(error))), icon=":material/hourglass_empty:")
        return None


def _periods(
    patient: str, zone: str, first: datetime, last: datetime
) -> tuple[tuple[datetime, datetime] | None, tuple[datetime, datetime] | None]:
    """Two stretches of whole days on the patient's clock; at first the two halves of the last four weeks."""
    clock_of = ZoneInfo(zone)
    earliest, latest = first.astimezone(clock_of).date(), last.astimezone(clock_of).date()
    half = max(1, min(14, ((latest - earliest).days + 1) // 2))
    middle = latest - timedelta(days=half - 1)
    usual = ((max(earliest, middle - timedelta(days=half)), max(earliest, middle - timedelta(days=1))), (middle, latest))
    found: list[tuple[datetime, datetime] | None] = []
    names = (_("From and to, before"), _("From and to, after"))
    for column, name, span in zip(st.columns([1, 1, 2]), names, usual, strict=False):
        chosen: Any = column.date_input(name, span, min_value=earliest, max_value=latest, key=f"span:{patient}:{len(found)}")
        ends = [datetime.combine(each, time(), clock_of) for each in chosen]
        found.append((ends[0], ends[1] + timedelta(days=1)) if len(ends) == 2 else None)
    return found[0], found[1]


def _named(change: Change, zone: str) -> str:
    """A change by its day and what it moved first."""
    setting, start, was, now = change.moved[0]
    more = len(change.moved) - 1
    moved = _("{setting} from {time}", setting=setting_name(setting), time=clock(start))
    tail = _(" and {count} more", count=more) if more else ""
    percents = f" {signed(100 * (now / was - 1), 0)} %" if was else ""
    return f"{day(change.since.astimezone(ZoneInfo(zone)))}: {moved}{percents}{tail}"


def _compared(found: Comparison, unit: Unit, zone: str) -> None:
    if found.change is not None:
        st.html(_moved(found.change, unit))
    left, right = st.columns(2, gap="large")
    for column, name, period in ((left, _("Before"), found.before), (right, _("After"), found.after)):
        with column:
            st.html(_period(name, period, found, unit, zone))
    if not found.differences:
        st.info(_("This therapy does not tell how periods differ."))
        return
    st.html(differences_table(found, unit))
    some = min(found.before.stretches, found.after.stretches) >= LEAST
    st.caption(
        _(
            "Intervals: the {before} days before and {after} after, drawn anew with replacement {draws} times; 90 % of the draws "
            "lie within. They say how surely the two differ, not that the change made the difference.",
            before=found.before.stretches,
            after=found.after.stretches,
            draws=number(DRAWS),
        )
        if some
        else _("Fewer than {count} days on a side tell no interval.", count=LEAST)
    )
    if found.change is not None and found.change.predicted is None:
        st.caption(_("Nothing was predicted of this change: it was not signed as proposed."))


def _moved(change: Change, unit: Unit) -> str:
    """Every setting that moved, in a line each."""
    told = []
    for setting, start, was, now in change.moved:
        shown = scale(setting, unit)
        values = f"{shown.text(was)} \N{RIGHTWARDS ARROW} <b>{shown.text(now)}</b> {escape(shown.unit)}"
        told.append(f"<li>{escape(setting_name(setting))}, {clock(start)}: {values}</li>")
    return f"<ul class='cp-said cp-columns'>{''.join(told)}</ul>"


def _period(name: str, period: Period, found: Comparison, unit: Unit, zone: str) -> str:
    """A period's days, and the share of time in each band."""
    start, end = (each.astimezone(ZoneInfo(zone)) for each in (period.start, period.end))
    if start.time() == end.time() == time():  # whole days, the last one included
        span = _("{start} to {end}", start=day(start), end=day(end - timedelta(days=1)))
    else:
        span = _("{start} to {end}", start=when(period.start, zone), end=when(period.end, zone))
    days = _("{days:.0f} days recorded", days=period.days)
    return (
        f"<div class='cp-period'><b>{name}</b> <small>{span}; {days}</small>"
        f"{drawings.strip(period.metrics, drawings.marks_of(found.therapy, found.targets))}</div>"
    )


def differences_table(found: Comparison, unit: Unit) -> str:
    """Every outcome before and after, the difference, what was predicted and whether it came true."""
    marks = drawings.marks_of(found.therapy, found.targets)
    predicted = any(each.predicted is not None for each in found.differences)
    names = ["", _("Before"), _("After"), _("Change, 90 % interval")]
    names += [_("Predicted"), _("Did it come true?")] if predicted else []
    head = "".join(f"<th scope='col'>{name}</th>" for name in names)
    rows = "".join(_row(each, marks, unit, predicted) for each in found.differences)
    table = f"<table class='cp-regimen'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return drawings.scrolled(table, _("What became of it"))


def _row(each: Difference, marks: Marks | None, unit: Unit, predicted: bool) -> str:
    level = each.outcome == "mean"
    title = _("Mean, {unit}", unit=unit.name) if level else outcome_name(each.outcome)
    edge = "" if marks is None or level else f"<small>{escape(_edge(each.outcome, marks, unit))}</small>"
    values = [unit.text(value) if level else percent(value, 1) for value in (each.before, each.after)]
    cells = [*values, _change(each.change, level, unit)]
    cells += [_change(each.predicted, level, unit), _verdict(each.verdict)] if predicted else []
    told = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr><th scope='row'>{title}{edge}</th>{told}</tr>"


def _edge(outcome: str, marks: Marks, unit: Unit) -> str:
    """From where to where an outcome counts, by the patient's own bands."""
    wanted = next(band for band in marks.bands if band.far == 0)
    far = {band.far: band for band in marks.bands}
    return {
        "in_range": f"{unit.text(wanted.low)}-{unit.text(wanted.high)}",
        "below_70": f"< {unit.text(wanted.low)}",
        "below_2": f"< {unit.text(wanted.low)}",
        "below_54": f"< {unit.text(far[-2].high)}" if -2 in far else "",
        "above_180": f"> {unit.text(wanted.high)}",
        "above_250": f"> {unit.text(far[2].low)}" if 2 in far else "",
    }.get(outcome, "")


def _change(value: Interval | None, level: bool, unit: Unit) -> str:
    if value is None:
        return "\N{EN DASH}"
    mid, low, high = (
        signed(unit.of(each), unit.digits) if level else signed(each, 1) for each in (value.mid, value.low, value.high)
    )
    if low == high and not mid.strip("+0.\N{MINUS SIGN}"):
        return "0"
    spread = _("{low} to {high}", low=low, high=high) if value.low < value.high else ""
    points = "" if level else f" {_('points')}"
    return f"<b>{mid}</b>{points}<small>{spread}</small>"


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return "\N{EN DASH}"
    said, sign = VERDICTS[verdict]
    look = {"as predicted": "cp-true", "the other way": "cp-miss"}.get(verdict, "cp-quiet")
    return f"<span class='{look}'>{sign} {_(said)}</span>"


def _line(patient: str, zone: str) -> None:
    """Everything that was changed and by whom, day by day."""
    st.header(_("Everything that was changed"))
    found = access.remembered(f"timeline:{patient}", lambda: timeline(access.database(), patient, actor=access.actor()))
    here = [kind for kind in KINDS if any(each.kind == kind for each in found)]
    wanted = st.pills(
        _("Show"),
        here,
        default=[kind for kind in here if kind in FIRST],
        selection_mode="multi",
        format_func=lambda kind: _(WHAT[kind][0]),
        key=f"kinds:{patient}",
    )
    chosen = [each for each in found if each.kind in wanted]
    st.html(_table(chosen[:SHOWN], zone))
    if len(chosen) > SHOWN:
        st.caption(_("The newest {count} of {all}; choose fewer kinds to see further back.", count=SHOWN, all=len(chosen)))


def _table(found: list[Happening], zone: str) -> str:
    names = (_("When"), _("What"), "", _("Who"))
    head = "".join(f"<th scope='col'>{name}</th>" for name in names)
    rows = "".join(
        f"<tr><td>{when(each.time, zone)}</td><td><span class='cp-chip'>{_(WHAT[each.kind][0])}</span></td>"
        f"<td class='cp-long'>{escape(retold(each.what))}</td><td>{escape(each.actor)}</td></tr>"
        for each in found
    )
    table = f"<table class='cp-regimen'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return drawings.scrolled(table, _("Everything that was changed"))
