"""The planner as a policy: it treats virtual people in closed loop, from what was seen and done, as any other policy does."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from careplan.clinic.dose_search import DECISION, HORIZON, Ahead, search_doses
from careplan.clinic.world import World, open_world
from careplan.glucose import GLUCOSE, LIMITS
from careplan.planning.actions import carried, remaining
from careplan.planning.safety import DoseContext
from careplan.series import PatientSeries, Window
from careplan.world.personalise import personalise
from cohorts.policies import Behaviour, Doses, Seen
from cohorts.population import Population
from cohorts.replay import replay

STEP = GLUCOSE.step
ROWS = round(DECISION / STEP)
ACTING = 72  # rows of history whose doses may still act
SUSPEND = 75.0  # mg/dL, below which a pump stops as everybody's does


@dataclass
class Planner:
    """Plans for everyone in one batch every half hour, for whoever announces a meal at once, and gives what is to be given now.

    Before a replay everyone lives `history` days as they behave, on which the world model is personalised. Basal is the set rate
    times the multiple of the last plan. Whoever's gate is closed lives basal-bolus to the letter until a plan opens it. A pump
    stops below 75 mg/dL and people treat lows, as under any policy.
    """

    world: World = field(default_factory=open_world)
    name: str = "planner"
    history: int = 14
    particles: int = 8
    simulations: int = 48
    _person: Behaviour = field(default_factory=Behaviour.as_set, repr=False)

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        if "type2" in people.groups:
            raise ValueError(f"{self.name}: its world model has never seen people who make insulin, as those of type 2 do")
        self._person.begin(people, rows, generator)
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        lived = replay(people, Behaviour(), days=self.history, seed=seed)
        series = [_at_rest(lived.series(index)) for index in range(len(people))]
        known = personalise(self.world.model, series)
        self._usual = torch.stack([person.usual for person in known])
        self._code = torch.stack([person.particles(self.particles, seed) for person in known])
        self._widen = torch.stack([self.world.widen(person)["plan"].max() for person in known])
        context = self.world.model.shape.context
        self._values = torch.stack([torch.from_numpy(one.values[-context:]) for one in series])
        self._mask = torch.stack([torch.from_numpy(one.mask[-context:]) for one in series])
        self._pens = people.pens
        self._set = torch.where(people.pens, 0.0, people.settings[:, 0])
        self._limits = [LIMITS[group] for group in people.groups if group != "type2"]
        self._increment = torch.where(people.pens, 0.5, 0.05)
        self._multiple = torch.ones(len(people))
        self._trusted = torch.zeros(len(people), dtype=torch.bool)
        self._last: Doses | None = None
        self._count = len(people)

    def decide(self, seen: Seen) -> Doses:
        if self._last is not None:
            self._record(seen, self._last)
        own = self._person.decide(seen)
        due = (seen.announced > 0) | (seen.row % ROWS == 0)
        bolus = torch.zeros_like(own.bolus)
        if bool(due.any()):
            who = torch.nonzero(due).flatten()
            bolus[who], self._multiple[who], self._trusted[who] = self._plan(seen, who)
        bolus = torch.where(self._trusted, bolus, own.bolus)
        rate = self._set * torch.where(self._trusted, self._multiple, 1.0)
        basal = torch.where(seen.reading < SUSPEND, 0.0, rate)
        self._last = replace(own, basal=basal, bolus=bolus)
        self._announced = seen.announced
        return self._last

    def _record(self, seen: Seen, given: Doses) -> None:
        """Shift the window by the row that has just passed."""
        values = torch.zeros(self._count, len(GLUCOSE.channels))
        mask = torch.zeros_like(values, dtype=torch.bool)
        rest = torch.ones_like(seen.reading)
        known = {"glucose": seen.reading, "bolus": given.bolus, "carbs": self._announced, "activity": rest}
        for name, column in known.items():
            values[:, GLUCOSE.index(name)], mask[:, GLUCOSE.index(name)] = column, True
        values[:, GLUCOSE.index("basal")], mask[:, GLUCOSE.index("basal")] = given.basal, ~self._pens
        values[:, GLUCOSE.index("long_acting")], mask[:, GLUCOSE.index("long_acting")] = given.long_acting, self._pens
        self._values = torch.cat([self._values[:, 1:], values.unsqueeze(1)], 1)
        self._mask = torch.cat([self._mask[:, 1:], mask.unsqueeze(1)], 1)

    def _plan(self, seen: Seen, who: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What people `who` `[N]` are to get now: the impulse U, the multiple of the basal rate, and whether the plan is to be
        trusted, `[N]` each."""
        count, rows = len(who), round(HORIZON / STEP)
        minute = (STEP * (seen.row + torch.arange(-self._values.shape[1], 0))).remainder(24 * 60).float()
        past = Window(self._values[who], self._mask[who], minute.expand(count, -1))
        values = torch.zeros(count, rows, len(GLUCOSE.channels))
        mask = torch.zeros_like(values, dtype=torch.bool)
        for channel in GLUCOSE.channels:
            mask[..., GLUCOSE.index(channel.name)] = channel.form == "impulse"
        values[..., GLUCOSE.index("basal")], mask[..., GLUCOSE.index("basal")] = self._set[who].unsqueeze(1), True
        values[:, 0, GLUCOSE.index("carbs")] = seen.announced[who]
        plans = search_doses(
            self.world.model,
            past,
            self._usual[who],
            self._code[who],
            self._widen[who],
            Ahead(values, mask, self._increment[who], ~self._pens[who]),
            lambda hourly: _context(past, seen.reading[who], seen.since_bolus[who], hourly),
            [self._limits[index] for index in who.tolist()],
            simulations=self.simulations,
            seed=seen.row,
        )
        first = plans.actions[:, 0, 0]
        return first[:, 0], first[:, 1], ~plans.abstained


def _context(past: Window, reading: Tensor, since: Tensor, hourly: Tensor) -> DoseContext:
    """What the guardrails need: on board is what was given above the standing rate."""
    basal, bolus = (past.values[:, -ACTING:, GLUCOSE.index(name)] for name in ("basal", "bolus"))
    above = bolus + (basal - hourly[:, :1]).clamp(min=0.0) * STEP / 60.0
    ahead = hourly.shape[1]
    return DoseContext(
        level=reading,
        level_age=torch.zeros_like(reading),
        baseline=hourly,
        on_board=carried(above, step=STEP, interval=DECISION, decisions=ahead),
        since_last=since,
        remaining=remaining(torch.arange(ahead) * DECISION),
    )


def _at_rest(series: PatientSeries) -> PatientSeries:
    """The record as if nobody ever moved: no policy sees activity, and virtual people are known as wearing a tracker."""
    values, place = series.values.copy(), GLUCOSE.index("activity")
    values[:, place] = 1.0
    return replace(series, values=values)
