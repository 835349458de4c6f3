"""autotune's rules, on days made for each of them and on people whose settings are wrong on purpose."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cohorts.autotune import DURATION, LEAST, MOST, PEAK, TunedSettings, autotuned
from cohorts.insulin import exponential
from cohorts.policies import Behaviour
from cohorts.population import Population, sample_population
from cohorts.replay import replay
from cohorts.scenarios import ROWS, Life

CALM = Life(meal_time=0, meal_size=0, counting=0, unannounced=0, slow=0, circadian=0, daily=0, exercise=0, illness=0)


def even(basal: float = 1.0, ratio: float = 10.0, factor: float = 50.0) -> TunedSettings:
    return TunedSettings(torch.full((24, 1), basal), torch.tensor([ratio]), torch.tensor([factor]))


def tuned(reading: Tensor, *, carbs: Tensor | None = None, bolus: Tensor | None = None) -> TunedSettings:
    none = torch.zeros_like(reading)
    return autotuned(even(), reading, none if carbs is None else carbs, none if bolus is None else bolus, none)


def drift(slope: float, days: int = 1) -> Tensor:
    """Glucose moves by `slope` mg/dL a row, all the time, as no glucose could."""
    return 5000 + slope * torch.arange(float(days * ROWS)).unsqueeze(1)


def test_a_steady_drift_is_basal_and_moves_nothing_else() -> None:
    for slope, more in ((0.5, True), (-0.5, False)):
        after = tuned(drift(slope))
        assert bool(((after.basal > 1) if more else (after.basal < 1)).all())
        assert float(after.ratio) == 10 and float(after.factor) == 50


def test_a_fifth_of_what_is_needed_a_run_within_the_caps() -> None:
    reading = torch.full((ROWS, 1), 150.0)
    reading[120:132] += torch.arange(12.0).unsqueeze(1)  # 1 mg/dL a row from ten to eleven, 12 in all, then falls back
    reading[132:] += 12.0
    after = tuned(reading)
    assert float((after.basal - 1).clamp(min=0)[7:10].sum()) == pytest.approx(0.2 * 12 / 50, rel=0.35)
    assert after.basal[12:22].sub(1).abs().max() < 0.01
    for slope, cap in ((2.0, MOST), (-1.5, LEAST)):
        assert tuned(drift(slope, days=14)).basal.mean() == pytest.approx(cap, abs=1e-4)


def test_boluses_that_do_more_than_they_should_weaken_the_correction_factor() -> None:
    bolus = torch.zeros(ROWS, 1)
    bolus[60] = 2.0
    left, _ = exponential(5 * (torch.arange(ROWS) - 59.0), PEAK, DURATION)
    for strength, weaker in ((70.0, True), (30.0, False)):
        course = torch.where(torch.arange(ROWS) < 60, 2.0, 2.0 * left)
        after = tuned(120 + strength * course.unsqueeze(1), bolus=bolus)
        assert (float(after.factor) > 50) == weaker and 50 / MOST <= float(after.factor) <= 50 / LEAST
        assert float(after.ratio) == 10


def test_meals_that_end_high_ask_for_a_stronger_ratio() -> None:
    carbs, bolus = torch.zeros(ROWS, 1), torch.zeros(ROWS, 1)
    carbs[84], bolus[84] = 50.0, 5.0
    left, _ = exponential(5 * (torch.arange(ROWS) - 84.0), PEAK, DURATION)
    eaten = ((torch.arange(ROWS) - 84.0) / 36).clamp(0, 1)
    for rise, stronger in ((330.0, True), (200.0, False)):
        course = 120 + rise * eaten - 250 * torch.where(torch.arange(ROWS) < 84, 0.0, 1 - left)
        after = tuned(course.unsqueeze(1), carbs=carbs, bolus=bolus)
        assert (float(after.ratio) < 10) == stronger and float(after.ratio) != 10


def test_a_rise_while_low_and_a_rise_out_of_nothing_are_no_evidence() -> None:
    low = torch.full((ROWS, 1), 60.0) + (torch.arange(ROWS) % 12).unsqueeze(1)
    assert tuned(low).basal.max() <= 1.0 + 1e-6
    sudden = torch.full((ROWS, 1), 110.0)
    sudden[100:110] += 12 * torch.arange(10.0).unsqueeze(1)
    sudden[110:] += 120
    assert tuned(sudden).basal.max() <= 1.02


def wrong(people: Population, basal: float, ratio: float) -> tuple[TunedSettings, TunedSettings]:
    """What two days make of settings that are wrong by so much: those in force, and those after."""
    people = replace(people, prescribed=torch.tensor([basal, ratio, ratio]).expand(len(people), 3))
    lived = replay(people, Behaviour.as_set(), days=2, seed=7, life=CALM)
    now = TunedSettings(*(part.expand(24, -1) if k == 0 else part for k, part in enumerate(people.settings.unbind(-1))))
    shown = torch.cat([people.fasting.unsqueeze(0), lived.reading.T[:-1]]).nan_to_num(120.0)
    extra = (lived.basal.T - people.settings[:, 0]) / 12
    return now, autotuned(now, shown, lived.announced.T, lived.bolus.T, extra)


def test_weak_settings_are_strengthened_and_strong_ratios_weakened() -> None:
    people = sample_population("adult", 6, seed=71)
    now, after = wrong(people, 0.7, 1.4)
    assert (after.basal.mean(0) > now.basal.mean(0)).sum() >= 5 and (after.ratio < now.ratio).sum() >= 5
    now, after = wrong(people, 1.25, 0.75)
    assert (after.ratio > now.ratio).sum() >= 5
    assert ((after.basal >= LEAST * now.basal - 1e-5) & (after.basal <= MOST * now.basal + 1e-5)).all()
