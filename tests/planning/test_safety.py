"""The guardrails hold whatever the model promises: over random limits, patients and histories, in every plan that is allowed."""

import math
from dataclasses import dataclass, fields

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from careplan.breach import Breach, in_words
from careplan.planning.actions import dose_table, remaining
from careplan.planning.doses import DoseProblem
from careplan.planning.planner import DoseQuestion, DoseSearch, plan_doses
from careplan.planning.safety import (
    Bounds,
    DoseContext,
    Guarded,
    RegimenLine,
    bounds_of,
    guard_doses,
    guard_line,
    reasons_to_change_nothing,
)
from careplan.planning.search import Plans, TreeSearch, exhaustive, search
from careplan.therapies.glucose.declaration import GLUCOSE, LINE_LIMITS, RAPID
from careplan.therapy import Limits
from tests.reached import reached, reaches

INTERVAL, DECISIONS = 30.0, 4
LEFT = remaining(torch.arange(DECISIONS) * INTERVAL, RAPID)


@dataclass(frozen=True)
class Liar:
    """Promises the best level for more treatment and disaster for less, unrelated to anything; `noise` makes the levels erratic.

    Its state is [level, given]; what it promises cannot depend on the guardrails, which it does not know.
    """

    noise: float

    def step(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        given = state[..., 1] + action[..., 0].unsqueeze(-1) + action[..., 1].unsqueeze(-1) - 1.0
        wobble = self.noise * torch.sin(37.0 * given + 11.0 * state[..., 0])
        promised = 112.0 + (250.0 - 25.0 * given).clamp(min=0.0) + wobble
        return torch.stack([promised, given], -1), torch.stack([0.5 * (state[..., 0] + promised), promised], -1)


def random_case(seed: int, batch: int) -> tuple[list[Limits], DoseContext, tuple[Tensor, Tensor], Tensor]:
    """Limits, context, candidates and model states of B patients, some with numbers that are missing or absurd."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator)

    # Limits of one batch resemble each other, so that few futures are evaluated for nobody.
    columns = [draw(2, 20), draw(4, 45), draw(0, 45), draw(60, 140), draw(2, 12), draw(1, 4)]
    names = [item.name for item in fields(Bounds)]
    table = torch.stack(columns, 1)
    limits = [Limits(**dict(zip(names, row, strict=True))) for row in (0.8 * table[:1] + 0.2 * table).tolist()]
    level = draw(90, 400)
    known = DoseContext(
        level=level,
        level_age=draw(0, 14),
        baseline=draw(0, 6, DECISIONS),
        on_board=draw(0, 6, 1) * LEFT,
        since_last=torch.where(draw(0, 1) < 0.5, math.inf, draw(0, 100)),
        remaining=LEFT,
    )
    absurd = draw(0, 1)
    for part, limit in ((known.level, 0.02), (known.level_age, 0.04), (known.since_last, 0.06)):
        part[absurd < limit] = math.nan
    known.baseline[absurd > 0.97] = -1.0
    known.on_board[absurd > 0.985] = math.nan
    states = torch.stack([level.nan_to_num(200.0).unsqueeze(1).expand(-1, 2), torch.zeros(batch, 2)], -1)
    return limits, known, dose_table(draw(5, 80), draw(0.04, 1), draw(0, 1) > 0.3), states


def problem_of(seed: int, batch: int, noise: float) -> DoseProblem:
    limits, known, (candidates, exists), states = random_case(seed, batch)
    may_change = torch.tensor([not reasons for reasons in reasons_to_change_nothing(known, limits, GLUCOSE)])
    asked = (states, GLUCOSE, bounds_of(limits), known, may_change, candidates, exists)
    return DoseProblem(Liar(noise), *asked, INTERVAL, DECISIONS, 0.0)


def broken_limits(problem: DoseProblem, sequences: Tensor) -> Tensor:
    """`[B, X]` whether sequences `[B, X, D, 2]` break a hard limit: written apart from the code under test, in float64."""
    limit = {item.name: getattr(problem.bounds, item.name).double()[:, None] for item in fields(Bounds)}
    known, (doses, multiples) = problem.context, sequences.double().unbind(-1)
    _, held = problem.replay(sequences)
    bad = torch.zeros_like(doses[..., 0], dtype=torch.bool)
    last = known.since_last.double()[:, None].expand(bad.shape)  # minutes
    excess = []
    for step in range(sequences.shape[2]):
        dose, multiple = doses[:, :, step], multiples[:, :, step]
        changes = (dose != 0) | (multiple != 1)
        standing = known.baseline.double()[:, step, None]
        excess.append(torch.where(changes, dose + standing * 0.5 * torch.relu(multiple - 1), 0.0))
        carried = known.on_board.double()[:, step, None] + sum(
            amount * problem.context.remaining[step - past].double() for past, amount in enumerate(excess)
        )
        more = (dose > 0) | (multiple > 1)
        bad |= changes & ~problem.may_change[:, None]
        bad |= (dose < 0) | (multiple < 0) | (dose > limit["max_dose"] + 1e-3)
        bad |= more & (carried > limit["max_on_board"] + 1e-3)
        bad |= (dose > 0) & (last < limit["min_spacing"])
        bad |= more & (held[:, :, step].double() < limit["floor"] - 1e-3)
        bad |= (multiple > 1) & (multiple * standing > limit["max_rate"] + 1e-3)
        bad |= (multiple > 1) & (multiple > limit["max_rate_ratio"])
        last = torch.where(dose > 0, torch.zeros_like(last), last) + INTERVAL
    return bad


def allowed_sequences(plans: Plans) -> tuple[Tensor, Tensor]:
    nodes = torch.arange(plans.parent.shape[1]).expand(len(plans.parent), -1)
    return plans.sequence(nodes, DECISIONS), plans.eligible


def test_no_allowed_plan_of_a_million_nodes_breaks_a_hard_limit():
    nodes = 0
    for seed in range(400):
        problem = problem_of(seed, 24, noise=(0.0, 40.0)[seed % 2])
        sequences, eligible = allowed_sequences(exhaustive(problem, depth=3))
        assert not (broken_limits(problem, sequences) & eligible).any()
        nodes += int(eligible.sum())
        if nodes >= 1_000_000:
            break
    assert nodes >= 1_000_000


@pytest.mark.parametrize("parallel", [False, True])
def test_no_plan_of_a_tree_search_breaks_a_hard_limit(parallel):
    problem = problem_of(1000, 256, noise=20.0)
    sequences, eligible = allowed_sequences(search(problem, TreeSearch(simulations=128, depth=4, parallel=parallel)).plans())
    assert eligible.sum() > 10_000
    assert not (broken_limits(problem, sequences) & eligible).any()


def test_the_check_itself_finds_what_is_forbidden():
    problem = problem_of(0, 48, noise=0.0)
    _, eligible = allowed_sequences(exhaustive(problem, depth=2))
    anything = problem.table.unsqueeze(2).repeat(1, 1, DECISIONS, 1)
    assert broken_limits(problem, anything).any()
    assert eligible.any(1).all() and eligible[:, 0].all()  # no change is always there


numbers = st.one_of(st.floats(-1e3, 1e3, width=32), st.sampled_from([math.nan, math.inf, -math.inf, 0.0]))
SOUND = {  # what is known of a patient whose doses may be changed
    "max_dose": st.floats(0.5, 30, width=32),
    "max_on_board": st.floats(0.5, 30, width=32),
    "min_spacing": st.floats(0, 90),
    "floor": st.floats(60, 140, width=32),
    "max_rate": st.floats(0.5, 30, width=32),
    "level": st.floats(40, 400, width=32),
    "age": st.floats(0, 15, width=32),
    "baseline": st.floats(0, 10, width=32),
    "on_board": st.floats(0, 10, width=32),
    "since": st.one_of(st.floats(0, 300, width=32), st.just(math.inf)),
}


@st.composite
def patients(draw: st.DrawFn) -> dict[str, float]:
    """Sound in all, or spoilt in one thing or two."""
    known = {name: draw(values) for name, values in SOUND.items()}
    for name in draw(st.sampled_from([(), (), *((name,) for name in SOUND), ("level", "since"), ("on_board", "max_dose")])):
        known[name] = draw(numbers)
    return known


@reaches(0.25)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(patient=patients(), daily=st.floats(10, 200, width=32), noise=st.floats(0, 100))
def test_whatever_is_known_of_a_patient_the_answer_passes_the_guard(patient, daily, noise):
    one = torch.ones(1)
    limits = Limits(**{name: patient[name] for name in ("max_dose", "max_on_board", "min_spacing", "floor", "max_rate")})
    level, age, baseline, on_board, since = (patient[name] for name in ("level", "age", "baseline", "on_board", "since"))
    known = DoseContext(
        level=one * level,
        level_age=one * age,
        baseline=torch.full((1, DECISIONS), baseline),
        on_board=one * on_board * LEFT.unsqueeze(0),
        since_last=one * since,
        remaining=LEFT,
    )
    state = torch.stack([torch.full((1, 3), 200.0), torch.zeros(1, 3)], -1)
    candidates, exists = dose_table(one * daily, one * 0.05, one > 0)
    asked = DoseQuestion(
        state=state,
        therapy=GLUCOSE,
        limits=[limits],
        context=known,
        candidates=candidates,
        exists=exists,
        budget=torch.ones(1, 2),
    )
    plans = plan_doses(Liar(noise), asked, DoseSearch(depth=2))
    reasons = reasons_to_change_nothing(known, [limits], GLUCOSE)[0]
    assert bool(plans.abstained[0]) == bool(reasons)
    for option in plans.actions[0]:
        if not ((option[:, 0] == 0) & (option[:, 1] == 1)).all():
            reached()  # something is changed
            assert not reasons
            verdict = judge(option, limits, known)
            assert verdict.allowed, verdict.breaches
    knowns = (level, age, baseline, on_board, since)
    if not all(math.isfinite(value) and value >= 0 for value in knowns[:4]) or math.isnan(since) or since < 0:
        assert plans.abstained[0] and not plans.changed[0]


def judge(actions: Tensor, limits: Limits, known: DoseContext, levels: Tensor | None = None) -> Guarded:
    held = torch.full((len(actions),), 1e9) if levels is None else levels
    return guard_doses(
        actions.tolist(),
        limits,
        on_board=known.on_board[0].tolist(),
        since_last=float(known.since_last[0]),
        levels=held.tolist(),
        baseline=known.baseline[0].tolist(),
        remaining=LEFT.tolist(),
        interval=INTERVAL,
    )


@pytest.mark.parametrize(
    "actions, name",
    [
        ([[6.0, 1.0], [0.0, 1.0]], "max_dose"),
        ([[-1.0, 1.0], [0.0, 1.0]], "max_dose"),
        ([[math.nan, 1.0], [0.0, 1.0]], "max_dose"),
        ([[4.0, 1.0], [0.0, 1.0], [4.0, 1.0]], "max_on_board"),
        ([[1.0, 1.0], [1.0, 1.0]], "min_spacing"),
        ([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0]], "floor"),
        ([[0.0, 3.0]], "max_rate"),
        ([[0.0, 5.0]], "max_rate_ratio"),
        ([[0.0, -0.5]], "lowest rate"),
        ([[0.0, math.nan]], "lowest rate"),
    ],
)
def test_the_guard_names_the_limit_that_a_plan_breaks(actions, name):
    limits = Limits(max_dose=5.0, max_on_board=6.0, min_spacing=60.0, floor=80.0, max_rate=2.5)
    known = DoseContext(
        level=torch.tensor([150.0]),
        level_age=torch.zeros(1),
        baseline=torch.ones(1, DECISIONS),
        on_board=torch.zeros(1, DECISIONS),
        since_last=torch.tensor([90.0]),
        remaining=LEFT,
    )
    levels = torch.tensor([150.0, 150.0, 150.0, 70.0])[: len(actions)]
    assert name in [breach.rule for breach in judge(torch.tensor(actions), limits, known, levels).breaches]
    fine = torch.tensor([[3.0, 1.0], [0.0, 2.0], [0.0, 0.0], [0.0, 1.0]])
    assert judge(fine, limits, known, torch.tensor([150.0, 150.0, 60.0, 60.0])).allowed


def line(**changes: object) -> RegimenLine:
    usual = {
        "key": "basal@0",
        "current": 1.0,
        "direction": 1,
        "limits": LINE_LIMITS["basal"],
        "increment": 0.05,
        "days": 14.0,
        "breach": False,
    }
    return RegimenLine(**{**usual, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes, proposed, reason",
    [
        ({}, 1.25, "20% in one visit"),
        ({}, 0.75, "20% in one visit"),
        ({"original": 0.95}, 1.15, "0.7 to 1.2 times the original"),
        ({"current": 0.8}, 0.65, None),
        ({"current": 0.8, "original": 1.0}, 0.65, "0.7 to 1.2 times the original"),
        ({"days": 3.0}, 0.9, "days of evidence"),
        ({"days": math.nan}, 0.9, "days of evidence"),
        ({"breach": True}, 1.1, "low-level target"),
        ({"breach": None}, 1.1, "low-level target"),
        ({"breach": True}, 0.9, None),
        ({"breach": True}, 0.7, None),
        ({"breach": True}, 0.65, "30% in one visit"),
        ({"breach": None}, 0.75, "20% in one visit"),
        ({"breach": True, "danger": True}, 0.5, None),
        ({"breach": True, "danger": True}, 0.45, "50% in one visit"),
        ({"breach": True, "danger": True}, 1.05, "low-level target"),
        ({"breach": False, "danger": True}, 0.75, "20% in one visit"),
        ({"breach": None, "danger": True}, 0.75, "20% in one visit"),
        ({"breach": True, "danger": True, "original": 1.2}, 0.5, "0.5 to 1.5 times the original"),
        ({"held": Breach("many lows")}, 1.05, "many lows"),
        ({"held": Breach("many lows")}, 0.9, None),
        ({"breach": True, "original": 1.1}, 0.7, "0.7 to 1.3 times the original"),
        ({"direction": -1, "breach": True, "current": 10.0, "limits": LINE_LIMITS["carb_ratio"]}, 13.0, None),
        ({"direction": -1, "breach": False, "current": 10.0, "limits": LINE_LIMITS["carb_ratio"]}, 13.0, "20% in one visit"),
        ({"direction": -1, "breach": True, "current": 10.0, "limits": LINE_LIMITS["carb_ratio"]}, 9.0, "low-level target"),
        ({"direction": -1, "breach": True, "current": 10.0, "limits": LINE_LIMITS["carb_ratio"]}, 11.0, None),
        ({"current": 2.1, "limits": LINE_LIMITS["carb_ratio"]}, 1.9, "absolute limits 2 to 150"),
        ({"current": math.nan}, 1.0, "current value"),
        ({}, math.nan, "absolute limits"),
        ({}, 1.1, None),
    ],
)
def test_a_regimen_line_is_held_to_its_limits(changes, proposed, reason):
    verdict = guard_line(line(**changes), proposed)
    assert verdict.allowed == (reason is None)
    assert reason is None or any(reason in in_words(breach) for breach in verdict.breaches)


def test_outside_the_recommended_range_is_allowed_with_advice():
    verdict = guard_line(line(current=3.8, limits=LINE_LIMITS["carb_ratio"], direction=-1), 3.5)
    assert verdict.allowed and "recommended 4 to 28" in in_words(verdict.advice[0])


@st.composite
def proposals(draw: st.DrawFn) -> tuple[RegimenLine, float]:
    """A line and a change of it that is allowed more often than not, or is spoilt in one thing."""
    setting = draw(st.sampled_from(sorted(LINE_LIMITS)))
    limits = LINE_LIMITS[setting]
    known = {
        "current": draw(st.floats(max(limits.lowest, 0.1), limits.highest)),
        "breach": draw(st.sampled_from([True, False, False, None])),
        "danger": draw(st.booleans()),
        "held": draw(st.sampled_from([None, None, Breach("many lows")])),
        "days": draw(st.floats(7, 60)),
        "direction": draw(st.sampled_from([1, -1])),
    }
    known["original"] = draw(
        st.one_of(
            st.none(),
            st.floats(0.9, 1.1).map(lambda ratio: ratio * known["current"]),
            st.floats(0.75, 1.3).map(lambda ratio: ratio * known["current"]),
        )
    )
    proposed = known["current"] * draw(st.one_of(st.floats(0.85, 1.15), st.floats(0.8, 1.2), st.floats(0.45, 1.55)))
    spoilt = draw(st.sampled_from([*[""] * 8, "current", "original", "days", "proposed"]))
    if spoilt in known:
        known[spoilt] = draw(numbers)
    return line(limits=limits, **known), draw(numbers) if spoilt == "proposed" else proposed


@reaches(0.2)
@settings(max_examples=300, deadline=None)
@given(proposal=proposals())
def test_no_line_that_passes_breaks_a_rule(proposal):
    item, proposed = proposal
    limits, current = item.limits, item.current
    if not guard_line(item, proposed).allowed or proposed == current:
        return
    reached()
    assert limits.lowest <= proposed <= limits.highest
    rescue = item.breach is True and (proposed - current) * item.direction < 0
    cap = (0.5 if item.danger else 0.3) if rescue else 0.2
    low, high = (min(0.7, 1 - cap), 1 + cap) if rescue else (0.7, 1.2)
    assert abs(proposed - current) <= cap * current + 1e-5
    original = current if item.original is None else item.original
    assert low * original - 1e-5 <= proposed <= high * original + 1e-5
    assert item.days >= 7
    assert (proposed - current) * item.direction <= 0 or (item.breach is False and not item.held)
