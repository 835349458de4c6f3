"""The key that signs: made once, its owner's alone, given by a setting, replaced, lost; and the checkpoints it signs."""

import base64
import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from careplan.clinic import accept_trail, replace_key, verify_audit
from careplan.store import Database, StoreError, append, open_database, open_signer
from careplan.store.keys import CHECKPOINTS, KEY, TRUSTED, checkpoints

from ..kept import DR_ADA, actor


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key and checkpoints of the test's own."""
    monkeypatch.setenv("CAREPLAN_AUDIT", str(tmp_path / "audit"))
    return tmp_path / "audit"


def write(url: str, *, checkpoint: bool = False) -> None:
    db = open_database(url)
    with db.write() as session:
        append(session, actor(), "did", checkpoint=checkpoint)
    db.close()


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / CHECKPOINTS).read_text().splitlines()]


def problem(url: str) -> str:
    return verify_audit(url).problem or ""


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(folder: Path, tmp_path: Path) -> None:
    write(str(tmp_path / "store.db"))
    assert stat.S_IMODE((folder / KEY).stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [KEY, CHECKPOINTS, TRUSTED]
    assert problem(str(tmp_path / "store.db")) == ""


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_key_that_others_can_read_is_refused(folder: Path, tmp_path: Path) -> None:
    write(str(tmp_path / "store.db"))
    (folder / KEY).chmod(0o644)
    with pytest.raises(StoreError, match="others than its owner may read the audit key"):
        open_database(str(tmp_path / "store.db"))


@pytest.mark.parametrize("form", ["base64", "pem", "path"])
def test_a_key_is_given_by_a_setting(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    private = Ed25519PrivateKey.generate()
    given = base64.b64encode(private.private_bytes_raw()).decode()
    if form != "base64":
        from cryptography.hazmat.primitives import serialization as s

        given = private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()
    if form == "path":
        (tmp_path / "elsewhere.pem").write_text(given)
        given = str(tmp_path / "elsewhere.pem")
    monkeypatch.setenv("CAREPLAN_AUDIT_KEY", given)
    write(str(tmp_path / "store.db"))
    assert not (folder / KEY).exists() and problem(str(tmp_path / "store.db")) == ""
    with pytest.raises(StoreError, match="CAREPLAN_AUDIT_KEY gives the audit key"):
        replace_key(str(tmp_path / "store.db"))


@pytest.mark.parametrize("given", ["no key", "/no/such/place", "aGVsbG8="])
def test_what_is_no_key_is_refused(folder: Path, given: str) -> None:
    with pytest.raises(StoreError, match="expected an Ed25519 private key"):
        open_signer(folder, given)


# Checkpoints.


def test_a_signature_is_signed_at_once_and_other_work_when_the_database_is_closed(folder: Path, tmp_path: Path) -> None:
    db = open_database(str(tmp_path / "store.db"))
    assert [line["entries"] for line in lines(folder)] == [1]
    with db.write() as session:
        append(session, actor(), "did")
    assert len(lines(folder)) == 1
    with db.write() as session:
        append(session, DR_ADA, "signed", checkpoint=True)
    assert [line["entries"] for line in lines(folder)] == [1, 3]
    with db.write() as session:
        append(session, actor(), "did")
    db.close()
    assert [line["entries"] for line in lines(folder)] == [1, 3, 4]
    open_database(str(tmp_path / "store.db")).close()
    assert len(lines(folder)) == 3, "nothing was written, so nothing is signed"


def test_a_day_of_use_has_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    db = open_database(str(tmp_path / "store.db"))
    assert db.notary is not None
    db.notary.last = datetime.now(UTC) - timedelta(days=1, minutes=1)
    with db.write() as session:
        append(session, actor(), "did")
    assert [line["entries"] for line in lines(folder)] == [1, 2]
    db.close()


def test_what_a_killed_process_wrote_is_signed_when_the_database_is_opened_again(folder: Path, tmp_path: Path) -> None:
    db = open_database(str(tmp_path / "store.db"))
    with db.write() as session:
        append(session, actor(), "did")
    db.engine.dispose()  # as killed: nothing is signed
    assert len(lines(folder)) == 1
    open_database(str(tmp_path / "store.db")).close()
    assert [line["entries"] for line in lines(folder)] == [1, 2]


def test_an_edited_a_forged_and_a_cut_line_are_found(folder: Path, tmp_path: Path) -> None:
    url = str(tmp_path / "store.db")
    write(url)
    whole = (folder / CHECKPOINTS).read_text()
    for text, expected in (
        (whole.replace('"entries": 1', '"entries": 2', 1), "line 1: its signature is not valid"),
        (whole[:-30] + "\n", "line 2: its signature is not valid"),
        (whole + "{}\n", "line 3: its signature is not valid"),
        ("", "no checkpoint of this database"),
    ):
        (folder / CHECKPOINTS).write_text(text)
        assert expected in problem(url)
    (folder / CHECKPOINTS).write_text(whole)
    assert problem(url) == ""


def test_another_machine_verifies_with_what_was_shipped(folder: Path, tmp_path: Path) -> None:
    """The trusted keys and the checkpoints, without the private key."""
    write(str(tmp_path / "store.db"))
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for name in (TRUSTED, CHECKPOINTS):
        (shipped / name).write_text((folder / name).read_text())
    assert verify_audit(str(tmp_path / "store.db"), folder=shipped).problem is None


def test_a_signature_on_a_trail_that_was_cut_off_is_refused_and_nothing_is_kept(folder: Path, tmp_path: Path) -> None:
    db = open_database(str(tmp_path / "store.db"))
    with db.write() as session:
        append(session, DR_ADA, "signed", checkpoint=True)
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_delete")
        connection.exec_driver_sql("DELETE FROM audit WHERE id = 2")
    with pytest.raises(StoreError, match="entries were cut off"), db.write() as session:
        append(session, DR_ADA, "signed", checkpoint=True)
    with db.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM audit").scalar() == 1
    accept_trail(db, "the newest entry was lost with the disk")
    db.close()
    found = verify_audit(str(tmp_path / "store.db"))
    assert [finding.problem for finding in found.findings if "trigger" not in finding.problem] == []


# Replacing and losing it.


def test_a_replaced_key_is_valid_for_what_it_signed_and_for_nothing_after(folder: Path, tmp_path: Path) -> None:
    url = str(tmp_path / "store.db")
    write(url)
    old = open_signer(folder)
    replaced = replace_key(url)
    assert (replaced.old, replaced.new) == (old.fingerprint, open_signer(folder).fingerprint) and replaced.old != replaced.new
    write(url)
    assert problem(url) == ""
    stale = open_database(url, signer=lambda: old)  # a process that was not restarted, or a thief
    with stale.write() as session:
        append(session, actor("Mallory"), "did")
    stale.engine.dispose()
    assert "signed by a key that was replaced" in problem(url)


def test_a_lost_key_stops_the_work_until_a_person_says_so(folder: Path, tmp_path: Path) -> None:
    url = str(tmp_path / "store.db")
    write(url)
    lost = open_signer(folder)
    (folder / KEY).unlink()
    with pytest.raises(StoreError, match="the audit key is lost: put it back, or begin anew"):
        open_database(url)
    assert problem(url) == "", "verifying needs public keys alone"
    assert replace_key(url, lost="the laptop was stolen").old is None
    write(url)
    assert problem(url) == ""
    assert [line.detail for _, line in checkpoints(folder) if not isinstance(line, str) and line.what == "key lost"] == [
        "the laptop was stolen"
    ]
    thief = open_database(url, signer=lambda: lost)
    with thief.write() as session:
        append(session, actor("Mallory"), "did")
    thief.engine.dispose()
    assert "signed by a key that was replaced" in problem(url)


def test_nothing_is_made_where_there_is_no_database(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        verify_audit(str(tmp_path / "none" / "store.db"))
    assert list(tmp_path.iterdir()) == []


def test_missing_tables_and_columns_are_named(folder: Path, tmp_path: Path) -> None:
    url = str(tmp_path / "store.db")
    write(url)
    db: Database = open_database(url)
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE draft")
        connection.exec_driver_sql("ALTER TABLE patient DROP COLUMN zone")
    db.engine.dispose()
    told = [str(finding) for finding in verify_audit(url).findings]
    assert "draft: the table is missing" in told and "patient: the table lacks columns in zone" in told
    with open_database(url).engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE audit")
    assert problem(url) == "audit: the table is missing"
