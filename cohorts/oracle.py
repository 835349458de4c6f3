"""The oracle: plans with everyone's true body and coming life. Nobody can; it bounds what any policy could reach. And the twin,
which knows the body alone."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from careplan.therapies.glucose.declaration import risk
from cohorts.bodies import Body, Equations, Inputs, advance
from cohorts.policies import SUSPENDS, Behaviour, Doses, Seen, Truth, deliverable, refuse
from cohorts.population import LONG_ACTING_AT, Population
from cohorts.scenarios import ROWS, Life, draw_life


@dataclass
class Oracle:
    """Every `every` rows it tries basal rates and boluses on copies of the true bodies over the next `ahead` rows of the true
    life, and does what has the least risk: Kovatchev's, lows counted `lows` times. First of all it stays above `floor` mg/dL, or
    where nothing does, as little below as can be.

    A candidate is a rate for these `every` rows and a bolus now; after them, what suits each person as sensitive as they then
    are. On pens only boluses are tried; the long-acting dose is as
    prescribed. People eat for lows as under any policy, which the oracle does not count on.

    Without foresight it knows everyone's body and how sensitive it is now, but of food to come only what is announced as it is
    eaten, for which it doses at once: what is left to a policy that knows everything but the future.
    """

    name: str = "oracle"
    every: int = 6
    ahead: int = 60
    floor: float = 75.0
    lows: float = 3.0
    rates: int = 5
    boluses: int = 13
    foresight: bool = True
    _person: Behaviour = field(default_factory=Behaviour.as_set, repr=False)
    _people: Population = field(init=False, repr=False)
    _copies: Equations = field(init=False, repr=False)
    _truth: Truth | None = field(default=None, repr=False)
    _rate: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        refuse(self, above=("every", "ahead", "rates", "boluses"))

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        self._person.begin(people, rows, generator)
        self._people = people
        self._rate = torch.zeros(len(people))
        self._copies = people.physiology[torch.arange(len(people)).repeat_interleave(self.rates * self.boluses)]

    def learn(self, truth: Truth) -> None:
        self._truth = truth

    def decide(self, seen: Seen) -> Doses:
        """The doses of the next five minutes. Raises `ValueError` before `learn` was called."""
        if self._truth is None:
            raise ValueError("the oracle has not learnt the truth: expected `learn` before `decide`, as in `cohorts.replay`")
        own = self._person.decide(seen)
        bolus = torch.zeros_like(own.bolus)
        due = torch.full_like(bolus, seen.row % self.every == 0, dtype=torch.bool)
        if not self.foresight:
            due |= seen.announced > 0
        if bool(due.any()):
            rate, planned = self._plan(seen.row, self._truth if self.foresight else _truth_at(self._truth, seen.row))
            self._rate, bolus = torch.where(due, rate, self._rate), torch.where(due, planned, bolus)
        return replace(own, basal=self._rate, bolus=bolus)

    def _plan(self, row: int, truth: Truth) -> tuple[Tensor, Tensor]:
        """The rate U/h and the bolus U of the least risk, `[B]` each."""
        people, soon = self._people, truth.scenario.eaten[:, row : row + 18].sum(1)
        level = truth.body.glucose(people.physiology)
        most = 1.5 * soon / people.carb_ratio + (level - 110).clamp(min=0) / people.correction_factor + people.daily_dose / 100
        pump, step = torch.where(people.pens, 0.0, people.basal), torch.where(people.pens, 0.5, 0.05)
        grid = torch.cartesian_prod(torch.linspace(0, 4, self.rates), torch.linspace(0, 1, self.boluses))
        rates, boluses = deliverable(pump.unsqueeze(1) * grid[:, 0]), most.unsqueeze(1) * grid[:, 1]
        tried = torch.stack([rates, (boluses / step.unsqueeze(1)).round() * step.unsqueeze(1)], -1)
        best = tried[torch.arange(len(people)), self._risks(row, truth, tried).argmin(1)]
        return best[:, 0], best[:, 1]

    def _risks(self, row: int, truth: Truth, tried: Tensor) -> Tensor:
        """What each candidate `[B, K, 2]` would risk, mean over the rows ahead, `[B, K]`."""
        people, life, copies = self._people, truth.scenario, tried.shape[1]

        def each(value: Tensor) -> Tensor:
            return value.repeat_interleave(copies, 0)

        body = Body(*map(each, vars(truth.body).values()))
        basal, bolus = tried.flatten(0, 1).unbind(-1)
        rows = range(row, min(row + self.ahead, life.eaten.shape[1]))
        total, lowest = torch.zeros_like(basal), torch.full_like(basal, torch.inf)
        for now in rows:
            eaten, sensitivity = life.eaten[:, now], life.sensitivity[:, now]
            if now < row + self.every:
                insulin = basal / 12 + (bolus if now == row else 0.0)
            else:
                usual = torch.where(people.pens, 0.0, people.basal / 12) + eaten / people.carb_ratio
                insulin = each(usual / sensitivity)
            evening = now % ROWS == LONG_ACTING_AT // 5
            long_acting = people.pens * (24 * people.settings[:, 0]).round() * float(evening)
            factors = (each(part[:, now]) for part in (life.sensitivity, life.uptake, life.pace))
            body = advance(self._copies, body, Inputs(each(eaten), insulin, each(long_acting), *factors))
            level = body.glucose(self._copies)
            total, lowest = total + torch.where(level < 112.5, self.lows, 1.0) * risk(level), lowest.minimum(level)
        return (total / len(rows) + 1e4 * (self.floor - lowest).clamp(min=0)).view(-1, copies)


@dataclass
class Twin(Oracle):
    """Plans on everyone's true body as the oracle without foresight does, but knows of a life what any planner is told.

    What is in the body follows from what was announced and given, as sensitive as people usually are at that hour, its glucose
    set to each reading. So it bounds what knowing a body can bring to who does not know today's sensitivity and what was eaten.
    """

    name: str = "twin"
    foresight: bool = False
    _usual: Tensor = field(init=False, repr=False)  # sensitivity, [B, T]
    _last: tuple[Body, Inputs] | None = field(default=None, repr=False)  # as the last row began, and what passed in it

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        super().begin(people, rows, generator)
        self._last = None
        by_hour = replace(Life.none(), circadian=1.0)
        self._usual = draw_life(people, -(-rows // ROWS), by_hour, torch.Generator().manual_seed(0)).sensitivity[:, :rows]

    def decide(self, seen: Seen) -> Doses:
        """The doses of the next five minutes. Raises `ValueError` before `learn` was called."""
        if self._truth is None:
            raise ValueError("the twin has not learnt the truth: expected `learn` before `decide`, as in `cohorts.replay`")
        who, life, ordinary = self._people.physiology, self._truth.scenario, torch.ones_like(self._usual)
        body = self._truth.body  # at first all are fasting, which is known
        if self._last is not None:
            body = advance(who, *self._last)
            body = who.scaled(body, (seen.reading / body.sensed(who)).clamp(0.5, 2.0).nan_to_num(1.0))
        usual = replace(life, sensitivity=self._usual, uptake=ordinary, pace=ordinary)
        self._truth = Truth(body, usual)
        doses = super().decide(seen)
        doses = replace(doses, basal=torch.where(seen.reading < SUSPENDS, 0.0, doses.basal))  # as pumps do by themselves
        known = self._usual[:, seen.row], ordinary[:, 0], ordinary[:, 0]
        insulin = doses.basal / 12 + doses.bolus
        self._last = body, Inputs(seen.announced + doses.rescue, insulin, doses.long_acting, *known)
        return doses


def _truth_at(truth: Truth, row: int) -> Truth:
    """The truth without the future: of food what is announced in this row, and sensitivity as it is now."""
    life = truth.scenario
    coming = torch.zeros_like(life.eaten[:, row:])
    coming[:, 0] = life.announced[:, row]

    def held(part: Tensor) -> Tensor:
        return torch.cat([part[:, :row], part[:, row : row + 1].expand_as(coming)], 1)

    known = replace(
        life,
        eaten=torch.cat([life.eaten[:, :row], coming], 1),
        sensitivity=held(life.sensitivity),
        uptake=held(life.uptake),
        pace=held(life.pace),
    )
    return replace(truth, scenario=known)
