"""Two periods side by side: what differs and how surely, and whether what was predicted of a change came true.

An interval of a difference is made by drawing stretches (days of a sensor, stretches from one rare reading to the next) anew with
replacement, within each period, `DRAWS` times, and holds 90 % of the draws. It says how far the stretches of the two periods tell
them apart. It does not say that the change made the difference: life changes too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from careplan import therapies
from careplan.clinic import codec
from careplan.clinic.access_log import log_record_view
from careplan.clinic.courses import course_of, targets_of
from careplan.clinic.errors import Altered, ClinicError
from careplan.clinic.known import require
from careplan.store import Actor, Database, read_channel, schema
from careplan.store.schema import RegimenVersion
from careplan.suggestion import Interval, Suggestion
from careplan.targets import Targets

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from careplan.practice import Practice

DRAWS, COVERED = 2000, 0.9
LEAST = 3  # stretches of a period, with fewer of which no interval is told
Verdict = Literal["as predicted", "not told apart", "beyond what was predicted", "short of what was predicted", "the other way"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of the regimen: its version, since when, from what source, and the settings that moved, before and after.

    suggestion: that it was signed from; predicted: what was said then of each outcome's change, where it was signed as proposed.
    """

    version: int
    since: datetime
    source: str
    moved: tuple[tuple[str, int, float, float], ...]  # setting, minute of the day, before, after
    suggestion: int | None = None
    predicted: Mapping[str, Interval] | None = None


@dataclass(frozen=True, kw_only=True)
class Period:
    """Readings from `start` up to `end`, and what the therapy's summary says of them."""

    start: datetime
    end: datetime
    days: float
    metrics: Any
    stretches: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An outcome before and after, the difference with its 90 % interval (None with too few stretches), and what was predicted.

    predicted: the change that was said then, with its 90 % interval where there was one. verdict: whether it came true.
    """

    outcome: str
    before: float
    after: float
    change: Interval | None
    predicted: Interval | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two periods side by side. change: that lies between them, where one does. targets: by whose edges it is counted."""

    patient: str
    therapy: str
    before: Period
    after: Period
    differences: tuple[Difference, ...]
    change: Change | None
    targets: Targets


def changes(db: Database, patient: str, therapy: str | None = None) -> tuple[Change, ...]:
    """Every change of a patient's regimen, the newest first. Raises `UnknownPatient`, and as `course_of`."""
    with db.read() as session:
        require(session, patient)
        return _changes(session, patient, course_of(session, patient, therapy).therapy)


def compare_change(
    db: Database, patient: str, version: int | None = None, *, therapy: str | None = None, actor: Actor | None = None
) -> Comparison:
    """Before and after a change of the regimen (the newest that there are readings after): as many days as targets are judged on,
    or fewer where another change, or the end of the record, is nearer.

    Raises `ClinicError` where there is no such change or no readings on a side of it; `UnknownPatient`; and as `course_of`.
    """
    log_record_view(db, patient, actor)
    with db.read() as session:
        course = course_of(session, patient, therapy)
        found, practice = _changes(session, patient, course.therapy), therapies.practice(course.therapy)
        readings = _readings(session, patient, practice)
        sides = {each.version: _sides(found, place, practice.recent) for place, each in enumerate(found)}
        lived = [each for each in found if all(len(_within(readings, *side)) for side in sides[each.version])]
        chosen = next((each for each in lived if version in (None, each.version)), None)
        if chosen is None:
            which = "no change of the regimen" if version is None else f"no change {version} of the regimen"
            raise ClinicError(f"patient {patient!r}: {which} has readings before it and after it")
        targets = targets_of(session, course)
        if chosen.suggestion is not None and chosen.predicted:
            made = _suggestion(session, chosen.suggestion)
            targets = targets if made is None or made.targets is None else made.targets
        return _compared(patient, practice.at(targets), targets, readings, *sides[chosen.version], chosen)


def compare_periods(
    db: Database,
    patient: str,
    before: tuple[datetime, datetime],
    after: tuple[datetime, datetime],
    *,
    therapy: str | None = None,
    actor: Actor | None = None,
) -> Comparison:
    """Any two periods, each from a time up to another. Raises `ClinicError` for a period without readings, and as
    `compare_change`."""
    log_record_view(db, patient, actor)
    with db.read() as session:
        course = course_of(session, patient, therapy)
        targets = targets_of(session, course)
        practice = therapies.practice(course.therapy).at(targets)
        readings = _readings(session, patient, practice)
    for start, end in (before, after):
        if not len(_within(readings, start, end)):
            raise ClinicError(f"patient {patient!r} has no reading from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}")
    return _compared(patient, practice, targets, readings, before, after, None)


def verdict_of(change: Interval, predicted: Interval) -> Verdict:
    """Whether a prediction came true. As predicted: what was lived is within the predicted interval, or where there was none,
    what was predicted within that of what was lived. Not told apart: the two intervals meet."""
    told = predicted.low < predicted.high
    if predicted.low <= change.mid <= predicted.high if told else change.low <= predicted.mid <= change.high:
        return "as predicted"
    if change.low <= predicted.high and predicted.low <= change.high:
        return "not told apart"
    if change.mid * predicted.mid < 0:
        return "the other way"
    return "beyond what was predicted" if abs(change.mid) > abs(predicted.mid) else "short of what was predicted"


def _changes(session: Session, patient: str, therapy: str) -> tuple[Change, ...]:
    query = select(RegimenVersion).where(RegimenVersion.patient == patient, RegimenVersion.therapy == therapy)
    versions = session.scalars(query.order_by(RegimenVersion.valid_from, RegimenVersion.id)).all()
    reviews = {
        review.regimen: review
        for review in session.scalars(select(schema.Review).where(schema.Review.patient == patient))
        if review.regimen is not None
    }
    practice, found = therapies.practice(therapy), []
    for before, after in pairwise(versions):
        moved = _moved(practice, codec.load(practice.regimen, before.body), codec.load(practice.regimen, after.body))
        review = reviews.get(after.id)
        signed = None if review is None else _suggestion(session, review.suggestion)
        as_proposed = review is not None and review.meaning == "prescribe as proposed"
        if moved:
            found.append(
                Change(
                    version=after.id,
                    since=after.valid_from,
                    source=after.source,
                    moved=moved,
                    suggestion=None if review is None else review.suggestion,
                    predicted=predicted_change(signed) if as_proposed and signed is not None else None,
                )
            )
    return tuple(reversed(found))


def predicted_change(suggestion: Suggestion) -> dict[str, Interval] | None:
    """What a suggestion says that its change does to each outcome; an interval of no width where it told none."""
    if suggestion.why is not None and suggestion.why.sure is not None and suggestion.why.sure.effects:
        return dict(suggestion.why.sure.effects)
    options = {option.name: option.outcomes for option in suggestion.options}
    if not {"proposed", "no change"} <= options.keys():
        return None
    mids = {
        name: interval.mid - options["no change"][name].mid
        for name, interval in options["proposed"].items()
        if name in options["no change"]
    }
    return {name: Interval(mid=mid, low=mid, high=mid) for name, mid in mids.items()}


def _moved(practice: "Practice", before: Any, after: Any) -> tuple[tuple[str, int, float, float], ...]:
    """The settings that two regimens have otherwise, each from a minute of the day on."""
    found = []
    was, now = practice.listed(before), practice.listed(after)
    for setting in now:
        for start, value in now[setting]:
            earlier = [old for begin, old in was.get(setting, ()) if begin <= start]
            if earlier and abs(earlier[-1] - value) > 1e-9:
                found.append((setting, start, earlier[-1], value))
    return tuple(found)


def _suggestion(session: Session, number: int) -> Suggestion | None:
    from careplan.clinic.suggestions import stored

    try:
        return stored(session, number)
    except Altered:
        return None


Side = tuple[datetime, datetime]


def _sides(found: Sequence[Change], place: int, recent: timedelta) -> tuple[Side, Side]:
    """The stretch before a change and the one after it, each up to its neighbours; `found` has the newest first."""
    since = found[place].since
    begun = found[place + 1].since if place + 1 < len(found) else since - recent
    ends = found[place - 1].since if place else since + recent
    return (max(begun, since - recent), since), (since, min(ends, since + recent))


def _readings(session: Session, patient: str, practice: "Practice") -> "pd.DataFrame":
    found = read_channel(session, patient, practice.therapy.regulated)
    return found.assign(time=found["time"].dt.tz_convert(require(session, patient).zone))


def _within(readings: "pd.DataFrame", start: datetime, end: datetime) -> "pd.DataFrame":
    return readings[(readings["time"] >= start) & (readings["time"] < end)]


def _compared(
    patient: str,
    practice: "Practice",
    targets: Targets,
    readings: "pd.DataFrame",
    before: Side,
    after: Side,
    change: Change | None,
) -> Comparison:
    parts = [_within(readings, *side) for side in (before, after)]
    tables = [None if practice.stretches is None else practice.stretches(part) for part in parts]
    predicted = change.predicted or {} if change is not None else {}
    return Comparison(
        patient=patient,
        therapy=practice.name,
        before=_period(practice, parts[0], before, tables[0]),
        after=_period(practice, parts[1], after, tables[1]),
        differences=() if tables[0] is None or tables[1] is None else _differences(tables[0], tables[1], predicted),
        change=change,
        targets=targets,
    )


def _period(practice: "Practice", readings: "pd.DataFrame", side: Side, table: "pd.DataFrame | None") -> Period:
    glance = practice.glance(readings)
    return Period(
        start=side[0], end=side[1], days=glance.days, metrics=glance.metrics, stretches=0 if table is None else len(table)
    )


def _differences(before: "pd.DataFrame", after: "pd.DataFrame", predicted: Mapping[str, Interval]) -> tuple[Difference, ...]:
    """Of each outcome that the stretches tell, with intervals by drawing the stretches of both periods anew."""
    import numpy as np

    if before.empty or after.empty:
        return ()
    generator = np.random.default_rng(0)
    (old, old_drawn), (new, new_drawn) = (_drawn(table, generator) for table in (before, after))
    names, found = [name for name in before.columns if name != "weight"], []
    enough = min(len(before), len(after)) >= LEAST
    for place, name in enumerate(names):
        edges = np.quantile(new_drawn[:, place] - old_drawn[:, place], [(1 - COVERED) / 2, (1 + COVERED) / 2])
        mid = float(new[place] - old[place])
        change = Interval(mid=mid, low=float(edges[0]), high=float(edges[1])) if enough else None
        said = predicted.get(name)
        verdict = None if said is None or change is None else verdict_of(change, said)
        found.append(
            Difference(
                outcome=name,
                before=float(old[place]),
                after=float(new[place]),
                change=change,
                predicted=said,
                verdict=verdict,
            )
        )
    return tuple(found)


def _drawn(table: "pd.DataFrame", generator: Any) -> "tuple[NDArray[Any], NDArray[Any]]":
    """The outcomes of a period `[K]`, each stretch by its weight, and of `DRAWS` periods of stretches drawn anew `[DRAWS, K]`."""
    weight = table["weight"].to_numpy(dtype=float)
    values = table.drop(columns="weight").to_numpy(dtype=float)
    chosen = generator.integers(len(table), size=(DRAWS, len(table)))
    drawn = (values[chosen] * weight[chosen][..., None]).sum(1) / weight[chosen].sum(1, keepdims=True)
    return (values * weight[:, None]).sum(0) / weight.sum(), drawn
