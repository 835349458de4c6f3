"""The tables, as SQLAlchemy 2 typed models. Migrations create them; `metadata.create_all` is never used.

Times that people read are `DateTime` in UTC; an event's time is an integer, microseconds since 1970 UTC, because a
recording has tens of thousands of them. `audit`, `suggestion`, `review`, `regimen` and `targets` are append-only: triggers
refuse to change their rows.

Every table is covered by the audit trail without being named anywhere: an entry holds a digest of each row it made, changed or
removed (`seals`). A table whose rows are too many for that declares, under `info`, which column names the row of another table
that holds one digest over all of them (`BATCHED`), and by which column that digest is parted. A table that holds nothing but
what can be computed again from the others, or work in progress, says so (`DERIVED`): no entry covers it, and no decision is read
from it.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    MetaData,
    SmallInteger,
    Table,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

BATCHED = "batched"  # a key of `Table.info`: (the column that names the batch, the column by which its digest is parted)
DERIVED = "derived"  # a key of `Table.info`: rows that can be computed again, or that hold no more than work in progress
UNTIL_NEXT = -1.0  # an event's duration when it lasts until the next event of its channel (NaN in a canonical table)
KEPT, TAKEN_BACK = "kept", "taken back"  # the states of an import batch


class UTCDateTime(TypeDecorator[datetime]):
    """An aware time in, the same instant out in UTC, on databases that forget the zone too."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time as the database keeps it. Raises `ValueError` where it has no time zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"time {value} has no time zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {datetime: UTCDateTime, float: Double, dict[str, Any]: JSON, list[Any]: JSON}


def table_of(kind: type[Base]) -> Table:
    """The table of a mapped class."""
    return cast(Table, kind.__table__)


class Patient(Base):
    __tablename__ = "patient"

    id: Mapped[str] = mapped_column(primary_key=True)
    zone: Mapped[str]  # IANA name of the patient's clock
    source: Mapped[str]  # the format first imported
    created: Mapped[datetime]
    clinic: Mapped[str] = mapped_column(server_default=text("''"), index=True)  # empty: the only one there is


class Course(Base):
    """One patient under one therapy. group: whose limits hold. covariates: what is known of the patient that the therapy may ask
    for, by name, such as `weight` in kg. Their regimens and suggestions name the same patient and therapy.
    """

    __tablename__ = "course"

    patient: Mapped[str] = mapped_column(ForeignKey("patient.id"), primary_key=True)
    therapy: Mapped[str] = mapped_column(primary_key=True)
    group: Mapped[str]
    covariates: Mapped[dict[str, Any]]
    created: Mapped[datetime]


class ImportBatch(Base):
    """One patient's part of one import that added something. `corrections`: every row the reader dropped or changed.

    run: the same for all patients of one import (NULL in batches kept before runs had a name). state: `KEPT`, or `TAKEN_BACK`
    once its events are removed. digest: by channel, SHA-256 of the batch's events in the order of their key.
    """

    __tablename__ = "import_batch"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    patient: Mapped[str] = mapped_column(ForeignKey("patient.id"), index=True)
    source: Mapped[str]
    created: Mapped[datetime]
    files: Mapped[list[Any]]
    report: Mapped[dict[str, Any]]
    corrections: Mapped[list[Any]]
    run: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default=KEPT)
    digest: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class Event(Base):
    """A canonical event. The key makes importing idempotent: `repeat` numbers equal events within one source from 0, so that
    two equal doses logged at one instant stay two, and the same export read again stays the same.
    """

    __tablename__ = "event"
    __table_args__ = {  # noqa: RUF012
        "sqlite_with_rowid": False,  # one B-tree, clustered by patient, channel and time
        "info": {BATCHED: ("batch", "channel")},
    }

    patient: Mapped[str] = mapped_column(ForeignKey("patient.id"), primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    time: Mapped[int] = mapped_column(BigInteger, primary_key=True)  # microseconds since 1970 UTC
    value: Mapped[float] = mapped_column(primary_key=True)
    duration: Mapped[float] = mapped_column(primary_key=True)  # minutes, or UNTIL_NEXT
    repeat: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    flag: Mapped[str]
    origin: Mapped[str]
    batch: Mapped[int] = mapped_column(ForeignKey("import_batch.id"))
    product: Mapped[str] = mapped_column(server_default=text("''"))  # the brand of what was given, where the source names one


class RegimenVersion(Base):
    """What is prescribed from a time on, and not before. `source`: "stated", "estimated", "suggestion 12"; `body`: the regimen as
    JSON.
    """

    __tablename__ = "regimen"
    __table_args__ = (Index(None, "patient", "valid_from"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    patient: Mapped[str] = mapped_column(ForeignKey("patient.id"))
    valid_from: Mapped[datetime]
    created: Mapped[datetime]
    source: Mapped[str]
    body: Mapped[dict[str, Any]]
    therapy: Mapped[str] = mapped_column(server_default=text("''"))


class TargetsVersion(Base):
    """What a course aims at from when it was signed, until the next. preset: the name of the therapy's, or "custom"; body: the
    targets as JSON. reason: why. signer, identity: who, as in a `Review`.
    """

    __tablename__ = "targets"
    __table_args__ = (Index(None, "patient", "therapy"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    patient: Mapped[str] = mapped_column(ForeignKey("patient.id"))
    therapy: Mapped[str]
    signed: Mapped[datetime]
    signer: Mapped[str]
    identity: Mapped[dict[str, Any]]
    preset: Mapped[str]
    body: Mapped[dict[str, Any]]
    reason: Mapped[str]


class Personalisation(Base):
    """The posterior over one patient's code for one model and one state of the data; recomputed, never edited."""

    __tablename__ = "personalisation"

    patient: Mapped[str] = mapped_column(ForeignKey("patient.id"), primary_key=True)
    model_hash: Mapped[str] = mapped_column(primary_key=True)
    data_hash: Mapped[str] = mapped_column(primary_key=True)
    created: Mapped[datetime]
    code: Mapped[dict[str, Any]]


class Suggestion(Base):
    """A proposal as it was made. Reviewing it makes a review, never an edit."""

    __tablename__ = "suggestion"
    __table_args__ = (Index(None, "patient", "created"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    patient: Mapped[str] = mapped_column(ForeignKey("patient.id"))
    kind: Mapped[str]
    created: Mapped[datetime]
    payload: Mapped[dict[str, Any]]
    provenance: Mapped[dict[str, Any]]
    therapy: Mapped[str] = mapped_column(server_default=text("''"))


class Draft(Base):
    """Undecided work of one reviewer (`str` of an `Actor`) on one suggestion; gone once it is signed."""

    __tablename__ = "draft"

    suggestion: Mapped[int] = mapped_column(ForeignKey("suggestion.id"), primary_key=True)
    reviewer: Mapped[str] = mapped_column(primary_key=True)
    updated: Mapped[datetime]
    decisions: Mapped[list[Any]]


class Review(Base):
    """A signed decision on a suggestion, and the regimen version it made, if any. `identity`: how the reviewer is known, as in
    an `AuditEntry`; NULL for reviews signed before that was on record.
    """

    __tablename__ = "review"
    __table_args__ = (UniqueConstraint("suggestion"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    suggestion: Mapped[int] = mapped_column(ForeignKey("suggestion.id"))
    patient: Mapped[str] = mapped_column(ForeignKey("patient.id"), index=True)
    reviewer: Mapped[str]
    signed: Mapped[datetime]
    meaning: Mapped[str]
    decisions: Mapped[list[Any]]
    regimen: Mapped[int | None] = mapped_column(ForeignKey("regimen.id"))
    identity: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class Source(Base):
    """An address from which a patient's recordings are read again. token: encrypted, for this patient and address alone
    (`secrets`); NULL where the address asks for none. last: the newest entry that was read from it.
    """

    __tablename__ = "source"

    patient: Mapped[str] = mapped_column(ForeignKey("patient.id"), primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str | None]
    added: Mapped[datetime]
    last: Mapped[datetime | None]


class Job(Base):
    """Work that was asked for and goes on without whoever asked. actor: who asked (`Actor.plain`). state: "waiting", "running",
    "done", "failed" or "cancelled". done: of the patients, in order; doing: what with the next. failed: patient -> why nothing
    came of them. beat: when whoever runs it was last alive. cancel: somebody asked to stop it.
    """

    __tablename__ = "job"
    __table_args__ = (Index(None, "state"), {"info": {DERIVED: True}})

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    patients: Mapped[list[Any]]
    actor: Mapped[dict[str, Any]]
    asked: Mapped[datetime]
    state: Mapped[str]
    done: Mapped[int]
    doing: Mapped[str]
    failed: Mapped[dict[str, Any]]
    problem: Mapped[str]
    beat: Mapped[datetime]
    cancel: Mapped[bool]


class WorklistEntry(Base):
    """One course as the worklist shows it, computed from what is on record. stale: something of the patient was put on record
    since. unmet: the names of the targets that the recent readings miss, each between bars ("|a|b|"). last: microseconds since
    1970 UTC of the last event. due: there are readings enough since the last signed change to see what became of it.
    """

    __tablename__ = "worklist"
    __table_args__ = (
        Index(None, "urgency", "patient"),
        Index(None, "last"),
        Index(None, "status"),
        Index(None, "stale"),
        {"info": {DERIVED: True}},
    )

    patient: Mapped[str] = mapped_column(ForeignKey("patient.id"), primary_key=True)
    therapy: Mapped[str] = mapped_column(primary_key=True)
    group: Mapped[str]
    urgency: Mapped[float]
    headline: Mapped[str]
    status: Mapped[str]
    metrics: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    days: Mapped[float]
    last: Mapped[int | None] = mapped_column(BigInteger)
    suggestion: Mapped[int | None]
    unmet: Mapped[str]
    due: Mapped[bool]
    stale: Mapped[bool]


class AuditEntry(Base):
    """One thing that happened. Each entry's hash covers the entry and the hash before it.

    identity: how the actor is known: kind, issuer, subject (`actors.Actor`). rows: the seals of the rows that this entry made,
    changed or removed (`seals.seal`). key, signature: Ed25519 over the hash, and the fingerprint of the key. All four are NULL
    in entries made before they were on record.
    """

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 1, 2, 3, ... without holes
    time: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    patient: Mapped[str | None] = mapped_column(index=True)
    detail: Mapped[dict[str, Any]]
    previous: Mapped[str]
    hash: Mapped[str]
    identity: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    rows: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    key: Mapped[str | None]
    signature: Mapped[str | None]


def keys_of(table: Table) -> list[tuple[str, ...]]:
    """The keys by which each row of a table is there once: the primary key, then those declared unique."""
    unique = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
    return [tuple(column.name for column in each.columns) for each in (table.primary_key, *unique)]
