"""The planner in closed loop keeps every hard limit, and where it is not to be trusted people live as they are set."""

from dataclasses import replace

import pytest
import torch

from careplan.studies.closed_loop import Planner
from careplan.therapies.glucose.declaration import LIMITS
from careplan.therapies.glucose.world import open_world
from careplan.world.loaded import World
from careplan.world.model import WorldModel
from cohorts.policies import Behaviour
from cohorts.population import Population, join, sample_population
from cohorts.replay import Replay, replay


@pytest.fixture(scope="module")
def people() -> Population:
    return join([sample_population("adult", 2, 31), sample_population("child", 2, 32, pens=1.0)])


@pytest.fixture(scope="module")
def lived(people: Population) -> Replay:
    return replay(people, Planner(history=2, particles=2, simulations=8), days=1, seed=5)


def test_no_dose_breaks_a_hard_limit(people: Population, lived: Replay) -> None:
    limits = [LIMITS[group] for group in people.groups]
    for person, limit in enumerate(limits):
        given = torch.nonzero(lived.bolus[person] > 0).flatten()
        assert len(given) and float(lived.bolus[person].max()) <= limit.max_dose
        assert int(given.diff().min()) * 5 >= limit.min_spacing - 5, "a bolus in a row is seen half an hour after its beginning"
    assert float(lived.basal[people.pens].abs().max()) == 0
    assert bool((lived.basal[~people.pens] <= 2 * people.settings[~people.pens, :1] + 1e-3).all())


def test_the_same_seed_gives_the_same_doses(people: Population, lived: Replay) -> None:
    again = replay(people, Planner(history=2, particles=2, simulations=8), days=1, seed=5)
    assert torch.equal(lived.bolus, again.bolus) and torch.equal(lived.glucose, again.glucose)


def test_a_model_that_answers_nonsense_leaves_basal_bolus(people: Population) -> None:
    shipped = open_world()
    broken = WorldModel(shipped.model.therapy, shipped.model.shape)
    broken.load_state_dict(shipped.model.state_dict())
    planner = Planner(world=World(broken.eval(), shipped.card, shipped.reference), history=2, particles=2, simulations=8)
    broken_now = replay(people, _Broken(planner), days=1, seed=5)
    as_set = replay(people, _Seeded(Behaviour.as_set()), days=1, seed=5)
    assert torch.equal(broken_now.bolus, as_set.bolus)
    assert torch.allclose(broken_now.basal, as_set.basal, atol=0.03)


class _Broken:
    """A planner whose model says NaN from the first row on."""

    name = "broken"

    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        self.planner.begin(people, rows, generator)
        with torch.no_grad():
            self.planner.world.model.dynamics.planned.out.bias.fill_(torch.nan)

    def decide(self, seen):
        return self.planner.decide(seen)


class _Seeded:
    """Basal-bolus that draws from its generator what a planner draws."""

    name = "seeded"

    def __init__(self, policy: Behaviour) -> None:
        self.policy = policy

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        self.policy.begin(people, rows, generator)
        torch.randint(2**31 - 1, (1,), generator=generator)

    def decide(self, seen):
        return replace(self.policy.decide(seen))
