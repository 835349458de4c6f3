"""What public functions of virtual people expect, said before anything is lived: a wrong kind of argument is a `TypeError`."""

from typing import Any

import torch
from torch import Tensor


def is_a(what: str, value: Any, kind: type | tuple[type, ...], expected: str) -> None:
    """Raises `TypeError`, "replay: people is a list, expected a Population", where `value` is not of the kind."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{what} is {said(value)}, expected {expected}")


def tensors(what: str, values: dict[str, Any], shape: torch.Size | tuple[int, ...], kind: str = "") -> None:
    """Raises `TypeError` for what is no tensor and `ValueError` for a tensor of another shape, by name."""
    for name, value in values.items():
        expected = f"a {kind}tensor of shape {tuple(shape)}"
        if not isinstance(value, Tensor):
            raise TypeError(f"{what}: {name} is {said(value)}, expected {expected}")
        if value.shape != shape:
            raise ValueError(f"{what}: {name} is a tensor of shape {tuple(value.shape)}, expected {expected}")


def policy(value: Any) -> None:
    """Raises `TypeError` for what cannot decide: a class instead of a policy, or one without a name or a method."""
    if isinstance(value, type):
        raise TypeError(f"policy is the class {value.__name__}, expected a policy: {value.__name__}()")
    expected = "a policy has a name, begin(people, rows, generator) and decide(seen) -> Doses: see cohorts.Policy"
    if not isinstance(getattr(value, "name", None), str):
        raise TypeError(f"policy is {said(value)} without a `name` in words; {expected}")
    for method in ("begin", "decide"):
        if not callable(getattr(value, method, None)):
            raise TypeError(f"policy {value.name!r} has no method `{method}`; {expected}")


def said(value: Any) -> str:
    """ "a list", "an int", "the str 'monday'"."""
    kind = type(value).__name__
    if isinstance(value, str | int | float):
        return f"the {kind} {value!r}"
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"
