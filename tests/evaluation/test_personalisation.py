"""What days of a patient are worth, judged on days that come after them."""

from dataclasses import replace

import numpy as np

from careplan.evaluation.personalisation import FINE_TUNING, fine_tuned, learning_curve
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.world.model import WorldModel
from tests.evaluation.build import series

DAY = 288


def person(days: int, name: str):
    rng = np.random.default_rng(days)
    level = 140 + 30 * np.sin(np.arange(days * DAY) / 40) + rng.normal(0, 3, days * DAY)
    bolus = np.where(rng.random(days * DAY) < 0.01, 3.0, 0.0)
    return series(level, patient=name, bolus=bolus, basal=np.full(days * DAY, 0.8))


def test_every_history_is_judged_on_the_same_last_stretch() -> None:
    people = [person(8, "ann"), person(4, "ben")]
    recipe = replace(FINE_TUNING, steps=2, batch=4)
    curve = learning_curve(WorldModel(GLUCOSE), people, days=(0, 1, 3), fine_tuning=recipe, stride=24, say=lambda _: None)
    assert curve.groupby("person")["n"].nunique().eq(1).all()
    assert set(curve.query("person == 'ann'")["days"]) == {0, 1, 3}
    assert set(curve.query("person == 'ben'")["days"]) == {0, 1}  # 60 % of four days are not three
    assert set(curve.query("method == 'weights'")["days"]) == {1, 3}
    assert np.isfinite(curve["rmse"]).all() and (curve["seconds"] >= 0).all()


def test_fine_tuning_leaves_the_shipped_weights_alone() -> None:
    model = WorldModel(GLUCOSE)
    before = model.fingerprint()
    tuned = fine_tuned(model, person(2, "ann"), replace(FINE_TUNING, steps=2, batch=4))
    assert model.fingerprint() == before
    assert tuned.fingerprint() != before
