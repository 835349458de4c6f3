"""The dynamics keep their promises whatever the weights."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchdiffeq import odeint

from careplan.series import Window
from careplan.world.futures import Futures, abduct, contexts
from careplan.world.question import Given, Question
from tests.world.toy import PRESSURE, random_model, recording

NOTHING, PLAN, RECORD = (each.code for each in Given)


def batch(model, seed: int, count: int = 4, rows: int = 48):
    generator = torch.Generator().manual_seed(seed)
    context = model.shape.context
    values = torch.rand(count, context + rows, 5, generator=generator) * torch.tensor([60.0, 2, 0.3, 0.2, 1]) + torch.tensor(
        [90.0, 0, 0, 0, 1]
    )
    mask = torch.rand(values.shape, generator=generator) < 0.9
    minute = (5.0 * torch.arange(context + rows)).expand(count, -1) % 1440
    whole = Window(torch.where(mask, values, 0.0), mask, minute)
    usual = torch.tensor([120.0, 1.0, 0.1, 0.1, 1.0, 40.0]).expand(count, -1)
    code = torch.randn(count, model.shape.code, generator=generator)
    past = Window(whole.values[:, :context], whole.mask[:, :context], minute[:, :context])
    state = model.state(model.encode(past, usual)[:, -1], past, usual, code)
    return state, whole.values[:, context:], torch.ones(count, rows, 5, dtype=torch.bool), usual, code


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    row=st.integers(0, 40),
    amount=st.floats(0.1, 60.0),
    channel=st.sampled_from([1, 2, 3]),
    question=st.sampled_from([NOTHING, PLAN, RECORD]),
)
@torch.no_grad()
def test_more_of_a_dose_never_moves_the_level_the_wrong_way(
    seed: int, row: int, amount: float, channel: int, question: int
) -> None:
    model = random_model(seed)
    state, values, mask, usual, code = batch(model, seed)
    more = values.clone()
    more[:, row : row + (6 if channel == 1 else 1), channel] += amount
    asked = torch.full((len(usual),), question)
    evidence = model.recorded_evidence(state, values, mask, usual)
    base = model.rollout(state, Question(values, mask, asked, usual, code, evidence))
    other = model.rollout(state, Question(more, mask, asked, usual, code, evidence))
    difference = (other.level - base.level) * PRESSURE.channels[channel].direction
    # A finite step may slip by a rounding-sized amount where the level moves faster than any patient's.
    assert (difference >= -1e-3 * (1 + base.level.abs())).all()
    assert torch.equal(other.z, base.z), "the context must not hear of doses"
    assert (base.pools >= -1e-6).all()


@torch.no_grad()
def test_pools_filled_from_history_equal_pools_integrated_through_it() -> None:
    model = random_model(3)
    state, values, mask, usual, code = batch(model, 3, rows=96)
    absorption = model.dynamics.absorption
    tau = absorption.time_constants(code)
    amounts = model.amounts(values, mask, usual)
    inflow = absorption.inflow(amounts)

    def rate(t, pools):
        now = inflow[:, min(int(t / 5.0), 95)]
        return absorption(pools, absorption.rates(code), now)[0] + absorption.enter(now)

    minutes = torch.tensor([0.0, 480.0])
    exact = odeint(rate, torch.zeros_like(state.pools), minutes, method="rk4", options={"step_size": 1.0, "perturb": True})[-1]
    torch.testing.assert_close(absorption.fill(amounts, tau, 5.0), exact, rtol=2e-2, atol=1e-4)


@torch.no_grad()
def test_a_dose_is_neither_lost_nor_made_on_its_way() -> None:
    model = random_model(5)
    state, values, mask, usual, code = batch(model, 5)
    values = torch.zeros_like(values)
    values[:, 0, 2] = 6.0
    asked = Given.PLAN.codes(len(usual))
    empty = replace(state, pools=torch.zeros_like(state.pools))
    pools = model.rollout(empty, Question(values, mask, asked, usual, code)).pools
    share = 6.0 / model.daily(usual)[:, 2]
    assert (pools.sum(-1) <= share.unsqueeze(1) * (1 + 1e-4)).all()
    torch.testing.assert_close(pools[:, 1].sum(-1), share, rtol=0.05, atol=0.0)


def futures_of(model, state, values, mask, usual, code) -> tuple[torch.Tensor, Futures]:
    """The inflow of a plan by step, and the futures of one particle a patient."""
    inflow, future = model.plan(values, mask, usual)
    features, spread = contexts(model, state.z, state.minute, code, future)
    rates = model.dynamics.absorption.rates(code)
    futures = Futures(
        model, features.unsqueeze(1), spread.unsqueeze(1), code.unsqueeze(1), rates.unsqueeze(1), state.level.unsqueeze(1),
        torch.zeros(1), torch.ones(len(usual)), state.trend.unsqueeze(1),
    )  # fmt: skip
    return inflow, futures


@torch.no_grad()
def test_stepping_through_futures_is_the_rollout() -> None:
    model = random_model(7)
    state, values, mask, usual, code = batch(model, 7)
    rollout = model.rollout(state, Question.plan(values, mask, usual, code))
    inflow, futures = futures_of(model, state, values, mask, usual, code)
    rows = torch.arange(len(usual))
    level, pools = state.level.unsqueeze(1), state.pools.unsqueeze(1)
    for step in range(inflow.shape[1]):
        level, pools = futures.advance(level, pools, inflow[:, step], step, rows)
        measured = futures.measured(level, step, rows)
        torch.testing.assert_close(measured[:, 0, 0], rollout.level[:, step + 1], rtol=1e-3, atol=1e-2)


@torch.no_grad()
def test_all_rows_at_once_step_as_each_by_its_place() -> None:
    model = random_model(9)
    state, values, mask, usual, code = batch(model, 9)
    inflow, futures = futures_of(model, state, values, mask, usual, code)
    count = len(usual)
    futures = replace(futures, forcing=0.01 * torch.randn(count, 1, inflow.shape[1], 1))
    given = torch.stack([inflow, 0.5 * inflow])  # two treatments of everybody
    level, pools = state.level.unsqueeze(1).expand(2, -1, -1, -1), state.pools.unsqueeze(1).expand(2, -1, -1, -1)
    flat, emptied, rows = level.flatten(0, 1), pools.flatten(0, 1), torch.arange(count).repeat(2)
    for step in range(inflow.shape[1]):
        level, pools = futures.advance(level, pools, given[:, :, step], step)
        flat, emptied = futures.advance(flat, emptied, given[:, :, step].flatten(0, 1), step, rows)
    torch.testing.assert_close(level.flatten(0, 1), flat)
    torch.testing.assert_close(pools.flatten(0, 1), emptied)


@torch.no_grad()
def test_abduction_passes_through_what_was_measured() -> None:
    model = random_model(11)
    state, values, mask, usual, code = batch(model, 11)
    inflow, futures = futures_of(model, state, values, mask, usual, code)
    start = state.level.unsqueeze(1)
    truth = torch.randn(len(usual), inflow.shape[1], 1)
    seen = torch.rand(truth.shape) < 0.8
    forced = abduct(futures, start, state.pools.unsqueeze(1), inflow, truth, seen)
    level, pools, rows = start, state.pools.unsqueeze(1), torch.arange(len(usual))
    for step in range(inflow.shape[1]):
        level, pools = forced.advance(level, pools, inflow[:, step], step, rows)
        torch.testing.assert_close(level[:, 0][seen[:, step]], truth[:, step][seen[:, step]], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_future_level_is_not_looked_at() -> None:
    model = random_model(13)
    state, values, mask, usual, code = batch(model, 13)
    changed = values.clone()
    changed[..., 0] = 300.0
    asked = Given.PLAN.codes(len(usual))
    same = model.rollout(state, Question(changed, mask, asked, usual, code))
    assert torch.equal(same.level, model.rollout(state, Question(values, mask, asked, usual, code)).level)


@torch.no_grad()
def test_the_encoder_sees_the_past_alone() -> None:
    model = random_model(17)
    series = recording(17)
    values = torch.from_numpy(series.values[:96]).unsqueeze(0)
    mask = torch.from_numpy(series.mask[:96]).unsqueeze(0)
    minute = (5.0 * torch.arange(96)).unsqueeze(0)
    usual = torch.tensor([[120.0, 1.0, 0.1, 0.1, 1.0, 40.0]])
    later = values.clone()
    later[:, 60:] += 30
    before, after = model.encode(Window(values, mask, minute), usual), model.encode(Window(later, mask, minute), usual)
    assert torch.equal(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:])


def test_a_record_is_foreseen_otherwise_than_a_plan_and_teaches_no_effect_where_frozen() -> None:
    model = random_model(23)
    with torch.no_grad():
        state, values, mask, usual, code = batch(model, 23)
    asked = torch.tensor([NOTHING, PLAN, RECORD, PLAN])
    frozen = torch.tensor([True, True, True, False])
    planned, foreseen = model.dynamics.planned, model.dynamics.foreseen
    rates = {"planned": [planned.out.weight, planned.gain.weight], "foreseen": [foreseen.out.weight]}

    def slopes(row: int) -> dict[str, list[float]]:
        model.zero_grad()
        evidence = model.recorded_evidence(state, values, mask, usual)
        model.rollout(state, Question(values, mask, asked, usual, code, evidence, frozen)).level[row].sum().backward()
        taught = {name: [part.grad for part in parts if part.grad is not None] for name, parts in rates.items()}
        return {name: torch.cat(parts).abs().sum(1).tolist() for name, parts in taught.items() if parts}

    for row in range(4):
        found = slopes(row)
        used, other = ("planned", "foreseen") if asked[row] == PLAN else ("foreseen", "planned")
        drift, *gains = found[used]
        assert drift > 0 and sum(found.get(other, [0.0])) == 0
        assert len(gains) >= 2 and all((gain > 0) == (asked[row] != PLAN or not frozen[row]) for gain in gains)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), low=st.floats(0.0, 0.02), high=st.floats(0.0, 0.02), away=st.floats(-2.0, 2.0))
@torch.no_grad()
def test_what_a_plan_changes_is_the_same_in_every_context(seed: int, low: float, high: float, away: float) -> None:
    model = random_model(seed)
    state, _, _, usual, code = batch(model, seed)
    flow, walking, acts = model.dynamics.planned, torch.zeros(len(usual), 1, 5), torch.tensor([low, high]).expand(len(usual), 2)
    situation = flow.course(state.minute.unsqueeze(1), code, walking, Given.PLAN.codes(len(usual))).situation[:, 0]

    def changed(z: torch.Tensor) -> torch.Tensor:
        features = flow.features(z, situation)
        treated = flow.level_rate(features, code, state.level + away, acts)
        return treated - flow.level_rate(features, code, state.level, torch.zeros_like(acts))

    torch.testing.assert_close(changed(state.z), changed(50 * torch.randn_like(state.z)), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_questions_asked_together_are_answered_as_if_alone() -> None:
    model = random_model(29)
    state, values, mask, usual, code = batch(model, 29)
    asked, evidence = torch.tensor([RECORD, PLAN, NOTHING, PLAN]), model.recorded_evidence(state, values, mask, usual)
    together = model.rollout(state, Question(values, mask, asked, usual, code, evidence))
    for row in range(4):
        one = slice(row, row + 1)
        part = type(state)(*(piece[one] for piece in vars(state).values()))
        alone = model.rollout(part, Question(values[one], mask[one], asked[one], usual[one], code[one], evidence[one]))
        torch.testing.assert_close(alone.level, together.level[one], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(alone.offsets, together.offsets[one], rtol=1e-4, atol=1e-3)


def test_weights_survive_a_round_trip_and_a_changed_card_is_refused(tmp_path) -> None:
    from careplan.world.model import load_model

    model = random_model(19)
    model.save(tmp_path, {"note": "test"})
    again = load_model(PRESSURE, tmp_path)
    assert again.fingerprint() == model.fingerprint()
    card = tmp_path / "pressure.json"
    card.write_text(card.read_text().replace(model.fingerprint(), "0" * 16))
    with pytest.raises(ValueError, match="do not match their card"):
        load_model(PRESSURE, tmp_path)
