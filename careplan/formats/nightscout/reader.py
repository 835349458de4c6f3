"""Nightscout: glucose from entries, doses and meals from treatments, basal from profiles and temporary rates.

Glucose is in mg/dL in the entries whatever the site shows; treatments are in U, g and minutes; all times carry an offset.
`docs/reference/nightscout.md` has the rules.
"""

import re
from dataclasses import replace
from datetime import datetime
from zoneinfo import available_timezones

import httpx
import pandas as pd

from careplan.formats.nightscout.api import download
from careplan.formats.nightscout.basal import basal_cells, timeline_of
from careplan.formats.nightscout.documents import LISTED_LINE, Account, Placed, Site, find_sites, site_name, site_of
from careplan.formats.nightscout.entries import censored, entry_cells, error_codes, two_uploaders
from careplan.formats.nightscout.profiles import Profile, carried_profile, profiles_of
from careplan.formats.nightscout.treatments import basal_treatments, current, treatment_cells
from careplan.records.correction import Correction
from careplan.records.events import PatientRecord, RecordError, Refused, refusing
from careplan.records.garbage import few_collections
from careplan.records.sheet import Sheet, check_ranges, glucose_unit, settle
from careplan.records.text import Source, check_zone
from careplan.records.web import is_address

# Words of which the first lines of a site's documents hold one set, and words of other formats that share some of them.
SIGNS = (
    *(('"sgv"',), ('"mbg"', '"dateString"'), ('"eventType"',), ('"insulinInjections"',), ('"devicestatus"',), ('"openaps"',)),
    *(('"store"', '"defaultProfile"'), ('"carbratio"', '"basal"'), ('"activityType"',), ('"quickpick"',), ('"uploaderBattery"',)),
    *(('"portion"', '"carbs"'), ('"created_at"', '"carbs"'), ('"created_at"', '"insulin"'), ('"created_at"', '"loop"')),
)
OTHERS = ('"resourceType"', '"uploadId"', '"deviceTime"')


def recognise(head: str) -> str | None:
    """Why a file is of a Nightscout site, by its first lines; None where it is not."""
    if LISTED_LINE.match(head):
        return "its lines are a date, its epoch and a reading, as a site's entries"
    if not head.lstrip().startswith(("{", "[")) or any(word in head for word in OTHERS):
        return None
    for words in SIGNS:
        if all(word in head for word in words):
            return f"it is JSON with {' and '.join(words)}"
    return None


@few_collections()
def read_nightscout(
    path: Source,
    *,
    zone: str | None = None,
    token: str | None = None,
    patient: str | None = None,
    since: datetime | None = None,
    client: httpx.Client | None = None,
    refused: Refused | None = None,
) -> list[PatientRecord]:
    """Records from a JSON file, a folder of them (or of one folder a patient), or a site's http(s) address.

    Args:
        path: The files, or the address.
        zone: The patient's clock; by default the profile's, else UTC.
        token: An access token or the API secret, for an address.
        patient: Whose all the files are.
        since: The end of the last read; only what is newer comes, and an address is asked for no more than that needs.
        client: That asks the site, instead of one of our own.
        refused: Takes, by name, what is wrong with a patient whose files cannot be trusted, who is then left out.

    Returns:
        A record a patient.

    Raises:
        RecordError: The source cannot be reached, or cannot be trusted and there is no `refused`.
    """
    if zone is not None:
        check_zone(zone, file=path)
    after = None if since is None else pd.Timestamp(since)
    if after is not None:
        after = after.tz_localize("UTC") if after.tz is None else after.tz_convert("UTC")
    if is_address(path):
        site = download(str(path), token, since=after, client=client)
        return [read_site(site, zone, patient or patient_name(site.name), after)]
    found = find_sites(path)
    if patient is not None and len(found) > 1:
        raise RecordError(f"{len(found)} patients cannot all be {patient!r}", file=path)
    records = []
    for files in found:
        name = patient or patient_name(site_name(files))
        with refusing(refused, name):
            records.append(read_site(site_of(files), zone, name, after))
    return records


def patient_name(site: str) -> str:
    """The name of a patient known only by a site, a folder or a file."""
    return "nightscout-" + re.sub(r"[^0-9a-z]+", "-", site.lower()).strip("-")


def read_site(site: Site, zone: str | None, patient: str, since: pd.Timestamp | None = None) -> PatientRecord:
    """One patient's record from their documents, which are let go of as they are read. Raises `RecordError` where there is no
    glucose, insulin or carbs.
    """
    account = site.account
    profiles = profiles_of(site.profiles, account)
    treatments = current(site.treatments, account)
    units = str(profiles[-1].settings.get("units") or "") if profiles else ""
    doses = treatment_cells(treatments, units, account)
    parts = [entry_cells(site.entries.pop(), account) for _ in range(len(site.entries))]
    cells = pd.concat([*reversed(parts), doses], ignore_index=True)
    del parts, doses
    for name in ("product", "device"):
        cells[name] = cells[name].fillna("").astype(object) if name in cells else ""
    sheet = Sheet(cells, account.corrections, account.stamps)
    del cells
    clock = patient_zone(site, profiles, treatments, zone, sheet)
    settle(sheet, repairs=(error_codes, glucose_unit, censored), merges=(two_uploaders,))
    timeline = timeline_of(profiles, *basal_treatments(treatments, account), account)
    basal = basal_cells(timeline, sheet.cells["time"], clock, account)
    sheet.cells = pd.concat([sheet.cells.drop(columns="device"), basal.assign(product="")], ignore_index=True)
    check_ranges(sheet)
    if since is not None:
        only_since(sheet, since, account)
    elif sheet.cells.empty:
        raise RecordError("no glucose, insulin or carbs in it", file=site.source)
    account.close()
    record = sheet.record(patient, clock, rows_read=site.rows_read, files=site.files)
    return replace(record, regimen=timeline.regimen, ignored=dict(account.ignored))


def only_since(sheet: Sheet, since: pd.Timestamp, account: Account) -> None:
    """Keeps what is newer than the last read; a basal rate that began before goes on from there."""
    cells, basal = sheet.cells, sheet.of("basal")
    time, end = cells["time"], cells["time"] + pd.to_timedelta(cells["duration"], unit="m")
    going = basal & ((time < since) & (end > since)).to_numpy(dtype=bool)
    newer = (time > since).to_numpy(dtype=bool) | (basal & (time == since).to_numpy(dtype=bool)) | going
    kept = set(zip(cells["file"][newer], cells["row"][newer], strict=True))
    gone = {place for place in zip(cells["file"][~newer], cells["row"][~newer], strict=True) if place not in kept}
    account.ignore("before the last read", len(gone))
    cells.loc[going, "duration"] = (end[going] - since).dt.total_seconds() / 60.0
    cells.loc[going, "time"] = since
    sheet.cells = cells[newer].reset_index(drop=True)


def patient_zone(site: Site, profiles: list[Profile], treatments: list[Placed], zone: str | None, sheet: Sheet) -> str:
    """The zone given, or the latest profile's, or, where there is no profile, that of the last one a switch carries.

    A profile is believed first: AndroidAPS may write its neighbour in the list of zones into a switch. Rule "no time zone": UTC
    where none is there or known.
    """
    if zone is not None:
        return zone
    switches = (carried_profile(placed.document) or {} for placed in reversed(treatments) if "profileJson" in placed.document)
    for settings in (*(profile.settings for profile in reversed(profiles)), *switches):
        if name := known_zone(str(settings.get("timezone", ""))):
            return name
    file = site.files[0] if site.files else site.source
    sheet.corrections.append(Correction("changed", "no time zone", file, 1, "timezone", "the patient's clock is taken to be UTC"))
    return "UTC"


def known_zone(name: str) -> str | None:
    """A zone's name as it is known here, whatever its case: profiles write "ETC/GMT+8", a clock that never changes."""
    if not name.strip():
        return None
    try:
        check_zone(name, file="")
        return name
    except RecordError:
        return {each.lower(): each for each in available_timezones()}.get(name.strip().lower())
