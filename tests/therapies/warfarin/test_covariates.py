"""What is said of a patient: every way of writing a genotype that exists, and a clear error for those that do not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.errors import AskError
from careplan.therapies.warfarin.covariates import CYP2C9, VKORC1, Covariates, covariates_of, cyp2c9_of, vkorc1_of


@given(st.sampled_from(CYP2C9), st.sampled_from(["{}", " {} ", "CYP2C9{}"]), st.booleans())
def test_cyp2c9_in_any_order(genotype: str, form: str, turned: bool) -> None:
    written = "/".join(reversed(genotype.split("/"))) if turned else genotype
    assert cyp2c9_of(form.format(written)) == cyp2c9_of(written.replace("*", "")) == genotype


@pytest.mark.parametrize(("written", "means"), [("A/G", "G/A"), ("ga", "G/A"), ("TT", "A/A"), ("C/T", "G/A"), ("G/G", "G/G")])
def test_vkorc1_on_either_strand(written: str, means: str) -> None:
    assert vkorc1_of(written) == means and means in VKORC1


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"cyp2c9": "*1/*99"}, "cyp2c9: '*1/*99' does not exist here"),
        ({"vkorc1": "G/X"}, "vkorc1: 'G/X' does not exist here"),
        ({"age": "old"}, "age: 'old' is not a number"),
        ({"age": 7}, "age: 7 is not between 18 and 110"),
        ({"weight": 700}, "weight: 700 is not between"),
        ({"amiodarone": "maybe"}, "amiodarone: 'maybe' is neither yes nor no"),
        ({"race": "martian"}, "race: 'martian' does not exist here"),
        ({"shoes": 43}, "'shoes' is not known of a patient"),
    ],
)
def test_what_cannot_be_is_told(stated: dict[str, object], said: str) -> None:
    with pytest.raises(AskError, match="^" + re.escape(said)):
        covariates_of(stated)


def test_what_is_not_stated_is_usual_or_unknown() -> None:
    known = covariates_of({"age": "71", "vkorc1": "", "amiodarone": "yes", "weight": float("nan")})
    assert known == Covariates(age=71.0, weight=78.0, height=168.0, amiodarone=True)
