"""No document of a Nightscout site vanishes: each is an event, has a line, or is of a kind that is named."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from careplan.records import PatientRecord, RecordError, read_nightscout
from tests.reached import reached, reaches

Document = dict[str, Any]
START = 1_709_596_800_000  # 2024-03-05 00:00 UTC
SCHEDULE = [{"time": "00:00", "value": 0.8}, {"time": "06:00", "value": 1.0}]
SETTINGS = {"basal": SCHEDULE, "carbratio": [{"time": "00:00", "value": 10}], "sens": [{"time": "00:00", "value": 40}]}

minute = st.integers(0, 36 * 60)
clocks = minute.map(lambda m: f"2024-03-{5 + m // 1440:02}T{m // 60 % 24:02}:{m % 60:02}:00.000Z")
stamps = minute.map(lambda m: START + m * 60_000)
times = st.one_of(
    *[clocks] * 8, st.sampled_from(["Tue Mar 05 10:00:00 GMT 2024", "2024-03-05T10:00:00+02:00", "yesterday", None, 0])
)
valid = st.sampled_from([None] * 12 + [True, False, "false"])
amounts = st.one_of(
    *[st.floats(0.1, 12).map(lambda x: round(x, 2))] * 6, st.sampled_from([None, 0, "", "2.5", "3,5", -1, "x", 200])
)


def document(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    """Documents with some of the fields, those that are None left out."""
    return st.fixed_dictionaries(fields).map(lambda found: {key: value for key, value in found.items() if value is not None})


entries = st.one_of(
    *[document(type=st.just("sgv"), sgv=st.integers(45, 350), date=stamps, device=st.sampled_from(["a", "b", None]))] * 4,
    document(
        type=st.sampled_from(["sgv", None]),
        sgv=st.sampled_from([0, 5, 37, 38, 39, 401, "LOW", "HIGH", "120", 5.5, None, "?", -3, 9999, [1]]),
        date=st.one_of(stamps, stamps.map(str), stamps.map(lambda x: x + 0.5), st.just(0), st.none()),
        dateString=times,
        isValid=valid,
    ),
    document(type=st.just("mbg"), mbg=st.integers(60, 300), date=stamps),
    document(type=st.sampled_from(["cal", "rawbg", "odd"]), date=stamps, slope=st.just(1)),
)
bolus_types = ["Meal Bolus", "Correction Bolus", "Bolus", "SMB", "<none>", None, "Basal Injection", "Site Change", "Snack Bolus"]
others = ["Note", "Exercise", "BG Check", "Sensor Start", "Temporary Target", "Something Else", "Profile Switch", "Sleep"]
basals = ["Temp Basal", "Temp Basal Start", "Temp Basal End", "Suspend Pump", "Basal Resume", "Temporary Override"]
pens = [
    "[]",
    "",
    "nonsense",
    '[{"insulin":"Lantus","units":10}]',
    '[{"insulin":"NovoMix 30","units":10},{"insulin":"?","units":3}]',
]
treatments = st.one_of(
    document(
        eventType=st.sampled_from(bolus_types),
        created_at=times,
        insulin=amounts,
        carbs=st.one_of(st.none(), amounts),
        type=st.sampled_from([None, None, "NORMAL", "SMB", "PRIMING", "square"]),
        duration=st.sampled_from([None, 0, 30, 7_200_000]),
        insulinType=st.sampled_from([None, None, None, "Fiasp", "Ryzodeg", "Something"]),
        isValid=valid,
        identifier=st.sampled_from([None] * 6 + ["one", "two"]),
    ),
    document(
        eventType=st.just("Combo Bolus"),
        created_at=times,
        enteredinsulin=amounts,
        insulin=amounts,
        splitNow=st.sampled_from([None, 0, 40, "x"]),
        splitExt=st.sampled_from([None, 0, 60, 100, "100"]),
        relative=st.sampled_from([None, 0, 2.0]),
        duration=st.sampled_from([None, 0, 60]),
    ),
    document(eventType=st.just("<none>"), created_at=times, insulin=amounts, insulinInjections=st.sampled_from(pens)),
    document(
        eventType=st.sampled_from(basals),
        created_at=times,
        absolute=st.sampled_from([None, None, 0, 0.5, 1.2, "x", -1]),
        rate=st.sampled_from([None, None, 0, 0.5, 150]),
        percent=st.sampled_from([None, None, -100, 50, "y"]),
        isAbsolute=st.sampled_from([None, None, False]),
        duration=st.sampled_from([None, 0, 30, 90]),
        insulinNeedsScaleFactor=st.sampled_from([None, 0.5, 1.2]),
        durationType=st.sampled_from([None, "indefinite"]),
        isValid=valid,
    ),
    document(
        eventType=st.sampled_from(others),
        created_at=times,
        notes=st.just("x"),
        duration=st.sampled_from([None, 0, 45]),
        glucose=st.sampled_from([None, 110, 6.1, "5,5", "?"]),
        glucoseType=st.sampled_from([None, "Finger", "Sensor"]),
        units=st.sampled_from([None, "mmol", "mg/dl"]),
        profile=st.sampled_from([None, "Day", "Night(120%)", "Nowhere"]),
        percentage=st.sampled_from([None, 120, 5000]),
        timeshift=st.sampled_from([None, 2, 7_200_000, 500]),
    ),
)
profiles = st.one_of(
    st.builds(lambda at: {"startDate": at, "defaultProfile": "Day", "store": {"Day": SETTINGS, "Night": SETTINGS}}, clocks),
    st.builds(lambda at: {"created_at": at, "dia": 3, **SETTINGS}, clocks),
    st.sampled_from([{"startDate": "2024-03-01T00:00:00Z", "defaultProfile": "Day", "store": {"A": {}, "B": {}}}]),
)
strangers = st.sampled_from(
    [
        *(
            {"type": "food", "carbs": 62, "created_at": "2024-03-05T08:24:00Z"},
            {"openaps": {}, "created_at": "2024-03-05T08:00:00Z"},
        ),
        *({"activityType": "iob", "iob": 1}, {"hello": 1}, 5, "text", None),
    ]
)


def place(text: str) -> tuple[str, int]:
    file, _, row = text.rpartition(":")
    return file, int(row)


def accounted(record: PatientRecord) -> int:
    """Documents that are an event, have a line of their own, or are counted among a named kind."""
    events = {place(origin) for origin in record.events["origin"]}
    lines = {(each.file, each.row) for each in record.corrections if each.rule not in record.ignored}
    return len(events | lines) + sum(record.ignored.values())


@reaches(0.5)
@settings(max_examples=50, deadline=None)
@given(
    entries=st.lists(entries, min_size=6, max_size=25),
    treatments=st.lists(treatments, max_size=15),
    profiles=st.lists(profiles, max_size=2),
    strangers=st.lists(strangers, max_size=2),
    together=st.booleans(),
)
def test_every_document_is_accounted_for(
    entries: list[Any], treatments: list[Any], profiles: list[Any], strangers: list[Any], together: bool
) -> None:
    parts = {"entries": entries, "treatments": treatments, "profile": profiles, "odd": strangers}
    with tempfile.TemporaryDirectory() as folder:
        if together:
            Path(folder, "export.json").write_text(json.dumps([each for part in parts.values() for each in part]))
        else:
            for name, documents in parts.items():
                if documents and any(isinstance(each, dict) for each in documents):
                    Path(folder, f"{name}.json").write_text(json.dumps(documents))
                else:
                    parts[name] = []
        try:
            [record] = read_nightscout(folder, zone="UTC")
        except RecordError:
            return
    reached()
    event("with basal" if (record.events["channel"] == "basal").any() else "without basal")
    assert record.rows_read == sum(len(part) for part in parts.values())
    assert accounted(record) == record.rows_read
    assert record.events["value"].notna().all()
    assert (record.events["duration"] >= 0).all()


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
FIELDS = [
    *(
        "type",
        "sgv",
        "mbg",
        "mgdl",
        "date",
        "mills",
        "dateString",
        "sysTime",
        "device",
        "isValid",
        "units",
        "eventType",
        "created_at",
    ),
    *("insulin", "carbs", "duration", "durationInMilliseconds", "absolute", "rate", "percent", "isAbsolute", "insulinInjections"),
    *("insulinType", "enteredinsulin", "splitNow", "splitExt", "relative", "glucose", "glucoseType", "profileJson", "percentage"),
    *(
        "timeshift",
        "insulinNeedsScaleFactor",
        "store",
        "defaultProfile",
        "startDate",
        "basal",
        "carbratio",
        "sens",
        "identifier",
        "notes",
    ),
]
spoilt = st.tuples(
    st.one_of(entries, treatments, profiles), st.dictionaries(st.sampled_from(FIELDS), anything, min_size=1, max_size=3)
)


@reaches(0.3)
@settings(max_examples=30, deadline=None)
@given(documents=st.lists(spoilt.map(lambda both: {**both[0], **both[1]}), min_size=1, max_size=4), good=st.integers(20, 40))
def test_whatever_a_field_holds_it_is_read_told_or_refused(documents: list[Document], good: int) -> None:
    sound = [{"type": "sgv", "sgv": 100 + n, "date": START + 300_000 * n} for n in range(good)]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "site.json").write_text(json.dumps([*sound, *documents]))
        try:
            [record] = read_nightscout(folder, zone="Europe/Berlin")
        except RecordError:
            return
    reached()
    assert accounted(record) >= record.rows_read
