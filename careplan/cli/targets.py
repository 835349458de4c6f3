"""`careplan targets`: what a patient is treated to, and signing something else."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from careplan.cli.shell import Json, Patient, print_json, stdout, store

if TYPE_CHECKING:
    from careplan.clinic.targets import InForce

app = typer.Typer()
Therapy = Annotated[str | None, typer.Option(help="Which therapy, where the patient has several.")]


@app.command("targets")
def targets_command(
    ctx: typer.Context,
    patient: Patient,
    preset: Annotated[str | None, typer.Option(help="Treat to one of the therapy's presets.")] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="A level or a share of custom targets, as NAME=NUMBER; NAME=none for no target."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it goes on record.")] = "",
    therapy: Therapy = None,
    as_json: Json = False,
) -> None:
    """Show what a patient is treated to and what else there is; with --preset or --set and a --reason, sign it."""
    from careplan.clinic import sign_targets, targets_in_force
    from careplan.clinic.worklists import refresh

    changed = dict(map(_changed, change or []))
    with store(ctx) as database:
        if preset is None and not changed:
            found = targets_in_force(database, patient, therapy)
        else:
            found = sign_targets(database, patient, preset=preset, changed=changed, reason=reason, therapy=therapy)
            refresh(database, [patient])
    if as_json:
        print_json(found)
    else:
        _print(found)


def _changed(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, math.nan if value == "none" else float(value)
    except ValueError:
        raise typer.BadParameter(f"{text!r}: expected NAME=NUMBER, or NAME=none", param_hint="--set") from None


def _print(found: "InForce") -> None:
    from rich.table import Table

    console, shown = stdout(), found.preset
    whom = "custom" if shown is None else f"{found.targets.preset}: {shown.whom}"
    told = f"default of group {found.group}"
    if found.signed is not None:
        told = f"signed by {found.signed.signer}, {found.signed.since:%Y-%m-%d %H:%M} UTC: {found.signed.reason}"
    console.print(f"{found.patient}, {found.therapy}: {whom} ({told}).", markup=False, highlight=False, soft_wrap=True)
    if found.problem is not None:
        console.print(f"These were changed past careplan: {found.problem}.", markup=False, highlight=False, soft_wrap=True)
    every = [found.targets, *(each.targets for each in found.presets if each.targets.preset != found.targets.preset)]
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("", "in force", *(each.preset for each in every[1:])):
        table.add_column(name, justify="right" if name else "left")
    for name in dict.fromkeys(name for each in every for name in (*each.levels, *each.shares)):
        values = [each.levels.get(name, each.shares.get(name)) for each in every]
        unit = "" if name in found.targets.levels else ", %"
        table.add_row(f"{name}{unit}", *("-" if value is None else f"{value:g}" for value in values))
    console.print(table)
    note = "Shares are of time beyond the levels of their own column; an outcome keeps its name wherever its level lies."
    console.print(note, style="dim", highlight=False)
