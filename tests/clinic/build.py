"""Records and suggestions made up for the tests."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from careplan.breach import Breach
from careplan.minutes import DAY
from careplan.records.events import PatientRecord, events_frame
from careplan.suggestion import Interval, Line, Option, Path, Suggestion
from careplan.therapies.glucose.declaration import BLOCKS, Regimen
from careplan.therapies.glucose.regimen import settings_of

START = pd.Timestamp("2024-03-01", tz="UTC")
REGIMEN = Regimen(basal=(0.8, 1.0, 0.9, 0.7), carb_ratio=(10.0, 9.0, 11.0, 12.0), correction_factor=(50.0, 45.0, 50.0, 55.0))


def record(patient: str = "ann", *, days: int = 15, level: float = 140.0, seed: int = 0, **changes: Any) -> PatientRecord:
    """A pump patient: a reading every 5 min around `level`, three meals a day bolused at 1 U for 10 g, a basal of 0.8 U/h."""
    random = np.random.default_rng(seed)
    rows: list[tuple[object, ...]] = []
    for step in range(days * 288):
        value = float(np.clip(level + 20 * np.sin(step / 30) + random.normal(0, 5), 40, 400))
        rows.append((START + pd.Timedelta(minutes=5 * step), "glucose", round(value, 1), 0.0, "", f"{patient}.csv:{step + 2}"))
    for day in range(days):
        for hour in (8, 13, 19):
            time = START + pd.Timedelta(days=day, hours=hour)
            rows.append((time, "carbs", 60.0, 0.0, "", f"{patient}.csv:m{day}"))
            rows.append((time, "bolus", 6.0, 0.0, "", f"{patient}.csv:m{day}"))
        rows += [(START + pd.Timedelta(days=day, hours=h), "basal", 0.8, 60.0, "", f"{patient}.csv:b{day}") for h in range(24)]
    events = events_frame(rows).sort_values("time", kind="stable", ignore_index=True)
    given: dict[str, Any] = {"zone": "UTC", "rows_read": len(events), "files": (f"{patient}.csv",), "regimen": REGIMEN, **changes}
    if given["regimen"] is not None:
        given["regimen"] = settings_of(given["regimen"])
    return PatientRecord(patient=patient, events=events, **given)


def line(setting: Any = "basal", block: int = 1, factor: float = 0.9, **changes: Any) -> Line:
    """One proposed change of a block of `REGIMEN`, recommended within 20 % of now, absolute within a factor of 2."""
    start, end = BLOCKS[block], (*BLOCKS[1:], DAY)[block]
    current = getattr(REGIMEN, setting)[block]
    given: dict[str, Any] = {
        "key": f"{setting}@{start}",
        "setting": setting,
        "start": start,
        "end": end,
        "unit": "U/h",
        "current": current,
        "proposed": current * factor,
        "lowest": current * 0.8,
        "highest": current * 1.2,
        "absolute_low": current * 0.5,
        "absolute_high": current * 2.0,
        "days": 14,
        "why": "lows in the morning",
        **changes,
    }
    return Line(**given)


def suggestion(*lines: Line, patient: str = "ann", **changes: Any) -> Suggestion:
    interval = Interval(mid=71.0, low=65.0, high=77.0)
    path = Path(minutes=(0.0, 5.0), mid=(120.0, 121.0), low=(110.0, 108.0), high=(130.0, 134.0))
    given: dict[str, Any] = {
        "id": None,
        "kind": "regimen",
        "created": datetime.now(UTC),
        "at": datetime(2024, 3, 16, tzinfo=UTC),
        "abstained": False,
        "reasons": ("fewer lows",),
        "options": (Option(name="proposed", path=path, outcomes={"in_range": interval}),),
        "limits_bound": (Breach("20 % a visit"),),
        "banners": (),
        "provenance": {"seed": "7"},
        **changes,
    }
    return Suggestion(patient=patient, lines=lines, **given)
