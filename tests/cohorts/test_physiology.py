"""The meal model keeps what its equations promise."""

import json
from pathlib import Path

import torch

from cohorts.physiology import STATES, Body, Physiology, advance, derivative, fasting
from cohorts.population import sample_population

GOLDEN = Path(__file__).parents[1] / "golden" / "physiology.json"


def live(people, meals: dict[int, float], boluses: dict[int, float], rows: int = 96, basal: float = 1.0) -> torch.Tensor:
    """Plasma glucose `[B, rows]` of a population under meals g and boluses U by row."""
    body, course = people.body, []
    ones = torch.ones(len(people))
    for row in range(rows):
        insulin = people.basal * basal / 12 + boluses.get(row, 0.0)
        body = advance(people.physiology, body, meals.get(row, 0.0) * ones, insulin, ones)
        course.append(body.glucose(people.physiology))
    return torch.stack(course, 1)


def test_fasting_on_the_basal_rate_is_a_steady_state() -> None:
    for group in ("adult", "adolescent", "child"):
        people = sample_population(group, 8, seed=1)
        levels = live(people, {}, {}, rows=288)
        torch.testing.assert_close(levels, people.fasting.unsqueeze(1).expand_as(levels), rtol=0, atol=0.5)


def test_insulin_lowers_and_carbohydrate_raises_everyone() -> None:
    people = sample_population("adult", 8, seed=2)
    base, dosed, fed = live(people, {}, {}), live(people, {}, {6: 2.0}), live(people, {6: 30.0}, {})
    assert (dosed[:, 12:] < base[:, 12:]).all()
    assert (fed[:, 12:] > base[:, 12:] - 1e-3).all()
    assert (fed.amax(1) - base.amax(1) > 20).all()
    assert (live(people, {}, {}, basal=0.5)[:, 24:] > base[:, 24:]).all()


def test_carbohydrate_is_absorbed_whole() -> None:
    people = sample_population("child", 4, seed=3)
    body, ones = people.body, torch.ones(4)
    for row in range(12 * 24):
        body = advance(people.physiology, body, 40.0 * ones * (row == 0), people.basal / 12, ones)
    assert (body.amounts[:, :3].sum(1) < 400).all(), "of 40,000 mg, hardly any is left in the gut after a day"


def test_halving_the_step_changes_little(monkeypatch) -> None:
    import cohorts.physiology as physiology

    people = sample_population("adult", 8, seed=4)
    meals, boluses = {3: 60.0, 50: 25.0}, {3: 5.0}
    coarse = live(people, meals, boluses)
    monkeypatch.setattr(physiology, "SUBSTEPS", 20)
    assert float((coarse - live(people, meals, boluses)).abs().max()) < 0.5  # mg/dL


def test_single_and_double_precision_agree() -> None:
    people = sample_population("adult", 8, seed=5)
    single = live(people, {3: 60.0}, {3: 5.0})
    physiology = Physiology(*(part.double() for part in vars(people.physiology).values()))
    body = Body(people.body.amounts.double(), people.body.meal.double())
    course, ones = [], torch.ones(8, dtype=torch.float64)
    for row in range(96):
        insulin = people.basal.double() / 12 + 5.0 * (row == 3)
        body = advance(physiology, body, 60.0 * ones * (row == 3), insulin, ones)
        course.append(body.glucose(physiology))
    assert float((single - torch.stack(course, 1)).abs().max()) < 0.1


def test_the_equations_are_those_written_down() -> None:
    """One derivative against the published equations, written out in plain Python for one person."""
    who = sample_population("adult", 1, seed=6).physiology
    p = {name: float(value) for name, value in vars(who).items()}
    x = torch.linspace(3.0, 300.0, 13).unsqueeze(0)
    q1, q2, gut, gp, gt, ip, act, i1, idl, il, s1, s2, gs = x[0].tolist()
    got = derivative(who, x, torch.tensor([50000.0]), torch.tensor([100.0]), torch.tensor([2.0]), torch.tensor([1.0]))[0]
    import math

    aa, cc = 5 / (2 * 50000 * (1 - p["b"])), 5 / (2 * 50000 * p["d"])
    bend = math.tanh(aa * (q1 + q2 - p["b"] * 50000)) - math.tanh(cc * (q1 + q2 - p["d"] * 50000)) + 2
    empty = p["kmin"] + (p["kmax"] - p["kmin"]) / 2 * bend
    production = max(p["kp1"] - p["kp2"] * gp - p["kp3"] * idl, 0)
    uptake = (p["Vm0"] + p["Vmx"] * act) * gt / (p["Km0"] + gt)
    appearance = p["f"] * p["kabs"] * gut / p["weight"]
    want = {
        "solid": 100 - p["kmax"] * q1,
        "liquid": p["kmax"] * q1 - empty * q2,
        "gut": empty * q2 - p["kabs"] * gut,
        "plasma": production + appearance - p["Fsnc"] - max(p["ke1"] * (gp - p["ke2"]), 0) - p["k1"] * gp + p["k2"] * gt,
        "tissue": p["k1"] * gp - p["k2"] * gt - uptake,
        "insulin": p["m1"] * il + p["ka1"] * s1 + p["ka2"] * s2 - (p["m2"] + p["m4"]) * ip,
        "action": p["p2u"] * (ip / p["Vi"] - p["Ib"] - act),
        "delayed": p["ki"] * (ip / p["Vi"] - i1),
        "hepatic": p["ki"] * (i1 - idl),
        "liver": p["m2"] * ip - (p["m1"] + p["m30"]) * il,
        "depot1": 2 - (p["ka1"] + p["kd"]) * s1,
        "depot2": p["kd"] * s1 - p["ka2"] * s2,
        "sensed": p["ksc"] * (gp - gs),
    }
    assert tuple(want) == STATES
    torch.testing.assert_close(got, torch.tensor(list(want.values())), rtol=1e-4, atol=1e-4)


def test_a_day_is_what_it_was() -> None:
    """Golden numerics: made by this test's own code, once, with `python -m tests.cohorts.test_physiology`."""
    golden = json.loads(GOLDEN.read_text())
    torch.testing.assert_close(course(), torch.tensor(golden["glucose"]), rtol=0, atol=0.05)


def course() -> torch.Tensor:
    """Every hour of a day of six people, `[6, 24]`."""
    parts = [sample_population(group, 2, seed=9) for group in ("adult", "adolescent", "child")]
    meals, boluses = {84: 45.0, 150: 60.0, 228: 70.0}, {84: 3.0, 152: 4.0, 226: 5.0}
    return torch.cat([live(people, meals, boluses, rows=288)[:, 11::12] for people in parts])


def test_fasting_closes_at_the_level_asked_for() -> None:
    people = sample_population("adult", 5, seed=8)
    who, body, basal = fasting(people.physiology, torch.full((5,), 110.0))
    torch.testing.assert_close(body.glucose(who), torch.full((5,), 110.0))
    none = torch.zeros(5)
    rate = derivative(who, body.amounts, none, none, basal / 60 * 6000 / who.weight, torch.ones(5))
    assert float(rate.abs().max()) < 1e-3


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({"glucose": [[round(level, 3) for level in row] for row in course().tolist()]}) + "\n")
