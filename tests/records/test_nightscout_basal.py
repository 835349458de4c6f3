"""Basal insulin from the dialects of Nightscout's uploaders."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from careplan.formats.nightscout.basal import event_kind
from careplan.formats.nightscout.profiles import schedule_of, switch_of
from tests.records.nightscout_sites import PROFILE, SETTINGS, Document, at, rate_at, read, rules, table


@pytest.mark.parametrize("shift", [2, 7_200_000, 2.0, "2"])
def test_a_profile_switch_shifts_and_scales(tmp_path: Path, shift: object) -> None:
    switch = at("08:00", "Profile Switch", profile="Day(150%)", percentage=150, timeshift=shift, profileJson=json.dumps(SETTINGS))
    record = read(tmp_path, [switch])
    assert [rate_at(record, clock) for clock in ("07:55", "08:00", "12:00", "13:50")] == pytest.approx([1.0, 1.5, 1.5, 1.5])
    assert record.regimen is not None
    assert record.regimen.starts == (0, 120, 480, 840)
    assert record.regimen.blocks["basal"] == pytest.approx((0.9, 1.2, 1.5, 0.9))
    assert record.regimen.blocks["carb_ratio"] == pytest.approx((10 / 1.5,) * 4)
    assert record.regimen.blocks["correction_factor"] == pytest.approx((40 / 1.5,) * 4)


def test_a_switch_by_name_and_impossible_ones(tmp_path: Path) -> None:
    profile = {**PROFILE, "store": {"Day": SETTINGS, "Night": {"basal": [{"time": "00:00", "value": 0.2}]}}}
    treatments = [
        at("07:00", "Profile Switch", profile="Night(50%,1h)", percentage=50, timeshift=1),
        at("08:00", "Profile Switch", profile="Night@@@@@1709625600000"),
        at("09:00", "Profile Switch", profile="Day", timeshift=500),
        at("10:00", "Profile Switch", profile="Day", percentage=-20),
        at("11:00", "Profile Switch", profile="Day", duration=30, percentage=200),
    ]
    record = read(tmp_path, treatments, profile=profile)
    assert [rate_at(record, f"{hour:02}:00") for hour in (6, 7, 8, 9, 10, 11, 12)] == [1.0, 0.1, 0.2, 0.2, 0.2, 2.0, 0.2]
    assert rules(record) == {"impossible profile switch": 2}


def test_the_profile_in_force_that_androidaps_notes(tmp_path: Path) -> None:
    profile = {**SETTINGS, "basal": [{"time": "00:00", "value": 1.4}]}
    note = at("08:00", "Note", profileJson=json.dumps(profile), originalProfileName="Day", originalPercentage=140)
    record = read(tmp_path, [note, {**note, "created_at": "2024-03-05T09:00:00Z", "originalDuration": 1_800_000}])
    assert [rate_at(record, clock) for clock in ("07:55", "08:00", "09:15", "09:35")] == [1.0, 1.4, 1.4, 1.4]


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"eventType": "Temp Basal_Start"}, "tempbasalstart"),
        ({"eventType": None}, ""),
        ({"eventType": "Note"}, "note"),
        ({"eventType": "Note", "profileJson": "{}"}, "note"),
        ({"eventType": "Note", "originalProfileName": "Day"}, "note"),
        ({"eventType": "Note", "profileJson": "{}", "originalProfileName": "Day"}, "profileswitch"),
        ({"eventType": "Exercise", "profileJson": "{}", "originalProfileName": "Day"}, "exercise"),
    ],
)
def test_the_note_of_the_profile_in_force_is_a_switch(document: Document, kind: str) -> None:
    assert event_kind(document) == kind


def test_shifts_wrap_around_midnight() -> None:
    blocks = [{"time": "00:00", "value": 1}, {"time": "23:00", "value": 2}]
    assert schedule_of(blocks, 2) == ((0, 1.0), (60, 2.0), (120, 1.0))
    assert schedule_of(blocks, -1) == ((0, 1.0), (1320, 2.0), (1380, 1.0))
    assert switch_of({"timeshift": -10_800_000}) == switch_of({"timeshift": -3})


@pytest.mark.parametrize(
    ("fields", "rate"),
    [
        ({"absolute": 0.4, "duration": 60}, 0.4),
        ({"rate": 0.4, "duration": 60}, 0.4),
        ({"rate": 0, "duration": 60}, 0.0),
        ({"rate": "0.4", "duration": "60"}, 0.4),
        ({"absolute": 1.3, "rate": 130, "isAbsolute": False, "duration": 60}, 1.3),
        ({"rate": 130, "isAbsolute": False, "duration": 60}, 1.3),
        ({"rate": 1.3, "isAbsolute": False, "duration": 60}, 1.3),
        ({"percent": 30, "rate": 130, "isAbsolute": False, "duration": 60}, 1.3),
        ({"percent": -100, "duration": 60}, 0.0),
        ({"rate": 0.4, "duration": 0, "durationInMilliseconds": 3_600_000}, 0.4),
        ({"rate": 0.4, "duration": 60, "extendedEmulated": {"eventType": "Combo Bolus", "enteredinsulin": 2}}, 0.4),
    ],
)
def test_temporary_rates_as_uploaders_write_them(tmp_path: Path, fields: Document, rate: float) -> None:
    record = read(tmp_path, [at("08:00", "Temp Basal", **fields)])
    assert [rate_at(record, clock) for clock in ("07:59", "08:30", "09:00")] == pytest.approx([1.0, rate, 1.0])


def test_overlapping_repeated_and_cancelled_rates(tmp_path: Path) -> None:
    treatments = [
        at("08:00", "Temp Basal", rate=2.0, duration=120),
        at("08:05", "Temp Basal", rate=0.3, duration=30),
        at("08:05", "Temp Basal", rate=0.9, duration=30),  # the first of a moment counts
        at("09:00", "Temp Basal", rate=1.5, duration=60),
        at("09:20", "Temp Basal"),
        at("10:00", "Temp Basal", rate=1.5),  # without a duration: it ends what runs, and here nothing does
        at("11:00", "Temp Basal", rate=2.0, duration=60),
        at("11:20", "Temp Basal", rate=1.0, duration=0),
    ]
    record = read(tmp_path, treatments)
    clocks = ("08:00", "08:04", "08:05", "08:34", "08:40", "09:10", "09:20", "10:00", "11:10", "11:20")
    assert [rate_at(record, clock) for clock in clocks] == [2.0, 2.0, 0.3, 0.3, 1.0, 1.5, 1.0, 1.0, 2.0, 1.0]
    assert rules(record) == {"repeated time": 1, "no duration": 2}


def test_suspensions_and_overrides(tmp_path: Path) -> None:
    treatments = [
        at("06:30", "Basal Suspension", reason="user"),
        at("07:00", "Basal Resume"),
        at("08:00", "Temporary Override", insulinNeedsScaleFactor=0.5, duration=60),
        at("08:30", "Temp Basal", absolute=0.1, duration=15),
        at("08:45", "Temp Basal", percent=100, duration=15),
        at("10:00", "Temporary Override", insulinNeedsScaleFactor=1.2, durationType="indefinite"),
        at("11:00", "Temporary Override", correctionRange=[120, 130], duration=30),
        at("13:00", "Suspend Pump"),
    ]
    record = read(tmp_path, treatments)
    clocks = ("06:29", "06:30", "07:00", "08:00", "08:30", "08:45", "09:00", "10:00", "11:00", "11:30", "13:30")
    assert [rate_at(record, clock) for clock in clocks] == pytest.approx([1.0, 0.0, 1.0, 0.5, 0.1, 1.0, 1.0, 1.2, 1.0, 1.0, 0.0])
    assert not record.corrections


def test_a_temporary_rate_at_the_end_runs_its_time(tmp_path: Path) -> None:
    record = read(tmp_path, [at("14:30", "Temp Basal", rate=2.0, duration=30)])
    assert table(record, "basal")[-1] == ("14:30", 2.0, 30)


def test_schedules_keep_to_the_patients_clock_on_both_passes_of_an_hour(tmp_path: Path) -> None:
    blocks = [{"time": "00:00", "value": 1}, {"time": "02:30", "value": 2}, {"time": "03:30", "value": 3}]
    settings = {**SETTINGS, "timezone": "Europe/Berlin", "basal": blocks}
    autumn = 1_729_976_400_000  # 2024-10-26 21:00 UTC, 23:00 in Berlin
    entries = [{"sgv": 120, "date": autumn + 300_000 * n} for n in range(80)]
    record = read(tmp_path, entries=entries, profile={**PROFILE, "store": {"Day": settings}})
    rates = [(f"{t:%H:%M}", v) for t, v in record.events.loc[record.events["channel"] == "basal", ["time", "value"]].to_numpy()]
    changes = [rates[0], *(b for a, b in pairwise(rates) if a[1] != b[1])]
    assert changes == [("21:00", 3.0), ("22:00", 1.0), ("00:30", 2.0), ("01:00", 1.0), ("01:30", 2.0), ("02:30", 3.0)]


@pytest.mark.parametrize("share", [0, 5, 50, 150, 200])
@pytest.mark.parametrize("how", ["percent", "percentage", "raw"])
def test_a_percentage_of_the_schedule_whatever_its_size(tmp_path: Path, share: int, how: str) -> None:
    said: Document = {"rate": share, "temp": how}
    if how == "raw":  # OpenAPS: what the pump's history says, and the same copied into `percent`
        said = {"percent": str(share), "rate": share, "raw_rate": {"_type": "TempBasal", "temp": "percent", "rate": share}}
    record = read(tmp_path, [at("08:00", "Temp Basal", duration=30, **said)])
    assert [rate_at(record, clock) for clock in ("07:55", "08:10", "08:35")] == pytest.approx([1.0, share / 100, 1.0])
    assert rules(record) == {"rate in percent": 1}
