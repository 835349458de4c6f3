"""A replay of virtual people: how policies did by group, against each other, and in one person's days, with the truth."""

from pathlib import Path

import pandas as pd
import streamlit as st

from app import access, charts, cohort_charts
from app.wording import percent
from careplan.clinic import ClinicError
from careplan.display import Unit, signed
from careplan.studies.cohorts import EVERYONE, CohortSummary, Difference, Spread
from careplan.studies.replay_folder import Arguments, read_manifest, read_person, read_steps, read_summary, replays_in
from careplan.therapies.glucose.bands import HIGH, LOW, VERY_LOW
from careplan.therapies.glucose.declaration import ROWS_A_DAY

LISTED = 200  # people of a group to choose from, beside those who did worst
SETTINGS = {"basal": ("Basal, U/h", 2), "carb_ratio": ("Carb ratio, g/U", 1), "correction_factor": ("Correction", 0)}


def draw() -> None:
    st.title("Cohorts")
    root = access.replays()
    names = replays_in(root)
    if not names:
        st.info(
            f"There are no finished replays in `{root}`. Make one: "
            f"`careplan replay --population adult:100 --policy basal-bolus --policy behaviour --out {root / 'NAME'}`"
        )
        return
    folder = root / st.selectbox("Replay", names, key="cohort_replay", width=320)
    try:
        arguments = access.remembered(f"manifest:{folder}", lambda: read_manifest(folder)).arguments
        summary = access.remembered(f"summary:{folder}", lambda: read_summary(folder))
        st.caption(_said(arguments))
        _ranges(summary)
        _differences(summary, arguments)
        _person(folder, summary, arguments)
    except ClinicError as error:
        st.error(str(error))


def _said(arguments: Arguments) -> str:
    people = ", ".join(f"{count:,} {group}" for group, count in arguments.population.items())
    settings = "settings that suit" if not arguments.mis_set else f"settings off by a spread of {arguments.mis_set:g}"
    days = f"{arguments.days} days" if arguments.days > 1 else "one day"
    pens = f"{100 * arguments.pens:g} % on pens"
    lived = f"life {arguments.life}, sensor {arguments.sensor}"
    return f"Virtual people: {people}. {days.capitalize()}, seed {arguments.seed}, {settings}, {pens}, {lived}."


def _ranges(summary: CohortSummary) -> None:
    unit = access.unit()
    st.subheader("Time in ranges")
    figure = cohort_charts.ranges_figure(summary.outcomes)
    st.plotly_chart(figure, config=charts.CONFIG, key="cohort_ranges")
    rows = []
    for outcome in summary.outcomes:
        spreads = outcome.spreads
        rows.append(
            {
                "Group": outcome.group,
                "Policy": outcome.policy,
                "People": f"{outcome.people:,}",
                "In range, %": _spread(spreads["true_in_range"], 0),
                f"Below {unit.text(LOW)}, %": _spread(spreads["true_below_70"], 1),
                f"Below {unit.text(VERY_LOW)}, %": _spread(spreads["true_very_low"], 1),
                "CV, %": _spread(spreads["true_cv"], 0),
                "Insulin, U/kg/day": _spread(spreads["insulin_per_kg"], 2),
                "Carb ratio, g/U": _spread(spreads["carb_ratio"], 0),
            }
        )
    st.dataframe(rows, hide_index=True)
    st.caption("True glucose, mean over people; in the table mean [5th to 95th percentile of people].")


def _differences(summary: CohortSummary, arguments: Arguments) -> None:
    pairs = list(dict.fromkeys((row.policy, row.against) for row in summary.differences))
    if not pairs:
        return
    st.subheader("Policies compared, person by person")
    unit = access.unit()
    chosen = pairs[0]
    if len(pairs) > 1:
        chosen = st.selectbox("Compare", pairs, format_func=" less ".join, key="cohort_pair", width=320)
    rows = [row for row in summary.differences if (row.policy, row.against) == chosen]
    st.plotly_chart(cohort_charts.differences_figure(rows, unit), config=charts.CONFIG, key="cohort_differences")
    whole = EVERYONE if len(arguments.population) > 1 else rows[0].group
    said = [_sentence(row, unit) for row in rows if row.group == whole and row.measure in ("true_in_range", "true_below_70")]
    st.caption(
        f"{chosen[0]} less {chosen[1]}: mean and 95 % interval over the same people; pale where it may be none. " + " ".join(said)
    )


def _sentence(row: Difference, unit: Unit) -> str:
    title = cohort_charts.measure_title(row.measure, unit).removesuffix(", %").lower()
    between = "" if row.low is None or row.high is None else f" ({signed(row.low, 1)} to {signed(row.high, 1)})"
    people = f"more in {row.higher:.0f} % of people, less in {row.lower:.0f} %"
    return f"Time {title}: {signed(row.mean, 1)} points{between}, {people}."


def _person(folder: Path, summary: CohortSummary, arguments: Arguments) -> None:
    st.subheader("One person's days")
    worst: dict[str, str] = {}
    for row in summary.worst:
        worst.setdefault(row.person, f"{row.person} (among the worst under {row.policy})")
    others = [
        f"{group}-{index:06d}" for group, count in arguments.population.items() for index in range(1, min(count, LISTED) + 1)
    ]
    names = [*worst, *(name for name in others if name not in worst)]
    who, when = st.columns([2, 1])
    person = who.selectbox("Person", names, format_func=lambda name: worst.get(name, name), key="cohort_person")
    day = when.number_input(f"Day, of {arguments.days}", 1, arguments.days, 1, key="cohort_day")
    steps = access.remembered(f"steps:{folder}:{person}", lambda: read_steps(folder, person))
    known = access.remembered(f"person:{folder}:{person}", lambda: read_person(folder, person))
    date = steps["time"].min().normalize() + pd.Timedelta(days=day - 1)
    today = steps[steps["time"].dt.normalize() == date]
    st.plotly_chart(cohort_charts.day_figure(today, access.unit()), config=charts.CONFIG, key="cohort_day_chart")
    ill = " Ill on this day." if today["ill"].any() else ""
    st.caption(f"Lines: true glucose; dots: readings. Meals are those under {arguments.policies[0]}. Shaded: exercise.{ill}")
    st.table(_settings(known.iloc[0], access.unit()))
    st.dataframe(_days(steps, access.unit()), hide_index=True)


def _settings(row: pd.Series, unit: Unit) -> dict[str, list[str]]:
    """What is in force beside what suits."""
    names, force, suits = [], [], []
    for name, (title, digits) in SETTINGS.items():
        glucose = name == "correction_factor"
        values = [unit.of(row[each]) if glucose else row[each] for each in (name, f"suits_{name}")]
        digits = unit.digits if glucose else digits
        names.append(f"{title}, {unit.name} per U" if glucose else title)
        force.append(f"{values[0]:.{digits}f} ({signed(100 * (values[0] / values[1] - 1), 0)} %)")
        suits.append(f"{values[1]:.{digits}f}")
    delivery = "pens" if row["pens"] else "pump"
    return {f"{row['group']}, {row['weight']:.0f} kg, {delivery}": names, "In force": force, "Suits": suits}


def _days(steps: pd.DataFrame, unit: Unit) -> list[dict[str, str]]:
    """Each policy's days in all."""
    rows = []
    for policy, lived in steps.groupby("policy", sort=False):
        glucose, days = lived["glucose"], len(lived) / ROWS_A_DAY
        insulin = lived["basal"].sum() / 12 + lived["bolus"].sum() + lived["long_acting"].sum()
        rows.append(
            {
                "All days under": str(policy),
                "In range": percent(100 * float(((glucose >= LOW) & (glucose <= HIGH)).mean())),
                f"Below {unit.text(LOW)}": percent(100 * float((glucose < LOW).mean()), 1),
                f"Mean, {unit.name}": unit.text(float(glucose.mean())),
                "Lowest": unit.text(float(glucose.min())),
                "Highest": unit.text(float(glucose.max())),
                "Insulin, U/day": f"{insulin / days:.1f}",
                "Eaten, g/day": f"{lived['eaten'].sum() / days:.0f}",
            }
        )
    return rows


def _spread(spread: Spread, digits: int) -> str:
    if spread.mean is None:
        return "-"
    return f"{spread.mean:.{digits}f} [{spread.p5:.{digits}f} to {spread.p95:.{digits}f}]"
