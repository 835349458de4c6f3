"""A package beside careplan brings a therapy; a broken one is named and left out; one that is not here is said to be missing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from careplan import therapies
from careplan.cli import app

# A whole therapy, as somebody else would write it: a level that a daily tablet lowers, seen once a day.
SLEEP = '''
"""A toy therapy: hours of sleep a night, and a tablet at bedtime."""

from dataclasses import dataclass, replace
from datetime import timedelta

from careplan.clock import Clock
from careplan.gate import Gate
from careplan.effects import Effect, Output
from careplan.practice import Glance, Judged, Practice
from careplan.therapy import Channel, Cost, Limits, Pool, Therapy


@dataclass(frozen=True)
class Regimen:
    tablet: float = 1.0


def changed(regimen, changes):
    return replace(regimen, **{change.setting: change.value for change in changes})


def glance(readings):
    short = readings["value"].lt(6).mean() if len(readings) else 0.0
    said = f"{100 * short:.0f} % of nights under 6 h"
    days = float(len(readings))
    return Glance(days=days, metrics={"short": short}, measured=days > 0, sufficient=True, urgency=short, headline=said)


PRACTICE = Practice(
    therapy=Therapy(
        name="sleep",
        channels=(
            Channel(name="slept", unit="h", role="observation", form="level", low=0, high=24),
            Channel(name="tablet", unit="mg", role="action", form="impulse", low=0, high=10, direction=1),
            Channel(name="coffee", unit="cups", role="disturbance", form="impulse", low=0, high=30, direction=-1),
        ),
        outputs=(Output(name="slept", risk=lambda slept: (slept - 8.0) ** 2, best=8.0),),
        pools=(
            Pool(name="tablet", channels=("tablet",), time_constant=1440.0, stages=1),
            Pool(name="coffee", channels=("coffee",), time_constant=0.0, stages=0),
        ),
        effects=(
            Effect(name="tablet", pools=("tablet",), direction=1, usual=1.0, size=2.0),
            Effect(name="coffee", pools=("coffee",), direction=-1, usual=3.0, size=2.0),
        ),
        costs=(Cost(name="under_6", below=6.0, budget=0.1),),
        clock=Clock(
            step=1440.0, interval=1440.0, pace=1440.0, span=1440.0, look=1440.0, judged=1440.0, horizon=2880.0, decision=1440.0,
            ahead=2880.0, context=14, memory=14, patch=7,
        ),
        gate=Gate(days=14.0, active=70.0, recent=20160.0, windows=7, strange=2.0, error_ratio=1.0, dosed=0.0),
    ),
    groups=("adult",),
    limits=lambda facts: Limits(max_dose=5.0, max_on_board=10.0, min_spacing=1440.0, floor=0.5, max_rate=0.0),
    recent=timedelta(days=60),
    holds={"regimen": timedelta(days=30), "doses": timedelta(days=1)},
    regimen=Regimen,
    stated=lambda settings: Regimen(**settings.single),
    estimate=lambda series: Regimen(),
    changed=changed,
    current=lambda regimen, line: regimen.tablet,
    listed=lambda regimen: {"tablet": ((0, regimen.tablet),)},
    plan_regimen=None,
    plan_doses=None,
    judge=lambda suggestion, readings, facts, regimen: lambda line, value: Judged(lowest=0.0, highest=5.0),
    caution=lambda suggestion, readings: None,
    glance=glance,
    daily_dose=lambda series: None,
    profile=lambda series: None,
    days=lambda series: (),
)
'''
USE = """
import sys
from dataclasses import replace
import pandas as pd
from careplan.clinic import load_series, open_database, patients, prescribed, review_page, save_regimen, store_records, worklist
from careplan.clinic.planning import regimen_planner
from careplan.records.events import PatientRecord, events_frame
from careplan.records.settings import StatedSettings
from careplan import therapies

db = open_database(sys.argv[1])
night = lambda day: pd.Timestamp("2024-03-01 07:00", tz="UTC") + pd.Timedelta(days=day)
rows = [(night(day), "slept", 5.0 + day % 3, 0.0, "", "diary:1") for day in range(20)]
stated = StatedSettings(starts=(0,), blocks={}, single={"tablet": 2.0})
report = store_records(db, "table", [PatientRecord(patient="eve", zone="UTC", events=events_frame(rows), regimen=stated)])
assert not report.failed, report.failed
assert {"glucose", "sleep", "warfarin"} <= therapies.installed().keys(), therapies.installed().keys()
[row] = worklist(db).rows
assert (row.therapy, row.status) == ("sleep", "not planned") and row.headline == "35 % of nights under 6 h", row
assert prescribed(db, "eve").regimen.tablet == 2.0
regimen = therapies.practice("sleep").regimen(tablet=3.0)
save_regimen(db, "eve", regimen)
page = review_page(db, "eve")
assert page.regimen == {"tablet": ((0, 3.0),)} and page.summary.days == 20.0
series = load_series(db, "eve")
assert series.values.shape == (20, 3) and series.therapy.step == 1440.0
print("used")
"""


def package(folder: Path, name: str, source: str) -> None:
    """A package of one module and its metadata, as `pip install --target` leaves them."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"careplan_{name}-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: careplan-{name}\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(f"[careplan.therapies]\n{name} = {name}:PRACTICE\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which packages are found."""
    found = tmp_path / "packages"
    found.mkdir()
    monkeypatch.syspath_prepend(str(found))
    return found


def installed(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["therapies", *arguments])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_the_therapy_of_careplan_itself_is_found_as_any_other() -> None:
    said = installed()
    assert "observes: glucose (mg/dL) does: basal (U/h), bolus (U), long_acting (U)" in said
    assert "groups: adult, adolescent, child" in said and "sources: azt1d, t1d-uom" in said
    assert therapies.first() is therapies.practice("glucose")


def test_a_package_whose_name_comes_earlier_is_nobodys_therapy_unasked(folder: Path) -> None:
    package(folder, "asleep", SLEEP.replace('name="sleep"', 'name="asleep"'))
    names = list(therapies.installed())
    assert names.index("asleep") < names.index("glucose") and therapies.first().name == "glucose"


def test_a_package_in_a_folder_adds_a_therapy(tmp_path: Path, folder: Path) -> None:
    """In a process of its own, with nothing but the folder on its path: stored, listed, prescribed, read."""
    package(folder, "sleep", SLEEP)
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{USE}"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "store.db")], capture_output=True, text=True)
    assert done.stdout.strip() == "used", done.stderr
    said = installed()
    assert "sleep 0.3, from careplan-sleep" in said and "observes: slept (h) does: tablet (mg) told of: coffee (cups)" in said
    assert "weights: none shipped" in said and "glucose 0.1.0" in said


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("raise RuntimeError('half written')", "RuntimeError: half written"),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("PRACTICE = {}", "is a dict, expected a careplan.practice.Practice"),
        ("", "AttributeError: module 'broken' has no attribute 'PRACTICE'"),
        (SLEEP, "declares the therapy 'sleep', but is registered as 'broken'"),
    ],
)
def test_a_broken_package_is_named_and_stops_nobody(folder: Path, source: str, problem: str) -> None:
    package(folder, "broken", source)
    sys.modules.pop("broken", None)
    therapies._load.cache_clear()
    said = installed()
    assert "broken 0.3, from careplan-broken broken and left out:" in said and problem in said
    assert "glucose 0.1.0" in said and therapies.practice("glucose").name == therapies.first().name == "glucose"
    with pytest.raises(therapies.NotInstalledError, match=r"'broken' of careplan-broken 0\.3 is broken"):
        therapies.practice("broken")


def test_of_two_under_one_name_careplans_own_is_taken(folder: Path) -> None:
    package(folder, "glucose", "raise RuntimeError('an impostor')")
    assert therapies.installed()["glucose"].package == "careplan"


def test_a_therapy_that_is_missing_is_said_to_be(folder: Path) -> None:
    asked: Callable[[], object] = lambda: therapies.practice("gout")  # noqa: E731
    with pytest.raises(therapies.NotInstalledError, match=r"'gout' is not installed; there are: .*glucose"):
        asked()
