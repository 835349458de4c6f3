"""A small cohort evaluated whole: numbers that add up, the same bytes again, nobody lost to somebody else's bad record."""

import errno
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from careplan.errors import AskError
from careplan.evaluation.forecasts import spaced
from careplan.interop.tables import table_of
from careplan.records import PatientRecord
from careplan.studies.report import Protocol, ProtocolError, evaluate_cohort, parts, read_protocol
from careplan.studies.report import work as working
from careplan.studies.report.judge import Chosen, Tables
from careplan.studies.report.page import number, page
from careplan.studies.report.run import in_process
from careplan.studies.report.sources import read_unit, units_of
from careplan.studies.report.work import Baselines, Job, work
from cohorts.policies import Behaviour
from cohorts.population import sample_population
from cohorts.replay import replay

PEOPLE = 4
PROTOCOL = Protocol(plans=1, most=30, resamples=50, baselines=4, factors=(0.9,))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set partitioned by patient: four people of ten days, one of a single day, and one file that is no table."""
    folder = tmp_path_factory.mktemp("cohort")
    people = sample_population("adult", PEOPLE + 1, 77, mis_set=0.2, pens=0.3)
    lived = replay(people, Behaviour(size=0.25), days=10, seed=3)
    for index, name in enumerate(people.names):
        events = lived.events(index)
        if index == PEOPLE:
            events = events[events["time"] < events["time"].min() + pd.Timedelta("1D")]
        place = folder / f"patient={name}"
        place.mkdir()
        table = table_of(PatientRecord(name, "UTC", events.reset_index(drop=True), group="adult"))
        table.drop(columns="patient").to_parquet(place / "part.parquet", index=False)
    broken = folder / "patient=broken"
    broken.mkdir()
    (broken / "part.parquet").write_bytes(b"PAR1 this is no table")
    return folder


@pytest.fixture(scope="module")
def report(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    finished = evaluate_cohort([str(data)], out, protocol=PROTOCOL, say=lambda _: None)
    assert (finished.judged, finished.left_out) == (PEOPLE, 2)
    return out


def test_the_numbers_of_the_flow_add_up(report: Path) -> None:
    found = json.loads((report / "report.json").read_text())
    flow = found["flow"]
    assert flow["found"] == flow["judged"] + flow["left_out"] == PEOPLE + 2
    assert flow["reasons"] == {"cannot be read": 1, "under 3 days": 1}
    left_out = pd.read_parquet(report / "left_out.parquet")
    assert set(left_out["reason"]) == set(flow["reasons"])
    assert left_out.loc[left_out["reason"] == "cannot be read", "detail"].str.contains("part.parquet").all()
    assert "2 of 6 (33%) were left out (cannot be read 1, under 3 days 1)" in found["warnings"][0]


def test_it_judges_people_whom_no_card_names_beside_baselines(report: Path) -> None:
    found = json.loads((report / "report.json").read_text())
    models = {row["model"] for row in found["forecasts"]}
    assert {"persistence", "ridge", "boosting", "careplan", "careplan, personal", "careplan, personal + plan"} <= models
    hour = {row["model"]: row for row in found["forecasts"] if row["horizon"] == 60}
    assert hour["careplan, personal"]["rmse"]["mean"] < hour["persistence"]["rmse"]["mean"]
    assert hour["careplan, personal"]["rmse"]["people"] == PEOPLE
    assert all(0.5 < row["coverage"]["mean"] <= 1 for row in found["intervals"])
    assert {row["hazard"] for row in found["risks"]} == {"low", "high"}
    assert sum(row["people"] for row in found["subgroups"]["delivery"]) == PEOPLE
    assert found["plans"]["people"] == 1 and found["plans"]["unsignable_lines"] == 0
    assert found["dosing"]["days"] > 0
    assert pd.read_parquet(report / "plans.parquet")["worth_0.9"].between(-20, 20).all()


def test_the_page_needs_nothing_else(report: Path) -> None:
    page = (report / "report.html").read_text()
    assert "Would careplan be right" in page and "What this does not show" in page
    asked = [answer["question"] for answer in json.loads((report / "report.json").read_text())["brief"]]
    assert len(asked) == 6 and page.index(asked[0]) < page.index(asked[-1]) < page.index("Who was judged")
    for part in ("<script src", "<link", "@import"):
        assert part not in page


def test_what_is_done_is_not_done_again_and_gives_the_same_bytes(data: Path, report: Path) -> None:
    def nobody(jobs: list[Job]) -> list[tuple[Job, Tables]]:
        assert not jobs
        return []

    before = {name: (report / name).read_bytes() for name in ("report.json", "report.html", "people.parquet")}
    evaluate_cohort([str(data)], report, protocol=PROTOCOL, spread=nobody, say=lambda _: None)  # type: ignore[arg-type]
    assert {name: (report / name).read_bytes() for name in before} == before


def test_a_run_that_was_stopped_goes_on(data: Path, report: Path, tmp_path: Path) -> None:
    def stops(jobs: list[Job]) -> object:
        for job in jobs[:2]:
            yield job, work(job)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_cohort([str(data)], tmp_path, protocol=PROTOCOL, spread=stops, say=lambda _: None)  # type: ignore[arg-type]
    made: list[str] = []

    def rest(jobs: object) -> object:
        for job, tables in in_process(jobs):  # type: ignore[arg-type]
            made.append(job.unit.name)
            yield job, tables

    evaluate_cohort([str(data)], tmp_path, protocol=PROTOCOL, spread=rest, say=lambda _: None)  # type: ignore[arg-type]
    assert len(made) == PEOPLE + 2 - 2 + 1  # the rest of the people, and one who is planned for
    assert (tmp_path / "report.json").read_bytes() == (report / "report.json").read_bytes()


def test_whoever_it_fails_on_is_left_out_alone(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = working.judge

    def fails(world: object, chosen: list[Chosen], *rest: object) -> Tables:
        if any(one.record.patient.endswith("1") for one in chosen):
            raise RuntimeError("a poisoned record")
        return judge(world, chosen, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(working, "judge", fails)
    unit = next(unit for unit in units_of([str(data)]) if unit.patient.endswith("1"))
    still = {"persistence": lambda series, rows: rows[:, None] * 0.0 + [[100.0] * 4]}
    beside = Baselines((still, still), (frozenset(), frozenset()))
    tables = work(Job(unit, PROTOCOL, None, beside))  # type: ignore[arg-type]
    assert tables["left_out"]["reason"].tolist() == ["failed"]
    assert "a poisoned record" in tables["left_out"]["detail"].iloc[0]


def test_planning_that_fails_is_said(data: Path, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> pd.DataFrame:
        raise RuntimeError("no plan")

    monkeypatch.setattr(working, "judge_plans", fails)
    shutil.copytree(report / "parts", tmp_path / "parts")
    finished = evaluate_cohort([str(data)], tmp_path, protocol=PROTOCOL, say=lambda _: None)
    assert any("Planning failed for 1 people" in warning for warning in finished.warnings)
    assert json.loads((tmp_path / "report.json").read_text())["plans"] == {"people": 0, "failed": 1}


def test_what_nothing_is_known_of_is_not_printed(report: Path) -> None:
    found = json.loads((report / "report.json").read_text())
    nothing = {"looks": 0, "rmse": None, "persistence": None, "worse_than_persistence": None}
    found["looks"]["when_it_speaks"] = nothing
    found["plans"] |= {"largest_step": None, "more_before_a_week_with_lows": {"of": 0, "share": None}}
    found["dosing"] = {"days": 0, "days_left_out": {}, "estimable": False, "why": "nobody doses"}
    body = page(found).split("</script>", 1)[1]
    text = re.sub(r"<script.*?</script>", "", body, flags=re.DOTALL)
    assert "nobody doses" in text
    assert not re.search(r"\b(None|nan|NaN|inf)\b|-0\.0+\b|% %", text)
    assert number(-0.01) == "0.0" and number(-0.06) == "-0.1"


def test_what_lies_beside_parquet_files_is_read_too(data: Path, tmp_path: Path) -> None:
    one, other, *_ = sorted(data.iterdir())
    shutil.copytree(one, tmp_path / "north" / one.name)
    (tmp_path / "south").mkdir()
    pd.read_parquet(other / "part.parquet").to_csv(tmp_path / "south" / "anna.csv", index=False)
    (tmp_path / "notes.txt").write_text("nothing to read")
    (tmp_path / "_SUCCESS").touch()
    names = [record.patient for unit in units_of([str(tmp_path)]) for record in read_unit(unit, {})]
    assert names == [one.name.removeprefix("patient="), "anna"]


def test_a_disk_that_fills_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    def fills(path: Path) -> None:
        path.write_text("half of")
        raise OSError(errno.ENOSPC, "No space left on device")

    report = tmp_path / "report.html"
    report.write_text("what was there")
    with pytest.raises(OSError, match="No space left"):
        parts.write(report, fills)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"] and report.read_text() == "what was there"
    table = pd.DataFrame({"n": [1]})
    (tmp_path / "parts").write_text("no folder can be made here")
    with pytest.raises(AskError, match="what is done is kept"):
        parts.keep(tmp_path / "parts" / "000000", "key", {"people": table})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts", "report.html"]


def test_nobody_who_qualifies_is_said_first(data: Path, tmp_path: Path) -> None:
    protocol = Protocol(least=30.0)
    (tmp_path / "people.parquet").write_bytes(b"of another protocol")
    finished = evaluate_cohort([str(data)], tmp_path, protocol=protocol, say=lambda _: None)
    assert finished.judged == 0 and finished.warnings
    assert not (tmp_path / "people.parquet").exists()
    assert finished.warnings == ("Nobody of the 6 people found could be judged: cannot be read 1, under 30 days 5.",)
    assert finished.warnings[0] in (tmp_path / "report.html").read_text()


def test_columns_of_the_users_make_subgroups_and_bad_ones_are_named(data: Path, report: Path, tmp_path: Path) -> None:
    names = [path.name.removeprefix("patient=") for path in sorted(data.iterdir())][: PEOPLE + 2]
    table = tmp_path / "columns.csv"
    pd.DataFrame({"patient": names, "site": ["north", "south"] * 3}).to_csv(table, index=False)
    evaluate_cohort([str(data)], report, protocol=PROTOCOL, columns=table, say=lambda _: None)
    sites = json.loads((report / "report.json").read_text())["subgroups"]["site"]
    assert sum(row["people"] for row in sites) == PEOPLE
    pd.DataFrame({"patient": [names[0], names[0]], "site": ["a", "b"]}).to_csv(table, index=False)
    with pytest.raises(AskError, match=r"columns.csv, row 3, field 'patient'"):
        evaluate_cohort([str(data)], report, protocol=PROTOCOL, columns=table, say=lambda _: None)


def test_a_protocol_is_read_and_what_it_cannot_ask_is_named(tmp_path: Path) -> None:
    path = tmp_path / "protocol.toml"
    path.write_text("stride = 12\nfactors = [0.9, 1.1]\n")
    assert read_protocol(path) == Protocol(stride=12, factors=(0.9, 1.1))
    for text, wrong in (("strides = 3", "strides"), ('stride = "x"', "stride"), ("stride = 0", "stride"), ("share = 2", "share")):
        path.write_text(text)
        with pytest.raises(ProtocolError, match=wrong):
            read_protocol(path)


def test_sources_that_are_not_there_are_named() -> None:
    with pytest.raises(AskError, match="nowhere"):
        units_of(["nowhere/at/all"])
    with pytest.raises(AskError, match="no database"):
        units_of(["store"])


def test_moments_of_a_sensor_that_reads_every_quarter_of_an_hour_are_found() -> None:
    people = sample_population("adult", 1, 5, pens=0.0)
    series = replay(people, Behaviour(), days=6, seed=1).series(0)
    column = series.therapy.index(series.therapy.regulated)
    for first in range(3):
        mask = series.mask.copy()
        mask[np.arange(len(mask)) % 3 != first, column] = False
        sparse = replace(series, mask=mask, values=np.where(mask, series.values, 0))
        assert len(spaced(sparse, (30, 60, 120, 240), 6)) > 100
