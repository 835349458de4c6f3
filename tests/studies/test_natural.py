"""Natural experiments: the right moments are found, and where the truth is known the slope is the truth's."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from careplan.series import PatientSeries
from careplan.studies import natural
from careplan.studies.natural import LEAST, changes, occasions, slopes
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.weights_folder import WEIGHTS
from careplan.world.calibration import typical_of
from careplan.world.model import load_model
from careplan.world.personalise import Personalisation

DAYS = 8


def record(**given: dict[int, float]) -> PatientSeries:
    """Eight days at 200 mg/dL and 1 U/h, three meals a day dosed in time at 10 g/U, but for what is `given` by row."""
    values = np.zeros((DAYS * 288, len(GLUCOSE.channels)), np.float32)
    values[:, GLUCOSE.index("glucose")], values[:, GLUCOSE.index("basal")] = 200.0, 1.0
    for day in range(DAYS - 2):
        for hour in (8, 13, 19):
            row = day * 288 + hour * 12
            values[row, GLUCOSE.index("carbs")], values[row, GLUCOSE.index("bolus")] = 60.0, 6.0
    for name, rows in given.items():
        for row, value in rows.items():
            values[row, GLUCOSE.index(name)] = value
    mask = np.ones_like(values, dtype=bool)
    mask[:, GLUCOSE.index("long_acting")] = False
    return PatientSeries("one", GLUCOSE, pd.Timestamp("2026-03-02", tz="UTC"), "UTC", values, mask)


LAST = (DAYS - 2) * 288  # from here on nothing but what a test gives


def found(series: PatientSeries) -> dict[str, natural.Occasions]:
    return {one.kind: one for one in occasions(series)}


def test_a_correction_is_a_bolus_without_food_near_and_its_usual_is_none() -> None:
    one = found(record(bolus={LAST + 60: 3.0}))["correction"]
    assert one.rows.tolist() == [LAST + 60] and not one.bolus[0].any()
    assert "correction" not in found(record(bolus={LAST + 60: 3.0}, carbs={LAST + 70: 20.0}))
    calm = dict.fromkeys(range(LAST + 50, LAST + 60), 150.0)
    assert "correction" not in found(record(bolus={LAST + 60: 3.0}, glucose=calm)), "for food that nobody logged"
    for channel in ("bolus", "carbs"):
        series = record(bolus={LAST + 60: 3.0})
        series.mask[LAST + 90, GLUCOSE.index(channel)] = False
        assert "correction" not in found(series), "where nobody logs, nothing is known to be missing"
    assert "correction" not in found(record(bolus={LAST + 60: 3.0, LAST + 40: 2.0})) or found(
        record(bolus={LAST + 60: 3.0, LAST + 40: 2.0})
    )["correction"].rows.tolist() == [LAST + 40]


def test_a_meal_without_a_bolus_was_skipped_and_its_usual_is_what_the_person_takes() -> None:
    one = found(record(carbs={LAST + 60: 45.0}))["skipped"]
    assert one.rows.tolist() == [LAST + 60] and one.bolus[0, 0] == pytest.approx(4.5)
    late = found(record(carbs={LAST + 60: 45.0}, bolus={LAST + 69: 4.0}))
    assert "skipped" not in late and late["late"].rows.tolist() == [LAST + 60]
    assert late["late"].bolus[0, 0] == pytest.approx(4.0) and late["late"].bolus[0, 1:].sum() == 0


def test_a_suspension_is_basal_that_stops_for_half_an_hour_and_its_usual_goes_on() -> None:
    one = found(record(basal=dict.fromkeys(range(LAST + 100, LAST + 112), 0.0)))["suspension"]
    assert one.rows.tolist() == [LAST + 100] and np.allclose(one.basal[0], 1.0)
    assert "suspension" not in found(record(basal=dict.fromkeys(range(LAST + 100, LAST + 104), 0.0)))


def test_what_is_seen_is_as_large_as_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record in which a dose does just what the model says, or half of it; and in which quiet hours end higher than a plan."""
    model, series = load_model(GLUCOSE, WEIGHTS), record(bolus={LAST + 60: 3.0})
    person, one = typical_of(model, series), found(series)["correction"]
    whole, usual = (natural._levels(model, series, one.rows, person, each) for each in (None, one))
    assert (whole[0, 1:] < usual[0, 1:] - 5).all(), "a bolus lowers"
    at, measured = one.rows - 1 + 12 * np.array(natural.HOURS), natural._measured
    for share, quiet in ((1.0, 0.0), (0.5, 0.0), (1.0, 10.0)):
        lived = replace(series, values=series.values.copy())
        lived.values[at, 0] = (usual + share * (whole - usual))[0] + quiet
        monkeypatch.setattr(natural, "_quiet", lambda *_, some=quiet: np.arange(300, 300 + LEAST) if some else np.zeros(0, int))
        ahead = natural._levels(model, lived, np.arange(300, 300 + LEAST), person) + 10.0

        def told(mine: PatientSeries, rows: np.ndarray, ahead: np.ndarray = ahead) -> np.ndarray:
            return ahead if len(rows) == LEAST else measured(mine, rows)

        monkeypatch.setattr(natural, "_measured", told)
        table = changes(model, lived, person)
        monkeypatch.setattr(natural, "_measured", measured)
        mine = table[table["kind"] == "correction"]
        assert len(mine) == len(natural.HOURS)
        assert np.allclose(mine["seen"], share * mine["predicted"], atol=0.1)


def test_each_half_is_judged_by_what_the_other_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    model, series = load_model(GLUCOSE, WEIGHTS), record()
    told: list[tuple[PatientSeries, Personalisation]] = []
    known = [replace(typical_of(model, series), windows=number) for number in (1, 2)]
    monkeypatch.setattr(natural, "personalise", lambda *_: known)

    def heard(_: object, half: PatientSeries, person: Personalisation) -> pd.DataFrame:
        told.append((half, person))
        return pd.DataFrame({"seen": [0.0]})

    monkeypatch.setattr(natural, "changes", heard)
    found = natural.natural(model, [series], say=lambda _: None)
    assert [(half.times[0] == series.times[0], person.windows) for half, person in told] == [(True, 2), (False, 1)]
    assert found["person"].tolist() == ["one", "one"]


def test_slopes_are_told_by_person_with_intervals_and_of_enough_occasions_alone() -> None:
    generator = np.random.default_rng(0)
    predicted = generator.normal(-30, 10, 3 * LEAST)
    person = ["a"] * LEAST + ["b"] * (LEAST + 4) + ["c"] * (LEAST - 4)
    table = pd.DataFrame({"person": person, "kind": "correction", "hour": 4, "row": 0, "predicted": predicted})
    told = slopes(table.assign(seen=0.8 * predicted + generator.normal(0, 5, len(table)))).set_index("person")
    assert set(told.index) == {"a", "b", "c", "everyone"}
    assert np.isnan(told["slope"]["c"]) and told["occasions"]["c"] == LEAST - 4
    for name in ("a", "b", "everyone"):
        assert told["low"][name] <= told["slope"][name] <= told["high"][name]
        assert told["slope"][name] == pytest.approx(0.8, abs=0.15)
    assert slopes(table.iloc[:0].assign(seen=0.0)).empty


def test_a_record_without_occasions_tells_nothing() -> None:
    model, series = load_model(GLUCOSE, WEIGHTS), record()
    with torch.no_grad():
        assert changes(model, series, typical_of(model, series)).empty
