"""Each source of life can be switched off, is seeded, is on record, and switching it off changes what it must and only that."""

from dataclasses import fields
from dataclasses import replace as altered
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cohorts.policies import Behaviour, Doses, Policy, Seen
from cohorts.population import Population, sample_population
from cohorts.replay import Change, Living, Replay, branch, replay
from cohorts.scenarios import BLOCKED, ROWS, SET, Life, Meal, Scenario, draw_life, scheduled
from cohorts.sensors import HIGH, LOW, Sensor, Wear

BUSY = altered(Life.full(), exercise=1.0, slow=0.5, illness=0.3, occlusion=0.9)
WORN = altered(Sensor.dexcom(), wear=2, dropout=2.0, compression=0.9)


@pytest.fixture(scope="module")
def people() -> Population:
    return sample_population("adult", 6, seed=4, pens=0.3)


def drawn(people: Population, life: Life) -> Scenario:
    return draw_life(people, 4, life, torch.Generator().manual_seed(1))


def changed(one: Scenario | Wear, other: Scenario | Wear) -> set[str]:
    names = [field.name for field in fields(one) if isinstance(getattr(one, field.name), torch.Tensor)]
    return {name for name in names if not torch.equal(getattr(one, name), getattr(other, name))}


@pytest.mark.parametrize(
    ("source", "must"),
    [
        ("meal_time", {"eaten", "announced", "pace"}),
        ("meal_size", {"eaten", "announced"}),
        ("counting", {"announced"}),
        ("unannounced", {"announced"}),
        ("slow", {"pace"}),
        ("composition", {"pace"}),
        ("circadian", {"sensitivity"}),
        ("daily", {"sensitivity"}),
        ("exercise", {"activity", "sensitivity", "uptake"}),
        ("illness", {"ill", "sensitivity"}),
        ("occlusion", {"blocked"}),
        ("rounding", set()),
    ],
)
def test_a_source_of_life_changes_what_it_must_and_only_that(people: Population, source: str, must: set[str]) -> None:
    busy = drawn(people, BUSY)
    assert changed(busy, drawn(people, altered(BUSY, **{source: 0.0}))) == must
    assert changed(busy, drawn(people, BUSY)) == set()  # the same seed, the same life


@pytest.mark.parametrize(
    ("source", "off", "must"),
    [
        ("noise", 0.0, {"error"}),
        ("gain", 0.0, {"gain"}),
        ("dropout", 0.0, {"shown"}),
        ("compression", 0.0, {"pressure"}),
        ("warmup", 0.0, {"shown", "warming"}),
        ("staggered", False, {"gain", "shown", "warming"}),
    ],
)
def test_a_source_of_sensor_error_changes_what_it_must_and_only_that(source: str, off: float, must: set[str]) -> None:
    def worn(sensor: Sensor) -> Wear:
        return sensor.draw(12, 4 * ROWS, torch.Generator().manual_seed(2))

    assert changed(worn(WORN), worn(altered(WORN, **{source: off}))) == must
    assert changed(worn(WORN), worn(WORN)) == set()


@pytest.mark.parametrize("source", ["late", "missed", "forgotten"])
def test_what_people_forget_changes_doses_and_nothing_drawn(people: Population, source: str) -> None:
    often = Behaviour(late=0.5, missed=0.5, forgotten=1.0)
    one = replay(people, often, days=1, seed=3)
    other = replay(people, altered(often, **{source: 0.0}), days=1, seed=3)
    assert changed(one.scenario, other.scenario) == changed(one.wear, other.wear) == set()
    given = "long_acting" if source == "forgotten" else "bolus"
    assert not torch.equal(getattr(one, given), getattr(other, given))


def test_every_source_is_on_in_full_and_off_in_none(people: Population) -> None:
    assert all(getattr(Life.full(), field.name) > 0 for field in fields(Life))
    for sensor in (Sensor.dexcom(), Sensor.libre()):
        assert all((sensor.noise, sensor.gain, sensor.dropout, sensor.compression, sensor.warmup, sensor.staggered))
    quiet, seen = drawn(people, Life.none()), Sensor.none().draw(3, ROWS, torch.Generator())
    assert torch.equal(quiet.eaten, quiet.announced) and not quiet.ill.any() and not quiet.blocked.any()
    assert all((getattr(quiet, name) == 1).all() for name in ("activity", "sensitivity", "uptake", "pace"))
    assert (seen.gain == 1).all() and not seen.error.any() and not seen.pressure.any() and seen.shown.all()


def test_the_defaults_draw_what_shipped_weights_were_trained_on() -> None:
    """Figures of the code that trained them, before life had what `Life.full` adds."""
    lived = replay(sample_population("adult", 6, seed=4), Behaviour(), days=3, seed=9)
    assert float(lived.eaten.sum()) == 3644
    assert float(lived.announced.sum()) == 3050
    assert float(lived.bolus.sum()) == pytest.approx(304.6, abs=0.2)
    assert float(lived.glucose.mean()) == pytest.approx(135.27, abs=0.05)
    assert float(lived.reading.nanmean()) == pytest.approx(138.0, abs=0.05)


def test_a_blocked_set_is_logged_but_not_delivered(people: Population) -> None:
    lives = (BUSY, altered(BUSY, occlusion=0.0))
    blocks, free = (replay(people, Behaviour.as_set(), days=2, seed=3, life=life) for life in lives)
    pumps = ~people.pens
    stopped = blocks.scenario.blocked & pumps.unsqueeze(1)
    logged = blocks.bolus + blocks.basal / 12
    assert (blocks.delivered[stopped] == 0).all() and (logged[stopped] > 0).any()
    assert torch.equal(blocks.delivered[~stopped], logged[~stopped])
    assert torch.equal(free.delivered, free.bolus + free.basal / 12)
    assert torch.equal(blocks.glucose[people.pens], free.glucose[people.pens])  # a pen has no set to block
    assert (blocks.glucose[pumps].mean(1) > free.glucose[pumps].mean(1) + 5).any()
    series = blocks.series(int(torch.nonzero(stopped.any(1))[0]))
    assert series.column("basal").sum() > 0  # the record knows nothing of it
    everyone = torch.arange(len(people))
    levels, _ = branch(blocks, everyone, 0 * everyone, 2 * ROWS - 12, Change.none(len(people)))
    kept = blocks.bodies.amounts[:, -2, 12] / people.physiology.Vg
    assert torch.equal(levels[:, -1], kept)  # a branch is blocked when the factual was


def test_sets_block_as_often_and_as_long_as_they_say() -> None:
    people = sample_population("adult", 4, seed=1)
    everyone = people[torch.arange(4).repeat(100)]
    blocked = draw_life(everyone, 9, altered(Life.none(), occlusion=0.5), torch.Generator().manual_seed(1)).blocked
    begins = blocked[:, 1:] & ~blocked[:, :-1]
    assert float(begins.float().sum()) / (400 * 9 * ROWS / SET) == pytest.approx(0.5, abs=0.06)
    lasts = float(blocked.float().sum() / begins.float().sum())
    assert lasts == pytest.approx(sum(BLOCKED) / 2, rel=0.06)


def test_doses_are_rounded_where_they_are_delivered(people: Population) -> None:
    exact, rounded = (replay(people, Behaviour(), days=1, seed=3, life=Life(rounding=size)) for size in (0.0, 1.0))
    steps = torch.where(people.pens, 0.5, 0.05).unsqueeze(1)
    for lived, whole in ((rounded, True), (exact, False)):
        parts = lived.bolus / steps
        assert torch.allclose(parts, parts.round(), atol=1e-3) == whole
        assert torch.allclose(lived.basal * 40, (lived.basal * 40).round(), atol=1e-3) == whole


def test_a_wear_begins_with_a_warm_up_at_a_time_of_ones_own() -> None:
    warm = altered(Sensor.none(), wear=2, warmup=120.0)
    together = warm.draw(30, 4 * ROWS, torch.Generator().manual_seed(1)).shown
    apart = altered(warm, staggered=True).draw(30, 4 * ROWS, torch.Generator().manual_seed(1)).shown
    assert torch.equal(torch.nonzero(~together[0]).squeeze(1), torch.cat([torch.arange(24), torch.arange(576, 600)]))
    assert len({tuple(row.tolist()) for row in apart}) > 20
    assert float((~apart).float().mean()) == pytest.approx(24 / 576, abs=0.002)


def test_a_compression_low_is_of_the_published_depth_and_length_and_at_night() -> None:
    worn = altered(Sensor.none(), compression=1.0).draw(300, 2 * ROWS, torch.Generator().manual_seed(1))
    deepest = worn.pressure[:, :ROWS].amax(1)
    assert 18 < float(deepest.median()) < 26  # 24 mg/dL, less where it is short
    long = (worn.pressure[:, :ROWS] > 0.5 * deepest.unsqueeze(1)).sum(1).float() * 5
    assert 35 < float(long.median()) < 55
    assert not worn.pressure[:, 100:ROWS].gt(1.0).any()  # from half past eight in the morning
    assert (worn.pressure >= 0).all()
    for level, shown in ((30.0, LOW), (600.0, HIGH)):
        assert (worn.reading(torch.full((300,), level), 40) == shown).all()


@pytest.mark.parametrize(("sensor", "within"), [(Sensor.dexcom(), (8.0, 10.0)), (Sensor.libre(), (8.3, 10.3))])
def test_presets_err_as_published(sensor: Sensor, within: tuple[float, float]) -> None:
    lived = replay(sample_population("adult", 40, seed=21), Behaviour(), days=1, seed=3, sensor=altered(sensor, wear=1))
    error = ((lived.reading - lived.glucose).abs() / lived.glucose).nanmean() * 100
    assert within[0] < float(error) < within[1]


def test_the_error_of_the_dexcom_has_the_autocorrelation_of_the_paper() -> None:
    """Of its two autoregressions together, by the Yule-Walker equations."""
    error = Sensor.dexcom().draw(300, 3 * ROWS, torch.Generator().manual_seed(1)).error
    total, lags = 0.0, [0.0, 0.0]
    for first, second, fresh in ((1.220, -0.331, 3.641), (1.340, -0.492, 5.538)):
        variance = (1 - second) * fresh / ((1 + second) * ((1 - second) ** 2 - first**2))
        one = first / (1 - second)
        total, lags = total + variance, [lags[0] + variance * one, lags[1] + variance * (first * one + second)]
    assert float(error.std()) == pytest.approx(total**0.5, rel=0.03)
    for lag, expected in enumerate(lags, start=1):
        assert float((error[:, lag:] * error[:, :-lag]).mean() / error.var()) == pytest.approx(expected / total, abs=0.02)


EVENING = 12  # rows


def evening(people: Population, policy: Policy) -> Living:
    """People in the last hour of a day."""
    living = Living(people, policy, days=1, seed=1)
    living.row = ROWS - EVENING
    return living


class Wrong:
    """Doses that cannot be, from one row on."""

    name = "wrong"

    def __init__(self, row: int = ROWS - 7, **given: torch.Tensor) -> None:
        self.row, self.given = row, given

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None: ...

    def decide(self, seen: Seen) -> Doses:
        none = torch.zeros_like(seen.reading)
        return altered(Doses(none, none, none, none), **self.given) if seen.row >= self.row else Doses(none, none, none, none)


@pytest.mark.parametrize("name", ["basal", "bolus", "long_acting", "rescue"])
@pytest.mark.parametrize("wrong", [-0.5, float("nan"), float("inf")])
def test_doses_that_cannot_be_are_refused(people: Population, name: str, wrong: float) -> None:
    doses = torch.zeros(6).index_fill(0, torch.tensor([2]), wrong)
    living = evening(people, Wrong(**{name: doses}))
    with pytest.raises(ValueError, match=f"wrong: {name} of adult-4-003 at row 281 is {wrong}, expected a finite number"):
        for _ in range(EVENING):
            living.live(living.decide())
    with pytest.raises(ValueError, match=r"wrong: .* of shape \(3,\), expected a tensor of shape \(6,\)"):
        replay(people, Wrong(0, **{name: torch.zeros(3)}), days=1, seed=1)


def test_a_replay_names_the_first_dose_that_cannot_be(people: Population) -> None:
    days: list[int] = []
    with pytest.raises(ValueError, match=r"wrong: bolus of adult-4-001 at row 289 is -1\.0"):
        replay(people, Wrong(289, bolus=-torch.ones(6)), days=3, seed=1, progress=lambda done, _: days.append(done))
    assert days == [1]  # the second day is where it ends


class Waits(TorchDispatchMode):
    """Counts what makes the host wait for a device: numbers read back, and results whose size depends on their values."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return func(*args, **kwargs or {})


def test_a_row_does_not_wait_for_the_device(people: Population) -> None:
    living = evening(people, Behaviour())
    with Waits() as waits:
        for _ in range(EVENING - 1):
            living.live(living.decide())
        assert waits.count == 0
        living.live(living.decide())
    assert waits.count == 1  # the doses of the day are looked at


def test_a_schedule_is_lived_as_it_is_written(people: Population) -> None:
    meals = [Meal(minute=780, carbs=60.0, lasts=20), Meal(minute=480, carbs=45.0, announced=30.0)]
    plan = scheduled(len(people), 1, meals)
    assert (plan.eaten.sum(1) == 105).all() and (plan.announced.sum(1) == 90).all()
    assert torch.equal(torch.nonzero(plan.eaten[0]).squeeze(1), torch.tensor([96, 97, 98, 156, 157, 158, 159]))
    lived: Replay = replay(people, Wrong(ROWS), days=1, seed=1, life=plan)
    assert torch.equal(lived.eaten, plan.eaten) and lived.scenario is plan
    with pytest.raises(ValueError, match="6 people for 2 days"):
        replay(people, Wrong(), days=2, seed=1, life=plan)


def test_meals_that_overlap_or_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="meals overlap: 45 g from minute 480 last 30 minutes, and 10 g begin at minute 500"):
        scheduled(2, 1, [Meal(minute=500, carbs=10.0), Meal(minute=480, carbs=45.0, lasts=30)])
    with pytest.raises(ValueError, match="does not end within 1 days"):
        scheduled(2, 1, [Meal(minute=1435, carbs=10.0)])
    for wrong in ({"minute": -5.0}, {"carbs": 0.0}, {"carbs": float("nan")}, {"announced": -1.0}, {"lasts": 0.0}):
        with pytest.raises(ValueError, match="expected a time"):
            Meal(**{"minute": 5.0, "carbs": 10.0} | wrong)


def test_a_scenario_that_cannot_be_is_refused() -> None:
    plan = scheduled(2, 1, [Meal(minute=480, carbs=45.0)])
    for name, wrong in (("eaten", -1.0), ("pace", float("nan")), ("activity", 0.5), ("sensitivity", float("inf"))):
        column = getattr(plan, name).clone()
        column[1, 9] = wrong
        with pytest.raises(ValueError, match=f"{name} of person 1 at row 9 is {wrong}"):
            altered(plan, **{name: column})
    with pytest.raises(ValueError, match="announced has shape"):
        altered(plan, announced=torch.zeros(2, 9))


def test_life_and_sensors_out_of_range_are_refused() -> None:
    for name, wrong in (("occlusion", 1.5), ("composition", -0.1), ("rounding", float("nan")), ("unannounced", 1.1)):
        with pytest.raises(ValueError, match=f"life: {name} is {wrong}"):
            Life(**{name: wrong})
    for name, wrong in (("warmup", -1.0), ("compression", float("nan")), ("dropout", float("inf"))):
        with pytest.raises(ValueError, match=f"sensor: {name} is {wrong}"):
            Sensor(**{name: wrong})
    for one in ({"memory": 1.5}, {"second": 0.2}, {"compression": 1.2}, {"wear": 0}):
        with pytest.raises(ValueError, match="expected an error that fades"):
            Sensor(**one)  # type: ignore[arg-type]
