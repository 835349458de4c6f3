"""A second therapy in the clinic: a table of INRs is imported, planned for, reviewed and signed, with nobody naming it."""

from pathlib import Path

import pytest

from careplan.clinic import ImportOptions, ReviewError, import_declared, import_records, load_regimen, review_page, sign_review
from careplan.clinic.planning import plan_regimens
from careplan.clinic.recordings import read_recording
from careplan.clinic.summaries import therapies_of
from careplan.clinic.worklists import worklist
from careplan.store import Database
from careplan.suggestion import Decision, Suggestion
from careplan.therapies.warfarin.regimen import Regimen
from tests.therapies.warfarin.build import world

from ..kept import DR_ADA

HEADER = "patient,date,INR,weekly dose,age,weight,cyp2c9,vkorc1\n"
HIGH = HEADER + "".join(
    f"vera,2026-03-{day:02},{inr},{dose},{who}\n"
    for day, inr, dose, who in ((1, 1.0, 35, "71,80,*1/*2,G/A"), (9, 2.1, "", ",,,"), (20, 3.0, "", ",,,"), (31, 5.2, "", ",,,"))
)


def planned(db: Database, folder: Path, text: str = HIGH) -> Suggestion:
    (folder / "clinic.csv").write_text(text)
    report = import_records(db, folder / "clinic.csv")
    assert not report.failed
    return plan_regimens(db, ["vera"], world())[0]


def test_what_is_known_of_a_patient_reaches_the_model(db: Database, tmp_path: Path) -> None:
    planned(db, tmp_path)
    recording = read_recording(db, "vera")
    assert recording.series.facts == {"age": 71.0, "weight": 80.0, "cyp2c9": "*1/*2", "vkorc1": "G/A"}
    assert isinstance(recording.regimen, Regimen) and recording.regimen.weekly == 35.0
    assert therapies_of(db, ["vera"]) == ["warfarin"]


def test_a_table_is_read_alike_whether_or_not_its_therapy_is_named(db: Database, tmp_path: Path) -> None:
    (tmp_path / "clinic.csv").write_text(HIGH)
    named = import_declared(db, tmp_path / "clinic.csv", how=ImportOptions(therapy="warfarin"))
    assert not named.failed and not named.patients[0].corrections
    assert load_regimen(db, "vera").weekly == 35.0  # type: ignore[union-attr]
    again = import_records(db, tmp_path / "clinic.csv")
    assert not again.failed and not again.patients[0].events_added


def test_a_table_of_channels_by_name_is_read_where_no_format_of_the_therapy_fits(db: Database, tmp_path: Path) -> None:
    rows = "2026-03-01,inr,2.1\n2026-03-01,warfarin,5\n"
    (tmp_path / "vera.csv").write_text("time,channel,value\n" + rows)
    report = import_declared(db, tmp_path / "vera.csv", how=ImportOptions(therapy="warfarin"))
    assert not report.failed and report.patients[0].events_added == {"inr": 1, "warfarin": 1}


def test_a_genotype_that_does_not_exist_keeps_a_patient_out_and_says_why(db: Database, tmp_path: Path) -> None:
    (tmp_path / "clinic.csv").write_text(HIGH.replace("*1/*2", "*1/*7"))
    report = import_records(db, tmp_path / "clinic.csv")
    assert "cyp2c9: '*1/*7' does not exist here" in report.failed["vera"]


def test_a_week_that_cannot_be_halved_is_told_and_the_tablets_tell_instead(db: Database, tmp_path: Path) -> None:
    text = HEADER.replace("\n", ",strengths\n") + "vera,2026-03-01,1.0,33,71,80,,,5\nvera,2026-03-09,2.1,33,,,,,\n"
    (tmp_path / "clinic.csv").write_text(text)
    report = import_records(db, tmp_path / "clinic.csv")
    told = [correction[5] for correction in report.patients[0].corrections]
    assert any("33 mg a week cannot be made of halves of 5 mg tablets" in each for each in told)
    assert load_regimen(db, "vera").weekly == 33.0  # type: ignore[union-attr]


def test_she_is_on_the_worklist_and_her_page_shows_the_course(db: Database, tmp_path: Path) -> None:
    suggestion = planned(db, tmp_path)
    (row,) = worklist(db).rows
    assert row.therapy == "warfarin" and row.urgency >= 300 and row.headline == "last INR 5.2: hold, 4.5 or more"
    page = review_page(db, "vera")
    assert page.suggestion is not None and page.suggestion.id == suggestion.id
    assert page.recent.last == 5.2 and [inr for inr in page.profile.levels["inr"] if inr] == pytest.approx([1.0, 2.1, 3.0, 5.2])
    assert page.regimen["weekly_dose"] == ((0, 35.0),)


def test_signing_prescribes_the_week_the_evenings_left_out_and_the_next_inr(db: Database, tmp_path: Path) -> None:
    suggestion = planned(db, tmp_path)
    by_setting = {line.setting: line for line in suggestion.lines}
    assert by_setting["hold"].proposed >= 1
    more = tuple(
        Decision(key=line.key, verdict="edit", value=40.0, reason="a typed reason that is long enough")
        if line.setting == "weekly_dose"
        else Decision(key=line.key, verdict="accept", value=line.proposed)
        for line in suggestion.lines
    )
    if "weekly_dose" in by_setting:
        with pytest.raises(ReviewError, match=r"more warfarin is not allowed: the last INR is 5\.2"):
            sign_review(db, suggestion.id, more, DR_ADA, "prescribe with changes")  # type: ignore[arg-type]
    accepted = tuple(Decision(key=line.key, verdict="accept", value=line.proposed) for line in suggestion.lines)
    sign_review(db, suggestion.id, accepted, DR_ADA, "prescribe as proposed")  # type: ignore[arg-type]
    regimen = load_regimen(db, "vera")
    assert isinstance(regimen, Regimen)
    assert regimen.hold == by_setting["hold"].proposed and regimen.next_inr == by_setting["next_inr"].proposed
    assert regimen.weekly == (by_setting["weekly_dose"].proposed if "weekly_dose" in by_setting else 35.0)
