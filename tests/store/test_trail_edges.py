"""How an entry is made, field by field: what its hash covers, how entries follow, and what a row is known by."""

import hashlib
import json
import time as clock
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, select, update

from careplan.settings import Settings
from careplan.store import Database, Finding, StoreError, append, audit, number, open_database, verify
from careplan.store.audit import BEHIND, GENESIS, digest
from careplan.store.keys import open_signer
from careplan.store.schema import BATCHED, AuditEntry, Base, Draft, Event, Patient, RegimenVersion, WorklistEntry, table_of
from careplan.store.seals import batch_digests, batched, covered, differing, digests, plain, seal, unstorable

from ..kept import actor, drop_triggers, patient, verified

NOW = datetime(2024, 3, 1, 12, 30, 0, 5, tzinfo=UTC)
AUDIT = table_of(AuditEntry)
ENTRY: dict[str, Any] = {
    "id": 7,
    "time": NOW,
    "actor": "Dr Adá",
    "action": "signed",
    "patient": "ann",
    "detail": {"b": 1, "a": [0.5, None]},
    "previous": "0" * 64,
    "identity": {"kind": "local"},
    "rows": [{"table": "review"}],
}
WRITTEN = (
    '{"action":"signed","actor":"Dr Adá","detail":{"a":[0.5,null],"b":1},"id":7,"identity":{"kind":"local"},"patient":"ann",'
    f'"previous":"{"0" * 64}","rows":[{{"table":"review"}}],"time":"2024-03-01T12:30:00.000005+00:00"}}'
)


def test_the_hash_of_an_entry_is_of_its_canonical_json() -> None:
    assert digest(AuditEntry(**ENTRY)) == hashlib.sha256(WRITTEN.encode()).hexdigest()
    assert GENESIS == 64 * "0"
    local = NOW.astimezone(datetime.strptime("+0500", "%z").tzinfo)
    assert digest(AuditEntry(**ENTRY | {"time": local})) == digest(AuditEntry(**ENTRY)), "the same moment on another clock"
    plainer = {"action": "did", "actor": "dr", "detail": {}, "id": 1, "patient": None, "previous": GENESIS}
    text = json.dumps(plainer | {"time": NOW.isoformat(timespec="microseconds")}, sort_keys=True, separators=(",", ":"))
    assert digest(AuditEntry(**plainer, time=NOW, identity=None, rows=None)) == hashlib.sha256(text.encode()).hexdigest()
    with pytest.raises(ValueError, match="JSON"):
        digest(AuditEntry(**ENTRY | {"detail": {"a": float("nan")}}))


@pytest.mark.parametrize("field", sorted(ENTRY))
def test_whatever_is_changed_of_an_entry_changes_its_hash(field: str) -> None:
    others: dict[str, Any] = {"id": 8, "time": NOW + timedelta(microseconds=1), "detail": {}, "identity": None, "rows": None}
    assert digest(AuditEntry(**ENTRY | {field: others.get(field, "other")})) != digest(AuditEntry(**ENTRY))


# How entries follow each other.


def fill(db: Database, count: int = 4) -> list[dict[str, Any]]:
    """Entries 2 to 5: the first is the migration's."""
    for index in range(count):
        with db.write() as session:
            append(session, actor(), "did", patient="p", number=index)
    with db.engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(AUDIT).order_by(AUDIT.c.id)).mappings()]


def test_each_entry_has_the_next_number_the_hash_before_and_a_signature(db: Database) -> None:
    entries = fill(db)
    assert [entry["id"] for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry["previous"] for entry in entries] == [GENESIS, *(entry["hash"] for entry in entries[:-1])]
    signer = open_signer(Settings().audit_folder())
    assert all(entry["key"] == signer.fingerprint and entry["signature"] == signer.sign(entry["hash"]) for entry in entries)
    assert [entry["detail"] for entry in entries[1:]] == [{"number": index} for index in range(4)]
    assert entries[1]["rows"] is None and [entry["time"] for entry in entries] == sorted(entry["time"] for entry in entries)


def rewritten(db: Database, entry: dict[str, Any], *, sign: bool = True, **changes: Any) -> list[str]:
    """What is found where an entry is another, with a valid hash and, by somebody who has the key, a valid signature."""
    new = entry | changes
    new["hash"] = digest(AuditEntry(**{name: new[name] for name in ENTRY}))
    if sign:
        new["signature"] = open_signer(Settings().audit_folder()).sign(new["hash"])
    with db.engine.connect() as connection:
        drop_triggers(connection)
        connection.execute(update(AUDIT).where(AUDIT.c.id == entry["id"]).values(**new))
        told = problems(db, connection)
        connection.rollback()
    return told


def problems(db: Database, connection: Connection) -> list[str]:
    findings: tuple[Finding, ...] = verify(connection, Settings().audit_folder(), place=db.place).findings
    return [finding.problem for finding in findings if "its trigger" not in finding.problem]


def test_an_entry_that_does_not_follow_the_one_before_is_found(db: Database) -> None:
    entries = fill(db)
    assert rewritten(db, entries[4]) == []
    assert rewritten(db, entries[4], previous="f" * 64) == ["entry 5 does not follow entry 4: its previous hash differs"]
    assert rewritten(db, entries[3], action="saw") == ["entry 5 does not follow entry 4: its previous hash differs"]


def test_an_entry_earlier_than_the_one_before_is_found_and_one_at_the_same_time_is_not(db: Database) -> None:
    entries = fill(db)
    assert rewritten(db, entries[4], time=entries[3]["time"]) == []
    [told] = rewritten(db, entries[4], time=entries[3]["time"] - timedelta(microseconds=1))
    assert "earlier than the one before" in told


def test_an_entry_that_is_not_signed_or_by_nobody_trusted_is_found(db: Database) -> None:
    entries = fill(db)
    assert rewritten(db, entries[4], sign=False, signature=None, key=None) == ["entry 5 is not signed: it was forged"]
    [told] = rewritten(db, entries[4], sign=False, action="saw")
    assert "not signed by a trusted key" in told
    [told] = rewritten(db, entries[4], key="somebody's")
    assert "not signed by a trusted key" in told


@pytest.mark.parametrize(
    ("back", "told"), [(timedelta(seconds=30), False), (BEHIND, False), (BEHIND + timedelta(seconds=1), True)]
)
def test_a_clock_that_is_behind_by_more_than_a_minute_is_told_of(
    db: Database, monkeypatch: pytest.MonkeyPatch, back: timedelta, told: bool
) -> None:
    last = fill(db, 1)[-1]["time"]

    class Back(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return last - back

    monkeypatch.setattr(audit, "datetime", Back)
    newest = fill(db, 1)[-1]
    assert newest["time"] == last and ("clock" in newest["detail"]) is told
    if told:
        assert newest["detail"]["clock"] == (last - back).isoformat(timespec="seconds")
    assert timedelta(minutes=1) == BEHIND


def test_a_clock_that_goes_forward_is_not_told_of(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    last = fill(db, 1)[-1]["time"]

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return last + timedelta(hours=1)

    monkeypatch.setattr(audit, "datetime", Later)
    newest = fill(db, 1)[-1]
    assert newest["time"] == last + timedelta(hours=1) and set(newest["detail"]) == {"number"}


# Which rows an entry covers.


def test_a_new_row_gets_the_next_number_of_its_table(db: Database) -> None:
    def regimen() -> RegimenVersion:
        return RegimenVersion(patient="p", therapy="t", valid_from=NOW, created=NOW, source="stated", body={})

    with db.write() as session:
        append(session, actor(), "added", rows=[patient()])
        first, second = number(session, regimen()), number(session, regimen())
        assert (first.id, second.id) == (1, 2), "before either is written"
        append(session, actor(), "regimens", rows=[first, second])
    with db.write() as session:
        third = number(session, regimen())
        assert third.id == 3 and number(session, third).id == 3, "one that has a number keeps it"
        assert number(session, patient("q")).id == "q"
        append(session, actor(), "regimen", rows=[third])
    assert verified(db).problem is None


def test_an_entry_says_what_was_made_changed_and_removed(db: Database) -> None:
    with db.write() as session:
        append(session, actor(), "added", rows=[patient()])
    with db.write() as session:
        person = session.get(Patient, "p")
        assert person is not None
        person.zone = "Europe/London"
        append(session, actor(), "moved", rows=[person])
    draft = {"suggestion": 1, "reviewer": "dr", "updated": NOW, "decisions": []}
    assert [row["op"] for entry in fill(db, 0) for row in entry["rows"] or []][-2:] == ["made", "changed"]
    row = fill(db, 0)[-1]["rows"][0]
    assert (row["table"], row["key"]) == ("patient", ["p"])
    assert seal(table_of(Draft), draft, "removed") == {"table": "draft", "key": [1, "dr"], "op": "removed"}


def test_the_key_signs_a_checkpoint_where_any_entry_of_a_transaction_asks_for_one(db: Database) -> None:
    before = verified(db).checkpoints
    with db.write() as session:
        append(session, actor(), "did", checkpoint=True)
        append(session, actor(), "did")
    assert verified(db).checkpoints == before + 1
    with db.write() as session:
        append(session, actor(), "did")
    assert verified(db).checkpoints == before + 1


def test_what_is_put_on_record_of_a_patient_makes_their_row_of_the_worklist_stale_and_nobody_elses(db: Database) -> None:
    shown = {"therapy": "t", "group": "", "urgency": 0.0, "headline": "", "status": "", "days": 0.0, "unmet": "", "due": False}
    with db.write() as session:
        append(session, actor(), "did", patient="p", rows=[patient("p")])
        append(session, actor(), "did", patient="q", rows=[patient("q")])
        rows = [{**shown, "patient": name, "stale": False} for name in "pq"]
        session.connection().execute(table_of(WorklistEntry).insert(), rows)

    def stale_after(told: str | None, *changed: str) -> list[str]:
        with db.write() as session:
            people = [session.get_one(Patient, name) for name in changed]
            for person in people:
                person.source = f"{person.source} again"
            append(session, actor(), "did", patient=told, rows=people)
        with db.read() as session:
            return list(session.scalars(select(WorklistEntry.patient).where(WorklistEntry.stale)))

    assert stale_after("p") == [], "a look at a patient changes nothing of theirs"
    assert stale_after(None, "q") == []
    assert stale_after("p", "p") == ["p"]


def test_nothing_that_asks_for_a_checkpoint_is_written_on_a_trail_that_was_cut(db: Database) -> None:
    fill(db)
    db.note()
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_delete")
        connection.execute(AUDIT.delete().where(AUDIT.c.id == 5))
    with pytest.raises(StoreError, match="audit verify"), db.write() as session:
        append(session, actor(), "signed", checkpoint=True)
    with db.read() as session:
        assert "signed" not in session.scalars(select(AuditEntry.action)).all()


# What a row is known by.


def test_a_row_is_known_by_the_digest_of_all_its_fields() -> None:
    table = table_of(Patient)
    values = {column.name: {"id": "ann", "zone": "UTC", "created": NOW}.get(column.name, "t") for column in table.columns}
    found = seal(table, values, "made")
    shown = {**values, "created": "2024-03-01T12:30:00.000005+00:00"}
    body = json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert found["digest"] == hashlib.sha256(f"patient{body}".encode()).hexdigest()
    assert found["fields"]["id"] == hashlib.sha256(b'"ann"').hexdigest()[:8] and set(found["fields"]) == set(values)
    assert (found["table"], found["key"], found["op"]) == ("patient", ["ann"], "made")
    other = seal(table, values | {"zone": "Europe/Paris", "source": "u"}, "made")
    assert differing(found, other) == ["source", "zone"] and differing(found, found) == []
    assert differing(found, seal(table, values, "removed")) == sorted(values)


@pytest.mark.skipif(not hasattr(clock, "tzset"), reason="the process's clock cannot be moved")
def test_a_time_without_a_zone_is_utc_wherever_the_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    clock.tzset()
    try:
        assert plain(table_of(Patient).c.created, NOW.replace(tzinfo=None)) == "2024-03-01T12:30:00.000005+00:00"
    finally:
        monkeypatch.undo()
        clock.tzset()


def test_a_value_is_the_same_from_an_object_and_from_either_database() -> None:
    time, weight = table_of(Patient).c.created, table_of(Event).c.value
    body = table_of(RegimenVersion).c.body
    for value in (NOW, NOW.replace(tzinfo=None), "2024-03-01 12:30:00.000005", "2024-03-01T14:30:00.000005+02:00"):
        assert plain(time, value) == "2024-03-01T12:30:00.000005+00:00"
    assert plain(weight, 72) == 72.0 and isinstance(plain(weight, 72), float) and plain(weight, None) is None
    assert plain(body, '{"a": [1]}') == plain(body, {"a": (1,)}) == {"a": [1]}
    for column, wrong in ((time, "noon"), (weight, "heavy"), (body, "no JSON"), (time, 5)):
        assert plain(column, wrong) == wrong, "kept as it is: it will differ"
    assert unstorable({"a": 1.0, "b": float("inf"), "c": "inf"}) == "b" and unstorable({"a": 1.0, "b": float("nan")}) == "b"
    assert unstorable({"a": 1.0, "b": None}) is None
    assert unstorable({"a": [1.0, {"deep": (2.0, float("nan"))}]}) == "a" and unstorable({"a": [1.0, "inf"]}) is None
    assert plain(weight, "70.5") == "70.5" and plain(weight, 70) == 70.0, "text in a column of numbers is text"


def test_rows_of_a_batch_are_known_by_their_order_within_each_part() -> None:
    [table] = batched(Base.metadata)
    of, part = table.info[BATCHED]
    names = [column.name for column in table.columns]

    def row(batch: int, name: str, value: float) -> tuple[Any, ...]:
        return tuple({of: batch, part: name}.get(column, value if column == "value" else 0) for column in names)

    rows = [row(1, "bolus", 1.0), row(1, "bolus", 2.0), row(1, "glucose", 100.0), row(2, "bolus", 3.0)]
    found = digests(table, [rows])
    assert {batch: sorted(parts) for batch, parts in found.items()} == {1: ["bolus", "glucose"], 2: ["bolus"]}
    written = json.dumps(list(rows[0]), separators=(",", ":")) + "," + json.dumps(list(rows[1]), separators=(",", ":")) + ","
    assert found[1]["bolus"] == hashlib.sha256(written.encode()).hexdigest()
    assert digests(table, [[rows[3], rows[0]], [rows[2], rows[1]]]) == found, "interleaved, and in two parts"
    assert digests(table, [[rows[1], rows[0], rows[2], rows[3]]]) != found


def test_only_the_batches_that_are_asked_for_are_told() -> None:
    engine, table = create_engine("sqlite://"), table_of(Event)
    values: dict[str, Any] = {
        "patient": "p",
        "channel": "bolus",
        "value": 1.0,
        "duration": 0.0,
        "repeat": 0,
        "flag": "",
        "origin": "",
    }
    with engine.connect() as connection:
        table.create(connection)
        connection.execute(table.insert(), [values | {"time": batch, "batch": batch} for batch in (1, 2, 3)])
        every, some = batch_digests(connection, table), batch_digests(connection, table, [1, 3])
        assert sorted(every) == [1, 2, 3] and some == {batch: every[batch] for batch in (1, 3)}


def test_the_order_of_keys_within_a_column_is_no_content() -> None:
    table = table_of(RegimenVersion)
    values = {column.name: NOW if column.name in ("valid_from", "created") else 1 for column in table.columns}
    one, other = (seal(table, values | {"body": body}, "made") for body in ({"a": {"b": 1, "c": 2}}, '{"a": {"c": 2, "b": 1}}'))
    assert one == other


def test_every_table_is_covered_but_the_trail_batches_and_what_is_derived() -> None:
    names = [table.name for table in covered(Base.metadata)]
    assert set(names) == set(Base.metadata.tables) - {"audit", "event", "job", "worklist"}
    for name in names:
        before = {key.column.table.name for key in Base.metadata.tables[name].foreign_keys} - {name}
        assert before <= set(names[: names.index(name)]), f"{name} comes after what it refers to"


def test_a_database_in_memory_has_its_trail_too() -> None:
    db = open_database("sqlite://")
    with db.write() as session:
        append(session, actor(), "did")
    assert verified(db).problem is None
    db.close()
