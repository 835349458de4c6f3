"""What a patient's phone would send of a virtual person: a Nightscout site's documents, zipped."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

from careplan.records.events import PatientRecord

Document = dict[str, Any]


def export(record: PatientRecord, path: Path) -> Path:
    """Writes entries, treatments and the profile of a record with one basal rate a day into a ZIP; returns its path."""
    with zipfile.ZipFile(path, "w") as bundle:
        for name, documents in documents_of(record).items():
            bundle.writestr(f"{name}.json", json.dumps(documents))
    return path


def documents_of(record: PatientRecord) -> dict[str, list[Document]]:
    """The documents by collection, as a site keeps them."""
    regimen, events = record.regimen, record.events
    if regimen is None:
        raise ValueError(f"{record.patient} states no settings")
    blocks = {
        name: [(start, values) for start, values in zip(regimen.starts, each, strict=True)]
        for name, each in regimen.blocks.items()
    }
    rates = {value for _, value in blocks["basal"]}
    entries = [{"type": "sgv", "sgv": round(value), "date": _epoch(time)} for time, value in _of(events, "glucose")]
    treatments = [
        *({"eventType": "Correction Bolus", "created_at": _iso(time), "insulin": value} for time, value in _of(events, "bolus")),
        *({"eventType": "Carb Correction", "created_at": _iso(time), "carbs": value} for time, value in _of(events, "carbs")),
    ]
    basal = events[events["channel"] == "basal"]
    for time, value, minutes in zip(basal["time"], basal["value"], basal["duration"], strict=True):
        if round(value, 2) not in rates and pd.notna(minutes):
            rate = {"eventType": "Temp Basal", "absolute": value, "rate": value, "duration": minutes}
            treatments.append({**rate, "created_at": _iso(time)})
    store = {
        "timezone": "Europe/Berlin",
        "units": "mg/dl",
        "target_low": [{"time": "00:00", "value": regimen.single["target"]}],
        "target_high": [{"time": "00:00", "value": regimen.single["target"]}],
        **{
            name: [{"time": f"{start // 60:02d}:{start % 60:02d}", "value": value} for start, value in blocks[ours]]
            for name, ours in (("basal", "basal"), ("carbratio", "carb_ratio"), ("sens", "correction_factor"))
        },
    }
    began = _iso(events["time"].min() - pd.Timedelta(days=30))
    profile = [{"startDate": began, "defaultProfile": "Day", "store": {"Day": store}}]
    return {"entries": entries, "treatments": treatments, "profile": profile}


def _of(events: pd.DataFrame, channel: str) -> list[tuple[pd.Timestamp, float]]:
    some = events[events["channel"] == channel]
    return list(zip(some["time"], some["value"].astype(float), strict=True))


def _epoch(time: pd.Timestamp) -> int:
    return int(time.timestamp() * 1000)


def _iso(time: pd.Timestamp) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z")
