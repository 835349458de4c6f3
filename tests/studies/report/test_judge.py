"""Where a person is judged from."""

import numpy as np
import pytest

from careplan.studies.report.judge import judged_from
from careplan.studies.report.protocol import Protocol

ROWS = 288  # of five minutes, in a day


@pytest.mark.parametrize(
    ("first", "days", "begin"),
    [
        (0, 28, 14 * ROWS),
        (0, 17, 14 * ROWS),  # three days are left to judge
        (0, 16, 9.6 * ROWS),  # a share of what there is
        (5 * ROWS, 17, 19 * ROWS),  # doses may be on record before the first reading
        (5 * ROWS, 10, 11 * ROWS),
    ],
)
def test_days_that_personalise_count_from_the_first_reading(first: int, days: int, begin: float) -> None:
    seen = np.arange(first, first + days * ROWS, 7)
    seen = np.append(seen[seen < first + days * ROWS - 1], first + days * ROWS - 1)
    assert judged_from(seen, 5.0, Protocol(known=14.0, share=0.6)) == round(begin)


def test_without_a_reading_there_is_nothing_to_judge() -> None:
    assert judged_from(np.array([], dtype=np.int64), 5.0, Protocol()) == 0
