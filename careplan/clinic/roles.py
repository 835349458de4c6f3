"""Who may do what: the roles that an identity provider gives, and the use cases that each opens.

An actor without roles is the account of the machine or of a program, and may do everything. Which patients anybody sees is the
database's own affair (`careplan.store.tenancy`).
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from careplan.clinic.errors import ClinicError
from careplan.clinic.known import require
from careplan.language import N_
from careplan.store import Actor, Database, append, local_account

Role = Literal["viewer", "clinician", "researcher", "administrator"]
NAMES = (N_("viewer"), N_("clinician"), N_("researcher"), N_("administrator"))
ROLES: tuple[Role, ...] = get_args(Role)
DECIDES: tuple[Role, ...] = ("clinician",)
BRINGS_IN: tuple[Role, ...] = ("clinician", "administrator")
VERIFIES: tuple[Role, ...] = ("administrator",)
STUDIES: tuple[Role, ...] = ("researcher", "administrator")


class Forbidden(ClinicError):  # noqa: N818
    """The actor's roles do not open this."""


def may(actor: Actor, roles: Sequence[Role]) -> bool:
    """Whether the actor has one of the roles, or none is asked of them."""
    return actor.roles is None or bool(actor.roles & {*roles})


def allow(actor: Actor | None, roles: Sequence[Role]) -> None:
    """Raises `Forbidden` where the actor has none of the roles. None is the machine's account."""
    if actor is not None and not may(actor, roles):
        told = N_("{who} may not do this: it takes the role of {roles}")
        raise Forbidden(told.format(who=actor.name, roles=" or ".join(roles)))


def assign(db: Database, patients: Sequence[str], clinic: str, *, reason: str, actor: Actor | None = None) -> None:
    """Moves patients to a clinic, on record. Raises `UnknownPatient`, and `ClinicError` without a reason."""
    allow(actor, VERIFIES)
    if not reason.strip():
        raise ClinicError("expected a reason for moving patients to another clinic")
    with db.write() as session:
        for patient in patients:
            row = require(session, patient)
            before, row.clinic = row.clinic, clinic
            told: dict[str, Any] = {"before": before, "after": clinic, "reason": reason.strip()}
            append(session, actor or local_account(), "clinic changed", patient=patient, rows=[row], **told)
