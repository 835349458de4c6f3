"""Every policy by name."""

from collections.abc import Callable

from cohorts.loops import Oref, Pid
from cohorts.oracle import Oracle, Twin
from cohorts.policies import Behaviour, Policy
from cohorts.population import Cohort
from cohorts.titration import Titration, TreatToTarget

POLICIES: dict[str, Callable[[], Policy]] = {
    "behaviour": Behaviour,
    "basal-bolus": Behaviour.as_set,
    "exploration": lambda: Behaviour(name="exploration", explore=0.35),
    "pid": Pid,
    "oref": Oref,
    "titration": Titration,
    "oracle": Oracle,
    "oracle-announced": lambda: Oracle(name="oracle-announced", foresight=False),
    "twin": Twin,
    "no-insulin": Behaviour.without,
    "basal-only": Behaviour.basal_only,
    "treat-to-target": TreatToTarget,
    "start-basal": lambda: TreatToTarget(name="start-basal", start=0.2),
}

PUMPS = ("pid", "oref")  # they set the rate of a pump, and people of type 2 are on pens
SOME_INSULIN = ("no-insulin", "basal-only", "treat-to-target", "start-basal")  # nothing at meals: only for who makes some


def named(name: str) -> Policy:
    """A new policy by name.

    Args:
        name: One of `POLICIES`.

    Returns:
        The policy, which has treated nobody yet.

    Raises:
        ValueError: There is none of that name; says which there are.

    >>> named("pid").name
    'pid'
    """
    if name not in POLICIES:
        raise ValueError(f"policy {name!r}: expected one of {', '.join(POLICIES)}")
    return POLICIES[name]()


def refuse_for(name: str, group: Cohort) -> None:
    """Raises ValueError where that policy makes no sense for people of that group."""
    if group == "type2" and name in PUMPS:
        raise ValueError(f"policy {name!r} is not for {group}: it sets the rate of a pump, and they are on pens")
    if group != "type2" and name in SOME_INSULIN:
        raise ValueError(f"policy {name!r} is not for {group}: who makes no insulin needs it at every meal")
