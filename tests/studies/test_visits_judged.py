"""People live on by what a visit prescribes, and are judged against targets, others and their own beginning."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import pytest
import torch

from careplan.studies import visits_judged as visits
from careplan.therapies.glucose.declaration import Regimen
from cohorts.population import Population
from cohorts.replay import Replay
from cohorts.scenarios import ROWS


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "DAYS", 1)


@pytest.fixture(scope="module")
def people() -> Population:
    return visits.cohort(2, 5, pens=0.5)


@pytest.fixture(scope="module")
def unchanged(people: Population) -> tuple[Replay, list[list[Regimen]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visits, "DAYS", 1)
        return visits.live(people, visits.no_change, visits=1, seed=3)


def test_a_changed_setting_acts_in_its_part_of_the_day_and_on_nobody_else(
    people: Population, unchanged: tuple[Replay, list[list[Regimen]]]
) -> None:
    changed = next(index for index in range(len(people)) if not people.pens[index])

    def double(lived: Replay, regimens: Sequence[Regimen]) -> list[Regimen]:
        return [each.scaled("basal", 2, 2.0) if index == changed else each for index, each in enumerate(regimens)]

    lived, regimens = visits.live(people, double, visits=1, seed=3)
    until = ROWS + 11 * 12
    before, _ = unchanged
    assert torch.equal(lived.glucose[:, :until], before.glucose[:, :until])
    others = torch.arange(len(people)) != changed
    assert torch.equal(lived.glucose[others], before.glucose[others])
    assert float(lived.glucose[changed, -1]) < float(before.glucose[changed, -1])
    assert len(regimens) == 2 and regimens[1][changed].basal[2] == 2 * regimens[0][changed].basal[2]


def test_on_pens_the_long_acting_dose_is_what_is_prescribed(people: Population) -> None:
    pen = int(torch.nonzero(people.pens)[0])

    def more(lived: Replay, regimens: Sequence[Regimen]) -> list[Regimen]:
        return [replace(each, long_acting=each.long_acting + 5) if each.delivery == "pen" else each for each in regimens]

    lived, regimens = visits.live(people, more, visits=1, seed=4)
    doses = lived.long_acting[pen].unflatten(0, (2, ROWS)).sum(1)
    assert not lived.basal[pen].any()
    for dose, now in zip(doses.tolist(), regimens, strict=True):
        assert dose in (0.0, now[pen].long_acting)


def test_the_truth_comes_at_once_or_within_the_cap(people: Population, unchanged: tuple[Replay, list[list[Regimen]]]) -> None:
    lived, (regimens, _) = unchanged
    suits = torch.stack([people.basal, people.carb_ratio, people.correction_factor], -1)
    now = torch.stack([visits.settings(each)[0] for each in regimens])
    least = torch.tensor([0.03, 0.06, 0.06])  # rounding
    at_once = torch.stack([visits.settings(each)[0] for each in visits.truth(people)(lived, regimens)])
    assert ((at_once - suits).abs() <= least).all()
    nearer = torch.stack([visits.settings(each)[0] for each in visits.truth(people, per_visit=0.2)(lived, regimens)])
    assert ((nearer - now).abs() <= 0.2 * now + least).all()
    assert ((nearer - suits).abs() <= (now - suits).abs() + least).all()


def judged(lived: Replay, regimens: list[list[Regimen]], *levels: tuple[float, float], reviewer: str = "it") -> pd.DataFrame:
    """Everyone is at each level, mg/dL, for a share of that fortnight, %, and otherwise at 120."""
    days = [torch.where(torch.arange(ROWS) < share / 100 * ROWS, level, 120.0) for level, share in levels]
    return visits.table(replace(lived, glucose=torch.cat(days).expand(len(lived.people), -1)), regimens, reviewer)


def test_targets_are_met_below_their_edges(unchanged: tuple[Replay, list[list[Regimen]]]) -> None:
    fine = judged(*unchanged, (60.0, 3.8), (200.0, 29.0))
    assert fine["on_target"].all() and not fine["raised"].any()
    for bad in ((60.0, 4.2), (50.0, 1.1), (200.0, 31.0)):
        table = judged(*unchanged, (120.0, 0.0), bad)
        assert table.groupby("visit")["on_target"].all().tolist() == [True, False]
        assert table[table["visit"] == 1]["raised"].all() == (bad[0] < 70)


def test_what_was_low_before_or_would_have_been_anyway_was_not_raised(unchanged: tuple[Replay, list[list[Regimen]]]) -> None:
    before, raised = judged(*unchanged, (60.0, 5.0), (60.0, 6.0)), judged(*unchanged, (60.0, 1.0), (60.0, 6.0))
    assert not before["raised"].any()
    assert visits.against_no_change(raised, judged(*unchanged, (60.0, 1.0), (60.0, 1.0)))["raised_here"].sum() == len(raised) / 2
    assert not visits.against_no_change(raised, judged(*unchanged, (60.0, 1.0), (60.0, 5.0)))["raised_here"].any()


def test_the_summary_is_over_people_and_the_too_strong_are_followed(unchanged: tuple[Replay, list[list[Regimen]]]) -> None:
    table = judged(*unchanged, (60.0, 25.0), (60.0, 1.0))
    summary = visits.summarise(visits.against_no_change(table, table), seed=0)
    assert set(summary["group"]) == {"adult", "adolescent", "child", "all"}
    last = summary[(summary["group"] == "all") & (summary["visit"] == 1)].iloc[0]
    assert last["people"] == len(unchanged[0].people) and last["on_target"] == last["reached"] == 100.0
    assert last["below_70_low"] <= last["below_70"] <= last["below_70_high"]
    strong = visits.too_strong(table)
    assert len(strong) == len(table) and visits.too_strong(judged(*unchanged, (60.0, 9.0), (60.0, 25.0))).empty


def test_who_ends_worse_is_listed_with_why(unchanged: tuple[Replay, list[list[Regimen]]]) -> None:
    ours = judged(*unchanged, (60.0, 1.0), (60.0, 5.0), reviewer="ours").assign(basal=1.5, carb_ratio=1.0, correction_factor=1.0)
    theirs = judged(*unchanged, (60.0, 1.0), (200.0, 1.0), reviewer="theirs")
    listed = visits.losses(pd.concat([ours, theirs]), "ours", ("theirs",))
    assert set(listed["person"]) == set(unchanged[0].people.names) and set(listed["than"]) == {"theirs", visits.BEGINNING}
    assert listed["why"].str.contains("basal too strong: 1.50").all() and not listed["on_target"].any()
    assert visits.losses(pd.concat([theirs.assign(reviewer="ours"), ours.assign(reviewer="theirs")]), "ours", ("theirs",)).empty


def test_reviewers_side_by_side_share_one_life(people: Population, unchanged: tuple[Replay, list[list[Regimen]]]) -> None:
    def half(lived: Replay, regimens: Sequence[Regimen]) -> list[Regimen]:
        return [visits.even(each, [value / 2 for value in visits.settings(each)[0].tolist()]) for each in regimens]

    both = visits.live_side_by_side(people, {"none": visits.no_change, "half": half}, visits=1, seed=3)
    alone, _ = visits.live(people, half, visits=1, seed=3)
    for (lived, _), expected in zip(both.values(), (unchanged[0], alone), strict=True):
        torch.testing.assert_close(lived.glucose, expected.glucose, rtol=1e-3, atol=0.05)
        assert torch.equal(lived.scenario.announced, expected.scenario.announced)
        assert torch.equal(lived.wear.shown, expected.wear.shown)
    assert not torch.equal(both["none"][0].glucose[:, ROWS:], both["half"][0].glucose[:, ROWS:])
    with pytest.raises(ValueError, match="copies"):
        visits.Living(people, visits.ByBlock(), days=1, seed=0, copies=len(people) + 1)


def test_everybody_too_strong_is_so_in_every_setting() -> None:
    strong = visits.cohort(2, 5, start="too strong", groups=("adult",))
    assert set(strong.groups) == {"adult"}
    suits = torch.stack([strong.basal, strong.carb_ratio, strong.correction_factor], -1)
    torch.testing.assert_close(strong.settings / suits, torch.tensor(visits.STRONG).expand(2, 3))


def test_autotune_keeps_the_parts_of_the_day_on_pumps_and_one_dose_on_pens(people: Population) -> None:
    _, (regimens, after) = visits.live(people, visits.autotune, visits=1, seed=4)
    for pens, before, now in zip(people.pens.tolist(), regimens, after, strict=True):
        assert now.delivery == before.delivery and len(set(now.carb_ratio)) == 1
        assert (now.long_acting > 0 and not any(now.basal)) if pens else not now.long_acting
        for name in ("carb_ratio", "correction_factor"):
            assert 1 / 1.2 - 0.02 <= getattr(now, name)[0] / getattr(before, name)[0] <= 1 / 0.7 + 0.02
        if not pens:
            assert all(0.7 - 0.02 <= a / b <= 1.2 + 0.02 for a, b in zip(now.basal, before.basal, strict=True))


def test_settings_that_are_mixed_by_block_differ_through_the_day_and_are_plain_numbers() -> None:
    mixed = visits.cohort(2, 5, start="mixed by block", groups=("adult",))
    for regimen in visits.first_regimens(mixed, "mixed by block", 5):
        assert len(set(regimen.carb_ratio)) > 1 and len(set(regimen.correction_factor)) > 1
        assert visits.settings(regimen).dtype == torch.float32
    for regimen in visits.first_regimens(mixed, "derived", 5):
        assert len(set(regimen.carb_ratio)) == 1
