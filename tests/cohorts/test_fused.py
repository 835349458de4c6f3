"""A compiled step is the step; without a compiler it still is, and says so."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from cohorts import fused
from cohorts.bodies import Inputs, advance
from cohorts.policies import Behaviour
from cohorts.population import Cohort, Population, sample_population
from cohorts.replay import replay


@pytest.fixture(scope="module")
def people() -> Population:
    return sample_population("child", 5, seed=2)


@pytest.fixture(autouse=True)
def no_kernel_is_kept() -> None:
    fused._compiled_row.cache_clear()


@pytest.mark.filterwarnings("error:_row runs uncompiled")
@pytest.mark.parametrize("group", ["child", "type2"])
def test_the_compiled_step_is_the_step(group: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    people = sample_population(group, 5, seed=2)
    # Traced whole, as for a kernel, but run operation by operation: the same bits in a second instead of a minute.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    step, body, same = fused.stepper(people.physiology), people.body, people.body
    for row in range(4):
        numbers = torch.rand(6, len(people), generator=torch.Generator().manual_seed(row))
        given = Inputs(40 * numbers[0] * (row == 1), *numbers[1:])
        body, same = advance(people.physiology, body, given), step(same, given)
    for mine, other in zip(vars(body).values(), vars(same).values(), strict=True):
        assert torch.equal(mine, other)
    assert not torch.equal(body.amounts, people.body.amounts)


def test_a_replay_without_a_compiler_says_so_and_goes_on(people: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(function: Callable[..., Any], **_: object) -> Callable[..., Any]:
        def call(*_: object) -> None:
            raise RuntimeError("No working C++ compiler found")

        return call

    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.warns(UserWarning, match="runs uncompiled, and slower: No working"):
        lived = replay(people, Behaviour(), days=1, seed=3, fuse=True)
    assert torch.equal(lived.glucose, replay(people, Behaviour(), days=1, seed=3).glucose)


def test_what_is_packed_is_unpacked(people: Population) -> None:
    who = people.physiology
    for name, value in vars(fused.unpacked(fused.packed(who))).items():
        assert torch.equal(value, getattr(who, name)), name


def test_a_mistake_is_raised_as_it_is_without_compiling(people: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    step = fused.stepper(people.physiology)
    numbers = torch.rand(6, len(people) + 1)
    with pytest.raises(RuntimeError, match="must match the size"):
        step(people.body, Inputs(*numbers))
