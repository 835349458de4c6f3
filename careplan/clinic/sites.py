"""Addresses from which a patient's recordings are read again: a Nightscout site with its token, which is kept encrypted.

The token opens with the key that signs the audit trail (`careplan.store.secrets`), for its patient and its address alone. It is
in no entry, no message, no export and no log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan.clinic.courses import practice_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.import_preview import PreviewedFiles, import_previewed
from careplan.clinic.importing import store_records
from careplan.clinic.known import require
from careplan.clinic.roles import BRINGS_IN, allow
from careplan.clinic.views import ImportReport
from careplan.clinic.worklists import refresh
from careplan.records.events import PatientRecord
from careplan.store import Actor, Database, Signer, StoreError, append, local_account, lock, schema, unlock

SITE = "nightscout"
LATE = timedelta(days=1)  # what is uploaded so long after its time is still found when a site is read again


@dataclass(frozen=True)
class Site:
    """An address as it is known before it is kept. token: that it asks for; empty where it asks for none."""

    address: str
    token: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Source:
    """An address that is kept. secret: whether a token is kept with it. last: the newest entry that was read (UTC)."""

    patient: str
    address: str
    secret: bool
    added: datetime
    last: datetime | None


def site_at(address: str, token: str = "") -> Site:
    """The site at an address, whose token may stand in it. Raises `ClinicError` for what is no address."""
    from careplan.records.events import RecordError
    from careplan.records.web import base_of

    try:
        base = base_of(address.strip())
    except RecordError as error:
        raise ClinicError(str(error)) from None
    return Site(base, token.strip() or next(iter(parse_qs(urlsplit(address.strip()).query).get("token", [])), ""))


def read_site(site: Site, *, zone: str | None = None) -> PreviewedFiles:
    """All that is at a site, to be shown and questioned as files are; nothing is kept. What cannot be read is in `refused`."""
    from careplan.records.events import RecordError

    try:
        records = _read(site, zone, None, None)
    except RecordError as error:
        return PreviewedFiles((), MappingProxyType({site.address: str(error)}))
    return PreviewedFiles((*records,), MappingProxyType({}))


def import_site(
    db: Database, site: Site, incoming: PreviewedFiles, names: Mapping[int, str], *, actor: Actor, add: frozenset[int]
) -> ImportReport:
    """As `import_previewed`, and keeps the site as a source of each patient whose records were kept."""
    report = import_previewed(db, incoming, names, actor=actor, add=add)
    for place, name in names.items():
        patient = " ".join(name.split())
        if patient not in report.failed:
            keep_source(db, patient, site, last=_newest(incoming.records[place], None), actor=actor)
    return report


def keep_source(db: Database, patient: str, site: Site, *, last: datetime | None = None, actor: Actor | None = None) -> None:
    """Keeps an address with its token, in place of what was kept of it before. Raises `UnknownPatient`, and `ClinicError` where
    there is no key to keep a token under.
    """
    allow(actor, BRINGS_IN)
    token = lock(_signer(db), site.token, patient, site.address) if site.token else None
    with db.write() as session:
        require(session, patient)
        row = session.get(schema.Source, (patient, site.address))
        if row is None:
            row = schema.Source(patient=patient, address=site.address, added=datetime.now(UTC), last=last, token=token)
        row.token, row.last = token, last or row.last
        append(session, actor or local_account(), "source kept", patient=patient, rows=[row], address=site.address)


def forget_source(db: Database, patient: str, address: str, *, actor: Actor | None = None) -> None:
    """Removes an address and its token; what was read from it stays. Raises `ClinicError` where it is not kept."""
    allow(actor, BRINGS_IN)
    with db.write() as session:
        require(session, patient)
        row = session.get(schema.Source, (patient, address))
        if row is None:
            raise ClinicError(f"{address} is not kept as a source of patient {patient!r}")
        append(session, actor or local_account(), "source forgotten", patient=patient, removed=[row], address=address)


def sources(db: Database, patient: str | None = None) -> list[Source]:
    """Every address that is kept, by patient."""
    with db.read() as session:
        query = select(schema.Source).order_by(schema.Source.patient, schema.Source.address)
        rows = session.scalars(query if patient is None else query.where(schema.Source.patient == patient))
        return [
            Source(patient=row.patient, address=row.address, secret=row.token is not None, added=row.added, last=row.last)
            for row in rows
        ]


def read_again(db: Database, patient: str, *, actor: Actor | None = None) -> ImportReport:
    """Reads what is new at every address of a patient and keeps it, as one import an address.

    Raises `UnknownPatient`, `ClinicError` where no address is kept or a token does not open, and `RecordError` where a site
    cannot be read; what was read from another address by then is kept.
    """
    allow(actor, BRINGS_IN)
    with db.read() as session:
        zone, therapy = require(session, patient).zone, practice_of(session, patient).therapy
        rows = list(session.scalars(select(schema.Source).where(schema.Source.patient == patient)))
    if not rows:
        raise ClinicError(f"no address is kept for patient {patient!r}: bring one in first")
    reports = []
    for row in rows:
        try:
            token = unlock(_signer(db), row.token, patient, row.address) if row.token else ""
        except StoreError as error:
            raise ClinicError(f"the token of {row.address} does not open: {error}") from None
        [record] = _read(Site(row.address, token), zone, patient, row.last and row.last - LATE)
        if row.last is not None:
            rates = [channel.name for channel in therapy.channels if channel.form == "rate"]
            record = replace(record, events=_going_on(record.events, rates, pd.Timestamp(row.last)))
        reports.append(store_records(db, SITE, [record], actor=actor, merge=True))
        with db.write() as session:
            kept = session.get_one(schema.Source, (patient, row.address))
            kept.last = _newest(record, kept.last)
            append(session, actor or local_account(), "source read", patient=patient, rows=[kept], address=row.address)
    refresh(db, [patient])
    patients = tuple(each for report in reports for each in report.patients)
    failed = {name: why for report in reports for name, why in report.failed.items()}
    return ImportReport(source=SITE, patients=patients, failed=failed, run=reports[-1].run)


def under_new_key(session: Session, old: Signer, new: Signer, actor: Actor) -> int:
    """Keeps every token under a new key within a transaction; returns how many. Those that the old one does not open stay."""
    moved = 0
    for row in session.scalars(select(schema.Source).where(schema.Source.token.is_not(None))):
        try:
            token = unlock(old, str(row.token), row.patient, row.address)
        except StoreError:
            continue
        row.token = lock(new, token, row.patient, row.address)
        append(session, actor, "source kept", patient=row.patient, rows=[row], address=row.address)
        moved += 1
    return moved


def _read(site: Site, zone: str | None, patient: str | None, since: datetime | None) -> list[PatientRecord]:
    from careplan.records import READERS

    found = READERS[SITE](site.address, zone=zone, token=site.token or None, patient=patient, since=since)
    return [replace(record, source=SITE, why="you said so") for record in found]


def _going_on(events: pd.DataFrame, rates: Sequence[str], last: pd.Timestamp) -> pd.DataFrame:
    """The events without those parts of rates that were read before: what goes on at `last` begins there anew, since a rate ends
    where the next begins. What is given at once is known again by its key."""
    end = events["time"] + pd.to_timedelta(events["duration"].fillna(0.0), unit="m")
    before = events["channel"].isin(rates) & (events["time"] < last)
    going = before & (end > last)
    moved = events.copy()
    moved.loc[going, "duration"] = (end[going] - last).dt.total_seconds() / 60.0
    moved.loc[going, "time"] = last
    return moved[~before | going].sort_values("time", kind="stable", ignore_index=True)


def _newest(record: PatientRecord, before: datetime | None) -> datetime | None:
    times = record.events["time"]
    return before if times.empty else pd.Timestamp(times.max()).to_pydatetime()


def _signer(db: Database) -> Signer:
    if db.notary is None:
        raise ClinicError("this database is in memory: there is no key to keep a token under")
    return db.notary.signer
