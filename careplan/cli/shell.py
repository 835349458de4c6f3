"""What every command shares: the database it works on, and how it prints. Heavy imports wait until they are needed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from careplan.series import PatientSeries
    from careplan.store import Database

Weights = Annotated[Path | None, typer.Option(help="A folder that `careplan train` wrote. Default: the shipped weights.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def store(ctx: typer.Context, *, makes: bool = False) -> Iterator["Database"]:
    """The database that the command line or the settings name, open.

    makes: the command makes the file that `--db` names where there is none; else a mistyped name is an error. Raises
    `StoreError`.
    """
    from careplan.store import open_database

    database = open_database(database_url(ctx), make=makes or ctx.find_root().obj is None)
    try:
        yield database
    finally:
        database.close()


def _names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Patients whose names begin so, for the shell's completion; nobody where there is no such store."""
    from careplan.clinic import StoreError, patient_names

    try:
        with store(ctx) as database:
            return [name for name in patient_names(database) if name.startswith(incomplete)]
    except StoreError:
        return []


Patient = Annotated[str, typer.Argument(help="The patient's name; `careplan patients` lists them.", autocompletion=_names)]


def database_url(ctx: typer.Context) -> str:
    from careplan.settings import Settings

    return str(ctx.find_root().obj or Settings().database)


def print_json(value: Any) -> None:
    """Views as JSON on standard output."""
    from careplan.clinic import codec

    typer.echo(json.dumps(codec.dump(value), indent=2, ensure_ascii=False))


def stdout() -> "Console":
    from rich.console import Console

    return Console()


def stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)


def warn(message: str) -> None:
    """One red line on standard error."""
    from rich.markup import escape

    stderr().print(f"[red]{escape(' '.join(message.split()))}[/]", soft_wrap=True, highlight=False)


def sources_of(data: list[str]) -> list[tuple[str, str]]:
    """`FORMAT:PATH` texts as pairs."""
    from careplan.records import READERS

    sources = []
    for text in data:
        name, _, path = text.partition(":")
        if name not in READERS or not path:
            raise typer.BadParameter(f"{text!r}: expected FORMAT:PATH with a format of {', '.join(sorted(READERS))}")
        sources.append((name, path))
    return sources


def recordings_of(ctx: typer.Context, data: list[str] | None) -> "dict[str, dict[str, PatientSeries]]":
    """By source and person: what `FORMAT:PATH` texts name, or everyone in the store."""
    from careplan.studies.evaluation import stored
    from careplan.studies.training import read_sources

    if data:
        return read_sources(sources_of(data))
    with store(ctx) as database:
        return stored(database)
