"""The guardrails: pure, and used three times: at every node of a search, on its answer, and when a review is signed or exported.

`breaches` is the vectorised form that a search masks with; `guard_doses` and `guard_line` check an answer again, in plain
Python and by separate code. A number that is missing or absurd closes the gate: comparisons are written so that NaN fails them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from careplan.planning.actions import NO_CHANGE, added, dose_channels
from careplan.therapy import Limits, LineLimits, Therapy

TOLERANCE = 1e-4  # in a dose's unit: float32 against the exact sum


@dataclass(frozen=True, kw_only=True, eq=False)
class Bounds:
    """The limits of B patients, each `[B]`; NaN where a limit is missing, which forbids all that it limits."""

    max_dose: Tensor
    max_on_board: Tensor
    min_spacing: Tensor
    floor: Tensor
    max_rate: Tensor
    max_rate_ratio: Tensor


def bounds_of(limits: Sequence[Limits], device: torch.device | str = "cpu") -> Bounds:
    """Limits of B patients as tensors; `None` becomes NaN."""
    known = {item.name: [getattr(limit, item.name) for limit in limits] for item in fields(Bounds)}
    columns = {name: [math.nan if value is None else float(value) for value in values] for name, values in known.items()}
    return Bounds(**{name: torch.tensor(column, device=device) for name, column in columns.items()})


@dataclass(frozen=True, kw_only=True, eq=False)
class DoseContext:
    """What is known of B patients at the moment of planning, D decisions ahead. NaN is unknown, and closes the gate.

    level `[B]`: the last measurement, level_age `[B]` minutes ago. baseline `[B, D]`: the standing hourly rate at each decision.
    on_board `[B, D]`: of what was given before now (`actions.carried`). since_last `[B]`: minutes since an impulse, inf if none.
    remaining `[D]`: the share of a dose on board after 0, 1, .. intervals (`actions.remaining`).
    """

    level: Tensor
    level_age: Tensor
    baseline: Tensor
    on_board: Tensor
    since_last: Tensor
    remaining: Tensor


def closed(context: DoseContext, limits: Sequence[Limits], therapy: Therapy, *, max_age: float = 15.0) -> list[list[str]]:
    """Why each patient's gate is closed, so that only no change may be answered; empty where it is open."""
    regulated, (_, rate) = therapy.channel(therapy.regulated), dose_channels(therapy)
    fastest = math.inf if rate is None else rate.high
    told: list[list[str]] = []
    rows = zip(
        *(part.tolist() for part in (context.level, context.level_age, context.baseline, context.on_board, context.since_last)),
        limits,
        strict=True,
    )
    for level, age, baseline, on_board, since, limit in rows:
        reasons = []
        if not regulated.low <= level <= regulated.high:
            reasons.append(f"{regulated.name}: {level:g} {regulated.unit}, expected {regulated.low:g} to {regulated.high:g}")
        if not 0.0 <= age <= max_age:
            reasons.append(f"{regulated.name}: measured {age:g} min ago, expected at most {max_age:g}")
        if not all(0.0 <= value <= fastest for value in baseline):
            reasons.append(f"baseline rate: {baseline}, expected 0 to {fastest:g}")
        if not all(0.0 <= value < math.inf for value in on_board):
            reasons.append("doses of the last hours are unknown, so what is on board is unknown")
        if not since >= 0.0:
            reasons.append("the time of the last dose is unknown")
        for item in fields(Bounds):
            value = getattr(limit, item.name)
            if value is None or not 0.0 <= value < math.inf:
                reasons.append(f"limit {item.name}: {value}, expected a number from 0 up")
        if limit.floor is not None and not regulated.low < limit.floor < regulated.high:
            reasons.append(
                f"limit floor: {limit.floor:g}, expected between {regulated.low:g} and {regulated.high:g} {regulated.unit}"
            )
        told.append(reasons)
    return told


def breaches(
    bounds: Bounds, *, on_board: Tensor, since_last: Tensor, level: Tensor, baseline: Tensor, actions: Tensor, interval: float
) -> dict[str, Tensor]:
    """Which limit each candidate would break, `[B, W, K]` by name, for actions `[B, W, K, 2]` and `[B, W]` of everything else.

    level: what is held against the floor, measured or predicted. Only what gives more treatment can break the limits on giving
    it, so a lower rate stays possible at a low level or a high on-board amount.
    """
    limit = {item.name: getattr(bounds, item.name)[:, None, None] for item in fields(bounds)}
    standing, since, now, held = (part.unsqueeze(-1) for part in (baseline, since_last, level, on_board))
    impulse, multiple = actions[..., 0], actions[..., 1]
    gives, faster = impulse > 0.0, multiple > 1.0
    after = held.clamp(min=0.0) + added(actions, standing, interval)
    return {
        "max_dose": ~((impulse >= 0.0) & (impulse <= limit["max_dose"] + TOLERANCE)),
        "max_on_board": (gives | faster) & ~(after <= limit["max_on_board"] + TOLERANCE),
        "min_spacing": gives & ~(since >= limit["min_spacing"]),
        "floor": (gives | faster) & ~(now >= limit["floor"]),
        "max_rate": ~((multiple >= 0.0) & ((multiple <= 1.0) | (multiple * standing <= limit["max_rate"] + TOLERANCE))),
        "max_rate_ratio": faster & ~(multiple <= limit["max_rate_ratio"]),
    }


def allowed(broken: dict[str, Tensor], actions: Tensor, gate: Tensor) -> Tensor:
    """What may be chosen `[B, W, K]`: what breaks nothing behind an open gate `[B]`, and no change always."""
    unchanged = (actions[..., 0] == NO_CHANGE[0]) & (actions[..., 1] == NO_CHANGE[1])
    free = ~torch.stack(list(broken.values())).any(0)
    return (free & gate[:, None, None]) | unchanged


@dataclass(frozen=True)
class Verdict:
    """Whether an answer may leave: the limits it breaks, how, and what needs a typed reason although it may."""

    allowed: bool
    limits: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


def guard_doses(
    actions: Sequence[Sequence[float]],
    limits: Limits,
    *,
    on_board: Sequence[float],
    since_last: float,
    levels: Sequence[float],
    baseline: Sequence[float],
    remaining: Sequence[float],
    interval: float,
) -> Verdict:
    """One patient's plan `[D, 2]` against the hard limits, decision by decision.

    on_board, baseline, levels: `[D]` from earlier doses, standing rate, and level held against the floor at each decision.
    """
    reasons: list[str] = []
    limits_broken: list[str] = []
    given: list[float] = []
    for step, (impulse, multiple) in enumerate(actions):
        carried = max(0.0, on_board[step]) + sum(amount * remaining[step - past] for past, amount in enumerate(given))
        extra = 0.0
        if (impulse, multiple) != NO_CHANGE:
            extra = impulse + max(0.0, multiple - 1.0) * baseline[step] * interval / 60.0
            checks = {"max_dose": 0.0 <= impulse <= limits.max_dose + 2 * TOLERANCE, "lowest rate": multiple >= 0.0}
            if multiple > 1.0:
                checks["max_rate"] = multiple * baseline[step] <= limits.max_rate + 2 * TOLERANCE
                checks["max_rate_ratio"] = multiple <= limits.max_rate_ratio
            if impulse > 0.0:
                checks["min_spacing"] = since_last >= limits.min_spacing
            if impulse > 0.0 or multiple > 1.0:
                checks["max_on_board"] = carried + extra <= limits.max_on_board + 2 * TOLERANCE
                checks["floor"] = levels[step] >= limits.floor
            failed = [name for name, fine in checks.items() if not fine]
            limits_broken += failed
            reasons += [
                f"{name}: impulse {impulse:g} and {multiple:g} times the rate after {step * interval:g} min, "
                f"with {carried:g} on board and a level of {levels[step]:g}"
                for name in failed
            ]
        given.append(extra)
        since_last = interval if impulse > 0.0 else since_last + interval
    return Verdict(not reasons, tuple(dict.fromkeys(limits_broken)), tuple(reasons))


@dataclass(frozen=True, kw_only=True)
class RegimenLine:
    """One setting of a regimen in one part of the day.

    current: what is prescribed now; original: what caps count from (a pump's own setting; `current` when the same).
    direction: +1 where a larger value means more treatment, -1 where less. increment: what the value is rounded to.
    days: of evidence. breach: the low-level target is broken in this part of the day; unknown, `None`, allows neither what a
    target that is met allows nor what a broken one does. danger: it is broken by far. held: why nothing may give more here
    although the target is met; empty where nothing holds.
    """

    key: str
    current: float
    direction: int
    limits: LineLimits
    increment: float
    days: float
    breach: bool | None
    danger: bool = False
    held: str = ""
    original: float | None = None

    @property
    def kind(self) -> str:
        """The setting, whatever the part of the day: what stands before the "@" of the key."""
        return self.key.partition("@")[0]


def guard_line(line: RegimenLine, proposed: float, *, least_days: float = 7.0) -> Verdict:
    """One proposed value against absolute limits, caps on change, evidence and the rule on lows."""
    if proposed == line.current:
        return Verdict(True)
    limit, original = line.limits, line.current if line.original is None else line.original
    less = (proposed - line.current) * line.direction < 0.0
    rescue = line.breach is True and less
    against = limit.against_danger if line.danger else limit.against_harm
    cap = max(limit.per_visit, against) if rescue else limit.per_visit
    low = min(limit.low_ratio, 1.0 - cap) if rescue else limit.low_ratio
    high = max(limit.high_ratio, 1.0 + cap) if rescue else limit.high_ratio
    checks = {
        f"current value {line.current:g}, expected above 0": 0.0 < line.current < math.inf,
        f"original value {original:g}, expected above 0": 0.0 < original < math.inf,
        f"{line.days:g} days of evidence, {least_days:g} needed": line.days >= least_days,
        f"beyond the absolute limits {limit.lowest:g} to {limit.highest:g}": limit.lowest <= proposed <= limit.highest,
        f"more than {cap:.0%} in one visit": abs(proposed - line.current) <= cap * line.current + 1e-6,
        f"beyond {low:g} to {high:g} times the original {original:g}": (
            low * original - 1e-6 <= proposed <= high * original + 1e-6
        ),
    }
    if not less:
        checks["more treatment where the low-level target is broken or unknown"] = line.breach is False
        checks[f"more treatment: {line.held}"] = not line.held
    failed = tuple(what for what, fine in checks.items() if not fine)
    reasons = tuple(f"{line.key}: {proposed:g} {what}" for what in failed)
    inside = limit.low <= proposed <= limit.high
    advice = () if inside else (f"{line.key}: {proposed:g} is outside the recommended {limit.low:g} to {limit.high:g}",)
    return Verdict(not failed, failed, reasons, advice)
