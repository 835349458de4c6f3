"""People of type 2 secrete as published, rest where they should, answer insulin the right way, and are plausible."""

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from careplan.studies.closed_loop import Planner
from cohorts import fused
from cohorts.bodies import PMOL_PER_UNIT, Body, Inputs, advance, resting
from cohorts.catalogue import POLICIES, named, refuse_for
from cohorts.gym import ReplayEnv
from cohorts.padova import FASTED
from cohorts.physiology import SECRETION, STATES, Physiology, Secreting, vector_field
from cohorts.policies import Behaviour, Seen
from cohorts.population import COHORTS, GROUPS, LONG_ACTING_AT, Population, join, sample_population
from cohorts.replay import Change, branch, replay
from cohorts.scenarios import ROWS, Life
from cohorts.secretion import insulin_for, resting_under, secreted_at, untreated
from cohorts.sensors import Sensor
from cohorts.titration import TreatToTarget

# The mean subjects of Dalla Man 2007, table I, with type 2 and without diabetes, at the fasting state that goes with them. What
# the subcutaneous chain and the sensor need are this project's medians.
WITH_TYPE2 = {
    **{"weight": 90.0, "kabs": 0.023, "kmax": 0.0465, "kmin": 0.0076, "b": 0.68, "d": 0.09, "f": 0.9, "Vg": 1.49, "k1": 0.042},
    **{"k2": 0.071, "Vi": 0.04, "m1": 0.379, "m2": 0.673, "m4": 0.269, "m30": 1.5 * 0.379, "kp1": 3.09, "kp2": 0.0007},
    **{"kp3": 0.005, "ki": 0.0066, "Fsnc": 1.0, "Vm0": 4.65, "Vmx": 0.034, "Km0": 466.21, "p2u": 0.084, "ke1": 0.0007},
    **{"ke2": 269.0, "kd": 0.0162, "ka1": 0.0034, "ka2": 0.0165, "ksc": 0.09, "Ib": 55.0, "tlong": 480.0, "Gb": 164.0},
    **{"Sb": 1.0, "K": 0.99, "alpha": 0.013, "beta": 0.05, "gamma": 0.5, "m5": 0.0526, "m6": 0.8118, "kp4": 0.0786},
}
NORMAL = WITH_TYPE2 | {
    **{"weight": 78.0, "kabs": 0.057, "kmax": 0.0558, "kmin": 0.008, "b": 0.82, "d": 0.01, "Vg": 1.88, "k1": 0.065, "k2": 0.079},
    **{"Vi": 0.05, "m1": 0.19, "m2": 0.484, "m4": 0.194, "m30": 1.5 * 0.19, "kp1": 2.70, "kp2": 0.0021, "kp3": 0.009},
    **{"ki": 0.0079, "Vm0": 2.5, "Vmx": 0.047, "Km0": 225.59, "p2u": 0.0331, "ke1": 0.0005, "ke2": 339.0, "Ib": 25.49},
    **{"Gb": 91.76, "K": 2.3, "alpha": 0.05, "beta": 0.11, "m5": 0.0304, "m6": 0.6471, "kp4": 0.0618},
}


@pytest.fixture(scope="module")
def people() -> Population:
    return sample_population("type2", 10, seed=2)


def closed(published: dict[str, float]) -> Secreting:
    """A mean subject, `[1]`, whose `Sb`, `m6` and `kp1` follow from the fasting state."""
    who = Secreting(**{field.name: torch.tensor([published[field.name]]).double() for field in fields(Secreting)})
    secreted = secreted_at(who, who.Ib, 0.6)
    return untreated(replace(who, Sb=secreted, m6=0.6 + who.m5 * secreted))


@pytest.fixture(scope="module")
def person() -> Secreting:
    return closed(WITH_TYPE2)


def double(people: Population) -> tuple[Secreting, Body]:
    who = Secreting(*(value.double() for value in vars(people.physiology).values()))
    return who, Body(people.body.amounts.double(), people.body.meal.double(), people.body.eating)


def after_a_meal(who: Physiology, body: Body, *, grams: float = 75.0, rows: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Glucose, and insulin secreted, pmol/kg/min, `[B, rows]` each."""
    none, levels, secreted = torch.zeros_like(who.weight), [], []
    for row in range(rows):
        body = advance(who, body, resting(none + grams * (row == 0), none))
        levels.append(body.glucose(who))
        secreted.append(who.gamma * body.amounts[:, len(STATES)] if isinstance(who, Secreting) else none)
    return torch.stack(levels, 1), torch.stack(secreted, 1)


def test_the_equations_are_those_written_down(person: Secreting) -> None:
    """One derivative of what type 2 adds, in plain Python, while glucose rises and while it falls."""
    p = {name: float(value) for name, value in vars(person).items()}
    one = torch.ones(1).double()
    common = dict.fromkeys(STATES, 0.0) | {"tissue": 80.0, "insulin": 3.0, "hepatic": 60.0, "liver": 8.0}
    for gp, gut, portal, response in ((200.0, 30_000.0, 9.0, 1.5), (200.0, 0.0, 2.0, -0.5), (110.0, 0.0, 2.0, -0.5)):
        x = torch.tensor([[*(common | {"plasma": gp, "gut": gut}).values(), portal, response]]).double()
        given = Inputs(0 * one, 0 * one, 0 * one, 0.8 * one, one, one)
        rates = [float(value) for value in vector_field(person, one, given)(x.unbind(1))]
        rate = dict(zip((*STATES, *SECRETION), rates, strict=True))
        production = p["kp1"] - p["kp2"] * gp - 0.9 * p["kp3"] * 60 - 0.9 * p["kp4"] * portal
        appearing = 0.9 * p["kabs"] * gut / p["weight"]
        excreted = max(p["ke1"] * (gp - p["ke2"]), 0)
        plasma = production + appearing - 1 - excreted - p["k1"] * gp + p["k2"] * 80
        secreted = 0.5 * portal
        extraction = p["m6"] - p["m5"] * secreted
        m3 = extraction * p["m1"] / (1 - extraction)
        made = response + p["Sb"] + (p["K"] * plasma / p["Vg"] if plasma > 0 else 0)
        above = p["beta"] * (gp / p["Vg"] - p["Gb"])
        slow = -p["alpha"] * (response - above) if above >= -p["Sb"] else -p["alpha"] * (response + p["Sb"])
        assert (plasma > 0) == (gut > 0) or gp == 110
        assert (above < -p["Sb"]) == (gp == 110)
        assert rate["plasma"] == pytest.approx(plasma) and rate["liver"] == pytest.approx(
            p["m2"] * 3 + secreted - (p["m1"] + m3) * 8
        )
        assert (rate["portal"], rate["response"]) == pytest.approx((made - secreted, slow))


def test_the_mean_subjects_are_the_published_ones() -> None:
    """What follows from their fasting states is what table I says, and a meal of 78 g is what tells them apart."""
    peaks = []
    for published, tolerance in ((NORMAL, 0.001), (WITH_TYPE2, 0.025)):
        who = closed(published)
        assert float(who.kp1) == pytest.approx(published["kp1"], rel=tolerance)
        assert float(who.m6) == pytest.approx(published["m6"], rel=tolerance)
        none = torch.zeros(1).double()
        assert float(resting_under(who, none).glucose(who)) == pytest.approx(published["Gb"])
        levels, secreted = after_a_meal(who, resting_under(who, none), grams=78.0, rows=84)
        peaks.append(float(levels.max()))
        assert 2.0 < float(secreted.max() / who.Sb) < 6.0
    assert 140 < peaks[0] < 170 and 260 < peaks[1] < 310


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rest_is_rest_whatever_is_injected(people: Population, share: float) -> None:
    who, _ = double(people)
    basal = share * people.basal.double()
    body = resting_under(who, basal)
    given = resting(0 * basal, basal / 60 * PMOL_PER_UNIT / who.weight)
    assert float(torch.stack(vector_field(who, 0 * basal, given)(body.amounts.unbind(1))).abs().max()) < 1e-6
    expected = FASTED if share == 1 else who.Gb if share == 0 else None
    if expected is not None:
        assert torch.allclose(body.glucose(who), expected * torch.ones_like(basal), atol=0.5)
    later = body
    for _ in range(96):
        later = advance(who, later, resting(0 * basal, basal / 12))
    assert torch.allclose(later.amounts, body.amounts, rtol=1e-4, atol=1e-4)


def test_the_step_is_short_enough(people: Population) -> None:
    who, body = double(people)
    coarse = fine = body
    worst = 0.0
    for row in range(60):
        meal = people.carbs.double() / 3 * (row == 6)
        given = resting(meal, 0.5 * meal / people.carb_ratio + people.basal.double() / 12)
        coarse, fine = advance(who, coarse, given), advance(who, fine, given, substeps=20)
        worst = max(worst, float((coarse.glucose(who) - fine.glucose(who)).abs().max()))
    assert worst < 0.5


def test_a_meal_raises_glucose_and_secretion_which_comes_back(people: Population) -> None:
    body = resting_under(people.physiology, 0 * people.basal)
    levels, secreted = after_a_meal(people.physiology, body)
    fasting = body.glucose(people.physiology)
    assert (levels.amax(1) > fasting + 30).all()
    assert (secreted.amax(1) > 1.5 * secreted[:, 0]).all()
    assert (secreted[:, -1] < secreted.amax(1)).all()


def test_better_beta_cells_bring_meals_lower(people: Population) -> None:
    who = people.physiology
    peaks = []
    for function in (0.5, 1.0, 2.0):
        better = replace(who, K=function * who.K, beta=function * who.beta)  # type: ignore[attr-defined]
        peaks.append(after_a_meal(better, resting_under(better, 0 * people.basal), rows=48)[0].amax(1))
    assert (peaks[0] > peaks[1] + 2).all() and (peaks[1] > peaks[2] + 2).all()


def test_insulin_lowers_fasting_glucose_and_what_is_made(people: Population) -> None:
    who, courses = people.physiology, []
    for share in (0.0, 0.5, 1.0, 2.0):
        body = resting_under(who, share * people.basal)
        courses.append(torch.stack([body.glucose(who), body.amounts[:, len(STATES)]]))
    assert (torch.stack(courses).diff(dim=0)[:, 0] < -2).all() and (torch.stack(courses).diff(dim=0)[:, 1] <= 0).all()
    assert torch.allclose(insulin_for(who, torch.full_like(people.basal, FASTED)), people.basal, rtol=1e-3)
    assert (insulin_for(who, who.Gb + 20) < 1e-6).all()  # who needs none gets none


def test_almost_no_beta_cells_are_type_1(people: Population) -> None:
    """With next to nothing made and a liver that extracts as theirs, the equations are those of type 1."""
    type1 = sample_population("adult", 4, seed=1)
    ones = torch.ones(4)
    nothing = {name: 1e-9 * ones for name in ("Sb", "K", "alpha", "beta", "m5", "kp4")}
    made = Secreting(**vars(type1.physiology), **nothing, Gb=120 * ones, gamma=0.5 * ones, m6=0.6 * ones)
    body = replace(type1.body, amounts=torch.cat([type1.body.amounts, torch.zeros(4, 2)], 1))
    given = resting(40 * ones, type1.basal / 12)
    plain, other = (advance(who, start, given, substeps=4) for who, start in ((type1.physiology, type1.body), (made, body)))
    assert torch.allclose(plain.amounts, other.amounts[:, :15], rtol=1e-5, atol=1e-4)


def test_a_cohort_is_plausible_and_seeded(people: Population) -> None:
    who, same = people.physiology, sample_population("type2", 10, seed=2)
    assert isinstance(who, Secreting) and people.body.amounts.shape == (10, 17)
    assert torch.equal(people.body.amounts, same.body.amounts) and torch.equal(people.settings, same.settings)
    assert not torch.equal(people.settings, sample_population("type2", 10, seed=3).settings)
    assert people.pens.all() and people.regimen(0).delivery == "pen" and set(people.regimen(0).basal) == {0.0}
    assert people.regimen(3).long_acting == float((24 * people.basal[3]).round())
    slow = 24 * people.basal / who.weight
    assert ((slow > 0.1) & (slow < 1.2)).all() and 0.35 < float(slow.median()) < 0.75  # docs/experiments/virtual-people.md
    assert (who.Gb > 130).all() and 170 < float(who.Gb.median()) < 240
    assert 75 < float(who.weight.median()) < 115 and len(who.beta.unique()) == 10
    assert torch.allclose(people.fasting, torch.full((10,), FASTED), atol=6)  # whole units


def test_a_dose_too_small_is_where_they_begin() -> None:
    well, badly = (sample_population("type2", 6, seed=2, mis_set=mis_set) for mis_set in (0.0, 0.5))
    weak = badly.prescribed[:, 0] < 0.9
    assert weak.any() and (badly.fasting[weak] > well.fasting[weak] + 3).all()
    assert torch.allclose(badly.body.glucose(badly.physiology), badly.fasting)


def test_a_week_is_that_of_the_clinic(people: Population) -> None:
    """Bounds wider than what docs/experiments/virtual-people.md reports."""
    none, basal, boluses = (
        replay(people, named(name), days=4, seed=3).glucose[:, -2 * ROWS :]
        for name in ("no-insulin", "basal-only", "basal-bolus")
    )
    inside = [float(((level >= 70) & (level <= 180)).float().mean()) for level in (none, basal, boluses)]
    assert inside[0] < 0.4 and 0.35 < inside[1] < 0.75 and inside[2] > inside[1] + 0.1
    assert 200 < float(none.mean()) < 290 and 140 < float(basal.mean()) < 210
    assert float((none < 70).float().mean()) < 0.005 and float((basal < 70).float().mean()) < 0.03


def seen(row: int, *readings: float) -> Seen:
    reading = torch.tensor(readings)
    return Seen(row, reading, 0 * reading, 0 * reading, 1e4 + 0 * reading)


def test_titration_raises_holds_and_lowers_the_dose(people: Population) -> None:
    """Three people: high every morning, within the goal, and low once."""
    few, policy, given = people[torch.arange(3)], TreatToTarget(start=0.2), []
    policy.begin(few, 4 * ROWS, torch.Generator().manual_seed(1))
    for row in range(4 * ROWS):
        low = 52.0 if ROWS < row < ROWS + 4 else 110.0
        doses = policy.decide(seen(row, 170.0, 110.0, low))
        assert not doses.bolus.any() and not doses.basal.any()
        if row % ROWS == LONG_ACTING_AT // 5:
            given.append(doses.long_acting)
    start = (0.2 * few.physiology.weight).round()
    assert torch.equal(given[0], start) and torch.equal(given[1], start)
    expected = torch.stack([start[0] + 2, start[1], (0.8 * start[2]).round()])
    assert torch.equal(given[2], expected) and torch.equal(given[3], expected)
    policy.begin(few, ROWS, torch.Generator().manual_seed(1))
    assert not policy._fasting  # of the replay before


def test_titration_ends_at_its_most(people: Population) -> None:
    policy = TreatToTarget(start=0.29, most=0.3, every=1)
    policy.begin(people, 4 * ROWS, torch.Generator().manual_seed(1))
    for row in range(4 * ROWS):
        policy.decide(seen(row, *[200.0] * 10))
    dose = 24 * policy.person.settings[:, 0]
    assert (dose <= 0.3 * people.physiology.weight + 0.51).all() and (dose >= 0.29 * people.physiology.weight - 0.51).all()


def test_titration_brings_a_small_dose_nearer(people: Population) -> None:
    policy = TreatToTarget(start=0.1, every=1, step=4.0)
    lived = replay(people, policy, days=8, seed=6, sensor=Sensor.none())
    mornings = lived.glucose.unflatten(1, (-1, ROWS))[:, :, 71]
    assert float(lived.long_acting[:, -ROWS:].sum()) > 1.5 * float(lived.long_acting[:, :ROWS].sum())
    assert float((mornings[:, -1] - 115).abs().mean()) < float((mornings[:, 2] - 115).abs().mean())


@pytest.mark.parametrize("name", ["behaviour", "titration", "exploration"])
def test_policies_for_everybody_treat_type_2_on_pens(name: str, people: Population) -> None:
    few = people[torch.arange(3)]
    one, same = (replay(few, named(name), days=1, seed=5, life=Life.full(), sensor=Sensor.libre()) for _ in range(2))
    assert torch.equal(one.glucose, same.glucose) and one.glucose.isfinite().all()
    assert not one.basal.any() and one.long_acting.sum(1).any() and one.bolus.any()


def test_policies_that_make_no_sense_are_refused(people: Population) -> None:
    for name in POLICIES:
        refused = {group for group in COHORTS if _refused(name, group)}
        assert refused in (set(), {"type2"}, set(GROUPS)), name
    with pytest.raises(ValueError, match="'pid' is not for type2: it sets the rate of a pump"):
        refuse_for("pid", "type2")
    with pytest.raises(ValueError, match="'basal-only' is not for child: who makes no insulin"):
        refuse_for("basal-only", "child")
    with pytest.raises(ValueError, match="expected people of type 2"):
        replay(sample_population("adult", 1, seed=1, pens=1.0), TreatToTarget(), days=1, seed=1)
    with pytest.raises(ValueError, match="never seen people who make insulin"):
        replay(people, Planner(world=None), days=1, seed=1)  # type: ignore[arg-type]


def _refused(name: str, group: Any) -> bool:
    try:
        refuse_for(name, group)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    ("name", "value"), [("beta", -0.1), ("Sb", float("nan")), ("m6", 1.0), ("gamma", 0.0), ("Gb", float("inf"))]
)
def test_parameters_that_no_person_has_are_named(people: Population, name: str, value: float) -> None:
    broken = getattr(people.physiology, name).clone()
    broken[4] = value
    with pytest.raises(ValueError, match=f"{name} of person 4"):
        replace(people.physiology, **{name: broken})


def test_a_liver_too_fast_for_the_step_is_named(people: Population) -> None:
    people.physiology.refuse_unstable()
    for name, value, said in (("m6", 0.97, "first_pass"), ("gamma", 2.5, "gamma")):
        fast = getattr(people.physiology, name).clone()
        fast[4] = value
        with pytest.raises(ValueError, match=rf"{said} of person 4 is .*, expected at most 2\.2 a minute"):
            replace(people.physiology, **{name: fast}).refuse_unstable()


def test_titration_out_of_range_is_named() -> None:
    for wrong in ({"every": 0}, {"step": -2.0}, {"start": float("nan")}, {"most": 0.0}):
        with pytest.raises(ValueError, match=f"treat-to-target: {next(iter(wrong))} is"):
            TreatToTarget(**wrong)  # type: ignore[arg-type]


def test_type_1_and_type_2_do_not_live_side_by_side(people: Population) -> None:
    with pytest.raises(ValueError, match="type 1 and of type 2"):
        join([people, sample_population("adult", 1, seed=1)])
    assert len(join([people, people])) == 20 and isinstance(join([people, people]).physiology, Secreting)


def test_a_kernel_gets_back_what_was_packed(people: Population) -> None:
    packed = fused.packed(people.physiology)
    assert packed.shape == (41, 10) and fused.packed(sample_population("adult", 2, seed=1).physiology).shape == (32, 2)
    same = fused.unpacked(packed, Secreting)
    assert isinstance(same, Secreting) and torch.equal(same.kp4, people.physiology.kp4)  # type: ignore[attr-defined]
    given = resting(40 * torch.ones(10), people.basal)
    assert torch.equal(advance(same, people.body, given).amounts, advance(people.physiology, people.body, given).amounts)


def test_the_environment_and_branches_take_them(people: Population) -> None:
    few = people[torch.arange(3)]
    lived = replay(few, Behaviour.basal_only(), days=1, seed=7)
    env = ReplayEnv(few, days=1, habits=Behaviour.basal_only())
    infos = env.reset(seed=7)[1]
    for row in range(24):
        *_, infos = env.step(infos["habitual"])
        assert infos["glucose"] == pytest.approx(lived.glucose[:, row].numpy())
    change = replace(Change.none(3), basal=torch.full((3,), 2.0))
    person, row = torch.arange(3), torch.full((3,), 258)
    same, more = (branch(lived, person, row, 24, each)[0] for each in (Change.none(3), change))
    assert torch.equal(same[:, -1], branch(lived, person, row, 24, Change.none(3))[0][:, -1])
    assert (more[:, -1] <= same[:, -1]).all() and (more[:, -1] < same[:, -1]).any()
