"""Published equations and tables, at the values that their authors print and at every edge."""

import pytest

from careplan.therapies.warfarin.covariates import Covariates
from careplan.therapies.warfarin.protocols import Table, aurora, intermountain, iwpc_clinical, iwpc_pharmacogenetic


def test_iwpc_of_a_worked_example() -> None:
    """By hand: 63 years, 180 cm, 82 kg, white, *1/*2, G/A, nothing else."""
    known = Covariates(age=63, weight=82, height=180, race="white", cyp2c9="*1/*2", vkorc1="G/A")
    assert iwpc_pharmacogenetic(known) == pytest.approx((5.6044 - 0.2614 * 6 + 1.566 + 1.0496 - 0.8677 - 0.5211) ** 2, rel=1e-4)
    assert iwpc_clinical(known) == pytest.approx((4.0376 - 0.2546 * 6 + 2.124 + 1.0988) ** 2, rel=1e-4)


def test_other_drugs_and_genotypes_move_the_dose_the_known_way() -> None:
    def dose(**other: object) -> float:
        return iwpc_pharmacogenetic(Covariates(**{"age": 60, "weight": 80, "height": 170, **other}))  # type: ignore[arg-type]

    assert dose(amiodarone=True) < dose() < dose(inducer=True)
    assert dose(vkorc1="A/A") < dose(vkorc1="G/A") < dose(vkorc1="G/G")
    assert dose(cyp2c9="*3/*3") < dose(cyp2c9="*1/*3") < dose(cyp2c9="*1/*1")


@pytest.mark.parametrize(
    ("inr", "table"),
    [
        (1.49, Table(1.15, 7)),
        (1.50, Table(1.10, 7)),
        (1.80, Table(1.075, 7)),
        (2.00, Table(1.0, 1)),
        (3.00, Table(1.0, 1)),
        (3.01, Table(0.925, 7)),
        (3.40, Table(0.9, 7)),
        (4.00, Table(0.875, 2, hold=2)),
        (5.00, Table(0.875, 2, hold=2)),
        (5.01, Table(0.85, 2, hold=2)),
    ],
)
def test_aurora_at_its_edges(inr: float, table: Table) -> None:
    assert aurora(inr) == table


@pytest.mark.parametrize(("stable", "days"), [(1, 1), (2, 5), (6, 5), (7, 7), (14, 14), (27, 14), (28, 28), (90, 28)])
def test_aurora_looks_later_where_it_is_stable(stable: int, days: int) -> None:
    assert aurora(2.5, stable).days == days


def test_intermountain_waits_in_yellow_and_stops_in_danger() -> None:
    assert intermountain(1.9).factor == 1.0 and intermountain(1.9, 1.85).factor == 1.05
    assert intermountain(3.2).factor == 1.0 and intermountain(3.2, 3.3).factor == 0.95
    assert intermountain(5.2) == Table(1.0, 2, hold=2, first=0.0)
    assert intermountain(2.4, 5.2) == Table(0.85, 7)
    assert intermountain(1.5) == Table(1.10, 5, hold=1, first=2.0)
