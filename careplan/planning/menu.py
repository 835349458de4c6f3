"""What a plan may do at each decision, by the actions that a therapy declares: the named layout of an action `[..., A]`."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

from careplan.therapy import Therapy

KEEP = -1.0  # of a rate or a choice: as it stands; amounts are never below 0


@dataclass(frozen=True, eq=False)
class Menu:
    """The declared actions in use.

    values `[B, T, C]`: the future as it stands (prescribed and announced) in the channels' units, on the therapy's grid.
    counted `[B, C]`: the usual amounts of the patients, which shares are of.
    An action is one number for each declared action: a multiple of what stands, an impulse beside it, or a rate or a choice in
    its place, `KEEP` where it stays.
    """

    therapy: Therapy
    values: Tensor
    counted: Tensor

    @cached_property
    def columns(self) -> list[int]:
        """Of the actions' channels."""
        return [self.therapy.index(action.channel) for action in self.therapy.actions]

    @cached_property
    def replaces(self) -> list[bool]:
        """By action, whether its value takes the place of what stands, for as long as the decision lasts."""
        channels = [self.therapy.channel(action.channel) for action in self.therapy.actions]
        return [a.of != "multiple" and c.form != "impulse" for a, c in zip(self.therapy.actions, channels, strict=True)]

    @cached_property
    def unchanged(self) -> Tensor:
        """`[A]` the action that changes nothing."""
        pairs = zip(self.therapy.actions, self.replaces, strict=True)
        return torch.tensor([KEEP if replaces else action.stands for action, replaces in pairs])

    @property
    def rows(self) -> int:
        """Of a decision."""
        return self.therapy.clock.rows(self.therapy.clock.decision)

    @property
    def decisions(self) -> int:
        return self.values.shape[1] // self.rows

    @cached_property
    def per_row(self) -> Tensor:
        """`[A]` the amount that a value of 1 gives in a row: of a rate by its unit's time, else itself."""
        channels = [self.therapy.channel(action.channel) for action in self.therapy.actions]
        return torch.tensor([self.therapy.step / channel.per if channel.form == "rate" else 1.0 for channel in channels])

    @cached_property
    def standing(self) -> Tensor:
        """`[B, D, A]` the amounts that each decision gives as it stands."""
        amounts = self.values[..., self.columns] * self.per_row.to(self.values)
        return amounts[:, : self.decisions * self.rows].unflatten(1, (self.decisions, -1)).sum(2)

    def candidates(self) -> tuple[Tensor, Tensor]:
        """`[B, K, A]` no change first, then each action's candidates alone, or all combinations where the therapy combines them;
        and which exist, `[B, K]`: no two do the same now."""
        batch, device = len(self.values), self.values.device
        none = self.unchanged.to(device).expand(batch, -1)
        each = [self._own(place).to(device) for place in range(len(self.therapy.actions))]
        if self.therapy.combined:
            wide = [torch.cat([none[:, place : place + 1], own], 1) for place, own in enumerate(each)]
            picks = torch.tensor(list(product(*(range(own.shape[1]) for own in wide))), device=device)
            table = torch.stack([own[:, picks[:, place]] for place, own in enumerate(wide)], -1)
        else:
            rows = [none.unsqueeze(1)]
            for place, own in enumerate(each):
                changed = none.unsqueeze(1).repeat(1, own.shape[1], 1)
                changed[..., place] = own
                rows.append(changed)
            table = torch.cat(rows, 1)
        amounts = self.amounts(table, torch.zeros(batch, 1, device=device, dtype=torch.long).expand(-1, table.shape[1]))
        same = (amounts.unsqueeze(2) - amounts.unsqueeze(1)).abs().amax(-1) < 1e-6
        return table, ~same.tril(-1).any(2)

    def _own(self, place: int) -> Tensor:
        """`[B, V]` the candidates of one action, rounded down to what can be given: of a multiple, of the largest that stands."""
        action = self.therapy.actions[place]
        values = torch.tensor(action.values, dtype=self.values.dtype).expand(len(self.values), -1)
        if action.of == "share":
            values = values * self.counted[:, self.columns[place], None].cpu()
        if action.increment:
            stands = self.values[..., self.columns[place]].amax(1, keepdim=True).cpu() if action.of == "multiple" else 1.0
            steps = torch.floor(values * stands / action.increment + 1e-4)
            values = torch.nan_to_num(steps * action.increment / stands, nan=action.stands)  # of nothing, nothing changes
        return values

    def amounts(self, action: Tensor, depth: Tensor) -> Tensor:
        """Actions `[B, W, A]` at decisions `[B, W]` -> the amounts that they give, `[B, W, A]`."""
        own = self.standing.gather(1, depth.clamp(max=self.decisions - 1).unsqueeze(-1).expand(-1, -1, action.shape[-1]))
        whole, parts = self.per_row.to(action) * self.rows, []
        for place, (act, replaces) in enumerate(zip(self.therapy.actions, self.replaces, strict=True)):
            value, stands = action[..., place], own[..., place]
            if act.of == "multiple":
                parts.append(value * stands)
            elif replaces:
                parts.append(torch.where(value == KEEP, stands, value * whole[place]))
            else:
                parts.append(stands + value)
        return torch.stack(parts, -1)
