"""Basal insulin from Nightscout's profiles, profile switches, overrides and temporary rates."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.formats.nightscout.documents import Account, Document, Placed
from careplan.formats.nightscout.profiles import (
    Profile,
    Schedule,
    carried_profile,
    named_profile,
    schedule_of,
    settings_of,
    switch_of,
)
from careplan.formats.nightscout.values import affirmed, denied, minutes_of, number
from careplan.records.cells import CELLS
from careplan.records.settings import StatedSettings

SILENCE = np.timedelta64(6, "h").astype("timedelta64[ns]")  # nothing recorded for longer: nobody knows what the pump did
LONGEST_SUSPENSION = 24 * 60.0  # minutes, where nothing says that the pump runs again
LEAST_PERCENT = 10.0  # the smallest step of a temporary rate in percent; few rates in U/h are as large
MINUTE = np.timedelta64(60_000_000_000, "ns")
FOREVER, NEVER = np.datetime64("2262-01-01", "ns"), np.datetime64("NaT", "ns")
TEMPORARY = frozenset(("tempbasal", "tempbasalstart", "tempbasalend"))
SUSPEND = frozenset(("suspendpump", "pumpsuspend", "basalsuspension", "suspendbasal"))
RESUME = frozenset(("resumepump", "pumpresume", "basalresume", "resumebasal"))
SWITCH, OVERRIDE = "profileswitch", frozenset(("temporaryoverride", "temporaryoverridecancel"))
EFFECTIVE = {"profileJson", "originalProfileName"}  # what only that note has; its profile is scaled and shifted already
KINDS = TEMPORARY | SUSPEND | RESUME | OVERRIDE | {SWITCH}

Moments = NDArray[np.datetime64]


def event_kind(document: Document) -> str:
    """A treatment's type as compared: lower case without spaces. What AndroidAPS 3 notes of the profile in force is a switch."""
    kind = str(document.get("eventType") or "").lower().replace(" ", "").replace("_", "")
    return SWITCH if kind == "note" and EFFECTIVE.issubset(document) else kind


@dataclass(frozen=True, eq=False)
class Span:
    """What changes basal from `start` to `end`: a schedule in force, a rate, or a factor of what lies beneath."""

    start: np.datetime64
    end: np.datetime64
    placed: Placed
    schedule: Schedule | None = None
    rate: float = np.nan  # U/h
    factor: float = 1.0
    flag: str = ""
    reported: bool = False  # whether the report has a line on it already


@dataclass(eq=False)
class Timeline:
    """Schedules, overrides that scale them, and temporary rates over both, each in order of their start."""

    schedules: list[Span] = field(default_factory=list)
    overrides: list[Span] = field(default_factory=list)
    temporary: list[Span] = field(default_factory=list)
    regimen: StatedSettings | None = None  # of the last profile or switch without an end

    @property
    def layers(self) -> tuple[list[Span], list[Span], list[Span]]:
        return self.schedules, self.overrides, self.temporary


def timeline_of(profiles: Sequence[Profile], treatments: Sequence[Placed], times: pd.Series, account: Account) -> Timeline:
    """Everything that says how basal runs. treatments: those of `KINDS`, begun at `times` `[N]`, none of them missing.

    Of temporary rates that begin at the same moment the first counts, as on the site (rule "repeated time").
    """
    timeline = Timeline()
    stated: list[tuple[np.datetime64, StatedSettings | None]] = []
    for profile in profiles:
        schedule, start = schedule_of(profile.settings.get("basal")), profile.start.to_datetime64().astype("datetime64[ns]")
        if schedule is None:
            account.drop(
                "unreadable profile", profile.placed, "basal", f"no basal schedule in {profile.settings.get('basal')!r:.60}"
            )
        else:
            timeline.schedules.append(Span(start, FOREVER, profile.placed, schedule))
        stated.append((start, settings_of(profile.settings)))
    seen: set[np.datetime64] = set()
    for placed, start in zip(treatments, times.dt.tz_localize(None).to_numpy().astype("datetime64[ns]"), strict=True):
        kind = event_kind(placed.document)
        if kind == SWITCH:
            switched(timeline, placed, start, profiles, stated, account)
        elif kind in OVERRIDE:
            overridden(timeline, placed, start)
        elif kind in TEMPORARY and start in seen:
            account.drop("repeated time", placed, "created_at", "another temporary rate began at the same moment")
        elif (span := temporary(placed, start, kind, account)) is not None:
            timeline.temporary.append(span)
            if kind in TEMPORARY:
                seen.add(start)
    for layer in timeline.layers:
        layer.sort(key=lambda span: span.start)
    stated.sort(key=lambda each: each[0])
    timeline.regimen = next((regimen for _, regimen in reversed(stated) if regimen is not None), None)
    return timeline


def until(start: np.datetime64, minutes: float) -> np.datetime64:
    """So many minutes later, at most some years."""
    return start + np.timedelta64(round(min(minutes, 4e6) * 60e9), "ns")


def switched(
    timeline: Timeline,
    placed: Placed,
    start: np.datetime64,
    profiles: Sequence[Profile],
    stated: list[tuple[np.datetime64, StatedSettings | None]],
    account: Account,
) -> None:
    """A profile switch: to the profile it carries or names, scaled and shifted. Without a duration it holds until the next."""
    document = placed.document
    settings = carried_profile(document) or named_profile(
        str(document.get("profile", "")), pd.Timestamp(start, tz="UTC"), profiles
    )
    by = switch_of(document)
    if settings is None:
        return account.drop("unknown profile", placed, "profile", f"{document.get('profile')!r:.60} is not there")
    if by is None:
        detail = f"percentage {document.get('percentage')!r:.20}, time shift {document.get('timeshift')!r:.20}"
        return account.drop("impossible profile switch", placed, "timeshift", detail)
    schedule = schedule_of(settings.get("basal"), by.shift)
    if schedule is None:
        return account.drop("unreadable profile", placed, "profileJson", f"no basal schedule in {settings.get('basal')!r:.60}")
    lasts, milliseconds = minutes_of(document)
    lasts = max(lasts, number(document.get("originalDuration"), 0.0) / 60_000.0)
    if milliseconds:
        account.change("duration in milliseconds", placed, "duration", f"{document.get('duration')!r:.20} to {lasts:g} min")
    end = until(start, lasts) if lasts > 0 else FOREVER
    timeline.schedules.append(Span(start, end, placed, schedule, factor=by.factor))
    if lasts <= 0:
        stated.append((start, settings_of(settings, by)))
    return None


def overridden(timeline: Timeline, placed: Placed, start: np.datetime64) -> None:
    """An override of Loop: `insulinNeedsScaleFactor` times the scheduled basal until it ends or another begins."""
    document = placed.document
    factor = number(document.get("insulinNeedsScaleFactor"), 1.0)
    lasts, _ = minutes_of(document)
    endless = str(document.get("durationType", "")).lower() == "indefinite" and lasts <= 0
    end = FOREVER if endless else until(start, lasts)
    timeline.overrides.append(Span(start, end, placed, factor=factor if 0.0 < factor <= 10.0 else 1.0))


def temporary(placed: Placed, start: np.datetime64, kind: str, account: Account) -> Span | None:
    """A temporary rate, a suspension or the end of either; None, with a line, for one that says no rate.

    `absolute` is U/h, `percent` the change from the schedule. `rate` is U/h, but a percentage of the schedule where `temp` says
    so, and in a beta of AndroidAPS 3, where the document says that it is not absolute and the number is too large for a rate.
    OpenAPS copies what the pump said into `percent`: a percentage of the schedule.
    """
    document = placed.document
    lasts, _ = minutes_of(document)
    end = until(start, lasts)
    flag = "automatic" if affirmed(document.get("automatic")) else ""
    if kind in SUSPEND:
        return Span(start, until(start, lasts or LONGEST_SUSPENSION), placed, rate=0.0)
    if kind in RESUME or kind == "tempbasalend":
        return Span(start, start, placed)
    relative = in_percent(document) or denied(document.get("isAbsolute", True))
    order = ("absolute", "percent", "rate") if relative else ("absolute", "rate", "percent")
    names = [name for name in order if document.get(name) not in (None, "")]
    if lasts <= 0:
        amount = number(document.get(names[0]), 0.0) if names else 0.0
        reported = amount != 0.0 and names[0] != "percent"
        if reported:
            detail = f"{names[0]} {document[names[0]]!r:.20} for no time: the end of the rate before, as on the site"
            account.change("no duration", placed, "duration", detail)
        return Span(start, start, placed, reported=reported)
    if not names:
        account.drop("no amount", placed, "absolute", f"a temporary rate for {lasts:g} min")
        return None
    name = names[0]
    value = number(document[name])
    if np.isnan(value) or (value < 0 and (name != "percent" or pump_said_percent(document))):
        rule = "not a number" if np.isnan(value) else "negative"
        account.drop(rule, placed, name, f"temporary rate {document[name]!r:.40}")
        return None
    if name == "percent" and not pump_said_percent(document):
        return Span(start, end, placed, factor=max(0.0, 1.0 + value / 100.0), flag=flag)
    if name == "percent" or (name == "rate" and (in_percent(document) or (relative and value >= LEAST_PERCENT))):
        account.change("rate in percent", placed, name, f"{value:g} % of the schedule")
        return Span(start, end, placed, factor=value / 100.0, flag=flag)
    return Span(start, end, placed, rate=value, flag=flag)


def in_percent(document: Document) -> bool:
    """Whether a temporary rate is said to be a percentage of the schedule: "percent", or "percentage" by Loop's uploader."""
    return str(document.get("temp") or "").lower().startswith("percent") or pump_said_percent(document)


def pump_said_percent(document: Document) -> bool:
    """Whether OpenAPS keeps beside a temporary rate what the pump's history said of it, and that was a percentage."""
    said = document.get("raw_rate")
    return isinstance(said, dict) and said.get("temp") == "percent"


def basal_cells(timeline: Timeline, recorded: pd.Series, zone: str, account: Account) -> pd.DataFrame:
    """Basal rates (`CELLS`) wherever a schedule or a temporary rate is in force and anything was recorded within six hours.

    recorded: `[N]` when anything was, in UTC, none of it missing. Whichever of profile and profile switch started last holds, on
    the patient's clock; a switch with a duration gives way again. A temporary rate ends with its time or when the next begins,
    and the one before it does not come back. Documents that change nothing are reported (rule "superseded") or, where they end
    something, named.
    """
    spans = [span for layer in timeline.layers for span in layer]
    ends = clipped(timeline.temporary)
    begun = np.array([span.start for span in timeline.temporary], dtype="datetime64[ns]")
    known = recorded.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
    first, last = runs(np.concatenate([known, begun, np.minimum(ends, begun + SILENCE)]))  # a pump runs its rate to the end
    edges = np.array([edge for span in spans for edge in (span.start, span.end)], dtype="datetime64[ns]")
    plain = np.unique(np.concatenate([edges, block_edges(timeline.schedules, first, last, zone), first, last]))
    edges = np.union1d(plain, clock_edges(timeline.schedules, first, last, zone))
    starts_here = edges < np.append(NEVER, last)[np.searchsorted(first, edges, side="right")]  # of the stretch begun last
    start = edges[starts_here]
    end = np.append(edges[1:], FOREVER)[starts_here]

    rate, owner = scheduled(timeline.schedules, start, zone)
    rate, owner = scaled(timeline.overrides, start, rate, owner, offset=len(timeline.schedules))
    rate, owner = over(timeline.temporary, ends, start, rate, owner, offset=len(timeline.schedules) + len(timeline.overrides))
    there = ~np.isnan(rate)
    start, end, rate, owner = start[there], end[there], rate[there], owner[there]
    begins = np.flatnonzero(np.isin(start, plain) | (np.diff(rate, prepend=np.nan) != 0.0))
    start, end, rate, owner = start[begins], end[np.append(begins, len(end))[1:] - 1], rate[begins], owner[begins]
    report_unused(timeline, set(owner.tolist()), account)
    texts = {value: f"{value:g}" for value in np.unique(rate).tolist()}
    return pd.DataFrame(
        {
            "file": [spans[index].placed.file for index in owner.tolist()],
            "row": [spans[index].placed.row for index in owner.tolist()],
            "field": "basal",
            "raw": [texts[value] for value in rate.tolist()],
            "time": pd.Series(start, dtype="datetime64[ns]").dt.tz_localize("UTC"),
            "channel": "basal",
            "value": rate,
            "duration": (end - start) / MINUTE,
            "flag": [spans[index].flag for index in owner.tolist()],
        },
        columns=list(CELLS),
    ).astype({"row": "int64"})


def clipped(spans: Sequence[Span]) -> Moments:
    """`[N]` when each of the spans, in order of their start, ends: with its time, or when the next begins."""
    ends = np.array([span.end for span in spans], dtype="datetime64[ns]")
    following = np.array([span.start for span in spans[1:]] + [FOREVER] * bool(spans), dtype="datetime64[ns]")
    return np.minimum(ends, following)


def runs(times: Moments) -> tuple[Moments, Moments]:
    """First and last moments `[R]` of stretches in which something was recorded at least every six hours."""
    times = np.sort(times)
    first, last = np.diff(times, prepend=NEVER) <= SILENCE, np.diff(times, append=NEVER) <= SILENCE
    return times[~first], times[~last]


def block_edges(schedules: Sequence[Span], first: Moments, last: Moments, zone: str, *, second_pass: bool = False) -> Moments:
    """When the schedules' blocks begin on the patient's clock; of an hour that comes twice, on its first pass or the second."""
    if not len(first):
        return first
    begin, finish = (pd.Timestamp(time, tz="UTC").tz_convert(zone).tz_localize(None).normalize() for time in (first[0], last[-1]))
    days = pd.date_range(begin, finish, freq="D")
    starts = sorted({start for span in schedules for start, _ in span.schedule or ()})
    local = pd.DatetimeIndex((days.to_numpy()[:, None] + np.array(starts, dtype="timedelta64[m]")).ravel())
    passes = np.full(len(local), not second_pass)
    utc = local.tz_localize(zone, ambiguous=passes, nonexistent="shift_forward").tz_convert("UTC").tz_localize(None)
    return utc.to_numpy().astype("datetime64[ns]")


def clock_edges(schedules: Sequence[Span], first: Moments, last: Moments, zone: str) -> Moments:
    """When the patient's clock is set forward or back, which brings another block, and blocks that begin on a second pass."""
    if not len(first):
        return first
    hours = pd.date_range(pd.Timestamp(first[0]).floor("h"), pd.Timestamp(last[-1]).ceil("h"), freq="h", tz="UTC")
    ahead = (hours.tz_convert(zone).tz_localize(None) - hours.tz_localize(None)).to_numpy()
    changes = hours.tz_localize(None).to_numpy().astype("datetime64[ns]")[1:][np.diff(ahead) != np.timedelta64(0)]
    return np.concatenate([changes, block_edges(schedules, first, last, zone, second_pass=True)])


def scheduled(schedules: Sequence[Span], start: Moments, zone: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """U/h and the span that says so at each of the moments `[P]`; NaN and -1 where none does."""
    owner = np.full(len(start), -1)
    for index, span in enumerate(schedules):  # later ones paint over earlier ones, for as long as they last
        owner[np.searchsorted(start, span.start) : np.searchsorted(start, span.end)] = index
    local = pd.DatetimeIndex(start, tz="UTC").tz_convert(zone)
    minute = (local.hour * 60 + local.minute).to_numpy()
    rate = np.full(len(start), np.nan)
    for index in np.unique(owner[owner >= 0]).tolist():
        schedule, mine = schedules[index].schedule or (), owner == index
        begins, values = np.array([each[0] for each in schedule]), np.array([each[1] for each in schedule])
        rate[mine] = schedules[index].factor * values[np.searchsorted(begins, minute[mine], side="right") - 1]
    return rate, owner


def scaled(
    overrides: Sequence[Span], start: Moments, rate: NDArray[np.float64], owner: NDArray[np.int64], *, offset: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scheduled rates under the overrides in force."""
    if not overrides:
        return rate, owner
    current, active = in_force(overrides, clipped(overrides), start)
    factor = np.array([span.factor for span in overrides])
    return np.where(active, rate * factor[current], rate), np.where(active, current + offset, owner)


def over(
    spans: Sequence[Span], ends: Moments, start: Moments, rate: NDArray[np.float64], owner: NDArray[np.int64], *, offset: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rates with the temporary ones over them; what ends one answers for the rate that comes back at that moment."""
    if not spans:
        return rate, owner
    current, active = in_force(spans, ends, start)
    fixed = np.array([span.rate for span in spans])[current]
    factor = np.array([span.factor for span in spans])[current]
    begun = np.array([span.start for span in spans], dtype="datetime64[ns]")[current]
    changed = np.where(active, np.where(np.isnan(fixed), rate * factor, fixed), rate)
    return changed, np.where(active | (begun == start), current + offset, owner)


def in_force(spans: Sequence[Span], ends: Moments, start: Moments) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The last span to begin before each of the moments `[P]`, and whether it still lasts."""
    begun = np.array([span.start for span in spans], dtype="datetime64[ns]")
    current = np.searchsorted(begun, start, side="right") - 1
    return np.maximum(current, 0), (current >= 0) & (ends[current] > start)


def report_unused(timeline: Timeline, used: Set[int], account: Account) -> None:
    """What became of the documents that no rate comes from. used: the places of the others among the spans of all layers."""
    layers = (("profile", timeline.schedules), ("override", timeline.overrides), ("", timeline.temporary))
    for place, (name, span) in enumerate((name, span) for name, layer in layers for span in layer):
        if place in used or span.reported:
            continue
        if name == "override" and span.factor == 1.0:
            account.ignore("override without a scale factor")
        elif name:
            account.ignore(f"{name} of no recorded time")
        elif span.end == span.start:
            account.ignore("end of a temporary rate")
        else:
            detail = "another rate began at the same moment, or no profile is known"
            account.drop("superseded", span.placed, "created_at", detail)
