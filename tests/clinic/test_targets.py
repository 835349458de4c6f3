"""Targets are the patient's: signed, kept, and followed by all that is shown, planned and signed of them."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan import therapies
from careplan.clinic import (
    ClinicError,
    patients,
    review_page,
    save_suggestion,
    show,
    sign_review,
    sign_targets,
    store_records,
    targets_in_force,
    worklist,
)
from careplan.clinic.recordings import identity, read_recording
from careplan.clinic.roles import Forbidden
from careplan.store import Database, open_database
from careplan.suggestion import Decision
from careplan.targets import CUSTOM, Targets
from careplan.therapies.glucose.bands import ADULTS, OLDER, PREGNANCY, PRESETS, outcomes
from careplan.therapy import Mandate

from ..kept import DR_ADA, verified
from .build import line, record, suggestion

ACCEPT = [Decision(key=line().key, verdict="accept", value=line().proposed)]
REPLACE = "INSERT OR REPLACE INTO targets SELECT * FROM targets"


@pytest.fixture
def ann(db: Database) -> Database:
    store_records(db, "table", [record("ann", days=3, level=140.0)])
    return db


def test_a_group_has_its_default_until_something_is_signed(ann: Database) -> None:
    store_records(ann, "table", [record("kid", days=1, group="child")])
    assert [targets_in_force(ann, name).targets.preset for name in ("ann", "kid")] == ["adults", "children"]
    found = sign_targets(ann, "ann", preset="pregnancy", reason="expecting", actor=DR_ADA)
    assert found.targets == PREGNANCY and found.signed is not None
    assert (found.signed.signer, found.signed.reason) == (DR_ADA.name, "expecting")
    assert targets_in_force(ann, "kid").targets.preset == "children", "nobody else's are touched"
    again = sign_targets(ann, "ann", preset="adults", reason="born", actor=DR_ADA)
    assert again.targets == ADULTS and again.signed is not None and again.signed.version == 2


def test_metrics_urgency_and_the_worklist_follow(ann: Database) -> None:
    """Around 140 mg/dL: on target for an adult, half of it too high in a pregnancy."""
    before, listed = review_page(ann, "ann"), worklist(ann).rows[0]
    assert listed.urgency < 100 and not worklist(ann).unmet
    sign_targets(ann, "ann", preset="pregnancy", reason="expecting", actor=DR_ADA)
    after, now = review_page(ann, "ann"), worklist(ann)
    assert before.recent.in_range == 100.0 and after.recent.in_range < 60.0 < after.recent.high + after.recent.in_range
    assert after.recent.gri == before.recent.gri, "the GRI is defined by the consensus's bands"
    assert now.rows[0].urgency >= 100 and "above 140 mg/dL (target < 25 %)" in now.rows[0].headline
    assert set(now.unmet) == {"in_range", "above_180"}
    assert after.targets == PREGNANCY and after.days[0].metrics.in_range == pytest.approx(after.recent.in_range, abs=25)
    assert show(ann, "ann").metrics.in_range == after.summary.metrics.in_range == patients(ann)[0].metrics.in_range < 60.0


def test_what_was_suggested_for_other_targets_cannot_be_signed(ann: Database) -> None:
    made = save_suggestion(ann, replace(suggestion(line()), targets=ADULTS))
    assert made.id is not None and review_page(ann, "ann").out_of_date == ()
    sign_targets(ann, "ann", preset="older", reason="falls", actor=DR_ADA)
    with pytest.raises(ClinicError, match="targets have changed since it was made: plan again"):
        sign_review(ann, made.id, ACCEPT, DR_ADA, "prescribe as proposed")
    sign_targets(ann, "ann", preset="adults", reason="no falls", actor=DR_ADA)
    assert review_page(ann, "ann").out_of_date == (), "they are the same again"


def test_the_planner_is_told_and_asks_anew(ann: Database) -> None:
    prescribed, _ = identity(ann, "ann", "glucose")
    sign_targets(ann, "ann", preset="older", reason="falls", actor=DR_ADA)
    found = read_recording(ann, "ann")
    assert found.targets == OLDER and identity(ann, "ann", "glucose")[0] == found.prescribed != prescribed


def test_a_mandate_for_other_targets_is_not_handed_down(ann: Database) -> None:
    mandate = Mandate(target=112.5, budgets=(0.04, 0.01))
    made = save_suggestion(ann, replace(suggestion(line()), targets=ADULTS, mandate=mandate))
    assert made.id is not None
    sign_review(ann, made.id, ACCEPT, DR_ADA, "prescribe as proposed")
    assert read_recording(ann, "ann").mandate == mandate
    sign_targets(ann, "ann", preset="older", reason="falls", actor=DR_ADA)
    assert read_recording(ann, "ann").mandate is None


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"preset": "tall"}, "no targets 'tall': adults, older, pregnancy, children"),
        ({"changed": {"low": 30.0}}, "low: 30 is beyond what anybody may aim at, 60 to 110"),
        ({"changed": {"low": 110.0, "high": 120.0, "in_range": 101.0}}, "in_range: 101 is beyond"),
        ({"changed": {"very_low": 70.0}}, "low: 70 is not at least 5 above very_low, 70"),
        ({"changed": {"below_54": 5.0}}, "below_54: 5 % is more than the 4 % of below_70"),
        ({"changed": {"below_70": float("nan")}}, "below_70: a target is needed"),
        ({"changed": {"sugar": 3.0}}, "sugar: there is no such outcome"),
        ({}, "expected a preset, or a level"),
        ({"preset": "older", "reason": " "}, "expected a reason"),
    ],
)
def test_what_nobody_may_aim_at_is_refused(ann: Database, asked: dict[str, object], says: str) -> None:
    with pytest.raises(ClinicError, match=says):
        sign_targets(ann, "ann", **{"reason": "asked for", "actor": DR_ADA, **asked})  # type: ignore[arg-type]
    assert targets_in_force(ann, "ann").signed is None


def test_custom_targets_begin_from_what_is_in_force(ann: Database) -> None:
    found = sign_targets(ann, "ann", changed={"low": 80.0, "in_range": 60.0, "cv": float("nan")}, reason="unaware", actor=DR_ADA)
    assert found.targets.preset == CUSTOM and found.targets.levels == {**ADULTS.levels, "low": 80.0}
    assert found.targets.shares["in_range"] == 60.0 and "cv" not in found.targets.shares
    with pytest.raises(Forbidden):
        sign_targets(ann, "ann", preset="adults", reason="no", actor=replace(DR_ADA, roles=frozenset({"viewer"})))


def test_a_version_is_covered_by_the_trail_and_cannot_be_changed(ann: Database) -> None:
    sign_targets(ann, "ann", preset="older", reason="falls", actor=DR_ADA)
    assert verified(ann).problem is None
    path = str(ann.engine.url.database)
    for statement in ("UPDATE targets SET preset = 'adults'", "DELETE FROM targets", REPLACE):
        with closing(sqlite3.connect(path)) as other, pytest.raises(sqlite3.DatabaseError, match="append-only"):
            other.execute(statement)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TRIGGER targets_no_update")
        other.execute("UPDATE targets SET body = json_set(body, '$.shares.below_70', 9.0)")
        other.commit()
    found = verified(ann)
    assert any("targets 1 of patient ann: differs" in str(each) for each in found.findings)
    assert any("targets_no_update is missing" in str(each) for each in found.findings)
    assert "differs from entry" in (targets_in_force(ann, "ann").problem or "")


@given(st.dictionaries(st.sampled_from([*ADULTS.levels, *ADULTS.shares]), st.floats(allow_nan=False), max_size=4))
def test_whatever_may_be_aimed_at_orders_its_bands(changed: dict[str, float]) -> None:
    levels = {name: changed.get(name, value) for name, value in ADULTS.levels.items()}
    shares = {name: changed.get(name, share) for name, share in ADULTS.shares.items()}
    asked = Targets(preset=CUSTOM, levels=levels, shares=shares)
    if PRESETS.problems(asked):
        return
    values = list(levels.values())
    assert values == sorted(values) and values[0] >= 40 and values[-1] <= 400
    level = np.arange(30.0, 420.0)
    found = outcomes(level, asked)
    assert (found["below_54"] <= found["below_70"]).all() and (found["above_250"] <= found["above_180"]).all()
    assert (found["below_70"] | found["in_range"] | found["above_180"]).all()


@pytest.mark.parametrize("therapy", ["glucose", "warfarin"])
def test_every_preset_may_be_aimed_at_and_says_where_it_comes_from(therapy: str) -> None:
    presets = therapies.practice(therapy).presets
    for each in presets.known:
        assert presets.problems(each.targets) == [] and each.source and each.whom


def test_a_file_of_the_database_keeps_them(tmp_path: Path) -> None:
    db = open_database(str(tmp_path / "one.db"))
    store_records(db, "table", [record("ann", days=1)])
    sign_targets(db, "ann", preset="older", reason="falls", actor=DR_ADA)
    db.close()
    again = open_database(str(tmp_path / "one.db"))
    assert targets_in_force(again, "ann").targets == OLDER
    again.close()
