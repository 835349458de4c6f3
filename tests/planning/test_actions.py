"""Candidate doses and what is on board of those given, against numbers worked out apart from the code."""

import math
from dataclasses import replace

import pytest
import torch

from careplan.planning.actions import NO_CHANGE, added, carried, dose_channels, dose_table, remaining
from careplan.rules import MULTIPLES, SHARES, Remains
from careplan.therapies.glucose.declaration import GLUCOSE, RAPID


def test_the_grid_of_candidates() -> None:
    assert NO_CHANGE == (0.0, 1.0)
    assert SHARES == (0.01, 0.02, 0.04, 0.07, 0.11, 0.16, 0.22, 0.30)
    assert MULTIPLES == (0.0, 0.5, 1.5, 2.0)


def test_the_first_impulse_and_the_first_rate_are_what_a_plan_doses() -> None:
    impulse, rate = dose_channels(GLUCOSE)
    assert rate is not None and (impulse.name, rate.name) == ("bolus", "basal")
    channels = tuple(channel for channel in GLUCOSE.channels if channel.name not in ("basal", "long_acting"))
    pools = tuple(replace(pool, channels=pool.channels[-1:]) for pool in GLUCOSE.pools[::2])
    effects = tuple(replace(effect, pools=effect.pools[:1]) for effect in GLUCOSE.effects)
    pen = replace(GLUCOSE, channels=channels, pools=pools, effects=effects, actions=GLUCOSE.actions[:1])
    assert dose_channels(pen) == (pen.channel("bolus"), None)
    none = tuple(channel for channel in channels if channel.name != "bolus")
    with pytest.raises(ValueError, match="no action is an impulse"):
        dose_channels(replace(pen, channels=none, pools=pen.pools[1:], effects=pen.effects[1:], actions=()))


def one(value: float, count: int = 1) -> torch.Tensor:
    return torch.full((count,), value)


def test_candidates_are_no_change_the_impulses_and_the_rates() -> None:
    daily, increment, pump = torch.tensor([40.0, 3.0]), torch.tensor([0.05, 0.5]), torch.tensor([True, False])
    table, exists = dose_table(daily, increment, pump)
    assert table.shape == (2, 13, 2)
    impulses = [0.4, 0.8, 1.6, 2.8, 4.4, 6.4, 8.8, 12.0]
    torch.testing.assert_close(table[0, :, 0], torch.tensor([0.0, *impulses, 0.0, 0.0, 0.0, 0.0]))
    assert table[0, :, 1].tolist() == [1.0] * 9 + list(MULTIPLES)
    assert exists[0].all()
    # Of 3 U a day in whole half units: 0, 0, 0, 0, 0, 0, 0.5, 0.5; the first of those that are equal is there once.
    assert table[1, :, 0].tolist() == [0.0] * 7 + [0.5, 0.5] + [0.0] * 4
    assert exists[1].tolist() == [True] + [False] * 6 + [True] + [False] * 5


def test_impulses_are_rounded_down_to_what_can_be_delivered() -> None:
    table, exists = dose_table(one(10.0), one(0.5), one(1.0) > 0, shares=(0.0999, 0.1, 0.1499, 0.15, 0.2))
    assert table[0, 1:6, 0].tolist() == [0.5, 1.0, 1.0, 1.5, 2.0]
    assert exists[0].tolist() == [True, True, True, False, True, True] + [True] * 4
    # A ten-thousandth of a step is rounding: 0.3 of 1 U in steps of 0.1 is 0.3 and not 0.2; a thousandth is not.
    for share, units in ((0.3, 0.3), (0.3 - 0.5e-5, 0.3), (0.3 - 5e-5, 0.2)):
        assert float(dose_table(one(1.0), one(0.1), one(1.0) > 0, shares=(share,))[0][0, 1, 0]) == pytest.approx(units)


@pytest.mark.parametrize(
    ("action", "baseline", "interval", "amount"),
    [
        ((2.0, 1.0), 1.0, 30.0, 2.0),
        ((0.0, 2.0), 1.0, 30.0, 0.5),
        ((0.0, 3.0), 1.5, 20.0, 1.0),
        ((2.0, 1.5), 2.0, 60.0, 3.0),
        ((0.0, 0.0), 1.0, 30.0, 0.0),
        ((2.0, 0.5), 1.0, 30.0, 2.0),
        ((0.0, 1.25), 1.0, 60.0, 0.25),
    ],
)
def test_what_an_action_adds_above_the_baseline(action, baseline: float, interval: float, amount: float) -> None:
    assert float(added(torch.tensor(action), torch.tensor(baseline), interval)) == pytest.approx(amount)


def left(minutes: float, peak: float, duration: float) -> float:
    """One minus what has acted by then: the published activity curve, added up minute by minute.

    Activity t / tau^2 (1 - t / duration) exp(-t / tau), scaled to one in all, with tau chosen so that it peaks at `peak`.
    """
    tau = peak * (1 - peak / duration) / (1 - 2 * peak / duration)

    def acted(until: float) -> float:
        steps = 20_000
        width = until / steps
        mids = [(step + 0.5) * width for step in range(steps)]
        return sum(t * (1 - t / duration) * math.exp(-t / tau) for t in mids) * width

    return 1 - acted(minutes) / acted(duration)


@pytest.mark.parametrize(("peak", "duration"), [(75.0, 360.0), (55.0, 300.0)])
def test_on_board_is_what_the_published_activity_leaves(peak: float, duration: float) -> None:
    minutes = [0.0, 30.0, 75.0, 180.0, 290.0]
    found = remaining(torch.tensor(minutes, dtype=torch.float64), Remains(peak=peak, duration=duration))
    assert found.tolist() == pytest.approx([left(value, peak, duration) for value in minutes], abs=1e-5)
    assert remaining(torch.tensor([duration, duration + 60.0]), Remains(peak=peak, duration=duration)).tolist() == pytest.approx(
        [0, 0], abs=1e-6
    )
    assert remaining(torch.tensor([-5.0]), RAPID).tolist() == [1.0], "what is yet to come is whole"
    every = remaining(torch.arange(0.0, 600.0), RAPID)
    assert bool(((every >= 0) & (every <= 1)).all()) and bool((every.diff() <= 1e-6).all())
    nearly = remaining(torch.linspace(359.8, 360.0, 200), Remains(peak=65.0, duration=360.0))
    assert float(nearly.min()) == 0.0, "rounding takes nothing more"


def test_what_is_left_depends_on_the_peak_and_the_end() -> None:
    history = torch.tensor([[1.0, 0.0, 2.0]])
    asked = {"step": 5.0, "interval": 30.0, "decisions": 4}
    assert (RAPID.peak, RAPID.duration) == (75.0, 360.0)
    for other in (Remains(peak=55.0, duration=360.0), Remains(peak=75.0, duration=300.0)):
        assert not torch.equal(carried(history, RAPID, **asked), carried(history, other, **asked))


@pytest.mark.parametrize(("peak", "duration"), [(0.0, 360.0), (-1.0, 360.0), (180.0, 360.0), (200.0, 360.0), (math.nan, 360.0)])
def test_a_peak_beyond_the_first_half_is_refused(peak: float, duration: float) -> None:
    with pytest.raises(ValueError, match="first half of the duration"):
        remaining(torch.tensor([10.0]), Remains(peak=peak, duration=duration))
    for within in (0.5, 179.5):
        assert 0 < float(remaining(torch.tensor([10.0], dtype=torch.float64), Remains(peak=within, duration=360.0))) < 1


def test_what_is_carried_is_what_each_earlier_dose_leaves_at_each_decision() -> None:
    history = torch.tensor([[3.0, 0.0, 1.0], [-2.0, 0.0, 4.0], [0.0, math.nan, 1.0]], dtype=torch.float64)
    found = carried(history, RAPID, step=5.0, interval=30.0, decisions=3)
    expected = [3 * left(10 + ahead, 75, 360) + left(ahead, 75, 360) for ahead in (0.0, 30.0, 60.0)]
    assert found.shape == (3, 3)
    assert found[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert found[1].tolist() == pytest.approx([4 * left(ahead, 75, 360) for ahead in (0.0, 30.0, 60.0)], abs=1e-5)
    assert bool(found[2].isnan().all()), "an unknown amount makes all unknown"
