"""The `careplan` command. Each command is a thin function over `careplan.clinic`; heavy imports wait until a command runs."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from careplan.cli import evaluate as cli_evaluate
from careplan.cli import export as cli_export
from careplan.cli import replay as cli_replay
from careplan.cli import therapies as cli_therapies
from careplan.cli import world as cli_world
from careplan.cli.shell import Json, database_url, print_json, stderr, stdout, store, warn

USER_ERROR, INTERRUPTED = 1, 130


class Careplan(TyperGroup):
    """Ends a command that refused its input with one red line, and Ctrl-C with 130; anything else is a bug and is shown whole."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            warn("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if not isinstance(error, expected_errors()):
                raise
            warn(str(error))
            raise typer.Exit(USER_ERROR) from None


app = typer.Typer(
    cls=Careplan,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold patients' data
    help="A personalised treatment planner. For research use; not a medical device.",
)
audit_app = typer.Typer(no_args_is_help=True, help="The audit trail.")
db_app = typer.Typer(no_args_is_help=True, help="The database.")
app.add_typer(audit_app, name="audit")
app.add_typer(db_app, name="db")
app.add_typer(cli_world.app)
app.add_typer(cli_evaluate.app, name="evaluate")
app.add_typer(cli_replay.app)
app.add_typer(cli_therapies.app)
app.add_typer(cli_export.app, name="export")


class Group(StrEnum):
    ADULT = "adult"
    ADOLESCENT = "adolescent"
    CHILD = "child"


@app.callback()
def main(
    ctx: typer.Context,
    db: Annotated[
        str | None,
        typer.Option(
            help="The database: a path (SQLite) or an SQLAlchemy URL. Default: CAREPLAN_DATABASE, or the user's data folder."
        ),
    ] = None,
) -> None:
    ctx.obj = db


@app.command("import")
def import_command(
    ctx: typer.Context,
    format: Annotated[str, typer.Argument(help="azt1d, t1d-uom, nightscout or table.")],
    path: Annotated[str, typer.Argument(help="A file, a folder, or (nightscout) a URL.")],
    zone: Annotated[
        str | None, typer.Option(help="The patients' time zone, such as Europe/London, where the source does not say.")
    ] = None,
    token: Annotated[str | None, typer.Option(envvar="CAREPLAN_TOKEN", help="A Nightscout site's access token.")] = None,
    patient: Annotated[str | None, typer.Option(help="The patient's name in the store, where a source holds one person.")] = None,
    group: Annotated[Group | None, typer.Option(help="Age group of new patients, which sets their dose limits.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write every dropped or changed row to this CSV file.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Add to patients that are already stored from another source.")] = False,
) -> None:
    """Put recordings into the store: what is new of each patient, whole or not at all. Importing again adds nothing."""
    from careplan.cli import console
    from careplan.clinic import import_records
    from careplan.records import READERS

    if format not in READERS:
        raise typer.BadParameter(f"{format!r} is not one of {', '.join(sorted(READERS))}", param_hint="FORMAT")
    if report is not None and not report.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {report.parent}", param_hint="--report")
    options: dict[str, Any] = {"zone": zone, "token": token, "patient": patient, "group": group and group.value, "merge": merge}
    kept: list[str] = []
    with store(ctx) as database, stderr().status(f"Reading {path}") as status:

        def progress(done: int, total: int, patient: str) -> None:
            kept.append(patient)
            status.update(f"Keeping patient {patient}, {done} of {total}")

        try:
            result = import_records(database, format, path, progress=progress, **options)
        except BaseException:
            status.stop()
            stderr().print(_kept(kept), soft_wrap=True, highlight=False)
            raise
    console.print_import(stdout(), result)
    if report is not None:
        console.write_corrections(report, result)
    for name, problem in result.failed.items():
        warn(f"{name}: not imported: {problem}")
    if result.failed:
        stderr().print(_kept(kept), soft_wrap=True, highlight=False)
        raise typer.Exit(USER_ERROR)


@app.command()
def patients(ctx: typer.Context, as_json: Json = False) -> None:
    """Who is in the store: days, metrics, insulin."""
    from careplan import clinic
    from careplan.cli import console

    with store(ctx) as database:
        found = clinic.patients(database)
    if as_json:
        print_json(found)
    else:
        console.print_patients(stdout(), found)


@app.command()
def show(ctx: typer.Context, patient: str, as_json: Json = False) -> None:
    """What is stored of one patient: days, gaps, consensus metrics, regimen."""
    from careplan import clinic
    from careplan.cli import console

    with store(ctx) as database:
        found = clinic.show(database, patient)
        regimen = clinic.prescribed(database, patient)
    if as_json:
        print_json(found)
    else:
        console.print_summary(stdout(), found, regimen)


@app.command("app")
def app_command(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(help="The local port.")] = 8501,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Open the clinician's app on localhost. Stop it with Ctrl-C."""
    from careplan.cli.serve import serve

    with store(ctx):  # created and migrated before the app needs it
        url = database_url(ctx)
    raise typer.Exit(serve(url, port=port, browser=browser))


@audit_app.command("verify")
def audit_verify(
    ctx: typer.Context,
    expect: Annotated[str | None, typer.Option(help="A head noted earlier: finds a trail whose end was cut off.")] = None,
    since_last: Annotated[
        bool, typer.Option("--since-last", help="Only what came after the last time nothing was found.")
    ] = False,
    keys: Annotated[
        Path | None, typer.Option(help="The folder of the trusted keys and checkpoints. Default: CAREPLAN_AUDIT.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Recompute the audit trail and every row that it covers, and name what differs. Makes nothing; exit code 1 for a finding."""
    from careplan.cli import console
    from careplan.clinic import verify_audit

    result = verify_audit(database_url(ctx), expect=expect, since_last=since_last, folder=keys)
    if as_json:
        print_json(result)
    elif result.problem is None:
        console.print_verified(stdout(), result)
    for finding in result.findings:
        warn(str(finding))
    if result.problem is not None:
        raise typer.Exit(USER_ERROR)


@db_app.command("upgrade")
def db_upgrade(ctx: typer.Context) -> None:
    """Create the database, or bring it to this version's schema."""
    from careplan.store import Database, upgrade
    from careplan.store.database import make_engine

    database = Database(make_engine(database_url(ctx)))
    before, after = upgrade(database)
    stdout().print(f"{database.url}: {'already at' if before == after else 'now at'} revision {after}.", soft_wrap=True)
    database.close()


def expected_errors() -> tuple[type[Exception], ...]:
    """Errors that tell a person what to do about their input, if the modules that raise them were ever loaded."""
    places = (
        ("careplan.records.events", "RecordError"),
        ("careplan.errors", "AskError"),
        ("careplan.store.database", "StoreError"),
    )
    return tuple(getattr(sys.modules[module], name) for module, name in places if module in sys.modules)


def _kept(patients: list[str]) -> str:
    return (
        f"Kept whole: {', '.join(patients)}; nothing of any other patient."
        if patients
        else "Nothing was kept; the store is unchanged."
    )
