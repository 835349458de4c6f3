"""What a row is on record by: a digest of its whole content, and a short one of each field, which names the field that differs.

The content of a row is the canonical JSON of its columns: keys sorted, no spaces, times in UTC to the microsecond. It is the
same whether it comes from a mapped object or from the database's own bytes, on SQLite and on PostgreSQL.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import JSON, Column, Connection, DateTime, Float, MetaData, Table, TypeDecorator

from .schema import BATCHED, DERIVED

Op = Literal["made", "changed", "removed", "sealed"]
TRAIL = "audit"  # covers itself: each of its rows is chained to the one before
SHORT = 8  # hexadecimal digits of a field's digest: enough to name what differs; the row's own digest is whole
AT_ONCE = 20_000  # rows fetched at a time


def covered(metadata: MetaData) -> list[Table]:
    """The tables whose every row has its own seal, each after those that it refers to."""
    apart = {BATCHED, DERIVED}
    return [table for table in metadata.sorted_tables if table.name != TRAIL and not apart & table.info.keys()]


def batched(metadata: MetaData) -> list[Table]:
    """The tables whose rows are covered by one digest a batch."""
    return [table for table in metadata.sorted_tables if BATCHED in table.info]


def seal(table: Table, values: Mapping[str, Any], op: Op) -> dict[str, Any]:
    """What the audit trail keeps of a row: table, key, op, and unless it is removed its digest and the digests of its fields."""
    key = [values[column.name] for column in table.primary_key.columns]
    if op == "removed":
        return {"table": table.name, "key": key, "op": op}
    texts = {column.name: canonical(plain(column, values[column.name])) for column in table.columns}
    body = ",".join(f"{json.dumps(name)}:{text}" for name, text in sorted(texts.items()))
    fields = {name: _sha256(text)[:SHORT] for name, text in texts.items()}
    return {"table": table.name, "key": key, "op": op, "digest": _sha256(f"{table.name}{{{body}}}"), "fields": fields}


def differing(seal: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The fields in which two seals of one row differ."""
    ours, theirs = seal.get("fields", {}), other.get("fields", {})
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def read_rows(connection: Connection, table: Table, keys: Sequence[Sequence[Any]] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a table as the database holds them, before any type is read into them; those of `keys`, or all."""
    names = [column.name for column in table.columns]
    chosen = ", ".join(_quoted(connection, name) for name in names)
    statement = f"SELECT {chosen} FROM {_quoted(connection, table.name)}"
    if keys is None:
        for part in _fetched(connection, statement):
            yield from (dict(zip(names, row, strict=True)) for row in part)
        return
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    where = " AND ".join(f"{_quoted(connection, column.name)} = {mark}" for column in table.primary_key.columns)
    for key in keys:
        for row in connection.exec_driver_sql(f"{statement} WHERE {where}", tuple(key)):
            yield dict(zip(names, row, strict=True))


def batch_digests(connection: Connection, table: Table, batches: Sequence[int] | None = None) -> dict[Any, dict[str, str]]:
    """By batch, by part: the digest of the rows that the database holds, in one scan in the order of the key."""
    of, _ = table.info[BATCHED]
    names = [_quoted(connection, column.name) for column in table.columns]
    order = ", ".join(_quoted(connection, column.name) for column in table.primary_key.columns)
    where = "" if batches is None else f" WHERE {_quoted(connection, of)} IN ({', '.join(str(int(each)) for each in batches)})"
    statement = f"SELECT {', '.join(names)} FROM {_quoted(connection, table.name)}{where} ORDER BY {order}"
    return digests(table, _fetched(connection, statement))


def digests(table: Table, parts: Iterable[Sequence[tuple[Any, ...]]]) -> dict[Any, dict[str, str]]:
    """By batch, by part: SHA-256 over rows in the order of `table.columns`, each part of a batch sorted by key.

    Batches and their parts may come in any order and interleaved: no text is compared, so that a database's collation is of no
    account.
    """
    of, within = ([column.name for column in table.columns].index(name) for name in table.info[BATCHED])
    totals: dict[tuple[Any, str], Any] = {}
    for rows in parts:
        for (batch, name), run in groupby(rows, key=lambda row: (row[of], row[within])):
            total = totals.get((batch, name))
            if total is None:
                total = totals[batch, name] = hashlib.sha256()
            total.update(json.dumps(list(run), separators=(",", ":"), default=repr)[1:-1].encode() + b",")
    found: dict[Any, dict[str, str]] = {}
    for (batch, name), total in totals.items():
        found.setdefault(batch, {})[str(name)] = total.hexdigest()
    return found


def canonical(value: Any) -> str:
    """Canonical JSON of plain values; of what is nested deeper than careplan could have written, a text that says so."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=repr)
    except RecursionError:
        return '"nested too deep"'


def plain(column: Column[Any], value: Any) -> Any:
    """A column's value as plain JSON, whether a mapped object holds it or the database's driver gave it. What does not fit the
    column's type is kept as it is: it will differ."""
    kind = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    if value is None:
        return None
    try:
        if isinstance(kind, JSON):
            return json.loads(value if isinstance(value, str) else json.dumps(value))
        if isinstance(kind, DateTime):
            time = datetime.fromisoformat(value) if isinstance(value, str) else value
            return (time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)).isoformat(timespec="microseconds")
        if isinstance(kind, Float):
            return value if isinstance(value, str | bytes) else float(value)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return value
    return value


def unstorable(values: Mapping[str, Any]) -> str | None:
    """The column with a number that a database would not give back, also within JSON, if any."""
    return next((name for name, value in values.items() if not _finite(value)), None)


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    return all(map(_finite, value)) if isinstance(value, list | tuple) else True


def _fetched(connection: Connection, statement: str) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Rows as tuples of the driver itself, a part at a time, in the connection's transaction: a table may have millions."""
    driver: Any = connection.connection.driver_connection
    with closing(driver.cursor() if connection.dialect.name == "sqlite" else driver.cursor(name="scan")) as cursor:
        cursor.execute(statement)
        while rows := cursor.fetchmany(AT_ONCE):
            yield rows


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
