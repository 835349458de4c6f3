"""The futures of courses under weekly doses: particles of each patient's posterior, rolled out by the world model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.series import PatientSeries, windows
from careplan.therapies.warfarin.declaration import WARFARIN
from careplan.world.dynamics import State
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation
from careplan.world.question import Question

PARTICLES = 24


@dataclass(frozen=True, eq=False)
class Courses:
    """B patients of P particles each, on the evening after the last row of their recordings.

    state, usual, code: of the B P particles. drugs `[B, C]`: the last row, whose other drugs go on. wander `[P]`: at how many
    standard deviations of what nobody foresees each particle goes; drift: that deviation after each day, scaled, `[D]`.
    """

    model: WorldModel
    state: State
    usual: Tensor
    code: Tensor
    drugs: Tensor
    wander: Tensor
    drift: Tensor

    def __len__(self) -> int:
        return len(self.drugs)

    @torch.no_grad()
    def levels(self, doses: Tensor) -> Tensor:
        """Mg on each evening `[B, N, D]` -> the INR in the mornings after, `[B, N, P, D]`."""
        patients, options, days = doses.shape
        particles = len(self.wander)
        index = torch.arange(patients * particles).unflatten(0, (patients, 1, particles)).expand(-1, options, -1).flatten()
        values = self.drugs[:, None, None, None].expand(-1, options, particles, days, -1).clone()
        values[..., WARFARIN.index("warfarin")] = doses.unsqueeze(2)
        values = values.flatten(0, 2)
        question = Question.plan(values, torch.ones_like(values, dtype=torch.bool), self.usual[index], self.code[index])
        scaled = self.model.rollout(self.state.chosen(index), question).levels[:, 1:, 0]
        scaled = scaled.unflatten(0, (patients, options, particles)) + self.wander[:, None] * self.drift[:days]
        return self.model.natural_of(0, scaled)


@torch.no_grad()
def courses_of(
    model: WorldModel,
    recordings: Sequence[PatientSeries],
    people: Sequence[Personalisation],
    *,
    particles: int = PARTICLES,
    seed: int = 0,
) -> Courses:
    """The courses of patients, whose state each particle infers from the readings by its own code."""
    context = model.shape.context
    past = [windows(series, [len(series)], context) for series in recordings]
    window = type(past[0])(*(torch.cat([getattr(part, name) for part in past]) for name in ("values", "mask", "minute")))
    usual = torch.stack([person.usual for person in people])
    z = model.encode(window, usual)[:, -1]
    code = torch.cat([person.particles(particles, seed=seed) for person in people])
    index = torch.arange(len(people)).repeat_interleave(particles)
    wide = type(window)(window.values[index], window.mask[index], window.minute[index])
    state = model.state(z[index], wide, usual[index], code)
    normal = _scores(particles)
    generator = torch.Generator().manual_seed(seed + 1)
    shuffled = normal[torch.randperm(particles, generator=generator)]
    state = State(
        state.z,
        model.bounded(state.level + state.doubt * shuffled.repeat(len(people)).unsqueeze(1)),
        state.pools,
        state.minute,
        state.trend,
        torch.zeros_like(state.doubt),
    )
    drugs = torch.stack([torch.from_numpy(series.values[-1]) for series in recordings])
    wander = normal[torch.randperm(particles, generator=generator)]
    return Courses(model, state, usual[index], code, drugs, wander, _drift(model))


def _scores(count: int) -> Tensor:
    """Evenly spaced quantiles of the standard normal, `[P]`."""
    return torch.special.ndtri((torch.arange(count) + 0.5) / count)


def _drift(model: WorldModel, days: int = 90) -> Tensor:
    """How far an INR wanders from what is foreseen in so many days, scaled: the filter's process, which the return bounds."""
    if model.filter is None:
        return torch.zeros(days)
    clock = WARFARIN.clock
    grows = float((2 * model.filter.log_process).exp()[0]) * clock.interval / clock.pace
    kept = torch.exp(torch.tensor(-2.0 * clock.interval / clock.pace * WARFARIN.outputs[0].returns))
    return torch.stack([grows * (1 - kept**day) / (1 - kept) for day in range(1, days + 1)]).sqrt()
