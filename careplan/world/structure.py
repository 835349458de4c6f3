"""Turns a model with one body structure for everybody into one in which each person has a structure of their own."""

from dataclasses import replace

import torch
from torch import Tensor

from careplan.world.absorption import STRUCTURE
from careplan.world.encoder import places
from careplan.world.model import WorldModel


def with_structure(model: WorldModel) -> WorldModel:
    """The same weights with `STRUCTURE` more named numbers of the code: 0 in whom nothing is known, who is predicted as before.
    The number of the return is half of what it was, as it stands for the whole logarithm (`absorption.STRUCTURE`).

    Raises:
        ValueError: The model is structured already.
    """
    if model.shape.structure:
        raise ValueError("the structure of a body is each person's own in this model already")
    place, returning, clock = model.named, model.layout.returning, places(model.therapy.clock.cycle)
    moved = slice(clock + returning.start, clock + returning.stop)
    wide = WorldModel(model.therapy, replace(model.shape, code=model.shape.code + STRUCTURE, structure=True))
    per_code = {"habits.weight", "habits.bias", "code_covariance"}
    weights = {}
    for name, tensor in model.state_dict().items():
        if name in per_code:  # a row for each number of the code
            tensor = _inserted(tensor, place, 0)
            tensor[returning] *= 0.5
        if name == "code_covariance":
            tensor = _inserted(tensor, place, 1)
            tensor[:, returning] *= 0.5
            tensor += torch.eye(len(tensor))[place : place + STRUCTURE].sum(0).diag()
        elif name.startswith("dynamics") and name.endswith(("modulate.weight", "situation.weight", "cause.weight")):
            tensor = _inserted(tensor, clock + place, 1)
            tensor[:, moved] *= 2.0
        weights[name] = tensor
    wide.load_state_dict(weights)
    return wide


def _inserted(tensor: Tensor, place: int, dim: int) -> Tensor:
    """A copy with `STRUCTURE` zeros before `place` of a dimension."""
    before, after = tensor.split([place, tensor.shape[dim] - place], dim)
    none = torch.zeros_like(tensor.narrow(dim, 0, 1)).repeat_interleave(STRUCTURE, dim)
    return torch.cat([before, none, after], dim)
