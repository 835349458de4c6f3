"""Who acts, and how we know."""

import os
import socket
import sys
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["local account", "service account", "identity provider"]


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Somebody on record.

    kind: how we know who it is: an account of the machine that careplan runs on, an account made for a program, or a sign-in at
    the clinic's identity provider. name: as it is shown. issuer: who vouches: the machine's name, the installation, or the
    provider's address. subject: what the issuer calls them: the account's name, or the provider's `sub`. Two actors are the same
    person when issuer and subject agree; a name proves nothing. roles, clinics: what a sign-in opens to them; None is everything.
    """

    kind: Kind
    name: str
    issuer: str
    subject: str
    roles: frozenset[str] | None = None
    clinics: frozenset[str] | None = None

    def __post_init__(self) -> None:
        for field in ("name", "issuer", "subject"):
            if not getattr(self, field).strip():
                raise ValueError(f"an actor needs a {field}")

    @property
    def identity(self) -> dict[str, Any]:
        """Everything but the name, as an entry of the audit trail keeps it."""
        return {"kind": self.kind, "issuer": self.issuer, "subject": self.subject}

    @property
    def plain(self) -> dict[str, Any]:
        """Who it is, as plain values from which `Actor(**plain)` makes it again; without what was open to them then."""
        return {"name": self.name, **self.identity}

    def __str__(self) -> str:
        return f"{self.name} [{self.kind} {self.subject} of {self.issuer}]"


def local_account(name: str | None = None) -> Actor:
    """The operating system's account that this process runs under, which no environment variable can change.

    name: what the person calls themselves, shown beside the account; the account's own name where None.
    """
    subject = _account()
    return Actor(kind="local account", name=name or subject, issuer=socket.gethostname() or "this machine", subject=subject)


def _account() -> str:
    if sys.platform == "win32":
        return os.getlogin()
    import pwd

    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # an account without a name, as containers have them
        return f"uid {number}"
