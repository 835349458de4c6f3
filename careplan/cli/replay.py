"""The command `replay`: virtual cohorts live under policies."""

from pathlib import Path
from typing import Annotated

import typer

from careplan.cli.shell import Json, print_json, stderr, stdout

app = typer.Typer()


@app.command()
def replay(
    population: Annotated[
        list[str], typer.Option(help="GROUP:PEOPLE, such as adult:1000, type2:100 or minimal-adult:100; may be repeated.")
    ],
    policy: Annotated[list[str], typer.Option(help="How they are treated, such as basal-bolus; may be repeated, to compare.")],
    out: Annotated[Path, typer.Option(help="The folder to write. One that holds the same replay, begun, is gone on with.")],
    days: Annotated[int, typer.Option(help="Days lived.")] = 14,
    seed: Annotated[int, typer.Option(help="Decides the people and their lives.")] = 7,
    mis_set: Annotated[float, typer.Option(help="Spread of the logarithm of the error in each setting in force.")] = 0.0,
    pens: Annotated[float, typer.Option(help="Share of people on pens.")] = 0.0,
    life: Annotated[str, typer.Option(help="How variable life is: full (all sources), usual or none.")] = "usual",
    sensor: Annotated[str, typer.Option(help="The sensor worn: usual, dexcom, libre or none (no error).")] = "usual",
    as_json: Json = False,
) -> None:
    """Replay virtual people under one or more policies: Parquet, a summary, plots. Ctrl-C keeps finished blocks."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from careplan.cli import replay_report
    from careplan.studies.replays import arguments_of, run_replay

    arguments = arguments_of(population, policy, days=days, seed=seed, mis_set=mis_set, pens=pens, life=life, sensor=sensor)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,} person-days"), TimeRemainingColumn())
    with Progress(*columns, console=stderr()) as bar:
        task = bar.add_task("Sampling people", total=None)

        def progress(done: int, whole: int, block: str) -> None:
            bar.update(task, completed=done, total=whole, description=block)

        try:
            summary = run_replay(out, arguments, progress=progress)
        except KeyboardInterrupt:
            bar.console.print(f"Finished blocks are kept in {out}; the same command goes on.", soft_wrap=True, highlight=False)
            raise
    replay_report.write_page(out, summary)
    if as_json:
        print_json(summary)
    else:
        replay_report.print_summary(stdout(), summary)
        stdout().print(f"Kept in {out}; plots in {out / replay_report.PAGE}.", soft_wrap=True, highlight=False)
