"""From a recording to a suggestion: the course search over a therapy's declared actions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from careplan.breach import in_words
from careplan.clock import duration_in_words
from careplan.covariates import CourseFacts
from careplan.declared.standing import Standing, given_in
from careplan.planning.choice import OPTIONS
from careplan.planning.course import CoursePlans, CourseSearch, plan_course
from careplan.planning.latent import latent_course
from careplan.planning.measuring import next_measurement
from careplan.planning.menu import Menu
from careplan.planning.rules import lasts
from careplan.recording import Recording, abstaining, question, row_at
from careplan.series import PatientSeries, given_columns, windows
from careplan.stages import stage
from careplan.suggestion import Interval, Kind, Line, Option, Path, Suggestion
from careplan.therapy import Limits, Therapy
from careplan.world.loaded import World, reasons_to_abstain
from careplan.world.personalise import Personalisation

PARTICLES = 12
DEPTH = 3  # decisions that a search may change, at most


@dataclass(frozen=True)
class Planner:
    """Suggests courses of what a therapy declares. limits: by what is known of a patient. kind: settings that stand, or doses
    from now on."""

    limits: Callable[[CourseFacts], Limits]
    kind: Kind
    search: CourseSearch | None = None

    def regimen(self, world: World, recording: Recording, person: Personalisation, *, seed: int = 0) -> Suggestion:
        """What should stand from the next decision on."""
        return self._suggested(world, recording, person, self.limits(recording.facts), seed=seed)

    def doses(
        self,
        world: World,
        recordings: Sequence[Recording],
        people: Sequence[Personalisation],
        *,
        at: pd.Timestamp | None = None,
        announced: Sequence[str] = (),
        seed: int = 0,
        limits: Mapping[str, Limits] | None = None,
        simulations: int | None = None,
    ) -> list[Suggestion]:
        """What to give at each of the next decisions. Raises `ValueError` where announcements are made, which are not read."""
        if announced:
            raise ValueError(f"{world.model.therapy.name}: announcements are not read: {'; '.join(announced)}")
        made = []
        for recording, person in zip(recordings, people, strict=True):
            own = (limits or {}).get(recording.patient, self.limits(recording.facts))
            if at is not None:
                recording = replace(recording, series=recording.series.until(row_at(recording.series, at)))
            made.append(self._suggested(world, recording, person, own, seed=seed, simulations=simulations, at=at))
        return made

    def _suggested(
        self,
        world: World,
        recording: Recording,
        person: Personalisation,
        limits: Limits,
        *,
        seed: int,
        simulations: int | None = None,
        at: pd.Timestamp | None = None,
    ) -> Suggestion:
        series, therapy = recording.series, world.model.therapy
        asked = question(self.kind, recording.prescribed, at=at, simulations=simulations)
        end = (series.times[-1] + pd.Timedelta(minutes=therapy.step)).to_pydatetime()
        provenance = world.provenance(seed, recording.data, asked=asked)
        suggestion = abstaining(series, self.kind, provenance, reasons_to_abstain(world, series, person), at=end)
        if suggestion.reasons:
            return suggestion
        with stage("search"):
            standing = recording.regimen if isinstance(recording.regimen, Standing) else None
            how = self.search or CourseSearch(depth=min(DEPTH, round(therapy.clock.ahead / therapy.clock.decision)))
            how = replace(how, seed=seed, simulations=simulations or how.simulations)
            therapy = therapy if self.kind == "doses" else settled(therapy)
            how = how if self.kind == "doses" else replace(how, depth=1)
            plans = planned(world, series, person, limits, standing, how, therapy)
        with stage("explain"):
            return _told(suggestion, therapy, plans, series)


def settled(therapy: Therapy) -> Therapy:
    """The therapy with one decision, which stands for as long as a plan looks."""
    clock = therapy.clock
    return replace(therapy, clock=replace(clock, decision=max(1, int(clock.ahead / clock.interval + 1e-6)) * clock.interval))


def planned(
    world: World,
    series: PatientSeries,
    person: Personalisation,
    limits: Limits,
    standing: Standing | None,
    how: CourseSearch,
    therapy: Therapy,
) -> CoursePlans:
    """The course for one patient from the end of a recording on. therapy: as it is planned."""
    model, device = world.model, world.model.center.device
    usual, code = person.usual.unsqueeze(0).to(device), person.particles(PARTICLES, seed=how.seed).unsqueeze(0).to(device)
    past = windows(series, [len(series)], model.shape.context).to(device)
    rows = series.therapy.clock.rows(series.therapy.clock.ahead)
    values = as_it_stands(series, person.usual, standing, rows).unsqueeze(0).to(device)
    course, state = latent_course(model, past, usual, code, values, therapy=therapy, seed=how.seed)
    columns = given_columns(therapy)
    history = torch.from_numpy(np.where(series.mask[:, columns], series.values[:, columns], np.nan))
    order = [columns.index(therapy.index(action.channel)) for action in therapy.actions]
    given = history[:, order].unsqueeze(0).to(device) * course.menu.per_row.to(device)
    level = model.natural(course.futures.start.mean(1))
    often = in_units(therapy, series) / (course.menu.per_row * course.menu.rows)  # its doses, of its rows
    single = [lasts(therapy.channel(a.channel), a) and therapy.channel(a.channel).form == "impulse" for a in therapy.actions]
    least = min((share for share, own in zip(often.tolist(), single, strict=True) if own), default=1.0)
    limits = replace(limits, max_dose=limits.max_dose * least)
    return plan_course(course, state, course.menu, limits, level, given, how=how)


def as_it_stands(series: PatientSeries, usual: Tensor, standing: Standing | None, rows: int) -> Tensor:
    """The future `[rows, C]`: what stands goes on, single doses in the rows of the cycle in which they are given (`given_in`), as
    do the last rates and choices of a recording; what the patient takes in single amounts comes as is usual; nothing else is
    given."""
    therapy = series.therapy
    values = torch.zeros(rows, len(therapy.channels))
    regimen = () if standing is None else standing.names
    for place, channel in enumerate(therapy.channels):
        known = series.column(channel.name)
        known = known[np.isfinite(known)]
        if standing is not None and channel.name in regimen:
            values[..., place] = standing.of(channel.name)
            if channel.form == "impulse":
                given = given_in(series, channel.name)
                values[..., place] *= torch.from_numpy(given[(len(series) + np.arange(rows)) % len(given)])
        elif channel.role != "observation" and channel.form != "impulse" and len(known):
            values[..., place] = float(known[-1])
        elif channel.role == "disturbance":
            values[..., place] = usual[place]
    return values


def _told(suggestion: Suggestion, therapy: Therapy, plans: CoursePlans, series: PatientSeries) -> Suggestion:
    reasons = [in_words(breach) for breach in (*plans.reasons[0], *plans.refused[0])]
    if bool(plans.abstained[0]):
        return replace(suggestion, reasons=tuple(reasons or ["the search answers nothing"]))
    lines = lines_of(suggestion.kind, therapy, plans, series)
    options = tuple(_option(name, place, therapy, plans, lines) for place, name in enumerate(OPTIONS))
    kept = tuple(each for each in options if each.name != "runner-up" or bool(plans.has_runner_up[0]))
    risk, ahead = [float(plans.risk[0, place].mean()) for place in (0, 2)], duration_in_words(therapy.clock.ahead)
    reasons.append(
        f"the risk of the next {ahead} is predicted to be {risk[0]:.3g}, without a change {risk[1]:.3g}"
        if lines
        else f"no change is predicted to be better than what stands by as much as a change should be (risk {risk[1]:.3g})"
    )
    if therapy.measure is not None:
        gap, _ = next_measurement(therapy, plans.levels[:, 0], therapy.clock.interval)
        reasons.append(f"measure again in {duration_in_words(float(gap))}")
    bound = tuple(breach for breach in plans.bound[0] if breach.rule != "bounds")
    return replace(suggestion, abstained=False, reasons=tuple(reasons), lines=lines, options=kept, limits_bound=bound)


def lines_of(kind: Kind, therapy: Therapy, plans: CoursePlans, series: PatientSeries) -> tuple[Line, ...]:
    """What is proposed otherwise than it stands: of a regimen what should stand now, else a line for each decision and action."""
    readings = int(series.mask[:, therapy.observed].any(1).sum())
    shown = plans.amounts[0, [0, 2]] / in_units(therapy, series)
    found, minutes = [], therapy.clock.decision
    for decision, (given, stands) in enumerate(zip(*shown.tolist(), strict=True)):
        for action, amount, current in zip(therapy.actions, given, stands, strict=True):
            if abs(amount - current) < 1e-6 or (kind == "regimen" and decision):
                continue
            channel = therapy.channel(action.channel)
            amount, current = round(amount, 4), round(current, 4)
            found.append(
                Line(
                    key=f"{channel.name}@{0 if kind == 'regimen' else decision}",
                    setting=channel.name,
                    start=0 if kind == "regimen" else round(decision * minutes),
                    end=1440 if kind == "regimen" else round((decision + 1) * minutes),
                    unit=channel.unit,
                    current=current,
                    proposed=amount,
                    lowest=channel.low,
                    highest=channel.high,
                    absolute_low=channel.low,
                    absolute_high=channel.high,
                    days=readings,
                    why=f"{channel.name.replace('_', ' ')} {amount:g} {channel.unit} instead of {current:g}",
                )
            )
    return tuple(found)


def in_units(therapy: Therapy, series: PatientSeries) -> Tensor:
    """`[A]` what an amount of a decision is divided by, so that it is in its channel's unit, and of single doses is one dose."""
    menu = Menu(therapy=therapy, values=torch.zeros(1, 0, len(therapy.channels)), counted=torch.zeros(1, 0))
    each = []
    for action in therapy.actions:
        channel, count = therapy.channel(action.channel), 1
        if lasts(channel, action):
            given = given_in(series, channel.name) if channel.form == "impulse" else np.ones(1, dtype=bool)
            count = max(1, int(given[(len(series) + np.arange(menu.rows)) % len(given)].sum()))
        each.append(count)
    return menu.per_row * torch.tensor(each)


def _option(name: str, place: int, therapy: Therapy, plans: CoursePlans, lines: Sequence[Line]) -> Option:
    levels = plans.levels[0, place]  # [P, Q, M]
    low, mid, high = (tuple(part.tolist()) for part in torch.quantile(levels[:, 0], torch.tensor([0.05, 0.5, 0.95]), dim=0))
    minutes = tuple(therapy.clock.interval * (1 + index) for index in range(levels.shape[-1]))
    outcomes = {"mean" if q == 0 else f"mean {o.name}": levels[:, q].mean(-1) for q, o in enumerate(therapy.outputs)}
    for index, cost in enumerate(therapy.costs):
        spent = plans.spent[0, place, :, index]
        outcomes[cost.name if cost.of == "share" else f"sum {cost.name}"] = 100.0 * spent if cost.of == "share" else spent
    outcomes["risk"] = plans.risk[0, place]
    return Option(
        name=name,
        path=Path(minutes=minutes, mid=mid, low=low, high=high),
        outcomes={key: _interval(value) for key, value in outcomes.items()},
        does="; ".join(line.why for line in lines) if name == "proposed" else "",
    )


def _interval(values: Tensor) -> Interval:
    low, high = torch.quantile(values, torch.tensor([0.05, 0.95], dtype=values.dtype)).tolist()
    return Interval(mid=float(values.mean()), low=low, high=high)
