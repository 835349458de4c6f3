"""The two bodies against their sources' figures, and what must hold of any body."""

import math
from itertools import pairwise

import pytest
import torch

from careplan.therapies.warfarin.covariates import CYP2C9, VKORC1, Covariates
from careplan.therapies.warfarin.protocols import iwpc_pharmacogenetic
from cohorts.warfarin.hamberg import Hamberg
from cohorts.warfarin.network import POWERS, Network
from cohorts.warfarin.people import PLACES, People, draw
from cohorts.warfarin.trial import Body
from tests.cohorts.warfarin.prothrombin import prothrombin_time


def bodies(people: People, *, typical: bool = False) -> dict[str, Body]:
    return {
        "hamberg": Hamberg.draw(people, 3, spread="none" if typical else "full"),
        "network": Network.draw(people, 3, spread=0.0 if typical else 1.0),
    }


def after(body: Body, dose: torch.Tensor, days: int) -> torch.Tensor:
    """`[B, days]` the INR at the end of each day."""
    state, found = body.start(), []
    for _ in range(days):
        state = body.day(state, dose)
        found.append(body.inr(state))
    return torch.stack(found, 1)


def person(**other: object) -> Covariates:
    return Covariates(**{"age": 65.0, "weight": 85.0, "height": 170.0, "race": "white", **other})  # type: ignore[arg-type]


def dose_for(kind: str, who: Covariates) -> float:
    """Mg a week for an INR of 2.5 at rest of a typical body."""
    doses = torch.linspace(0.5, 15.0, 59)
    inr = after(bodies(People((who,) * len(doses)), typical=True)[kind], doses, 90)[:, -1]
    return 7 * float(doses[(inr - 2.5).abs().argmin()])


@pytest.mark.parametrize("kind", ["hamberg", "network"])
def test_more_warfarin_is_a_higher_inr_and_none_is_one(kind: str) -> None:
    people = draw(40, 2)
    courses = [after(bodies(people)[kind], torch.full((40,), dose), 30) for dose in (0.0, 2.0, 4.0, 8.0)]
    assert courses[0] == pytest.approx(torch.ones(40, 30), abs=1e-3)
    for less, more in pairwise(courses):
        assert (more > less - 1e-5).all()


@pytest.mark.parametrize("kind", ["hamberg", "network"])
def test_genotypes_that_need_less_need_less_here(kind: str) -> None:
    by_vkorc1 = [dose_for(kind, person(cyp2c9="*1/*1", vkorc1=each)) for each in VKORC1]
    by_cyp2c9 = [dose_for(kind, person(cyp2c9=each, vkorc1="G/A")) for each in ("*1/*1", "*1/*2", "*1/*3", "*3/*3")]
    assert sorted(by_vkorc1, reverse=True) == by_vkorc1 and sorted(by_cyp2c9, reverse=True) == by_cyp2c9
    assert set(CYP2C9) >= {"*1/*1", "*1/*2", "*1/*3", "*3/*3"}


def test_the_network_needs_the_doses_that_people_need() -> None:
    """Within a third of the IWPC's equation for the common genotypes, which no number of the network was fitted to."""
    for cyp2c9 in ("*1/*1", "*1/*2", "*1/*3"):
        for vkorc1 in VKORC1:
            who = person(cyp2c9=cyp2c9, vkorc1=vkorc1)
            assert abs(math.log(dose_for("network", who) / iwpc_pharmacogenetic(who))) < math.log(4 / 3)


def test_hamberg_takes_weeks_and_his_first_chain_days() -> None:
    who = People((person(age=71.0, cyp2c9="*1/*1", vkorc1="G/A"),))
    course = after(Hamberg.draw(who, 1, spread="none", hours=1.0), torch.tensor([5.0]), 60)[0]
    risen = (course - 1) / (course[-1] - 1)
    assert 0.1 < risen[2] < 0.5 and 0.5 < risen[7] < 0.95 and risen[27] > 0.9


def test_three_hour_steps_are_as_good_as_one_hour_steps() -> None:
    people = draw(60, 4)
    dose = torch.full((60,), 5.0)
    exact, coarse = (after(Hamberg.draw(people, 4, hours=hours), dose, 40) for hours in (0.5, 3.0))
    assert (coarse / exact - 1).abs().max() < 0.03
    exact, coarse = (after(Network.draw(people, 4, hours=hours), dose, 40) for hours in (0.25, 1.0))
    assert (coarse / exact - 1).abs().max() < 0.03


@pytest.mark.parametrize("shares", [(1.0, 1.0, 1.0), (0.25, 0.25, 0.25), (0.5, 0.1, 0.4), (0.9, 0.15, 0.6), (0.1, 0.12, 0.1)])
def test_the_inr_of_factors_is_that_of_the_network(shares: tuple[float, float, float]) -> None:
    ratio = prothrombin_time(*shares) / prothrombin_time(1.0, 1.0, 1.0)
    told = math.exp(-sum(power * math.log(share) for power, share in zip(POWERS, shares, strict=True)))
    assert told == pytest.approx(ratio, rel=0.06)


def test_normal_plasma_clots_in_about_ten_seconds() -> None:
    assert prothrombin_time(1.0, 1.0, 1.0) == pytest.approx(9.87, abs=0.05)


def test_less_vitamin_k_and_slower_clearance_raise_the_inr() -> None:
    people = draw(20, 6)
    dose, usual = torch.full((20,), 5.0), torch.ones(20)
    for body in bodies(people).values():
        states = [body.start() for _ in range(3)]
        for _ in range(14):
            for place, (clears, supply) in enumerate(((usual, usual), (usual, 0.7 * usual), (0.6 * usual, usual))):
                states[place] = body.day(states[place], dose, clears, supply)
        plain, hungry, inhibited = (body.inr(state) for state in states)
        assert (hungry > plain).all() and (inhibited > plain).all()


def test_people_are_as_their_place_says_and_the_same_under_a_seed() -> None:
    for place in PLACES:
        people = draw(3000, 1, place)
        assert people.known[:50] == draw(3000, 1, place).known[:50]
        share = sum(who.vkorc1 == "A/A" for who in people.known) / len(people)
        black = sum(who.race == "black" for who in people.known) / len(people)
        mixed = 0.55 * 0.388**2 + 0.3 * 0.885**2 + 0.06 * 0.411**2
        assert share == pytest.approx(0.1745 if place == "aurora" else mixed, abs=0.03)
        assert black == pytest.approx(0.042 if place == "aurora" else 0.09, abs=0.015)
