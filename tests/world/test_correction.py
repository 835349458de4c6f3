"""The correction learns what a person's days repeat, and leaves alone what a plan of ours would do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from careplan.series import PatientSeries
from careplan.world import correction
from careplan.world.calibration import part, residuals
from careplan.world.corpus import Corpus
from careplan.world.personalise import Personalisation, personalise, typical
from careplan.world.question import Given
from tests.world.toy import PRESSURE, random_model, recording

DAY = 288


def creature_of_habit(days: int) -> PatientSeries:
    """Every afternoon the level rises by 60 for three hours, and nothing that is logged says why."""
    calm = recording(1, rows=days * DAY)
    values = calm.values.copy()
    hour = calm.minute_of_day() / 60
    values[:, 0] = 120 + 60 * ((hour >= 15) & (hour < 18)) + np.random.default_rng(2).normal(0, 2, len(values))
    return replace(calm, values=np.where(calm.mask, values, 0).astype(np.float32))


@pytest.fixture(scope="module")
def known() -> tuple[PatientSeries, Personalisation]:
    series = creature_of_habit(10)
    return part(series, 0.7, 1.0), personalise(random_model(1), [part(series, 0.0, 0.7)], windows=16)[0]


def error(series: PatientSeries, person: Personalisation, given: Given) -> float:
    return float(residuals(random_model(1), series, person, given=given)[0].pow(2).nanmean().sqrt())


@pytest.mark.parametrize("given", [Given.NOTHING, Given.RECORD])
def test_what_a_person_repeats_is_foreseen(known: tuple[PatientSeries, Personalisation], given: Given) -> None:
    ahead, person = known
    assert error(ahead, person, given) < 0.85 * error(ahead, replace(person, correction=torch.zeros(0)), given)


def test_a_plan_is_not_corrected(known: tuple[PatientSeries, Personalisation]) -> None:
    ahead, person = known
    assert error(ahead, person, Given.PLAN) == error(ahead, replace(person, correction=torch.zeros(0)), Given.PLAN)


def test_it_starts_at_nothing_and_is_linear_between_its_knots() -> None:
    model, series = random_model(2), recording(3)
    past = Corpus.of([series]).windows(torch.zeros(4, dtype=torch.long), torch.tensor([0, 50, 100, 150]), model.shape.context)
    person = typical(model, "x", torch.zeros(len(PRESSURE.channels) + 1))
    usual, code = person.usual.expand(4, -1), person.mean.expand(4, -1)
    with torch.no_grad():
        state = model.state(model.encode(past, usual)[:, -1], past, usual, code)
        size = correction.features(model, state).shape[1]
        weights = torch.randn(2, size, len(PRESSURE.clock.knots), generator=torch.Generator().manual_seed(1))
        added = correction.correct(model, state, weights, Given.NOTHING, torch.tensor([0.0, 30.0, 45.0, 60.0, 240.0, 300.0]))
    assert torch.equal(added[:, 0], torch.zeros(4))
    torch.testing.assert_close(added[:, 2], (added[:, 1] + added[:, 3]) / 2)
    assert torch.equal(added[:, 4], added[:, 5])


def test_noise_is_hardly_learned() -> None:
    """Where the days repeat nothing, foresight gets no worse than by a few percent."""
    model, series = random_model(3), recording(7, rows=10 * DAY)
    values = series.values.copy()
    values[:, 0] = 120 + 30 * np.random.default_rng(5).standard_normal(len(values)).cumsum().clip(-3, 3)
    series = replace(series, values=np.where(series.mask, values, 0).astype(np.float32))
    person = personalise(model, [part(series, 0.0, 0.7)], windows=16)[0]
    ahead = part(series, 0.7, 1.0)
    corrected, plain = (
        float(residuals(model, ahead, one, given=Given.NOTHING)[0].pow(2).nanmean().sqrt())
        for one in (person, replace(person, correction=torch.zeros(0)))
    )
    assert corrected < 1.03 * plain


def test_an_hour_of_data_corrects_next_to_nothing() -> None:
    model = random_model(4)
    assert not len(typical(model, "x", torch.zeros(len(PRESSURE.channels) + 1)).correction)
    short = personalise(model, [recording(1, rows=12)], windows=8)[0]
    assert float(short.correction.abs().max()) < 0.001


def test_without_a_reading_nothing_is_corrected() -> None:
    series = recording(1, rows=DAY)
    mask = series.mask.copy()
    mask[:, 0] = False
    assert not len(personalise(random_model(4), [replace(series, mask=mask)], windows=4)[0].correction)


def test_scores_kept_for_intervals_are_of_days_that_were_not_fitted_to() -> None:
    """Where the days repeat nothing, what was fitted to looks better than it is, and the scores do not."""
    model, series = random_model(4), recording(8, rows=8 * DAY)
    person = personalise(model, [series], windows=16)[0]
    scores, every = person.foreseen, person.every
    assert scores.shape[0] == 2 and scores.shape[2] == len(PRESSURE.clock.knots) and every == 0.5
    assert scores.shape[1] <= 8 * 48 and float(scores.isnan().float().mean()) < 0.3
    fitted = residuals(model, series, person, given=Given.NOTHING)[1][:, 3].nanmedian()
    assert float(scores[0, :, 2].nanmedian()) > 0.98 * float(fitted)
