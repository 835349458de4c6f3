"""What is given until somebody changes it, as the regimen of a therapy that brings none of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from careplan.planning.rules import lasts
from careplan.practice import SettingChange
from careplan.records.settings import StatedSettings
from careplan.series import PatientSeries
from careplan.suggestion import Line
from careplan.therapy import Therapy


@dataclass(frozen=True, kw_only=True)
class Standing:
    """names: the channels of what goes on by itself: rates, choices, doses that are taken in every row as prescribed. values: of
    each, in its channel's unit."""

    names: tuple[str, ...] = ()
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.names) != len(self.values):
            raise ValueError(f"regimen: {len(self.values)} values of {self.names}")

    def of(self, name: str) -> float:
        """What stands of a channel; 0 where nothing does."""
        return dict(zip(self.names, self.values, strict=True)).get(name, 0.0)


def names_of(therapy: Therapy) -> tuple[str, ...]:
    """The channels of what stands."""
    return tuple(action.channel for action in therapy.actions if lasts(therapy.channel(action.channel), action))


def checked(therapy: Therapy, values: Mapping[str, float]) -> Standing:
    """What stands; raises `ValueError` where it cannot: a name that is none of it, a value that its channel cannot hold."""
    names = names_of(therapy)
    if unknown := sorted(set(values) - set(names)):
        raise ValueError(f"regimen: {unknown} are no settings of {therapy.name}, which are {', '.join(names) or 'none'}")
    for name, value in values.items():
        channel = therapy.channel(name)
        if not channel.low <= value <= channel.high:
            raise ValueError(f"regimen: {name} {value:g} {channel.unit} is outside {channel.low:g} to {channel.high:g}")
    return Standing(names=names, values=tuple(float(values.get(name, 0.0)) for name in names))


def stated(therapy: Therapy, settings: StatedSettings) -> Standing:
    """What a source states, a number each by the name of its channel. Raises `ValueError` where one is no number or is stated by
    parts of the day.
    """
    if settings.blocks:
        raise ValueError(f"regimen: {sorted(settings.blocks)} by parts of the day, which {therapy.name} does not have")
    try:
        return checked(therapy, {name: float(value) for name, value in settings.single.items()})
    except TypeError as error:
        raise ValueError(f"regimen: expected numbers: {error}") from None


def given_in(series: PatientSeries, name: str) -> NDArray[np.bool_]:
    """In which rows of the cycle, counted from the start of the recording, single doses of a channel are given (three evenings a
    week): of the last two decisions, where at least half had one. All, where nothing repeats or none was given."""
    clock = series.therapy.clock
    cycle = 1 if clock.cycle is None else clock.rows(clock.cycle)
    column = series.column(name)
    recent = np.arange(max(0, len(column) - max(2 * clock.rows(clock.decision), 2 * cycle)), len(column))
    known = recent[np.isfinite(column[recent])]
    times, given = (np.bincount(rows % cycle, minlength=cycle) for rows in (known, known[column[known] > 0]))
    found = (given > 0) & (2 * given >= times)
    return found if found.any() else np.ones(cycle, dtype=bool)


def estimate(therapy: Therapy, series: PatientSeries) -> Standing | None:
    """What stands by the recording: of a rate or a choice its last known value, of single doses the median of the last
    decision's, in the rows of the cycle in which they are given (`given_in`); None where something of it was never recorded."""
    rows, found = therapy.clock.rows(therapy.clock.decision), {}
    for name in names_of(therapy):
        column = series.column(name)
        known = column[np.isfinite(column)]
        if not len(known):
            return None
        if therapy.channel(name).form != "impulse":
            found[name] = float(known[-1])
            continue
        given = given_in(series, name)
        due = column[given[np.arange(len(column)) % len(given)]]
        due = due[np.isfinite(due)]
        found[name] = float(np.median(due[-max(1, round(rows * given.mean())) :])) if len(due) else 0.0
    return checked(therapy, found)


def changed(therapy: Therapy, regimen: Standing, changes: Iterable[SettingChange]) -> Standing:
    """With some of it changed; raises as `checked`."""
    new = checked(therapy, {change.setting: change.value for change in changes})
    asked = {change.setting for change in changes}
    values = {name: (new if name in asked else regimen).of(name) for name in names_of(therapy)}
    return replace(regimen, names=tuple(values), values=tuple(values.values()))


def current(regimen: Standing, line: Line) -> float:
    """What a line of a suggestion is now."""
    return regimen.of(line.setting)


def listed(regimen: Standing) -> dict[str, tuple[tuple[int, float], ...]]:
    """By channel, from the start of the day on."""
    return {name: ((0, value),) for name, value in zip(regimen.names, regimen.values, strict=True)}
