"""The floor of property tests holds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reached import reached, reaches


def seldom(share: float):
    @reaches(share)
    @settings(max_examples=200, derandomize=True, database=None)
    @given(st.integers(0, 99))
    def test(value: int) -> None:
        if value < 50:
            reached()
            reached()

    return test


def test_a_property_test_that_seldom_reaches_its_assertion_fails() -> None:
    seldom(0.2)()
    with pytest.raises(AssertionError, match=r"of \d+ examples reached the assertion, expected 95%"):
        seldom(0.95)()


@pytest.mark.parametrize("share", [0.2])
def test_it_takes_fixtures_and_parameters_as_before(share: float, tmp_path) -> None:
    assert tmp_path.is_dir()
    seldom(share)()


def test_an_example_that_fails_is_told_as_ever() -> None:
    @reaches(0.0)
    @given(st.integers())
    def test(value: int) -> None:
        assert value < 5

    with pytest.raises(AssertionError, match="assert 5 < 5"):
        test()
