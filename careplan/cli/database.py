"""Commands of the database."""

from pathlib import Path
from typing import Annotated

import typer

from careplan.cli.shell import database_url, stdout, store

app = typer.Typer(no_args_is_help=True, help="The database.")


@app.command("upgrade")
def db_upgrade(ctx: typer.Context) -> None:
    """Create the database, or bring it to this version's schema."""
    from careplan.store.database import revision

    with store(ctx, makes=True) as database, database.engine.connect() as connection:
        stdout().print(f"{database.url}: at revision {revision(connection)}.", soft_wrap=True)


@app.command("backup")
def db_backup(ctx: typer.Context, file: Annotated[Path, typer.Argument(help="A file that is not there yet.")]) -> None:
    """Write the whole database to a file, also while it is in use."""
    from careplan.store.backup import backup

    size = backup(database_url(ctx), file)
    stdout().print(f"{file}: {size / 1e6:,.1f} MB. Keep the audit key and its checkpoints apart from it.", soft_wrap=True)


@app.command("restore")
def db_restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `careplan db backup` wrote.")],
    reason: Annotated[
        str | None, typer.Option(help="Accept that what was signed after the backup is lost: why, for the record.")
    ] = None,
) -> None:
    """Put a backup into an empty place, verified before it is there."""
    from careplan.store.backup import restore
    from careplan.store.keys import default_signer

    found = restore(database_url(ctx), file, default_signer(), reason=reason)
    stdout().print(f"Restored and verified: {found.entries:,} entries, {found.rows:,} rows, {found.batches:,} batches of events.")


@app.command("grant")
def db_grant(ctx: typer.Context, role: Annotated[str, typer.Argument(help="A PostgreSQL role that owns nothing.")]) -> None:
    """Give an application's role the rights that careplan needs, and no others. Run as the role that owns the tables."""
    from careplan.store.grants import grant

    with store(ctx) as database:
        grant(database, role)
    stdout().print(f"{role} may read everything, and write only what the audit trail covers.")
