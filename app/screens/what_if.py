"""What if: every setting can be moved, and what it would do on the patient's own days follows; so for a dose or meal that was."""

from collections.abc import Mapping
from itertools import groupby

import pandas as pd
import streamlit as st

from app import access, charts
from app.screens import proposal
from app.wording import block, change, scale
from careplan.clinic import StoreError
from careplan.clinic.views import ReviewPage
from careplan.clinic.what_ifs import AGAIN, BEFORE, IF, TRIED, Bench, another_day, open_bench
from careplan.display import Unit, clock, sentence
from careplan.errors import AskError
from careplan.suggestion import Line, Path
from careplan.targets import Targets
from careplan.therapies.glucose.pages import Day
from careplan.therapies.glucose.words import SETTINGS, limits_in_words

GIVEN = {"bolus": ("Bolus", "U", 0.5, 30.0), "carbs": ("Meal", "g", 5.0, 300.0)}


@st.fragment
def settings(page: ReviewPage, newest: int, unit: Unit) -> None:
    """The bench of a review: nothing here is prescribed, kept or signed."""
    patient = page.summary.patient
    st.header("What if")
    if not st.toggle("Try other settings on this patient's own days", key=f"try:{patient}"):
        return
    try:
        with st.spinner("Living the last days again under this patient's model"):
            bench = access.remembered(
                f"bench:{patient}:{newest}",
                lambda: open_bench(access.database(), patient, actor=access.actor()),
                only="bench:",
            )
    except (AskError, StoreError) as error:
        st.info(f"Nothing can be tried for this patient: {error}.", icon=":material/front_hand:")
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
            "Each value with its 90 % interval, on the same days and versions of this patient. Nothing here is prescribed."
        )
    broken = limits_in_words(tried[TRIED].broken, unit, page.targets)
    if broken:
        listed = "".join(f"\n- {sentence(said)}" for said in broken)
        st.warning(f"**Limits that this breaks**\n{listed}", icon=":material/block:")
    elif values:
        st.caption(":material/check: Within every limit.")


def _presets(patient: str, bench: Bench, proposed: Mapping[str, float], unit: Unit) -> None:
    with st.container(horizontal=True):
        st.button("As now", key="try_now", on_click=_set, args=(patient, bench, {}, unit))
        if proposed:
            st.button("As proposed", key="try_proposed", on_click=_set, args=(patient, bench, proposed, unit))


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
        st.markdown(f"**{SETTINGS.get(setting, setting)}**, {shown.unit}")
        for column, line in zip(st.columns(max(4, len(some))), some, strict=False):
            now, key = round(shown.of(line.current), shown.digits), _key(patient, line, unit)
            st.session_state.setdefault(key, now)
            value = column.number_input(
                f"{SETTINGS.get(setting, setting)} {block(line.start, line.end)}",
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
    if not given or not st.toggle("What if something had been different on this day?", key=f"past:{patient}"):
        return
    which, amount = st.columns([2, 1])
    chosen = which.selectbox(
        "What was given or eaten",
        given,
        format_func=lambda each: f"{clock(each[1])}  {GIVEN[each[0]][0].lower()} of {each[2]:g} {GIVEN[each[0]][1]}",
        key=f"past_what:{patient}:{day.date}",
    )
    channel, minute, was = chosen
    name, measure, step, most = GIVEN[channel]
    value = amount.number_input(
        f"{name} instead, {measure}", 0.0, max(most, was), was, step, key=f"past_value:{patient}:{day.date}:{channel}:{minute}"
    )
    at = pd.Timestamp(day.date, tz=zone) + pd.Timedelta(minutes=minute)
    try:
        with st.spinner("Asking this patient's model"):
            paths = access.remembered(
                f"past:{patient}:{at}:{channel}:{value}",
                lambda: another_day(access.database(), patient, at, channel, value, actor=access.actor()),
                only="past:",
            )
    except (AskError, StoreError) as error:
        st.info(f"This cannot be asked: {error}.", icon=":material/front_hand:")
        return
    st.plotly_chart(charts.past_figure(paths, unit, minute - int(BEFORE), targets), config=charts.CONFIG, key="past_chart")
    st.caption(
        f"Dots are what was. The lines are this patient's model from {clock(minute - int(BEFORE))} on: with {was:g} {measure} at "
        f"{clock(minute)}, as it was given, and with {value:g} {measure}; everything else as it was. Bands hold 90 %. "
        + _said(paths, unit)
    )


def _said(paths: Mapping[str, Path], unit: Unit) -> str:
    """Where the two differ most, in a sentence."""
    apart = [other - same for same, other in zip(paths[AGAIN].mid, paths[IF].mid, strict=True)]
    most = max(range(len(apart)), key=lambda place: abs(apart[place]))
    if abs(apart[most]) < 1.0:
        return "It makes no difference that can be told."
    side = "higher" if apart[most] > 0 else "lower"
    return f"At most {unit.text(abs(apart[most]))} {unit.name} {side}, {paths[IF].minutes[most]:.0f} min after."
