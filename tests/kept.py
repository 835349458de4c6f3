"""Who acts in the tests, what is done past careplan, and whether what they did is still on record."""

from datetime import UTC, datetime

from sqlalchemy import Connection

from careplan.settings import Settings
from careplan.store import Actor, Database, Verification, verify
from careplan.store.schema import Patient


def actor(name: str = "dr") -> Actor:
    """Somebody whom an identity provider vouches for."""
    subject = name.lower().replace(" ", "-")
    return Actor(kind="identity provider", name=name, issuer="https://clinic.example", subject=subject)


def patient(name: str = "p") -> Patient:
    return Patient(id=name, zone="UTC", source="t", created=datetime(2024, 3, 1, tzinfo=UTC), clinic="")


DR_ADA, DR_BEA = actor("Dr Ada"), actor("Dr Bea")


def drop_triggers(connection: Connection) -> None:
    """The triggers of an SQLite database out of the way."""
    for name in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all():
        connection.exec_driver_sql(f"DROP TRIGGER {name}")


def edit(db: Database, *statements: str) -> None:
    """Changes an SQLite database past careplan."""
    with db.engine.begin() as connection:
        drop_triggers(connection)
        for statement in statements:
            connection.exec_driver_sql(statement)


def verified(db: Database, **options: object) -> Verification:
    """Everything recomputed, with the key and the checkpoints of the tests."""
    folder = None if db.notary is None else Settings().audit_folder()
    with db.engine.connect() as connection:
        return verify(connection, folder, place=db.place, **options)  # type: ignore[arg-type]
