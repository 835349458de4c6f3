"""Virtual people are distinct, plausible, seeded, and settings that suit them do."""

from dataclasses import replace

import pytest
import torch

from careplan.therapies.glucose.declaration import Group
from cohorts.bodies import advance, resting
from cohorts.policies import Behaviour
from cohorts.population import GROUPS, Population, join, sample_population
from cohorts.replay import replay


@pytest.fixture(scope="module")
def sampled() -> dict[Group, Population]:
    return {group: sample_population(group, 60, seed=2) for group in GROUPS}


@pytest.mark.parametrize("group", GROUPS)
def test_a_fortnight_is_that_of_the_clinic(sampled: dict[Group, Population], group: Group) -> None:
    """Bounds wider than what docs/experiments/virtual-people.md reports of a hundred people over fourteen days."""
    people = sampled[group]
    lived = replay(people, Behaviour(), days=2, seed=3)
    inside = ((lived.glucose >= 70) & (lived.glucose <= 180)).float().mean()
    variation = (lived.glucose.std(1) / lived.glucose.mean(1)).median()
    daily = (lived.bolus.sum(1) / 2 + lived.basal.mean(1) * 24) / people.physiology.weight
    assert 0.60 < float(inside) < 0.88
    assert 0.005 < float((lived.glucose < 70).float().mean()) < 0.06
    assert float((lived.glucose < 54).float().mean()) < 0.015
    assert 0.26 < float(variation) < 0.44
    assert 0.45 < float(daily.median()) < 0.85


def test_groups_differ_as_they_do(sampled: dict[Group, Population]) -> None:
    adult, adolescent, child = (sampled[group] for group in GROUPS)
    needs = [float((who.daily_dose / who.physiology.weight).median()) for who in (adult, adolescent, child)]
    assert needs[1] > max(needs[0], needs[2])  # puberty resists insulin
    assert float(adult.carb_ratio.median()) < float(child.carb_ratio.median())
    assert float(adult.correction_factor.median()) < float(child.correction_factor.median())


def test_people_are_distinct_and_jointly_drawn() -> None:
    people = sample_population("adult", 300, seed=4)
    who = people.physiology
    for name, value in vars(who).items():
        assert len(value.unique()) > 200 or name in ("f", "Fsnc", "ke1", "ke2"), name
    correlation = torch.corrcoef(torch.stack([who.ka1, who.ka2, who.k1, who.k2]).log())
    assert correlation[0, 1] > 0.6 and correlation[2, 3] < -0.2


def test_the_settings_that_suit_bring_a_meal_back() -> None:
    people = sample_population("adolescent", 20, seed=6)
    who, body, meal = people.physiology, people.body, 0.6 * people.physiology.weight
    levels = []
    for row in range(72):
        first = float(row == 0)
        body = advance(who, body, resting(meal * first, people.basal / 12 + meal / people.carb_ratio * first))
        levels.append(body.glucose(who))
    lowest = torch.stack(levels[5:]).amin(0)
    assert torch.allclose(lowest, people.fasting - 15, atol=4.0)
    assert ((people.duration > 2) & (people.duration < 8)).all()


def test_the_same_seed_gives_the_same_people_and_another_does_not() -> None:
    one, same, other = (sample_population("child", 5, seed=seed, mis_set=0.2, pens=0.5) for seed in (9, 9, 10))
    assert torch.equal(one.settings, same.settings) and torch.equal(one.body.amounts, same.body.amounts)
    assert not torch.equal(one.settings, other.settings)
    assert len(set(one.names + other.names)) == 10


def test_mis_set_therapy_is_on_record_and_off_by_default() -> None:
    well, badly = sample_population("adult", 50, seed=1), sample_population("adult", 50, seed=1, mis_set=0.3)
    assert (well.prescribed == 1).all()
    assert torch.equal(well.basal, badly.basal)  # the same people
    assert float(badly.prescribed.log().std()) == pytest.approx(0.3, rel=0.25)
    assert badly.regimen(3).basal[0] == pytest.approx(float(badly.basal[3] * badly.prescribed[3, 0]), abs=0.006)


def test_pens_replace_the_basal_rate() -> None:
    people = sample_population("adult", 12, seed=1, pens=1.0)
    regimen = people.regimen(0)
    assert regimen.delivery == "pen" and set(regimen.basal) == {0.0}
    assert regimen.long_acting == round(24 * float(people.basal[0]))
    lived = replay(people, Behaviour(), days=1, seed=3)
    assert float(((lived.glucose >= 70) & (lived.glucose <= 180)).float().mean()) > 0.4


def test_picking_and_joining_keep_everything() -> None:
    people = sample_population("adult", 6, seed=1, mis_set=0.2)
    picked = people[torch.tensor([4, 1])]
    assert picked.names == (people.names[4], people.names[1])
    whole = join([picked, people[torch.tensor([0])]])
    assert torch.equal(whole.settings, people.settings[torch.tensor([4, 1, 0])])
    assert torch.equal(whole.body.amounts, people.body.amounts[torch.tensor([4, 1, 0])])
    assert whole.regimen(0) == people.regimen(4)


def test_what_no_person_is_like_is_named() -> None:
    people = sample_population("adult", 3, seed=1)
    for name in ("fasting", "basal", "carb_ratio", "correction_factor", "duration", "carbs", "rhythm", "prescribed"):
        for wrong in (-1.0, float("nan"), float("inf")):
            values = getattr(people, name).clone()
            values[1] = wrong
            with pytest.raises(ValueError, match=f"{name} of person 1 is .*{wrong}"):
                replace(people, **{name: values})
        with pytest.raises(ValueError, match=rf"{name} has shape \(2.*\), expected 3 people"):
            replace(people, **{name: getattr(people, name)[:2]})


def test_absurd_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one person"):
        sample_population("adult", 0, seed=1)
    with pytest.raises(ValueError, match="expected one of adult"):
        sample_population("cat", 1, seed=1)  # type: ignore[arg-type]
    for wrong in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="expected a spread"):
            sample_population("adult", 1, seed=1, mis_set=wrong)
        with pytest.raises(ValueError, match="a share from 0 to 1"):
            sample_population("adult", 1, seed=1, pens=wrong)
