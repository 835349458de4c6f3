"""A site read straight from its address, on the loopback: in pages, from the last read on, and without trust in the server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from careplan.records import RecordError, read_nightscout
from careplan.records.web import Bounds
from tests.loopback import Asked, Reply, serve

Document = dict[str, Any]
TOKEN = "reader-0123456789abcdef"
DAY = 1_709_596_800_000  # 2024-03-05 00:00 UTC
SETTINGS = {"timezone": "UTC", "basal": [{"time": "00:00", "value": 1.0}], "carbratio": 10, "sens": 40}
SITE: dict[str, list[Document]] = {
    "entries": [{"_id": f"e{n}", "type": "sgv", "sgv": 100 + n % 40, "date": DAY + 300_000 * n} for n in range(144)],
    "treatments": [
        {"eventType": "Profile Switch", "created_at": "2024-03-02T00:00:00.000Z", "profile": "Day", "percentage": 50},
        {"eventType": "Meal Bolus", "created_at": "2024-03-05T02:00:00.000Z", "insulin": 2.0, "carbs": 20},
        {"eventType": "Temp Basal", "created_at": "2024-03-05T05:50:00.000Z", "absolute": 2.0, "duration": 30},
        {"eventType": "Meal Bolus", "created_at": "2024-03-05T08:00:00.000Z", "insulin": 3.0, "carbs": 30},
    ],
    "profile": [{"startDate": "2024-01-01T00:00:00.000Z", "defaultProfile": "Day", "store": {"Day": SETTINGS}}],
}


def nightscout(log: list[tuple[str, dict[str, str]]]) -> Callable[[Asked], Reply]:
    """Answers as a site does: newest first, at most `count`, within the bounds asked for; 401 without the token."""

    def respond(asked: Asked) -> Reply:
        path, query = asked.path, {name: values[0] for name, values in asked.query.items()}
        log.append((path, query))
        if query.get("token") != TOKEN:
            return Reply(401, b"{}")
        collection = path.rpartition("/")[2].removesuffix(".json")
        if collection == "profile":
            return Reply(body=json.dumps(SITE["profile"]).encode())
        key = "date" if collection == "entries" else "created_at"
        found = [
            each for each in SITE[collection] if query.get("find[eventType]", each.get("eventType")) == each.get("eventType")
        ]
        for bound, holds in (
            ("$gte", lambda a, b: a >= b),
            ("$lte", lambda a, b: a <= b),
            ("$lt", lambda a, b: a < b),
        ):
            if (limit := query.get(f"find[{key}][{bound}]")) is not None:
                of = int if key == "date" else str
                found = [each for each in found if holds(of(each[key]), of(limit))]
        found = sorted(found, key=lambda each: each[key], reverse=True)[: int(query["count"])]
        return Reply(body=json.dumps(found).encode())

    return respond


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("careplan.formats.nightscout.api.PAGE", 50)


@pytest.mark.usefixtures("small_pages")
def test_all_of_a_site_is_what_its_export_holds(tmp_path: Path) -> None:
    for name, documents in SITE.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(documents))
    [exported] = read_nightscout(tmp_path)
    log: list[tuple[str, dict[str, str]]] = []
    with serve(nightscout(log)) as address:
        [record] = read_nightscout(address, token=TOKEN)
    pd.testing.assert_frame_equal(record.events.drop(columns="origin"), exported.events.drop(columns="origin"))
    assert sum("entries" in path for path, _ in log) == 3
    assert record.patient == "nightscout-127-0-0-1"


@pytest.mark.usefixtures("small_pages")
def test_only_what_is_newer_than_the_last_read() -> None:
    since = pd.Timestamp("2024-03-05 06:00", tz="UTC")
    log: list[tuple[str, dict[str, str]]] = []
    with serve(nightscout(log)) as address:
        [whole] = read_nightscout(address, token=TOKEN)
        log.clear()
        [record] = read_nightscout(address, token=TOKEN, since=since.to_pydatetime())
    newer = whole.events[whole.events["time"] > since]
    for channel in ("glucose", "bolus", "carbs"):
        columns = ["time", "value", "duration"]
        mine = record.events.loc[record.events["channel"] == channel, columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, newer.loc[newer["channel"] == channel, columns].reset_index(drop=True))
    basal = record.events[record.events["channel"] == "basal"]
    # the temporary rate goes on to its end, and the profile switch of three days ago still holds
    assert [(f"{t:%H:%M}", v) for t, v in zip(basal["time"], basal["value"], strict=True)][:2] == [("06:00", 2.0), ("06:20", 0.5)]
    asked = [query for path, query in log if "entries" in path]
    assert {query["find[date][$gte]"] for query in asked} == {str(DAY + 6 * 3_600_000)}
    # of the entries one ends at the last read; of the treatments the bolus before it is left out
    assert record.ignored == {"before the last read": 2, "profile of no recorded time": 1}


def test_the_token_in_an_address() -> None:
    with serve(nightscout([])) as address:
        [record] = read_nightscout(f"{address}/?token={TOKEN}")
    assert record.rows_read == sum(map(len, SITE.values()))


def test_a_read_with_nothing_new_is_empty() -> None:
    with serve(nightscout([])) as address:
        [record] = read_nightscout(address, token=TOKEN, since=pd.Timestamp("2024-03-06", tz="UTC").to_pydatetime())
    assert record.events.empty


def test_a_redirect_is_not_followed_and_gets_no_token() -> None:
    elsewhere: list[tuple[str, dict[str, str]]] = []
    with serve(nightscout(elsewhere)) as other:
        host = other.replace("127.0.0.1", "localhost")
        with (
            serve(lambda asked: Reply(302, headers={"location": f"{host}{asked.path}?token={TOKEN}"})) as address,
            pytest.raises(RecordError, match="moved") as caught,
        ):
            read_nightscout(address, token=TOKEN)
    assert elsewhere == []
    assert "0123456789abcdef" not in str(caught.value)


def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("careplan.formats.nightscout.api.BOUNDS", Bounds(size=10_000))
    with (
        serve(lambda asked: Reply(body=b"[" + b"1," * 20_000 + b"1]")) as address,
        pytest.raises(RecordError, match="sends more than"),
    ):
        read_nightscout(address)


def test_a_token_is_not_sent_in_the_clear() -> None:
    with pytest.raises(RecordError, match="https only") as caught:
        read_nightscout("http://site.example", token=TOKEN)
    assert "0123456789abcdef" not in str(caught.value)
