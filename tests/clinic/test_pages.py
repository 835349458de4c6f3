"""Summaries, the worklist and the review page, from what is stored."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from careplan.clinic import codec
from careplan.clinic.errors import UnknownPatient
from careplan.clinic.importing import store_records
from careplan.clinic.pages import audit_trail, review_page
from careplan.clinic.reviews import save_draft, sign_review
from careplan.clinic.suggestions import save_suggestion
from careplan.clinic.summaries import patients, show
from careplan.clinic.views import PatientSummary, ReviewPage, WorklistQuery, WorklistRow
from careplan.clinic.worklists import refresh, worklist
from careplan.records.events import PatientRecord, events_frame
from careplan.store import Database, append, schema
from careplan.suggestion import Decision, Suggestion

from ..kept import DR_ADA, DR_BEA
from .build import REGIMEN, START, line, record, suggestion


def test_a_summary_counts_what_is_there(db: Database) -> None:
    store_records(db, "table", [record(weight=70.0)])
    found = show(db, "ann")
    assert (found.group, found.zone, found.source, found.weight) == ("adult", "UTC", "table", 70.0)
    assert found.days == pytest.approx(15.0)
    assert found.events == {"basal": 360, "bolus": 45, "carbs": 45, "glucose": 4320}
    assert (found.gap_count, found.gaps) == (0, ())
    assert found.metrics.readings == 4320 and found.metrics.active == pytest.approx(100.0)
    assert found.sufficient
    assert found.total_daily_dose == pytest.approx(24 * 0.8 + 18, rel=0.03)


def test_gaps_are_listed_longest_first_and_readings_counted_against_them(db: Database) -> None:
    full = record(days=4)
    minute = (full.events["time"] - START).dt.total_seconds() / 60
    missing = ((minute > 600) & (minute < 720)) | ((minute > 2000) & (minute < 2400)) | (minute == 3000)
    store_records(db, "table", [replace(full, events=full.events[~(missing & (full.events["channel"] == "glucose"))])])
    found = show(db, "ann")
    assert [gap for _, gap in found.gaps] == [400.0, 120.0]
    assert found.gaps[0][0] == (START + pd.Timedelta(minutes=2000)).to_pydatetime()
    assert found.metrics.active == pytest.approx(100 * found.metrics.readings / 1152, abs=0.1)
    assert not found.sufficient


def test_a_fifteen_minute_sensor_misses_nothing(db: Database) -> None:
    rows = [(START + pd.Timedelta(minutes=15 * step), "glucose", 110.0, 0.0, "", f"f:{step}") for step in range(96 * 14)]
    store_records(db, "table", [PatientRecord(patient="lib", zone="UTC", events=events_frame(rows))])
    found = show(db, "lib")
    assert (found.gap_count, found.sufficient) == (0, True)
    assert found.metrics.active == pytest.approx(100.0)


def test_who_reads_a_finger_four_times_a_day_has_not_read_enough(db: Database) -> None:
    rows = [(START + pd.Timedelta(hours=6 * step), "glucose", 110.0, 0.0, "", f"f:{step}") for step in range(4 * 20)]
    store_records(db, "table", [PatientRecord(patient="fin", zone="UTC", events=events_frame(rows))])
    found = show(db, "fin")
    assert not found.sufficient and found.metrics.active == pytest.approx(100 * 4 / 96, abs=0.2)


@pytest.mark.parametrize("rows", [[], [(START, "glucose", 110.0, 0.0, "", "f:1")], [(START, "bolus", 2.0, 0.0, "", "f:1")]])
def test_next_to_nothing_can_be_shown(db: Database, rows: list[tuple[object, ...]]) -> None:
    store_records(db, "table", [PatientRecord(patient="new", zone="UTC", events=events_frame(rows))])
    assert not show(db, "new").sufficient
    assert worklist(db).rows[0].status == ("not planned" if rows and rows[0][1] == "glucose" else "no data")
    page = review_page(db, "new")
    assert (page.regimen, page.suggestion, page.history) == ({}, None, ())


def test_the_worklist_puts_hypoglycaemia_first(db: Database) -> None:
    store_records(
        db,
        "table",
        [record("high", level=230.0), record("fine", level=120.0), record("very low", level=60.0), record("low", level=85.0)],
    )
    rows = worklist(db).rows
    assert [row.patient for row in rows] == ["very low", "low", "high", "fine"]
    assert "below 54" in rows[0].headline and "below 70" in rows[1].headline
    assert "above 180" in rows[2].headline or "above 250" in rows[2].headline
    assert rows[3].headline.endswith("targets met")


def test_the_worklist_judges_the_last_two_weeks(db: Database) -> None:
    old_lows = record("ann", days=30, level=120.0)
    early = (old_lows.events["time"] < START + pd.Timedelta(days=15)) & (old_lows.events["channel"] == "glucose")
    old_lows.events.loc[early, "value"] = 50.0
    store_records(db, "table", [old_lows])
    row = worklist(db).rows[0]
    assert row.urgency < 100
    assert row.days == pytest.approx(14.0, abs=0.01)


def test_the_status_follows_the_work(db: Database) -> None:
    def status() -> str:
        return worklist(db).rows[0].status

    store_records(db, "table", [record(days=2)])
    seen = [status()]
    save_suggestion(db, suggestion(abstained=True))
    seen.append(status())
    save_suggestion(db, suggestion())
    seen.append(status())
    number = save_suggestion(db, suggestion(line())).id
    assert number is not None
    seen.append(status())
    save_draft(db, number, [], DR_ADA)
    seen.append(status())
    sign_review(db, number, [Decision(key=line().key, verdict="accept", value=line().proposed)], DR_ADA, "prescribe as proposed")
    seen.append(status())
    assert seen == ["not planned", "abstained", "no change", "suggested", "draft", "signed"]


def test_the_review_page_holds_the_last_two_weeks_and_what_is_prescribed(db: Database) -> None:
    store_records(db, "table", [record(days=20)])
    page = review_page(db, "ann")
    assert len(page.days) == 14 and page.days[-1].date == "2024-03-20"
    day = page.days[3]
    assert day.boluses == ((480, 6.0), (780, 6.0), (1140, 6.0)) and day.carbs[0] == (480, 60.0)
    assert len(day.glucose) == 288 and day.metrics.readings == 288
    assert page.regimen["basal"] == tuple(zip(REGIMEN.starts, REGIMEN.basal, strict=True))
    assert len(page.profile.minute) == len(page.profile.p50)
    middle = [value for value in page.profile.p50 if value is not None]
    assert min(middle) > 100 and max(middle) < 180


def test_days_are_the_patients_own(db: Database) -> None:
    store_records(db, "table", [record(days=3, zone="America/Phoenix")])
    assert [day.date for day in review_page(db, "ann").days] == ["2024-02-29", "2024-03-01", "2024-03-02", "2024-03-03"]


def test_the_page_shows_my_draft_before_anyone_elses(db: Database) -> None:
    store_records(db, "table", [record(days=2)])
    number = save_suggestion(db, suggestion(line())).id
    assert number is not None
    mine, theirs = (Decision(key=line().key, verdict="edit", value=value) for value in (0.9, 0.95))
    save_draft(db, number, [mine], DR_ADA)
    save_draft(db, number, [theirs], DR_BEA)
    assert review_page(db, "ann", actor=DR_ADA).draft == (mine,)
    assert review_page(db, "ann", actor=DR_BEA).draft == (theirs,)


def test_looking_is_audited_once_a_while_for_each_person(db: Database) -> None:
    store_records(db, "table", [record(days=1)])
    for actor in (DR_ADA, DR_ADA, DR_BEA, DR_ADA):
        review_page(db, "ann", actor=actor)
    assert [entry.actor for entry in audit_trail(db, "ann") if entry.action == "read"] == ["Dr Bea", "Dr Ada"]
    with pytest.raises(UnknownPatient):
        review_page(db, "eve", actor=DR_ADA)


def test_every_view_survives_json(db: Database) -> None:
    store_records(db, "table", [record(days=2)])
    saved = save_suggestion(db, suggestion(line()))
    views = [
        (PatientSummary, patients(db)[0]),
        (WorklistRow, worklist(db).rows[0]),
        (ReviewPage, review_page(db, "ann")),
        (Suggestion, saved),
    ]
    for kind, view in views:
        body = codec.dump(view)
        assert codec.dump(codec.load(kind, body)) == body  # type: ignore[var-annotated]


def test_a_suggestion_stored_before_it_was_explained_still_loads(db: Database) -> None:
    store_records(db, "table", [record(days=2)])
    body = codec.dump(suggestion(line()))
    del body["why"]
    del body["options"][0]["does"]
    with db.write() as session:
        made = {"created": suggestion().created, "payload": body, "provenance": {}}
        row = schema.Suggestion(patient="ann", therapy="glucose", kind="regimen", **made)
        append(session, DR_ADA, "suggested", patient="ann", rows=[row])
    old = review_page(db, "ann").suggestion
    assert old is not None and old.why is None and old.lines == (line(),)


def test_a_view_with_a_missing_or_misshapen_field_is_refused() -> None:
    body = codec.dump(line())
    with pytest.raises(ValueError, match="days"):
        codec.load(type(line()), {key: value for key, value in body.items() if key != "days"})
    with pytest.raises(ValueError, match="start"):
        codec.load(type(line()), {**body, "start": "guess"})
    assert np.isclose(codec.load(type(line()), body).proposed, line().proposed)


def test_the_worklist_pages_filters_and_sorts(db: Database) -> None:
    levels = {"ann": 60.0, "bea": 230.0, "cyd": 120.0, "dan": 85.0}
    for name, level in levels.items():
        store_records(db, "table", [record(name, level=level, days=2, group="child" if name == "dan" else "adult")])
    save_suggestion(db, suggestion(line(), patient="bea"))

    def asked(**query: Any) -> list[str]:
        return [row.patient for row in worklist(db, WorklistQuery(**query)).rows]

    assert asked() == ["ann", "dan", "bea", "cyd"]
    assert asked(sort="name") == ["ann", "bea", "cyd", "dan"]
    assert [asked(size=3, page=page) for page in (1, 2, 3)] == [["ann", "dan", "bea"], ["cyd"], []]
    assert asked(find="A") == ["ann", "dan", "bea"] and asked(find="%") == []
    assert asked(group="child") == ["dan"]
    assert asked(statuses=("suggested",)) == ["bea"]
    assert asked(unmet=("below_54",)) == ["ann"]
    assert asked(unmet=("below_54", "above_180")) == ["ann", "bea"]
    page = worklist(db, WorklistQuery(size=1))
    assert (page.found, page.groups, page.due) == (4, ("adult", "child"), 0)
    assert page.statuses == {"not planned": 3, "suggested": 1} and "cv" not in page.unmet


def test_only_those_shown_are_read_on_record(db: Database) -> None:
    store_records(db, "table", [record(name, days=1) for name in ("ann", "bob")])
    worklist(db, WorklistQuery(sort="name", size=1))
    assert [entry.patient for entry in audit_trail(db) if entry.action == "read"] == ["ann"]


def test_the_worklist_computes_anew_only_what_was_put_on_record(db: Database) -> None:
    store_records(db, "table", [record(name, days=1) for name in ("ann", "bob")])
    assert refresh(db) == 2 and refresh(db) == 0
    save_suggestion(db, suggestion(line(), patient="bob"))
    assert refresh(db, ["ann"]) == 0 and refresh(db) == 1


def test_a_change_is_due_for_a_look_once_it_was_lived_with(db: Database) -> None:
    store_records(db, "table", [record(days=2)])
    number = save_suggestion(db, suggestion(line())).id
    assert number is not None
    sign_review(db, number, [Decision(key=line().key, verdict="accept", value=line().proposed)], DR_ADA, "prescribe as proposed")
    assert [row.due for row in worklist(db, WorklistQuery()).rows] == [False]
    later = pd.Timestamp.now(tz="UTC").floor("5min") + pd.Timedelta(days=15)
    rows = [(later + pd.Timedelta(minutes=5 * step), "glucose", 120.0, 0.0, "", f"f:{step}") for step in range(12)]
    store_records(db, "table", [PatientRecord(patient="ann", zone="UTC", events=events_frame(rows))])
    page = worklist(db, WorklistQuery(due=True))
    assert ([row.patient for row in page.rows], page.due) == (["ann"], 1)
