"""The regimen: tablets on each evening of the week, the evenings left out first, and when the INR is due next."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from careplan.errors import AskError
from careplan.minutes import DAY
from careplan.practice import SettingChange
from careplan.records.settings import StatedSettings
from careplan.suggestion import Line
from careplan.therapies.warfarin.declaration import MOST_A_DAY, WARFARIN

if TYPE_CHECKING:
    from torch import Tensor

    from careplan.series import PatientSeries

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
STRENGTHS = (1.0, 3.0, 5.0)  # mg of the tablets at hand, where nobody said: those of the British National Formulary
SETTINGS = ("weekly_dose", "hold", "next_inr")
RECENT = 14  # days whose doses tell what somebody takes


@dataclass(frozen=True, kw_only=True)
class Regimen:
    """What a clinician prescribes.

    week: mg each evening, Monday first. strengths: mg of the tablets at hand, each of which can be halved. hold: evenings without
    a tablet before the week begins. next_inr: days until the INR is due.
    """

    week: tuple[float, ...]
    strengths: tuple[float, ...] = STRENGTHS
    hold: int = 0
    next_inr: int = 7

    def __post_init__(self) -> None:
        if len(self.week) != len(DAYS):
            raise ValueError(f"regimen: {len(self.week)} evenings, expected a week of {len(DAYS)}")
        if not self.strengths or not all(0 < strength < 100 for strength in self.strengths):
            raise ValueError(f"regimen: tablets of {self.strengths} mg, expected strengths above 0")
        if not all(0 <= dose <= MOST_A_DAY for dose in self.week):
            raise ValueError(f"regimen: {self.week} mg, expected 0 to {MOST_A_DAY:g} each evening")
        for day, dose in zip(DAYS, self.week, strict=True):
            if not halvable(dose, self.strengths):
                raise ValueError(f"regimen: {day} {dose:g} mg cannot be made of halves of {_listed(self.strengths)} mg tablets")
        if not (0 <= self.hold <= 14 and 1 <= self.next_inr <= 366):
            raise ValueError(f"regimen: {self.hold} evenings left out, INR in {self.next_inr} days: expected 0 to 14, 1 to 366")

    @property
    def weekly(self) -> float:
        """Mg a week."""
        return sum(self.week)


def increment(strengths: tuple[float, ...]) -> float:
    """Half of the smallest tablet, mg."""
    return 0.5 * min(strengths)


def halvable(dose: float, strengths: tuple[float, ...]) -> bool:
    """Whether a dose is a whole number of halves of the smallest tablet."""
    halves = dose / increment(strengths)
    return math.isfinite(halves) and abs(halves - round(halves)) < 1e-6


def week_of(weekly: float, strengths: tuple[float, ...] = STRENGTHS) -> tuple[float, ...]:
    """Mg a week as seven evenings, as alike as halves of the tablets allow, the larger ones spread over the week.

    Raises `AskError` where it cannot be made of them.
    """
    half = increment(strengths)
    if not halvable(weekly, strengths) or weekly < 0:
        near = "expected a number from 0 up"
        if math.isfinite(weekly) and weekly > 0:
            low = math.floor(weekly / half) * half
            near = f"{low:g} and {low + half:g} mg can"
        raise AskError(f"{weekly:g} mg a week cannot be made of halves of {_listed(strengths)} mg tablets; {near}")
    whole, more = divmod(round(weekly / half), len(DAYS))
    extra = [(place * more) // len(DAYS) != ((place + 1) * more) // len(DAYS) for place in range(len(DAYS))]
    return tuple(half * (whole + one) for one in extra)


def tablets(week: tuple[float, ...]) -> str:
    """ "5 mg; Tue, Thu 7.5 mg": the usual evening, and those that differ."""
    usual = max(set(week), key=lambda dose: (week.count(dose), -dose))
    others: dict[float, list[str]] = {}
    for day, dose in zip(DAYS, week, strict=True):
        if dose != usual:
            others.setdefault(dose, []).append(day)
    return "; ".join([f"{usual:g} mg", *(f"{', '.join(days)} {dose:g} mg" for dose, days in others.items())])


def stated(settings: StatedSettings) -> Regimen:
    """The regimen that a source states: `weekly_dose` in mg, and `strengths` as "1, 5". Raises `ValueError` where a setting is
    unknown, the weekly dose is missing, or a value is not a number of mg.
    """
    given = settings.single
    if unknown := {*settings.blocks, *given} - {"weekly_dose", "strengths", "next_inr"}:
        raise ValueError(f"regimen: settings {sorted(unknown)} are unknown")
    if "weekly_dose" not in given:
        raise ValueError("regimen: setting weekly_dose is missing")
    strengths: tuple[float, ...] = STRENGTHS
    try:
        if "strengths" in given:
            strengths = tuple(float(part) for part in str(given["strengths"]).replace(";", ",").split(","))
        weekly, due = float(given["weekly_dose"]), int(float(given.get("next_inr", 7)))
    except ValueError as error:
        raise ValueError(f"regimen: expected numbers of mg: {error}") from None
    return Regimen(week=week_of(weekly, strengths), strengths=strengths, next_inr=due)


def estimate(series: "PatientSeries") -> Regimen:
    """What somebody takes by the tablets of the last days, to the nearest half; no tablets where none is on record."""
    column = WARFARIN.index("warfarin")
    doses, known = series.values[-RECENT:, column], series.mask[-RECENT:, column]
    if not known.any():
        return Regimen(week=(0.0,) * len(DAYS))
    half = increment(STRENGTHS)
    last = doses[known][-len(DAYS) :]
    weekly = half * round(float(np.mean(last)) * len(DAYS) / half)
    return Regimen(week=week_of(min(weekly, MOST_A_DAY * len(DAYS))))


def carried_on(series: "PatientSeries", usual: "Tensor", regimen: Regimen | None, rows: int) -> "Tensor":
    """`[rows, C]` The evenings of the week, those that are left out first, with what is taken beside them now."""
    import torch

    values = torch.zeros(rows, len(WARFARIN.channels))
    week = (0.0,) * len(DAYS) if regimen is None else regimen.week
    first = (series.times[-1].tz_convert(series.zone).weekday() + 1) % len(DAYS)
    evenings = [week[(first + row) % len(DAYS)] if regimen is None or row >= regimen.hold else 0.0 for row in range(rows)]
    for channel in WARFARIN.of("disturbance"):
        known = series.column(channel.name)
        known = known[np.isfinite(known)]
        values[:, WARFARIN.index(channel.name)] = float(known[-1]) if len(known) else 0.0
    values[:, WARFARIN.index("warfarin")] = torch.tensor(evenings)
    return values


def current(regimen: Regimen, line: Line) -> float:
    """What a line of a suggestion is now."""
    return {"weekly_dose": regimen.weekly, "hold": float(regimen.hold), "next_inr": float(regimen.next_inr)}[line.setting]


def listed(regimen: Regimen) -> Mapping[str, tuple[tuple[int, float], ...]]:
    """setting -> ((minute of the week, value), ...)"""
    return {
        "weekly_dose": ((0, regimen.weekly),),
        "evening": tuple((DAY * day, dose) for day, dose in enumerate(regimen.week)),
        "hold": ((0, float(regimen.hold)),),
        "next_inr": ((0, float(regimen.next_inr)),),
    }


def changed(regimen: Regimen, changes: Iterable[SettingChange]) -> Regimen:
    """With some settings changed; doses are left out anew only where a change says so. Raises `AskError` for a setting a regimen
    has not, and for a weekly dose that cannot be made of its tablets."""
    made = replace(regimen, hold=0)
    for change in changes:
        if change.setting == "weekly_dose":
            made = replace(made, week=week_of(change.value, regimen.strengths))
        elif change.setting == "hold":
            made = replace(made, hold=_whole(change))
        elif change.setting == "next_inr":
            made = replace(made, next_inr=_whole(change))
        else:
            raise AskError(f"{change.setting!r} is not a setting of a regimen")
    return made


def _whole(change: SettingChange) -> int:
    if change.value != round(change.value):
        raise AskError(f"{change.setting}: {change.value:g} is not a whole number of days")
    return int(change.value)


def _listed(strengths: tuple[float, ...]) -> str:
    return " and ".join(f"{strength:g}" for strength in strengths)
