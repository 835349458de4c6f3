"""An older database is sealed as it is; batches are taken back on record; verifying goes on from where it was."""

import json
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import select, text

from careplan.clinic import verify_audit
from careplan.clinic.importing import store_records
from careplan.clinic.stored_records import load_record
from careplan.store import Database, Finding, open_database, remove_events, verify
from careplan.store.database import MIGRATIONS, make_engine
from careplan.store.reseal import seal_everything
from careplan.store.schema import TAKEN_BACK, AuditEntry, ImportBatch

from ..clinic.build import record
from ..kept import DR_ADA, edit, verified

TIME = "2024-03-01 00:00:00.000000"
OLD = [
    f"INSERT INTO patient VALUES ('ann', 'adult', 'UTC', 'table', 70.5, '{TIME}')",
    f"INSERT INTO import_batch VALUES (1, 'ann', 'table', '{TIME}', '[]', '{{}}', '[]')",
    "INSERT INTO event (patient, channel, time, value, duration, repeat, flag, origin, batch)"
    " VALUES ('ann', 'glucose', 1709251200000000, 120.5, 0, 0, '', 'a:1', 1),"
    " ('ann', 'bolus', 1709251200000000, 2, 0, 0, '', 'a:2', 1)",
    f"INSERT INTO regimen VALUES (1, 'ann', '{TIME}', '{TIME}', 'stated', '{{\"target\": 110}}')",
]


@pytest.fixture
def old(tmp_path: Path) -> str:
    """A database of the revision before rows were covered, in use."""
    url = str(tmp_path / "old.db")
    engine = make_engine(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.execution_options(writer=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for statement in OLD:
            connection.execute(text(statement))
    engine.dispose()
    return url


def changed(db: Database, *statements: str) -> list[Finding]:
    edit(db, *statements)
    return [finding for finding in verified(db).findings if "its trigger" not in finding.problem]


def test_what_an_old_database_holds_is_sealed_and_the_entry_says_so(old: str) -> None:
    db = open_database(old)
    found = verified(db)
    assert (found.problem, found.rows, found.batches) == (None, 4, 1), "a patient, their course, a batch and a regimen"
    with db.read() as session:
        entry = session.get_one(AuditEntry, 1)
        batch = session.get_one(ImportBatch, 1)
    assert entry.action == "sealed" and "whether it was changed before cannot be told" in entry.detail["note"]
    assert sorted(batch.digest) == ["bolus", "glucose"]
    assert changed(db) == []
    [event] = changed(db, "UPDATE event SET value = 20.5 WHERE channel = 'glucose'")
    assert (event.table, event.key, event.patient, event.fields) == ("event", (1,), "ann", ("glucose",))
    assert changed(db, "UPDATE regimen SET body = '{\"target\": 90}'")[0].fields == ("body",)
    db.close()


def test_a_migration_makes_no_forged_row_good(db: Database) -> None:
    """As a later migration does: a new column, and every row of the table sealed again."""
    store_records(db, "table", [record(name, days=1) for name in ("ann", "bob", "cyd")])
    forged = "INSERT INTO patient (id, zone, source, created) VALUES ('eve', 'UTC', 't', '2024-03-01 00:00:00')"
    assert len(changed(db, "UPDATE patient SET source = 'azt1d' WHERE id = 'bob'", forged)) == 2
    with db.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE patient ADD COLUMN height FLOAT")
        connection.exec_driver_sql("UPDATE patient SET zone = 'Etc/UTC'")
        seal_everything(connection, db.notary, tables=["patient"], rewritten=["zone"], revision="later")
    with db.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE patient DROP COLUMN height")
        findings = verify(connection).findings
        connection.rollback()
    told = {(finding.key, finding.fields) for finding in findings if "before a migration sealed it" in finding.problem}
    assert told == {(("bob",), ("source",)), (("eve",), ())}


def test_a_batch_that_is_taken_back_stays_on_record_without_its_events(db: Database) -> None:
    store_records(db, "table", [record("ann", days=1)])
    store_records(db, "table", [record("ann", days=2)])
    before = len(load_record(db, "ann").events)
    with db.write() as session:
        batch = session.scalars(select(ImportBatch).order_by(ImportBatch.id.desc()).limit(1)).one()
        gone = remove_events(session, batch, actor=DR_ADA, reason="another patient's file")
    assert 0 < gone == before - len(load_record(db, "ann").events)
    assert verified(db).problem is None
    with db.read() as session:
        kept = session.scalars(select(ImportBatch).order_by(ImportBatch.id)).all()
    assert [each.state for each in kept] == ["kept", TAKEN_BACK] and kept[0].run != kept[1].run
    assert changed(db, "UPDATE import_batch SET state = 'kept' WHERE id = 2")[0].fields == ("state",)


def test_all_batches_of_an_import_share_its_run(db: Database) -> None:
    store_records(db, "table", [record("ann", days=1), record("bob", days=1)])
    with db.read() as session:
        assert len(set(session.scalars(select(ImportBatch.run)).all())) == 1


def test_verifying_goes_on_from_where_nothing_was_found(db: Database) -> None:
    store_records(db, "table", [record("ann", days=1)])
    db.note()
    assert (first := verify_audit(db.url)).problem is None
    assert verify_audit(db.url, since_last=True).entries == 0
    store_records(db, "table", [record("bob", days=1)])
    db.note()
    again = verify_audit(db.url, since_last=True)
    assert (again.problem, again.entries, again.rows, again.batches) == (None, first.entries - 1, 4, 1)
    store_records(db, "table", [record("cyd", days=1)])
    newer = changed(db, "UPDATE patient SET zone = 'Europe/London' WHERE id = 'cyd'")
    assert [(finding.key, finding.fields) for finding in newer] == [(("cyd",), ("zone",))]
    since = verify_audit(db.url, since_last=True).findings
    assert [finding.key for finding in since if "trigger" not in finding.problem] == [("cyd",)]


def test_going_on_finds_a_trail_that_was_rewritten_before(db: Database) -> None:
    store_records(db, "table", [record("ann", days=1)])
    db.note()
    head = verify_audit(db.url)
    changed(db, f"DELETE FROM audit WHERE id = {head.last}")
    assert any("is not what was verified before" in finding.problem for finding in verify_audit(db.url, since_last=True).findings)


def test_what_was_found_is_plain_json(db: Database) -> None:
    from careplan.clinic import codec

    store_records(db, "table", [record("ann", days=1)])
    changed(db, "UPDATE patient SET source = 'azt1d'")
    told = json.loads(json.dumps(codec.dump(verified(db))))
    expected = {"table": "patient", "key": ["ann"], "fields": ["source"], "patient": None, "entry": 2}
    assert {name: value for name, value in told["findings"][0].items() if name != "problem"} == expected
