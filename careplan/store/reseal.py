"""Seals what is in a database as it is: for migrations, where tables get columns or are covered for the first time."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, MetaData, select, update
from sqlalchemy.orm import Session

from .actors import local_account
from .audit import DIFFERED, NOTARY, SEALED, put_on_record
from .notary import Notary
from .schema import BATCHED
from .seals import batch_digests, canonical, read_rows, seal

ROWS_AN_ENTRY = 1000


def seal_everything(
    connection: Connection,
    notary: Notary | None,
    *,
    tables: Sequence[str],
    batches: Mapping[str, tuple[str, str, str]] | None = None,
    rewritten: Sequence[str] = (),
    **detail: Any,
) -> None:
    """Puts every row of `tables` on record as it is, in entries that say so: what was changed before cannot be told.

    batches: by table whose rows are covered by a digest a batch: the table of the batches, the column that names the batch, and
    the column by which the digest is parted; the batches' `digest` is computed first. rewritten: columns that the migration
    itself has changed. A row that differs in any other from what was on record is named in the entry, so that no migration makes
    a forged row good. Reads the tables as the database has them, so that a migration sees its own revision and not the newest.
    At least one entry is made: the first of a new database.
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
    known, first = _known(connection), True
    seals = (seal(found.tables[name], row, "sealed") for name in tables for row in read_rows(connection, found.tables[name]))
    while (some := list(islice(seals, ROWS_AN_ENTRY))) or first:
        note = "what was there when this was written; whether it was changed before cannot be told"
        differed = [] if known is None else [other for each in some if (other := _differed(each, known, rewritten)) is not None]
        told: dict[str, Any] = {"note": note, **({DIFFERED: differed} if differed else {}), **detail}
        put_on_record(session, local_account(), SEALED, some, **told)
        first = False


def _known(connection: Connection) -> dict[tuple[str, str], Mapping[str, Any]] | None:
    """The newest seal of each row, by table and key; None where no row was covered before."""
    trail, newest = MetaData(), {}
    trail.reflect(connection, only=["audit"], resolve_fks=False)
    for (rows,) in connection.execute(select(trail.tables["audit"].c.rows).order_by(trail.tables["audit"].c.id)):
        for each in rows or []:
            newest[each["table"], canonical(each["key"])] = each
    return newest or None


def _differed(
    now: Mapping[str, Any], known: Mapping[tuple[str, str], Mapping[str, Any]], rewritten: Sequence[str]
) -> dict[str, Any] | None:
    """Which fields of a row differ from what was on record; None where none does, or its table is covered for the first time."""
    before = known.get((now["table"], canonical(now["key"])))
    if before is None:
        covered_before = any(table == now["table"] for table, _ in known)
        return {"table": now["table"], "key": now["key"], "fields": []} if covered_before else None
    fields = sorted({*before.get("fields", {})} & {*now["fields"]} - {*rewritten})
    other = [name for name in fields if before["fields"][name] != now["fields"][name]]
    return {"table": now["table"], "key": now["key"], "fields": other} if other else None
