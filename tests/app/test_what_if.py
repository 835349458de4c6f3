"""Moving lines on the review page, and another amount on a past day: what the screens show of what the use cases give."""

import pytest

from app import charts
from careplan.breach import Breach
from careplan.clinic.what_ifs import AGAIN, IF, NOW, TRIED, WAS, Bench
from careplan.practice import Rehearsed
from careplan.suggestion import Path
from careplan.therapies.glucose.words import MG_DL

from .build import line, option
from .conftest import Start, checked, shown

PATH = Path(minutes=(0.0, 30.0, 60.0), mid=(120.0, 140.0, 150.0), low=(100.0,) * 3, high=(180.0,) * 3)


class Asked:
    """A rehearsal that remembers what was tried."""

    def __init__(self) -> None:
        self.lines = tuple(line(setting, block, 1.0) for setting in ("basal", "carb_ratio") for block in range(4))
        self.tried: list[dict[str, dict[str, float]]] = []

    def __call__(self, named: dict[str, dict[str, float]]) -> dict[str, Rehearsed]:
        self.tried.append(named)
        broken = (Breach("change in one visit", "basal@0", {"most": 0.2}),) if named[TRIED] else ()
        return {name: Rehearsed(option(name, 0, 70, 2), broken) for name in named}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    rehearsal = Asked()
    monkeypatch.setattr("app.screens.what_if.open_bench", lambda db, patient, actor: Bench(rehearsal.lines, rehearsal))
    return rehearsal


def test_lines_are_moved_and_what_they_would_do_follows(review: Start, asked: Asked) -> None:
    at = review("ann")
    assert not asked.tried  # nothing is computed before it is asked for
    at = checked(at.toggle(key="try:ann").set_value(True).run())
    assert asked.tried[-1][TRIED] == {} and "As tried" in shown(at)
    at = checked(at.number_input(key="tried:mg/dL:ann:basal@0:0.8").set_value(1.2).run())
    assert asked.tried[-1][TRIED] == {"basal@0": 1.2} and asked.tried[-1][NOW] == {}
    assert "Limits that this breaks" in shown(at) and "basal rate from 00:00" in shown(at)
    at = checked(next(button for button in at.button if button.key == "try_proposed").click().run())
    assert asked.tried[-1][TRIED] == pytest.approx({"basal@360": 0.9, "carb_ratio@360": 9.9}, abs=0.05)
    at = checked(next(button for button in at.button if button.key == "try_now").click().run())
    assert asked.tried[-1][TRIED] == {} and "Limits that this breaks" not in shown(at)


def test_why_nothing_can_be_tried_is_told(review: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    from careplan.clinic import ClinicError

    def refuse(*_: object, **__: object) -> None:
        raise ClinicError("no recent day has 70 % of its readings")

    monkeypatch.setattr("app.screens.what_if.open_bench", refuse)
    at = review("dan")
    assert "no recent day" in shown(checked(at.toggle(key="try:dan").set_value(True).run()))


def test_a_past_day_is_drawn_with_what_was(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = charts.past_figure({WAS: PATH, AGAIN: PATH, IF: PATH}, MG_DL, 465)
    names = {trace.name for trace in figure.data if trace.showlegend is not False}
    assert names == {"What was", "As it was given", "What if"}
    assert list(figure.layout.xaxis.ticktext) == ["08:00"]
