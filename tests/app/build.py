"""A small clinic in a database, made up for the tests: a patient with lows and a suggestion, and one of each other kind."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from careplan.breach import Breach
from careplan.clinic import (
    Database,
    lived_changes,
    local_account,
    reviews,
    save_suggestion,
    sign_review,
    standing,
    store_records,
)
from careplan.minutes import DAY
from careplan.records.events import PatientRecord, events_frame
from careplan.suggestion import Decision, Interval, Line, Moment, Option, Part, Path, Pattern, Seen, Suggestion, Sureness, Why
from careplan.therapies.glucose.declaration import BLOCKS, Regimen
from careplan.therapies.glucose.regimen import settings_of

START = pd.Timestamp("2024-03-01", tz="UTC")
REGIMEN = Regimen(basal=(0.8, 1.0, 0.9, 0.7), carb_ratio=(10.0, 9.0, 11.0, 12.0), correction_factor=(50.0, 45.0, 50.0, 55.0))
UNITS = {"basal": "U/h", "carb_ratio": "g/U", "correction_factor": "mg/dL/U"}


def clinic(db: Database) -> None:
    """ann: lows before noon, three lines proposed. bea: highs, careplan abstains. cyd: no change is best. dan: two hours.

    Doses: two for ann, who has too many lows to sign for more, and two for cyd, who has not; for bea it abstains.
    """
    people = [
        record("ann", mean=135, swing=55, dip=(9, 12, 62), seed=1),
        record("bea", mean=205, swing=60, seed=2),
        record("cyd", mean=138, swing=52, seed=3),
        record("dan", days=1, keep=24, seed=4),
    ]
    report = store_records(db, "table", people)
    if report.failed:
        raise RuntimeError(str(report.failed))
    lines = (line("basal", 1, 0.9), line("carb_ratio", 1, 1.1), line("correction_factor", 2, 1.2))
    save_suggestion(db, suggestion("ann", *lines, why=why()))
    off = ("the model is off for this patient: its error at 2 h is 61, staying as it is 48 (review without the model)",)
    advice = ("basal@360: 2.1 is outside the recommended 0.1 to 1.5",)
    save_suggestion(db, suggestion("bea", abstained=True, reasons=off, options=(), banners=advice))
    none = ("no change within the limits is predicted to be worth making",)
    save_suggestion(db, suggestion("cyd", reasons=none, limits_bound=()))
    save_suggestion(db, doses("ann", at=datetime.now(UTC)))
    save_suggestion(db, doses("cyd"))
    unknown = ("doses of the last hours are unknown, so what is on board is unknown",)
    save_suggestion(db, doses("bea", lines=(), options=(), abstained=True, reasons=unknown, limits_bound=()))


def lived_change(db: Database, patient: str) -> None:
    """Somebody with lows before noon, whose morning basal was cut on the sixteenth day, and who has lived a fortnight since."""
    since = START + pd.Timedelta(days=15, hours=1)

    class Then(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return since.to_pydatetime()

    before, after = record(patient, dip=(9, 12, 62), seed=5), record(patient, days=30, seed=5)
    later = after.events[after.events["time"] > before.events["time"].max()].reset_index(drop=True)
    store_records(db, "table", [before])
    cut = line("basal", 1, 0.9)
    made = save_suggestion(db, suggestion(patient, cut, created=since.to_pydatetime(), why=why()))
    if made.id is None:
        raise RuntimeError("a suggestion that is stored has a number")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reviews, "datetime", Then)
        patched.setattr(standing, "datetime", Then)
        accepted = Decision(key=cut.key, verdict="accept", value=cut.proposed)
        sign_review(db, made.id, [accepted], local_account(), "prescribe as proposed")
    store_records(db, "table", [replace(after, events=later)])
    became = lived_changes(db, patient)
    save_suggestion(db, suggestion(patient, reasons=("every change searched is worse than none",), experiments=became))


def record(
    patient: str,
    *,
    days: int = 15,
    keep: int | None = None,
    mean: float = 140.0,
    swing: float = 40.0,
    dip: tuple[int, int, float] | None = None,
    seed: int = 0,
) -> PatientRecord:
    """A pump patient with three meals a day; on every other day glucose falls to `dip` (from hour, to hour, level)."""
    random = np.random.default_rng(seed)
    hours = np.arange(0, 24 * days, 1 / 12)[:keep]
    meals = sum(np.exp(-0.5 * ((hours % 24 - peak) / 1.1) ** 2) for peak in (8.8, 13.8, 20.0))
    daily = random.normal(0, 0.2, days)[(hours // 24).astype(int)]
    noise = np.convolve(random.normal(0, 9, len(hours)), np.ones(6) / 6, mode="same")
    level = mean + swing * (meals * (1 + daily) - 0.55) + 12 * np.sin(hours / 24 * 2 * np.pi) + noise
    if dip is not None:
        first, last, lowest = dip
        inside = (hours % 24 >= first) & (hours % 24 < last) & ((hours // 24) % 2 == 0)
        level[inside] = (
            lowest + 14 * np.cos((hours[inside] % 24 - (first + last) / 2) / (last - first) * 2 * np.pi) * -1 + noise[inside]
        )
    rows: list[tuple[object, ...]] = [
        (
            START + pd.Timedelta(minutes=5 * row),
            "glucose",
            float(np.clip(value, 40, 400).round(1)),
            0.0,
            "",
            f"{patient}.csv:{row + 2}",
        )
        for row, value in enumerate(level)
    ]
    for hour in range(int(len(hours) / 12)):
        rows.append((START + pd.Timedelta(hours=hour), "basal", 0.8, 60.0, "", f"{patient}.csv:b{hour}"))
        if hour % 24 in (8, 13, 19):
            grams = float(random.integers(35, 85))
            rows.append((START + pd.Timedelta(hours=hour), "carbs", grams, 0.0, "", f"{patient}.csv:m{hour}"))
            rows.append((START + pd.Timedelta(hours=hour), "bolus", round(grams / 10, 1), 0.0, "", f"{patient}.csv:m{hour}"))
    events = events_frame(rows).sort_values("time", kind="stable", ignore_index=True)
    return PatientRecord(
        patient=patient, zone="UTC", events=events, rows_read=len(events), weight=72.0, regimen=settings_of(REGIMEN)
    )


def line(setting: Any, block: int, factor: float, **changes: Any) -> Line:
    start, end = BLOCKS[block], (*BLOCKS[1:], DAY)[block]
    current = getattr(REGIMEN, setting)[block]
    given: dict[str, Any] = {
        "key": f"{setting}@{start}",
        "setting": setting,
        "start": start,
        "end": end,
        "unit": UNITS[setting],
        "current": current,
        "proposed": round(current * factor, 2),
        "lowest": current * 0.8,
        "highest": current * 1.2,
        "absolute_low": current * 0.5,
        "absolute_high": current * 2.0,
        "days": 13,
        "why": "less insulin against lows",
        **changes,
    }
    return Line(**given)


def suggestion(patient: str, *lines: Line, **changes: Any) -> Suggestion:
    given: dict[str, Any] = {
        "id": None,
        "kind": "regimen",
        "created": datetime.now(UTC),
        "at": datetime(2024, 3, 16, tzinfo=UTC),
        "abstained": False,
        "reasons": (
            "predicted: in range from 69.0 to 71.0 %, below 70 from 6.4 to 2.1 %, above 180 from 24.6 to 26.9 %",
            "96 regimens compared on 13 of the patient's own days",
        ),
        "options": (option("proposed", 0, 71, 2.1), option("no change", -14, 69, 6.4), option("runner-up", -5, 70, 3.5)),
        "limits_bound": (Breach("change in one visit", "correction_factor@660", {"most": 0.2}),),
        "banners": (),
        "provenance": {"seed": "7", "model": "0f3a", "version": "0.1.0"},
        **changes,
    }
    return Suggestion(patient=patient, lines=lines, **given)


def why(**changes: Any) -> Why:
    """Lows from 06:00 to 11:00, seen on three of 14 days, drive it."""
    seen = tuple(Seen(date=f"2024-03-{day:02d}", minute=620, level=50.0 + day, minutes=60) for day in (3, 5, 9))
    given: dict[str, Any] = {
        "gain": 1.6,
        "runner_up": 1.1,
        "worth": 0.2,
        "parts": (
            Part(outcome="below_70", start=360, end=660, gain=2.0, before=14.0, after=5.0),
            Part(outcome="above_180", start=1020, end=DAY, gain=-0.3, before=20.0, after=23.0),
            Part(outcome="change", start=0, end=DAY, gain=-0.1),
        ),
        "sure": Sureness(better=7, of=8, effects={"below_70": Interval(mid=-4.3, low=-6.0, high=-1.9)}),
        "low_risk": 0.12,
        "patterns": (Pattern(side="low", start=360, end=660, days=14, seen=seen),),
        "moments": None,
        **changes,
    }
    return Why(**given)


def doses(patient: str, **changes: Any) -> Suggestion:
    """5.5 U now and half the basal for 30 min in an hour, planned for noon of the fourteenth day."""
    why_so = "an edit can only give less; more needs a new plan"
    common: dict[str, Any] = {"current": 0.0, "lowest": 0.0, "absolute_low": 0.0, "days": 14, "why": why_so}
    bolus = Line(key="bolus@0", setting="bolus", start=0, end=0, unit="U", proposed=5.5, highest=5.5, absolute_high=5.5, **common)
    basal = Line(
        key="temp_basal@60",
        setting="temp_basal",
        start=60,
        end=90,
        unit="x basal",
        proposed=0.5,
        highest=1.0,
        absolute_high=1.0,
        **{**common, "current": 1.0},
    )
    minutes = tuple(float(minute) for minute in range(15, 241, 15))
    options = []
    for name, does, level in (
        ("proposed", "5.5 U now, basal x0.5 from 60 to 90 min", 140.0),
        ("runner-up", "4 U now", 155.0),
        ("no change", "as prescribed", 190.0),
    ):
        path = Path(minutes=minutes, mid=(level,) * 16, low=(level - 30,) * 16, high=(level + 40,) * 16)
        outcomes = {"in_range": Interval(mid=230 - level, low=25.0, high=100.0), "below_70": Interval(mid=1.5, low=0.0, high=6.0)}
        options.append(Option(name=name, path=path, outcomes=outcomes, does=does))
    given: dict[str, Any] = {
        "kind": "doses",
        "at": datetime(2024, 3, 14, 12, tzinfo=UTC),
        "lines": (bolus, basal),
        "options": tuple(options),
        "reasons": ("predicted glycaemia risk from 16.0 to 9.8", "no meal or activity was announced"),
        "limits_bound": (Breach("max_on_board"), Breach("budget below_70")),
        **changes,
    }
    if given["lines"]:
        high = Part(outcome="above_180", start=60, end=120, gain=1.6, before=60.0, after=30.0)
        then = Moment(date="2024-03-04", minute=725, level=164.0, given={"bolus": 3.5, "carbs": 60.0}, lowest=62.0, highest=212.0)
        given["why"] = why(parts=(high,), patterns=(), moments=(then,))
    return suggestion(patient, *given.pop("lines"), **given)


def option(name: str, shift: float, in_range: float, below: float) -> Option:
    minutes = np.arange(0, DAY + 1, 15)
    mid = 138 + 45 * (np.exp(-0.5 * ((minutes / 60 - 9) / 1.5) ** 2) + np.exp(-0.5 * ((minutes / 60 - 20) / 1.5) ** 2))
    mid = mid + np.where((minutes > 540) & (minutes < 800), shift - 30, 0)
    path = Path(minutes=tuple(minutes.tolist()), mid=tuple(mid), low=tuple(mid - 35), high=tuple(mid + 42))
    outcomes = {
        "in_range": Interval(mid=in_range, low=in_range - 7, high=in_range + 6),
        "below_70": Interval(mid=below, low=max(0.0, below - 2), high=below + 2.5),
        "below_54": Interval(mid=below / 5, low=0.0, high=below / 3),
        "risk": Interval(mid=5 + below / 4, low=4.0, high=8.0),
    }
    return Option(name=name, path=path, outcomes=outcomes)
