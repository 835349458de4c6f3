"""The guardrails: pure, and used at every node of a search, on its answer, and on every setting that is signed or exported.

`breaches` is the vectorised form that a search masks with; `guard_doses` and `guard_line` check an answer again, in plain
Python and by separate code. Where a number is missing or absurd nothing may be changed: comparisons are written so that NaN
fails them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from careplan.breach import Breach
from careplan.minutes import HOUR
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
    """What is known of B patients at the moment of planning, D decisions ahead. NaN is unknown, and then nothing may be
    changed.

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


def reasons_to_change_nothing(
    context: DoseContext, limits: Sequence[Limits], therapy: Therapy, *, max_age: float | None = None
) -> list[list[Breach]]:
    """Why only no change may be answered, for each patient; empty where changes may be."""
    max_age = therapy.slowest if max_age is None else max_age
    regulated, (_, rate) = therapy.channel(therapy.regulated), dose_channels(therapy)
    fastest = math.inf if rate is None else rate.high
    found: list[list[Breach]] = []
    rows = zip(
        *(part.tolist() for part in (context.level, context.level_age, context.baseline, context.on_board, context.since_last)),
        limits,
        strict=True,
    )
    for level, age, baseline, on_board, since, limit in rows:
        broken = []
        if not regulated.low <= level <= regulated.high:
            broken.append(Breach("level", regulated.name, {"level": level, "low": regulated.low, "high": regulated.high}))
        if not 0.0 <= age <= max_age:
            broken.append(Breach("age", regulated.name, {"minutes": age, "most": max_age}))
        if absurd := [value for value in baseline if not 0.0 <= value <= fastest]:
            broken.append(Breach("baseline rate", numbers={"rate": absurd[0], "most": fastest}))
        if not all(0.0 <= value < math.inf for value in on_board):
            broken.append(Breach("on board"))
        if not since >= 0.0:
            broken.append(Breach("last dose"))
        for item in fields(Bounds):
            value = getattr(limit, item.name)
            if value is None or not 0.0 <= value < math.inf:
                broken.append(Breach("limit", item.name, {} if value is None else {"limit": value}))
        if limit.floor is not None and not regulated.low < limit.floor < regulated.high:
            broken.append(
                Breach("floor within range", "floor", {"limit": limit.floor, "low": regulated.low, "high": regulated.high})
            )
        found.append(broken)
    return found


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


def allowed(broken: dict[str, Tensor], actions: Tensor, may_change: Tensor) -> Tensor:
    """What may be chosen `[B, W, K]`: what breaks nothing, of whoever `may_change` `[B]`, and no change always."""
    return allowed_of(broken, (actions[..., 0] == NO_CHANGE[0]) & (actions[..., 1] == NO_CHANGE[1]), may_change)


def allowed_of(broken: Mapping[str, Tensor], unchanged: Tensor, may_change: Tensor) -> Tensor:
    """`[B, W, K]` what breaks nothing, of whoever `may_change` `[B]`, and what is `unchanged` always."""
    free = ~torch.stack(list(broken.values())).any(0)
    return (free & may_change[:, None, None]) | unchanged


@dataclass(frozen=True)
class Guarded:
    """Whether an answer may leave: the rules it breaks, and those that need a typed reason although it may."""

    breaches: tuple[Breach, ...] = ()
    advice: tuple[Breach, ...] = ()

    @property
    def allowed(self) -> bool:
        return not self.breaches


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
) -> Guarded:
    """One patient's plan against the hard limits, decision by decision.

    Args:
        actions: `[D, 2]` the impulse and the multiple of the standing rate at each decision.
        limits: The patient's.
        on_board: `[D]` of doses before the plan, at each decision.
        since_last: Minutes since the last impulse before it.
        levels: `[D]` what is held against the floor.
        baseline: `[D]` the standing rate an hour.
        remaining: `[D]` the share of a dose on board after 0, 1, .. intervals.
        interval: Minutes between decisions.

    Returns:
        Every limit that is broken, once for each decision that breaks it, with the numbers found there.
    """
    broken: list[Breach] = []
    given: list[float] = []
    for step, (impulse, multiple) in enumerate(actions):
        carried = max(0.0, on_board[step]) + sum(amount * remaining[step - past] for past, amount in enumerate(given))
        extra = 0.0
        if (impulse, multiple) != NO_CHANGE:
            extra = impulse + max(0.0, multiple - 1.0) * baseline[step] * interval / HOUR
            checks = {"max_dose": 0.0 <= impulse <= limits.max_dose + 2 * TOLERANCE, "lowest rate": multiple >= 0.0}
            if multiple > 1.0:
                checks["max_rate"] = multiple * baseline[step] <= limits.max_rate + 2 * TOLERANCE
                checks["max_rate_ratio"] = multiple <= limits.max_rate_ratio
            if impulse > 0.0:
                checks["min_spacing"] = since_last >= limits.min_spacing
            if impulse > 0.0 or multiple > 1.0:
                checks["max_on_board"] = carried + extra <= limits.max_on_board + 2 * TOLERANCE
                checks["floor"] = levels[step] >= limits.floor
            found = {
                "impulse": impulse,
                "multiple of the rate": multiple,
                "minutes ahead": step * interval,
                "on board": carried,
                "level": levels[step],
            }
            broken += [Breach(name, numbers=found) for name, fine in checks.items() if not fine]
        given.append(extra)
        since_last = interval if impulse > 0.0 else since_last + interval
    return Guarded(tuple(broken))


@dataclass(frozen=True, kw_only=True)
class RegimenLine:
    """One setting of a regimen in one part of the day.

    current: what is prescribed now; original: what caps count from (a pump's own setting; `current` when the same).
    direction: +1 where a larger value means more treatment, -1 where less. increment: what the value is rounded to.
    days: of evidence. breach: the low-level target is broken in this part of the day; unknown, `None`, allows neither what a
    target that is met allows nor what a broken one does. danger: it is broken by far. held: the rule by which nothing may give
    more here although the target is met, if any.
    """

    key: str
    current: float
    direction: int
    limits: LineLimits
    increment: float
    days: float
    breach: bool | None
    danger: bool = False
    held: Breach | None = None
    original: float | None = None

    @property
    def kind(self) -> str:
        """The setting, whatever the part of the day: what stands before the "@" of the key."""
        return self.key.partition("@")[0]


def guard_line(line: RegimenLine, proposed: float) -> Guarded:
    """One proposed value of a line against absolute limits, caps on change, evidence and the rule on lows.

    Args:
        line: What is prescribed, its limits and the evidence.
        proposed: The value; the current one always passes.

    Returns:
        The rules that it breaks, and a recommended range that it leaves although it may.

    >>> from careplan.therapy import LineLimits
    >>> caps = {"low_ratio": 0.7, "high_ratio": 1.2, "per_visit": 0.2, "against_harm": 0.3, "against_danger": 0.5}
    >>> limits = LineLimits(lowest=0.0, highest=35.0, low=0.05, high=5.0, **caps, least_days=7.0)
    >>> line = RegimenLine(key="basal@0", current=1.0, direction=1, limits=limits, increment=0.05, days=14, breach=False)
    >>> guard_line(line, 1.1).allowed
    True
    >>> [breach.rule for breach in guard_line(line, 1.5).breaches]
    ['change in one visit', 'change from the original']
    """
    if proposed == line.current:
        return Guarded()
    limit, original = line.limits, line.current if line.original is None else line.original
    less = (proposed - line.current) * line.direction < 0.0
    rescue = line.breach is True and less
    against = limit.against_danger if line.danger else limit.against_harm
    cap = max(limit.per_visit, against) if rescue else limit.per_visit
    low = min(limit.low_ratio, 1.0 - cap) if rescue else limit.low_ratio
    high = max(limit.high_ratio, 1.0 + cap) if rescue else limit.high_ratio
    checks = {
        Breach("current value", line.key, {"current": line.current}): 0.0 < line.current < math.inf,
        Breach("original value", line.key, {"original": original}): 0.0 < original < math.inf,
        Breach("evidence", line.key, {"days": line.days, "needed": limit.least_days}): line.days >= limit.least_days,
        Breach("absolute limits", line.key, {"lowest": limit.lowest, "highest": limit.highest}): (
            limit.lowest <= proposed <= limit.highest
        ),
        Breach("change in one visit", line.key, {"most": cap}): abs(proposed - line.current) <= cap * line.current + 1e-6,
        Breach("change from the original", line.key, {"low": low, "high": high, "original": original}): (
            low * original - 1e-6 <= proposed <= high * original + 1e-6
        ),
    }
    if not less:
        checks[Breach("low-level target", line.key)] = line.breach is False
        if line.held is not None:
            checks[replace(line.held, key=line.key)] = False
    advice = Breach("recommended range", line.key, {"proposed": proposed, "low": limit.low, "high": limit.high})
    inside = limit.low <= proposed <= limit.high
    return Guarded(tuple(breach for breach, fine in checks.items() if not fine), () if inside else (advice,))


def rounded(line: RegimenLine, factor: float) -> float:
    """A line times a factor, rounded to its increment towards the current value, which it never crosses; NaN where unknown."""
    value = line.current * factor
    if not math.isfinite(value) or not line.increment > 0:
        return math.nan
    steps = value / line.increment
    whole = math.floor(steps + 1e-6) if factor > 1.0 else math.ceil(steps - 1e-6)
    value = round(whole * line.increment, 6)
    crossed = value < line.current if factor > 1.0 else value > line.current
    return line.current if crossed else value
