"""careplan at the visits of virtual people."""

from dataclasses import replace
from unittest.mock import Mock

import pytest

from careplan.clinic.errors import ClinicError
from careplan.studies import visits as clinic
from careplan.studies import visits_judged as visits
from careplan.studies.visits import AUTOTUNE, NAME, TITRATION, UNCHANGED, Clinic, VisitsQuestion, evaluate_visits
from careplan.therapies.glucose.world import open_world
from careplan.world.loaded import World
from tests.clinic.build import line, suggestion


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "DAYS", 1)


@pytest.fixture(scope="module")
def world() -> World:
    return open_world()


def test_with_a_day_of_data_it_abstains_and_nothing_changes(world: World) -> None:
    found = evaluate_visits(world, VisitsQuestion(people=1, count=1, seed=5), say=lambda text: None)
    by_name = dict(tuple(found.people.drop(columns="raised_here").groupby("reviewer")))
    ours, unchanged = (by_name[name].drop(columns="reviewer").reset_index(drop=True) for name in (NAME, UNCHANGED))
    assert ours.equals(unchanged)
    assert sum(found.silent.values()) >= 3 and any("days" in reason for reason in found.silent)
    everybody = {UNCHANGED, TITRATION, AUTOTUNE, NAME, "truth, 20 % a visit", "truth"}
    assert set(found.summary["reviewer"]) == set(by_name) == everybody


def test_every_proposed_line_is_accepted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    people = visits.cohort(1, 5, pens=0.0)
    lived, (regimens, *_) = visits.live(people, visits.no_change, visits=1, seed=5)
    proposed = suggestion(replace(line("carb_ratio", block=1), proposed=10.5), line("basal", block=3, factor=0.8))
    monkeypatch.setattr(clinic, "suggest_regimen", lambda *parts, **named: proposed)
    for before, after in zip(regimens, Clinic(world, lambda text: None).visit(lived, regimens), strict=True):
        assert after.carb_ratio == (before.carb_ratio[0], 10.5, *before.carb_ratio[2:])
        assert after.basal[:3] == before.basal[:3] and after.basal[3] == proposed.lines[1].proposed


def test_what_nobody_could_sign_changes_nothing_and_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    people = visits.cohort(1, 5, pens=0.0)
    lived, (regimens, *_) = visits.live(people, visits.no_change, visits=1, seed=5)
    seen = Clinic(world, lambda text: None)
    for bad, why in ((line("basal", factor=0.6), "in one visit"), (line("basal", factor=0.9, days=6), "6 days of evidence")):
        monkeypatch.setattr(clinic, "suggest_regimen", Mock(return_value=suggestion(bad)))
        assert seen.visit(lived, regimens) == regimens
        assert any(why in reason for reason in seen.refused)


def test_people_of_the_training_are_refused(world: World) -> None:
    with pytest.raises(ClinicError, match="choose another"):
        evaluate_visits(world, VisitsQuestion(people=1, seed=world.card["virtual"]["seed"]))
