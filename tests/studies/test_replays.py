"""Replays on disk: the same bytes however they came about, nothing overwritten, and what bad input is told."""

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from careplan import cli
from careplan.clinic import ClinicError
from careplan.studies.replay_folder import Arguments, read_manifest, read_people, read_steps, read_summary, replays_in
from careplan.studies.replays import arguments_of, run_replay
from cohorts.scenarios import LIVES, Life
from cohorts.sensors import SENSORS, Sensor

POLICIES = ["basal-bolus", "behaviour"]


def arguments(**changes: Any) -> Arguments:
    """Two blocks of adults, four and two, for a day."""
    asked = arguments_of(["adult:6"], POLICIES, days=1, seed=7, mis_set=0.3, pens=0.5, life="full", sensor="dexcom")
    return replace(asked, block=4, **changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replays") / "six"
    run_replay(folder, arguments())
    return folder


@pytest.fixture
def nearly(made: Path, tmp_path: Path) -> Path:
    """The same replay before its last block was lived."""
    folder = tmp_path / "nearly"
    shutil.copytree(made, folder)
    manifest, last = json.loads((folder / "manifest.json").read_text()), "adult-00001.behaviour"
    manifest["blocks"].remove(last)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for path in (folder / "summary.json", *folder.glob(f"*/{last}.parquet")):
        path.unlink()
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_two_runs_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    run_replay(tmp_path / "again", arguments())
    assert len(digests(made)) == 10
    assert digests(tmp_path / "again") == digests(made)


def test_a_replay_cut_short_goes_on_to_the_same_bytes(made: Path, tmp_path: Path) -> None:
    lived: list[str] = []

    def stop(done: int, whole: int, block: str) -> None:
        if block not in lived:
            lived.append(block)
        if len(lived) == 3:
            raise KeyboardInterrupt

    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run_replay(folder, arguments(), progress=stop)
    assert read_manifest(folder).blocks == ("adult-00000.basal-bolus", "adult-00000.behaviour")
    with pytest.raises(ClinicError, match="not finished"):
        read_summary(folder)
    (folder / "steps" / "adult-00001.basal-bolus.parquet.part").write_bytes(b"half a file")
    lived.clear()
    run_replay(folder, arguments(), progress=lambda done, whole, block: lived.append(block) if done > 4 else None)
    assert digests(folder) == digests(made)
    assert read_manifest(folder).finished


def test_the_same_people_live_the_same_lives_under_each_policy(made: Path) -> None:
    people = read_people(made)
    ours, theirs = (people[people["policy"] == policy].reset_index(drop=True) for policy in POLICIES)
    same = ["person", "weight", "carb_ratio", "suits_basal", "pens"]
    assert ours[same].equals(theirs[same])
    assert not np.allclose(ours["true_mean"], theirs["true_mean"])
    steps = read_steps(made, "adult-000006")
    one, other = (steps[steps["policy"] == policy].reset_index(drop=True) for policy in POLICIES)
    assert one[["time", "activity", "sensitivity", "ill"]].equals(other[["time", "activity", "sensitivity", "ill"]])
    assert not one["bolus"].equals(other["bolus"])


def test_who_lives_does_not_depend_on_how_many(made: Path, tmp_path: Path) -> None:
    run_replay(tmp_path / "one", replace(arguments(), population={"adult": 5}, policies=("behaviour",)))
    kept = read_people(made).query("policy == 'behaviour'").reset_index(drop=True)
    assert read_people(tmp_path / "one").equals(kept.head(5))
    assert kept["person"].tolist() == [f"adult-{number:06d}" for number in range(1, 7)]
    assert kept["weight"].nunique() == 6


def test_the_tables_agree_with_each_other(made: Path) -> None:
    people = read_people(made).query("policy == 'behaviour'").set_index("person")
    assert people["pens"].any() and not people["pens"].all()
    for person, row in people.iterrows():
        steps = read_steps(made, str(person)).query("policy == 'behaviour'")
        assert len(steps) == 288
        inside = (steps["glucose"] >= 70) & (steps["glucose"] <= 180)
        assert row["true_in_range"] == pytest.approx(100 * inside.mean(), abs=1e-4)
        assert row["read_active"] == pytest.approx(100 * steps["reading"].notna().mean(), abs=1e-4)
        given = steps["basal"].sum() / 12 + steps["bolus"].sum() + steps["long_acting"].sum()
        assert row["insulin"] == pytest.approx(given, rel=1e-4)
        assert row["insulin_per_kg"] == pytest.approx(given / row["weight"], rel=1e-4)
        assert (steps["long_acting"].sum() > 0) == row["pens"]


def test_type_2_is_a_cohort_like_the_others(tmp_path: Path) -> None:
    policies = ["no-insulin", "basal-only", "treat-to-target"]
    asked = replace(arguments_of(["type2:3"], policies, days=1, seed=7, mis_set=0.3), block=3)
    for name in ("one", "other"):
        run_replay(tmp_path / name, asked)
    assert digests(tmp_path / "one") == digests(tmp_path / "other")
    people = read_people(tmp_path / "one")
    assert people["pens"].all() and set(people["group"]) == {"type2"}
    insulin = people.groupby("policy")["insulin"].mean()
    assert insulin["no-insulin"] == 0 and insulin["basal-only"] > 10
    basal = people.query("policy == 'basal-only'")
    assert basal["insulin"].to_numpy() == pytest.approx((24 * basal["basal"]).round().to_numpy())
    assert {(row.policy, row.against) for row in read_summary(tmp_path / "one").differences} >= {("basal-only", "no-insulin")}
    steps = read_steps(tmp_path / "one", "type2-000002")
    assert len(steps) == 3 * 288 and steps["glucose"].notna().all() and not steps["basal"].any()


TRUTH = {"sensitivity", "uptake", "pace", "activity", "ill", "blocked", "delivered", "eaten"}
WORN = {"gain", "error", "pressure", "warming"}


def test_the_steps_hold_the_whole_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = replace(Life.full(), exercise=1.0, slow=0.5, illness=0.5, occlusion=1.0)
    worn = replace(Sensor.dexcom(), wear=1, compression=1.0)
    monkeypatch.setitem(LIVES, "full", lambda: busy)
    monkeypatch.setitem(SENSORS, "dexcom", lambda: worn)
    asked = replace(arguments(), population={"adult": 4}, policies=("behaviour",), days=2)
    run_replay(tmp_path / "busy", asked)
    steps = pq.read_table(tmp_path / "busy" / "steps" / "adult-00000.behaviour.parquet").to_pandas()
    assert {*steps.columns} >= TRUTH | WORN
    assert all(steps[name].nunique() > 1 for name in TRUTH | WORN)
    logged = steps["bolus"] + steps["basal"] / 12
    assert (steps["delivered"][steps["blocked"]] == 0).all() and (logged[steps["blocked"]] > 0).any()
    assert np.allclose(steps["delivered"], logged.where(~steps["blocked"], 0.0), atol=1e-6)
    on_pens = steps.groupby("person", observed=True)["long_acting"].transform("sum") > 0
    assert on_pens.any() and not steps["blocked"][on_pens].any()  # a pen has no set to block
    assert (steps["eaten"].sum() != steps["announced"].sum()) and (steps["uptake"] > 1).equals(steps["activity"] > 1)
    assert steps["reading"][steps["warming"]].isna().all()
    noiseless = (steps["reading"] - steps["error"] + steps["pressure"]) / steps["gain"]  # what a perfect sensor would show
    off = pd.DataFrame({"noiseless": noiseless, "reading": steps["reading"]}).sub(steps["glucose"], axis=0).abs()
    median = off[steps["reading"].between(41, 399)].median()
    assert median["noiseless"] < 0.5 * median["reading"]  # what is left is the delay


def test_numbers_are_kept_as_floats(made: Path) -> None:
    schema = pq.read_schema(made / "steps" / "adult-00000.behaviour.parquet")
    others = ("policy", "person", "time", "ill", "blocked", "warming")
    assert {str(schema.field(name).type) for name in schema.names if name not in others} == {"float"}


def test_the_summary_is_read_back(made: Path) -> None:
    summary = read_summary(made)
    assert [(row.policy, row.group, row.people) for row in summary.outcomes] == [(policy, "adult", 6) for policy in POLICIES]
    assert {(row.policy, row.against, row.people) for row in summary.differences} == {("behaviour", "basal-bolus", 6)}
    assert replays_in(made.parent) == ["six"] and replays_in(made / "nowhere") == []


def test_another_replay_is_never_overwritten(made: Path) -> None:
    before = digests(made)
    with pytest.raises(ClinicError, match=r"holds another replay \(seed 7, not 8\)"):
        run_replay(made, arguments(seed=8))
    for change in ({"life": "usual"}, {"sensor": "libre"}):
        with pytest.raises(ClinicError, match=r"holds another replay \((life full, not usual|sensor dexcom, not libre)\)"):
            run_replay(made, arguments(**change))
    assert digests(made) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ClinicError, match="is not empty"):
        run_replay(tmp_path, arguments())
    with pytest.raises(ClinicError, match="is a file"):
        run_replay(tmp_path / "notes.txt", arguments())
    assert digests(tmp_path).keys() == {"notes.txt"}
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ClinicError, match=r"manifest\.json cannot be read"):
        run_replay(tmp_path, arguments())


def test_a_full_disk_is_said_and_gone_on_from(made: Path, nearly: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []

    def write_table(table: object, where: Path, **options: object) -> None:
        calls.append(where)
        if len(calls) == 2:
            where.write_bytes(b"as much as fitted")
            raise OSError(errno.ENOSPC, "No space left on device")
        original(table, where, **options)

    original = pq.write_table
    monkeypatch.setattr(pq, "write_table", write_table)
    with pytest.raises(ClinicError, match=r"behaviour\.parquet cannot be written: No space left"):
        run_replay(nearly, arguments())
    assert not list(nearly.rglob("*.part"))
    assert len(read_manifest(nearly).blocks) == 3
    run_replay(nearly, arguments())
    assert digests(nearly) == digests(made)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"population": ["adlt:10"]}, "population 'adlt:10': expected GROUP:PEOPLE"),
        ({"population": ["adult:0"]}, "population 'adult:0'"),
        ({"population": ["adult"]}, "population 'adult'"),
        ({"population": ["adult:5", "adult:6"]}, "adult was named before"),
        ({"policies": ["basal"]}, "policy 'basal': expected one of behaviour"),
        ({"policies": ["basal-only"]}, "policy 'basal-only' is not for adult: who makes no insulin needs it at every meal"),
        ({"population": ["type2:5"], "policies": ["pid"]}, "policy 'pid' is not for type2: it sets the rate of a pump"),
        ({"population": ["type2:5"], "policies": ["planner"]}, "'planner' is not for type2: its world model has never seen"),
        ({"policies": ["behaviour", "behaviour"]}, "each named once"),
        ({"days": 0}, "0 days"),
        ({"seed": -1}, "seed -1"),
        ({"mis_set": float("nan")}, "mis-set nan"),
        ({"pens": 1.5}, "pens 1.5"),
        ({"life": "hard"}, "life 'hard': expected one of usual, full, none"),
        ({"sensor": "watch"}, "sensor 'watch': expected one of usual, dexcom, libre, none"),
    ],
)
def test_what_cannot_be_replayed_is_refused(given: dict[str, Any], said: str) -> None:
    asked = {"population": ["adult:5"], "policies": ["behaviour"], "days": 1, "seed": 1, **given}
    population, policies = asked.pop("population"), asked.pop("policies")
    with pytest.raises(ClinicError, match=said):
        arguments_of(population, policies, **asked)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--policy", "basal"], "policy 'basal': expected one of"),
        (["--policy", "behaviour", "--population", "cat:3"], "population 'cat:3': expected GROUP:PEOPLE"),
        (["--policy", "behaviour", "--life", "hard"], "life 'hard': expected one of"),
        (["--policy", "behaviour", "--mis-set", "nan"], "mis-set nan"),
        (["--policy", "behaviour", "--pens", "-1"], "pens -1"),
    ],
)
def test_the_command_refuses_at_once(options: list[str], said: str, tmp_path: Path, command: Callable[..., Result]) -> None:
    result = command(*options, "--out", str(tmp_path / "out"))
    assert result.exit_code == cli.USER_ERROR and said in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


def test_the_command_leaves_a_folder_of_something_else_alone(tmp_path: Path, command: Callable[..., Result]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = command("--policy", "behaviour", "--out", str(tmp_path))
    assert result.exit_code == cli.USER_ERROR and "is not empty" in " ".join(result.stderr.split())
    assert digests(tmp_path).keys() == {"notes.txt"}


def test_whether_the_step_is_compiled_depends_on_the_arguments_alone() -> None:
    assert not arguments_of(["adult:1000"], POLICIES, days=14, seed=1).fused
    assert arguments_of(["adult:20000"], POLICIES, days=14, seed=1).fused


def test_a_table_that_was_lost_is_said_and_lived_again(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lost"
    shutil.copytree(made, folder)
    (folder / "people" / "adult-00001.behaviour.parquet").unlink()
    with pytest.raises(ClinicError, match=r"00001\.behaviour\.parquet cannot be read"):
        read_people(folder)
    run_replay(folder, arguments())
    assert digests(folder) == digests(made)


def test_someone_unknown_is_not_found(made: Path) -> None:
    for person in ("adult-000007", "child-000001", "nobody", "adult-000000", "adult-1"):
        with pytest.raises(ClinicError, match="is not in"):
            read_steps(made, person)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`careplan replay` with blocks of four."""

    def few(*given: Any, **options: Any) -> Arguments:
        return replace(arguments_of(*given, **options), block=4)

    monkeypatch.setattr("careplan.studies.replays.arguments_of", few)
    asked = ["replay", "--population", "adult:6", "--days", "1", "--mis-set", "0.3", "--pens", "0.5"]
    asked += ["--life", "full", "--sensor", "dexcom"]

    def call(*more: str) -> Result:
        return CliRunner().invoke(cli.app, [*asked, *more], env={"COLUMNS": "120"})

    return call


def test_the_command_prints_one_object(made: Path, nearly: Path, command: Callable[..., Result]) -> None:
    folder = nearly  # what it holds is gone on with where all options are those it was begun with
    policies = [word for policy in POLICIES for word in ("--policy", policy)]
    result = command(*policies, "--out", str(folder), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((made / "summary.json").read_text())
    assert {name: digest for name, digest in digests(folder).items() if name != "summary.html"} == digests(made)
    page = (folder / "summary.html").read_text()
    assert "behaviour less basal-bolus" in page and "true glucose" in page and "medical device" in page
    before = digests(folder)
    shown = command(*policies, "--out", str(folder))  # finished: nothing is lived again
    assert shown.exit_code == 0, shown.output
    assert "adult, 6 people" in shown.stdout and "behaviour less basal-bolus" in shown.stdout
    assert digests(folder) == before
    refused = command("--policy", "behaviour", "--out", str(folder))
    assert refused.exit_code == cli.USER_ERROR and "holds another replay" in refused.stderr
