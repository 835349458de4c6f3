"""Seals what is in a database as it is: for migrations, where tables get columns or are covered for the first time."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, MetaData, update
from sqlalchemy.orm import Session

from .actors import local_account
from .audit import NOTARY, SEALED, put_on_record
from .notary import Notary
from .schema import BATCHED
from .seals import batch_digests, read_rows, seal

ROWS_AN_ENTRY = 1000


def seal_everything(
    connection: Connection,
    notary: Notary | None,
    *,
    tables: Sequence[str],
    batches: Mapping[str, tuple[str, str, str]] | None = None,
    **detail: Any,
) -> None:
    """Puts every row of `tables` on record as it is, in entries that say so: what was changed before cannot be told.

    batches: by table whose rows are covered by a digest a batch: the table of the batches, the column that names the batch, and
    the column by which the digest is parted; the batches' `digest` is computed first. Reads the tables as the database has them,
    so that a migration sees its own revision and not the newest. At least one entry is made: the first of a new database.
    """
    found = MetaData()
    found.reflect(connection, only=[*tables, *(batches or {})], resolve_fks=False)
    for name, (holder, of, part) in (batches or {}).items():
        table, batch = found.tables[name], found.tables[holder]
        table.info[BATCHED] = (of, part)
        for number, digest in batch_digests(connection, table).items():
            connection.execute(update(batch).where(batch.c.id == number).values(digest=digest))
    session = Session(bind=connection, autoflush=False)
    session.info[NOTARY] = notary
    seals = (seal(found.tables[name], row, "sealed") for name in tables for row in read_rows(connection, found.tables[name]))
    first = True
    while (some := list(islice(seals, ROWS_AN_ENTRY))) or first:
        note = "what was there when this was written; whether it was changed before cannot be told"
        put_on_record(session, local_account(), SEALED, some, note=note, **detail)
        first = False
