"""Declared rules: masked at every node of a search, and checked again on its answer, in plain Python and by separate code."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.breach import Breach
from careplan.planning.menu import Menu
from careplan.rules import Action, Cap, Exclusive, Hold, Keep, Lockout, Rule
from careplan.therapy import Channel, Limits, Therapy

TOLERANCE = 1e-4  # in an amount's unit, over float32's sums


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """Where W nodes stand in each of B trees. depth `[B, W]`: the decision; given `[B, W, D, A]` amounts given in the plan so
    far.

    low, high `[B, W, Q]`: the lowest and the highest value of each output that the rules compare, now and until the next
    decision.
    """

    depth: Tensor
    given: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True, eq=False)
class Past:
    """What was given before now: history `[B, H, A]` amounts a row, newest last; NaN is unknown, and breaks what it bears on."""

    history: Tensor

    def within(self, rows: int, places: Sequence[int]) -> Tensor:
        """`[B]` the amount of some actions in the last rows."""
        return self.history[:, max(0, self.history.shape[1] - max(rows, 0)) :, list(places)].sum((1, 2))

    def since(self, places: Sequence[int]) -> Tensor:
        """`[B]` rows since the last giving of some actions, counted from now; infinite where there was none, NaN where
        unknown."""
        some = self.history[..., list(places)]
        given = (some > 0).any(-1)
        age = torch.arange(given.shape[1], 0, -1, dtype=some.dtype, device=some.device)
        last = torch.where(given, age, torch.inf).amin(1) if given.shape[1] else some.new_full((len(some),), math.inf)
        return torch.where(some.isnan().flatten(1).any(1), torch.nan, last)


def rules_of(limits: Limits, therapy: Therapy) -> tuple[Rule, ...]:
    """The rules of limits, and as rules what their numbers say of the actions that a therapy declares: the largest dose and the
    largest rate, the spacing of single doses, and the floor under which nothing that lowers the first output may be raised.

    Raises:
        ValueError: What is on board is limited, which a course does not count: a `Cap` within a time says the same.
    """
    if math.isfinite(limits.max_on_board):
        raise ValueError(f"{therapy.name}: a course does not count what is on board; declare a Cap within a time instead")
    rules, spaced, lowering = list(limits.rules), [], []
    rows = therapy.clock.rows(therapy.clock.decision)
    for action in therapy.actions:
        channel = therapy.channel(action.channel)
        most = {"impulse": limits.max_dose, "rate": limits.max_rate * therapy.step / channel.per}.get(channel.form)
        if most is not None:
            name = f"the largest {'dose' if channel.form == 'impulse' else 'rate'}"
            whole = most * (rows if lasts(channel, action) else 1)
            rules.append(Cap(name=name, channels=(channel.name,), most=whole, within=0.0))
        if channel.form == "impulse" and action.of != "multiple":
            spaced.append(channel.name)
        if channel.direction < 0:
            lowering.append(channel.name)
    rules += [Lockout(name="spacing", channels=(name,), minutes=limits.min_spacing) for name in spaced if limits.min_spacing > 0]
    if lowering and limits.floor > therapy.channel(therapy.regulated).low:
        rules.append(Hold(name="floor", channels=tuple(lowering), on=therapy.regulated, side=-1, level=limits.floor))
    return tuple(rules)


def lasts(channel: Channel, action: Action) -> bool:
    """Whether what an action gives goes on until somebody changes it: a rate, a choice, a tablet every day."""
    return action.of == "multiple" or channel.form != "impulse"


def broken_by(rule: Rule, menu: Menu, past: Past, moment: Moment, actions: Tensor) -> Tensor:
    """`[B, W, K]` which candidates `[B, W, K, A]` break one rule."""
    places = [place for place, action in enumerate(menu.therapy.actions) if action.channel in rule.channels]
    wide = actions.shape[2]
    amounts = menu.amounts(actions.flatten(1, 2), moment.depth.repeat_interleave(wide, 1)).unflatten(1, (-1, wide))
    stands = menu.amounts(menu.unchanged.to(actions).expand(*moment.depth.shape, -1), moment.depth).unsqueeze(2)
    amount, standing = amounts[..., places], stands[..., places]
    if isinstance(rule, Hold | Keep):
        output = [each.name for each in menu.therapy.outputs].index(rule.on)
        level = (moment.low if rule.side < 0 else moment.high)[..., output]
        fine = level >= rule.level if rule.side < 0 else level <= rule.level
        moved = amount > standing + TOLERANCE if isinstance(rule, Hold) else amount < standing - TOLERANCE
        return moved.any(-1) & ~fine.unsqueeze(-1)
    if isinstance(rule, Exclusive):
        return (amount > TOLERANCE).sum(-1) > 1
    gives = (amount > TOLERANCE).any(-1)
    ago = (moment.depth.unsqueeze(-1) - torch.arange(menu.decisions, device=actions.device)) * menu.rows  # rows since it began
    before = moment.given[..., places]
    if isinstance(rule, Cap):
        window = menu.therapy.clock.rows(rule.within) if math.isfinite(rule.within) else math.inf
        here = before.sum(-1) * ((ago > 0) & (ago < window))
        rows = past.history.shape[1] if window == math.inf else int(window)
        old = torch.stack([past.within(rows - depth * menu.rows, places) for depth in range(menu.decisions)], 1)
        earlier = old.gather(1, moment.depth.clamp(max=menu.decisions - 1)) if window != math.inf else old[:, :1]
        return gives & ~((earlier + here.sum(-1)).unsqueeze(-1) + amount.sum(-1) <= rule.most + TOLERANCE)
    lasts = [menu.rows - 1 if menu.replaces[place] or menu.therapy.actions[place].of == "multiple" else 0 for place in places]
    last = ago.unsqueeze(-1) - torch.tensor(lasts, device=actions.device)
    own = torch.where((before > TOLERANCE) & (ago > 0).unsqueeze(-1), last.to(actions), torch.inf).flatten(2).amin(-1)
    gap = torch.minimum(own, past.since(places).unsqueeze(1) + moment.depth * menu.rows) * menu.therapy.step
    return gives & ~(gap >= rule.minutes - TOLERANCE).unsqueeze(-1)


def breaches_of(rules: Sequence[Rule], menu: Menu, past: Past, moment: Moment, actions: Tensor) -> dict[str, Tensor]:
    """Which rule each candidate would break, `[B, W, K]` by name; and the channels' own bounds."""
    return {rule.name: broken_by(rule, menu, past, moment, actions) for rule in rules} | {
        "bounds": _outside(menu, moment, actions)
    }


def _outside(menu: Menu, moment: Moment, actions: Tensor) -> Tensor:
    """`[B, W, K]` the candidates of which a row would be given more, or less, than the channel can hold."""
    outside = torch.zeros_like(actions[..., 0], dtype=torch.bool)
    stands = menu.values[:, : menu.decisions * menu.rows][..., menu.columns].unflatten(1, (menu.decisions, -1)).amax(2)
    at = moment.depth.clamp(max=menu.decisions - 1).unsqueeze(-1).expand(-1, -1, stands.shape[-1])
    own = stands.gather(1, at).unsqueeze(2)
    for place, (action, replaces) in enumerate(zip(menu.therapy.actions, menu.replaces, strict=True)):
        channel, value = menu.therapy.channel(action.channel), actions[..., place]
        given = value * own[..., place] if action.of == "multiple" else own[..., place] + value
        if replaces:
            given = torch.where(value < 0, own[..., place], value)
        outside |= ~((given >= channel.low - TOLERANCE) & (given <= channel.high + TOLERANCE))
    return outside


@dataclass(frozen=True, kw_only=True)
class PlannedCourse:
    """One patient's plan of D decisions, in plain numbers, as the guard reads it.

    channels: of the A actions; outputs: names of the Q outputs. amounts, standing: `[D, A]` what each decision gives, and as it
    stands. history: `[H, A]` amounts a row before now, newest last. low, high: `[D, Q]` of each output at each decision. lasts:
    `[A]` whether a giving lasts for all of a decision's rows, of which there are `rows`, each of `step` minutes.
    """

    channels: Sequence[str]
    outputs: Sequence[str]
    amounts: Sequence[Sequence[float]]
    standing: Sequence[Sequence[float]]
    history: Sequence[Sequence[float]]
    low: Sequence[Sequence[float]]
    high: Sequence[Sequence[float]]
    lasts: Sequence[bool]
    rows: int
    step: float

    def unchanged(self, decision: int) -> bool:
        """Whether a decision gives what stands."""
        pairs = zip(self.amounts[decision], self.standing[decision], strict=True)
        return all(abs(one - other) <= TOLERANCE for one, other in pairs)


def guard_course(rules: Sequence[Rule], plan: PlannedCourse) -> tuple[Breach, ...]:
    """One patient's plan against the rules, decision by decision. A decision that gives what stands breaks nothing."""
    broken: list[Breach] = []
    for rule in rules:
        places = [place for place, name in enumerate(plan.channels) if name in rule.channels]
        for decision in range(len(plan.amounts)):
            breach = None if plan.unchanged(decision) else _breach(rule, plan, decision, places)
            broken += [] if breach is None else [breach]
    return tuple(broken)


def _breach(rule: Rule, plan: PlannedCourse, decision: int, places: Sequence[int]) -> Breach | None:
    """What one decision breaks of a rule that bears on some actions."""
    given, stands = plan.amounts[decision], plan.standing[decision]
    gives = any(given[place] > TOLERANCE for place in places)
    if isinstance(rule, Hold | Keep):
        sign = 1.0 if isinstance(rule, Hold) else -1.0
        moved = any(sign * (given[place] - stands[place]) > 2 * TOLERANCE for place in places)
        level = (plan.low if rule.side < 0 else plan.high)[decision][plan.outputs.index(rule.on)]
        wrong, numbers = moved and not rule.side * (level - rule.level) <= 0, {"level": level, "limit": rule.level}
    elif isinstance(rule, Exclusive):
        wrong, numbers = sum(given[place] > TOLERANCE for place in places) > 1, {}
    elif isinstance(rule, Cap):
        total = _total(rule, plan, decision, places)
        wrong, numbers = gives and not total <= rule.most + 2 * TOLERANCE, {"total": total, "most": rule.most}
    else:
        gap = _gap(plan, decision, places) * plan.step
        wrong, numbers = gives and not gap >= rule.minutes - 2 * TOLERANCE, {"minutes": rule.minutes}
    return Breach(rule.name, numbers=numbers) if wrong else None


def _total(rule: Cap, plan: PlannedCourse, decision: int, places: Sequence[int]) -> float:
    """What some actions give by a decision, and gave within the time of a cap before it."""
    back = math.inf if math.isinf(rule.within) else rule.within / plan.step
    total = sum(plan.amounts[decision][place] for place in places)
    for past in range(decision):
        if (decision - past) * plan.rows < back:
            total += sum(plan.amounts[past][place] for place in places)
    for ago, row in enumerate(reversed(plan.history), start=1):
        if math.isinf(back) or ago + decision * plan.rows <= round(back):
            total += sum(row[place] for place in places)
    return total


def _gap(plan: PlannedCourse, decision: int, places: Sequence[int]) -> float:
    """Rows from the last giving of some actions to a decision; NaN where some of the past is unknown."""
    if any(math.isnan(row[place]) for row in plan.history for place in places):
        return math.nan
    gaps = [math.inf]
    for past in range(decision):
        gaps += [
            (decision - past) * plan.rows - (plan.rows - 1 if plan.lasts[place] else 0)
            for place in places
            if plan.amounts[past][place] > TOLERANCE
        ]
    for ago, row in enumerate(reversed(plan.history), start=1):
        if any(row[place] > 0 for place in places):
            gaps.append(ago + decision * plan.rows)
            break
    return min(gaps)
