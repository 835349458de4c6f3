"""A replay of virtual people: how policies did by group, against each other, and in one person's days, with the truth."""

from pathlib import Path

import pandas as pd
import streamlit as st

from app import access, charts, cohort_charts
from app.wording import percent
from careplan.clinic import ClinicError
from careplan.display import Unit, listed, signed
from careplan.language import N_, _, number, retold
from careplan.studies.cohorts import EVERYONE, CohortSummary, Difference, Spread
from careplan.studies.replay_folder import Arguments, read_manifest, read_person, read_steps, read_summary, replays_in
from careplan.therapies.glucose.bands import HIGH, LOW, VERY_LOW
from careplan.therapies.glucose.declaration import ROWS_A_DAY

LISTED = 200  # people of a group to choose from, beside those who did worst
SETTINGS = {
    "basal": (N_("Basal, U/h"), 2),
    "carb_ratio": (N_("Carb ratio, g/U"), 1),
    "correction_factor": (N_("Correction, {unit} per U"), 0),
}


def draw() -> None:
    st.title(_("Cohorts"))
    root = access.replays()
    names = replays_in(root)
    if not names:
        command = f"careplan replay --population adult:100 --policy basal-bolus --policy behaviour --out {root / 'NAME'}"
        st.info(_("There are no finished replays in `{folder}`. Make one: `{command}`", folder=root, command=command))
        return
    folder = root / st.selectbox(_("Replay"), names, key="cohort_replay", width=320)
    try:
        arguments = access.remembered(f"manifest:{folder}", lambda: read_manifest(folder)).arguments
        summary = access.remembered(f"summary:{folder}", lambda: read_summary(folder))
        st.caption(_said(arguments))
        _ranges(summary)
        _differences(summary, arguments)
        _person(folder, summary, arguments)
    except ClinicError as error:
        st.error(retold(str(error)))


def _said(arguments: Arguments) -> str:
    suit, off = _("settings that suit"), _("settings off by a spread of {spread:g}", spread=arguments.mis_set)
    return _(
        "Virtual people: {people}. {days}, seed {seed}, {settings}, {pens:g} % on pens, life {life}, sensor {sensor}.",
        people=listed(_("{count} {what}", count=number(n), what=_(group)) for group, n in arguments.population.items()),
        days=_("{days} days", days=arguments.days) if arguments.days > 1 else _("One day"),
        seed=arguments.seed,
        settings=off if arguments.mis_set else suit,
        pens=100 * arguments.pens,
        life=arguments.life,
        sensor=arguments.sensor,
    )


def _ranges(summary: CohortSummary) -> None:
    unit = access.unit()
    st.header(_("Time in ranges"))
    figure = cohort_charts.ranges_figure(summary.outcomes)
    st.plotly_chart(figure, config=charts.CONFIG, key="cohort_ranges")
    rows = []
    for outcome in summary.outcomes:
        spreads = outcome.spreads
        rows.append(
            {
                _("Group"): _(outcome.group),
                _("Policy"): outcome.policy,
                _("People"): number(outcome.people),
                _("In range, %"): _spread(spreads["true_in_range"], 0),
                _("Below {low}, %", low=unit.text(LOW)): _spread(spreads["true_below_70"], 1),
                _("Below {very_low}, %", very_low=unit.text(VERY_LOW)): _spread(spreads["true_very_low"], 1),
                "CV, %": _spread(spreads["true_cv"], 0),
                _("Insulin, U/kg/day"): _spread(spreads["insulin_per_kg"], 2),
                _("Carb ratio, g/U"): _spread(spreads["carb_ratio"], 0),
            }
        )
    st.dataframe(rows, hide_index=True)
    st.caption(
        _(
            "True glucose, mean over people; in the table mean [5th to 95th percentile of people]. In range is {low} to {high} "
            "{unit} for everybody: virtual people have no targets of their own.",
            low=unit.text(LOW),
            high=unit.text(HIGH),
            unit=unit.name,
        )
    )


def _differences(summary: CohortSummary, arguments: Arguments) -> None:
    pairs = list(dict.fromkeys((row.policy, row.against) for row in summary.differences))
    if not pairs:
        return
    st.header(_("Policies compared, person by person"))
    unit = access.unit()
    chosen = pairs[0]
    if len(pairs) > 1:
        chosen = st.selectbox(_("Compare"), pairs, format_func=_less, key="cohort_pair", width=320)
    rows = [row for row in summary.differences if (row.policy, row.against) == chosen]
    st.plotly_chart(cohort_charts.differences_figure(rows, unit), config=charts.CONFIG, key="cohort_differences")
    whole = EVERYONE if len(arguments.population) > 1 else rows[0].group
    said = [_sentence(row, unit) for row in rows if row.group == whole and row.measure in TOLD]
    pair = _less(chosen)
    told = _("{pair}: mean and 95 % interval over the same people; pale where it may be none.", pair=pair)
    st.caption(" ".join([told, *said]))


def _less(pair: tuple[str, str]) -> str:
    return _("{policy} less {against}", policy=pair[0], against=pair[1])


TOLD = {
    "true_in_range": N_("Time in range: {points}, more in {more:.0f} % of people, less in {less:.0f} %."),
    "true_below_70": N_("Time below {low}: {points}, more in {more:.0f} % of people, less in {less:.0f} %."),
}


def _sentence(row: Difference, unit: Unit) -> str:
    points = _("{mid} points", mid=signed(row.mean, 1))
    if row.low is not None and row.high is not None:
        low, high = signed(row.low, 1), signed(row.high, 1)
        points = _("{mid} points ({low} to {high})", mid=signed(row.mean, 1), low=low, high=high)
    return _(TOLD[row.measure], low=unit.text(LOW), points=points, more=row.higher, less=row.lower)


def _person(folder: Path, summary: CohortSummary, arguments: Arguments) -> None:
    st.header(_("One person's days"))
    worst: dict[str, str] = {}
    for row in summary.worst:
        worst.setdefault(row.person, _("{person} (among the worst under {policy})", person=row.person, policy=row.policy))
    others = [
        f"{group}-{index:06d}" for group, count in arguments.population.items() for index in range(1, min(count, LISTED) + 1)
    ]
    names = [*worst, *(name for name in others if name not in worst)]
    who, when = st.columns([2, 1])
    person = who.selectbox(_("Person"), names, format_func=lambda name: worst.get(name, name), key="cohort_person")
    day = when.number_input(_("Day, of {days}", days=arguments.days), 1, arguments.days, 1, key="cohort_day")
    steps = access.remembered(f"steps:{folder}:{person}", lambda: read_steps(folder, person))
    known = access.remembered(f"person:{folder}:{person}", lambda: read_person(folder, person))
    date = steps["time"].min().normalize() + pd.Timedelta(days=day - 1)
    today = steps[steps["time"].dt.normalize() == date]
    st.plotly_chart(cohort_charts.day_figure(today, access.unit()), config=charts.CONFIG, key="cohort_day_chart")
    policy = arguments.policies[0]
    said = _("Lines: true glucose; dots: readings. Meals are those under {policy}. Shaded: exercise.", policy=policy)
    st.caption(said + (_(" Ill on this day.") if today["ill"].any() else ""))
    st.table(_settings(known.iloc[0], access.unit()))
    st.dataframe(_days(steps, access.unit()), hide_index=True)


def _settings(row: pd.Series, unit: Unit) -> dict[str, list[str]]:
    """What is in force beside what suits."""
    names, force, suits = [], [], []
    for name, (title, digits) in SETTINGS.items():
        glucose = name == "correction_factor"
        values = [unit.of(row[each]) if glucose else row[each] for each in (name, f"suits_{name}")]
        digits = unit.digits if glucose else digits
        names.append(_(title, unit=unit.name))
        force.append(f"{values[0]:.{digits}f} ({signed(100 * (values[0] / values[1] - 1), 0)} %)")
        suits.append(f"{values[1]:.{digits}f}")
    delivery = _("pens") if row["pens"] else _("pump")
    who = listed([_(row["group"]), f"{row['weight']:.0f} kg", delivery])
    return {who: names, _("In force"): force, _("Suits"): suits}


def _days(steps: pd.DataFrame, unit: Unit) -> list[dict[str, str]]:
    """Each policy's days in all."""
    rows = []
    for policy, lived in steps.groupby("policy", sort=False):
        glucose, days = lived["glucose"], len(lived) / ROWS_A_DAY
        insulin = lived["basal"].sum() / 12 + lived["bolus"].sum() + lived["long_acting"].sum()
        rows.append(
            {
                _("All days under"): str(policy),
                _("In range"): percent(100 * float(((glucose >= LOW) & (glucose <= HIGH)).mean())),
                _("Below {level}", level=unit.text(LOW)): percent(100 * float((glucose < LOW).mean()), 1),
                _("Mean, {unit}", unit=unit.name): unit.text(float(glucose.mean())),
                _("Lowest"): unit.text(float(glucose.min())),
                _("Highest"): unit.text(float(glucose.max())),
                _("Insulin, U/day"): f"{insulin / days:.1f}",
                _("Eaten, g/day"): f"{lived['eaten'].sum() / days:.0f}",
            }
        )
    return rows


def _spread(spread: Spread, digits: int) -> str:
    if spread.mean is None:
        return "-"
    mid, low, high = (f"{value:.{digits}f}" for value in (spread.mean, spread.p5, spread.p95))
    return _("{mid} [{low} to {high}]", mid=mid, low=low, high=high)
