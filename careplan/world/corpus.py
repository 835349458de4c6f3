"""The corpus: many recordings in one tensor, from which training and personalisation draw windows by index."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from careplan.series import PatientSeries, Window, given_columns
from careplan.therapy import Therapy

LOGGED = 0.1  # of the measured rows; amounts known in fewer are known where something was given alone


def usual(series: PatientSeries) -> Tensor:
    """What this patient receives on average in one known row of each channel, 0 for a channel not logged; how far each output
    spreads in its link (standard deviation); and the covariates as the model sees them: `[C + Q + F]`.

    An average over the few rows in which a dose was written down would be a dose in every row: below `LOGGED` it counts as not
    logged.
    """
    therapy, count = series.therapy, series.mask.sum(0)
    single = np.array([channel.form == "impulse" for channel in therapy.channels])
    column = therapy.index(therapy.regulated)
    few = single & (count < LOGGED * count[column])
    total = np.where(series.mask, series.values, 0).sum(0, dtype=np.float64)
    mean = np.where((count > 0) & ~few, total / np.maximum(count, 1), 0)
    spreads = []
    for each in therapy.observed:
        level = series.values[series.mask[:, each], each]
        if therapy.channels[each].link != "identity":
            level = therapy.channels[each].linked(torch.from_numpy(level)).numpy()
        spreads.append(level.std(dtype=np.float64) if len(level) else 0.0)
    facts = therapy.facts(series.facts, series.patient)
    return torch.cat([torch.from_numpy(np.append(mean, spreads).astype(np.float32)), facts])


def stranger(series: PatientSeries) -> Tensor:
    """The usual amounts `[C + Q + F]` of a patient of whom only the covariates are known: 0 but for those."""
    nothing = torch.zeros(len(series.therapy.channels) + len(series.therapy.outputs))
    return torch.cat([nothing, series.therapy.facts(series.facts, series.patient)])


@dataclass(frozen=True, eq=False)
class Corpus:
    """values `[N, C]`, mask `[N, C]`, minute `[N]` of all recordings end to end; first row and length of each `[P]`;
    usual `[P, C + Q + F]`."""

    therapy: Therapy
    values: Tensor
    mask: Tensor
    minute: Tensor
    first: Tensor
    length: Tensor
    usual: Tensor
    patients: tuple[str, ...]

    @classmethod
    def of(cls, recordings: Sequence[PatientSeries]) -> "Corpus":
        lengths = torch.tensor([len(series) for series in recordings])
        return cls(
            recordings[0].therapy,
            torch.from_numpy(np.concatenate([series.values for series in recordings])),
            torch.from_numpy(np.concatenate([series.mask for series in recordings])),
            torch.from_numpy(np.concatenate([series.minute() for series in recordings])),
            lengths.cumsum(0) - lengths,
            lengths,
            torch.stack([usual(series) for series in recordings]),
            tuple(series.patient for series in recordings),
        )

    def __len__(self) -> int:
        return len(self.patients)

    def windows(self, patients: Tensor, starts: Tensor, rows: int) -> Window:
        """`rows` rows of patient `[B]` from their row `[B]`; rows outside the recording are unknown, but for what the therapy
        says of the time before."""
        offset = starts.unsqueeze(1) + torch.arange(rows)
        inside = (offset >= 0) & (offset < self.length[patients].unsqueeze(1))
        index = self.first[patients].unsqueeze(1) + offset.clamp(min=0).minimum(self.length[patients].unsqueeze(1) - 1)
        mask = self.mask[index] & inside.unsqueeze(-1)
        values = torch.where(mask, self.values[index], torch.zeros(()))
        if self.therapy.before == "nothing":
            mask[..., given_columns(self.therapy)] |= (offset < 0).unsqueeze(-1)
        first = self.minute[self.first[patients]].unsqueeze(1) + self.therapy.step * offset
        cycle = self.therapy.clock.cycle
        minute = torch.where(inside, self.minute[index], first if cycle is None else first % cycle)
        return Window(values, mask, minute)

    def draw(
        self, patients: Tensor, count: int, *, column: int, context: int, horizon: int, generator: torch.Generator
    ) -> Tensor:
        """For each patient `[B]` a row `[B]` at which the level is measured, with a context before and a horizon after where
        possible."""
        room = (self.length[patients] - horizon - context // 4).clamp(min=1)
        best = torch.zeros_like(patients)
        found = torch.zeros_like(patients, dtype=torch.bool)
        for _ in range(count):  # a few tries; a row without a reading is kept only when none was met
            row = (torch.rand(len(patients), generator=generator) * room).long() + context // 4
            row = row.minimum(self.length[patients] - 1).clamp(min=1)
            measured = self.mask[self.first[patients] + row - 1, column]
            best = torch.where(found, best, row)
            found |= measured
        return best


@dataclass(frozen=True, eq=False)
class Branches:
    """Futures that differ in treatment alone, from virtual patients: the truth about effects.

    patient `[E]` in the corpus; row `[E]` where the futures part; values `[E, T, C]` the altered future; what truly happened
    under the recorded one and under the altered one, `[E, T]` levels at the end of each row. before `[E, T, C]`: the unaltered
    future, where more is known of it than was recorded.
    """

    patient: Tensor
    row: Tensor
    values: Tensor
    recorded: Tensor
    altered: Tensor
    before: Tensor | None = None

    @classmethod
    def joined(cls, parts: Sequence["Branches"]) -> "Branches":
        """Branches of several cohorts, whose patients already have their places in the corpus. Raises ValueError where of some
        more is known than was recorded, and of others not."""
        names = ["patient", "row", "values", "recorded", "altered"]
        known = {part.before is not None for part in parts}
        if len(known) > 1:
            raise ValueError("branches to be joined: the unaltered future is known of some, not of others")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names + ["before"] * known.pop()))

    def __len__(self) -> int:
        return len(self.patient)
