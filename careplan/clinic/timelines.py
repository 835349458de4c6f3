"""What became of a patient's treatment, and who changed it: the time line of everything that the audit trail says of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import select

from careplan.clinic.access_log import log_record_view
from careplan.clinic.views import AuditRecord
from careplan.language import N_
from careplan.store import Actor, Database
from careplan.store.schema import AuditEntry

Happened = Literal["regimen", "targets", "decision", "proposal", "recordings", "model", "patient"]
KINDS: tuple[Happened, ...] = get_args(Happened)


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One thing that changed something of a patient: when, what kind, who did it, what in words, and the entry that says so.

    number: of the regimen version, the targets version or the suggestion that it made, where it made one.
    """

    time: datetime
    kind: Happened
    actor: str
    what: str
    entry: int
    number: int | None = None


def timeline(db: Database, patient: str, *, actor: Actor | None = None) -> tuple[Happening, ...]:
    """Everything that changed something of a patient, over the whole record, the newest first; the look is on record.

    Drafts, reads and exports change nothing of the patient and are not told. Raises `UnknownPatient`.
    """
    log_record_view(db, patient, actor)
    with db.read() as session:
        query = select(AuditEntry).where(AuditEntry.patient == patient, AuditEntry.action.in_(SAID))
        entries = session.scalars(query.order_by(AuditEntry.id.desc()))
        return tuple(_told(entry) for entry in entries if not _of_a_decision(entry))


def happened(entry: AuditRecord) -> str | None:
    """What an entry of the audit trail tells in words, in English; None where a history does not tell of such entries."""
    if entry.action not in SAID or not isinstance(entry.detail, Mapping):
        return None
    return SAID[entry.action][1](entry.detail)


def _of_a_decision(entry: AuditEntry) -> bool:
    """Whether an entry is of a regimen that a decision made, which tells of it itself."""
    return entry.action == "regimen added" and str(entry.detail.get("source")).startswith("suggestion ")


def _told(entry: AuditEntry) -> Happening:
    kind, say, number = SAID[entry.action]
    detail: Mapping[str, Any] = entry.detail if isinstance(entry.detail, dict) else {}
    made = detail.get(number)
    return Happening(
        time=entry.time,
        kind="regimen" if entry.action == "signed" and detail.get("regimen") is not None else kind,
        actor=entry.actor,
        what=say(detail),
        entry=entry.id,
        number=made if isinstance(made, int) else None,
    )


IMPORTED = N_("recordings came in from {source}: {count} entries")
TAKEN_BACK = N_("an import was taken back: {reason}")
STATED = N_("regimen as the source states it")
ESTIMATED = N_("regimen estimated from the record")
SAVED = N_("regimen from {source}")
PROPOSED = N_("suggestion {number}: {count} lines proposed")
ONE_PROPOSED = N_("suggestion {number}: one line proposed")
UNCHANGED = N_("suggestion {number}: no change proposed")
ABSTAINED = N_("suggestion {number}: careplan abstained")
DECIDED = N_("suggestion {number} decided: {meaning}; {accepted} accepted, {edited} changed, {rejected} rejected")
TARGETS = N_("targets {before} to {after}: {reason}")
PERSONALISED = N_("the model was fitted to the patient anew")
BEGUN = N_("treated for {therapy} from here on, in group {group}")
CLINIC = N_("moved to clinic {after}: {reason}")
ADDED = N_("patient added from {source}")
COVARIATES = N_("became known: {names}")


def _filled(template: str, *names: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda detail: template.format(**{name: detail.get(name) or "-" for name in names})


def _imported(detail: Mapping[str, Any]) -> str:
    added = detail.get("events_added") or {}
    return IMPORTED.format(source=detail.get("source") or "-", count=sum(added.values()))


def _regimen(detail: Mapping[str, Any]) -> str:
    source = str(detail.get("source"))
    return {"stated": STATED, "estimated": ESTIMATED}.get(source, SAVED).format(source=source)


def _suggested(detail: Mapping[str, Any]) -> str:
    lines = detail.get("lines") or {}
    proposed = {0: UNCHANGED, 1: ONE_PROPOSED}.get(len(lines), PROPOSED)
    template = ABSTAINED if detail.get("abstained") else proposed
    return template.format(number=detail.get("suggestion"), count=len(lines))


def _decided(detail: Mapping[str, Any]) -> str:
    verdicts = [each.get("verdict") for each in detail.get("decisions") or []]
    counts = {name: verdicts.count(verdict) for name, verdict in DECISIONS.items()}
    return DECIDED.format(number=detail.get("suggestion"), meaning=detail.get("meaning"), **counts)


def _targets(detail: Mapping[str, Any]) -> str:
    before, after = ((detail.get(name) or {}).get("preset") or "-" for name in ("before", "after"))
    return TARGETS.format(before=before, after=after, reason=detail.get("reason") or "-")


def _known(detail: Mapping[str, Any]) -> str:
    return COVARIATES.format(names=", ".join(detail.get("covariates") or {}))


DECISIONS = {"accepted": "accept", "edited": "edit", "rejected": "reject"}
# By action of the trail: the kind, how its detail is said, and which of it is the number of what was made.
SAID: Mapping[str, tuple[Happened, Callable[[Mapping[str, Any]], str], str]] = {
    "imported": ("recordings", _imported, ""),
    "taken back": ("recordings", _filled(TAKEN_BACK, "reason"), ""),
    "regimen added": ("regimen", _regimen, "regimen"),
    "suggested": ("proposal", _suggested, "suggestion"),
    "signed": ("decision", _decided, "regimen"),
    "targets signed": ("targets", _targets, ""),
    "personalised": ("model", lambda _: PERSONALISED, ""),
    "course begun": ("patient", _filled(BEGUN, "therapy", "group"), ""),
    "clinic changed": ("patient", _filled(CLINIC, "after", "reason"), ""),
    "patient added": ("patient", _filled(ADDED, "source"), ""),
    "covariates recorded": ("patient", _known, ""),
}
