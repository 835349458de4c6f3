"""What the grammar reads a question against: the patients of a store, and the policies that a cohort may live under."""

import re
from functools import cache

from careplan.clinic import asking
from careplan.interop.language.grammar import Known
from careplan.interop.language.unread import GLUCOSE, Spoken
from careplan.store import Database
from careplan.therapies.glucose import declaration

POLICIES = (  # the names in `careplan.studies.replays`, without waiting for it; a test holds them together
    *("behaviour", "basal-bolus", "exploration", "pid", "oref", "titration", "oracle", "oracle-announced", "twin", "no-insulin"),
    *("basal-only", "treat-to-target", "start-basal", "planner"),
)


def known_in(db: Database) -> Known:
    """The patients of a store; what is known of each is looked up when it is needed."""

    @cache
    def spoken(patient: str) -> Spoken:
        practice = asking.spoken_of(db, patient, GLUCOSE.therapy)
        if practice is None:
            return GLUCOSE._replace(reach=asking.farthest(declaration.GLUCOSE))
        therapy, called = practice.therapy, getattr(practice.words, "settings", {})
        channels = [therapy.channel(therapy.regulated), *therapy.of("action")]
        settings = set(called) - {channel.name for channel in therapy.channels}
        level = called.get(therapy.regulated, therapy.regulated)
        named = [therapy.name, *settings, *(f"{channel.name} {channel.unit}" for channel in channels)]
        return Spoken(practice.name, level, frozenset(re.findall(r"[a-z]+", " ".join(named).lower())), asking.farthest(therapy))

    today = cache(lambda patient: asking.last_day(db, patient))
    return Known(tuple(asking.all_patients(db)), today, POLICIES, spoken)
