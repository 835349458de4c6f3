"""The `careplan` command. Each command is a thin function over `careplan.clinic`; heavy imports wait until a command runs."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from careplan.cli import ask as cli_ask
from careplan.cli import audit as cli_audit
from careplan.cli import database as cli_database
from careplan.cli import evaluate as cli_evaluate
from careplan.cli import export as cli_export
from careplan.cli import history as cli_history
from careplan.cli import records as cli_records
from careplan.cli import replay as cli_replay
from careplan.cli import targets as cli_targets
from careplan.cli import therapies as cli_therapies
from careplan.cli import world as cli_world
from careplan.cli.examples import add_examples
from careplan.cli.shell import Json, Patient, database_url, print_json, stdout, store, warn

USER_ERROR, INTERRUPTED = 1, 130
FIRST = """careplan: a personalised treatment planner. For research use; not a medical device.

Three things to do first:
  careplan demo           a virtual clinic: history, suggestions, the app
  careplan import PATH    recordings of your own; what they are is found by looking
  careplan ask QUESTION   in your own words: "Who needs a look?"

Everything else: careplan --help. Completion of commands and patients in your shell:
careplan --install-completion.
"""


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
    pretty_exceptions_show_locals=False,  # locals hold patients' data
    help="A personalised treatment planner. For research use; not a medical device.",
)
app.add_typer(cli_ask.app)
app.add_typer(cli_audit.app, name="audit")
app.add_typer(cli_database.app, name="db")
app.add_typer(cli_records.app)
app.add_typer(cli_world.app)
app.add_typer(cli_evaluate.app, name="evaluate")
app.add_typer(cli_replay.app)
app.add_typer(cli_targets.app)
app.add_typer(cli_history.app)
app.add_typer(cli_therapies.app)
app.add_typer(cli_export.app, name="export")


@app.callback(invoke_without_command=True)
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
    if ctx.invoked_subcommand is None:
        typer.echo(FIRST, nl=False)


@app.command()
def patients(ctx: typer.Context, as_json: Json = False) -> None:
    """Who is in the store: days recorded, and what the readings of each say."""
    from careplan import clinic
    from careplan.cli import console

    with store(ctx) as database:
        found = clinic.patients(database)
    if as_json:
        print_json(found)
    else:
        console.print_patients(stdout(), found)


@app.command()
def show(ctx: typer.Context, patient: Patient, as_json: Json = False) -> None:
    """What is stored of one patient: days, what the readings say, regimen, and what signed changes did."""
    from careplan import clinic
    from careplan.cli import console

    with store(ctx) as database:
        found = clinic.show(database, patient)
        regimen = clinic.prescribed(database, patient)
        lived = clinic.lived_changes(database, patient)
        targets = clinic.targets_in_force(database, patient).targets
    if as_json:
        print_json({**vars(found), "experiments": lived, "targets": targets})
        return
    console.print_summary(stdout(), found, regimen, targets)
    if lived:
        stdout().print(console.experiments_table(lived))


@app.command("app")
def app_command(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(help="The local port.")] = 8501,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    sign_in: Annotated[
        Path | None, typer.Option(envvar="CAREPLAN_SIGN_IN", help="The settings of the clinic's identity provider, a TOML file.")
    ] = None,
    address: Annotated[str, typer.Option(help="Where to listen; without a sign-in this computer alone.")] = "localhost",
) -> None:
    """Open the clinician's app: in local mode for one person, or for a clinic with --sign-in. Stop it with Ctrl-C."""
    from careplan.cli.serve import LOOPBACK, serve

    if sign_in is None and address not in LOOPBACK:
        raise typer.BadParameter("others can reach it there: name a sign-in, too", param_hint="--address")
    if sign_in is not None and not sign_in.is_file():
        raise typer.BadParameter(f"there is no file {sign_in}", param_hint="--sign-in")
    with store(ctx, makes=True):  # created and migrated before the app needs it
        url = database_url(ctx)
    raise typer.Exit(serve(url, port=port, browser=browser, sign_in=sign_in, address=address))


@app.command("assign")
def assign_command(
    ctx: typer.Context,
    clinic: Annotated[str, typer.Argument(help="The clinic, as the identity provider's claim names it.")],
    patients: list[str],
    reason: Annotated[str, typer.Option(help="Why; it goes on record.")],
) -> None:
    """Move patients to a clinic: from then on nobody of another clinic sees them."""
    from careplan.clinic.roles import assign

    with store(ctx) as database:
        assign(database, patients, clinic, reason=reason)
    stdout().print(f"{', '.join(patients)}: of {clinic} now.", highlight=False)


add_examples(app)


def expected_errors() -> tuple[type[Exception], ...]:
    """Errors that tell a person what to do about their input, if the modules that raise them were ever loaded."""
    places = (
        ("careplan.records.events", "RecordError"),
        ("careplan.errors", "AskError"),
        ("careplan.store.database", "StoreError"),
    )
    return tuple(getattr(sys.modules[module], name) for module, name in places if module in sys.modules)
