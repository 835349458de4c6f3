"""The glucose therapy's own functions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from careplan.therapies.glucose.declaration import GLUCOSE, harm, risk


@given(st.floats(20.0, 600.0), st.floats(20.0, 600.0))
def test_lows_count_twice_in_what_plans_minimise(one: float, other: float) -> None:
    low, high = torch.tensor(sorted((one, other)), dtype=torch.float64)
    assert GLUCOSE.risk is harm
    for level in (low, high):
        assert float(harm(level)) == pytest.approx(float(risk(level)) * (2.0 if level < 112.5 else 1.0))
    if high <= 112.5:
        assert harm(low) >= harm(high), "lower is worse below the best level"
    if low >= 112.6:
        assert harm(low) <= harm(high), "higher is worse above it"
