"""Documents of a Nightscout site for tests, and what was read of them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from careplan.records import PatientRecord, read_nightscout

Document = dict[str, Any]
DAY = 1_709_596_800_000  # 2024-03-05 00:00 UTC
SETTINGS: Document = {
    "timezone": "UTC",
    "units": "mg/dl",
    "basal": [{"time": "00:00", "value": 0.8}, {"time": "06:00", "value": 1.0}, {"time": "12:00", "value": 0.6}],
    "carbratio": [{"time": "00:00", "value": 10}],
    "sens": [{"time": "00:00", "value": 40}],
}
PROFILE = {"startDate": "2024-01-01T00:00:00.000Z", "defaultProfile": "Day", "store": {"Day": SETTINGS}}


def sgv(minute: float, value: object = 120, **more: object) -> Document:
    return {"type": "sgv", "sgv": value, "date": DAY + int(minute * 60_000), **more}


def at(clock: str, kind: str | None = None, **fields: object) -> Document:
    return {"eventType": kind, "created_at": f"2024-03-05T{clock}:00.000Z", **fields}


READINGS = [sgv(m, 100 + m % 50) for m in range(0, 14 * 60, 5)]


def read(folder: Path, treatments: list[Any] = (), entries: list[Any] = READINGS, profile: object = PROFILE) -> PatientRecord:  # type: ignore[assignment]
    for name, content in (("entries", entries), ("treatments", list(treatments)), ("profile", [profile] if profile else [])):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    [record] = read_nightscout(folder)
    return record


def table(record: PatientRecord, channel: str) -> list[tuple[str, float, float]]:
    events = record.events[record.events["channel"] == channel]
    return [(f"{t:%H:%M}", round(v, 4), d) for t, v, d in events[["time", "value", "duration"]].itertuples(index=False)]


def rules(record: PatientRecord) -> Counter[str]:
    return Counter(correction.rule for correction in record.corrections)


def rate_at(record: PatientRecord, clock: str) -> float:
    hour, _, minute = clock.partition(":")
    [rate] = [v for t, v, d in table(record, "basal") if 0 <= int(hour) * 60 + int(minute) - int(t[:2]) * 60 - int(t[3:]) < d]
    return rate
