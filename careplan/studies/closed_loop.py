"""The planner as a policy: it treats virtual people in closed loop, from what was seen and done, as any other policy does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from careplan.covariates import CourseFacts
from careplan.minutes import DAY
from careplan.planning.actions import carried, remaining
from careplan.planning.safety import DoseContext
from careplan.series import PatientSeries, Window
from careplan.therapies.glucose.declaration import CLOCK, GLUCOSE, RAPID, Group, limits_of
from careplan.therapies.glucose.dose_search import Ahead, Constraints, Patients, search_doses
from careplan.therapies.glucose.modulation import modulated_rate
from careplan.therapies.glucose.world import open_world
from careplan.therapy import Limits, Mandate
from careplan.world.loaded import World
from careplan.world.personalise import personalise
from careplan.world.question import Given
from cohorts.policies import Behaviour, Doses, Seen
from cohorts.population import Population
from cohorts.replay import replay

STEP = GLUCOSE.step
ACTING = 72  # rows of history whose doses may still act


@dataclass(eq=False)
class Treated:
    """B patients under the planner: what is known of them, and what was last seen and given. A simulator tells `record` what
    passed in each row, and asks `plan`.

    usual `[B, C + 1]`, code `[B, P, K]`, interval_factor `[B]` as `search_doses`; values, mask: the last rows `[B, T, C]`;
    standing `[B]` U/h, what is prescribed as basal rate, 0 on pens; adjustable `[B]`: pumps; increment `[B]` U of bolus.
    """

    world: World
    usual: Tensor
    code: Tensor
    interval_factor: Tensor
    values: Tensor
    mask: Tensor
    standing: Tensor
    adjustable: Tensor
    increment: Tensor
    limits: Sequence[Limits]
    simulations: int = 48
    mandates: list[Mandate] | None = None  # a patient each
    left: list[Mandate] | None = None  # of those, after the last plan

    @classmethod
    def after(
        cls,
        world: World,
        recordings: Sequence[PatientSeries],
        standing: Tensor,
        pens: Tensor,
        groups: Sequence[Group],
        *,
        particles: int = 8,
        simulations: int = 48,
        seed: int = 0,
    ) -> "Treated":
        """Personalise on recordings; standing `[B]` U/h, pens `[B]`."""
        known, context = personalise(world.model, recordings), world.model.shape.context
        return cls(
            world=world,
            usual=torch.stack([person.usual for person in known]),
            code=torch.stack([person.particles(particles, seed) for person in known]),
            interval_factor=torch.stack([world.interval_factors(person)[Given.PLAN].max() for person in known]),
            values=torch.stack([torch.from_numpy(one.values[-context:]) for one in recordings]),
            mask=torch.stack([torch.from_numpy(one.mask[-context:]) for one in recordings]),
            standing=torch.where(pens, 0.0, standing),
            adjustable=~pens,
            increment=torch.where(pens, 0.5, 0.05),
            limits=[limits_of(CourseFacts(group=group)) for group in groups],
            simulations=simulations,
        )

    def record(self, passed: Mapping[str, Tensor]) -> None:
        """The row that has just passed, `[B]` by channel; NaN where it is not known."""
        row = torch.full_like(self.values[:, :1], torch.nan)
        for name, column in passed.items():
            row[:, 0, GLUCOSE.index(name)] = column
        self.values = torch.cat([self.values[:, 1:], row.nan_to_num(0.0)], 1)
        self.mask = torch.cat([self.mask[:, 1:], ~row.isnan()], 1)

    def plan(
        self, who: Tensor, minute: float, level: Tensor, announced: Tensor, since: Tensor, seed: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What people `who` `[N]` are to get from this minute of the day on: the bolus U, the multiple of the standing rate, and
        whether the plan is to be trusted, `[N]` each. level mg/dL, announced g, minutes since a bolus, `[N]` each."""
        count, rows = len(who), round(CLOCK.ahead / STEP)
        clock = (minute + STEP * torch.arange(-self.values.shape[1], 0)).remainder(DAY).float()
        past = Window(self.values[who], self.mask[who], clock.expand(count, -1))
        values = torch.zeros(count, rows, len(GLUCOSE.channels))
        mask = torch.zeros_like(values, dtype=torch.bool)
        for channel in GLUCOSE.channels:
            mask[..., GLUCOSE.index(channel.name)] = channel.form == "impulse"
        values[..., GLUCOSE.index("basal")], mask[..., GLUCOSE.index("basal")] = self.standing[who].unsqueeze(1), True
        values[:, 0, GLUCOSE.index("carbs")] = announced
        plans = search_doses(
            self.world.model,
            Patients(past, self.usual[who], self.code[who], self.interval_factor[who]),
            Ahead(values, mask, self.increment[who], self.adjustable[who]),
            Constraints(
                context=lambda hourly: _context(past, level, since, hourly),
                limits=[self.limits[index] for index in who.tolist()],
                mandates=self.mandates and [self.mandates[index] for index in who.tolist()],
            ),
            simulations=self.simulations,
            seed=seed,
        )
        if self.mandates is not None:
            self.left = self.left or list(self.mandates)
            for index, spent in zip(who.tolist(), plans.below[:, 0].mean(1).tolist(), strict=True):
                self.left[index] = self.mandates[index].after(spent)
        first = plans.actions[:, 0, 0]
        return first[:, 0], first[:, 1], ~plans.abstained


@dataclass
class Planner:
    """Plans for everyone in one batch every ten minutes, for whoever announces a meal at once, and gives what is to be given now.

    Before a replay everyone lives `history` days as they behave, on which the world model is personalised. Basal is the set rate
    times the multiple of the last plan. Whoever's plan may change nothing, since what is known of them is missing or absurd,
    lives basal-bolus to the letter until one may. A pump stops below 75 mg/dL and people treat lows, as under any policy.

    It searches with fewer particles than `careplan plan` and by a tree of `simulations`, and pens give half units.
    """

    world: World = field(default_factory=open_world)
    name: str = "planner"
    history: int = 14
    particles: int = 8
    simulations: int = 48
    every: int = 2  # rows between plans
    mandates: Sequence[Mandate] | None = None  # what each person's regimen hands down
    _person: Behaviour = field(default_factory=Behaviour.as_set, repr=False)

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        """Begins the treatment of these people. Raises `ValueError` where any of them make insulin."""
        if "type2" in people.groups:
            raise ValueError(f"{self.name}: its world model has never seen people who make insulin, as those of type 2 do")
        self._person.begin(people, rows, generator)
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        lived = replay(people, Behaviour(), days=self.history, seed=seed)
        self._treated = Treated.after(
            self.world,
            [_at_rest(lived.series(index)) for index in range(len(people))],
            people.settings[:, 0],
            people.pens,
            [group for group in people.groups if group != "type2"],
            particles=self.particles,
            simulations=self.simulations,
            seed=seed,
        )
        self._treated.mandates = None if self.mandates is None else list(self.mandates)
        self._multiple = torch.ones(len(people))
        self._trusted = torch.zeros(len(people), dtype=torch.bool)
        self._last: dict[str, Tensor] | None = None

    def decide(self, seen: Seen) -> Doses:
        treated = self._treated
        if self._last is not None:
            treated.record({"glucose": seen.reading, "activity": torch.ones_like(seen.reading), **self._last})
        own = self._person.decide(seen)
        due = (seen.announced > 0) | (seen.row % self.every == 0)
        bolus = torch.zeros_like(own.bolus)
        if bool(due.any()):
            who = torch.nonzero(due).flatten()
            reading, announced, since = seen.reading[who], seen.announced[who], seen.since_bolus[who]
            planned = treated.plan(who, STEP * seen.row, reading, announced, since, seed=seen.row)
            bolus[who], self._multiple[who], self._trusted[who] = planned
        bolus = torch.where(self._trusted, bolus, own.bolus)
        rate = treated.standing * torch.where(self._trusted, self._multiple, 1.0)
        basal = rate * modulated_rate(seen.reading, treated.left)
        unknown = torch.full_like(basal, torch.nan)
        self._last = {
            "bolus": bolus,
            "carbs": seen.announced,
            "basal": torch.where(treated.adjustable, basal, unknown),
            "long_acting": torch.where(treated.adjustable, unknown, own.long_acting),
        }
        return replace(own, basal=basal, bolus=bolus)


def _context(past: Window, reading: Tensor, since: Tensor, hourly: Tensor) -> DoseContext:
    """What the guardrails need: on board is what was given above the standing rate."""
    basal, bolus = (past.values[:, -ACTING:, GLUCOSE.index(name)] for name in ("basal", "bolus"))
    above = bolus + (basal - hourly[:, :1]).clamp(min=0.0) * STEP / 60.0
    ahead = hourly.shape[1]
    return DoseContext(
        level=reading,
        level_age=torch.zeros_like(reading),
        baseline=hourly,
        on_board=carried(above, RAPID, step=STEP, interval=CLOCK.decision, decisions=ahead),
        since_last=since,
        remaining=remaining(torch.arange(ahead) * CLOCK.decision, RAPID),
    )


def _at_rest(series: PatientSeries) -> PatientSeries:
    """The record as if nobody ever moved: no policy sees activity, and virtual people are known as wearing a tracker."""
    values, place = series.values.copy(), GLUCOSE.index("activity")
    values[:, place] = 1.0
    return replace(series, values=values)
