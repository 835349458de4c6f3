"""Nightscout: glucose from entries, doses and meals from treatments, basal from profiles and temporary rates.

Glucose is in mg/dL in the entries whatever the site shows; treatments are in U, g and minutes; all times carry an offset.
"""

import json
import re
from collections.abc import Iterable, Iterator

import httpx
import pandas as pd

from careplan.records.events import Correction, PatientRecord, RecordError, Refused, refusing
from careplan.records.nightscout_api import Placed, Site, download, filled, find_sites, number, site_name, site_of, utc
from careplan.records.nightscout_basal import basal_cells, default_profiles, settings_of
from careplan.records.sheet import (
    CELLS,
    Sheet,
    check_dates,
    check_ranges,
    drop_duplicates,
    drop_unreadable,
    glucose_unit,
    one_stream,
)
from careplan.records.text import Source, check_zone

SENSOR_CODES = 12.0  # mg/dL: Dexcom's error codes stand where a reading would, 0 to 12
CENSORED = {39.0: ("low", 40.0), 401.0: ("high", 400.0)}  # how receivers write "Low" and "High"
LONG_ACTING = re.compile(
    r"lantus|toujeo|basaglar|abasaglar|semglee|glargin|tresiba|degludec|levemir|detemir|\bnph\b|insulatard|protaphane|humulin n",
    re.IGNORECASE,
)


def recognise(head: str) -> str | None:
    """Why a file is of a Nightscout site, by its first lines; None where it is not."""
    if not head.lstrip().startswith(("{", "[")):
        return None
    for word in ('"sgv"', '"mbg"', '"eventType"', '"store"', '"devicestatus"'):
        if word in head:
            return f"it is JSON with {word}"
    return None


def read_nightscout(
    path: Source,
    *,
    zone: str | None = None,
    token: str | None = None,
    patient: str | None = None,
    client: httpx.Client | None = None,
    refused: Refused | None = None,
) -> list[PatientRecord]:
    """Records from a JSON file, a folder of them (or of one folder a patient), or a site's http(s) address.

    zone: the patient's clock; by default the profile's, else UTC. token: an access token or the API secret, for an address.
    Raises `RecordError` where the source cannot be reached or trusted; with `refused`, a patient whose files cannot be is left
    out and noted there.
    """
    if zone is not None:
        check_zone(zone, file=path)
    if isinstance(path, str) and path.lower().startswith(("http://", "https://")):
        site = download(path, token, client=client)
        return [read_site(site, zone, patient or patient_name(site.name))]
    found = find_sites(path)
    if patient is not None and len(found) > 1:
        raise RecordError(f"{len(found)} patients cannot all be {patient!r}", file=path)
    records = []
    for files in found:
        name = patient or patient_name(site_name(files))
        with refusing(refused, name):
            records.append(read_site(site_of(files), zone, name))
    return records


def patient_name(site: str) -> str:
    return "nightscout-" + re.sub(r"[^0-9a-z]+", "-", site.lower()).strip("-")


def read_site(site: Site, zone: str | None, patient: str) -> PatientRecord:
    rows = [*entry_cells(site.entries), *treatment_cells(site.treatments)]
    cells = pd.DataFrame(rows, columns=list(CELLS)).astype({"value": float, "duration": float})
    cells["time"] = utc(cells["time"].tolist(), cells)
    sheet = Sheet(cells)
    clock = patient_zone(site, zone, sheet)
    drop_unreadable(sheet)
    check_dates(sheet)
    glucose_unit(sheet)
    sheet.drop(sheet.of("glucose") & (sheet.cells["value"] <= SENSOR_CODES).to_numpy(dtype=bool), "sensor error code")
    for code, (flag, limit) in CENSORED.items():
        censored = sheet.of("glucose") & (sheet.cells["value"] == code).to_numpy(dtype=bool)
        sheet.cells.loc[censored, "flag"], sheet.cells.loc[censored, "value"] = flag, limit
    drop_duplicates(sheet)
    one_stream(sheet)
    sheet.cells = pd.concat([sheet.cells, basal_cells(site, clock, sheet)], ignore_index=True)
    check_ranges(sheet)
    if sheet.cells.empty:
        raise RecordError("no glucose, insulin or carbs in it", file=site.source)

    every = (*site.entries, *site.treatments, *site.profiles)
    record = sheet.record(patient, clock, rows_read=len(every), files=dict.fromkeys(placed.file for placed in every))
    regimens = [settings_of(profile) for _, _, profile in default_profiles(site)]
    return PatientRecord(**{**record.__dict__, "regimen": regimens[-1] if regimens else None})


def cell(
    placed: Placed, field: str, channel: str, *, duration: object = 0.0, flag: str = "", value: object = None
) -> tuple[object, ...]:
    """One of `CELLS`; the time is still as written."""
    document = placed.document
    raw = document.get(field) if value is None else value
    stamps = ("date", "dateString", "sysTime") if channel == "glucose" else ("created_at", "timestamp", "mills", "date")
    time = next((document[name] for name in stamps if document.get(name) not in (None, "")), None)
    return (placed.file, placed.row, field, str(raw), time, channel, number(raw), max(0.0, number(duration, 0.0)), flag)


def entry_cells(entries: Iterable[Placed]) -> Iterator[tuple[object, ...]]:
    for placed in entries:
        for field in ("sgv", "mbg"):
            if placed.document.get(field) is not None and placed.document.get("type", field) == field:
                yield cell(placed, field, "glucose")


def treatment_cells(treatments: Iterable[Placed]) -> Iterator[tuple[object, ...]]:
    """Doses and carbs. Rules: a combo bolus's extended part, and a square bolus or extended carbs, last as long as they say;
    pen injections with a long-acting insulin's name go to that channel; automatic ones are flagged."""
    for placed in treatments:
        document = placed.document
        kind = str(document.get("eventType", ""))
        automatic = "automatic" if document.get("automatic") is True or document.get("isSMB") is True or kind == "SMB" else ""
        injections = pen_injections(document.get("insulinInjections"))
        if kind.lower() == "combo bolus" and number(document.get("splitExt"), 0.0) > 0:
            total = number(document.get("enteredinsulin", document.get("insulin")))
            extended = total * number(document.get("splitExt")) / 100.0
            if total - extended > 0:
                yield cell(placed, "insulin", "bolus", value=round(total - extended, 4))
            yield cell(placed, "insulin", "bolus", value=round(extended, 4), duration=document.get("duration"))
        elif injections:
            for name, units in injections:
                yield cell(placed, "insulinInjections", "long_acting" if LONG_ACTING.search(name) else "bolus", value=units)
        elif filled(document.get("insulin")) and "basal" not in kind.lower():
            square = document.get("duration") if document.get("type") == "square" else 0.0
            named = f"{document.get('insulinType', '')}"
            yield cell(
                placed, "insulin", "long_acting" if LONG_ACTING.search(named) else "bolus", flag=automatic, duration=square
            )
        if filled(document.get("carbs")):
            yield cell(placed, "carbs", "carbs", duration=document.get("duration") if "carb" in kind.lower() else 0.0)


def pen_injections(value: object) -> list[tuple[str, object]]:
    """xDrip's list of (insulin's name, units), which it writes as JSON in a text."""
    try:
        parts = json.loads(value) if isinstance(value, str) else value
    except (json.JSONDecodeError, RecursionError):
        return []
    if not isinstance(parts, list):
        return []
    return [
        (str(part.get("insulin", "")), part.get("units"))
        for part in parts
        if isinstance(part, dict) and filled(part.get("units"))
    ]


def patient_zone(site: Site, zone: str | None, sheet: Sheet) -> str:
    """The zone given, or the latest profile's. Rule "no time zone": UTC where neither is there or known."""
    if zone is not None:
        return zone
    for _, _, profile in reversed(default_profiles(site)):
        stated = str(profile.get("timezone", ""))
        for name in (stated, stated.replace("ETC/", "Etc/")):
            try:
                check_zone(name, file=site.source)
                return name
            except RecordError:
                continue
    file = next((placed.file for placed in (*site.profiles, *site.entries, *site.treatments)), site.source)
    sheet.corrections.append(Correction("changed", "no time zone", file, 1, "timezone", "the patient's clock is taken to be UTC"))
    return "UTC"
