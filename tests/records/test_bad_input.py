"""Whatever the bytes: a reader gives records, or a `RecordError` that names the file, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from careplan.records import READERS, PatientRecord, RecordError, to_series
from careplan.therapies.glucose.declaration import GLUCOSE

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SOUND = {
    "azt1d": b"EventDateTime,DeviceMode,BolusType,Basal,CorrectionDelivered,TotalBolusInsulinDelivered,FoodDelivered,CarbSize,"
    b"CGM\n2024-01-08 10:00:00,,Standard,0.8,0.0,2.0,2.0,20.0,151\n2024-01-08 10:05:00,,,0.8,,,,,153\n",
    "t1d-uom": b"bg_ts,value\n13/12/2023 08:00,7.5\n13/12/2023 08:05,7.8\n",
    "nightscout": b'[{"type": "sgv", "sgv": 151, "date": 1704672000000},'
    b' {"type": "sgv", "sgv": 153, "dateString": "2024-01-08T00:05:00Z"}]',
    "table": b"time,glucose,bolus,basal\n2024-01-08 08:00,151,2,0.8\n2024-01-08 08:05,153,,\n",
}
SUFFIX = {"nightscout": ".json"}
each_reader = pytest.mark.parametrize("name", sorted(READERS))


def outcome(name: str, path: Path) -> list[PatientRecord] | RecordError:
    try:
        records = READERS[name](path)
    except RecordError as error:
        assert path.name in str(error) or path.parent.name in str(error)
        return error
    for record in records:
        assert len(to_series(record, GLUCOSE))
    return records


@each_reader
@MANY
@given(noise=st.binary(max_size=300))
def test_noise(tmp_path: Path, name: str, noise: bytes) -> None:
    path = tmp_path / f"x1{SUFFIX.get(name, '.csv')}"
    path.write_bytes(noise)
    outcome(name, path)


pieces = st.sampled_from([b"", b",", b"\n", b'"', b"\x00", b"9", b"-", b"nan", b"{", b"/", b"1e400", b"\xff"]) | st.binary(
    max_size=2
)
edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20), pieces), min_size=1, max_size=4)


@each_reader
@MANY
@given(edits=edits)
def test_a_sound_file_spoilt(tmp_path: Path, name: str, edits: list[tuple[float, int, bytes]]) -> None:
    content = SOUND[name]
    for where, gone, piece in edits:  # put a piece somewhere, in place of some bytes
        at = int(where * len(content))
        content = content[:at] + piece + content[at + gone :]
    path = tmp_path / f"x1{SUFFIX.get(name, '.csv')}"
    path.write_bytes(content)
    outcome(name, path)


@each_reader
@MANY
@given(cut=st.floats(0, 1))
def test_a_file_cut_short(tmp_path: Path, name: str, cut: float) -> None:
    content = SOUND[name]
    path = tmp_path / f"x1{SUFFIX.get(name, '.csv')}"
    path.write_bytes(content[: int(cut * (len(content) - 2))])
    outcome(name, path)


@each_reader
def test_sound_files_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"x1{SUFFIX.get(name, '.csv')}"
    path.write_bytes(SOUND[name])
    assert isinstance(outcome(name, path), list)


@each_reader
def test_another_format_is_not_mistaken_for_this_one(tmp_path: Path, name: str) -> None:
    for other in set(SOUND) - {name}:
        path = tmp_path / f"{other}1{SUFFIX.get(name, '.csv')}"
        path.write_bytes(SOUND[other])
        assert isinstance(outcome(name, path), RecordError), other


@each_reader
def test_nothing_there(tmp_path: Path, name: str) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(RecordError, match=tmp_path.name):
            READERS[name](path)


@each_reader
def test_a_file_that_may_not_be_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"x1{SUFFIX.get(name, '.csv')}"
    path.write_bytes(SOUND[name])

    def refuse(*_: object, **__: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(RecordError, match="Permission denied"):
        READERS[name](path)
