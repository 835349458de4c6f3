"""What the grammar reads a question against: the patients of a store, and the policies that a cohort may live under."""

import re
from functools import cache

from careplan.clinic import asking
from careplan.interop.language.grammar import Known
from careplan.store import Database
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapy import Therapy

POLICIES = (  # the names in `careplan.studies.replays`, without waiting for it; a test holds them together
    *("behaviour", "basal-bolus", "exploration", "pid", "oref", "titration", "oracle", "oracle-announced", "twin", "no-insulin"),
    *("basal-only", "treat-to-target", "start-basal", "planner"),
)


def known_in(db: Database) -> Known:
    """The patients of a store; what is known of each is looked up when it is needed."""

    @cache
    def therapy(patient: str) -> Therapy | None:
        practice = asking.spoken_of(db, patient, GLUCOSE.name)
        return None if practice is None else practice.therapy

    def terms(patient: str) -> frozenset[str]:
        found = therapy(patient)
        named = () if found is None else (found.name, *(f"{channel.name} {channel.unit}" for channel in found.channels))
        return frozenset(re.findall(r"[a-z]+", " ".join(named).lower()))

    def reach(patient: str) -> float:
        return asking.farthest(therapy(patient) or GLUCOSE)

    today = cache(lambda patient: asking.last_day(db, patient))
    return Known(tuple(asking.all_patients(db)), today, POLICIES, terms, reach)
