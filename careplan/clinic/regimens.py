"""What is prescribed: stored versions, the estimate where no source states one, and changed lines applied to a regimen."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from careplan.clinic import codec
from careplan.clinic.errors import ClinicError
from careplan.clinic.records import add_regimen, current_version, record_of, require
from careplan.clinic.views import Setting
from careplan.records.grid import to_series
from careplan.store import Actor, Database
from careplan.therapies.glucose.declaration import DAY, GLUCOSE, Regimen
from careplan.therapies.glucose.estimates import estimate_regimen


class Prescribed(NamedTuple):
    """A regimen and where it comes from: "stated", "estimated", "suggestion 12"."""

    regimen: Regimen
    source: str
    valid_from: datetime | None


class Change(NamedTuple):
    """One setting from `start` to `end` minutes of the local day."""

    setting: Setting
    start: int
    end: int
    value: float


def load_regimen(db: Database, patient: str) -> Regimen | None:
    """What the patient is on: the version in force, else an estimate from the records, else `None`."""
    found = prescribed(db, patient)
    return None if found is None else found.regimen


def prescribed(db: Database, patient: str) -> Prescribed | None:
    """What the patient is on and where that is from. Raises `UnknownPatient`."""
    with db.read() as session:
        require(session, patient)
        version = current_version(session, patient)
        if version is not None:
            return Prescribed(codec.load(Regimen, version.body), version.source, version.valid_from)
        record = record_of(session, patient)
    estimate = None if record.events.empty else estimate_regimen(to_series(record, GLUCOSE))
    return None if estimate is None else Prescribed(estimate, "estimated", None)


def keep_estimate(db: Database, patient: str, *, actor: Actor) -> None:
    """Stores the estimate as a version where nothing else is stored, so that a suggestion refers to something that stays."""
    found = prescribed(db, patient)
    if found is None or found.valid_from is not None:
        return
    with db.write() as session:
        last = record_of(session, patient).events["time"].max().to_pydatetime()
        if current_version(session, patient) is None:
            add_regimen(session, patient, found.regimen, source="estimated", valid_from=last, actor=actor)


def apply_changes(regimen: Regimen, changes: Iterable[Change]) -> Regimen:
    """A new regimen with each setting changed between its start and end; blocks are split where a change needs it.

    Raises `ClinicError` for a setting a regimen has not, or a span outside the day.
    """
    changes = tuple(changes)
    for change in changes:
        if not 0 <= change.start < change.end <= DAY:
            raise ClinicError(f"{change.setting}: from minute {change.start} to {change.end} is not a span of one day")
    bounds = {*regimen.starts, *(c.start for c in changes), *(c.end for c in changes if c.end < DAY)}
    starts = tuple(sorted(bounds)) if any(c.setting != "long_acting" for c in changes) else regimen.starts
    values: dict[str, list[float]] = {
        name: [getattr(regimen, name)[regimen.block(start)] for start in starts]
        for name in ("basal", "carb_ratio", "correction_factor")
    }
    long_acting = regimen.long_acting
    for change in changes:
        if change.setting == "long_acting":
            long_acting = change.value
        elif change.setting in values:
            for index, start in enumerate(starts):
                if change.start <= start < change.end:
                    values[change.setting][index] = change.value
        else:
            raise ClinicError(f"{change.setting!r} is not a setting of a regimen")
    return replace(
        regimen,
        starts=starts,
        long_acting=long_acting,
        basal=tuple(values["basal"]),
        carb_ratio=tuple(values["carb_ratio"]),
        correction_factor=tuple(values["correction_factor"]),
    )
