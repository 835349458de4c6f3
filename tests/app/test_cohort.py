"""The cohort page, over a small replay that was really lived."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app import cohort_charts
from careplan.settings import Settings, data_folder
from careplan.studies.replay_folder import read_steps, read_summary
from careplan.studies.replays import arguments_of, run_replay
from careplan.therapies.glucose.words import MG_DL, MMOL_L

from .conftest import checked, shown

PROGRAM = "from app.screens import cohort\ncohort.draw()"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four adults and two children, two days under two policies."""
    folder = tmp_path_factory.mktemp("replays") / "first"
    asked = arguments_of(["adult:4", "child:2"], ["basal-bolus", "behaviour"], days=2, seed=7, mis_set=0.3, pens=0.5)
    run_replay(folder, replace(asked, block=4))
    return folder


def screen(root: Path, monkeypatch: pytest.MonkeyPatch, unit: str = "mg/dL") -> AppTest:
    monkeypatch.setenv("CAREPLAN_REPLAYS", str(root))
    at = AppTest.from_string(PROGRAM, default_timeout=60)
    at.session_state["unit"] = unit
    return checked(at.run())


def figure(at: AppTest, place: int) -> dict[str, object]:
    return dict(json.loads(at.get("plotly_chart")[place].proto.spec))


def test_without_replays_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(screen(tmp_path, monkeypatch))
    assert str(tmp_path) in text and "careplan replay --population" in text


def test_a_replay_is_shown_with_its_groups_its_differences_and_a_person(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = screen(made.parent, monkeypatch)
    text = shown(at)
    assert "4 adult, 2 child" in text and "seed 7" in text and "50 % on pens, life usual, sensor usual" in text
    assert "behaviour less basal-bolus" in text and "points" in text
    table = at.dataframe[0].value
    assert table["Group"].tolist() == ["adult", "adult", "child", "child", "all", "all"]
    outcome = read_summary(made).outcomes[0].spreads["true_in_range"]
    assert table["In range, %"][0].startswith(f"{outcome.mean:.0f} [")
    assert len(at.get("plotly_chart")) == 3
    worst = read_summary(made).worst[0]
    assert at.selectbox(key="cohort_person").value == worst.person
    assert at.table[0].value.shape == (3, 3)


def test_another_person_and_day_are_looked_at(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = screen(made.parent, monkeypatch)
    assert len(set(at.selectbox(key="cohort_person").options)) == 6
    at = checked(at.selectbox(key="cohort_person").set_value("child-000002").run())
    assert at.table[0].value.columns[0].startswith("child, ")
    at = checked(at.number_input(key="cohort_day").set_value(2).run())
    assert "2026-01-06" in json.dumps(figure(at, 2)) and "2026-01-05" not in json.dumps(figure(at, 2))


def test_mmol_is_shown_where_it_is_chosen(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = screen(made.parent, monkeypatch, unit="mmol/L")
    assert "Below 3.9, %" in at.dataframe[0].value.columns
    assert "mmol/L per U" in at.table[0].value.iloc[2, 0]


def test_a_damaged_replay_is_said(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "summary.json").write_text((made / "summary.json").read_text())
    (tmp_path / "bad" / "manifest.json").write_text((made / "manifest.json").read_text())
    assert "cannot be read" in shown(screen(tmp_path, monkeypatch))
    (tmp_path / "bad" / "summary.json").write_text("{}")
    assert "cannot be read" in shown(screen(tmp_path, monkeypatch))


def test_differences_in_glucose_follow_the_unit_and_others_do_not(made: Path) -> None:
    rows = [row for row in read_summary(made).differences if row.group == "all"]
    mean = {row.measure: row.mean for row in rows}
    for unit in (MG_DL, MMOL_L):
        drawn = [trace.x[0] for trace in cohort_charts.differences_figure(rows, unit).data if trace.mode == "markers"]
        assert drawn == pytest.approx(
            [unit.of(mean[measure]) if measure == "true_mean" else mean[measure] for measure in cohort_charts.MEASURES]
        )


def test_a_day_holds_the_truth_and_the_readings_of_each_policy(made: Path) -> None:
    steps = read_steps(made, "adult-000001")
    today = steps[steps["time"] < steps["time"].min() + pd.Timedelta(days=1)]
    drawn = {trace.name: trace for trace in cohort_charts.day_figure(today, MG_DL).data}
    for policy in ("basal-bolus", "behaviour"):
        lived = today[today["policy"] == policy]
        assert len(lived) == 288
        assert list(drawn[policy].y) == pytest.approx(lived["glucose"].tolist(), abs=0.01)
        read = [value for value in drawn[f"{policy}, readings"].y if value is not None]
        assert len(read) == lived["reading"].notna().sum()


def test_replays_lie_beside_the_database_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAREPLAN_REPLAYS", raising=False)
    assert Settings(database="a/b.db").replays_folder() == Path("a/replays")
    assert Settings(database="sqlite:///a/b.db").replays_folder() == Path("a/replays")
    assert Settings(database="postgresql://host/clinic").replays_folder() == data_folder() / "replays"
    monkeypatch.setenv("CAREPLAN_REPLAYS", "elsewhere")
    assert Settings(database="a/b.db").replays_folder() == Path("elsewhere")
