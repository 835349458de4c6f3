"""A replayed cohort on the terminal, and as a page of plots."""

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from careplan.display import signed
from careplan.studies.cohorts import CohortSummary, Outcome, Spread
from careplan.studies.replay_folder import in_one_move, read_manifest, read_people, read_steps
from careplan.therapies.glucose.bands import HIGH, LOW
from careplan.therapies.glucose.declaration import ROWS_A_DAY

PAGE = "summary.html"
SHOWN = 2 * ROWS_A_DAY  # rows of a person's days
BANDS = (  # colours as in the app
    ("true_very_low", "< 54", "#540a10"),
    ("true_low", "54-69", "#c23e3d"),
    ("true_in_range", "70-180", "#379f80"),
    ("true_high", "181-250", "#f8da52"),
    ("true_very_high", "> 250", "#c97f10"),
)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito: told apart by everyone
ROWS = (
    ("true_in_range", "70-180 mg/dL, %", 0),
    ("read_in_range", "the same, of readings, %", 0),
    ("true_below_70", "below 70, %", 1),
    ("true_very_low", "below 54, %", 1),
    ("true_above_180", "above 180, %", 0),
    ("true_mean", "mean, mg/dL", 0),
    ("true_cv", "CV, %", 0),
    ("insulin", "insulin, U/day", 0),
    ("insulin_per_kg", "insulin, U/kg/day", 2),
    ("carb_ratio", "carb ratio, g/U", 1),
)
MEASURES = {
    "true_in_range": "70-180 mg/dL, %",
    "true_tight_range": "70-140 mg/dL, %",
    "true_below_70": "below 70 mg/dL, %",
    "true_very_low": "below 54 mg/dL, %",
    "true_above_180": "above 180 mg/dL, %",
    "true_very_high": "above 250 mg/dL, %",
    "true_mean": "mean, mg/dL",
    "true_cv": "CV, %",
    "true_gri": "GRI",
    "insulin": "insulin, U/day",
}


def print_summary(console: Console, summary: CohortSummary) -> None:
    """Groups by policy, paired differences, who did worst."""
    for group, outcomes in _by_group(summary).items():
        title = f"{group}, {outcomes[0].people:,} people: mean \\[5th / 50th / 95th percentile]"
        table = Table("", *(outcome.policy for outcome in outcomes), title=title, title_justify="left")
        for measure, name, digits in ROWS:
            table.add_row(name, *(_spread(outcome.spreads[measure], digits) for outcome in outcomes))
        console.print(table)
    for (policy, against), found in _pairs(summary).items():
        table = Table(title=f"{policy} less {against}, person by person: mean (95 % interval)", title_justify="left")
        groups = list(dict.fromkeys(difference.group for difference in found))
        table.add_column("")
        for group in groups:
            table.add_column(group)
        for measure, title in MEASURES.items():
            row = [difference for difference in found if difference.measure == measure]
            table.add_row(title, *(_interval(difference.mean, difference.low, difference.high) for difference in row))
        console.print(table)
    table = Table("Policy", "Person", "GRI", "70-180, %", "< 70, %", "< 54, %", title="Did worst", title_justify="left")
    for policy in dict.fromkeys(worst.policy for worst in summary.worst):
        for worst in [each for each in summary.worst if each.policy == policy][:3]:
            numbers = (worst.gri, worst.in_range, worst.below_70, worst.below_54)
            table.add_row(policy, worst.person, *(f"{number:.1f}" for number in numbers))
    console.print(table)


def write_page(folder: Path, summary: CohortSummary) -> None:
    """Time in ranges, paired differences and two days of two people, as one page that needs no network."""
    days = read_manifest(folder).arguments.days
    middling, worst = _middling(read_people(folder)), summary.worst[0].person
    figures = [_ranges(summary), *_differences(summary)]
    for person, word in {middling: "in the middle", worst: "did worst"}.items():
        figures.append(_days(read_steps(folder, person), f"{person} ({word}), {'the first two days' if days > 1 else 'one day'}"))
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=place == 0, div_id=f"figure-{place}")
        for place, figure in enumerate(figures)
    ]
    note = "<p style='font-family:sans-serif'>Virtual people. For research use; not a medical device.</p>"
    head = "<head><meta charset='utf-8'><title>Replay</title></head>"
    page = f"<!doctype html><html>{head}<body>{note}{''.join(parts)}</body></html>"
    in_one_move(folder / PAGE, lambda part: part.write_text(page, encoding="utf-8"))


def _ranges(summary: CohortSummary) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    outcomes = list(reversed(summary.outcomes))
    names = [[outcome.group for outcome in outcomes], [outcome.policy for outcome in outcomes]]
    for measure, title, colour in BANDS:
        shares = [outcome.spreads[measure].mean for outcome in outcomes]
        figure.add_bar(y=names, x=shares, name=f"{title} mg/dL", orientation="h", marker={"color": colour})
    return figure.update_layout(
        barmode="stack",
        template="simple_white",
        height=140 + 34 * len(outcomes),
        title="Time in ranges, true glucose, mean over people",
        xaxis={"title": "%", "range": [0, 100]},
        legend={"traceorder": "normal"},
    )


def _differences(summary: CohortSummary) -> list[Any]:
    from plotly.subplots import make_subplots

    found = []
    for (policy, against), differences in _pairs(summary).items():
        titles = [title.replace(", ", ",<br>") for title in MEASURES.values()]
        figure = make_subplots(rows=1, cols=len(titles), subplot_titles=titles)
        for column, measure in enumerate(MEASURES, 1):
            rows = [difference for difference in reversed(differences) if difference.measure == measure]
            mean = [row.mean for row in rows]
            figure.add_scatter(
                x=mean,
                y=[row.group for row in rows],
                error_x={
                    "array": [row.high - row.mean if row.high is not None else 0.0 for row in rows],
                    "arrayminus": [row.mean - row.low if row.low is not None else 0.0 for row in rows],
                },
                mode="markers",
                marker={"color": COLOURS[0]},
                showlegend=False,
                row=1,
                col=column,
            )
            figure.add_vline(x=0, line={"color": "#888", "width": 1}, row=1, col=column)
            figure.update_yaxes(showticklabels=column == 1, row=1, col=column)
        figure.update_annotations(font_size=12)
        title = f"{policy} less {against}, person by person: mean and 95 % interval"
        found.append(figure.update_layout(template="simple_white", height=260, margin={"t": 110}, title=title))
    return found


def _days(steps: pd.DataFrame, title: str) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_hrect(y0=LOW, y1=HIGH, fillcolor="#009E73", opacity=0.08, line_width=0)
    for colour, (policy, rows) in zip(COLOURS * 9, steps.groupby("policy", sort=False), strict=False):
        rows = rows.head(SHOWN)
        line = {"color": colour}
        figure.add_scatter(x=rows["time"], y=rows["glucose"], mode="lines", name=f"{policy}, true glucose", line=line)
        dot = {"color": colour, "size": 3, "opacity": 0.5}
        figure.add_scatter(x=rows["time"], y=rows["reading"], mode="markers", name=f"{policy}, readings", marker=dot)
    return figure.update_layout(template="simple_white", height=360, title=title, yaxis_title="mg/dL")


def _middling(people: pd.DataFrame) -> str:
    """Whose time in range under the first policy is the median."""
    first = people[people["policy"] == people["policy"].iloc[0]].sort_values(["true_in_range", "person"])
    return str(first["person"].iloc[len(first) // 2])


def _pairs(summary: CohortSummary) -> dict[tuple[str, str], list[Any]]:
    pairs: dict[tuple[str, str], list[Any]] = {}
    for difference in summary.differences:
        pairs.setdefault((difference.policy, difference.against), []).append(difference)
    return pairs


def _by_group(summary: CohortSummary) -> dict[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = {}
    for outcome in summary.outcomes:
        groups.setdefault(outcome.group, []).append(outcome)
    return groups


def _spread(spread: Spread, digits: int) -> str:
    if spread.mean is None:
        return "-"
    percentiles = " / ".join(f"{value:.{digits}f}" for value in (spread.p5, spread.p50, spread.p95) if value is not None)
    return f"{spread.mean:.{digits}f} \\[{percentiles}]"


def _interval(mean: float, low: float | None, high: float | None) -> str:
    return signed(mean, 2) + ("" if low is None or high is None else f"\n({signed(low, 2)} to {signed(high, 2)})")
