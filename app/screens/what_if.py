"""What if: every setting can be moved, and what it would do on the patient's own days follows; so for a dose or meal that was."""

from collections.abc import Mapping
from itertools import groupby

import pandas as pd
import streamlit as st

from app import access, charts
from app.screens import proposal
from app.wording import block, change, option_name, scale, setting_name
from careplan.clinic import StoreError
from careplan.clinic.views import ReviewPage
from careplan.clinic.what_ifs import AGAIN, BEFORE, IF, TRIED, Bench, another_day, open_bench
from careplan.display import Unit, clock, sentence
from careplan.errors import AskError
from careplan.language import N_, _, retold
from careplan.suggestion import Line, Path
from careplan.targets import Targets
from careplan.therapies.glucose.pages import Day
from careplan.therapies.glucose.words import limits_in_words

GIVEN = {"bolus": (N_("Bolus"), "U", 0.5, 30.0), "carbs": (N_("Meal"), "g", 5.0, 300.0)}


@st.fragment
def settings(page: ReviewPage, newest: int, unit: Unit) -> None:
    """The bench of a review: nothing here is prescribed, kept or signed."""
    patient = page.summary.patient
    st.header(_("What if"))
    if not st.toggle(_("Try other settings on this patient's own days"), key=f"try:{patient}"):
        return
    try:
        with st.spinner(_("Living the last days again under this patient's model")):
            bench = access.remembered(
                f"bench:{patient}:{newest}",
                lambda: open_bench(access.database(), patient, actor=access.actor()),
                only="bench:",
            )
    except (AskError, StoreError) as error:
        said = _("Nothing can be tried for this patient: {why}.", why=retold(str(error)))
        st.info(said, icon=":material/front_hand:")
        return
    proposed = {line.key: line.proposed for line in page.suggestion.lines} if page.suggestion is not None else {}
    _presets(patient, bench, proposed, unit)
    values = _moved(patient, bench, unit)
    tried = bench.tried(proposed, values)
    options = [each.option for each in tried.values()]
    left, right = st.columns([1.35, 1], gap="medium")
    with left:
        st.plotly_chart(charts.prediction_figure(options, unit, targets=page.targets), config=charts.CONFIG, key="tried")
    with right:
        st.html(proposal.outcomes_table(options, unit, targets=page.targets))
        st.caption(
            _("Each value with its 90 % interval, on the same days and versions of this patient. Nothing here is prescribed.")
        )
    broken = limits_in_words(tried[TRIED].broken, unit, page.targets)
    if broken:
        listed = "".join(f"\n- {sentence(said)}" for said in broken)
        st.warning(_("**Limits that this breaks**\n{limits}", limits=listed), icon=":material/block:")
    elif values:
        st.caption(_(":material/check: Within every limit."))


def _presets(patient: str, bench: Bench, proposed: Mapping[str, float], unit: Unit) -> None:
    with st.container(horizontal=True):
        st.button(option_name("as now"), key="try_now", on_click=_set, args=(patient, bench, {}, unit))
        if proposed:
            st.button(option_name("as proposed"), key="try_proposed", on_click=_set, args=(patient, bench, proposed, unit))


def _set(patient: str, bench: Bench, values: Mapping[str, float], unit: Unit) -> None:
    for line in bench.lines:
        shown = scale(line.setting, unit)
        st.session_state[_key(patient, line, unit)] = round(shown.of(values.get(line.key, line.current)), shown.digits)


def _moved(patient: str, bench: Bench, unit: Unit) -> dict[str, float]:
    """The lines that are moved, by key; each has a box of its own."""
    values = {}
    for setting, lines in groupby(bench.lines, key=lambda line: line.setting):
        some = list(lines)
        shown = scale(setting, unit)
        st.markdown(_("**{setting}**, {unit}", setting=setting_name(setting), unit=shown.unit))
        for column, line in zip(st.columns(max(4, len(some))), some, strict=False):
            now, key = round(shown.of(line.current), shown.digits), _key(patient, line, unit)
            st.session_state.setdefault(key, now)
            value = column.number_input(
                f"{setting_name(setting)} {block(line.start, line.end)}",
                min_value=min(now, shown.of(line.absolute_low)),
                max_value=max(now, shown.of(line.absolute_high)),
                step=shown.step,
                format=f"%.{shown.digits}f",
                key=key,
            )
            if value != now:
                values[line.key] = shown.back(value)
                column.caption(change(setting, line.current, shown.back(value), unit))
    return values


def _key(patient: str, line: Line, unit: Unit) -> str:
    """The box of a line of somebody's: another once another value is in force, which then is what the box begins with."""
    return f"tried:{unit.name}:{patient}:{line.key}:{line.current:g}"


@st.fragment
def past_day(patient: str, zone: str, day: Day, unit: Unit, targets: Targets) -> None:
    """Another amount of a dose or a meal on a day that was, beside what was."""
    given: list[tuple[str, int, float]] = sorted(
        [*(("bolus", *each) for each in day.boluses), *(("carbs", *each) for each in day.carbs)], key=lambda each: each[1]
    )
    given = [each for each in given if each[1] > BEFORE]
    if not given or not st.toggle(_("What if something had been different on this day?"), key=f"past:{patient}"):
        return
    which, amount = st.columns([2, 1])
    chosen = which.selectbox(
        _("What was given or eaten"),
        given,
        format_func=_event,
        key=f"past_what:{patient}:{day.date}",
    )
    channel, minute, was = chosen
    name, measure, step, most = GIVEN[channel]
    value = amount.number_input(
        _("{name} instead, {unit}", name=_(name), unit=measure),
        0.0,
        max(most, was),
        was,
        step,
        key=f"past_value:{patient}:{day.date}:{channel}:{minute}",
    )
    at = pd.Timestamp(day.date, tz=zone) + pd.Timedelta(minutes=minute)
    try:
        with st.spinner(_("Asking this patient's model")):
            paths = access.remembered(
                f"past:{patient}:{at}:{channel}:{value}",
                lambda: another_day(access.database(), patient, at, channel, value, actor=access.actor()),
                only="past:",
            )
    except (AskError, StoreError) as error:
        st.info(_("This cannot be asked: {why}.", why=retold(str(error))), icon=":material/front_hand:")
        return
    st.plotly_chart(charts.past_figure(paths, unit, minute - int(BEFORE), targets), config=charts.CONFIG, key="past_chart")
    st.caption(
        _(
            "Dots are what was. The lines are this patient's model from {start} on: with {was:g} {unit} at {time}, as it was "
            "given, and with {value:g} {unit}; everything else as it was. Bands hold 90 %. {difference}",
            start=clock(minute - int(BEFORE)),
            was=was,
            unit=measure,
            time=clock(minute),
            value=value,
            difference=_said(paths, unit),
        )
    )


def _event(event: tuple[str, int, float]) -> str:
    """A dose or a meal that can be another: "12:05  bolus of 3.5 U"."""
    channel, minute, amount = event
    name, unit = GIVEN[channel][:2]
    return _("{time}  {name} of {amount:g} {unit}", time=clock(minute), name=_(name).lower(), amount=amount, unit=unit)


def _said(paths: Mapping[str, Path], unit: Unit) -> str:
    """Where the two differ most, in a sentence."""
    apart = [other - same for same, other in zip(paths[AGAIN].mid, paths[IF].mid, strict=True)]
    most = max(range(len(apart)), key=lambda place: abs(apart[place]))
    if abs(apart[most]) < 1.0:
        return _("It makes no difference that can be told.")
    told = N_("At most {level} {unit} higher, {minutes:.0f} min after.")
    if apart[most] < 0:
        told = N_("At most {level} {unit} lower, {minutes:.0f} min after.")
    return _(told, level=unit.text(abs(apart[most])), unit=unit.name, minutes=paths[IF].minutes[most])
