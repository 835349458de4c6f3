"""The model follows the published one, rests where it should, and answers insulin and food the right way."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.bodies import PMOL_PER_UNIT, Body, Inputs, advance, long_acting_steady, resting
from cohorts.physiology import PLASMA, STATES, Physiology, fasting, vector_field
from cohorts.population import GROUPS, Population, join, sample_population

GOLDEN = Path(__file__).parents[1] / "golden" / "physiology.json"


@pytest.fixture(scope="module")
def people() -> Population:
    return join([sample_population(group, 8, 3 + place) for place, group in enumerate(GROUPS)])


def double(who: Physiology, body: Body) -> tuple[Physiology, Body]:
    physiology = Physiology(*(value.double() for value in vars(who).values()))
    return physiology, Body(body.amounts.double(), body.meal.double(), body.eating)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_day_follows_simglucose(dtype: torch.dtype) -> None:
    golden = json.loads(GOLDEN.read_text())
    who = Physiology(**{name: torch.tensor(values, dtype=dtype) for name, values in golden["parameters"].items()})
    state, none = torch.tensor(golden["state"], dtype=dtype), torch.zeros(len(who), dtype=dtype)
    body = Body(torch.cat([state, torch.zeros(len(who), 2, dtype=dtype)], 1), none, none > 0)
    carbs, insulin = (torch.tensor(golden[name], dtype=dtype) / 5 for name in ("carbs", "insulin"))
    course = []
    for row in range(carbs.shape[1]):
        for _ in range(5):  # by the minute, as simglucose keeps count of a meal
            body = advance(who, body, resting(carbs[:, row], insulin[:, row]), minutes=1.0, substeps=1)
        if row % 3 == 2:
            course.append(body.sensed(who))
    theirs = torch.tensor(golden["glucose"], dtype=dtype)
    assert theirs.amax(1).min() > 180 and theirs.std(1).min() > 15  # meals and doses moved everyone
    assert (torch.stack(course, 1) - theirs).abs().max() < 1.0


def test_the_step_is_short_enough(people: Population) -> None:
    who, body = double(people.physiology, people.body)
    coarse = fine = body
    worst = 0.0
    for row in range(144):
        meal = people.carbs.double() / 3 * float(row in (6, 66))
        given = resting(meal, meal / people.carb_ratio + people.basal.double() / 12)
        coarse, fine = advance(who, coarse, given), advance(who, fine, given, substeps=10)
        worst = max(worst, float((coarse.glucose(who) - fine.glucose(who)).abs().max()))
    assert worst < 0.5


def test_basal_holds_the_fasting_level_and_none_is_lost(people: Population) -> None:
    body = people.body
    for _ in range(288):
        body = advance(people.physiology, body, resting(0 * people.basal, people.basal / 12))
    assert torch.allclose(body.glucose(people.physiology), people.fasting, atol=0.5)
    assert torch.allclose(body.amounts, people.body.amounts, rtol=5e-3, atol=0.05)


def test_what_is_eaten_appears(people: Population) -> None:
    body, grams = people.body, torch.full((len(people),), 30.0)
    absorbed = torch.zeros(len(people))
    for row in range(288):
        body = advance(people.physiology, body, resting(grams * (row == 0), people.basal / 12))
        absorbed += people.physiology.kabs * body.amounts[:, STATES.index("gut")] * 5
    assert torch.allclose(body.amounts[:, :3].sum(1) / 1000 + absorbed / 1000, grams, rtol=0.05)
    assert (body.amounts[:, :3].sum(1) < 0.02 * 30_000).all()


def test_a_day_of_a_long_acting_dose_is_a_cycle_with_the_published_swing(people: Population) -> None:
    daily = 24 * people.basal
    who = replace(people.physiology, tlong=torch.full((len(people),), 480.0))
    body = start = long_acting_steady(who, people.body, daily, since=120.0)
    rate = []
    for row in range(288):
        dose = daily * (row == 264)  # 22:00
        body = advance(who, body, Inputs(0 * daily, 0 * daily, dose, *(torch.ones(3, len(people)))))
        rate.append(body.amounts[:, STATES.index("long2")] / who.tlong)
    assert torch.allclose(body.amounts[:, -2:], start.amounts[:, -2:], rtol=0.02)
    appearance = torch.stack(rate)
    assert torch.allclose(appearance.sum(0) * 5, daily * PMOL_PER_UNIT / who.weight, rtol=0.02)
    swing = appearance.amax(0) / appearance.amin(0) - 1
    assert torch.allclose(swing, torch.tensor(1.8), atol=0.2)  # Becker 2015, glargine U100 at steady state


@settings(max_examples=12, deadline=None)
@given(
    carbs=st.floats(0, 80),
    more_carbs=st.floats(0, 80),
    dose=st.floats(0, 10),
    more=st.floats(0, 10),
    sensitivity=st.floats(0.4, 2),
    uptake=st.floats(1, 3),
    pace=st.floats(0.3, 1),
)
def test_more_insulin_never_raises_and_more_food_never_lowers(
    people: Population, carbs: float, more_carbs: float, dose: float, more: float, sensitivity: float, uptake: float, pace: float
) -> None:
    ones = torch.ones(len(people))
    share = people.basal  # doses in hours of basal

    def course(grams: float, hours: float) -> torch.Tensor:
        body, levels = people.body, []
        for row in range(60):
            first = float(row == 0)
            now = (grams * first * ones, share / 12 + hours * first * share, 0 * ones)
            body = advance(people.physiology, body, Inputs(*now, sensitivity * ones, uptake * ones, pace * ones))
            levels.append(body.glucose(people.physiology))
        return torch.stack(levels)

    usual = course(carbs, dose)
    assert torch.isfinite(usual).all() and (usual >= 0).all()
    assert (course(carbs, dose + more) <= usual + 0.05).all()
    if more_carbs == 0 or carbs == 0:  # a larger meal empties at its own pace; a meal against none is the fair comparison
        assert (course(carbs + more_carbs, dose) >= usual - 0.05).all()


def test_one_row_is_one_person(people: Population) -> None:
    given = resting(torch.linspace(0, 60, len(people)), people.basal)
    together = advance(people.physiology, people.body, given)
    pick = torch.tensor([5, 2])
    alone = advance(
        people.physiology[pick],
        Body(*(part[pick] for part in vars(people.body).values())),
        Inputs(*(value[pick] for value in vars(given).values())),
    )
    assert torch.equal(alone.amounts, together.amounts[pick])
    assert float(together.amounts[5, PLASMA]) != float(together.amounts[2, PLASMA])


@pytest.mark.parametrize(
    ("name", "value"),
    [("Vg", float("nan")), ("kabs", -0.1), ("weight", 0.0), ("kd", float("inf")), ("b", 1.0), ("d", 1.2), ("f", 1.5)],
)
def test_parameters_that_no_person_has_are_named(people: Population, name: str, value: float) -> None:
    broken = getattr(people.physiology, name).clone()
    broken[4] = value
    with pytest.raises(ValueError, match=f"{name} of person 4"):
        replace(people.physiology, **{name: broken})


def test_rates_that_the_step_cannot_follow_are_named(people: Population) -> None:
    people.physiology.refuse_unstable()
    for name in ("kabs", "ksc"):
        fast = getattr(people.physiology, name).clone()
        fast[4] = 1.2
        with pytest.raises(ValueError, match=rf"{name} of person 4 is 1\.2.*, expected at most 1\.1 a minute"):
            replace(people.physiology, **{name: fast}).refuse_unstable()


def test_rates_that_are_too_fast_together_are_named(people: Population) -> None:
    """Each below the limit, and insulin between plasma and liver would grow without end all the same."""
    m1 = people.physiology.m1.clone()
    m1[4] = 0.44
    fast = replace(people.physiology, m1=m1, m30=1.5 * m1)
    with pytest.raises(ValueError, match=r"exchange of person 4 is 1\.\d+, expected at most 1\.1 a minute"):
        fast.refuse_unstable()
    body = people.body
    for _ in range(300):
        body = advance(fast, body, resting(torch.zeros(len(people)), people.basal / 12))
    assert float(body.amounts[4, 5]) > 100 * float(body.amounts[3, 5]) or not bool(body.amounts[4].isfinite().all())


def test_parameters_of_another_number_of_people_are_refused(people: Population) -> None:
    with pytest.raises(ValueError, match=r"kd has shape \(3,\), expected \[24\]"):
        replace(people.physiology, kd=people.physiology.kd[:3])


def test_the_equations_are_those_written_down() -> None:
    """One derivative against the published equations, written out in plain Python for one person."""
    who = sample_population("adult", 1, seed=6).physiology
    p = {name: float(value) for name, value in vars(who).items()}
    x = torch.linspace(3.0, 300.0, 15).unsqueeze(0)
    q1, q2, gut, gp, gt, ip, act, i1, idl, il, s1, s2, gs, long1, long2 = x[0].tolist()
    one = torch.ones(1)
    given = Inputs(100 * one, 2 * one, 3 * one, 0.8 * one, 1.5 * one, 0.7 * one)  # mg/min, pmol/kg/min
    rate = dict(zip(STATES, torch.cat(vector_field(who, 50_000 * one, given)(x.unbind(1))).tolist(), strict=True))

    aa, cc = 5 / (2 * 50_000 * (1 - p["b"])), 5 / (2 * 50_000 * p["d"])
    bend = math.tanh(aa * (q1 + q2 - p["b"] * 50_000)) - math.tanh(cc * (q1 + q2 - p["d"] * 50_000)) + 2
    empty = 0.7 * (p["kmin"] + (p["kmax"] - p["kmin"]) / 2 * bend)
    production = max(p["kp1"] - p["kp2"] * gp - 0.9 * p["kp3"] * idl, 0)
    uptake = (1.5 * p["Vm0"] + 0.8 * p["Vmx"] * act) * gt / (p["Km0"] + gt)
    appearance = p["f"] * 0.7 * p["kabs"] * gut / p["weight"]
    want = {
        "solid": 100 - 0.7 * p["kmax"] * q1,
        "liquid": 0.7 * p["kmax"] * q1 - empty * q2,
        "gut": empty * q2 - 0.7 * p["kabs"] * gut,
        "plasma": production + appearance - p["Fsnc"] - max(p["ke1"] * (gp - p["ke2"]), 0) - p["k1"] * gp + p["k2"] * gt,
        "tissue": p["k1"] * gp - p["k2"] * gt - uptake,
        "insulin": p["m1"] * il + p["ka1"] * s1 + p["ka2"] * s2 + long2 / p["tlong"] - (p["m2"] + p["m4"]) * ip,
        "action": p["p2u"] * (ip / p["Vi"] - p["Ib"] - act),
        "delayed": p["ki"] * (ip / p["Vi"] - i1),
        "hepatic": p["ki"] * (i1 - idl),
        "liver": p["m2"] * ip - (p["m1"] + p["m30"]) * il,
        "depot1": 2 - (p["ka1"] + p["kd"]) * s1,
        "depot2": p["kd"] * s1 - p["ka2"] * s2,
        "sensed": p["ksc"] * (gp - gs),
        "long1": 3 - long1 / p["tlong"],
        "long2": (long1 - long2) / p["tlong"],
    }
    assert rate == pytest.approx(want, rel=1e-3, abs=1e-3)


def test_fasting_closes_at_the_level_asked_for(people: Population) -> None:
    level = torch.linspace(90.0, 150.0, len(people))
    who, body, basal = fasting(people.physiology, level)
    torch.testing.assert_close(body.glucose(who), level)
    given = resting(0 * level, basal / 60 * PMOL_PER_UNIT / who.weight)
    assert float(torch.stack(vector_field(who, 0 * level, given)(body.amounts.unbind(1))).abs().max()) < 1e-3
