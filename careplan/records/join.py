"""Several sources of one person as one record: a dose, a reading or a rate that two of them hold counts once.

The sources are taken in the order of their precedence. Of each that follows, what the joined record already holds is left out,
and every event that is left out is told with what it is the same as:

- rule "same dose": an impulse (or what was given within a minute, as a sum) of the same amount within 5 minutes
- rule "same reading": a sensor's reading of the same value, or a finger stick, within 3 minutes
- rule "overlapping sensor": a reading of another value where the joined record has one within 10 minutes
- rule "rate known": a rate, for as long as the joined record knows the channel's
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.records.channels import DEVICE_CHANNELS
from careplan.records.clocks import Stretch, moved, stretches, stretches_in_words
from careplan.records.correction import Action, Correction
from careplan.records.events import PatientRecord, flagged
from careplan.records.grid import until

# Who is believed first: what a pump or sensor itself wrote, then what gathers from devices, then what passes it on, then tables.
PRECEDENCE = (
    *("carelink", "tandem", "clarity", "libreview", "glooko", "tidepool", "ohio", "azt1d", "t1d-uom", "shanghai", "uci"),
    *("xdrip", "sidiary", "nightscout", "fhir", "table"),
)
SAME_DOSE = pd.Timedelta(minutes=5)
AT_ONCE = pd.Timedelta(minutes=1)  # parts of one dose: a combo bolus's two, a premix's two
SAME_READING = pd.Timedelta(minutes=3)
SENSOR_NEAR = pd.Timedelta(minutes=10)  # within two sensors' cadence, another reading adds nothing
UNITS, SHARE = {"bolus": 0.05, "long_acting": 0.05, "carbs": 0.51}, 0.01  # sources round a dose differently
READING = 1.01  # mg/dL: a mmol/L rounded to a tenth is 1.8 wide, a mg/dL 1
DISAGREE = 27.0  # mg/dL (1.5 mmol/L): two sensors of one person should not differ by more, half of the time
FEWEST_READINGS = 12  # that lie beside another, to say that two sensors disagree

Same = tuple[str, str]  # the rule that leaves an event out, and what it is the same as


def join_people(records: Sequence[PatientRecord], *, prefer: Sequence[str] = ()) -> list[PatientRecord]:
    """One record a person: those of one name are joined.

    Args:
        records: Of anybody.
        prefer: Sources believed first, as in `join_records`.

    Returns:
        In the order in which each person first comes.
    """
    people: dict[str, list[PatientRecord]] = {}
    for record in records:
        people.setdefault(record.patient, []).append(record)
    return [join_records(mine, prefer=prefer) if len(mine) > 1 else mine[0] for mine in people.values()]


def join_records(records: Sequence[PatientRecord], *, prefer: Sequence[str] = ()) -> PatientRecord:
    """The joined record of one person's sources.

    Rule "clock of a source": where doses (or readings) show that a source's clock was away from the others', its events are moved
    by as much, and each stretch of time is reported. Zone, regimen, weight and group are of the first source that states one.

    Args:
        records: Of one person.
        prefer: Sources believed first, before `PRECEDENCE`.

    Returns:
        One record, whose corrections say what every event that is left out is the same as.

    Raises:
        ValueError: There is no record, or they are of several people.
    """
    if len({record.patient for record in records}) != 1:
        raise ValueError(f"expected records of one patient, found {sorted({record.patient for record in records})}")
    order = [*prefer, *(source for source in PRECEDENCE if source not in prefer)]
    ranked = sorted(records, key=lambda record: order.index(record.source) if record.source in order else len(order))
    first = ranked[0]
    events, corrections = first.events, list(first.corrections)
    for record in ranked[1:]:
        fresh, new = add_to(events, record, first.zone)
        events = pd.concat([events, fresh], ignore_index=True).sort_values(["time", "channel"], kind="stable", ignore_index=True)
        corrections += [*record.corrections, *new]
    ignored: dict[str, int] = {}
    for record in ranked:
        for kind, count in record.ignored.items():
            ignored[kind] = ignored.get(kind, 0) + count
    return replace(
        first,
        events=events,
        corrections=tuple(corrections),
        rows_read=sum(record.rows_read for record in ranked),
        weight=next((record.weight for record in ranked if record.weight is not None), None),
        group=next((record.group for record in ranked if record.group != "adult"), "adult"),
        regimen=next((record.regimen for record in ranked if record.regimen is not None), None),
        files=tuple(dict.fromkeys(file for record in ranked for file in record.files)),
        ignored=ignored,
        source=" + ".join(dict.fromkeys(record.source for record in ranked if record.source)),
        why="; ".join(dict.fromkeys(record.why for record in ranked if record.why)),
    )


def add_to(known: pd.DataFrame, record: PatientRecord, zone: str) -> tuple[pd.DataFrame, list[Correction]]:
    """What a record adds to events that are known.

    Args:
        known: The known events, sorted by time.
        record: Of the same person, of another source.
        zone: The clock of the known events.

    Returns:
        The events that are new, on the known clock, and the corrections of the others.
    """
    away: list[Stretch] = stretches(known, record.events)
    events = moved(record.events, away)
    file = record.files[0] if record.files else record.source or record.patient
    corrections = [Correction("changed", "clock of a source", file, 0, "time", text) for text in stretches_in_words(away)]
    if record.zone != zone:
        corrections.append(
            Correction("changed", "two zones", file, 0, "zone", f"its clock is {record.zone}, the joined record's {zone}")
        )
    same: dict[int, Same] = {}
    later: dict[int, tuple[pd.Timestamp, float]] = {}
    for channel in DEVICE_CHANNELS:
        mine = np.flatnonzero((events["channel"] == channel.name).to_numpy())
        theirs, ours = known[known["channel"] == channel.name], events.iloc[mine]
        if not len(mine) or theirs.empty:
            continue
        if channel.form == "impulse":
            found = same_doses(theirs, ours, UNITS[channel.name])
        elif channel.form == "level":
            found = same_readings(theirs, ours)
            corrections += disagreement(theirs, ours, file)
        else:
            found, rest = known_rates(theirs, ours)
            for place, (time, duration) in rest.items():
                corrections.append(
                    _correction(
                        "changed", "rate known", ours.iloc[place], f" U/h: from {time:%H:%M} on, the rate before is known"
                    )
                )
                later[int(mine[place])] = (time, duration)
        same |= {int(mine[place]): each for place, each in found.items()}
    if later:
        times, lengths = events["time"].copy(), events["duration"].copy()
        times.iloc[list(later)] = [time for time, _ in later.values()]
        lengths.iloc[list(later)] = [length for _, length in later.values()]
        events = events.assign(time=times, duration=lengths)
    corrections += [_correction("dropped", rule, events.iloc[index], what) for index, (rule, what) in sorted(same.items())]
    return events.drop(index=events.index[sorted(same)]).reset_index(drop=True), corrections


def _correction(action: Action, rule: str, event: pd.Series, what: str) -> Correction:
    file, _, line = str(event["origin"]).rpartition(":")
    text = f"{event['time']:%Y-%m-%d %H:%M} UTC {event['channel']} {event['value']:g}{what}"
    return Correction(action, rule, file or line, int(line) if file and line.isdigit() else 0, str(event["channel"]), text)


def same_doses(known: pd.DataFrame, events: pd.DataFrame, slack: float) -> dict[int, Same]:
    """By place, what leaves an impulse out: the known dose of the same amount nearest to it, each known dose for one only."""
    found: dict[int, Same] = {}
    taken: set[int] = set()
    theirs, mine = at_once(known), at_once(events)
    times, totals = ([value for value, _ in sums(known, theirs)], [total for _, total in sums(known, theirs)])
    for group, (when, amount) in zip(mine, sums(events, mine), strict=True):
        low, high = np.searchsorted(times, [when - SAME_DOSE.value, when + SAME_DOSE.value + 1])
        margin = max(slack, SHARE * amount)
        near = [place for place in range(low, high) if place not in taken and abs(totals[place] - amount) <= margin]
        if near:
            best = min(near, key=lambda place: abs(times[place] - when))
            taken.add(best)
            found |= dict.fromkeys(group, ("same dose", f" is {known['origin'].iloc[theirs[best][0]]}"))
    return found


def at_once(events: pd.DataFrame) -> list[list[int]]:
    """The places of events (sorted by time) that begin within a minute of the first of them."""
    groups: list[list[int]] = []
    times = events["time"].astype("int64").tolist()
    for place, time in enumerate(times):
        if groups and time - times[groups[-1][0]] <= AT_ONCE.value:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def sums(events: pd.DataFrame, groups: list[list[int]]) -> list[tuple[int, float]]:
    """When (ns) each group begins, and its amount."""
    times, values = events["time"].astype("int64").tolist(), events["value"].tolist()
    return [(times[group[0]], sum(values[place] for place in group)) for group in groups]


def same_readings(known: pd.DataFrame, events: pd.DataFrame) -> dict[int, Same]:
    """By place, what leaves a reading out: a finger stick against finger sticks, a sensor's against sensors'."""
    found: dict[int, Same] = {}
    for stick in (True, False):
        theirs = known[flagged(known["flag"], "fingerstick") == stick]
        mine = np.flatnonzero(flagged(events["flag"], "fingerstick") == stick)
        if theirs.empty or not len(mine):
            continue
        near = nearest(theirs, events.iloc[mine])
        gap, apart, origin = (near[name].tolist() for name in ("gap", "apart", "origin"))
        for place, seconds, difference, what in zip(mine.tolist(), gap, apart, origin, strict=True):
            if seconds <= SAME_READING.total_seconds() and difference <= READING:
                found[place] = ("same reading", f" is {what}")
            elif seconds <= SENSOR_NEAR.total_seconds() and not stick:
                found[place] = ("overlapping sensor", f" beside {what}")
    return found


def nearest(known: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """`[N]` of each event: the origin of the known one nearest in time, seconds between them, and how far apart their values are.
    Both sorted by time."""
    ask = events[["time", "value"]].reset_index(drop=True)
    have = known[["time", "value", "origin"]].rename(columns={"value": "known"}).assign(at=known["time"])
    found = pd.merge_asof(ask, have, on="time", direction="nearest", tolerance=SENSOR_NEAR)
    return pd.DataFrame(
        {
            "origin": found["origin"],
            "gap": (found["time"] - found["at"]).dt.total_seconds().abs(),
            "apart": (found["value"] - found["known"]).abs(),
        }
    )


def disagreement(known: pd.DataFrame, events: pd.DataFrame, file: str) -> list[Correction]:
    """Rule "sensors disagree": told once where the sensors of two sources differ by over `DISAGREE` half of the time."""
    pair = [each[~flagged(each["flag"], "fingerstick")] for each in (known, events)]
    if pair[0].empty or pair[1].empty:
        return []
    near = nearest(*pair).dropna()
    if len(near) < FEWEST_READINGS or near["apart"].median() <= DISAGREE:
        return []
    detail = f"of {len(near):,} readings within 10 min, half are over {near['apart'].median():.0f} mg/dL apart"
    return [Correction("changed", "sensors disagree", file, 0, "glucose", detail)]


def known_rates(known: pd.DataFrame, events: pd.DataFrame) -> tuple[dict[int, Same], dict[int, tuple[pd.Timestamp, float]]]:
    """By place, what leaves a rate out: that the joined record knows the channel's rate for as long as it lasts; and for one that
    lasts longer, when the rest begins and how many minutes it lasts."""
    begins, ends = spans(known)
    merged = np.append(True, begins[1:] - np.maximum.accumulate(ends)[:-1] > AT_ONCE.value)  # where a span without a gap begins
    starts = begins[merged]
    stops = np.maximum.reduceat(ends, np.flatnonzero(merged))
    when, over = spans(events)
    found: dict[int, Same] = {}
    rest: dict[int, tuple[pd.Timestamp, float]] = {}
    place = np.searchsorted(starts, when + AT_ONCE.value, side="right") - 1
    inside = (place >= 0) & (when < stops[np.maximum(place, 0)])
    for index in np.flatnonzero(inside).tolist():
        stop = int(stops[place[index]])
        if over[index] - stop > AT_ONCE.value:
            rest[index] = (pd.Timestamp(stop, tz="UTC"), (over[index] - stop) / 60e9)
        else:
            found[index] = ("rate known", " U/h: the rate then is known")
    return found, rest


def spans(events: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When (ns) each rate begins and ends; events sorted by time."""
    begin = events["time"].astype("int64").to_numpy().astype(np.int64)
    end = until((begin - begin[0]) / 60e9, events["duration"].to_numpy(dtype=float), "rate")
    return begin, (begin[0] + np.round(end * 60e9)).astype(np.int64)
