"""Candidate doses, and what is on board of those given: an action is `(impulse, multiple of the baseline rate)`."""

import math

import torch
from torch import Tensor

from careplan.minutes import HOUR
from careplan.rules import MULTIPLES, SHARES, Remains
from careplan.therapy import Channel, Therapy

NO_CHANGE = (0.0, 1.0)


def dose_channels(therapy: Therapy) -> tuple[Channel, Channel | None]:
    """The impulse that a plan gives and the rate that it scales (`None` without one): the therapy's first action of each form.
    Raises `ValueError` where no action is an impulse.
    """
    forms = {form: [channel for channel in therapy.of("action") if channel.form == form] for form in ("impulse", "rate")}
    if not forms["impulse"]:
        raise ValueError(f"{therapy.name}: no action is an impulse, so there is no dose to plan")
    return forms["impulse"][0], next(iter(forms["rate"]), None)


def dose_table(
    daily: Tensor, increment: Tensor, adjustable: Tensor, *, shares: tuple[float, ...] = SHARES
) -> tuple[Tensor, Tensor]:
    """Candidates of B patients `[B, K, 2]` and which of them exist `[B, K]`. Candidate 0 changes nothing.

    daily: `[B]` a day's treatment. increment: `[B]` what the patient can deliver; impulses are rounded down to it.
    adjustable: `[B]` bool, whether the rate can be changed for a while (a pump can, a pen cannot).
    Impulses come with the rate as it stands and other rates without an impulse; sequences combine them. shares: of a day, that
    impulses are; of equal impulses the first exists.
    """
    share, step = torch.tensor(shares, dtype=daily.dtype, device=daily.device), increment.unsqueeze(1)
    impulse = torch.floor(daily.unsqueeze(1) * share / step + 1e-4) * step
    repeated = (impulse.unsqueeze(2) == impulse.unsqueeze(1)).tril(-1).any(2)
    multiple = torch.tensor(MULTIPLES, dtype=daily.dtype, device=daily.device).expand(len(daily), -1)
    unchanged = torch.tensor([NO_CHANGE], dtype=daily.dtype, device=daily.device).expand(len(daily), 1, 2)
    doses = torch.stack([impulse, torch.ones_like(impulse)], -1)
    rates = torch.stack([torch.zeros_like(multiple), multiple], -1)
    always = torch.ones_like(unchanged[..., 0], dtype=torch.bool)
    exists = torch.cat([always, (impulse > 0) & ~repeated, adjustable.unsqueeze(1).expand_as(multiple)], dim=1)
    return torch.cat([unchanged, doses, rates], dim=1), exists


def added(action: Tensor, baseline: Tensor, interval: float) -> Tensor:
    """The amount an action `[..., 2]` gives above a baseline rate an hour `[...]` within an interval of minutes; never below 0.

    A lower rate counts as 0: an amount that was withheld does not make room for a dose.
    """
    return action[..., 0] + (action[..., 1] - 1.0).clamp(min=0.0) * baseline * (interval / HOUR)


def remaining(minutes: Tensor, remains: Remains) -> Tensor:
    """The fraction of an impulse still on board after `minutes` `[...]`: the exponential model of LoopKit and oref0.

    Args:
        minutes: Since the impulse, `[...]`.
        remains: The peak of its activity and how long it lasts.

    Returns:
        `[...]` between 0 and 1.

    Raises:
        ValueError: The peak of its activity is not in the first half of the duration.

    >>> [round(left, 2) for left in remaining(torch.tensor([0.0, 60.0, 360.0]), Remains(peak=75.0, duration=360.0)).tolist()]
    [1.0, 0.78, 0.0]
    """
    peak, duration = remains.peak, remains.duration
    if not 0.0 < 2.0 * peak < duration:
        raise ValueError(f"remaining: peak {peak} min, expected within the first half of the duration {duration} min")
    tau = peak * (1.0 - peak / duration) / (1.0 - 2.0 * peak / duration)
    a = 2.0 * tau / duration
    scale = 1.0 / (1.0 - a + (1.0 + a) * math.exp(-duration / tau))
    t = minutes.clamp(0.0, duration)
    shape = (t**2 / (tau * duration * (1.0 - a)) - t / tau - 1.0) * torch.exp(-t / tau) + 1.0
    return (1.0 - scale * (1.0 - a) * shape).clamp(0.0, 1.0)


def carried(history: Tensor, remains: Remains, *, step: float, interval: float, decisions: int) -> Tensor:
    """On board at each decision of what was given before now: amounts above baseline `[B, H]`, newest last -> `[B, decisions]`.

    The newest step counts as just given. NaN, an unknown amount, makes the patient's answer NaN: nothing may be changed.
    """
    age = torch.arange(history.shape[1] - 1, -1, -1, dtype=history.dtype, device=history.device) * step
    ahead = torch.arange(decisions, dtype=history.dtype, device=history.device) * interval
    left = remaining(age.unsqueeze(1) + ahead, remains)
    return history.clamp(min=0.0) @ left
