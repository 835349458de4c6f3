"""`careplan evaluate cohort`: one command that evaluates careplan on anybody's recordings."""

from pathlib import Path
from typing import Annotated

import typer

from careplan.cli.shell import Json, Weights, database_url, stderr, stdout


def cohort(
    ctx: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders of exports, FORMAT:PATH, a folder of Parquet by patient, a database's address, or `store`."
        ),
    ],
    out: Annotated[Path, typer.Option(help="A folder for the report and its tables; what is done there is not done again.")],
    therapy: Annotated[str, typer.Option(help="Whose people they are.")] = "glucose",
    config: Annotated[Path | None, typer.Option(help="A TOML file with some fields of the protocol.")] = None,
    columns: Annotated[
        Path | None, typer.Option(help="A CSV with a column `patient` and others to report by, such as site or pregnancy.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every draw. Default: the protocol's.")] = None,
    ray: Annotated[str | None, typer.Option(help="The address of a Ray cluster, or `local`. Default: this process.")] = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Would it be right, safe and of use for these people? Ends with report.html, report.json and tables."""
    import json
    from dataclasses import replace

    from careplan.studies.report import Protocol, evaluate_cohort, read_protocol
    from careplan.studies.report.cluster import on_ray
    from careplan.studies.report.run import in_process

    if therapy != "glucose":
        raise typer.BadParameter(f"{therapy!r}: cohorts are evaluated for glucose alone", param_hint="--therapy")
    protocol = Protocol() if config is None else read_protocol(config)
    protocol = protocol if seed is None else replace(protocol, seed=seed)
    with stderr().status("Reading") as status:
        finished = evaluate_cohort(
            sources,
            out,
            protocol=protocol,
            database=database_url(ctx),
            weights=weights,
            columns=columns,
            spread=in_process if ray is None else on_ray(ray),
            say=status.update,
        )
    if as_json:
        typer.echo(json.dumps(json.loads((out / "report.json").read_text()), indent=2))
        return
    for warning in finished.warnings:
        stderr().print(f"[yellow]{warning}[/]", soft_wrap=True, highlight=False)
    stdout().print(f"{finished.judged} people judged, {finished.left_out} left out: {finished.report}", highlight=False)
