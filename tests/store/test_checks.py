"""Whether one row is as it was put on record, asked of rows that are not there, of a migration's, and without a key."""

from sqlalchemy import insert

from careplan.store import Database, append
from careplan.store.audit import NOTARY, SEALED, put_on_record
from careplan.store.checks import tampered, tampered_record
from careplan.store.schema import Patient, table_of
from careplan.store.seals import seal

from ..kept import actor, patient

PEOPLE = table_of(Patient)


def test_a_row_that_is_not_there_is_told(db: Database) -> None:
    with db.read() as session:
        assert tampered(session, Patient, ("p",), "p") == "it is not there"


def test_what_a_migration_sealed_is_on_record_of_everybody(db: Database) -> None:
    values = {column.name: getattr(patient(), column.name) for column in PEOPLE.columns}
    with db.write() as session:
        put_on_record(session, actor(), SEALED, [seal(PEOPLE, values, "made")])
        session.connection().execute(insert(PEOPLE).values(**values))
    with db.read() as session:
        assert tampered(session, Patient, ("p",), "p") is None
        assert tampered_record(session, "p") is None


def test_what_another_patients_entry_says_of_a_row_counts_nothing(db: Database) -> None:
    with db.write() as session:
        append(session, actor(), "did", patient="q", rows=[patient()])
    with db.read() as session:
        assert tampered(session, Patient, ("p",), "p") == "no entry of the audit trail made it"
        assert tampered_record(session, "p") == "patient p: no entry of the audit trail made it"


def test_where_nobody_signs_an_entry_needs_its_hash_alone(db: Database) -> None:
    with db.write() as session:
        append(session, actor(), "did", patient="p", rows=[patient()])
    with db.read() as session:
        session.info[NOTARY] = None
        assert tampered(session, Patient, ("p",), "p") is None
