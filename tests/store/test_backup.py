"""Backups are whole, whatever is written meanwhile; a restore goes into an empty place and is verified before it is there."""

import sqlite3
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import text

from careplan.clinic import patient_names, store_records, verify_audit
from careplan.store import Database, StoreError, append, open_database, open_signer
from careplan.store.backup import backup, restore
from careplan.store.keys import default_signer

from ..clinic.build import record
from ..kept import actor, verified


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAREPLAN_AUDIT", str(tmp_path / "audit"))


def test_a_backup_comes_back_verified(db: Database, tmp_path: Path) -> None:
    store_records(db, "table", [record("ann", days=1)])
    db.note()
    assert backup(db.url, tmp_path / "copy" / "store.bak") > 0
    found = restore(str(tmp_path / "new" / "store.db"), tmp_path / "copy" / "store.bak", default_signer())
    assert (found.problem, found.batches) == (None, 1)
    again = open_database(str(tmp_path / "new" / "store.db"))
    assert patient_names(again) == ["ann"]
    store_records(again, "table", [record("bob", days=1)])
    assert verified(again).problem is None
    again.close()


def test_a_backup_is_one_state_while_others_write(db: Database, tmp_path: Path) -> None:
    stop = Event()

    def write() -> None:
        while not stop.is_set():
            with db.write() as session:
                append(session, actor(), "did")

    thread = Thread(target=write)
    thread.start()
    for number in range(5):
        backup(db.url, tmp_path / f"{number}.bak")
    stop.set()
    thread.join()
    db.note()
    for number in range(5):
        place = str(tmp_path / f"{number}.db")
        found = restore(place, tmp_path / f"{number}.bak", default_signer(), reason="a test")
        assert found.last >= 1 and verify_audit(place).problem is None


def test_nothing_is_written_over(db: Database, tmp_path: Path) -> None:
    backup(db.url, tmp_path / "store.bak")
    with pytest.raises(StoreError, match="a backup is never written over"):
        backup(db.url, tmp_path / "store.bak")
    with pytest.raises(StoreError, match="restored into an empty place"):
        restore(db.url, tmp_path / "store.bak", default_signer())
    with pytest.raises(StoreError, match="there is no database"):
        backup(str(tmp_path / "none.db"), tmp_path / "none.bak")
    with pytest.raises(StoreError, match="there is no such backup"):
        restore(str(tmp_path / "new.db"), tmp_path / "none.bak", default_signer())
    assert not (tmp_path / "none.bak").exists() and not (tmp_path / "new.db").exists()


def test_a_backup_that_was_edited_or_is_none_is_not_restored(db: Database, tmp_path: Path) -> None:
    store_records(db, "table", [record("ann", days=1)])
    backup(db.url, tmp_path / "store.bak")
    with sqlite3.connect(tmp_path / "store.bak") as connection:
        connection.execute("UPDATE patient SET source = 'azt1d'")
    with pytest.raises(StoreError, match=r"not restored: .* patient ann: differs from entry 2 in source"):
        restore(str(tmp_path / "new.db"), tmp_path / "store.bak", default_signer())
    (tmp_path / "notes.txt").write_text("no database\n" * 100)
    with pytest.raises(StoreError, match="not a database"):
        restore(str(tmp_path / "new.db"), tmp_path / "notes.txt", default_signer())
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".new", "new"))]


def test_what_was_signed_after_the_backup_is_lost_only_with_a_reason(db: Database, tmp_path: Path) -> None:
    backup(db.url, tmp_path / "store.bak")
    store_records(db, "table", [record("ann", days=1)])
    db.note()
    with pytest.raises(StoreError, match="not restored: the backup is older than what was signed"):
        restore(str(tmp_path / "new.db"), tmp_path / "store.bak", default_signer())
    found = restore(str(tmp_path / "new.db"), tmp_path / "store.bak", default_signer(), reason="the disk broke")
    assert any("entries were cut off" in finding.problem for finding in found.findings)
    assert verify_audit(str(tmp_path / "new.db")).problem is None
    assert verify_audit(db.url).problem is None, "the place it came from is as it was"


def test_on_postgresql(postgresql: Database, tmp_path: Path) -> None:
    store_records(postgresql, "table", [record("ann", days=1)])
    postgresql.note()
    url = postgresql.engine.url.render_as_string(hide_password=False)
    assert backup(url, tmp_path / "store.dump") > 0
    with pytest.raises(StoreError, match="restored into an empty place"):
        restore(url, tmp_path / "store.dump", default_signer())
    with postgresql.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    postgresql.engine.dispose()
    assert restore(url, tmp_path / "store.dump", open_signer(tmp_path / "audit")).problem is None
    assert patient_names(postgresql) == ["ann"]
    store_records(postgresql, "table", [record("bob", days=1)])
    assert verified(postgresql).problem is None
