"""The OhioT1DM reader, on files the tests write and on the invented sample."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from careplan.datasets.ohio import recognise
from careplan.records import PatientRecord, RecordError, read_ohio, to_series
from careplan.therapies.glucose.declaration import GLUCOSE
from tests.records.accounting import accounted, at, rules, spans

Element = tuple[str, dict[str, object]]


def write(folder: Path, *events: Element, name: str = "559-ws-training.xml", person: str = "559", top: str = "") -> Path:
    parts = []
    for kind, attributes in events:
        said = " ".join(f'{key}="{value}"' for key, value in attributes.items())
        parts.append(f"<{kind}><event {said}/></{kind}>")
    root = f'<patient id="{person}" weight="99" insulin_type="Novalog">'
    (folder / name).write_text(
        f'<?xml version="1.0"?>\n{top}{root}\n' + "\n".join(parts) + "\n<sleep/></patient>\n", encoding="utf-8"
    )
    return folder / name


def ts(time: str) -> str:
    return f"05-03-2022 {time}:00"


def read(folder: Path, *events: Element, zone: str = "UTC") -> PatientRecord:
    [record] = read_ohio(write(folder, *events), zone=zone)
    assert accounted(record) == record.rows_read == len(events)
    return record


def test_the_schedule_comes_back_after_the_last_temporary_rate(tmp_path: Path) -> None:
    record = read(
        tmp_path,
        ("glucose_level", {"ts": ts("08:00"), "value": 120}),
        ("basal", {"ts": ts("00:00"), "value": 0.9}),
        ("temp_basal", {"ts_begin": ts("08:20"), "ts_end": ts("08:50"), "value": 0.0}),
    )
    assert spans(record, "basal") == [("03-05 00:00", 0.9, 500.0), ("03-05 08:20", 0.0, 30.0), ("03-05 08:50", 0.9, -1.0)]


def test_every_kind_of_event(tmp_path: Path) -> None:
    record = read(
        tmp_path,
        ("glucose_level", {"ts": ts("08:00"), "value": 120}),
        ("finger_stick", {"ts": ts("08:03"), "value": 118}),
        ("basal", {"ts": ts("00:00"), "value": 0.9}),
        ("basal", {"ts": ts("09:00"), "value": 1.1}),
        ("temp_basal", {"ts_begin": ts("08:30"), "ts_end": ts("09:30"), "value": 0.0}),
        ("bolus", {"ts_begin": ts("08:15"), "ts_end": ts("08:15"), "type": "normal", "dose": 2, "bwz_carb_input": 40}),
        ("bolus", {"ts_begin": ts("08:15"), "ts_end": ts("10:15"), "type": "square dual", "dose": 3, "bwz_carb_input": 0}),
        ("bolus", {"ts_begin": ts("12:00"), "dose": 1.5, "bwz_carb_input": 25}),
        ("meal", {"ts": ts("08:16"), "type": "Breakfast", "carbs": 40}),
        ("exercise", {"ts": ts("17:00"), "intensity": 10, "duration": 30}),
        ("exercise", {"ts": ts("18:00"), "intensity": 5, "duration": 0}),
        ("basis_gsr", {"ts": ts("17:00"), "value": 0.1}),
        ("basis_gsr", {"ts": ts("17:05"), "value": 0.1}),
    )
    assert (record.patient, record.weight) == ("ohio-559", None)  # the weight is a stand-in
    assert at(record, "glucose", "") == [("03-05 08:00", 120.0)]
    assert at(record, "glucose", "fingerstick") == [("03-05 08:03", 118.0)]
    assert spans(record, "basal") == [("03-05 00:00", 0.9, 510.0), ("03-05 08:30", 0.0, 60.0), ("03-05 09:30", 1.1, -1.0)]
    assert spans(record, "bolus") == [("03-05 08:15", 2.0, 0.0), ("03-05 08:15", 3.0, 120.0), ("03-05 12:00", 1.5, 0.0)]
    assert at(record, "carbs") == [("03-05 08:16", 40.0)]
    assert spans(record, "activity") == [("03-05 17:00", 8.0, 30.0)]
    assert record.ignored == {"basis_gsr": 2}
    assert rules(record) == {"basis_gsr": 1, "no amount": 1, "wizard's carbs": 1}
    assert len(to_series(record, GLUCOSE))


def test_training_and_testing_are_one_person(tmp_path: Path) -> None:
    write(tmp_path, ("glucose_level", {"ts": ts("08:00"), "value": 120}))
    write(tmp_path, ("glucose_level", {"ts": ts("09:00"), "value": 130}), name="559-ws-testing.xml")
    write(tmp_path, ("glucose_level", {"ts": ts("09:00"), "value": 140}), name="563-ws-testing.xml", person="563")
    first, second = read_ohio(tmp_path, zone="America/New_York")
    assert (first.patient, first.files) == ("ohio-559", ("559-ws-testing.xml", "559-ws-training.xml"))
    assert at(first, "glucose") == [("03-05 13:00", 120.0), ("03-05 14:00", 130.0)]
    assert second.patient == "ohio-563"


def test_entities_and_other_xml_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE patient [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    with pytest.raises(RecordError, match="document type"):
        read_ohio(write(tmp_path, ("glucose_level", {"ts": ts("08:00"), "value": "&b;"}), top=bomb))
    for text, says in (
        ("<rss></rss>", "expected the root <patient>"),
        ("<patient><a>", "not XML"),
        ("<patient></patient>", "no usable row"),
    ):
        (tmp_path / "559-ws-training.xml").write_text(text, encoding="utf-8")
        with pytest.raises(RecordError, match=says):
            read_ohio(tmp_path / "559-ws-training.xml")
    assert recognise('<?xml version="1.0"?><patient id="1" insulin_type="x">')
    assert recognise('<patient id="1"><name/>') is None


stamps = st.sampled_from([ts("08:00"), ts("09:30"), "31-02-2022 08:00:00", "", "x", ts("23:59")])
values = st.sampled_from(["", "1", "0", "2.5", "x", "-1", "120", "9999"])
kinds = st.sampled_from(
    ["glucose_level", "finger_stick", "basal", "temp_basal", "bolus", "meal", "exercise", "sleep", "basis_steps"]
)
names = ("ts", "ts_begin", "ts_end")
amounts = ("value", "dose", "carbs", "duration", "intensity", "bwz_carb_input")
made = st.tuples(kinds, st.fixed_dictionaries({name: stamps for name in names} | {name: values for name in amounts}))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(made, min_size=1, max_size=12))
def test_no_event_vanishes(tmp_path: Path, events: list[Element]) -> None:
    good: list[Element] = [
        ("glucose_level", {"ts": ts(f"{hour:02}:{minute}"), "value": 100 + hour}) for hour in range(24) for minute in (10, 40)
    ]
    try:
        [record] = read_ohio(write(tmp_path, *events, *good), zone="UTC")
    except RecordError:
        event("refused")
        return
    event("read")
    assert accounted(record) == record.rows_read == len(events) + len(good)


def test_the_invented_sample(data: Path) -> None:
    [record] = read_ohio(data / "device_exports" / "ohiot1dm_structure", zone="UTC")
    assert accounted(record) == record.rows_read == 13
    assert spans(record, "basal") == [
        ("12-07 00:00", 0.9, 60.0),
        ("12-07 01:00", 0.0, 45.0),
        ("12-07 01:45", 0.9, 75.0),
        ("12-07 03:00", 1.1, -1.0),
    ]
    assert spans(record, "bolus") == [("12-07 00:12", 4.2, 0.0), ("12-07 12:10", 2.0, 60.0)]
    assert at(record, "carbs") == [("12-07 00:15", 42.0)]
