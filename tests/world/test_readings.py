"""The posterior by few readings: near the prior with few, near its mode with many, and nobody's depends on who is beside."""

from dataclasses import replace

import numpy as np
import torch

from careplan.world.model import Shape, WorldModel
from careplan.world.personalise import personalise
from tests.therapies.contract import thinning
from tests.therapies.contract.build import recorded

SAMPLED = replace(thinning.THINNING, sampled=True)
COUNT, ROWS, SHAPE = 6, 56, Shape(latent=4, hidden=8, code=9, evidence=2)


def people(seed: int, every: int):
    """Read every so many days."""
    measured = np.zeros((COUNT, ROWS), dtype=bool)
    measured[:, ::every] = True
    noise = np.random.default_rng(seed).normal(0, 0.02, (COUNT, ROWS, 1)).astype(np.float32)
    return recorded(SAMPLED, thinning.people(COUNT, seed), thinning.doses(COUNT, ROWS, seed), measured, noise=noise)


def model() -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(SAMPLED, SHAPE).eval()


def test_what_no_reading_tells_of_stays_as_the_prior_has_it() -> None:
    told, free = slice(0, 1), slice(model().named, SHAPE.code)  # an untrained network hears no free number
    found = personalise(model(), people(1, every=4))
    sample = torch.stack([person.sample for person in found])
    assert sample.shape == (COUNT, 64, SHAPE.code) and torch.isfinite(sample).all()
    assert sample[..., told].std(1).max() < 0.8
    assert (sample[..., told].mean(1) - torch.stack([person.mean[told] for person in found])).abs().max() < 1.2  # it is skewed
    assert 0.85 < sample[..., free].std(1).mean() < 1.15 and sample[..., free].mean((0, 1)).abs().max() < 0.35


def test_a_sample_is_a_patient_s_own() -> None:
    series = people(2, every=7)
    together, alone = personalise(model(), series), personalise(model(), series[2:3])
    torch.testing.assert_close(together[2].sample, alone[0].sample, rtol=1e-3, atol=1e-2)


def test_particles_are_taken_evenly_from_the_sample() -> None:
    person = personalise(model(), people(3, every=14)[:1])[0]
    some = person.particles(16, seed=3)
    assert torch.equal(some, person.particles(16, seed=3)) and not torch.equal(some, person.particles(16, seed=4))
    assert all(bool((person.sample == code).all(1).any()) for code in some)
    assert torch.equal(person.particles(64).sort(0).values, person.sample.sort(0).values)
