"""Commands that judge what treatments change: in virtual patients, where it is known, and in records, as far as they tell."""

from typing import TYPE_CHECKING, Annotated

import typer

from careplan.cli.shell import Json, Weights, print_json, recordings_of, stderr, stdout

if TYPE_CHECKING:
    import pandas as pd


def effects(
    people: Annotated[int, typer.Option(min=1, help="Virtual patients in each age group.")] = 8,
    seed: Annotated[int, typer.Option(help="Decides the patients; never a seed of the training.")] = 101,
    family: Annotated[list[str] | None, typer.Option(help="Bodies to judge on, such as minimal; may be repeated.")] = None,
    leave_out: Annotated[bool, typer.Option(help="Bodies that the weights were not trained on, all or those named.")] = False,
    baselines: Annotated[bool, typer.Option(help="Gradient boosting and physiological twins beside it.")] = True,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """What treatments change, predicted and true, in virtual patients never trained on; history is confounded."""
    from careplan.studies.bodies import evaluate_effects as evaluate
    from careplan.studies.bodies import families_of
    from careplan.therapies.glucose.world import open_world

    world = open_world(*([weights] if weights else []))
    found = {}
    with stderr().status("Simulating") as status:
        for name in families_of(world, family or (), left_out=leave_out):
            found[name] = evaluate(world, people=people, seed=seed, family=name, baselines=baselines, say=status.update)
    if as_json:
        first = next(iter(found.values()))[1]
        rows = [row for table, _ in found.values() for row in table.to_dict("records")]
        each = {name: figures for name, (_, figures) in found.items()}
        print_json({**first, "families": each, "people": 3 * people, "seed": seed, "table": rows})
        return
    for name, (table, _) in found.items():
        _show_effects(name, table)


def _show_effects(family: str, table: "pd.DataFrame") -> None:
    """Errors with slopes of one family, on the terminal."""
    from rich.table import Table

    for told, part in table.groupby("told", sort=False):
        title = f"{family}: RMS missed over RMS of the true effects (slope of predicted on true); meals told {told}"
        shown = Table("Estimator", "Change", "1 h", "2 h", "4 h", "8 h", "All", "Sign right", "In 90 %", title=title)
        for (name, kind), rows in part.groupby(["estimator", "kind"], sort=False):
            rows = rows.set_index("hours")
            errors = (f"{rows['error'][hours]:.3f} ({rows['slope'][hours]:.2f})" for hours in (1, 2, 4, 8, "all"))
            covered = rows["coverage"]["all"]
            inside = "" if covered != covered else f"{100 * covered:.1f} %"
            shown.add_row(str(name), str(kind), *errors, f"{100 * float(rows['sign_right']['all']):.2f} %", inside)
        stdout().print(shown)


def natural(
    ctx: typer.Context,
    data: Annotated[list[str] | None, typer.Argument(help="Recordings, as FORMAT:PATH; without any, the store's.")] = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Boluses skipped or late, corrections and suspensions in real records: what they changed, as predicted and as seen."""
    from rich.table import Table

    from careplan.studies import natural as experiments
    from careplan.therapies.glucose.world import open_world

    world = open_world(*([weights] if weights else []))
    people = [series for source in recordings_of(ctx, data).values() for series in source.values()]
    with stderr().status("Reading") as status:
        found = experiments.natural(world.model, people, say=status.update)
    table = experiments.slopes(found)
    if as_json:
        typer.echo(table.to_json(orient="records", double_precision=3))
        return
    shown = Table("Person", "Kind", "Hour", "Occasions", "Predicted", "Seen", "Slope (90 %)", title="Changes, mg/dL")
    for row in table.to_dict("records"):
        told = "" if row["slope"] != row["slope"] else f"{row['slope']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        sizes = (f"{row[name]:.0f}" for name in ("predicted", "seen"))
        shown.add_row(row["person"], row["kind"], str(row["hour"]), str(row["occasions"]), *sizes, told)
    stdout().print(shown)
