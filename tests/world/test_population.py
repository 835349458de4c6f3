"""What is estimated of a population: how far levels wander and people differ."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from careplan.series import PatientSeries
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.world.absorption import Layout
from careplan.world.corpus import stranger
from careplan.world.model import Shape, WorldModel
from careplan.world.personalise import personalise
from careplan.world.population import COURSE, STRENGTHS, among_bodies, populate
from tests.therapies.contract import thinning
from tests.therapies.contract.build import recorded

COUNT, ROWS = 24, 56


def people(wander: float, seed: int) -> list[PatientSeries]:
    """Of equal strength, whose levels wander by so much a day in the logarithm, read every day."""
    random = np.random.default_rng(seed)
    found = thinning.people(COUNT, seed)
    doses = thinning.doses(COUNT, ROWS, seed)
    kept = 1.0 - thinning.RETURNS
    walk = np.zeros((COUNT, ROWS, 1), np.float32)
    for row in range(1, ROWS):
        walk[:, row] = kept * walk[:, row - 1] + random.normal(0, wander, (COUNT, 1))
    noise = walk + random.normal(0, 0.03, walk.shape)
    measured = np.ones((COUNT, ROWS), dtype=bool)
    return recorded(thinning.THINNING, found, doses, measured, noise=noise.astype(np.float32))


def test_levels_that_wander_more_are_found_to_wander_more() -> None:
    found = []
    for wander in (0.01, 0.12):
        torch.manual_seed(0)
        model = WorldModel(thinning.THINNING, Shape(latent=4, hidden=8, code=9, evidence=2))
        populate(model, people(wander, 1), rounds=2)
        assert model.filter is not None
        found.append(float(model.filter.log_process.detach().exp()[0]) * thinning.THINNING.channels[0].scale)
    assert found[1] > 1.8 * found[0] and 0.06 < found[1] < 0.24, found


def test_the_mean_is_the_population_s() -> None:
    torch.manual_seed(0)
    model = WorldModel(thinning.THINNING, Shape(latent=4, hidden=8, code=9, evidence=2))
    series = people(0.02, 2)
    before = torch.stack([person.mean for person in personalise(model, series)])[:, 0].mean()
    populate(model, series, rounds=2)
    shift = float(model.habits.bias.detach()[0])
    assert shift * float(before) > 0 and abs(shift) > 0.5 * abs(float(before)), (shift, before)


def test_what_a_fact_tells_of_people_is_found() -> None:
    torch.manual_seed(0)
    model = WorldModel(thinning.THINNING, Shape(latent=4, hidden=8, code=9, evidence=2))
    populate(model, [one for seed in (3, 4) for one in people(0.02, seed)], rounds=2)
    one = people(0.02, 3)[0]
    usual = torch.stack([stranger(replace(one, facts={"age": 60.0, "gene": gene})) for gene in ("slow", "usual", "fast")])
    strength = model.typical(usual)[:, 0].tolist()
    truth = 2 * math.log(1.5 / 0.65)  # the code holds twice the logarithm of a strength
    assert strength[0] > strength[1] > strength[2] and strength[0] - strength[2] > 0.5 * truth


def test_nobody_says_nothing_of_a_population() -> None:
    model = WorldModel(thinning.THINNING, Shape(latent=4, hidden=8, code=9, evidence=2))
    with pytest.raises(ValueError, match="no recording to estimate the population from"):
        populate(model, [])


def test_bodies_of_any_kind_differ_further_than_those_of_one_family_and_as_alike() -> None:
    layout = Layout(GLUCOSE, own_structure=False)
    root = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    one = root @ root.T
    wide = among_bodies(layout, one)
    further = (wide.diagonal() / one.diagonal()).sqrt()
    expected = torch.tensor([STRENGTHS] * 2 + [COURSE] * 4 + [1.0] * 2)
    torch.testing.assert_close(further, expected)
    alike = [each / torch.outer(each.diagonal(), each.diagonal()).sqrt() for each in (one, wide)]
    torch.testing.assert_close(*alike)
