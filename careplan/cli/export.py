"""Commands that write a patient's record for other systems."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from careplan.cli.shell import Patient, stderr, stdout, store, warn

app = typer.Typer(no_args_is_help=True, help="A patient's record for other systems: FHIR, or a table.")


class TableFormat(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


@app.command("fhir")
def export_fhir(
    ctx: typer.Context,
    patient: Patient,
    suggestion: Annotated[
        int | None, typer.Option(help="A suggestion that goes with it: as proposals, and as orders once it is signed.")
    ] = None,
    days: Annotated[float | None, typer.Option(min=0.01, help="Only the last so many days of the recording.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write. Default: standard output.")] = None,
    to: Annotated[str | None, typer.Option(help="Send it to this FHIR server instead, such as https://host/fhir.")] = None,
    token: Annotated[str | None, typer.Option(envvar="CAREPLAN_FHIR_TOKEN", help="The server's bearer token.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="The patient as the server knows them, such as Patient/123, in place of one of our own.")
    ] = None,
) -> None:
    """Write a FHIR R4 Bundle, or send it. Sending again changes nothing."""
    import json

    from careplan.interop import ExportError, fhir_bundle, send

    if out is not None and to is not None:
        raise typer.BadParameter("give --out or --to, not both", param_hint="--out")
    with store(ctx) as database:
        bundle = fhir_bundle(database, patient, suggestion=suggestion, days=days, subject=subject, to=to, note=warn)
    if to is not None:
        with stderr().status(f"Sending to {to}") as status:
            sent = send(bundle, to, token=token, progress=lambda done, of: status.update(f"Sent {done:,} of {of:,} resources"))
        stdout().print(f"{sent:,} resources of {patient} are on the server.", highlight=False, markup=False)
        return
    text = json.dumps(bundle, ensure_ascii=False, allow_nan=False, indent=1)
    if out is None:
        typer.echo(text)
        return
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{out}: cannot be written: {error.strerror or error}") from error
    stdout().print(f"{len(bundle['entry']):,} resources of {patient} in {out}.", highlight=False, markup=False)


@app.command("table")
def export_table(
    ctx: typer.Context,
    patient: Patient,
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    format: Annotated[TableFormat, typer.Option(help="csv or parquet.")] = TableFormat.CSV,
) -> None:
    """Write every event as the documented table, a row each; `careplan import table` reads it again."""
    from careplan.interop import export_table as write

    with store(ctx) as database:
        rows = write(database, patient, out, format=format.value)
    stdout().print(f"{rows:,} rows of {patient} in {out}.", highlight=False, markup=False)
