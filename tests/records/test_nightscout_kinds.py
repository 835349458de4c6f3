"""The dialects of Nightscout's uploaders: each kind of document means what its uploader meant."""

import json
from pathlib import Path

import pytest

from careplan.formats.nightscout.reader import recognise
from careplan.formats.nightscout.values import moments
from careplan.records import RecordError, read_nightscout, to_series
from careplan.records.units import MG_PER_MMOL
from careplan.therapies.glucose.declaration import GLUCOSE
from tests.records.nightscout_sites import DAY, PROFILE, SETTINGS, Document, at, rate_at, read, rules, sgv, table

# What is in a file


WRAPPINGS = {
    "a list": lambda entries: json.dumps(entries),
    "a document a line": lambda entries: "\n".join(map(json.dumps, entries)),
    "one document on several lines": lambda entries: "\n".join(json.dumps(each, indent=1) for each in entries),
    "API v3": lambda entries: json.dumps({"status": 200, "result": entries}),
    "a full export": lambda entries: json.dumps({"entries": entries, "food": [{"type": "food", "carbs": 9}], "version": "15"}),
    "a full export of answers": lambda entries: json.dumps({"entries": {"status": 200, "result": entries}, "treatments": []}),
    "extended JSON": lambda entries: json.dumps(
        [
            {**each, "_id": {"$oid": "65e6"}, "date": {"$numberLong": str(each["date"])}, "sgv": {"$numberInt": "120"}}
            for each in entries
        ]
    ),
    "lines by tabs": lambda entries: "".join(
        f'"2024-03-05T00:{5 * n:02}:00.000Z"\t{each["date"]}\t120\t"Flat"\t"share2"\n' for n, each in enumerate(entries)
    ),
    "lines by commas": lambda entries: "".join(
        f'"2024-03-05T00:{5 * n:02}:00.000Z",{each["date"]},120,"Flat","xDrip, G5"\n' for n, each in enumerate(entries)
    ),
    "the mongo shell": lambda entries: "\n".join(
        f'{{"_id": ObjectId("65e6"), "type": "sgv", "sgv": NumberInt(120), "date": NumberLong({each["date"]})}}'
        for each in entries
    ),
    "dates alone": lambda entries: json.dumps(
        [{"sgv": 120, "dateString": {"$date": f"2024-03-05T00:{5 * n:02}:00Z"}} for n in range(len(entries))]
    ),
    "the site's own data": lambda entries: json.dumps({"sgvs": [{"mgdl": 120, "mills": each["date"]} for each in entries]}),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_entries_in_any_wrapping(tmp_path: Path, wrapping: str) -> None:
    path = tmp_path / "site.json"
    path.write_text(WRAPPINGS[wrapping]([sgv(5 * n) for n in range(4)]), encoding="utf-8")
    [record] = read_nightscout(path)
    assert table(record, "glucose") == [("00:00", 120, 0), ("00:05", 120, 0), ("00:10", 120, 0), ("00:15", 120, 0)]
    assert record.rows_read == 4 + record.ignored.get("food", 0)


def test_a_list_of_every_kind(tmp_path: Path) -> None:
    mixed = [
        *(sgv(0), at("08:00", "Meal Bolus", insulin=2, carbs=30), PROFILE, sgv(600)),
        *({"type": "quickpick", "carbs": 62, "created_at": "2024-03-05T08:00:00Z"}, {"openaps": {}, "created_at": "x"}),
        *({"activityType": "tconnect_iob", "iob": 2}, {"hello": 1}, 7),
    ]
    path = tmp_path / "all.json"
    path.write_text(json.dumps(mixed))
    [record] = read_nightscout(path)
    assert record.events["channel"].value_counts().to_dict() == {"glucose": 2, "bolus": 1, "carbs": 1, "basal": 1}
    assert record.ignored == {"food": 1, "devicestatus": 1, "activity": 1, "unknown document": 1, "not a document": 1}
    assert rules(record) == record.ignored


def test_foods_are_not_eaten_whatever_the_file_is_called(tmp_path: Path) -> None:
    (tmp_path / "foods.json").write_text(
        json.dumps([{"name": "rice", "portion": 100, "carbs": 28, "created_at": "2024-03-05T08:00Z"}])
    )
    record = read(tmp_path)
    assert table(record, "carbs") == []
    assert rules(record)["food"] == 1


def test_a_flat_profile_of_an_old_site(tmp_path: Path) -> None:
    flat = {"dia": 3, "carbratio": 10, "sens": "40", "basal": SETTINGS["basal"], "units": "mg/dl", "timezone": "UTC"}
    record = read(tmp_path, profile=flat)
    assert table(record, "basal") == [("00:00", 0.8, 360), ("06:00", 1.0, 360), ("12:00", 0.6, 115)]
    assert rules(record) == {"profile without a date": 1}
    assert record.regimen is not None
    assert record.regimen.blocks["basal"] == (0.8, 1.0, 0.6)


def test_the_zone_of_a_switch_where_there_is_no_profile(tmp_path: Path) -> None:
    carried = json.dumps({**SETTINGS, "timezone": "Asia/Tokyo"})
    record = read(tmp_path, [at("02:00", "Profile Switch", profileJson=carried)], profile=None)
    assert record.zone == "Asia/Tokyo"
    assert table(record, "basal")[0] == ("02:00", 1.0, 60)  # eleven in Tokyo, until noon


@pytest.mark.parametrize(("written", "zone"), [("ETC/GMT+8", "Etc/GMT+8"), ("europe/berlin", "Europe/Berlin"), ("UTC", "UTC")])
def test_zones_in_any_case(tmp_path: Path, written: str, zone: str) -> None:
    record = read(tmp_path, profile={**PROFILE, "store": {"Day": {**SETTINGS, "timezone": written}}})
    assert record.zone == zone
    assert "no time zone" not in rules(record)


# Readings


@pytest.mark.parametrize(
    ("stamps", "clock"),
    [
        ({"date": 0, "dateString": "2024-03-05T10:00:00.000Z"}, "10:00"),
        ({"date": str(DAY + 36_000_000)}, "10:00"),
        ({"date": DAY + 36_000_000.25}, "10:00"),
        ({"date": DAY // 1000 + 36_000}, "10:00"),
        ({"dateString": "Tue Mar 05 21:00:00 AEDT 2024"}, "10:00"),
        ({"dateString": "Tue Mar 05 2024 21:00:00 GMT+1100 (AEDT)"}, "10:00"),
        ({"dateString": "Tue, 05 Mar 2024 12:00:00 +0200"}, "10:00"),
        ({"dateString": "2024-03-05T12:00:00.000+0200"}, "10:00"),
        ({"dateString": "2024-03-05 05:00:00 EST"}, "10:00"),
        ({"date": None, "sysTime": "2024-03-05T10:00:00Z"}, "10:00"),
    ],
)
def test_a_reading_is_kept_however_its_time_is_written(tmp_path: Path, stamps: Document, clock: str) -> None:
    record = read(tmp_path, entries=[{"type": "sgv", "sgv": 111, **stamps}, sgv(0), sgv(900)])
    assert (clock, 111, 0) in table(record, "glucose")


def test_unknown_dates_are_none() -> None:
    odd = [
        "yesterday",
        "Tue Mar 05 21:00:00 XYZ 2024",
        "Tue Foo 05 21:00:00 UTC 2024",
        1e30,
        -5,
        None,
        True,
        [],
        "9999-01-01T00:00:00Z",
    ]
    assert moments(odd).isna().all()


def test_lows_highs_and_error_codes(tmp_path: Path) -> None:
    codes = [sgv(60 * h, value) for h, value in enumerate([37, 38, 39, 401, "LOW", "HIGH", "< 50", 5, 12, 36, 402])]
    record = read(tmp_path, entries=[*codes, *(sgv(660 + 5 * n, 100) for n in range(60))])
    assert record.events[record.events["channel"] == "glucose"][["value", "flag"]].values.tolist()[:9] == [
        *([40.0, "low"], [40.0, "low"], [40.0, "low"], [400.0, "high"], [40.0, "low"], [400.0, "high"], [50.0, "low"]),
        *([36.0, ""], [402.0, ""]),
    ]
    assert rules(record)["sensor error code"] == 2


def test_a_day_of_error_codes_is_no_day_in_mmol(tmp_path: Path) -> None:
    record = read(tmp_path, entries=[sgv(24 * 60 + m) for m in range(0, 60, 5)] + [sgv(m, 5) for m in range(0, 60, 5)])
    assert rules(record) == {"sensor error code": 12}


def test_two_uploaders_of_one_sensor(tmp_path: Path) -> None:
    both = [
        sgv(5 * n + late, 100 + n * 3 + off, device=name) for n in range(20) for name, late, off in (("a", 0, 0), ("b", 0.5, 1))
    ]
    record = read(tmp_path, entries=both)
    assert len(table(record, "glucose")) == 20
    assert rules(record) == {"two uploaders": 20}


def test_a_sensor_that_reads_every_minute_is_left_alone(tmp_path: Path) -> None:
    record = read(tmp_path, entries=[sgv(n, 100, device="a") for n in range(60)])
    assert len(table(record, "glucose")) == 60


def test_deleted_entries_and_calibrations(tmp_path: Path) -> None:
    entries = [sgv(0), sgv(5, isValid=False), {"type": "cal", "slope": 1, "date": DAY}, {"type": "mbg", "mbg": 99, "date": DAY}]
    record = read(tmp_path, entries=entries)
    assert record.events[record.events["channel"] == "glucose"]["flag"].tolist() == ["", "fingerstick"]
    assert (rules(record), record.ignored["calibration"]) == ({"deleted": 1}, 1)


# Doses and meals


@pytest.mark.parametrize(
    ("fields", "bolus"),
    [
        ({"enteredinsulin": 5, "insulin": 2, "splitNow": 40, "splitExt": 60, "duration": 60, "relative": 3}, [(2, 0), (3, 60)]),
        ({"enteredinsulin": "12", "splitNow": "0", "splitExt": "100", "duration": 1080}, [(12, 1080)]),
        ({"insulin": 0, "relative": 2.0, "duration": 60, "splitNow": 0, "splitExt": 100}, [(2, 60)]),
        ({"insulin": 0, "relative": 4.0, "duration": 30}, [(2, 30)]),
        ({"insulin": 1.5, "relative": 1.0, "duration": 120}, [(1.5, 0), (2, 120)]),
        ({"insulin": 1.65, "splitNow": 33, "splitExt": 67, "duration": 90}, [(1.65, 0), (3.35, 90)]),
        ({"insulin": 4.42}, [(4.42, 0)]),
        ({"enteredinsulin": 7, "splitNow": 0, "splitExt": 100, "duration": 30, "durationInMilliseconds": 1_800_000}, [(7, 30)]),
        ({"enteredinsulin": 6, "insulin": 2, "duration": 60}, [(2, 0), (4, 60)]),
        ({"enteredinsulin": 6, "splitNow": 100, "splitExt": 0}, [(6, 0)]),
        ({"enteredinsulin": 3, "splitNow": 0, "splitExt": 100}, [(3, 120)]),  # two hours, as it does not say
    ],
)
def test_combo_boluses(tmp_path: Path, fields: Document, bolus: list[tuple[float, float]]) -> None:
    record = read(tmp_path, [at("08:00", "Combo Bolus", **fields)])
    assert [(value, minutes) for _, value, minutes in table(record, "bolus")] == bolus
    assert ("extended bolus" in rules(record)) == ("duration" not in fields and bolus[-1][1] > 0)


def test_carbs_eaten_over_milliseconds(tmp_path: Path) -> None:
    treatments = [
        at("08:00", "Carb Correction", carbs=10, duration=7_200_000),
        at("09:00", "Meal Bolus", carbs=40, duration=7_200_000),
        at("10:00", "Carb Correction", carbs=11, duration=120),
        at("11:00", "Meal Bolus", carbs=45, insulin=4, duration=30),
        at("12:00", "Carb Correction", carbs=20, absorptionTime=180),
    ]
    record = read(tmp_path, treatments)
    assert table(record, "carbs") == [
        ("08:00", 10, 120),
        ("09:00", 40, 120),
        ("10:00", 11, 120),
        ("11:00", 45, 0),
        ("12:00", 20, 0),
    ]
    assert rules(record) == {"duration in milliseconds": 2}


def test_deleted_and_priming(tmp_path: Path) -> None:
    treatments = [
        at("08:00", "Meal Bolus", insulin=5, isValid=True, type="NORMAL"),
        at("08:30", "Correction Bolus", insulin=0.3, isSMB=True, type="SMB"),
        at("09:00", "Meal Bolus", carbs=17, isValid=False),
        at("09:00", "Temp Basal", absolute=3, duration=60, isValid=False),
        at("09:30", "Correction Bolus", insulin=0.7, type="PRIMING"),
        at("10:00", "Site Change", insulin=0.5),
        at("11:00", "Meal Bolus", insulin=2, identifier="same"),
        at("11:00", "Meal Bolus", insulin=2, identifier="same", isValid=False),
    ]
    record = read(tmp_path, treatments)
    assert table(record, "bolus") == [("08:00", 5, 0), ("08:30", 0.3, 0)]
    assert record.events.loc[record.events["flag"] == "automatic", "value"].tolist() == [0.3]
    assert table(record, "carbs") == []
    assert rate_at(record, "09:30") == 1.0
    assert rules(record) == {"deleted": 3, "priming": 2, "older version": 1}


def test_pens_by_brand(tmp_path: Path) -> None:
    def pen(clock: str, *parts: tuple[str, float]) -> Document:
        text = json.dumps([{"insulin": name, "units": units} for name, units in parts])
        return at(clock, "<none>", insulin=sum(units for _, units in parts), insulinInjections=text)

    treatments = [
        pen("07:00", ("Actrapid", 20), ("Toujeo", 56)),
        pen("08:00", ("NovoMix 30", 20)),
        pen("09:00", ("Huminsulin Basal", 14)),
        pen("10:00", ("Awiqli", 420)),
        pen("11:00", ("Mystery", 9), ("Fiasp", 3)),
        at("12:00", "<none>", insulin=6, insulinInjections="[]"),
        at("13:00", "Basal Injection", insulin=18),
        at("13:10", "Basal Injection", insulin=12, insulinType="Tresiba"),
        at("13:20", "Bolus", insulin=1.2, insulinType="Novolog", automatic=True),
        at("13:30", "<none>", insulin=4, insulinInjections="[{"),
    ]
    record = read(tmp_path, treatments)
    assert table(record, "bolus") == [("07:00", 20, 0), ("08:00", 6, 0), ("11:00", 3, 0), ("12:00", 6, 0), ("13:20", 1.2, 0)]
    assert table(record, "long_acting") == [
        *(("07:00", 56, 0), ("08:00", 14, 0), ("09:00", 14, 0), ("10:00", 420, 0), ("13:00", 18, 0), ("13:10", 12, 0)),
    ]
    assert set(record.events["product"]) == {
        "",
        "Actrapid",
        "Toujeo",
        "NovoMix 30",
        "Huminsulin Basal",
        "Awiqli",
        "Fiasp",
        "Tresiba",
        "NovoLog",
    }
    assert rules(record) == {"unknown insulin": 2}
    assert any("Mystery" in correction.detail for correction in record.corrections)


def test_finger_sticks_in_their_own_unit(tmp_path: Path) -> None:
    treatments = [
        at("08:01", "BG Check", glucose=6.1, glucoseType="Finger", units="mmol"),
        at("09:01", "BG Check", glucose=110, units="mg/dl"),
        at("10:01", "BG Check", glucose="7,2"),
        at("11:01", "Meal Bolus", insulin=1, glucose=130, glucoseType="Finger"),
        at("12:01", "BG Check", glucose=140, glucoseType="Sensor"),
        at("12:31", "Meal Bolus", insulin=1, glucose=140, glucoseType="Sensor"),
    ]
    record = read(tmp_path, treatments)
    sticks = record.events[record.events["flag"] == "fingerstick"]["value"].tolist()
    assert sticks == pytest.approx([6.1 * MG_PER_MMOL, 110, 7.2 * MG_PER_MMOL, 130])
    assert rules(record) == {"mmol/L labelled mg/dL": 1, "sensor's reading": 1}
    on_the_grid = to_series(record, GLUCOSE).values[:168, 0].tolist()
    assert on_the_grid == [100 + m % 50 for m in range(0, 14 * 60, 5)]  # the sensor's all through


def test_exercise_and_what_says_nothing(tmp_path: Path) -> None:
    treatments = [
        at("08:00", "Exercise", duration=30),
        at("09:00", "Exercise", durationInMilliseconds=1_200_000, notes="light walk"),
        at("10:00", "Exercise"),
        at("11:00", "Note", notes="tired"),
        at("11:10", "Sensor Start"),
        at("11:20", "Meal Bolus", insulin=0, carbs=0),
        at("11:30", "Ketone check of my own"),
        at("11:40", "Pump song", volume=11),
    ]
    record = read(tmp_path, treatments)
    assert table(record, "activity") == [("08:00", 4.5, 30), ("09:00", 2.5, 20)]
    assert rules(record) == {"exercise": 2, "no duration": 1, "other event": 1}
    assert record.ignored == {"note": 1, "sensor change": 1, "nothing given": 2, "other event": 1}


# Being told what a file is


@pytest.mark.parametrize(
    ("head", "is_nightscout"),
    [
        ('[{"sgv": 100}]', True),
        ('{"_id":{"$oid":"1"},"type":"sgv","sgv":110}', True),
        ('{"status":200,"result":[{"eventType":"Note"}]}', True),
        ('[{"type":"food","portion":"40","carbs":"18"}]', True),
        ('[{"activityType":"tconnect_iob"}]', True),
        ('[{"dia":3,"carbratio":10,"sens":40,"basal":0.5}]', True),
        ('[{"type":"cbg","uploadId":"x","deviceTime":"y"}]', False),
        ('{"resourceType":"Bundle"}', False),
        ('[{"time":"2024","value":5}]', False),
        ("time,glucose", False),
    ],
)
def test_what_is_a_nightscout_file(head: str, is_nightscout: bool) -> None:
    assert bool(recognise(head)) == is_nightscout


def test_nothing_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"hello": 1}, {"carb": 2}]')
    with pytest.raises(RecordError, match="expected Nightscout"):
        read_nightscout(tmp_path)
