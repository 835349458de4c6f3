"""What the grammar reads a question against: the patients of a store, and the policies that a cohort may live under."""

from functools import cache

from careplan.clinic import asking
from careplan.interop.language.grammar import Known
from careplan.store import Database

POLICIES = (  # the names in `careplan.studies.replays`, without waiting for it; a test holds them together
    *("behaviour", "basal-bolus", "exploration", "pid", "oref", "titration", "oracle", "oracle-announced", "twin", "no-insulin"),
    *("basal-only", "treat-to-target", "start-basal", "planner"),
)


def known_in(db: Database) -> Known:
    """The patients of a store, each one's last recorded day looked up when it is needed."""
    return Known(tuple(asking.all_patients(db)), cache(lambda patient: asking.last_day(db, patient)), POLICIES)
