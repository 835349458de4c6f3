"""What a therapy brings fits together: every installed practice is held to the same contract."""

from dataclasses import replace

import pytest
import torch

from careplan import therapies
from careplan.minutes import DAY
from careplan.practice import Practice

PRACTICES = [found.practice for found in therapies.installed().values() if found.practice is not None]
pytestmark = pytest.mark.parametrize("practice", PRACTICES, ids=lambda practice: practice.name)


def test_a_virtual_clinic_keeps_records_of_the_therapy_and_knows_the_truth(practice: Practice) -> None:
    clinic = practice.virtual_clinic()
    if clinic is None:
        pytest.skip("brings no virtual clinic")
    people = clinic.draw(clinic.groups[0], 3, 5)
    days = max(1, round(40 * practice.therapy.step / DAY))  # some rows of any grid
    lived = clinic.live(people, next(iter(clinic.policies.values()))(), days, 7)
    again = clinic.live(people, next(iter(clinic.policies.values()))(), days, 7)
    assert torch.equal(lived.level, again.level) and bool(torch.isfinite(lived.level).all())
    for person in range(3):
        series = lived.series(person)
        assert series.therapy is practice.therapy and len(series) == lived.level.shape[1]
        assert series.mask[:, practice.therapy.index(practice.therapy.regulated)].any()
    who, rows = torch.arange(3), lived.level.shape[1] // 2
    begin = torch.full_like(who, rows // 2 // clinic.every * clinic.every)
    happened, more, less = (clinic.otherwise(lived, who, begin, rows, torch.full((3,), times)) for times in (1.0, 1.5, 0.5))
    direction = {channel.direction for channel in practice.therapy.of("action") if channel.direction}
    assert direction == {-1} or direction == {1}
    assert bool(((more - less).mean(1) * direction.pop() > 0).all()), "more treatment moves the level its own way"
    assert not torch.equal(happened, more)


def test_a_clinic_that_is_not_there_is_named(practice: Practice) -> None:
    with pytest.raises(ImportError, match="no_such_clinic"):
        replace(practice, clinic="no_such_clinic:CLINIC").virtual_clinic()
    with pytest.raises(TypeError, match=r"careplan\.practice:Practice is a type, expected"):
        replace(practice, clinic="careplan.practice:Practice").virtual_clinic()
    assert replace(practice, clinic=None).virtual_clinic() is None


def test_bands_lie_on_each_other_and_marks_name_what_is_measured(practice: Practice) -> None:
    marks = practice.marks
    if marks is None:
        pytest.skip("marks nothing")
    assert [band.far for band in marks.bands] == sorted((band.far for band in marks.bands), reverse=True)
    assert all(upper.low == lower.high for upper, lower in zip(marks.bands, marks.bands[1:], strict=False))
    wanted = [band for band in marks.bands if band.far == 0]
    assert len(wanted) == 1 and wanted[0].low <= practice.therapy.best <= wanted[0].high
    assert {cost.name: 100 * cost.budget for cost in practice.therapy.costs}.items() <= marks.targets.items()
    assert marks.bottom < wanted[0].low and wanted[0].high < marks.top


def test_the_first_unit_is_the_therapys_own(practice: Practice) -> None:
    if not practice.units:
        pytest.skip("has one unit alone")
    own = practice.units[0]
    assert own.name == practice.therapy.channel(practice.therapy.regulated).unit and own.per == 1.0
    for unit in practice.units:
        assert unit.back(unit.of(123.0)) == pytest.approx(123.0) and unit.text(None) == "-"


def test_every_rule_of_the_planner_has_words(practice: Practice) -> None:
    from careplan.breach import RULES, Breach, in_words

    for rule in RULES:
        assert in_words(Breach(rule, "line@0"), practice.rules).startswith("line@0: ")
