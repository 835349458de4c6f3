"""Every policy by name."""

from collections.abc import Callable

from cohorts.loops import Oref, Pid
from cohorts.oracle import Oracle
from cohorts.policies import Behaviour, Policy
from cohorts.titration import Titration

POLICIES: dict[str, Callable[[], Policy]] = {
    "behaviour": Behaviour,
    "basal-bolus": Behaviour.as_set,
    "exploration": lambda: Behaviour(name="exploration", explore=0.35),
    "pid": Pid,
    "oref": Oref,
    "titration": Titration,
    "oracle": Oracle,
}


def named(name: str) -> Policy:
    """A new policy of that name, or a ValueError that says which there are."""
    if name not in POLICIES:
        raise ValueError(f"policy {name!r}: expected one of {', '.join(POLICIES)}")
    return POLICIES[name]()
