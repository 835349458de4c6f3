"""A table of the IWPC's columns, made up: who is read, who is left out, and that each equation is judged by its own doses."""

from pathlib import Path

import pandas as pd
import pytest

from careplan.errors import AskError
from careplan.studies.iwpc import judge, read_iwpc
from careplan.therapies.warfarin.protocols import iwpc_pharmacogenetic
from cohorts.warfarin.people import draw
from tests.therapies.warfarin.build import world

RACES = {"white": "White", "asian": "Asian", "black": "Black or African American", "other": "Unknown"}


def table(folder: Path, count: int = 24) -> Path:
    rows = [
        {
            "Race (OMB)": RACES[who.race],
            "Age": f"{int(who.age // 10) * 10} - {int(who.age // 10) * 10 + 9}",
            "Height (cm)": who.height,
            "Weight (kg)": who.weight,
            "Amiodarone (Cordarone)": float(who.amiodarone),
            "Carbamazepine (Tegretol)": "NA",
            "Subject Reached Stable Dose of Warfarin": 1,
            "Therapeutic Dose of Warfarin": iwpc_pharmacogenetic(who),
            "Cyp2C9 genotypes": who.cyp2c9,
            "VKORC1 genotype:   -1639 G>A (3673); chr16:31015190; rs9923231; C/T": who.vkorc1,
        }
        for who in draw(count, 7, "mixed").known
    ]
    rows.append({**rows[0], "Therapeutic Dose of Warfarin": "NA"})
    rows.append({**rows[0], "Cyp2C9 genotypes": "*1/*11"})
    rows.append({**rows[0], "Subject Reached Stable Dose of Warfarin": 0})
    path = folder / "iwpc.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_people_with_a_stable_dose_are_read_and_unknown_genotypes_are_unknown(tmp_path: Path) -> None:
    people = read_iwpc(table(tmp_path))
    assert len(people) == 25 and people[-1].known.cyp2c9 is None and people[0].known.cyp2c9 is not None
    assert 4 < sum(person.held_out for person in people) < 21
    assert people[0].known.age % 10 == 0


def test_the_genotype_that_was_agreed_on_comes_first(tmp_path: Path) -> None:
    path = table(tmp_path)
    pd.read_csv(path).assign(**{"CYP2C9 consensus": "*1/*3", "VKORC1     -1639 consensus": "A/A"}).to_csv(path, index=False)
    assert {(person.known.cyp2c9, person.known.vkorc1) for person in read_iwpc(path)} == {("*1/*3", "A/A")}


def test_each_is_judged_on_the_half_held_out(tmp_path: Path) -> None:
    people = read_iwpc(table(tmp_path))
    found = judge(world().model, people)
    assert found["iwpc_pharmacogenetic"]["within_20"] > 90.0 > found["iwpc_clinical"]["within_20"]
    assert found["careplan"]["people"] == sum(person.held_out for person in people)
    assert 0.0 <= found["careplan"]["within_20"] <= 100.0 and found["careplan"]["mean_error"] < 40.0


def test_another_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("age,dose\n70,35\n")
    with pytest.raises(AskError, match=r"no column begins with 'Race \(OMB\)'; it has age, dose"):
        read_iwpc(tmp_path / "other.csv")
