"""A Nightscout site is read again on demand; its token is kept encrypted, and told to nobody."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from careplan.cli import app
from careplan.clinic import (
    ClinicError,
    audit_trail,
    forget_source,
    import_site,
    keep_source,
    load_record,
    load_series,
    patient_names,
    read_again,
    read_site,
    replace_key,
    site_at,
    sources,
)
from careplan.clinic.roles import Forbidden
from careplan.interop import export_table, fhir_bundle
from careplan.records import RecordError
from careplan.records.grid import to_series
from careplan.store import Actor, Database, open_database
from tests.loopback import serve
from tests.records.test_nightscout_site import SITE, TOKEN, nightscout

from ..kept import verified

ADA = Actor(kind="local account", name="Ada", issuer="here", subject="ada")
VIC = Actor(kind="local account", name="Vic", issuer="here", subject="vic", roles=frozenset({"viewer"}))


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A site that has eight hours of readings."""
    monkeypatch.setitem(SITE, "entries", SITE["entries"][:96])
    with serve(nightscout([])) as found:
        yield found


@pytest.fixture
def kept(db: Database, address: str) -> str:
    """Anna, as she was taken in from it."""
    site = site_at(f"{address}/?token={TOKEN}")
    incoming = read_site(site)
    assert [record.patient for record in incoming.records] and incoming.refused == {}
    assert patient_names(db) == [] and TOKEN not in repr((site, incoming)) and site.address == address
    import_site(db, site, incoming, {0: "Anna"}, actor=ADA, add=frozenset())
    return address


def test_only_what_is_new_comes_when_it_is_read_again(db: Database, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_record(db, "Anna").events
    assert sum(before["channel"] == "glucose") == 96
    [source] = sources(db, "Anna")
    assert source.secret and source.last is not None
    last = SITE["entries"][-1]["date"]
    new = [{"_id": f"new{minute}", "type": "sgv", "sgv": 111, "date": last + 60_000 * minute} for minute in (-2, 10, 15)]
    monkeypatch.setitem(SITE, "entries", [*SITE["entries"], *new])
    assert read_again(db, "Anna", actor=ADA).patients[0].events_added["glucose"] == 3, "with the one that came late"
    assert sources(db)[0].last == datetime.fromtimestamp((last + 900_000) / 1000, UTC)
    assert read_again(db, "Anna", actor=ADA).patients[0].events_added == {}
    assert verified(db).problem is None
    [whole] = read_site(site_at(kept, TOKEN)).records
    mine = load_series(db, "Anna")
    basal = [channel.name for channel in mine.therapy.channels].index("basal")
    np.testing.assert_allclose(mine.values[:, basal], to_series(whole, mine.therapy).values[:, basal], atol=1e-5)


def test_the_token_is_told_to_nobody(
    db: Database, kept: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    read_again(db, "Anna", actor=ADA)
    monkeypatch.setattr("tests.records.test_nightscout_site.TOKEN", "another-0000000000000000")
    with pytest.raises(RecordError, match="access refused") as refused:
        read_again(db, "Anna", actor=ADA)
    export_table(db, "Anna", tmp_path / "anna.csv")
    told = [str(refused.value), caplog.text, str(fhir_bundle(db, "Anna")), (tmp_path / "anna.csv").read_text()]
    told += [str((entry.action, entry.detail)) for entry in audit_trail(db, limit=100)] + [repr(sources(db))]
    assert "GET" in caplog.text and "source kept" in str(told)
    db.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert [said for said in told if TOKEN in said or TOKEN.partition("-")[2] in said] == []
    assert TOKEN.encode() not in stored and TOKEN.partition("-")[2].encode() not in stored


def test_a_token_moves_to_a_new_key_and_of_a_lost_one_must_be_given_again(
    db: Database, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.close()
    assert replace_key(str(tmp_path / "store.db")).shut == 0
    again = open_database(str(tmp_path / "store.db"))
    read_again(again, "Anna", actor=ADA)
    again.close()
    assert replace_key(str(tmp_path / "store.db"), lost="the disk is gone").shut == 1
    after = open_database(str(tmp_path / "store.db"))
    with pytest.raises(ClinicError, match="must be given again"):
        read_again(after, "Anna", actor=ADA)
    keep_source(after, "Anna", site_at(kept, TOKEN), actor=ADA)
    read_again(after, "Anna", actor=ADA)
    after.close()


def test_a_token_opens_for_its_address_alone(db: Database, kept: str) -> None:
    with db.engine.begin() as connection:  # past careplan: to a host that would take the token
        connection.execute(text("UPDATE source SET address = 'https://elsewhere.example'"))
    with pytest.raises(ClinicError, match="changed past careplan"):
        read_again(db, "Anna", actor=ADA)
    assert verified(db).problem is not None


def test_the_command_line_keeps_and_reads_again(address: str, tmp_path: Path) -> None:
    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["--db", str(tmp_path / "shop.db"), "import", *words])

    first = run(address, "--remember", "--token", TOKEN, "--patient", "Anna")
    assert first.exit_code == 0 and "Anna" in first.output and TOKEN not in first.output
    assert run("--again", "Anna").exit_code == 0
    eve = run("--again", "Eve")
    assert eve.exit_code == 1 and "Traceback" not in eve.output
    assert run(address, "--again", "Anna").exit_code == 2


def test_a_source_is_forgotten_and_what_was_read_stays(db: Database, kept: str) -> None:
    with pytest.raises(ClinicError, match="not kept"):
        forget_source(db, "Anna", "https://elsewhere.example", actor=ADA)
    forget_source(db, "Anna", kept, actor=ADA)
    assert sources(db) == [] and len(load_record(db, "Anna").events) > 96
    with pytest.raises(ClinicError, match="no address is kept"):
        read_again(db, "Anna", actor=ADA)


def test_whoever_only_looks_reads_no_site(db: Database, kept: str) -> None:
    for tried in (
        lambda: read_again(db, "Anna", actor=VIC),
        lambda: keep_source(db, "Anna", site_at(kept), actor=VIC),
        lambda: forget_source(db, "Anna", kept, actor=VIC),
    ):
        with pytest.raises(Forbidden):
            tried()


def test_a_site_that_is_not_there_is_told_in_words() -> None:
    with pytest.raises(ClinicError, match="expected an http or https address"):
        site_at("nightscout.example")
    with serve(nightscout([])) as address:
        pass
    [(where, why)] = read_site(site_at(address, TOKEN)).refused.items()
    assert where == address and "no answer" in why and TOKEN not in why
