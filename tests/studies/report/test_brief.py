"""The first screen of a cohort's report: verdicts by their rules, and nothing said where nothing can be."""

from typing import Any

import pandas as pd
import pytest

from careplan.studies.report.brief import NO, PARTLY, UNKNOWN, YES, brief
from careplan.studies.report.figures import NEVER, warnings


def found() -> dict[str, Any]:
    """A report in which all is well."""
    figure = {"mean": 10.0, "low": 9.0, "high": 11.0, "people": 30}
    models = {"persistence": -5.0, "ridge": -1.0, "boosting": -1.0, "careplan, personal": 0.0}
    spoke = {"looks": 50, "rmse": 10.0, "persistence": 20.0, "worse_than_persistence": 0.05}
    estimate = {"difference": 1.0, "low": 0.5, "high": 1.5}
    return {
        "forecasts": [
            {"model": name, "horizon": 60, "rmse": figure, "ours_less": {"mean": less, "low": less - 0.5, "high": less + 0.5}}
            for name, less in models.items()
        ],
        "intervals": [{"horizon": 60, "coverage": {"mean": 0.9}, "worst_decile": 0.82}],
        "risks": [{"hazard": "low", "events": 90, "auroc": {"mean": 0.9, "low": 0.85, "high": 0.95}}],
        "looks": {"looks": 60, "abstained": 10, "reasons": {"no doses": 10}, "when_it_speaks": spoke, "when_it_abstains": spoke},
        "plans": {
            "people": 30,
            "abstained": 5,
            "unchanged": 5,
            "more_insulin": 12,
            "less_insulin": 8,
            "unsignable_lines": 0,
            "more_before_a_week_with_lows": {"of": 12, "share": 0.0},
        },
        "dosing": {
            "worth": [{"factor": 0.9, "estimable": True, "controls": [{"passes": True}], "estimates": {"fitted_q": estimate}}]
        },
    }


def verdicts(report: dict[str, Any]) -> list[str]:
    return [answer["verdict"] for answer in brief(report)]


def test_all_is_well() -> None:
    assert verdicts(found()) == [YES] * 6


@pytest.mark.parametrize(
    ("place", "path", "value", "expected"),
    [
        (0, ("forecasts", 1, "ours_less", "high"), 0.2, PARTLY),
        (0, ("forecasts", 0, "ours_less", "high"), 0.2, NO),
        (0, ("forecasts", 3, "rmse", "mean"), None, UNKNOWN),
        (1, ("intervals", 0, "worst_decile"), 0.7, PARTLY),
        (1, ("intervals", 0, "coverage", "mean"), 0.8, NO),
        (2, ("risks", 0, "auroc", "low"), 0.75, PARTLY),
        (2, ("risks", 0, "auroc", "low"), 0.6, NO),
        (2, ("risks", 0, "events"), 19, UNKNOWN),
        (3, ("looks", "when_it_speaks", "worse_than_persistence"), 0.5, NO),
        (3, ("looks", "looks"), 0, UNKNOWN),
        (3, ("looks", "when_it_speaks", "looks"), 9, UNKNOWN),
        (4, ("plans", "unsignable_lines"), 1, NO),
        (4, ("plans", "more_before_a_week_with_lows", "share"), 0.5, NO),
        (4, ("plans", "more_insulin"), 1, UNKNOWN),
        (5, ("dosing", "worth", 0, "controls", 0, "passes"), False, UNKNOWN),
        (5, ("dosing", "worth", 0, "estimable"), False, UNKNOWN),
        (5, ("dosing", "worth", 0, "estimates", "world_model"), {"difference": -2.0, "low": -3.0, "high": -1.0}, UNKNOWN),
        (5, ("dosing", "worth", 0, "estimates", "world_model"), {"difference": -2.0, "low": -5.0, "high": 1.0}, YES),
        (5, ("dosing", "worth", 0, "estimates", "fitted_q", "low"), -1.0, PARTLY),
    ],
)
def test_one_figure_changes_one_verdict(place: int, path: tuple[str | int, ...], value: object, expected: str) -> None:
    report = found()
    part: Any = report
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    assert verdicts(report) == [expected if index == place else YES for index in range(6)]


def test_what_was_repaired_as_it_was_read_and_whom_the_model_knows_are_said_first() -> None:
    report = {"flow": {"left_out": 0, "found": 12}, "plans": {"failed": 0}, "dosing": {"estimable": True}}
    people = pd.DataFrame(
        {
            "patient": [f"p{place}" for place in range(12)],
            "days": 20.0,
            "readings": 1000,
            "corrections": [0, 100, 101, *[5] * 9],
            "seen": [*["trained on"] * 3, *[NEVER] * 9],
        }
    )
    told = warnings(report, people)
    assert len(told) == 2 and "3 of the 12" in told[0]
    assert told[1].startswith("1 people") and "p2, 101 rows" in told[1]


def test_a_name_in_two_parts_and_why_nothing_is_told_of_doses_are_said_first() -> None:
    report = {
        "flow": {"left_out": 3, "found": 15, "reasons": {"cannot be read": 1, "under 3 days": 2}},
        "plans": {"failed": 2},
        "dosing": {"estimable": False, "why": "meals are not logged"},
    }
    names = ["p0", *(f"p{place}" for place in range(11))]
    people = pd.DataFrame({"patient": names, "days": 20.0, "readings": 1000, "corrections": 0, "seen": NEVER})
    told = " ".join(warnings(report, people))
    for part in (
        "3 of 15 (20%) were left out (cannot be read 1, under 3 days 2)",
        "12 people bear 11 names",
        "failed for 2 people",
    ):
        assert part in told
    assert "meals are not logged" in told
