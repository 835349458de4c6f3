"""What each patient is treated to: presets of the therapy and custom targets, signed like a regimen and never edited."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan import therapies
from careplan.clinic import codec
from careplan.clinic.courses import course_of, targets_of
from careplan.clinic.errors import ClinicError
from careplan.clinic.known import current_targets, require
from careplan.clinic.roles import DECIDES, allow
from careplan.practice import Practice
from careplan.store import Actor, Database, append, local_account, number, tampered
from careplan.store.schema import TargetsVersion
from careplan.targets import CUSTOM, Preset, Targets


@dataclass(frozen=True, kw_only=True)
class Signed:
    """Targets that somebody signed: by whom, since when and why."""

    targets: Targets
    signer: str
    since: datetime
    reason: str
    version: int


@dataclass(frozen=True, kw_only=True)
class InForce:
    """What a patient is treated to. signed: None where that is the default of their group. presets: what else there is.

    problem: why what was signed cannot be trusted, None where it can.
    """

    patient: str
    therapy: str
    group: str
    targets: Targets
    signed: Signed | None
    presets: tuple[Preset, ...]
    problem: str | None = None

    @property
    def preset(self) -> Preset | None:
        """The preset that these are; None for custom ones."""
        return next((each for each in self.presets if each.targets.preset == self.targets.preset), None)


def targets_in_force(db: Database, patient: str, therapy: str | None = None) -> InForce:
    """What a patient is treated to. therapy: where they have several. Raises `UnknownPatient`, and as `course_of`."""
    with db.read() as session:
        require(session, patient)
        return _in_force(session, patient, therapy)


def targets_signed(session: Session, patient: str, therapy: str) -> tuple[Signed, ...]:
    """Everything that was signed, the newest first."""
    query = select(TargetsVersion).where(TargetsVersion.patient == patient, TargetsVersion.therapy == therapy)
    return tuple(_signed(row) for row in session.scalars(query.order_by(TargetsVersion.id.desc())))


def sign_targets(
    db: Database,
    patient: str,
    *,
    preset: str | None = None,
    changed: Mapping[str, float] | None = None,
    reason: str,
    actor: Actor | None = None,
    therapy: str | None = None,
) -> InForce:
    """Signs what a patient is treated to from now on: a preset, or what is in force, with some levels and shares changed.

    changed: by name; NaN for an outcome that has no target. Whatever is shown, said and planned of the patient follows; what was
    suggested under other targets can no longer be signed. Raises `ClinicError` for a preset that there is not, for targets that
    nobody may aim at, for what is in force already, and without a reason; `Forbidden`; `UnknownPatient`; and as `course_of`.
    """
    allow(actor, DECIDES)
    actor = actor or local_account()
    if not reason.strip():
        raise ClinicError("expected a reason for other targets")
    with db.write() as session:
        require(session, patient)
        before = _in_force(session, patient, therapy)
        practice = therapies.practice(before.therapy)
        targets = _asked(practice, before, preset, changed or {})
        if targets == before.targets and before.signed is not None:
            raise ClinicError(f"patient {patient!r} is treated to these targets already")
        row = TargetsVersion(
            patient=patient,
            therapy=before.therapy,
            signed=datetime.now(UTC),
            signer=actor.name,
            identity=actor.identity,
            preset=targets.preset,
            body=codec.dump(targets),
            reason=reason.strip(),
        )
        told = {"therapy": before.therapy, "before": codec.dump(before.targets), "after": row.body, "reason": row.reason}
        append(session, actor, "targets signed", patient=patient, rows=[number(session, row)], checkpoint=True, **told)
        return _in_force(session, patient, before.therapy)


def _in_force(session: Session, patient: str, therapy: str | None) -> InForce:
    course = course_of(session, patient, therapy)
    row = current_targets(session, patient, course.therapy)
    return InForce(
        patient=patient,
        therapy=course.therapy,
        group=course.group,
        targets=targets_of(session, course),
        signed=None if row is None else _signed(row),
        presets=therapies.practice(course.therapy).presets.known,
        problem=None if row is None else tampered(session, TargetsVersion, (row.id,), patient),
    )


def _asked(practice: Practice, before: InForce, preset: str | None, changed: Mapping[str, float]) -> Targets:
    """The targets that are asked for. Raises `ClinicError` for what nobody may aim at."""
    presets = practice.presets
    if not presets.known:
        raise ClinicError(f"therapy {practice.name!r} knows no targets")
    found = before.targets
    if preset is not None:
        named = presets.named(preset)
        if named is None:
            raise ClinicError(f"there are no targets {preset!r}: {', '.join(each.targets.preset for each in presets.known)}")
        found = named.targets
    if not changed and preset is None:
        raise ClinicError("expected a preset, or a level or share to change")
    if changed:
        levels = {**found.levels, **{name: value for name, value in changed.items() if name in found.levels}}
        shares = {**found.shares, **{name: value for name, value in changed.items() if name not in found.levels}}
        shares = {name: value for name, value in shares.items() if value == value}
        found = Targets(preset=CUSTOM, levels=levels, shares=shares)
    if problems := presets.problems(found):
        raise ClinicError(f"nobody may be treated to these targets: {'; '.join(problems)}")
    return found


def _signed(row: TargetsVersion) -> Signed:
    targets = codec.load(Targets, row.body)
    return Signed(targets=targets, signer=row.signer, since=row.signed, reason=row.reason, version=row.id)
