"""What is computed does not depend on how many threads there are, and none of them fails."""

import torch

from careplan.studies.effects import cohort
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.weights_folder import WEIGHTS
from careplan.world.model import load_model
from careplan.world.personalise import personalise
from cohorts.policies import Behaviour
from cohorts.replay import replay


def test_a_personalisation_is_the_same_on_one_thread_and_on_two() -> None:
    people, model, before = cohort(1, 9001), load_model(GLUCOSE, WEIGHTS), torch.get_num_threads()
    lived = replay(people, Behaviour(), days=7, seed=902)
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(personalise(model, [lived.series(index) for index in range(len(people))], windows=24, iterations=2))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.mean, other.mean, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(one.correction, other.correction, atol=1e-3, rtol=1e-2)
