"""Nightscout from files and from an address: doses, meals, basal from profiles and temporary rates."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from careplan.records import PatientRecord, RecordError, read_nightscout, to_series
from careplan.records.units import MG_PER_MMOL
from careplan.therapies.glucose.declaration import GLUCOSE

Document = dict[str, Any]
PROFILE: Document = {
    "startDate": "2024-01-01T00:00:00.000Z",
    "defaultProfile": "Usual",
    "store": {
        "Usual": {
            "timezone": "Europe/Helsinki",
            "units": "mmol",
            "basal": [{"time": "00:00", "value": 0.8}, {"time": "06:00", "value": 1.0}],
            "carbratio": [{"time": "00:00", "value": 10}],
            "sens": [{"time": "00:00", "value": 2.5}],
            "target_low": [{"time": "00:00", "value": 5}],
            "target_high": [{"time": "00:00", "value": 7}],
        },
        "Sport": {"basal": [{"time": "00:00", "value": 0.4}]},
    },
}


def sgv(hour: float, value: object, **more: object) -> Document:
    return {"type": "sgv", "sgv": value, "date": 1704672000000 + int(hour * 3_600_000), **more}  # from 2024-01-08 00:00 UTC


def treatment(clock: str, kind: str, **fields: object) -> Document:
    return {"eventType": kind, "created_at": f"2024-01-08T{clock}:00.000Z", **fields}


def write(folder: Path, entries: list[Any], treatments: list[Any] = (), profiles: list[Any] = ()) -> Path:  # type: ignore[assignment]
    for name, documents in (("entries", entries), ("treatments", treatments), ("profile", profiles)):
        (folder / f"{name}.json").write_text(json.dumps(list(documents)), encoding="utf-8")
    return folder


def read(folder: Path, *parts: list[Any]) -> PatientRecord:
    [record] = read_nightscout(write(folder, *parts), patient="p")
    return record


def table(record: PatientRecord, channel: str) -> list[tuple[str, float, float]]:
    events = record.events[record.events["channel"] == channel]
    return [(f"{t:%H:%M}", v, d) for t, v, d in events[["time", "value", "duration"]].itertuples(index=False)]


def rules(record: PatientRecord) -> Counter[str]:
    return Counter(correction.rule for correction in record.corrections)


HOURS = [sgv(h, 100 + h) for h in range(0, 13)]


def test_readings_codes_and_censored_values(tmp_path: Path) -> None:
    more = [
        sgv(13, 39),
        sgv(14, 401),
        sgv(15, 5),
        {"type": "mbg", "mbg": 150, "dateString": "2024-01-08T18:00:00+02:00"},
        {"type": "cal", "slope": 1},
    ]
    record = read(tmp_path, [*HOURS, *more])
    late = record.events[record.events["time"].dt.hour >= 13]
    assert late[["value", "flag"]].values.tolist() == [[40.0, "low"], [400.0, "high"], [150.0, "fingerstick"]]
    assert f"{late['time'].iloc[-1]:%H:%M}" == "16:00"
    assert rules(record) == {"sensor error code": 1, "no time zone": 1}
    assert record.rows_read == 18


def test_a_site_in_millimoles(tmp_path: Path) -> None:
    record = read(tmp_path, [sgv(h, 5.5) for h in range(10)])
    assert rules(record)["mmol/L labelled mg/dL"] == 10
    assert record.events["value"].tolist() == pytest.approx([5.5 * MG_PER_MMOL] * 10)


def test_doses_and_meals(tmp_path: Path) -> None:
    treatments = [
        treatment("01:00", "Meal Bolus", insulin=4, carbs="45"),
        treatment("02:00", "Correction Bolus", insulin=0.5, automatic=True),
        treatment("03:00", "Combo Bolus", insulin=3, enteredinsulin=10, splitNow=30, splitExt=70, duration=120, relative=3.5),
        treatment("04:00", "Bolus", insulin=2, type="square", duration=60),
        treatment("05:00", "Carb Correction", carbs=30, duration=90),
        treatment(
            "06:00",
            "<none>",
            insulin=12,
            insulinInjections='[{"insulin":"Novorapid","units":2},{"insulin":"Tresiba","units":10}]',
        ),
        treatment("07:00", "Note", notes="tired", insulin=None, carbs=0),
        treatment("01:00", "Meal Bolus", insulin=4, carbs=45),  # uploaded twice
        treatment("08:00", "Bolus", insulin=-2),
    ]
    record = read(tmp_path, HOURS, treatments)
    assert table(record, "bolus") == [
        ("01:00", 4.0, 0.0),
        ("02:00", 0.5, 0.0),
        ("03:00", 3.0, 0.0),
        ("03:00", 7.0, 120.0),
        ("04:00", 2.0, 60.0),
        ("06:00", 2.0, 0.0),
    ]
    assert table(record, "carbs") == [("01:00", 45.0, 0.0), ("05:00", 30.0, 90.0)]
    assert table(record, "long_acting") == [("06:00", 10.0, 0.0)]
    assert record.events.loc[record.events["flag"] == "automatic", "value"].tolist() == [0.5]
    assert rules(record) == {"duplicate": 2, "negative": 1, "no time zone": 1}
    assert to_series(record, GLUCOSE).values[:, 2].sum() == pytest.approx(18.5)


def test_basal_follows_the_profile_on_the_patients_clock(tmp_path: Path) -> None:
    record = read(tmp_path, HOURS, [], [PROFILE])
    assert record.zone == "Europe/Helsinki"
    assert table(record, "basal") == [("00:00", 0.8, 240.0), ("04:00", 1.0, 480.0)]  # six in Helsinki is four in UTC
    assert record.regimen is not None
    assert record.regimen.blocks["basal"] == (0.8, 1.0)
    assert record.regimen.blocks["correction_factor"] == pytest.approx((2.5 * MG_PER_MMOL,) * 2)
    assert record.regimen.single["target"] == pytest.approx(6 * MG_PER_MMOL)


def test_temporary_rates(tmp_path: Path) -> None:
    treatments = [
        treatment("01:00", "Temp Basal", absolute=2.0, duration=60),
        treatment("01:30", "Temp Basal", percent=-50, duration=60),  # ends the one before
        treatment("05:00", "Temp Basal", percent=50, duration=600),
        treatment("06:00", "Temp Basal", duration=0),  # cancelled
        treatment("07:00", "Suspend Pump"),
        treatment("08:00", "Resume Pump"),
        treatment("09:00", "Temp Basal", absolute=-1, duration=30),
        treatment("09:00", "Temp Basal", duration=30),
    ]
    record = read(tmp_path, HOURS, treatments, [PROFILE])
    assert table(record, "basal") == [
        ("00:00", 0.8, 60.0),
        ("01:00", 2.0, 30.0),
        ("01:30", 0.4, 30.0),
        ("02:00", 0.4, 30.0),
        ("02:30", 0.8, 90.0),
        ("04:00", 1.0, 60.0),
        ("05:00", 1.5, 60.0),
        ("06:00", 1.0, 60.0),
        ("07:00", 0.0, 60.0),
        ("08:00", 1.0, 240.0),
    ]
    assert [(c.rule, c.row) for c in record.corrections] == [("negative", 7), ("no amount", 8)]


def test_profile_switches(tmp_path: Path) -> None:
    carried = json.dumps({"basal": [{"timeAsSeconds": 0, "value": 3.0}]})
    treatments = [
        treatment("02:00", "Profile Switch", profile="Sport", duration=60),
        treatment("06:00", "Profile Switch", profile="Custom", profileJson=carried, percentage=50),
        treatment("07:00", "Profile Switch", profile="Nowhere"),
    ]
    record = read(tmp_path, HOURS, treatments, [PROFILE])
    rates = {clock: value for clock, value, _ in table(record, "basal")}
    assert rates == {"00:00": 0.8, "02:00": 0.4, "03:00": 0.8, "04:00": 1.0, "06:00": 1.5}
    assert rules(record) == {"unknown profile": 1}


def test_basal_is_unknown_before_the_profile_and_where_nothing_was_recorded(tmp_path: Path) -> None:
    late = {**PROFILE, "startDate": "2024-01-08T02:00:00.000Z"}
    record = read(tmp_path, [*HOURS, *(sgv(h, 100) for h in range(30, 33))], [], [late])
    assert [clock for clock, _, _ in table(record, "basal")] == ["02:00", "04:00", "06:00"]
    series = to_series(record, GLUCOSE)
    assert series.mask[:, 1].nonzero()[0].tolist() == [*range(24, 144), *range(360, 384)]


def test_each_folder_is_a_patient(tmp_path: Path) -> None:
    for name in ("anna", "ben"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, HOURS)
    assert [record.patient for record in read_nightscout(tmp_path, zone="Asia/Tokyo")] == ["nightscout-anna", "nightscout-ben"]
    with pytest.raises(RecordError, match="cannot all be"):
        read_nightscout(tmp_path, patient="p")


def test_one_file_with_everything(tmp_path: Path) -> None:
    path = tmp_path / "Carla.json"
    path.write_text(json.dumps({"entries": HOURS, "treatments": [treatment("01:00", "Bolus", insulin=1)], "profile": [PROFILE]}))
    [record] = read_nightscout(path)
    assert record.patient == "nightscout-carla"
    assert set(record.events["channel"]) == {"glucose", "bolus", "basal"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ('[{"type": "sgv", "sgv": 100, "da', "not JSON"),
        ('{"hello": 1}', "expected Nightscout"),
        ("[1, 2]", "expected a document"),
        ('"text"', "expected a list"),
        ('[{"recordType": "glucose"}]', "expected Nightscout"),
        ("[]", "no glucose, insulin or carbs"),
        ('[{"type": "sgv", "sgv": -5, "date": 1704672000000}]', "no glucose, insulin or carbs"),
        ("[" * 100_000, "JSON|nested"),
    ],
)
def test_what_is_not_nightscout_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "export.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=says):
        read_nightscout(path)


def serve(documents: dict[str, list[Document]], log: list[httpx.Request], page: int = 10_000) -> httpx.Client:
    """A site that answers as Nightscout does: newest first, at most `page`, not older than four days unless asked."""

    def answer(request: httpx.Request) -> httpx.Response:
        log.append(request)
        query = dict(request.url.params)
        collection = request.url.path.rpartition("/")[2].removesuffix(".json")
        if collection == "profile":
            return httpx.Response(200, json=documents["profile"])
        key = "date" if collection == "entries" else "created_at"
        assert f"find[{key}][$gte]" in query, "without a bound the site gives four days only"
        upper = query.get(f"find[{key}][$lte]")
        every = sorted(documents[collection], key=lambda d: d[key], reverse=True)
        inside = [d for d in every if upper is None or str(d[key]) <= upper]
        return httpx.Response(200, json=inside[: min(page, int(query["count"]))])

    return httpx.Client(transport=httpx.MockTransport(answer))


def test_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("careplan.formats.nightscout.api.PAGE", 5)
    log: list[httpx.Request] = []
    documents = {"entries": HOURS, "treatments": [treatment("01:00", "Bolus", insulin=1)], "profile": [PROFILE]}
    [record] = read_nightscout("https://Site.example/ns/", token="reader-0123456789abcdef", client=serve(documents, log))
    [same] = read_nightscout(write(tmp_path, *documents.values()), patient="nightscout-site-example")
    assert record.patient == "nightscout-site-example"
    assert record.events.drop(columns="origin").equals(same.events.drop(columns="origin"))
    assert all(request.url.params["token"] == "reader-0123456789abcdef" for request in log)
    assert sum("entries" in request.url.path for request in log) >= 3


def test_the_secret_is_sent_hashed_and_never_shown() -> None:
    log: list[httpx.Request] = []
    read_nightscout(
        "https://site.example", token="my secret words", client=serve({"entries": HOURS, "treatments": [], "profile": []}, log)
    )
    assert log[0].headers["api-secret"] == hashlib.sha1(b"my secret words").hexdigest()
    assert "secret" not in str(log[0].url)


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (httpx.Response(401), "access refused"),
        (httpx.Response(500, text="boom"), "answered 500"),
        (httpx.Response(200, text="<html>"), "not JSON"),
        (httpx.Response(200, json={"status": 1}), "expected a list"),
        (httpx.Response(301, headers={"location": "https://other.example/?token=reader-0123456789abcdef"}), "moved"),
        (None, "no answer: ConnectError"),
    ],
)
def test_a_site_that_fails_says_why_without_the_token(response: httpx.Response | None, says: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if response is None:
            raise httpx.ConnectError(f"cannot reach {request.url}")
        return response

    with pytest.raises(RecordError, match=says) as caught:
        read_nightscout(
            "https://site.example", token="reader-0123456789abcdef", client=httpx.Client(transport=httpx.MockTransport(answer))
        )
    assert "0123456789abcdef" not in str(caught.value)
    assert caught.value.__cause__ is None or "0123456789abcdef" not in str(caught.value.__cause__)


def test_only_web_addresses() -> None:
    with pytest.raises(RecordError, match="no such file"):
        read_nightscout("ftp://site.example")
    with pytest.raises(RecordError, match="http or https"):
        read_nightscout("https://")


def test_the_public_example(data: Path) -> None:
    [record] = read_nightscout(data / "device_exports" / "nightscout")
    assert record.events.groupby("channel").size().to_dict() == {"basal": 39, "bolus": 7, "carbs": 7, "glucose": 576}
    assert not record.corrections
    series = to_series(record, GLUCOSE)
    assert series.mask[:, 0].all()
    assert series.values[:, 2].sum() == pytest.approx(19.5)
    assert series.mask[:-1, 1].all()
    temporary = series.values[series.row(series.times[0].replace(hour=15, minute=0)), 1]
    assert temporary == pytest.approx(0.8)


def test_the_public_example_gives_its_expected_output(data: Path) -> None:
    """GluPredKit keeps schedules on the clock of UTC, takes a rate in percent for 0, lets no switch end, and knows the rate after
    the last record; all else agrees."""
    folder = data / "device_exports" / "nightscout"
    expected = pd.read_csv(folder / "glupredkit_nightscout_expected_output.csv")
    times = pd.to_datetime(expected["date"], utc=True)
    [record] = read_nightscout(folder, zone="UTC")
    series = to_series(record, GLUCOSE)
    rows = [series.row(time) for time in times]
    for column, channel, scale in (("CGM", 0, 1.0), ("bolus", 2, 1.0), ("carbs", 4, 1.0), ("basal", 1, 12.0)):
        mine = np.where(series.mask[rows, channel], series.values[rows, channel], 0.0)
        apart = times[np.abs(expected[column].to_numpy() * scale - mine) > 0.005]
        theirs = [f"{time:%d %H}" for time in apart]
        assert set(theirs) == ({"26 09", "27 01", "27 02", "27 14", "27 15", "27 20", "27 23"} if column == "basal" else set()), (
            column
        )
