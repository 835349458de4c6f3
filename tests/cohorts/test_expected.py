"""What somebody who writes a policy of their own gets wrong first, and what they are told."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from cohorts import BasalBolus, Behaviour, Change, Doses, Population, Replay, Seen, branch, replay, sample_population


@pytest.fixture(scope="module")
def people() -> Population:
    return sample_population("adult", 2, seed=3)


@pytest.fixture(scope="module")
def lived(people: Population) -> Replay:
    return replay(people, BasalBolus(), days=1, seed=4)


class Mine:
    """A policy that returns whatever it was given."""

    name = "mine"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None: ...

    def decide(self, seen: Seen) -> Any:
        return self.answer


NONE = torch.zeros(2)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Behaviour, r"policy is the class Behaviour, expected a policy: Behaviour\(\)"),
        (lambda seen: None, "policy is a function without a `name` in words; a policy has a name, begin"),
        (SimpleNamespace(name="mine"), "policy 'mine' has no method `begin`"),
        (SimpleNamespace(name="mine", begin=print), "policy 'mine' has no method `decide`"),
        ("pid", "policy is the str 'pid' without a `name`"),
        (Mine([1.0, 0.0]), r"mine: what decide returned is a list, expected cohorts\.Doses"),
        (Mine(None), "mine: what decide returned is a NoneType"),
        (Mine(Doses(1.0, NONE, NONE, NONE)), r"mine: basal is the float 1\.0, expected a tensor of shape \(2,\)"),  # type: ignore[arg-type]
        (Mine(Doses(NONE, [1.0, 2.0], NONE, NONE)), r"mine: bolus is a list, expected a tensor of shape \(2,\)"),  # type: ignore[arg-type]
    ],
)
def test_a_policy_that_cannot_decide(people: Population, policy: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        replay(people, policy, days=1, seed=1)


def test_doses_of_another_number_of_people(people: Population) -> None:
    with pytest.raises(ValueError, match=r"mine: basal is a tensor of shape \(3,\), expected a tensor of shape \(2,\)"):
        replay(people, Mine(Doses(*torch.zeros(4, 3))), days=1, seed=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"start": "2026-01-05"}, "start is the str '2026-01-05', expected a pandas Timestamp, such as"),
        ({"days": 1.5}, r"days is the float 1\.5, expected a whole number"),
        ({"days": "3"}, "days is the str '3'"),
        ({"seed": None}, "seed is a NoneType"),
        ({"life": "full"}, "life is the str 'full', expected a Life, a Scenario or None"),
        ({"sensor": "dexcom"}, "sensor is the str 'dexcom', expected a Sensor or None"),
    ],
)
def test_an_argument_of_a_replay_of_another_kind(people: Population, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        replay(people, BasalBolus(), **{"days": 1, "seed": 1, **arguments})


def test_people_of_another_kind() -> None:
    with pytest.raises(TypeError, match="people is a list, expected a Population, as `sample_population` draws"):
        replay(["ann"], BasalBolus(), days=1, seed=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="count is the str '10', expected a whole number"):
        sample_population("adult", "10", seed=1)  # type: ignore[arg-type]


def test_a_branch_of_another_kind(lived: Replay) -> None:
    person, row, change = torch.tensor([0]), torch.tensor([12]), Change.none(1)
    wrong: list[tuple[Any, str]] = [
        (([0], row, 12, change), r"person is a list, expected a tensor \[E\] of whole numbers"),
        ((person, 12, 12, change), "row is the int 12, expected a tensor"),
        ((person, row, 12.0, change), r"rows is the float 12\.0, expected a whole number"),
        ((person, row, 12, 1.5), r"change is the float 1\.5, expected a Change"),
    ]
    for arguments, said in wrong:
        with pytest.raises(TypeError, match=said):
            branch(lived, *arguments)
    with pytest.raises(TypeError, match=r"change: meals is the float 1\.0, expected a tensor of shape \(1,\)"):
        Change(torch.ones(1), torch.ones(1), 1.0, torch.zeros(1))  # type: ignore[arg-type]


def test_whole_numbers_of_other_libraries_are_whole_numbers() -> None:
    count = pd.Series([2])[0]
    assert len(sample_population("adult", count, seed=count)) == 2
