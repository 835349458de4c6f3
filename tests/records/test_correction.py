"""How many rows a report tells of."""

from careplan.records.correction import Correction, rows_told


def told(action: str, rule: str, row: int) -> Correction:
    return Correction("changed" if action == "changed" else "dropped", rule, "a.csv", row, "code", "")


def test_rows_of_no_channel_count_once_however_many_corrections_tell_of_their_kind() -> None:
    """A kind may be told of once a file, or once a code."""
    every = [
        told("dropped", "note", 3),
        told("dropped", "negative", 4),
        told("dropped", "note", 9),
        told("dropped", "negative", 5),
    ]
    every.append(told("changed", "note", 11))
    assert [rows for _, rows in rows_told(every, {"note": 12})] == [12, 1, 0, 1, 1]
    assert [each for each, _ in rows_told(every, {"note": 12})] == every
    assert [rows for _, rows in rows_told(every, {})] == [1] * 5
