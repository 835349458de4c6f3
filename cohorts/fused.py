"""Fused steps: one compiled kernel for a row of everyone's life, instead of the seven hundred small operations of `advance`."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from cohorts.bodies import Body, Equations, Inputs, advance
from cohorts.physiology import Physiology

P = ParamSpec("P")
R = TypeVar("R")


def fused(function: Callable[P, R]) -> Callable[P, R]:
    """`function` compiled whole by `torch.compile`, which takes about a minute, seconds once cached. Where it cannot be compiled,
    for want of a compiler, a warning says so and the function itself is called. Results differ in the last digits, and a second
    number of people compiles once more, for any number.
    """
    compiled: Callable[P, R] | None = torch.compile(function, fullgraph=True)

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal compiled
        if compiled is not None:
            try:
                return compiled(*args, **kwargs)
            except RuntimeError as error:  # a mistake in the arguments is raised again below
                result, compiled = function(*args, **kwargs), None
                warnings.warn(f"{function.__name__} runs uncompiled, and slower: {str(error).splitlines()[0]}", stacklevel=2)
                return result
        return function(*args, **kwargs)

    return call


def packed(who: Equations) -> Tensor:
    """The parameters as one `[32, B]` (of other families another number), in the order of the fields: a compiled loop checks one
    tensor a call, not thirty-two.
    """
    return torch.stack(tuple(vars(who).values()))


@cache
def _unchecked(kind: type[Equations]) -> type[Equations]:
    """These equations without a look at the parameters: checked before they were packed, looked at again every row would wait for
    the device."""
    return type(f"_Packed{kind.__name__}", (kind,), {"__post_init__": lambda self: None})


def unpacked(people: Tensor, kind: type[Equations] = Physiology) -> Equations:
    """The parameters that `packed` made one tensor of."""
    return _unchecked(kind)(*people.unbind())


def stepper(who: Equations) -> Callable[[Body, Inputs], Body]:
    """`advance` for these people, compiled: for a thousand people and more who live many rows."""
    people, step = packed(who), _compiled_row(type(who))

    def advanced(body: Body, given: Inputs) -> Body:
        amounts, *rest = step(people, body.amounts.T.contiguous(), body.meal, body.eating, *vars(given).values())
        return Body(amounts.T, *rest)

    return advanced


@cache
def _compiled_row(kind: type[Equations]) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    packed_kind = _unchecked(kind)

    def _row(people: Tensor, amounts: Tensor, meal: Tensor, eating: Tensor, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        body = advance(packed_kind(*people.unbind()), Body(amounts.T, meal, eating), Inputs(*given))
        return body.amounts.T, body.meal, body.eating

    return fused(_row)
