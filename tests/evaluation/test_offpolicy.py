"""Off-policy estimators where arithmetic gives the truth: people dose by what they see, outcomes are linear in the dose."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from careplan.evaluation import offpolicy
from careplan.evaluation.behaviour import fit_behaviour
from careplan.evaluation.occasions import Occasions
from careplan.evaluation.offpolicy import (
    Estimate,
    cumulative,
    e_value,
    jackknife,
    negative_controls,
    ridge,
    worth_of,
)


def lived(people: int = 40, days: int = 12, *, effect: float = 8.0, noise: float = 0.3, seed: int = 0) -> Occasions:
    """Two decisions a day. The state is a need in 0-1; doses follow it, and what is left over acts on the reward by `effect` a
    unit of the log dose, while need itself costs 20: who needs much doses much and does badly, which confounds."""
    random = np.random.default_rng(seed)
    episodes = people * days
    person, episode = np.repeat(np.arange(people), days), np.repeat(np.arange(episodes), 2)
    need = random.uniform(size=2 * episodes)
    usual = np.log(1 + 3 * need) + 0.2 * random.normal(size=people)[person[episode]]
    dose = usual + noise * random.normal(size=len(usual))
    reward = 30 - 20 * need + effect * (dose - usual) + random.normal(size=len(dose))
    state = np.column_stack([need, np.tile([0.0, 1.0], episodes)])
    terms = np.column_stack([need, np.ones(len(need))])
    before = random.normal(size=episodes)
    return Occasions(episode=episode, person=person, state=state, terms=terms, dose=dose, reward=reward, before=before)


@pytest.mark.parametrize("factor", [0.9, 1.2])
def test_estimators_find_the_truth_that_the_naive_comparison_misses(factor: float) -> None:
    worth = worth_of(lived(), factor)
    truth = 2 * 8.0 * np.log(factor)  # two decisions an episode
    assert worth.estimable
    for name in ("weighted", "fitted_q", "doubly_robust"):
        found = worth.estimates[name]
        assert found.low <= truth <= found.high, name
    robust = worth.estimates["doubly_robust"]
    assert abs(robust.difference - truth) < 0.25 * abs(truth)
    assert robust.high - robust.low < worth.estimates["weighted"].high - worth.estimates["weighted"].low


def test_a_confounded_reward_is_no_effect() -> None:
    worth = worth_of(lived(effect=0.0), 1.2)
    assert worth.estimates["doubly_robust"].low <= 0 <= worth.estimates["doubly_robust"].high
    assert all(control.passes for control in negative_controls(lived(effect=0.0), fit_behaviour(lived(effect=0.0)), 1.2))


def test_without_overlap_there_is_no_value() -> None:
    worth = worth_of(lived(people=6, days=10, noise=0.1), 0.5)
    assert not worth.estimable and set(worth.estimates) == {"naive"}


def test_a_factor_of_one_changes_nothing() -> None:
    worth = worth_of(lived(), 1.0)
    assert worth.effective == pytest.approx(worth.episodes)
    assert worth.estimates["weighted"].difference == pytest.approx(0.0, abs=1e-9)


def test_a_term_that_is_nowhere_changes_nothing() -> None:
    occasions = lived()
    nowhere = replace(occasions, terms=np.column_stack([occasions.terms, np.zeros(len(occasions.dose))]))
    assert fit_behaviour(nowhere).mean == pytest.approx(fit_behaviour(occasions).mean)


def test_the_behaviour_policy_is_calibrated_out_of_fold() -> None:
    occasions = lived()
    told = fit_behaviour(occasions).probability(occasions.dose)
    assert np.quantile(told, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.03)


def test_weights_of_an_episode_multiply_and_begin_anew() -> None:
    occasions = lived(people=2, days=2)
    ratio = np.arange(2.0, 10.0)
    assert cumulative(occasions, ratio) == pytest.approx([2, 6, 4, 20, 6, 42, 8, 72])


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.5, 3.0))
def test_the_jackknife_of_a_mean_is_its_standard_error(seed: int, scale: float) -> None:
    values = scale * np.random.default_rng(seed).normal(size=25)
    found = jackknife(np.arange(25), lambda keep: float(values[keep].mean()))
    assert found.difference == pytest.approx(values.mean())
    assert found.error == pytest.approx(values.std(ddof=1) / 5)


def test_an_e_value_says_how_little_hidden_confounding_it_takes() -> None:
    sure = Estimate(difference=-3.0, error=0.5, low=-4.0, high=-2.0)
    assert e_value(sure, 10.0) == pytest.approx(np.exp(0.182) + np.sqrt(np.exp(0.182) * (np.exp(0.182) - 1)))
    assert e_value(Estimate(difference=1.0, error=1.0, low=-1.0, high=3.0), 10.0) == 1.0


def test_what_cannot_be_is_refused() -> None:
    good = lived(people=2, days=2)
    with pytest.raises(ValueError, match="factor 0"):
        worth_of(good, 0.0)
    with pytest.raises(ValueError, match="at least two people"):
        worth_of(Occasions(**{**vars(good), "person": np.zeros(4, dtype=int)}), 0.9)
    with pytest.raises(ValueError, match="not finite"):
        Occasions(**{**vars(good), "reward": np.full(8, np.nan)})
    with pytest.raises(ValueError, match="in order"):
        Occasions(**{**vars(good), "episode": np.array([1, 0, 0, 1, 2, 2, 3, 3])})


def test_a_regression_on_columns_apart_is_that_on_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offpolicy, "ROWS", 64)
    random = np.random.default_rng(0)
    inputs, target, train = random.normal(3.0, 2.0, size=(300, 7)), random.normal(size=300), random.uniform(size=300) < 0.8
    weights, intercept = ridge((inputs[:, :4], inputs[:, 4:]), train, 10.0)(target)
    whole = Ridge(alpha=10.0).fit(inputs[train], target[train])
    np.testing.assert_allclose(weights, whole.coef_)
    assert intercept == pytest.approx(whole.intercept_)
