"""The guardrails of doses at their edges: what must be known, the mask of a search, and the second check of its answer."""

import math
from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest
import torch

from careplan.breach import in_words
from careplan.planning.safety import (
    Bounds,
    DoseContext,
    Guarded,
    allowed,
    bounds_of,
    breaches,
    guard_doses,
    reasons_to_change_nothing,
)
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.rule_words import breach_in_words as told_of
from careplan.therapy import Limits
from tests.limits_table import CHANNELS, READING_AGE

LIMITS = Limits(max_dose=5.0, max_on_board=6.0, min_spacing=45.0, floor=80.0, max_rate=3.0, max_rate_ratio=2.5)
LOW, HIGH = CHANNELS["glucose"][1:]
FASTEST = CHANNELS["basal"][2]
NAN, INF = math.nan, math.inf


def context(**changes: Any) -> DoseContext:
    """One patient, all known, two decisions ahead."""
    known = {"level": 150.0, "level_age": 3.0, "baseline": [1.0, 1.0], "on_board": [0.0, 0.0], "since_last": 90.0, **changes}
    return DoseContext(**{name: torch.tensor([value]) for name, value in known.items()}, remaining=torch.tensor([1.0, 0.5]))


# What must be known before anything is changed.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"level": LOW}, None),
        ({"level": LOW - 0.5}, "glucose: 19.5 mg/dL, expected 20 to 600"),
        ({"level": HIGH}, None),
        ({"level": HIGH + 1}, "glucose: 601"),
        ({"level": NAN}, "glucose: unknown"),
        ({"level_age": 0.0}, None),
        ({"level_age": -0.5}, "measured -0.5 min ago"),
        ({"level_age": READING_AGE}, None),
        ({"level_age": READING_AGE + 0.25}, "measured 15.25 min ago, expected at most 15"),
        ({"level_age": NAN}, "measured unknown min ago"),
        ({"baseline": [0.0, FASTEST]}, None),
        ({"baseline": [1.0, -0.1]}, "baseline rate"),
        ({"baseline": [FASTEST + 0.5, 1.0]}, "baseline rate"),
        ({"baseline": [1.0, NAN]}, "baseline rate"),
        ({"on_board": [0.0, 60.0]}, None),
        ({"on_board": [0.0, -0.1]}, "what is on board is unknown"),
        ({"on_board": [INF, 0.0]}, "what is on board is unknown"),
        ({"on_board": [0.0, NAN]}, "what is on board is unknown"),
        ({"since_last": 0.0}, None),
        ({"since_last": INF}, None),
        ({"since_last": -1.0}, "the time of the last dose is unknown"),
        ({"since_last": NAN}, "the time of the last dose is unknown"),
    ],
)
def test_the_gate_at_its_edges(changes: dict[str, Any], reason: str | None) -> None:
    told = [told_of(breach) for breach in reasons_to_change_nothing(context(**changes), [LIMITS], GLUCOSE)[0]]
    assert (len(told), reason in told[0] if reason and told else True) == (0 if reason is None else 1, True), told


@pytest.mark.parametrize("name", [item.name for item in fields(Bounds)])
def test_a_limit_that_is_missing_or_absurd_closes_the_gate(name: str) -> None:
    for value in (None, NAN, INF, -0.1):
        [told] = reasons_to_change_nothing(context(), [replace(LIMITS, **{name: value})], GLUCOSE)
        assert ("limit", name) in [(breach.rule, breach.key) for breach in told]
    if name != "floor":
        assert reasons_to_change_nothing(context(), [replace(LIMITS, **{name: 0.0})], GLUCOSE) == [[]]


def test_why_nothing_may_be_changed_tells_what_was_found_and_what_is_expected() -> None:
    limits = replace(LIMITS, floor=LOW, max_dose=-1.0)
    [told] = reasons_to_change_nothing(context(level=700.0, level_age=20.0, baseline=[1.0, FASTEST + 1.0]), [limits], GLUCOSE)
    assert [(each.rule, each.key, dict(each.numbers)) for each in told] == [
        ("level", "glucose", {"level": 700.0, "low": LOW, "high": HIGH}),
        ("age", "glucose", {"minutes": 20.0, "most": READING_AGE}),
        ("baseline rate", "", {"rate": FASTEST + 1.0, "most": FASTEST}),
        ("limit", "max_dose", {"limit": -1.0}),
        ("floor within range", "floor", {"limit": LOW, "low": LOW, "high": HIGH}),
    ]


@pytest.mark.parametrize(("floor", "opens"), [(LOW, False), (LOW + 0.5, True), (HIGH - 0.5, True), (HIGH, False)])
def test_a_floor_lies_within_what_can_be_measured(floor: float, opens: bool) -> None:
    [told] = reasons_to_change_nothing(context(), [replace(LIMITS, floor=floor)], GLUCOSE)
    assert [(breach.rule, breach.key) for breach in told] == ([] if opens else [("floor within range", "floor")])


def test_each_patient_has_a_gate_and_all_its_reasons_are_told() -> None:
    known, other = context(), context(level=NAN, since_last=NAN)
    pairs = {item.name: torch.cat([getattr(known, item.name), getattr(other, item.name)]) for item in fields(DoseContext)}
    known = DoseContext(**pairs)
    first, second = reasons_to_change_nothing(known, [LIMITS, LIMITS], GLUCOSE)
    assert first == [] and len(second) == 2
    assert reasons_to_change_nothing(context(level_age=20.0), [LIMITS], GLUCOSE, max_age=20.0) == [[]]


def test_without_a_rate_any_baseline_is_possible() -> None:
    pens = tuple(channel for channel in GLUCOSE.channels if channel.name != "basal")
    pools = tuple(replace(pool, channels=pool.channels[-1:]) for pool in GLUCOSE.pools)
    therapy = replace(GLUCOSE, channels=pens, pools=pools, actions=GLUCOSE.actions[:1])
    assert reasons_to_change_nothing(context(baseline=[FASTEST + 1, 0.0]), [LIMITS], therapy) == [[]]


# The mask of a search: what an action `(impulse, multiple)` would break.

TOLERANCE = 1e-4  # U: of float32 sums


def broken(action: tuple[float, float], *, limits: Limits = LIMITS, **known: float) -> set[str]:
    """One action of one patient; the limits it breaks."""
    given = {"on_board": 0.0, "since_last": 90.0, "level": 150.0, "baseline": 1.0, **known}
    parts = {name: torch.tensor([[value]]) for name, value in given.items()}
    found = breaches(bounds_of([limits]), actions=torch.tensor([[[action]]]), interval=30.0, **parts)
    assert {mask.shape for mask in found.values()} == {(1, 1, 1)} and len(found) == 6
    return {name for name, mask in found.items() if bool(mask)}


@pytest.mark.parametrize(
    ("action", "known", "names"),
    [
        ((0.0, 1.0), {}, set()),
        ((5.0, 1.0), {}, set()),
        ((5.0 + 0.8 * TOLERANCE, 1.0), {}, set()),
        ((5.0 + 2 * TOLERANCE, 1.0), {}, {"max_dose"}),
        ((-0.01, 1.0), {}, {"max_dose"}),
        ((NAN, 1.0), {}, {"max_dose"}),
        ((0.0, 0.0), {}, set()),
        ((0.0, -0.01), {}, {"max_rate"}),
        ((0.0, NAN), {}, {"max_rate"}),
        # On board after the dose: the impulse and half an hour of what the rate is above the baseline.
        ((5.0, 1.0), {"on_board": 1.0}, set()),
        ((5.0, 1.0), {"on_board": 1.0 + 0.8 * TOLERANCE}, set()),
        ((5.0, 1.0), {"on_board": 1.0 + 2 * TOLERANCE}, {"max_on_board"}),
        ((5.0, 1.0), {"on_board": NAN}, {"max_on_board"}),
        ((0.0, 1.0), {"on_board": 7.0}, set()),
        ((0.0, 0.5), {"on_board": 7.0}, set()),
        ((0.0, 2.0), {"on_board": 5.5}, set()),
        ((0.0, 2.0), {"on_board": 5.51}, {"max_on_board"}),
        ((5.0, 2.0), {"on_board": 0.51}, {"max_on_board"}),
        ((5.0, 2.0), {"on_board": 0.49}, set()),
        ((5.0, 0.0), {"on_board": 1.01}, {"max_on_board"}),  # what is withheld makes no room
        ((5.0, 1.0), {"on_board": -3.0}, set()),
        ((4.0, 1.0), {"on_board": -3.0, "baseline": 0.0}, set()),
        ((1.0, 1.0), {"since_last": 45.0}, set()),
        ((1.0, 1.0), {"since_last": 44.9}, {"min_spacing"}),
        ((1.0, 1.0), {"since_last": NAN}, {"min_spacing"}),
        ((0.0, 2.0), {"since_last": 0.0}, set()),
        ((1.0, 1.0), {"level": 80.0}, set()),
        ((1.0, 1.0), {"level": 79.9}, {"floor"}),
        ((0.0, 2.0), {"level": 80.0}, set()),
        ((0.0, 2.0), {"level": 79.9}, {"floor"}),
        ((0.0, 2.0), {"level": NAN}, {"floor"}),
        ((0.0, 0.5), {"level": 79.9}, set()),
        ((0.0, 1.0), {"level": 79.9}, set()),
        ((0.0, 1.05), {"level": 79.9}, {"floor"}),
        ((0.0, 1.05), {"on_board": 7.0}, {"max_on_board"}),
        ((0.0, 1.05), {"baseline": 9.0}, {"max_rate"}),
        ((0.0, 2.0), {"baseline": 1.5}, set()),
        ((0.0, 2.0), {"baseline": 1.5 + 0.4 * TOLERANCE}, set()),
        ((0.0, 2.0), {"baseline": 1.5 + TOLERANCE}, {"max_rate"}),
        ((0.0, 1.0), {"baseline": 9.0}, set()),
        ((0.0, 0.5), {"baseline": 9.0}, set()),
        ((0.0, 2.0), {"baseline": NAN}, {"max_rate", "max_on_board"}),
        ((0.0, 2.5), {"baseline": 0.1}, set()),
        ((0.0, 2.6), {"baseline": 0.1}, {"max_rate_ratio"}),
        ((0.0, 1.0), {"baseline": 0.1}, set()),
    ],
)
def test_the_mask_at_its_edges(action: tuple[float, float], known: dict[str, float], names: set[str]) -> None:
    assert broken(action, **known) == names


def test_each_patient_node_and_candidate_is_judged_on_its_own() -> None:
    """Two patients, three nodes of each, two candidates, and the limits of each patient."""
    limits = [LIMITS, replace(LIMITS, max_dose=0.5, floor=100.0, max_on_board=3.0, max_rate=1.0)]
    known = {
        "on_board": torch.tensor([[0.0, 2.5, 5.5], [0.0, 2.5, 5.5]]),
        "since_last": torch.tensor([[90.0, 10.0, 90.0], [10.0, 90.0, 90.0]]),
        "level": torch.tensor([[90.0, 150.0, 70.0], [90.0, 150.0, 120.0]]),
        "baseline": torch.tensor([[1.0, 2.0, 0.4], [1.0, 2.0, 0.4]]),
    }
    actions = torch.tensor([[1.0, 1.0], [0.0, 2.0]]).expand(2, 3, 2, 2)
    found = breaches(bounds_of(limits), actions=actions, interval=30.0, **known)
    for row, node, candidate in product(range(2), range(3), range(2)):
        alone = {name: float(part[row, node]) for name, part in known.items()}
        names = {name for name, mask in found.items() if bool(mask[row, node, candidate])}
        assert names == broken(tuple(actions[row, node, candidate].tolist()), limits=limits[row], **alone)


def test_the_tolerance_itself_is_within() -> None:
    nothing = Limits(max_dose=0.0, max_on_board=0.0, min_spacing=0.0, floor=0.0, max_rate=0.0, max_rate_ratio=2.0)
    assert broken((TOLERANCE, 1.0), limits=nothing) == set()
    assert broken((0.0, 2.0), limits=nothing, baseline=TOLERANCE / 2) == set()
    assert broken((2 * TOLERANCE, 1.0), limits=nothing) == {"max_dose", "max_on_board"}
    assert broken((0.0, 2.0), limits=nothing, baseline=TOLERANCE) == {"max_rate"}
    assert checked([(2 * TOLERANCE, 1.0)], limits=nothing).allowed
    assert checked([(0.0, 2.0)], limits=nothing, baseline=[TOLERANCE]).allowed
    assert rules(checked([(3 * TOLERANCE, 1.0)], limits=nothing)) == ("max_dose", "max_on_board")


def test_what_was_given_less_than_nothing_counts_as_nothing() -> None:
    assert broken((5.0, 1.0), on_board=-3.0, limits=replace(LIMITS, max_on_board=4.0)) == {"max_on_board"}


def test_a_missing_limit_forbids_all_that_it_limits() -> None:
    bounds = bounds_of([LIMITS, replace(LIMITS, max_dose=None)])  # type: ignore[arg-type]
    assert bounds.max_dose.tolist()[0] == 5.0 and math.isnan(bounds.max_dose.tolist()[1])
    assert {item.name: getattr(bounds, item.name)[0].item() for item in fields(Bounds)} | {"rules": ()} == vars(LIMITS)
    for name in ("max_dose", "max_on_board", "min_spacing", "floor", "max_rate", "max_rate_ratio"):
        assert name in broken((1.0, 2.0), limits=replace(LIMITS, **{name: None}))
    assert broken((0.0, 1.0), limits=replace(LIMITS, max_rate_ratio=0.5)) == set(), "no limit on rates forbids the one in force"
    assert broken((0.0, 1.0), limits=replace(LIMITS, max_rate_ratio=1.0)) == set()


def test_what_is_allowed_breaks_nothing_behind_an_open_gate_and_no_change_always_is() -> None:
    actions = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 2.0], [1.0, 2.0]]).expand(2, 1, 4, 2)
    first = {"one": torch.tensor([[[True, False, True, False]]] * 2), "other": torch.tensor([[[False, False, True, True]]] * 2)}
    found = allowed(first, actions, torch.tensor([True, False]))
    assert found[:, 0].tolist() == [[True, True, False, False], [True, False, False, False]]


# The second check of doses, in plain Python.


def checked(actions: list[tuple[float, float]], *, limits: Limits = LIMITS, **known: Any) -> Guarded:
    given: dict[str, Any] = {
        "on_board": [0.0] * len(actions),
        "levels": [150.0] * len(actions),
        "baseline": [1.0] * len(actions),
        "since_last": 90.0,
        **known,
    }
    return guard_doses(actions, limits, remaining=[1.0, 0.5, 0.25][: len(actions)], interval=30.0, **given)


def rules(guarded: Guarded) -> tuple[str, ...]:
    return tuple(breach.rule for breach in guarded.breaches)


@pytest.mark.parametrize(
    ("actions", "known", "names"),
    [
        ([(0.0, 1.0)], {}, ()),
        ([(5.0, 1.0)], {}, ()),
        ([(5.0 + 1.8 * TOLERANCE, 1.0)], {}, ()),
        ([(5.0 + 3 * TOLERANCE, 1.0)], {}, ("max_dose",)),
        ([(-0.01, 1.0)], {}, ("max_dose",)),
        ([(0.0, 0.0)], {}, ()),
        ([(0.0, -0.01)], {}, ("lowest rate",)),
        ([(0.0, 1.0)], {"on_board": [99.0], "levels": [30.0], "since_last": 0.0}, ()),
        ([(5.0, 1.0)], {"on_board": [1.0]}, ()),
        ([(5.0, 1.0)], {"on_board": [1.0 + 1.8 * TOLERANCE]}, ()),
        ([(5.0, 1.0)], {"on_board": [1.0 + 3 * TOLERANCE]}, ("max_on_board",)),
        ([(5.0, 1.0)], {"on_board": [-3.0]}, ()),
        ([(0.0, 0.5)], {"on_board": [99.0]}, ()),
        # A rate above the baseline counts: twice 1 U/h for half an hour is 0.5 U more.
        ([(0.0, 2.0)], {"on_board": [5.5]}, ()),
        ([(0.0, 2.0)], {"on_board": [5.51]}, ("max_on_board",)),
        ([(5.0, 2.0)], {"on_board": [0.5]}, ()),
        ([(5.0, 2.0)], {"on_board": [0.51]}, ("max_on_board",)),
        ([(5.0, 0.0)], {"on_board": [1.01]}, ("max_on_board",)),
        ([(0.0, 2.0), (5.0, 1.0)], {"on_board": [0.0, 0.75]}, ()),  # half of the 0.5 U is left half an hour later
        ([(0.0, 2.0), (5.0, 1.0)], {"on_board": [0.0, 0.76]}, ("max_on_board",)),
        ([(4.0, 1.0), (0.0, 1.0), (5.0, 1.0)], {}, ()),
        ([(4.0, 1.0), (0.0, 1.0), (5.0, 1.0)], {"on_board": [0.0, 0.0, 0.01]}, ("max_on_board",)),
        ([(4.0, 1.0), (0.0, 0.0), (5.0, 1.0)], {}, ()),
        ([(4.0, 1.0), (0.0, 1.5), (5.0, 1.0)], {}, ("max_on_board",)),
        ([(1.0, 1.0)], {"since_last": 45.0}, ()),
        ([(1.0, 1.0)], {"since_last": 44.9}, ("min_spacing",)),
        ([(0.0, 2.0)], {"since_last": 0.0}, ()),
        ([(1.0, 1.0), (1.0, 1.0)], {}, ("min_spacing",)),  # half an hour after
        ([(1.0, 1.0), (0.0, 1.0), (1.0, 1.0)], {}, ()),  # an hour after
        ([(0.0, 1.0), (1.0, 1.0)], {"since_last": 15.0}, ()),
        ([(0.0, 1.0), (1.0, 1.0)], {"since_last": 14.9}, ("min_spacing",)),
        ([(1.0, 1.0)], {"levels": [80.0]}, ()),
        ([(1.0, 1.0)], {"levels": [79.9]}, ("floor",)),
        ([(0.0, 1.5)], {"levels": [80.0]}, ()),
        ([(0.0, 1.5)], {"levels": [79.9]}, ("floor",)),
        ([(0.0, 1.5)], {"levels": [NAN]}, ("floor",)),
        ([(0.0, 0.5)], {"levels": [30.0]}, ()),
        ([(0.0, 1.0), (1.0, 1.0)], {"levels": [30.0, 79.9]}, ("floor",)),
        ([(0.0, 1.05)], {"levels": [79.9]}, ("floor",)),
        ([(0.0, 1.05)], {"on_board": [6.1], "baseline": [0.0]}, ("max_on_board",)),
        ([(0.0, 1.05)], {"baseline": [9.0]}, ("max_rate",)),
        ([(-0.01, 1.0)], {"levels": [30.0], "on_board": [99.0]}, ("max_dose",)),
        ([(0.0, 2.0)], {"baseline": [1.5]}, ()),
        ([(0.0, 2.0)], {"baseline": [1.5 + 0.9 * TOLERANCE]}, ()),
        ([(0.0, 2.0)], {"baseline": [1.5 + 1.5 * TOLERANCE]}, ("max_rate",)),
        ([(0.0, 0.5)], {"baseline": [9.0]}, ()),
        ([(1.0, 1.0)], {"baseline": [9.0]}, ()),
        ([(0.0, 2.5)], {"baseline": [0.1]}, ()),
        ([(0.0, 2.6)], {"baseline": [0.1]}, ("max_rate_ratio",)),
        ([(6.0, 1.0), (1.0, 1.0)], {}, ("max_dose", "min_spacing")),
    ],
)
def test_the_second_check_of_doses_at_its_edges(actions: list[Any], known: dict[str, Any], names: tuple[str, ...]) -> None:
    verdict = checked(actions, **known)
    assert (verdict.allowed, rules(verdict)) == (not names, names), verdict.breaches


def test_no_limit_on_rates_forbids_a_bolus_at_the_rate_in_force() -> None:
    for limits in (replace(LIMITS, max_rate_ratio=0.5), replace(LIMITS, max_rate=0.5)):
        assert checked([(1.0, 1.0), (0.0, 0.5)], limits=limits).allowed


def test_less_than_nothing_on_board_makes_no_room() -> None:
    assert rules(checked([(5.0, 1.0)], on_board=[-3.0], limits=replace(LIMITS, max_on_board=4.0))) == ("max_on_board",)


def test_a_broken_limit_tells_the_dose_and_what_was_found_at_its_moment() -> None:
    known = {"on_board": [0.5, 0.25], "levels": [150.0, 120.0]}
    verdict = checked([(2.0, 1.0), (6.0, 1.5)], limits=replace(LIMITS, min_spacing=0.0), **known)
    assert dict(verdict.breaches[0].numbers) == {
        "impulse": 6.0,
        "multiple of the rate": 1.5,
        "minutes ahead": 30.0,
        "on board": 0.25 + 2.0 * 0.5,
        "level": 120.0,
    }


def test_a_limit_broken_twice_is_told_with_each_moment() -> None:
    verdict = checked([(0.0, 2.6), (0.0, 2.6)], baseline=[0.1, 0.1])
    assert rules(verdict) == ("max_rate_ratio",) * 2
    assert [breach.numbers["minutes ahead"] for breach in verdict.breaches] == [0, 30]
    assert in_words(verdict.breaches[1]) == "a rate that is too many times the baseline, 30 min from now"
