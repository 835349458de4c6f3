"""What a patient received, in numbers that are comparable between patients: shares of a usual amount, scaled values, habits."""

from functools import cached_property

import torch
from torch import Tensor

from careplan.series import Window
from careplan.therapy import Therapy

LEAST = 0.05  # of a usual amount: who is known to receive less is taken for one of whom nothing is known


class Amounts:
    """A therapy's channels as amounts.

    usual: `[B, C + Q + F]`, what a patient receives on average in one row of each channel, how far each output spreads in its
    link, and the covariates as the model sees them; 0 where unknown.
    """

    def __init__(self, therapy: Therapy) -> None:
        self.therapy = therapy
        self.channels, self.outputs = len(therapy.channels), len(therapy.outputs)
        self.facts = sum(covariate.width for covariate in therapy.covariates)
        self.own = [(effect, therapy.columns(effect)) for effect in therapy.effects if effect.own]
        self.linked = [index for index, channel in enumerate(therapy.channels) if channel.link != "identity"]

    @property
    def habits(self) -> int:
        """How many numbers predict the code of a stranger (a patient of whom only usual amounts are known): by effect whether its
        total is known and how large it is; whether there is a rate; by output where it lies and how far it spreads; the
        covariates.
        """
        return 2 * len(self.therapy.effects) + 1 + 2 * self.outputs + self.facts

    @cached_property
    def _per_minute(self) -> Tensor:
        """`[C]` from a row's value to an amount a minute."""
        step = self.therapy.step
        return torch.tensor([1 / c.per if c.form == "rate" else 1 / step for c in self.therapy.channels])

    @cached_property
    def _counted(self) -> Tensor:
        """`[C]` the amount that counts as 1 where nothing of the patient is known; 1 for channels without an effect."""
        counted = torch.ones(self.channels)
        for effect in self.therapy.effects:
            counted[self.therapy.columns(effect)] = effect.usual
        return counted

    def _span(self, usual: Tensor) -> Tensor:
        """`[B, C]` received within `Clock.span`."""
        return usual[:, : self.channels] * self._per_minute.to(usual.device) * self.therapy.clock.span

    def counted(self, usual: Tensor) -> Tensor:
        """The amount that counts as 1, by channel `[B, C]`: the patient's own where an effect asks for it and it is known."""
        found = self._counted.to(usual.device).expand(len(usual), -1)
        for effect, columns in self.own:
            total = (usual[:, : self.channels] * self._per_minute.to(usual.device))[:, columns].sum(-1) * self.therapy.clock.span
            whole = torch.where(total > LEAST * effect.usual, total, torch.full_like(total, effect.usual))
            found = found.index_copy(1, torch.tensor(columns, device=usual.device), whole.unsqueeze(1).expand(-1, len(columns)))
        return found

    def shares(self, values: Tensor, mask: Tensor, usual: Tensor) -> Tensor:
        """Shares of a usual amount a minute, `[B, T, C]`, the patient's usual one where unknown."""
        filled = torch.where(mask, values, usual[:, None, : self.channels])
        return filled * self._per_minute.to(usual.device) / self.counted(usual).unsqueeze(1)

    def linked_values(self, values: Tensor) -> Tensor:
        """Values `[..., C]` in each channel's link."""
        if not self.linked:
            return values
        parts = list(values.unbind(-1))
        for index in self.linked:
            parts[index] = self.therapy.channels[index].linked(parts[index])
        return torch.stack(parts, -1)

    def scaled(self, window: Window, usual: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        """`[B, T, C]` values as the encoder sees them; doses relative to the patient's own usual amount, 0 where unknown."""
        values = window.values
        if self.own:
            own = torch.zeros(self.channels, dtype=torch.bool, device=usual.device)
            own[[column for _, columns in self.own for column in columns]] = True
            relative = torch.where(own, self._counted.to(usual.device), torch.ones_like(self._counted).to(usual.device))
            values = values * torch.where(own, relative / self.counted(usual), torch.ones_like(relative)).unsqueeze(1)
        return torch.where(window.mask, (self.linked_values(values) - center) / scale, torch.zeros_like(values))

    def stranger(self, usual: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        """The numbers that predict a stranger's code, `[B, habits]`: a labile level, or small doses, suggest strong effects.

        Where every reading has a declared noise, only the covariates do: readings and doses count one by one in the filter, and
        would count twice.
        """
        if all(self.therapy.filtered):
            unsaid = usual.new_zeros(len(usual), self.habits - self.facts)
            return torch.cat([unsaid, usual[:, self.channels + self.outputs :]], dim=-1)
        span, parts = self._span(usual), []
        for effect in self.therapy.effects:
            total = span[:, self.therapy.columns(effect)].sum(-1) / effect.usual
            known = total > LEAST
            parts += [known, torch.where(known, total.clamp(0.05, 4.0).log(), 0.0)]
        channels = self.therapy.channels
        rates = [index for index, channel in enumerate(channels) if channel.form == "rate" and channel.direction]
        parts.append((span[:, rates] > 0).any(1))
        for place, column in enumerate(self.therapy.observed):
            level, spread = usual[:, column], usual[:, self.channels + place] / scale[column]
            linked = channels[column].linked(level)
            parts.append(torch.where(level != 0, (linked - center[column]) / scale[column], 0.0))
            parts.append(torch.where(spread > 0, spread.clamp(0.1, 4.0).log(), 0.0))
        known = torch.stack([part.to(usual.dtype) for part in parts], dim=-1)
        return known if not self.facts else torch.cat([known, usual[:, self.channels + self.outputs :]], dim=-1)
