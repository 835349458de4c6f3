"""Regimens on a small body: four parts of a day, a basal and a ratio for each; what is proposed, refused and left alone."""

import math
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from torch import Tensor

from careplan.breach import Breach
from careplan.planning.regimen import RegimenPlans, RegimenQuestion, RegimenSearch, plan_regimen
from careplan.planning.safety import RegimenLine, guard_line, rounded
from careplan.therapies.glucose.declaration import GLUCOSE, LINE_LIMITS
from tests.reached import reached, reaches

PARTS = torch.arange(4).repeat_interleave(12)
DAY_LONG = (range(4), range(4, 8))


def body(start: list[float], particles: int = 5):
    """In each part of the day the level falls by 120 mg/dL for a log unit of its basal, and rises by 60 for one of its ratio."""
    wave = 15.0 * torch.sin(torch.arange(48) * 2.1)
    strength = torch.linspace(0.8, 1.2, particles).unsqueeze(1)

    def evaluate(multipliers: Tensor) -> Tensor:
        basal, ratio = multipliers.log().unflatten(-1, (2, 4)).unbind(-2)
        moved = (60.0 * ratio - 120.0 * basal)[..., PARTS].unsqueeze(-2) * strength
        return (torch.tensor(start)[PARTS] + wave + moved).clamp(20, 600)

    return evaluate


def settings(**changes: object) -> list[RegimenLine]:
    """Four basal lines, then four ratio lines."""
    basal = [
        RegimenLine(
            key=f"basal@{k}", current=1.0, direction=1, limits=LINE_LIMITS["basal"], increment=0.05, days=14, breach=False
        )
        for k in range(4)
    ]
    ratio = [
        RegimenLine(
            key=f"ratio@{k}", current=10.0, direction=-1, limits=LINE_LIMITS["carb_ratio"], increment=0.5, days=14, breach=False
        )
        for k in range(4)
    ]
    return [replace(line, **changes) for line in basal + ratio]


def plan(start: list[float], lines: list[RegimenLine] | None = None, **options: object) -> RegimenPlans:
    asked = {name: options.pop(name) for name in ("together", "budget", "margin") if name in options}
    question = RegimenQuestion(lines=[lines or settings()], therapy=GLUCOSE, parts=PARTS, **asked)  # type: ignore[arg-type]
    return plan_regimen(body(start), question, RegimenSearch(**options))  # type: ignore[arg-type]


def test_a_high_night_gets_more_basal_there_and_nowhere_else():
    plans = plan([220.0, 115.0, 115.0, 115.0])
    assert plans.changed[0] and not plans.abstained[0]
    assert plans.values[0, 0, 0] == 1.2
    assert plans.values[0, 0, 1:4].tolist() == [1.0] * 3 and plans.values[0, 0, 5:].tolist() == [10.0] * 3
    assert plans.objective[0, 0] < plans.objective[0, 2] - 0.2


def test_lows_are_met_with_cuts_within_the_caps():
    lines = [replace(line, breach=line.key.endswith("@2")) for line in settings()]
    plans = plan([115.0, 115.0, 62.0, 115.0], lines)
    assert plans.values[0, 0, 2] == pytest.approx(0.7) and 12.0 <= plans.values[0, 0, 6] <= 13.0
    assert plans.below[0, 0, :, 0].mean() < plans.below[0, 2, :, 0].mean()


def test_where_the_target_for_lows_is_broken_nothing_gives_more():
    lines = [replace(line, breach=True) for line in settings()]
    plans = plan([260.0] * 4, lines)
    assert not plans.changed[0]
    assert (plans.multipliers[0, :, :4] <= 1).all() and (plans.multipliers[0, :, 4:] >= 1).all()
    assert Breach("low-level target", "basal@0") in plans.bound[0]


def test_where_lows_are_grave_no_step_is_deeper_and_still_nothing_gives_more():
    grave = [replace(line, breach=line.key.endswith("@2"), danger=line.key.endswith("@2")) for line in settings()]
    grave = [replace(line, days=0.0) if line.kind == "ratio" else line for line in grave]
    assert plan([115.0, 115.0, 40.0, 115.0], grave).values[0, 0, 2] == pytest.approx(0.7)
    high = plan([260.0] * 4, [replace(line, breach=True, danger=True) for line in settings()])
    assert (high.multipliers[0, :, :4] <= 1).all() and (high.multipliers[0, :, 4:] >= 1).all()


def test_no_more_kinds_of_setting_give_more_than_asked():
    for kinds in (1, 2):
        plans = plan([300.0, 300.0, 230.0, 230.0], changes=3, together=(*DAY_LONG, range(8)), strengthened=kinds)
        basal, ratio = plans.multipliers[0, 0, :4] > 1, plans.multipliers[0, 0, 4:] < 1
        assert int(basal.any()) + int(ratio.any()) == kinds


def test_more_of_several_kinds_at_once_is_held_by_those_who_answer_most_strongly():
    strength = torch.full((32, 1), 0.5)
    strength[0] = 1.8  # one of 32 answers more than three times as strongly as the others

    def evaluate(multipliers: Tensor) -> Tensor:
        basal, ratio = multipliers.log().unflatten(-1, (2, 4)).unbind(-2)
        moved = (60.0 * ratio - 120.0 * basal)[..., PARTS].unsqueeze(-2) * strength
        return 130.0 + 15.0 * torch.sin(torch.arange(48) * 2.1) + moved

    everything = torch.tensor([[[1.2] * 4 + [0.8] * 4]])
    low = GLUCOSE.costs[0].rate(evaluate(everything)).mean(-1)
    assert low.mean() < GLUCOSE.costs[0].budget, "in the mean over all, everything could be given"
    asked = RegimenQuestion(lines=[settings()], therapy=GLUCOSE, parts=PARTS, together=(*DAY_LONG, range(8)))
    plans = plan_regimen(evaluate, asked, RegimenSearch(strengthened=2))
    assert plans.changed[0] and not (plans.multipliers[0, 0] == everything[0, 0]).all()
    worst = plans.below[0, 0, :, 0].topk(8).values.mean()
    kinds = int((plans.multipliers[0, 0, :4] > 1).any()) + int((plans.multipliers[0, 0, 4:] < 1).any())
    assert kinds == 1 or worst <= GLUCOSE.costs[0].budget


def test_kinds_of_setting_move_apart_as_far_as_is_asked_and_all_together_as_one():
    everything = (*DAY_LONG, range(8))
    lows = [replace(line, breach=True) for line in settings()]
    one = plan([62.0] * 4, lows, changes=3, together=everything, apart=1)
    basal, ratio = one.multipliers[0, 0, :4], one.multipliers[0, 0, 4:]
    whole = bool((basal < 1).all() and (ratio > 1).all())
    assert one.changed[0] and (whole or not ((basal != 1).any() and (ratio != 1).any()))
    assert not whole or basal.unique().numel() == 1, "by one factor, in one step"
    split = plan([62.0] * 4, lows, changes=3, together=DAY_LONG, apart=1)
    moved = split.multipliers[0, 0] != 1
    assert bool(moved[:4].any()) != bool(moved[4:].any()), "where they cannot move together it is one kind"
    free = plan([62.0] * 4, lows, changes=3, together=DAY_LONG, apart=2)
    assert (free.multipliers[0, 0, :4] < 1).any() and (free.multipliers[0, 0, 4:] > 1).any()


def test_nobody_is_charged_for_what_they_have_within_the_budget():
    few = [115.0, 115.0, 115.0, 84.0]  # low for 8 % of the day
    within, beyond = torch.tensor([[0.1, 0.01]]), torch.tensor([[0.02, 0.01]])
    margin = torch.tensor([[0.08, 0.0]])
    assert not plan(few, budget=within, margin=margin, worth=3.0, excess=3.0).changed[0]
    assert plan(few, budget=beyond, worth=3.0, excess=3.0).changed[0]


def test_a_held_line_may_be_cut_and_never_raised():
    held = [replace(line, held=Breach("many lows")) for line in settings()]
    high = plan([230.0] * 4, held)
    assert not high.changed[0] and Breach("many lows", "basal@0") in high.bound[0]
    low = plan([115.0, 115.0, 62.0, 115.0], held)
    assert low.values[0, 0, 2] < 1.0 and (low.multipliers[0, :, :4] <= 1).all()


def test_an_increase_that_would_bring_lows_is_pruned():
    wide = torch.tensor([[0.04, 0.01]])
    near = [190.0, 72.0, 115.0, 115.0]
    assert plan(near, budget=wide).values[0, 0, 1] <= 1.0
    loose = plan([92.0, 250.0, 250.0, 250.0], budget=torch.ones(1, 2))
    tight = plan([92.0, 250.0, 250.0, 250.0], margin=torch.tensor([[0.04, 0.01]]))
    assert tight.below[0, 0, :, 0].mean() <= loose.below[0, 0, :, 0].mean()
    assert "below_70" in tight.pruned[0]


def test_an_increase_may_rest_on_a_cut():
    """The night is too low and the morning too high: the search cuts one and raises the other."""
    lines = [replace(line, breach=line.key.endswith("@0")) for line in settings()]
    plans = plan([76.0, 190.0, 115.0, 115.0], lines, changes=4)
    assert plans.values[0, 0, 0] < 1.0 or plans.values[0, 0, 4] > 10.0
    assert plans.values[0, 0, 1] > 1.0 or plans.values[0, 0, 5] < 10.0
    assert plans.below[0, 0].mean(0)[0] <= 0.04


def test_no_more_lines_change_than_asked():
    for changes in (1, 2, 3):
        plans = plan([230.0] * 4, changes=changes)
        assert (plans.multipliers[0, 0] != 1).sum() <= changes


def test_an_even_regimen_is_left_alone():
    plans = plan([112.0] * 4)
    assert not plans.changed[0] and not plans.abstained[0]


def test_lines_without_evidence_are_left_alone_and_without_any_it_abstains():
    some = [replace(line, days=2.0) if line.key == "basal@0" else line for line in settings()]
    plans = plan([230.0, 112.0, 112.0, 112.0], some)
    assert plans.values[0, 0, 0] == 1.0
    assert Breach("evidence", "basal@0", {"days": 2.0, "needed": 7.0}) in plans.bound[0]
    none = plan([230.0] * 4, settings(days=0.0))
    assert none.abstained[0] and not none.changed[0] and none.reasons[0] == (Breach("no open line"),)


def test_the_runner_up_begins_with_another_line():
    plans = plan([220.0, 180.0, 115.0, 115.0], changes=1)
    assert plans.has_runner_up[0]
    assert (plans.multipliers[0, 0] != plans.multipliers[0, 1]).any()
    assert plans.objective[0, 1] >= plans.objective[0, 0] - 1e-4


def test_an_evaluator_that_gives_nan_makes_only_that_patient_abstain():
    start = body([220.0, 115.0, 115.0, 115.0])

    def sick(multipliers: Tensor) -> Tensor:
        levels = start(multipliers)
        levels[0] = torch.where((multipliers[0, :, 3] != 1.0)[:, None, None], torch.nan, levels[0])
        return levels

    plans = plan_regimen(sick, RegimenQuestion(lines=[settings(), settings()], therapy=GLUCOSE))
    assert plans.abstained.tolist() == [True, False]
    assert plans.changed.tolist() == [False, True]
    assert plans.reasons[0] == (Breach("finite"),)


def test_every_proposed_value_is_a_whole_number_of_increments_within_the_caps():
    lines = [
        replace(line, current=value)
        for line, value in zip(settings(), (0.325, 0.85, 1.37, 2.0, 7.0, 9.5, 13.0, 4.0), strict=True)
    ]
    plans = plan([250.0] * 4, lines, changes=4)
    assert plans.changed[0]
    for line, value in zip(lines, plans.values[0, 0].tolist(), strict=True):
        if value != line.current:
            assert value / line.increment == pytest.approx(round(value / line.increment), abs=1e-9)
            assert 0.8 * line.current - 1e-6 <= value <= 1.2 * line.current + 1e-6


@pytest.mark.parametrize(
    "current, increment, factor, value",
    [
        (1.0, 0.05, 1.1, 1.1),
        (0.32, 0.05, 1.1, 0.35),
        (0.3, 0.05, 1.1, 0.3),
        (0.3, 0.05, 0.9, 0.3),
        (10.0, 1.0, 0.8, 8.0),
        (0.325, 0.05, 0.9, 0.3),
    ],
)
def test_rounding_never_changes_more_than_was_asked(current, increment, factor, value):
    assert rounded(replace(settings()[0], current=current, increment=increment), factor) == value


def test_unknown_values_and_uneven_patients_are_handled():
    lines = [replace(line, current=math.nan) if line.key == "basal@0" else line for line in settings()]
    plans = plan([230.0, 112.0, 112.0, 112.0], lines)
    assert plans.multipliers[0, 0, 0] == 1.0
    with pytest.raises(ValueError, match="same number"):
        RegimenQuestion(lines=[settings(), settings()[:3]], therapy=GLUCOSE)


sound = st.fixed_dictionaries(
    {"current": st.floats(2.0, 30.0, width=32), "days": st.sampled_from([7.0, 30.0]), "breach": st.just(False)}
)
spoilt = st.fixed_dictionaries(
    {
        "current": st.one_of(st.floats(2.0, 30.0), st.floats(0.0625, 40, width=32), st.sampled_from([0.0, math.nan, -1.0])),
        "days": st.sampled_from([0.0, 6.9, 7.0, 30.0, math.nan]),
        "breach": st.sampled_from([True, False, None]),
        "danger": st.booleans(),
        "held": st.sampled_from([None, Breach("many lows")]),
    }
)


@reaches(0.2)
@examples(max_examples=40, deadline=None)
@given(
    drawn=st.lists(st.one_of(sound, spoilt), min_size=8, max_size=8),
    liar=st.one_of(st.floats(100, 300), st.floats(-300, -100)),
)
def test_whatever_the_evaluator_promises_no_line_breaks_a_rule(drawn, liar):
    lines = [replace(line, **changes) for line, changes in zip(settings(), drawn, strict=True)]

    def evaluate(multipliers: Tensor) -> Tensor:
        wonder = (liar * (multipliers.log() * torch.tensor([1.0] * 4 + [-1.0] * 4)).sum(-1)).abs()
        return (250.0 - wonder).clamp(110.0, 400.0)[..., None, None].expand(*multipliers.shape[:2], 3, 6)

    plans = plan_regimen(evaluate, RegimenQuestion(lines=[lines], therapy=GLUCOSE), RegimenSearch(changes=4, simulations=32))
    for option in plans.values[0]:
        changed = [
            (line, value) for line, value in zip(lines, option.tolist(), strict=True) if value != line.current and value == value
        ]
        assert len(changed) <= 4
        for line, value in changed:
            reached()
            assert guard_line(line, value).allowed
            assert (value - line.current) * line.direction < 0 or (line.breach is False and not line.held)
            assert line.days >= 7


def test_lines_that_may_move_together_are_one_step():
    plans = plan([200.0] * 4, changes=1, together=DAY_LONG)
    assert plans.values[0, 0, :4].tolist() == [1.2] * 4 and plans.values[0, 0, 4:].tolist() == [10.0] * 4
    assert (plan([200.0] * 4, changes=1).multipliers[0, 0] != 1).sum() == 1


def test_of_lines_that_move_together_those_that_may_not_stay():
    lines = [replace(line, breach=line.key.endswith("@2")) for line in settings()]
    plans = plan([200.0, 200.0, 115.0, 200.0], lines, changes=1, together=DAY_LONG)
    assert plans.values[0, 0, 2] == 1.0 and plans.values[0, 0, 6] == 10.0
    assert (plans.multipliers[0, 0] != 1).sum() == 3


def test_no_line_is_changed_twice_though_it_may_also_move_with_others():
    plans = plan([300.0, 230.0, 230.0, 230.0], changes=3, together=DAY_LONG)
    assert plans.changed[0] and plans.multipliers[0, 0].max() <= 1.2 + 1e-6 and plans.multipliers[0, 0].min() >= 0.8 - 1e-6
