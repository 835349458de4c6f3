"""Fused steps: one compiled kernel for a row of everyone's life, instead of the seven hundred small operations of `advance`."""

import warnings
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from cohorts.physiology import Body, Inputs, Physiology, Secreting, advance

TYPE1 = len(fields(Physiology))  # parameters; who secretes has more
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


def packed(who: Physiology) -> Tensor:
    """The parameters as one `[32, B]` (`[41, B]` of people who secrete), in the order of the fields: a compiled loop checks one
    tensor a call, not thirty-two.
    """
    return torch.stack(tuple(vars(who).values()))


class _Packed(Physiology):
    """Checked before it was packed: looked at again, every row would wait for the device."""

    def __post_init__(self) -> None:
        pass


class _PackedSecreting(Secreting):
    __post_init__ = _Packed.__post_init__


def unpacked(people: Tensor) -> Physiology:
    """The parameters that `packed` made one tensor of."""
    return (_Packed if len(people) == TYPE1 else _PackedSecreting)(*people.unbind())


def stepper(who: Physiology) -> Callable[[Body, Inputs], Body]:
    """`advance` for these people, compiled: for a thousand people and more who live many rows."""
    people, step = packed(who), _compiled_row()

    def advanced(body: Body, given: Inputs) -> Body:
        amounts, *rest = step(people, body.amounts.T.contiguous(), body.meal, body.eating, *vars(given).values())
        return Body(amounts.T, *rest)

    return advanced


@cache
def _compiled_row() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    return fused(_row)


def _row(people: Tensor, amounts: Tensor, meal: Tensor, eating: Tensor, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    body = advance(unpacked(people), Body(amounts.T, meal, eating), Inputs(*given))
    return body.amounts.T, body.meal, body.eating
