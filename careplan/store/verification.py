"""Recomputes everything that the audit trail covers, and names what differs."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, func, select

from .audit import DIFFERED, GENESIS, SEALED, digest
from .guards import APPEND_ONLY, broken_guards
from .keys import Checkpoint, checkpoints, exposed, retired, signed_by, trusted
from .schema import BATCHED, AuditEntry, Base, table_of
from .seals import TRAIL, batch_digests, batched, covered, differing, plain, read_rows, seal
from .shape import damage, lost_keys, missing, readable

Key = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that differs from what is on record. fields: those that differ, where it can be told. entry: of the trail."""

    table: str
    problem: str
    key: Key = ()
    patient: str | None = None
    fields: tuple[str, ...] = ()
    entry: int | None = None

    def __str__(self) -> str:
        key = " ".join(str(part) for part in self.key)
        of = f" of patient {self.patient}" if self.patient is not None and self.table != "patient" else ""
        which = f" in {', '.join(self.fields)}" if self.fields else ""
        return f"{self.table}{f' {key}' if key else ''}{of}: {self.problem}{which}"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What verifying found. entries: walked, the newest of them being number `last` with the hash `head`. rows: compared with the
    trail. batches: whose events were. checkpoints: found in it. problem: the first finding in words, None where there is none.
    """

    entries: int
    last: int
    head: str
    rows: int = 0
    batches: int = 0
    checkpoints: int = 0
    findings: tuple[Finding, ...] = ()
    problem: str | None = None


class Since(NamedTuple):
    """Up to where a database was verified before: the number and the hash of the newest entry, and by table how many rows there
    were."""

    entry: int
    head: str
    rows: Mapping[str, int] = MappingProxyType({})


@dataclass
class Walk:
    """What the entries say, as far as they were walked. seals: the newest of each live row, with the entry that made it. ops: by
    table and what was done, how many rows."""

    number: int = 0
    head: str = GENESIS
    first: str = ""
    time: str = ""
    count: int = 0
    signed: bool = False
    heads: dict[int, str] = field(default_factory=dict)
    seals: dict[tuple[str, Key], tuple[Mapping[str, Any], int]] = field(default_factory=dict)
    gone: set[tuple[str, Key]] = field(default_factory=set)
    ops: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def find(self, problem: str, **told: Any) -> None:
        self.findings.append(Finding(problem=problem, **{"table": TRAIL, **told}))


def verify(
    connection: Connection,
    folder: Path | None = None,
    *,
    place: str = "",
    expect: str | None = None,
    since: Since | None = None,
) -> Verification:
    """Recomputes the trail and every row that it covers, in a scan of each table.

    folder: of the trusted keys and the checkpoints; entries and heads are then held to their signatures. place: the database's
    address, as checkpoints name it. expect: a head noted elsewhere, which must still be in the trail. since: a number and the
    hash of an entry that was verified before: only later entries and the rows that they cover are recomputed.
    """
    lacking = [Finding(table=table, problem=problem, fields=fields) for table, problem, fields in missing(connection)]
    if any(finding.table == TRAIL for finding in lacking):
        return _told(Walk(findings=lacking), 0, 0, 0)
    walk = readable(connection, lambda: _walk(connection, folder, since), lambda: None)
    if isinstance(walk, str):
        return _told(Walk(findings=[Finding(table=TRAIL, problem=walk)]), 0, 0, 0)
    walk.findings += lacking
    if folder is not None and (problem := exposed(folder)):
        walk.find(problem)
    signed = 0 if folder is None else _hold_to_checkpoints(walk, connection, folder, place, since)
    if expect is not None and expect != GENESIS and expect not in walk.heads.values():
        walk.find(f"the noted head {expect} is not in the trail: entries were cut off or rewritten")
    broken = {finding.table for finding in lacking}
    whole = [table for table in Base.metadata.sorted_tables if table.name not in broken]
    apart = batched(Base.metadata)
    rows = sum(_scan(connection, table, walk, _compare, since) for table in covered(Base.metadata) if table in whole)
    batches = sum(_scan(connection, table, walk, _compare_batches, since) for table in apart if table in whole)
    for table, problem in broken_guards(connection):
        walk.find(problem, table=table)
    if not lacking:
        for table, problem, fields in lost_keys(connection):
            walk.find(problem, table=table, fields=fields)
    if since is not None:
        _count(connection, [table for table in [*covered(Base.metadata), *apart] if table in whole], walk, since)
    else:
        for problem in damage(connection):
            walk.find(problem, table="database")
    return _told(walk, rows, batches, signed)


Compare = Callable[[Connection, Table, Walk, bool], int]


def _scan(connection: Connection, table: Table, walk: Walk, compare: Compare, since: Since | None) -> int:
    """How many of a table's rows or batches were compared; a table that cannot be read is a finding of its own."""
    before = len(walk.findings)

    def undo() -> None:
        del walk.findings[before:]

    found = readable(connection, lambda: compare(connection, table, walk, since is None), undo)
    if isinstance(found, str):
        walk.find(found, table=table.name)
        return 0
    return found


def _told(walk: Walk, rows: int, batches: int, signed: int) -> Verification:
    return Verification(
        entries=walk.count,
        last=walk.number,
        head=walk.head,
        rows=rows,
        batches=batches,
        checkpoints=signed,
        findings=tuple(walk.findings),
        problem=str(walk.findings[0]) if walk.findings else None,
    )


def _walk(connection: Connection, folder: Path | None, since: Since | None) -> Walk:
    """The trail, entry by entry: numbers, hashes, signatures, times and what each covers."""
    table, walk = table_of(AuditEntry), Walk()
    keys, replaced = ({}, {}) if folder is None else (trusted(folder), retired(folder))
    if since is not None:
        number = walk.number = since.entry
        walk.head = walk.heads[number] = since.head
        before = next(read_rows(connection, table, [(number,)]), None)
        if before is None or before["hash"] != since.head:
            walk.find(f"entry {number} is not what was verified before: entries were cut off or rewritten", entry=number)
        walk.signed = before is not None and before["signature"] is not None
    for row in _entries(connection, walk.number):
        entry = _entry(row)
        if entry is None or entry.id != walk.number + 1:
            number = walk.number + 1
            walk.find(f"entry {number} is missing: entry {row['id']} follows {walk.number}", entry=number)
            if entry is None:
                continue
        elif entry.previous != walk.head:
            walk.find(f"entry {entry.id} does not follow entry {walk.number}: its previous hash differs", entry=entry.id)
        if not _intact(entry):
            walk.find(f"entry {entry.id} was changed: its hash does not match", entry=entry.id)
        elif (signed := signed_by(keys, entry.key, entry.hash, entry.signature)) is False and keys:
            walk.find(f"entry {entry.id} is not signed by a trusted key: it was forged or rewritten", entry=entry.id)
        elif signed is None and (walk.signed or entry.identity is not None or entry.rows is not None) and keys:
            walk.find(f"entry {entry.id} is not signed: it was forged", entry=entry.id)
        time = str(plain(table.c.time, row["time"]))
        if time > replaced.get(entry.key or "", "~"):
            walk.find(f"entry {entry.id} is signed by a key that was replaced at {replaced[entry.key or '']}", entry=entry.id)
        if time < walk.time:
            walk.find(f"entry {entry.id} is of {time}, earlier than the one before, of {walk.time}", entry=entry.id)
        walk.signed = walk.signed or entry.signature is not None
        walk.number, walk.head, walk.time = entry.id, entry.hash, time
        walk.heads[entry.id] = entry.hash
        walk.count += 1
        _covers(walk, entry, known=since is None)
    return walk


def _entries(connection: Connection, after: int) -> Iterator[dict[str, Any]]:
    """The entries after a number, in order, a part at a time."""
    names = [column.name for column in table_of(AuditEntry).columns]
    chosen = ", ".join(connection.dialect.identifier_preparer.quote(name) for name in names)
    statement = f"SELECT {chosen} FROM {TRAIL} WHERE id > {int(after)} ORDER BY id"
    result = connection.exec_driver_sql(statement, execution_options={"stream_results": True})
    for part in result.partitions(1000):
        yield from (dict(zip(names, row, strict=True)) for row in part)


def _entry(row: Mapping[str, Any]) -> AuditEntry | None:
    """The entry that a row holds; None where its number is none. What does not fit stays as it is, and fails its hash."""
    if not isinstance(row["id"], int):
        return None
    values = {column.name: plain(column, row[column.name]) for column in table_of(AuditEntry).columns}
    with suppress(ValueError, TypeError):
        values["time"] = datetime.fromisoformat(values["time"])
    return AuditEntry(**values)


def _intact(entry: AuditEntry) -> bool:
    try:
        return digest(entry) == entry.hash
    except (TypeError, ValueError, AttributeError, RecursionError):
        return False


def _covers(walk: Walk, entry: AuditEntry, *, known: bool) -> None:
    """Takes note of the rows an entry made, changed, removed or found. known: whether every entry before was walked too."""
    differed = entry.detail.get(DIFFERED, []) if entry.action == SEALED and isinstance(entry.detail, dict) else []
    for each in filter(_names_a_row, differed if isinstance(differed, list) else []):
        problem = f"was changed or forged before a migration sealed it in entry {entry.id}"
        walk.find(problem, table=each["table"], key=tuple(each["key"]), fields=tuple(each.get("fields", ())), entry=entry.id)
    for each in filter(_names_a_row, entry.rows if isinstance(entry.rows, list) else []):
        name, op = (each["table"], tuple(each["key"])), each.get("op")
        walk.ops[each["table"], str(op)] += 1
        told = {"table": name[0], "key": name[1], "patient": entry.patient, "entry": entry.id}
        if op == "made" and name in walk.seals:
            walk.find(f"entry {entry.id} made this row anew: the first was deleted past the trail", **told)
        elif op in ("changed", "removed") and known and name not in walk.seals:
            walk.find(f"entry {entry.id} {op} this row, which no entry made", **told)
        elif op in ("changed", "removed") and name[0] in APPEND_ONLY:
            walk.find(f"entry {entry.id} {op} this row, which is never done", **told)
        if op == "removed":
            walk.seals.pop(name, None)
            walk.gone.add(name)
        else:
            walk.seals[name] = ({**each, "patient": entry.patient}, entry.id)
            walk.gone.discard(name)


def _names_a_row(each: Any) -> bool:
    """Whether what an entry says of a row can be read: in one that was edited it may be anything, and its hash tells of that."""
    if not isinstance(each, dict) or not isinstance(each.get("table"), str) or not isinstance(each.get("key"), list):
        return False
    return not any(isinstance(part, dict | list) for part in each["key"]) and isinstance(each.get("fields", {}), dict | list)


def _compare(connection: Connection, table: Table, walk: Walk, whole: bool) -> int:
    """Each row of a table with its seal, each seal with its row; returns how many rows."""
    seals = {key: found for (name, key), found in walk.seals.items() if name == table.name}
    key_names, count, seen = [column.name for column in table.primary_key.columns], 0, set()
    gone = [key for name, key in walk.gone if name == table.name]
    for row in read_rows(connection, table, None if whole else [*seals, *gone]):
        key = tuple(row[name] for name in key_names)
        count += 1
        told = {"table": table.name, "key": key, "patient": _patient(row)}
        if key in seen:
            walk.find("is there more than once", **told)
        seen.add(key)
        if key not in seals:
            walk.find("no entry of the audit trail made this row: it was forged", **told)
            continue
        known, entry = seals[key]
        now = seal(table, row, "made")
        if now["digest"] != known.get("digest"):
            walk.find(f"differs from entry {entry}", **told, fields=tuple(differing(known, now)), entry=entry)
    for key in seals.keys() - seen:
        known, entry = seals[key]
        walk.find(
            f"the row that entry {entry} put on record is not there",
            table=table.name,
            key=key,
            patient=known["patient"],
            entry=entry,
        )
    return count


def _compare_batches(connection: Connection, table: Table, walk: Walk, whole: bool) -> int:
    """The rows of each batch with the digest that the batch's own row holds; returns how many batches were compared."""
    of, part = table.info[BATCHED]
    holder = next(iter(table.c[of].foreign_keys)).column.table
    chosen = None if whole else [key[0] for name, key in walk.seals if name == holder.name]
    held = {row["id"]: row for row in read_rows(connection, holder, None if chosen is None else [(key,) for key in chosen])}
    found = batch_digests(connection, table, chosen)
    for number in sorted({*held, *found}, key=str):
        row, now = held.get(number), found.get(number, {})
        if row is None:
            walk.find(f"rows of {of} {number}, which is not there", table=table.name, key=(number,))
            continue
        known = plain(holder.c.digest, row["digest"])
        known = known if isinstance(known, dict) else {}
        if parts := sorted(name for name in {*known, *now} if known.get(name) != now.get(name)):
            told = {"table": table.name, "key": (number,), "patient": _patient(row), "fields": tuple(parts)}
            walk.find(f"rows of this {of} were changed, added or deleted: they differ from its digest by {part}", **told)
    return len(held)


def _count(connection: Connection, tables: Sequence[Table], walk: Walk, since: Since) -> None:
    """That there are as many rows as before, and those that entries since have made: one that was added or deleted past them."""
    for table in tables:
        told, holder = table.name, None
        if BATCHED in table.info:
            of, _ = table.info[BATCHED]
            told = holder = next(iter(table.c[of].foreign_keys)).column.table.name
        if table.name not in since.rows or walk.ops[told, "sealed"] or (holder and walk.ops[holder, "changed"]):
            continue  # sealed anew by a migration, or with batches that were taken back: only verifying all of it can tell
        grown = walk.ops[told, "made"] - walk.ops[told, "removed"]
        if holder is not None:
            made = [int(key[0]) for name, key in walk.seals if name == holder]
            within = select(func.count()).select_from(table).where(table.c[of].in_(made))
            grown = connection.scalar(within) or 0
        more = count(connection, table) - since.rows[table.name] - grown
        if more:
            which = f"{abs(more)} rows {'more' if more > 0 else 'fewer'}"
            walk.find(f"has {which} than the entries since {since.entry} tell of: verify all of it", table=table.name)


def count(connection: Connection, table: Table) -> int:
    """How many rows a table has."""
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _patient(row: Mapping[str, Any]) -> str | None:
    found = row.get("patient")
    return None if found is None else str(found)


def _hold_to_checkpoints(walk: Walk, connection: Connection, folder: Path, place: str, since: Since | None) -> int:
    """Every signed head of this database is in its trail; returns how many were compared."""
    first = next(read_rows(connection, table_of(AuditEntry), [(1,)]), {}).get("hash", "")
    lines: list[Checkpoint] = []
    for _, line in checkpoints(folder):
        if isinstance(line, str):
            walk.find(line)
        elif line.entries and (line.database == first or line.place == place):
            lines.append(line)
    here = [line for line in lines if line.place == place]
    ours = [line for line in here or lines if line.database == first]  # a database that was moved is held to what is known of it
    accepted = max((index for index, line in enumerate(ours) if line.what == "accepted"), default=0)
    ours = ours[accepted:]  # accepted as it was then, whatever had been signed before
    if here and here[-1].database != first:
        walk.find(f"this is another database than the one signed here at {here[-1].time}, or its whole trail was rewritten")
    elif not ours:
        walk.find(f"no checkpoint of this database is in {folder}: nothing outside the database vouches for it")
    compared = 0
    for line in ours:
        if since is not None and line.entries < since.entry:
            continue
        compared += 1
        if (head := walk.heads.get(line.entries)) != line.head:
            told = "cut off" if head is None and line.entries > walk.number else "rewritten"
            walk.find(f"entries were {told}: number {line.entries} is not what was signed at {line.time}", entry=line.entries)
    return compared
