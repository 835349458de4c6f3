"""What a record foretells, and what editing it would have done, are different questions."""

import numpy as np
import torch

from careplan.world.corpus import usual
from careplan.world.forecast import ForecastQuestion, Future, forecast
from careplan.world.personalise import typical
from careplan.world.question import Given
from tests.world.toy import random_model, recording

ROW, AHEAD = 300, 48
TABLET = 2


def futures() -> dict[str, Future]:
    series = recording(31)
    values, mask = series.values[ROW : ROW + AHEAD], series.mask[ROW : ROW + AHEAD]
    edited = values.copy()
    edited[6, TABLET] += 20.0
    record, edit = Future(values, mask, evidence=True), Future(edited, mask, evidence=True)
    return {"record": record, "edit": edit, "plan": Future(values, mask), "edited plan": Future(edited, mask)}


def mids(chosen: dict[str, Future]) -> dict[str, np.ndarray]:
    model, series = random_model(29), recording(31)
    with torch.no_grad():
        for part in (model.spread.out.weight, model.spread.out.bias):
            part.zero_()  # equal offsets either way: the middle is the level itself
    person = typical(model, "one", usual(series))
    asked = ForecastQuestion(row=ROW, futures=chosen)
    bands = forecast(model, series, person, asked, factors=dict.fromkeys(Given, torch.ones(8)), particles=1)
    return {name: band.mid for name, band in bands.items()}


def test_an_edited_record_is_the_record_and_the_effect_of_the_edit_as_a_plan() -> None:
    found = mids(futures())
    inside = np.all([(band > 25) & (band < 295) for band in found.values()], axis=0)  # what is shown is kept within bounds
    effect = found["edited plan"] - found["plan"]
    assert inside.any() and np.abs(effect).max() > 1.0 and np.abs(found["record"] - found["plan"]).max() > 1.0
    np.testing.assert_allclose((found["edit"] - found["record"])[inside], effect[inside], atol=0.5)


def test_a_record_does_not_depend_on_what_else_is_asked() -> None:
    every = futures()
    np.testing.assert_allclose(mids(every)["record"], mids({"record": every["record"]})["record"], atol=1e-3)
    np.testing.assert_allclose(mids(every)["plan"], mids({"plan": every["plan"]})["plan"], atol=1e-3)
