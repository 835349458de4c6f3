"""Commands of the audit trail."""

from pathlib import Path
from typing import Annotated

import typer

from careplan.cli.shell import Json, database_url, print_json, stdout, store, warn

app = typer.Typer(no_args_is_help=True, help="The audit trail.")
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


@app.command("verify")
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
        raise typer.Exit(1)


@app.command("new-key")
def audit_new_key(
    ctx: typer.Context,
    lost: Annotated[str | None, typer.Option(help="The old key is gone: why, for the record.")] = None,
) -> None:
    """Sign with another key from now on. What the old one signed stays valid, what it signs from now on does not."""
    from careplan.clinic import replace_key

    replaced = replace_key(database_url(ctx), lost=lost)
    stdout().print(f"Key {replaced.new} signs from now on, in place of {replaced.old or 'one that is lost'}.", soft_wrap=True)
    stdout().print("Restart what runs with the old key, the app among it.")
    if replaced.shut:
        stdout().print(f"The tokens of {replaced.shut} sources do not open with it: give them again.")


@app.command("accept")
def audit_accept(ctx: typer.Context, reason: Reason) -> None:
    """Vouch for the trail as it is, though it lacks what was signed before: after an older copy was put in its place."""
    from careplan.clinic import accept_trail

    with store(ctx) as database:
        accept_trail(database, reason)
    stdout().print("The trail is accepted as it is, and that is on record.")
