"""`careplan history` and `careplan compare`: what was changed of a patient and by whom, and what became of it."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from careplan.cli.shell import Json, Patient, print_json, stdout, store
from careplan.display import signed

if TYPE_CHECKING:
    from careplan.clinic.periods import Comparison
    from careplan.suggestion import Interval

app = typer.Typer()
Therapy = Annotated[str | None, typer.Option(help="Which therapy, where the patient has several.")]
Stretch = Annotated[str | None, typer.Option(help="Whole days of the patient's clock, as 2024-05-01..2024-05-14.")]


@app.command("history")
def history_command(ctx: typer.Context, patient: Patient, as_json: Json = False) -> None:
    """List everything that was changed of a patient and by whom, the newest first."""
    from rich.markup import escape
    from rich.table import Table

    from careplan.clinic import timeline

    with store(ctx) as database:
        found = timeline(database, patient)
    if as_json:
        print_json(found)
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("When (UTC)", "What", "", "Who"):
        table.add_column(name, overflow="fold")
    for each in found:
        table.add_row(f"{each.time:%Y-%m-%d %H:%M}", each.kind, escape(each.what), escape(each.actor))
    stdout().print(table)


@app.command("compare")
def compare_command(
    ctx: typer.Context,
    patient: Patient,
    change: Annotated[int | None, typer.Option(help="A regimen version, else the newest that was lived with.")] = None,
    before: Stretch = None,
    after: Stretch = None,
    therapy: Therapy = None,
    as_json: Json = False,
) -> None:
    """Set two periods side by side, with the difference and its interval: before and after a change, or any two."""
    from careplan.clinic import compare_change, compare_periods, show

    if (before is None) != (after is None) or (before is not None and change is not None):
        raise typer.BadParameter("name both --before and --after, or neither", param_hint="--before, --after")
    with store(ctx) as database:
        if before is None or after is None:
            found = compare_change(database, patient, change, therapy=therapy)
        else:
            zone = show(database, patient, therapy).zone
            sides = _days(before, zone, "--before"), _days(after, zone, "--after")
            found = compare_periods(database, patient, *sides, therapy=therapy)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _days(text: str, zone: str, hint: str) -> tuple[datetime, datetime]:
    from zoneinfo import ZoneInfo

    first, between, last = text.partition("..")
    try:
        start, end = (datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)) for day in (first, last if between else first))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: expected days as 2024-05-01..2024-05-14", param_hint=hint) from None
    return start, end + timedelta(days=1)


def _print(found: "Comparison") -> None:
    from rich.table import Table

    from careplan.clinic.periods import COVERED, DRAWS
    from careplan.display import clock

    console = stdout()
    sides = [f"{each.start:%Y-%m-%d %H:%M} to {each.end:%Y-%m-%d %H:%M}" for each in (found.before, found.after)]
    what = "" if found.change is None else f", change to version {found.change.version} ({found.change.source})"
    console.print(f"{found.patient}, {found.therapy}{what}: {sides[0]}, and {sides[1]}.", highlight=False, markup=False)
    if found.change is not None:
        moved = ", ".join(f"{name} from {clock(start)} {was:g} to {now:g}" for name, start, was, now in found.change.moved)
        console.print(f"Changed: {moved}.", highlight=False, markup=False, soft_wrap=True)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("", "Before", "After", "Change (90 %)", "Predicted (90 %)", ""):
        table.add_column(name, justify="right" if name else "left")
    for each in found.differences:
        cells = (f"{each.before:.1f}", f"{each.after:.1f}", _interval(each.change), _interval(each.predicted))
        table.add_row(each.outcome.replace("_", " "), *cells, each.verdict or "")
    console.print(table)
    console.print(
        f"Intervals hold {COVERED:.0%} of {DRAWS:,} draws of the {found.before.stretches} and {found.after.stretches} days or "
        "stretches, with replacement. They do not say that the change made the difference.",
        style="dim",
        highlight=False,
    )


def _interval(value: "Interval | None") -> str:
    if value is None:
        return "-"
    mid, low, high = (signed(each, 1) for each in (value.mid, value.low, value.high))
    return mid + (f" ({low} to {high})" if value.low < value.high else "")
