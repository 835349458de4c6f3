"""Insulins by name: tolerant of spelling, never guessed, premixes in their parts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.records.insulins import INSULINS, NAMED, Insulin, find_insulin


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("NovoRapid", [("bolus", 10.0)]),
        ("novo-rapid FlexPen 100 E/ml", [("bolus", 10.0)]),
        ("NOVOLOG U100", [("bolus", 10.0)]),
        ("Lyumjev® Junior KwikPen 200 units/ml", [("bolus", 10.0)]),
        ("Actrapid", [("bolus", 10.0)]),
        ("Humulin S", [("bolus", 10.0)]),
        ("Gansulin R", [("bolus", 10.0)]),
        ("insulin glulisine", [("bolus", 10.0)]),
        ("Insuman Basal", [("long_acting", 10.0)]),
        ("Huminsulin Basal", [("long_acting", 10.0)]),
        ("Novolin N", [("long_acting", 10.0)]),
        ("Protaphane", [("long_acting", 10.0)]),
        ("Insulatard (NPH)", [("long_acting", 10.0)]),  # two names at once that mean the same
        ("Toujeo (insulin glargine U300)", [("long_acting", 10.0)]),
        ("Lantus U-100 (evening)", [("long_acting", 10.0)]),
        ("Toujeo 300 DoubleStar", [("long_acting", 10.0)]),
        ("Rezvoglar", [("long_acting", 10.0)]),
        ("insulin glargine-yfgn", [("long_acting", 10.0)]),
        ("insulin glargine-aglr", [("long_acting", 10.0)]),
        ("Tresiba FlexTouch 200", [("long_acting", 10.0)]),
        ("Awiqli", [("long_acting", 10.0)]),
        ("Xultophy 100/3.6", [("long_acting", 10.0)]),
        ("Soliqua 100/33", [("long_acting", 10.0)]),
        ("NovoMix 30", [("bolus", 3.0), ("long_acting", 7.0)]),
        ("NovoLog Mix 70/30", [("bolus", 3.0), ("long_acting", 7.0)]),
        ("NovoMix 70", [("bolus", 7.0), ("long_acting", 3.0)]),
        ("Humalog Mix25", [("bolus", 2.5), ("long_acting", 7.5)]),
        ("humalogmix 25 kwikpen", [("bolus", 2.5), ("long_acting", 7.5)]),
        ("Humalog Mix 75/25", [("bolus", 2.5), ("long_acting", 7.5)]),
        ("Humalog Mix 50", [("bolus", 5.0), ("long_acting", 5.0)]),
        ("Ryzodeg", [("bolus", 3.0), ("long_acting", 7.0)]),
        ("Humulin M3", [("bolus", 3.0), ("long_acting", 7.0)]),
        ("Gansulin 40R", [("bolus", 4.0), ("long_acting", 6.0)]),
        ("Insuman Comb 25", [("bolus", 2.5), ("long_acting", 7.5)]),
        ("insulin glargine 100 UNT/ML Injectable Solution [Lantus]", [("long_acting", 10.0)]),  # as RxNorm names them
        ("3 ML insulin lispro 100 UNT/ML Pen Injector", [("bolus", 10.0)]),
        ("Rapid-Acting", [("bolus", 10.0)]),
        ("long acting insulin", [("long_acting", 10.0)]),
    ],
)
def test_a_name_is_found_with_its_parts(name: str, parts: list[tuple[str, float]]) -> None:
    found = find_insulin(name)
    assert found is not None
    assert list(found.split(10.0)) == parts


@pytest.mark.parametrize(
    "name",
    [
        "",
        "insulin",
        "insulin human",
        "Humulin",  # R, N and 70/30 share it
        "Novolin",
        "Insuman",
        "Gansulin",
        "Humalog Mix",  # no share
        "Humalog 25",
        "insulin lispro 25 UNT/ML / insulin lispro protamine, human 75 UNT/ML Injectable Suspension",  # RxNorm's premix
        "insulin glargine 100 UNT/ML / lixisenatide 0.033 MG/ML Pen Injector",
        "Humalog Mix 30",  # no such product
        "NovoMix",
        "Lantus or Levemir",
        "Lantus + Apidra",
        "Lantus (lispro)",
        "Humalog N",
        "NovoRapid Mischung",
        "Semaglutid",
        "Basal Braun X",
        "🙂",
    ],
)
def test_what_is_not_in_the_table_is_not_guessed(name: str) -> None:
    assert find_insulin(name) is None


def test_every_row_is_whole() -> None:
    for names, insulin in NAMED:
        assert sum(share for _, share in insulin.parts) == pytest.approx(1.0)
        assert insulin.source
        assert insulin.substance
        for name in names:
            assert find_insulin(name) == replace(insulin, name=name), name
    assert len({insulin.name for insulin in INSULINS}) == len(INSULINS)
    assert [insulin.name for insulin in INSULINS if insulin.weekly] == ["Awiqli", "Insulin efsitora"]


@given(
    row=st.sampled_from([(name, insulin) for names, insulin in NAMED for name in names if insulin.source != "class"]),
    before=st.sampled_from(["", "Insulin ", "  "]),
    after=st.lists(st.sampled_from(["FlexPen", "Penfill", "vial", "junior", "u-100", "3 ml", "100 IU/ml"]), max_size=3),
    upper=st.booleans(),
)
def test_spelling_does_not_change_the_insulin(row: tuple[str, Insulin], before: str, after: list[str], upper: bool) -> None:
    name, insulin = row
    text = before + " ".join([name, *after])
    found = find_insulin(text.upper() if upper else text)
    assert found is not None
    assert (found.parts, found.substance) == (insulin.parts, insulin.substance)


@given(st.text(max_size=40))
def test_any_text_is_an_insulin_or_nothing(text: str) -> None:
    find_insulin(text)
