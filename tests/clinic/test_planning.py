"""Forecasts, what-ifs and plans, end to end on a small virtual clinic with the shipped weights."""

import os
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from careplan.clinic.codec import dump
from careplan.clinic.forecasts import NO_CHANGE, forecast_patient
from careplan.clinic.importing import store_records
from careplan.clinic.people import personalised
from careplan.clinic.planners import planners
from careplan.clinic.planning import plan_regimens, suggest_doses
from careplan.clinic.regimens import load_regimen
from careplan.clinic.stored_records import load_series
from careplan.clinic.suggestions import load_suggestion
from careplan.errors import AskError
from careplan.planning.planner import plan_doses
from careplan.series import PatientSeries
from careplan.store import append, local_account, open_database
from careplan.studies.demo import demo_records
from careplan.therapies.glucose import words
from careplan.therapies.glucose.days import Days, recent_days
from careplan.therapies.glucose.declaration import GLUCOSE, LIMITS
from careplan.therapies.glucose.lines import regimen_lines
from careplan.therapies.glucose.regimen_search import RAISED, _lows_are_far, mandate_of
from careplan.therapies.glucose.world import open_world
from careplan.world.personalise import Personalisation
from tests.limits_table import CAPS, EVIDENCE, LINES

AT = pd.Timestamp("2026-09-22T12:00")  # the sixteenth day


@pytest.fixture(scope="module")
def world():
    return open_world()


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    database = open_database(str(tmp_path_factory.mktemp("clinic") / "clinic.db"))
    records = demo_records(2, 16, seed=3)
    hour = records[0].events[records[0].events["time"] < records[0].events["time"].min() + pd.Timedelta(hours=1)]
    dry = records[1].events[records[1].events["channel"] == "glucose"]
    extra = [
        replace(records[0], patient="an-hour", events=hour.reset_index(drop=True), regimen=None),
        replace(records[1], patient="no-insulin", events=dry.reset_index(drop=True), regimen=None),
    ]
    report = store_records(database, "demo", [*records, *extra])
    assert not report.failed
    yield database
    database.close()


@pytest.fixture(scope="module")
def patient(db) -> str:
    from careplan.clinic.known import patient_names

    return next(name for name in patient_names(db) if name not in ("an-hour", "no-insulin"))


def days_of(db, world, patient: str, *, count: int, particles: int) -> tuple[PatientSeries, Personalisation, Days, int]:
    """The recording, what is known of its patient, their last days, and how many lines their regimen has."""
    series, person, _ = personalised(db, [patient], world)[patient]
    regimen = load_regimen(db, patient)
    assert regimen is not None
    days = recent_days(world.model, series, person, regimen, count=count, particles=particles)
    assert days is not None
    return series, person, days, len(regimen_lines(series, regimen, days))


def test_a_forecast_has_its_interval_and_what_happened(db, world, patient) -> None:
    found = forecast_patient(db, patient, world, at=AT)
    assert found.observed is not None and len(found.observed.mid) > 20
    for path in found.paths.values():
        assert path.minutes[0] == 0 and path.minutes[-1] == 240
        assert all(low <= mid <= high for low, mid, high in zip(path.low, path.mid, path.high, strict=True))
        assert path.high[-1] - path.low[-1] > path.high[1] - path.low[1], "further ahead is less certain"


def test_a_forecast_at_any_minutes_is_the_same_forecast(db, world, patient) -> None:
    grid = forecast_patient(db, patient, world, at=AT)
    found = forecast_patient(db, patient, world, at=AT, ahead=[95.5, 17, 60])
    for name, path in found.paths.items():
        assert path.minutes == (0, 17, 60, 95.5)
        assert path.mid[2] == pytest.approx(grid.paths[name].mid[grid.paths[name].minutes.index(60)], abs=2)
    assert 0 < found.high_risk < 1 and found.high_risk == grid.high_risk
    with pytest.raises(AskError, match="above 0"):
        forecast_patient(db, patient, world, at=AT, ahead=[0, 30])


def test_what_was_inferred_before_scores_were_kept_is_inferred_again(db, world, patient) -> None:
    from careplan.store.schema import Personalisation as Stored

    _, person, _ = personalised(db, [patient], world)[patient]
    with db.write() as session:
        rows = session.query(Stored).where(Stored.patient == patient).all()
        with session.no_autoflush:
            for row in rows:
                row.code = {name: part for name, part in row.code.items() if name not in ("foreseen", "every")}
            append(session, local_account(), "inferred by an earlier version", patient=patient, rows=rows)
    again = personalised(db, [patient], world)[patient][1]
    assert torch.equal(again.mean, person.mean) and torch.equal(again.foreseen.isnan(), person.foreseen.isnan())


def test_a_what_if_moves_the_forecast_the_right_way(db, world, patient) -> None:
    asked = ["bolus 1 at 12:30", "bolus 6 at 12:30", "carbs 10 at 12:30", "carbs 90 at 12:30", "basal 0 from 12:00 to 15:00"]
    found = forecast_patient(db, patient, world, at=AT, what_if=asked)
    ends = {name: path.mid[-1] for name, path in found.paths.items()}
    assert ends["bolus 6 at 12:30"] < ends["bolus 1 at 12:30"]
    assert ends["carbs 90 at 12:30"] > ends["carbs 10 at 12:30"]
    assert ends["basal 0 from 12:00 to 15:00"] > ends[NO_CHANGE]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("eat something", "expected 'bolus 4 at 12:30'"),
        ("insulin 4 at 12:30", "not one of"),
        ("bolus 400 at 12:30", "outside 0..60"),
        ("bolus 4 at 25:30", "not a time of day"),
        ("bolus 4 at 23:30", "the hours forecast"),
        ("basal 1 at 12:30", "is a rate"),
        ("basal 1 from 14:00 to 13:00", "ends before it begins"),
    ],
)
def test_a_what_if_that_cannot_be_read_says_why(db, world, patient, text: str, problem: str) -> None:
    with pytest.raises(AskError, match=problem):
        forecast_patient(db, patient, world, at=AT, what_if=[text])


def test_a_time_outside_the_recording_is_refused(db, world, patient) -> None:
    with pytest.raises(AskError, match="outside the recording"):
        forecast_patient(db, patient, world, at=pd.Timestamp("2031-01-01T12:00"))


def test_a_personalisation_is_kept_until_the_data_change(db, world, patient) -> None:
    first = personalised(db, [patient], world)[patient]
    again = personalised(db, [patient], world)[patient]
    assert again[2] == first[2]
    torch.testing.assert_close(again[1].mean, first[1].mean, rtol=0, atol=1e-6)
    assert first[1].windows > 20


def test_an_unchanged_regimen_replays_the_days_that_were(db, world, patient) -> None:
    series, _, days, lines = days_of(db, world, patient, count=4, particles=3)
    levels = days.replay(torch.ones(1, lines))[0]  # [P, D, H]
    group = int(world.model.shape.interval // 5)
    for day, row in enumerate(days.rows):
        truth = torch.from_numpy(series.values[row : row + 288, 0])[group - 1 :: group]
        seen = torch.from_numpy(series.mask[row : row + 288, 0])[group - 1 :: group]
        for particle in range(3):
            torch.testing.assert_close(levels[particle, day][seen], truth[seen], rtol=0, atol=0.5)


def test_a_regimen_in_force_for_days_is_felt_from_midnight_on(db, world, patient) -> None:
    _, _, days, lines = days_of(db, world, patient, count=8, particles=2)
    table = torch.ones(3, lines)
    table[1, :4], table[2, -1] = 0.7, 0.7  # basal and long-acting: this patient has a pump
    unchanged, less, other = days.replay(table)
    follows = [place for place, row in enumerate(days.rows) if row - 288 in days.rows]
    assert len(follows) > 4
    ended = (less - unchanged)[:, [place - 1 for place in follows], -1]
    began = (less - unchanged)[:, follows, 0]
    assert float(ended.mean()) > 5, "less basal leaves the day higher"
    torch.testing.assert_close(began, ended, rtol=0.1, atol=3.0)
    torch.testing.assert_close(other, unchanged, rtol=0, atol=0.1)


def test_what_evening_boluses_left_is_on_board_at_midnight(db, world, patient, monkeypatch) -> None:
    _, _, days, lines = days_of(db, world, patient, count=8, particles=2)
    table, begins, through = torch.ones(2, lines), [], Days._through
    table[1, 7] = 0.25  # carb ratio of the evening: four times the bolus
    monkeypatch.setattr(Days, "_through", lambda self, *asked: begins.append(asked) or through(self, *asked))
    days.replay(table)
    _, _, level, pools = begins[-1]
    assert float((level[1] - level[0]).mean()) < 0 < float((pools[1] - pools[0]).mean())
    assert float(pools.min()) >= 0


def test_what_was_done_for_a_low_is_not_done_where_no_low_comes(db, world, patient) -> None:
    _, person, days, lines = days_of(db, world, patient, count=4, particles=2)
    less = torch.ones(1, lines)
    less[0, :4] = 0.5  # basal
    same = torch.ones_like(less)
    step, grams = 48, 20.0  # at noon
    eaten = torch.zeros_like(days.treats)
    daily = world.model.daily(person.usual.unsqueeze(0))[0, GLUCOSE.index("carbs")]
    eaten[:, step] = grams / world.model.shape.interval / daily
    anyway = replace(days, treats=torch.zeros_like(days.treats), other=days.other + days.treats.unsqueeze(-1) * days.eaten)
    for_a_low = replace(anyway, treats=eaten, other=anyway.other - eaten.unsqueeze(-1) * days.eaten)
    torch.testing.assert_close(for_a_low.replay(same), anyway.replay(same), rtol=0, atol=0.1)
    gap = anyway.replay(less) - for_a_low.replay(less)
    risen = (anyway.replay(less)[0].mean(0)[:, step - 1] - days.recorded[:, step]) > 20
    assert risen.any(), "a day on which half the basal leaves the level well above what was recorded"
    assert float(gap[0, :, risen, step + 4].min()) > 5, "what raised the level is missing"
    assert float(gap[0, :, :, step - 1].abs().max()) < 1, "what it left to the next day has faded by noon"

    more = torch.ones_like(less)
    more[0, :4] = 3.0
    never = replace(for_a_low, treats=torch.zeros_like(eaten))
    low = days.recorded.clone()
    low[:, step] = 60.0  # the low it was eaten for: this patient treats lows
    answered, left = (replace(each, recorded=low).replay(more) for each in (for_a_low, never))
    assert float(left.min()) < 60, "three times the basal brings lows of its own"
    assert float((answered < 60).float().mean()) < float((left < 60).float().mean()), "and they are treated too"

    stopped = replace(days, basal=torch.zeros_like(days.basal), recorded=torch.full_like(days.recorded, 60.0))
    assert float((stopped.replay(same) - replace(stopped, recorded=days.recorded * torch.nan).replay(same)).mean()) < 0


def test_where_doses_are_planned_too_a_regimen_need_do_less(db, world, patient) -> None:
    _, _, days, lines = days_of(db, world, patient, count=8, particles=2)
    table = torch.ones(3, lines)
    table[1, :4], table[2, :4] = 2.0, 0.5  # basal too strong, too weak
    mandate = GLUCOSE.mandate
    alone, under = days.replay(table), days.replay(table, mandate)
    higher = days.replay(table, replace(mandate, target=150.0))
    assert float((under[1] < 70).float().mean()) < float((alone[1] < 70).float().mean()), "it withholds when low"
    assert float((under[2] > 180).float().mean()) < float((alone[2] > 180).float().mean()), "it gives more when high"
    moved, left = (alone[1] - alone[2]).abs().mean(), (under[1] - under[2]).abs().mean()
    assert float(left) < float(moved), "so that what is prescribed matters less"
    assert float((higher - under).mean()) > 0


def test_a_regimen_hands_down_the_lows_it_counts_on(db, world, patient) -> None:
    found = plan_regimens(db, [patient], world)[0]
    assert not found.abstained, found.reasons
    assert found.mandate is not None and found.mandate.target >= GLUCOSE.best
    spent = found.options[0].outcomes["below_70"].mid / 100
    for budget, whole in zip(found.mandate.budgets, GLUCOSE.mandate.budgets, strict=True):
        assert whole / 2 <= budget <= whole
    assert found.mandate.budgets[0] == pytest.approx(min(max(spent, 0.02), 0.04), abs=0.01)
    assert found.id is not None and load_suggestion(db, found.id).mandate == found.mandate


@pytest.mark.parametrize(
    ("low", "raised"), [((0.01, 0.001), 0.0), ((0.04, 0.01), 0.0), ((0.05, 0.001), RAISED), ((0.01, 0.02), RAISED)]
)
def test_a_regimen_aims_higher_only_where_it_counts_on_more_lows_than_are_allowed(low, raised) -> None:
    plans = SimpleNamespace(below=torch.tensor(low, dtype=torch.float64).expand(1, 3, 8, 2))
    assert mandate_of(plans).target == GLUCOSE.best + raised  # type: ignore[arg-type]


def test_more_insulin_in_a_regimen_never_raises_a_day(db, world, patient) -> None:
    _, _, days, lines = days_of(db, world, patient, count=8, particles=2)
    table = torch.ones(3, lines)
    table[1, :4] = 1.2  # basal up
    table[2, 4:8] = 0.8  # carb ratio down
    unchanged, basal, ratio = days.replay(table)
    assert float((basal - unchanged).mean()) < 0
    assert float((ratio - unchanged).mean()) < 0


def test_doses_keep_every_limit_and_name_what_bound_them(db, world, patient) -> None:
    made = suggest_doses(db, [patient], world, at=AT, announced=["carbs 80 at 12:00"])[0]
    assert made.options[-1].name == "no change"
    boluses = [line for line in made.lines if line.setting == "bolus"]
    assert boluses and all(0 < line.proposed <= LIMITS["adult"].max_dose for line in boluses)
    assert all(line.absolute_high == line.proposed for line in boluses), "an edit can only give less"
    assert made.options[0].does.startswith(f"{boluses[0].proposed:g} U")
    assert all(later.start - earlier.start >= 30 for earlier, later in pairwise(boluses))
    if made.lines:
        outcomes = {option.name: option.outcomes for option in made.options}
        assert outcomes["proposed"]["below_54"].mid <= 1.0 + 1e-6


def test_doses_are_given_half_of_the_budgets_for_lows(db, world, patient, monkeypatch) -> None:
    seen = []

    def remembered(model, asked, how):
        seen.append((asked, how))
        return plan_doses(model, asked, how)

    monkeypatch.setattr("careplan.therapies.glucose.dose_search.plan_doses", remembered)
    suggest_doses(db, [patient], world, at=AT)
    [(asked, how)] = seen
    torch.testing.assert_close(asked.budget, torch.tensor([[0.02, 0.005]]))
    assert how.risk_level == 1.0


def test_a_dose_may_not_be_announced(db, world, patient) -> None:
    with pytest.raises(AskError, match="what the patient will do"):
        suggest_doses(db, [patient], world, at=AT, announced=["bolus 5 at 12:30"])


def test_regimens_keep_their_caps(db, world, patient, monkeypatch) -> None:
    from careplan.clinic.known import patient_names

    monkeypatch.setattr("careplan.therapies.glucose.regimen_search.WORTH", 0.2)  # these people would gain little
    names = [name for name in patient_names(db) if name not in ("an-hour", "no-insulin")]
    told: list[tuple[int, int | None]] = []
    planned = plan_regimens(db, names, world, progress=lambda done, total, made: told.append((done, made.id)))
    assert told == list(enumerate([made.id for made in planned], 1)), "each is told of as it is stored"
    lines = [line for made in planned for line in made.lines]
    assert lines, "somebody's regimen is changed"
    _, _, visit, _, danger = CAPS
    for line in lines:
        change = line.proposed / line.current - 1
        more = change > 0 if line.setting in ("basal", "long_acting") else change < 0
        assert 0 < abs(change) <= (visit if more else danger) + 1e-6
        assert LINES[line.setting][0] <= line.proposed <= LINES[line.setting][1]
        assert line.days >= EVIDENCE


def test_processes_plan_what_is_planned_here(db, world, monkeypatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    names = ["no-insulin", "an-hour"]
    here = plan_regimens(db, names, world, seed=5)
    with planners(2) as pool:
        assert pool is not None
        beside = plan_regimens(db, names, world, seed=5, pool=pool)
    told = ([{**dump(made), "id": None, "created": None} for made in part] for part in (beside, here))
    assert next(told) == next(told)
    with planners(1) as pool:
        assert pool is None, "one process would be all there is"


def test_only_who_is_hardly_ever_low_is_given_more_of_everything() -> None:
    def series(*levels: float) -> PatientSeries:
        values = np.zeros((1000, len(GLUCOSE.channels)), np.float32)
        values[:, 0] = np.resize(levels, 1000)
        return PatientSeries("p", GLUCOSE, pd.Timestamp("2026-01-05", tz="UTC"), "UTC", values, values > 0)

    assert _lows_are_far(series(150, 250, 250)) and _lows_are_far(series(150, 150, 250))
    assert not _lows_are_far(series(*[250] * 99, 60)) and not _lows_are_far(series(*[150] * 499, 50))


def test_a_suggestion_is_explained_by_the_search_and_a_reload_says_the_same(db, world, patient) -> None:
    doses = suggest_doses(db, [patient], world, at=AT, announced=["carbs 80 at 12:00"])[0]
    regimen = plan_regimens(db, [patient], world)[0]
    for made in (doses, regimen):
        why, about = made.why, "proposed" if made.lines else "runner-up"
        assert why is not None and why.sure is not None and 0 < why.low_risk < 1
        gain = why.gain if made.lines else why.runner_up
        assert sum(part.gain for part in why.parts) == pytest.approx(gain, abs=5e-3)
        assert why.runner_up is None or not made.lines or why.runner_up <= why.gain + 1e-6
        assert (why.gain > why.worth) == bool(made.lines)
        effect = [next(one for one in made.options if one.name == name).outcomes["in_range"].mid for name in (about, "no change")]
        assert why.sure.effects["in_range"].mid == pytest.approx(effect[0] - effect[1], abs=1e-3)
        stored = load_suggestion(db, made.id)
        assert stored == made
        assert words.said(stored, words.MG_DL) == words.said(made, words.MG_DL)
    assert doses.why.low_risk == pytest.approx(forecast_patient(db, patient, world, at=AT).low_risk)
    assert doses.why.moments is not None and all(moment.date < "2026-09-22" for moment in doses.why.moments)
    assert {(part.start, part.end) for part in doses.why.parts} == {(0, 60), (60, 120), (120, 180), (180, 240), (0, 240)}
    dates = {f"{day:%Y-%m-%d}" for day in load_series(db, patient).times.tz_convert("UTC")}
    assert all(seen.date in dates for pattern in regimen.why.patterns for seen in pattern.seen)
    assert bool(regimen.lines) == bool(regimen.why.patterns)


@pytest.mark.parametrize(("name", "reason"), [("an-hour", "too little data"), ("no-insulin", "no doses are logged")])
def test_too_little_to_go_on_makes_it_abstain(db, world, name: str, reason: str) -> None:
    for made in (*suggest_doses(db, [name], world), *plan_regimens(db, [name], world)):
        assert made.abstained and not made.lines and made.why is None
        assert any(reason in text for text in made.reasons)


def test_many_patients_are_planned_at_once_as_each_alone(db, world, patient) -> None:
    from careplan.clinic.known import patient_names

    names = [name for name in patient_names(db) if name not in ("an-hour", "no-insulin")]
    together = suggest_doses(db, names, world, at=AT)
    alone = [suggest_doses(db, [name], world, at=AT)[0] for name in names]
    for one, other in zip(together, alone, strict=True):
        assert one.patient == other.patient and one.abstained == other.abstained
        assert [line.key for line in one.lines] == [line.key for line in other.lines]
