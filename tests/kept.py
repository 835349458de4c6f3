"""Who acts in the tests, and whether what they did is still on record."""

from datetime import UTC, datetime

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


def verified(db: Database, **options: object) -> Verification:
    """Everything recomputed, with the key and the checkpoints of the tests."""
    folder = None if db.notary is None else Settings().audit_folder()
    with db.engine.connect() as connection:
        return verify(connection, folder, place=db.place, **options)  # type: ignore[arg-type]
