"""Other families of bodies: each is its paper's, rests, answers doses and food the right way, and lives as any body does."""

import math
from dataclasses import fields, replace
from functools import partial

import pytest
import torch

from cohorts import fused, sorensen
from cohorts.assorted import STAGES, Assorted
from cohorts.bodies import PMOL_PER_UNIT, Body, Equations, Inputs, advance, long_acting_steady, resting
from cohorts.drawing import Drawn
from cohorts.families import FAMILIES, Family, draw
from cohorts.minimal import Minimal
from cohorts.minimal import rest as minimal_rest
from cohorts.policies import Behaviour
from cohorts.population import GROUPS, NAMED, Population, join, sample_population
from cohorts.replay import Change, Replay, branch, replay

OTHERS: tuple[Family, ...] = ("minimal", "sorensen", "assorted")
QUICK: tuple[Family, ...] = ("minimal", "assorted")


@pytest.fixture(scope="module")
def drawn() -> dict[Family, Drawn]:
    return {family: draw(family, "adult", 12, torch.Generator().manual_seed(5)) for family in FAMILIES}


@pytest.fixture(scope="module", params=QUICK)
def people(request: pytest.FixtureRequest) -> Population:
    return sample_population("adult", 4, 11, mis_set=0.1, pens=0.5, family=request.param)


@pytest.fixture(scope="module")
def lived(people: Population) -> Replay:
    return replay(people, Behaviour(), days=2, seed=3)


def after(drawn: Drawn, rows: int, *, carbs: float = 0.0, bolus: float = 0.0) -> torch.Tensor:
    """Glucose `[rows, B]` from rest, a meal and a bolus at once."""
    body, levels, none = drawn.body, [], torch.zeros_like(drawn.basal)
    for row in range(rows):
        first = float(row == 0)
        body = advance(drawn.who, body, resting(none + carbs * first, drawn.basal / 12 + bolus * first))
        levels.append(body.glucose(drawn.who))
    return torch.stack(levels)


def man(**changed: float) -> Minimal:
    """The mean subject of Kanderian 2009."""
    mean = {"weight": 79.0, "tlong": 480.0, "SI": 8.11e-4, "GEZI": 2.2e-3, "EGP": 1.33, "CI": 2010.0, "tau1": 49.0}
    mean |= {"tau2": 47.0, "p2": 0.0106, "tau_m": 47.0, "VG": 253.0, "ksc": 0.09} | changed
    return Minimal(**{name: torch.tensor([value], dtype=torch.float64) for name, value in mean.items()})


def test_the_virtual_patient_needs_what_its_paper_says() -> None:
    """25.04 mU/min of insulin hold 6 mmol/L in the mean subject (Boiroux 2018, of Kanderian's parameters)."""
    _, basal = minimal_rest(man(), torch.tensor([108.0], dtype=torch.float64))
    assert float(basal) * 1000 / 60 == pytest.approx(25.04, rel=0.005)


def test_the_virtual_patients_insulin_and_meals_come_when_its_paper_says() -> None:
    who, none = man(), torch.zeros(1, dtype=torch.float64)
    body = Body(torch.zeros(1, len(who.states), dtype=torch.float64), none, none > 0)
    insulin, appearing = [], []
    for minute in range(600):
        first = float(minute == 0)
        body = advance(who, body, resting(none + 60 * first, none + first), minutes=1.0, substeps=1)
        insulin.append(float(body.amounts[0, 3]))
        appearing.append(float(body.amounts[0, 1] / who.tau_m / who.VG))
    peak = 49 * 47 / (49 - 47) * math.log(49 / 47)  # of two stages of 49 and 47 minutes
    assert abs(insulin.index(max(insulin)) + 1 - peak) < 2
    assert sum(insulin) == pytest.approx(1e6 / 2010, rel=0.01)  # a unit over its clearance
    assert abs(appearing.index(max(appearing)) + 1 - 47) < 2
    assert sum(appearing) == pytest.approx(60_000 / 253, rel=0.01)


def test_glucose_without_insulin_returns_by_effectiveness_alone() -> None:
    who, none = man(EGP=1e-6), torch.zeros(1, dtype=torch.float64)
    amounts = torch.zeros(1, len(who.states), dtype=torch.float64)
    amounts[0, 5] = 200.0
    later = advance(who, Body(amounts, none, none > 0), resting(none, none), minutes=60.0, substeps=60)
    assert float(later.glucose(who)) == pytest.approx(200 * math.exp(-60 * 2.2e-3), rel=1e-3)


@pytest.mark.parametrize(
    "normalised",
    [
        sorensen.production(torch.ones(())),
        sorensen.restrained(torch.ones(())),
        sorensen.stirred(torch.ones(())),
        sorensen.stored(torch.ones(())),
        sorensen.offered(torch.ones(())),
        sorensen.taken_up(torch.ones(())),
        sorensen.released(torch.ones(()), torch.ones(())),
    ],
)
def test_every_effect_of_sorensens_is_one_while_fasting(normalised: torch.Tensor) -> None:
    assert float(normalised) == pytest.approx(1.0, abs=0.02)


def test_sorensens_man_fasts_as_in_the_thesis() -> None:
    """From arterial 91.89 mg/dL and 15.15 mU/L follow the concentrations that the thesis gives the organs."""
    sugars, hormones = sorensen.CIRCULATION
    used = torch.zeros(8, dtype=torch.float64)
    used[1], used[2] = -sorensen.BRAIN / sorensen.VOLUME["brain_i"], -sorensen.CELLS / sorensen.VOLUME["heart"]
    used[3] = -sorensen.GUT / sorensen.VOLUME["gut"]
    used[4] = (sorensen.PRODUCED - sorensen.TAKEN) / sorensen.VOLUME["liver"]
    used[7] = -sorensen.PERIPHERY / sorensen.TISSUE
    rows = [row for row in range(8) if row != 2]  # the heart's glucose is given, and its balance then a check
    heart = torch.tensor(91.89, dtype=torch.float64)
    others = torch.linalg.solve(sugars[rows][:, rows], -used[rows] - sugars[rows, 2] * heart)
    found = dict(zip([sorensen.SUGARS[row] for row in rows], others.tolist(), strict=True))
    assert found["liver"] == pytest.approx(sorensen.GLUCOSE["liver"], rel=0.002)
    assert found["tissue"] == pytest.approx(sorensen.GLUCOSE["tissue"], rel=0.003)
    made = 18.5  # mU/min that the pancreas secretes into the liver while fasting
    source = torch.zeros(7, dtype=torch.float64)
    source[3] = (1 - sorensen.LIVER) * made / sorensen.PLASMA["liver"]
    insulin = torch.linalg.solve(hormones, -source)
    for place, expected in ((1, "heart"), (3, "liver"), (6, "tissue")):
        assert float(insulin[place]) == pytest.approx(sorensen.INSULIN[expected], rel=0.01), expected


def test_glucagon_answers_lows() -> None:
    low, usual = torch.tensor(0.6), torch.ones(())
    assert sorensen.released(low, usual) > 1.8 * sorensen.released(usual, usual)
    assert sorensen.stirred(torch.tensor(2.0)) > 1.5


def test_assorted_bodies_are_of_every_structure() -> None:
    who = draw("assorted", "adult", 400, torch.Generator().manual_seed(2)).who
    assert isinstance(who, Assorted)
    for stages in (who.meals, who.skin):
        assert set(stages.tolist()) <= set(range(1, STAGES + 1)) and len(set(stages.tolist())) >= STAGES - 1
    assert set(who.remote.tolist()) == {0.0, 1.0, 2.0}
    for some in (who.slowly, who.liver, who.multiple, who.back, who.kout):
        assert 0.2 < float((some == 0).float().mean()) < 0.75
    assert float(who.back.max()) > 0.005  # a minute: half gone in two hours


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fasting_body_stays_as_it_is(family: Family, drawn: dict[Family, Drawn]) -> None:
    levels = after(drawn[family], 24)
    assert (levels - drawn[family].level).abs().max() < 0.05
    assert (drawn[family].body.sensed(drawn[family].who) - drawn[family].level).abs().max() < 25


@pytest.mark.parametrize("family", FAMILIES)
def test_more_insulin_lowers_and_more_food_raises(family: Family, drawn: dict[Family, Drawn]) -> None:
    usual, less, more = (after(drawn[family], 30, carbs=40, bolus=bolus) for bolus in (2.0, 1.0, 3.0))
    fed = after(drawn[family], 30, carbs=60, bolus=2.0)
    assert (more <= usual + 1e-3).all() and (usual <= less + 1e-3).all() and (fed >= usual - 1e-3).all()
    assert ((less - more)[29] > 3).all() and ((fed - usual)[12:].amax(0) > 5).all()


@pytest.mark.parametrize("family", OTHERS)
def test_the_step_of_a_family_is_short_enough(family: Family, drawn: dict[Family, Drawn]) -> None:
    who = type(drawn[family].who)(**{name: value.double() for name, value in vars(drawn[family].who).items()})
    body = Body(drawn[family].body.amounts.double(), drawn[family].body.meal.double(), drawn[family].body.eating)
    coarse, fine, none = body, body, torch.zeros(len(who), dtype=torch.float64)
    for row in range(18):
        factors = (none + 1.2, none + 1 + 0.5 * (row > 9), none + 0.8)
        given = Inputs(none + 60 * (row == 1), drawn[family].basal.double() / 12 + 6 * (row == 1), none, *factors)
        coarse, fine = advance(who, coarse, given), advance(who, fine, given, substeps=3 * who.substeps)
        assert (coarse.glucose(who) - fine.glucose(who)).abs().max() < 1.0


@pytest.mark.parametrize("family", OTHERS)
def test_life_acts_in_every_family(family: Family, drawn: dict[Family, Drawn]) -> None:
    one = drawn[family]
    ones, none = torch.ones_like(one.basal), torch.zeros_like(one.basal)

    def lived(**changed: torch.Tensor) -> torch.Tensor:
        body = one.body
        for row in range(12):
            given = Inputs(none + 50 * (row == 0), one.basal / 12 + 3 * (row == 0), none, ones, ones, ones)
            body = advance(one.who, body, replace(given, **changed))
        return body.glucose(one.who)

    usual = lived()
    assert (lived(sensitivity=1.5 * ones) < usual).all() and (lived(uptake=2 * ones) < usual).all()
    assert (lived(pace=0.6 * ones) < usual).all()  # an hour after a meal


@pytest.mark.parametrize("family", FAMILIES)
def test_a_set_level_and_a_long_acting_depot(family: Family, drawn: dict[Family, Drawn]) -> None:
    one = drawn[family]
    raised = one.who.scaled(one.body, 1.5 * torch.ones_like(one.basal))
    torch.testing.assert_close(raised.glucose(one.who), 1.5 * one.body.glucose(one.who))
    first, second = one.who.place("long1", "long2")
    leaving = []
    for since in range(0, 24 * 60, 120):
        pens = long_acting_steady(one.who, one.body, 24 * one.basal, since=float(since))
        assert (pens.amounts[:, one.who.place(*one.who.depots)] == 0).all() and (pens.amounts[:, first] > 0).all()
        leaving.append(pens.amounts[:, second] / one.who.tlong * one.who.weight / PMOL_PER_UNIT * 60)  # U/h
    torch.testing.assert_close(torch.stack(leaving).mean(0), one.basal, rtol=0.03, atol=0)


def test_people_are_plausible_and_named_after_their_family(people: Population) -> None:
    daily = people.daily_dose / people.physiology.weight
    assert ((daily > 0.25) & (daily < 1.3)).all()
    family = people.physiology.family
    assert people.names[0] == f"{family}-adult-11-001" and NAMED[f"{family}-adult"] == (family, "adult")
    assert set(people.groups) == {"adult"} and set(people.pens.tolist()) <= {True, False}
    with pytest.raises(ValueError, match="different families of equations cannot live side by side"):
        join([people, sample_population("adult", 2, 1)])


def test_a_family_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="family 'palumbo' of group adult: expected one of padova, minimal"):
        sample_population("adult", 2, 1, family="palumbo")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="family 'minimal' of group type2: expected one of padova"):
        sample_population("type2", 2, 1, family="minimal")


def test_they_live_and_a_branch_without_change_is_what_happened(lived: Replay) -> None:
    assert lived.glucose.isfinite().all() and float(lived.glucose.max()) < 600
    inside = ((lived.glucose > 70) & (lived.glucose < 180)).float().mean()
    assert inside > 0.4
    person, row = torch.tensor([0, 1, 2, 3]), torch.tensor([96, 96, 192, 300])
    same, _ = branch(lived, person, row, 48, Change.none(4))
    more, _ = branch(lived, person, row, 48, replace(Change.none(4), extra=torch.full((4,), 2.0)))
    kept = lived.bodies.amounts[person, (row + 48) // 6]
    who = lived.people.physiology[person]
    assert torch.equal(same[:, -1], who.sensed(kept))
    assert (more[:, 24:] < same[:, 24:]).all()


@pytest.mark.parametrize("group", GROUPS)
def test_children_are_smaller_than_adults(group: str) -> None:
    expected = {"adult": 79, "adolescent": 52, "child": 32}[group]
    for family in FAMILIES:
        who = draw(family, group, 60, torch.Generator().manual_seed(1)).who
        assert abs(float(who.weight.median()) / expected - 1) < 0.15, family


@pytest.mark.parametrize("family", OTHERS)
def test_parameters_are_checked(family: Family, drawn: dict[Family, Drawn]) -> None:
    who = drawn[family].who
    name = next(field.name for field in fields(who) if field.name not in (*who.free, *who.shares))
    broken = getattr(who, name).clone()
    broken[3] = -1.0
    with pytest.raises(ValueError, match=f"{name} of person 3 is -1.0, expected a positive number"):
        replace(who, **{name: broken})
    with pytest.raises(ValueError, match="has shape"):
        replace(who, **{name: broken[:2]})


@pytest.mark.parametrize("family", ["minimal", "sorensen"])
def test_a_familys_compiled_step_is_the_step(family: Family, drawn: dict[Family, Drawn], monkeypatch: pytest.MonkeyPatch) -> None:
    fused._compiled_row.cache_clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    one: Drawn = drawn[family]
    who: Equations = one.who
    step, none = fused.stepper(who), torch.zeros_like(one.basal)
    body = same = one.body
    for row in range(2):
        given = Inputs(none + 30 * (row == 1), one.basal / 12, none, none + 1.1, none + 1, none + 0.9)
        body, same = advance(who, body, given), step(same, given)
    assert torch.equal(body.amounts, same.amounts)
    fused._compiled_row.cache_clear()
