"""Personalisation finds what is there to find, costs nothing where there is nothing, and says how sure it is."""

import math
from dataclasses import replace

import pytest
import torch

from careplan.therapies.glucose.declaration import CLOCK, GATE
from careplan.world.corpus import Corpus, usual
from careplan.world.forecast import ForecastQuestion, Future, forecast, predict
from careplan.world.model import WorldModel
from careplan.world.personalise import Personalisation, personalise, stepped, typical
from careplan.world.question import Given
from careplan.world.trust import abstentions, adapted, conformal_factor, factor_after_recording, factor_for_plans, strangeness
from tests.world.toy import PRESSURE, SMALL, random_model, recording

DRUG = 0  # the place of its strength in a code


def obeying(model: WorldModel, code: torch.Tensor, seed: int):
    """A recording of somebody who is exactly what the model says a patient of this code is: each window predicted."""
    series = recording(seed, rows=900)
    person = Personalisation("x", code, torch.eye(len(code)), usual(series), 0, *[torch.zeros(0)] * 4)
    values, mask = series.values.copy(), series.mask.copy()
    for row in range(96, 900 - 48, 48):
        _, levels, _ = predict(model, series, [row], person, given=Given.PLAN)
        steps = torch.nn.functional.interpolate(levels[:, None, 1:], size=48, mode="nearest")[0, 0].numpy()
        values[row : row + 48, 0], mask[row : row + 48, 0] = steps, True
        series = type(series)(series.patient, series.therapy, series.start, series.zone, values, mask)
    return series


def test_the_code_never_fits_worse_than_the_typical_patient() -> None:
    model = random_model(1)
    people = personalise(model, [recording(1), recording(2, name="two")], windows=24)
    for person in people:
        assert float(person.errors[:, 1].pow(2).mean()) <= float(person.errors[:, 0].pow(2).mean()) * 1.05
        assert torch.linalg.eigvalsh(person.covariance).min() > 0
        assert torch.linalg.eigvalsh(model.code_covariance - person.covariance).min() > -1e-4, "data never add doubt"


def test_many_patients_at_once_are_each_as_alone() -> None:
    model = random_model(2)
    series = [recording(3), recording(4, name="two"), recording(5, name="three")]
    together = personalise(model, series, windows=16)
    for person, one in zip(together, series, strict=True):
        alone = personalise(model, [one], windows=16)[0]
        torch.testing.assert_close(person.mean, alone.mean, rtol=1e-3, atol=1e-3)


def test_a_recording_of_an_hour_leaves_the_prior() -> None:
    model = random_model(3)
    short = recording(6, rows=12)
    person = personalise(model, [short], windows=8)[0]
    torch.testing.assert_close(person.covariance, model.code_covariance, rtol=0.2, atol=0.05)
    assert torch.isfinite(person.mean).all()


def test_one_day_tells_of_a_person_no_more_than_days_are_alike() -> None:
    """However sure the windows of a day are, the person's own code stays as uncertain as one day lies from it."""
    prior, apart = torch.eye(2), torch.diag(torch.tensor([1.0, 0.25])).unsqueeze(0)
    jacobian, residual, none = 1e3 * torch.eye(2).unsqueeze(0), torch.tensor([[-1e3, -1e3]]), torch.zeros(1)  # seen: 1, 1
    code, curvature = stepped(torch.zeros(1, 2), jacobian, residual, torch.zeros(2), prior, none, apart)
    torch.testing.assert_close(code, torch.tensor([[0.5, 0.8]]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(curvature, torch.diag(torch.tensor([2.0, 5.0])).unsqueeze(0), rtol=1e-4, atol=1e-4)
    code, _ = stepped(torch.zeros(1, 2), jacobian, residual, torch.zeros(2), prior, none)
    torch.testing.assert_close(code, torch.ones(1, 2), rtol=1e-4, atol=1e-4)


def test_particles_are_seeded_and_spread_as_the_posterior() -> None:
    model = random_model(4)
    person = typical(model, "nobody", torch.zeros(len(PRESSURE.channels) + 1))
    draws = person.particles(2000, seed=1)
    assert torch.equal(draws[0], person.mean)
    assert torch.equal(draws, person.particles(2000, seed=1))
    torch.testing.assert_close(torch.cov(draws.T), person.covariance, rtol=0.2, atol=0.12)


def test_intervals_widen_with_doubt_and_with_the_factor() -> None:
    model, series = random_model(5), recording(7)
    person = typical(model, "nobody", usual(series))
    sure = Personalisation("x", person.mean, 1e-6 * torch.eye(SMALL.code), person.usual, 0, *[torch.zeros(0)] * 4)
    future = Future(series.values[300:348], series.mask[300:348])
    asked = ForecastQuestion(row=300, futures={"plan": future})
    widths = []
    for who, factor in ((sure, 1.0), (person, 1.0), (person, 2.0)):
        band = forecast(model, series, who, asked, factors=dict.fromkeys(Given, torch.full((8,), factor)))["plan"]
        widths.append(float((band.high - band.low)[1:].mean()))
    assert widths[0] <= widths[1] * 1.05 < widths[2]


def test_the_conformal_factor_covers_what_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(500, 3, generator=generator).abs()
    factor = conformal_factor(scores)
    fresh = torch.randn(20_000, 3, generator=generator).abs()
    assert ((fresh <= factor).float().mean(0) - 0.9).abs().max() < 0.03
    few = conformal_factor(torch.tensor([[1.0], [2.0], [math.nan]]))
    assert float(few) == 2.0, "with few scores, the largest"


def test_a_patients_own_scores_widen_at_once_and_narrow_slowly() -> None:
    none = torch.zeros(0)
    population = torch.ones(2)

    def person(score: float, windows: int) -> Personalisation:
        return Personalisation("x", none, none, none, windows, none, torch.zeros(0, 2), none, torch.full((windows, 2), score))

    assert (factor_for_plans(person(3.0, 60), population) > 1.5).all()
    assert (factor_for_plans(person(0.1, 600), population) >= 0.85).all()
    assert torch.equal(factor_for_plans(person(1.0, 0), population), population)


def test_a_factor_follows_what_the_patient_does() -> None:
    generator = torch.Generator().manual_seed(3)
    scores = torch.cat([scale * torch.randn(3000, 2, generator=generator).abs() for scale in (1.0, 3.0)])
    path = adapted(torch.tensor([1.0, 4.0]), scores, 0.25)
    assert path.shape == (6001, 2) and torch.equal(path[0], torch.tensor([1.0, 4.0]))
    for half in (slice(1000, 3000), slice(4000, 6000)):
        assert ((scores[half] <= path[half]).float().mean(0) - 0.9).abs().max() < 0.02
    nothing = torch.full((50, 2), math.nan)
    assert torch.equal(adapted(path[-1], nothing, 0.25)[-1], path[-1])


def test_a_patients_factors_are_the_populations_moved_by_their_own_misses() -> None:
    none, population = torch.zeros(0), torch.linspace(1.2, 0.8, 8)

    def person(score: float) -> Personalisation:
        scores = torch.full((2, 200, 4), score)
        return Personalisation("x", none, none, none, 9, none, torch.zeros(0, 2), none, none, none, scores, 0.5)

    narrow, wide = (factor_after_recording(person(score), population, Given.NOTHING, CLOCK) for score in (0.0, 9.0))
    assert (narrow < population).all() and (wide > 1.5 * population).all()
    assert torch.equal(factor_after_recording(replace(person(0.0), foreseen=none), population, Given.NOTHING, CLOCK), population)
    known = torch.full((2, 200, 4), math.nan)
    known[1, :, 1] = 9.0  # of a record, at an hour
    moved = factor_after_recording(replace(person(0.0), foreseen=known), population, Given.RECORD, CLOCK) / population
    assert moved[1] == moved.max() > 1.5 and moved[0] == 1 and moved[3] == 1 and 1 < float(moved[2]) < float(moved[1])
    assert torch.equal(factor_after_recording(replace(person(0.0), foreseen=known), population, Given.NOTHING, CLOCK), population)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"days": 1.0}, "too little data"),
        ({"active": 20.0}, "too many gaps"),
        ({"dosed": False}, "no doses are logged"),
        ({"strange": 9.0}, "unlike any"),
        ({"strange": math.nan}, "unlike any"),
    ],
)
def test_the_gate_closes_and_says_why(change: dict[str, float], reason: str) -> None:
    errors = torch.tensor([[20.0, 18.0]] * 8)
    minutes = 30.0 * torch.arange(1, 9)
    none = torch.zeros(0)
    person = Personalisation("x", none, none, none, 64, minutes, errors, torch.full((8,), 40.0), torch.zeros(64, 8))
    fine = {"days": 20.0, "active": 95.0, "dosed": True, "strange": 1.0, "judged": 120.0, "scale": 60.0}
    assert abstentions(GATE, person=person, **fine) == ()  # type: ignore[arg-type]
    reasons = abstentions(GATE, person=person, **(fine | change))  # type: ignore[arg-type]
    assert len(reasons) == 1 and reason in reasons[0].text
    worse = Personalisation("x", none, none, none, 64, minutes, errors + 30, torch.full((8,), 40.0), torch.zeros(64, 8))
    assert "the model is off" in abstentions(GATE, person=worse, **fine)[0].text  # type: ignore[arg-type]


def test_strangeness_is_one_for_the_usual_and_grows() -> None:
    model = random_model(6)
    usual_z = torch.randn(4000, SMALL.latent, generator=torch.Generator().manual_seed(1))
    assert abs(float(strangeness(model, usual_z).mean()) - 1.0) < 0.05
    assert (strangeness(model, usual_z * 5) > 2).all()


def test_somebody_more_sensitive_is_found_to_be() -> None:
    """Recordings that obey the model under a known code: inference moves towards it from the typical patient."""
    model = random_model(8)
    moved = []
    for value in (-1.5, 1.5):
        code = torch.zeros(SMALL.code)
        code[DRUG] = value
        series = obeying(model, code, seed=9)
        moved.append(float(personalise(model, [series], windows=48)[0].mean[DRUG]))
    assert moved[1] > moved[0] + 0.1


def test_a_corpus_gives_back_the_recordings() -> None:
    one, two = recording(10), recording(11, rows=400, name="two")
    corpus = Corpus.of([one, two])
    window = corpus.windows(torch.tensor([1, 0]), torch.tensor([390, -5]), 20)
    assert torch.equal(window.values[0, :10], torch.from_numpy(two.values[390:400]))
    assert not window.mask[0, 10:].any() and not window.mask[1, :5].any()
    assert torch.equal(window.values[1, 5:], torch.from_numpy(one.values[:15]))
    assert torch.equal(window.minute[0].diff() % 1440, torch.full((19,), 5.0))


def test_what_is_usual_tells_the_code_to_expect_and_what_is_not_known_tells_nothing() -> None:
    model = random_model(6)
    torch.nn.init.normal_(model.habits.weight)
    nothing = torch.zeros(1, len(PRESSURE.channels) + 1)
    torch.testing.assert_close(model.typical(nothing).squeeze(0), model.habits.bias)
    known = usual(recording(3))
    assert not torch.allclose(model.typical(known.unsqueeze(0)).squeeze(0), model.habits.bias)
    assert torch.equal(typical(model, "somebody", known).mean, model.typical(known.unsqueeze(0)).squeeze(0))
