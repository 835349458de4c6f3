"""The tumour simulator keeps the published equation and its quirks; the therapy declared for it says the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from careplan.minutes import DAY
from careplan.planning.course import CourseSearch, plan_course
from careplan.planning.menu import Menu
from careplan.series import Window
from careplan.therapies.tumour.declaration import CELL, GIVEN, LIMITS, TUMOUR, risk
from careplan.therapies.tumour.declaration import DEATH as DECLARED_DEATH
from careplan.world.absorption import Absorption, Layout
from careplan.world.dynamics import State
from careplan.world.model import Shape, WorldModel
from careplan.world.question import Question
from cohorts.tumour import (
    CAPACITY,
    CHEMO,
    DEATH,
    GRAY,
    KEPT,
    Flags,
    Lives,
    TrueEquation,
    Tumours,
    assigned,
    chosen,
    diameter,
    live,
    live_tested,
    sample_tumours,
    volume,
)


def test_spheres_of_thirteen_and_thirty_centimetres() -> None:
    assert pytest.approx(1150.3465, abs=1e-3) == DEATH == pytest.approx(DECLARED_DEATH, abs=1e-3)
    assert pytest.approx(14137.17, abs=1e-2) == CAPACITY
    assert diameter(volume(np.array([0.3, 7.0]))) == pytest.approx([0.3, 7.0])


def test_patients_are_as_published() -> None:
    tumours = sample_tumours(20_000, np.random.default_rng(0))
    assert (tumours.rho > 0).all() and (tumours.alpha > 0).all()
    assert tumours.beta == pytest.approx(tumours.alpha / 10)
    assert diameter(tumours.start).min() >= 0.3 and diameter(tumours.start).max() <= 13.0 + 1e-9
    mean = {kind: (tumours.alpha[tumours.kind == kind].mean(), tumours.beta_c[tumours.kind == kind].mean()) for kind in (1, 2, 3)}
    assert mean[3][1] - mean[2][1] == pytest.approx(0.0028, abs=1e-4)
    assert mean[1][1] == pytest.approx(mean[2][1], abs=1e-4)
    drawn = tumours.alpha - 0.1 * 0.0398 * (tumours.kind == 1)
    assert np.corrcoef(drawn, tumours.rho)[0, 1] > 0.5  # 0.87 before both were held above 0


def test_a_trajectory_follows_the_equation() -> None:
    lives = live(sample_tumours(200, np.random.default_rng(1)), 3.0, np.random.default_rng(2))
    assert not lives.chemo[:, 0].any() and not lives.radio[:, 0].any()
    for day in range(1, 60):
        alive = lives.length > day + 1
        before = lives.volume[alive, day - 1]
        tumours = chosen(lives.tumours, np.flatnonzero(alive))
        exact = tumours.grown(
            before, lives.concentration[alive, day - 1], GRAY * lives.radio[alive, day - 1], np.zeros(len(before))
        )
        assert (np.abs(lives.volume[alive, day] - exact) <= 0.06 * before + 1e-12).all()  # six standard deviations of the noise
        given = KEPT * lives.concentration[:, day - 1] + CHEMO * lives.chemo[:, day]
        assert lives.concentration[alive, day] == pytest.approx(given[alive])


def test_another_policy_lives_with_the_same_chance() -> None:
    tumours = sample_tumours(50, np.random.default_rng(1))
    seen = []

    def stopped(lives: Lives, factual: Flags) -> Flags:
        seen.append((lives.volume.shape[1], lives.chemo.shape[1], int(lives.length.max())))
        return factual if lives.volume.shape[1] <= 20 else np.zeros_like(factual)

    factual, other = (live(tumours, 2.0, np.random.default_rng(2), treat=treat) for treat in (None, stopped))
    assert seen == [(day + 1, day, day + 1) for day in range(1, 60)]  # nobody sees what has not happened
    assert (other.volume[:, :21] == factual.volume[:, :21]).all()
    assert (other.chemo[:, :20] == factual.chemo[:, :20]).all() and not other.chemo[:, 20:].any()
    assert other.volume[:, -1].mean() > factual.volume[:, -1].mean()


def test_an_oracle_plans_within_the_cap_and_for_cure() -> None:
    few = sample_tumours(6, np.random.default_rng(3))
    curable = replace(few, alpha=np.full(6, 0.33), beta=np.full(6, 0.033))  # a day of both treatments kills all
    history = torch.zeros(6, 20, 2)
    history[:, : int(GIVEN), 1] = 1.0
    history[:3, 0, 1] = 0.0  # three have one radiotherapy left, three none
    state = torch.tensor([100.0, 10.0]).expand(6, 1, 2)  # much chemotherapy on board
    menu = Menu(TUMOUR, torch.zeros(6, 14, 3), torch.zeros(6, 3))
    how = CourseSearch(worth=0.0, effort=0.002)
    plans = plan_course(TrueEquation(curable), state, menu, LIMITS, state[:, 0, :1], history, how=how)
    given = plans.amounts[:, 0]
    assert given[..., 1].sum(1).tolist() == [1, 1, 1, 0, 0, 0]
    assert not plans.abstained.any() and given[..., 0].sum(1).min() > 0
    least = plans.levels[:, 0, 0, 0].amin(-1)
    assert least[:3].max() < CELL < least[3:].min()


def test_a_share_of_the_cells_counts_as_much_of_a_small_tumour() -> None:
    level = torch.tensor([CELL, 1e-6, 1e-7, 100.0, 10.0, DEATH], dtype=torch.float64)
    of = risk(level)
    assert of[0] == 0.0 and float(of[-1]) == pytest.approx(1.0, abs=1e-6)
    assert float(of[1] - of[2]) == pytest.approx(float(of[3] - of[4]))
    assert risk(torch.tensor([0.0])) == 0.0


def test_confounding_grows_with_gamma() -> None:
    large, small = volume(np.full((1, 15), 12.0)), volume(np.full((1, 15), 1.0))
    assert assigned(large, 0.0) == assigned(small, 0.0) == 0.5
    assert assigned(large, 4.0) > assigned(large, 2.0) > 0.5 > assigned(small, 2.0) > assigned(small, 4.0)


def test_in_test_sets_treatment_follows_the_rows_of_outputs() -> None:
    lives = live_tested(sample_tumours(60, np.random.default_rng(3)), 4.0, np.random.default_rng(4), options=4)
    assert lives.chemo[:, 0].any()  # they may be treated on the first day
    assert (lives.volume <= DEATH).all() and (lives.volume >= 0).all()
    ended = lives.length < 60
    last = lives.volume[np.arange(60), lives.length - 1]
    assert ((last[ended] == 0) | (last[ended] == DEATH)).all()


@torch.no_grad()
def test_the_declared_drug_halves_a_day_as_the_simulator_has_it() -> None:
    absorption = Absorption(TUMOUR, Layout(TUMOUR, False))
    pools, code, given = torch.zeros(1, 1), torch.zeros(1, 6), torch.tensor([[1.0 / DAY, 0.0]])
    rates, acts = absorption.rates(code), []
    for day in range(4):
        inflow = given if day == 0 else torch.zeros_like(given)
        enter = absorption.enter(inflow)
        leaves, _ = absorption(pools, rates, inflow)
        midway = pools + 0.5 * DAY * (leaves + enter)
        leaves, act = absorption(midway, rates, inflow)
        pools = pools + DAY * (leaves + enter)
        acts.append(float(act[0, 0]))
    assert np.array(acts) / acts[0] == pytest.approx([1.0, 0.5, 0.25, 0.125], rel=1e-5)


@torch.no_grad()
def test_a_day_of_the_typical_patient_is_the_equation_s() -> None:
    model = WorldModel(TUMOUR, Shape(latent=8, hidden=16, code=6, evidence=4))
    cm3, each = np.array([2.0, 200.0, 900.0]).repeat(4), np.array([(0, 0), (0, 1), (1, 0), (1, 1)], dtype=np.float32)
    given = torch.from_numpy(np.tile(each, (3, 1))).unsqueeze(1)
    level = model.standard(torch.from_numpy(cm3).float().unsqueeze(1).expand(-1, 3))
    count = len(cm3)
    empty = torch.zeros(count, 1)
    state = State(torch.zeros(count, 8), level, empty, empty[:, 0], torch.zeros(count, 1, 2), empty)
    values = torch.cat([torch.zeros(count, 1, 1), given], -1)
    usual = torch.cat([torch.zeros(4), TUMOUR.facts({})]).expand(count, -1)
    question = Question.plan(values, torch.ones_like(values, dtype=torch.bool), usual, torch.zeros(count, 6))
    predicted = model.rollout(state, question).level[:, 1].numpy()
    alpha = np.full(count, 0.42 / 2.4)
    typical = Tumours(np.full(count, 2), cm3, np.full(count, 0.0062), alpha, alpha / 10, np.full(count, 0.145 / CHEMO))
    exact = typical.grown(cm3, CHEMO * given[:, 0, 0].numpy(), GRAY * given[:, 0, 1].numpy(), np.zeros(count))
    assert predicted == pytest.approx(exact, rel=5e-3)  # growth is taken at the middle of the day


def test_a_level_without_the_log_link_cannot_compound() -> None:
    plain = replace(TUMOUR.channels[0], link="identity")
    with pytest.raises(ValueError, match="tumour: 'volume' compounds, which a level with the log link alone can"):
        replace(TUMOUR, channels=(plain, *TUMOUR.channels[1:]))


@torch.no_grad()
def test_more_treatment_never_predicts_a_larger_tumour() -> None:
    torch.manual_seed(0)
    model = WorldModel(TUMOUR, Shape(latent=8, hidden=16, code=6, evidence=4))
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    people, rows = 16, model.shape.context
    values = torch.cat([torch.rand(people, rows, 1) * 500, torch.zeros(people, rows, 2)], -1)
    past = Window(values, torch.ones_like(values, dtype=torch.bool), torch.zeros(people, rows))
    usual, code = torch.cat([torch.zeros(4), TUMOUR.facts({})]).expand(people, -1), torch.randn(people, 6)
    state = model.state(model.encode(past, usual)[:, -1], past, usual, code)
    less = torch.cat([torch.zeros(people, 6, 1), 0.5 * torch.rand(people, 6, 2)], -1)
    more = less + torch.cat([torch.zeros(people, 6, 1), 0.5 * torch.rand(people, 6, 2)], -1)
    low, high = (
        model.rollout(state, Question.plan(given, torch.ones_like(given, dtype=torch.bool), usual, code)).level
        for given in (less, more)
    )
    assert (high <= low + 1e-4 * low.abs()).all()
    assert (high[:, -1] < low[:, -1]).any()
