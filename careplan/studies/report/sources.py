"""Where a cohort's people come from: device exports, folders of them, Parquet data sets and the store, read a unit at a time.

A unit is read whole and let go before the next: a file of a Parquet data set, a subfolder of a folder of exports, a block of
patients of a database, or else the whole path. A person's record lies in one unit.
"""

import hashlib
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from careplan.errors import AskError
from careplan.records import FORMATS, READERS, PatientRecord, RecordError, Refused, read
from careplan.records.door import RECORDINGS, recognise
from careplan.records.head import head_of

BLOCK = 25  # patients of a database in a unit
Kind = Literal["records", "parquet", "store"]


@dataclass(frozen=True, order=True)
class Unit:
    """A part of a cohort that is read at once.

    name: unique in the cohort. path: a file or a folder, or a database's address. format: taken at its word; "" finds it.
    patients: of a database. patient: the name where the path holds it and the file does not.
    """

    name: str
    kind: Kind
    path: str
    format: str = ""
    patients: tuple[str, ...] = ()
    patient: str = ""

    def digest(self) -> str:
        """Of what is read: names, sizes and times of change of files; the hash of each patient's events of a database."""
        identity = [self.kind, self.path, self.format, *self.patients, self.patient]
        if self.kind == "store":
            identity += _stored_digest(self)
        else:
            for file in _files(Path(self.path)):
                state = file.stat()
                identity.append(f"{file.name} {state.st_size} {state.st_mtime_ns}")
        return hashlib.sha256("\n".join(identity).encode()).hexdigest()


def units_of(sources: Sequence[str], database: str | None = None) -> list[Unit]:
    """The units of all sources, in order. A source is a path, `FORMAT:PATH`, or an address of a database such as
    `sqlite:///clinic.db`; `store` is `database`.

    Raises `AskError` for a source that does not exist or names no format.
    """
    found: list[Unit] = []
    for place, source in enumerate(sources):
        if source == "store" or "://" in source:
            address = database if source == "store" else source
            if not address:
                raise AskError("source 'store': no database is named")
            found += _of_database(place, address)
            continue
        format, _, rest = source.partition(":")
        named = format in READERS and bool(rest)
        path = Path(rest if named else source)
        if not path.exists():
            raise AskError(f"source {source!r}: expected a path, FORMAT:PATH, a database's address or 'store'")
        found += _of_path(place, path, format if named else "")
    return found


def _of_path(place: int, path: Path, format: str) -> list[Unit]:
    """A data set's files, a folder's subfolders where it holds nothing else, or the path itself."""
    if path.is_dir() and not format:
        if _holds(path, {".parquet"}):
            return list(_beside_parquet(place, path, path))
        children = [child for child in sorted(path.iterdir()) if not child.name.startswith(".")]
        apart = bool(children) and all(child.is_dir() or child.suffix.lower() == ".zip" for child in children)
        if apart and not _data_set(path):
            return [Unit(f"{place}/{child.name}", "records", str(child)) for child in children]
    return [Unit(f"{place}/{path.name}", "records", str(path), format)]


def _beside_parquet(place: int, root: Path, folder: Path) -> Iterator[Unit]:
    """Each Parquet file below a folder, and what lies beside them: every other recording, and every folder without Parquet."""
    for child in sorted(folder.iterdir()):
        name = f"{place}/{child.relative_to(root)}"
        if child.name.startswith((".", "_")):
            continue
        if child.is_dir() and _holds(child, {".parquet"}):
            yield from _beside_parquet(place, root, child)
        elif child.suffix == ".parquet":
            yield Unit(name, "parquet", str(child), "table", patient=_partition(child))
        elif _holds(child, RECORDINGS):
            yield Unit(name, "records", str(child))


def _holds(path: Path, suffixes: Set[str]) -> bool:
    """Whether a file, or one in a folder, has one of these endings."""
    files = [path] if path.is_file() else path.rglob("*")
    return any(file.suffix.lower() in suffixes and not file.name.startswith((".", "_")) and file.is_file() for file in files)


def _data_set(path: Path) -> bool:
    """Whether a folder's files are of a format that keeps its people in folders of its own, and so is read whole."""
    known = {kind.name for kind in FORMATS if kind.read.__module__.startswith("careplan.datasets")}
    file = next((file for file in sorted(path.rglob("*")) if file.is_file() and file.suffix.lower() in RECORDINGS), None)
    try:
        return file is not None and bool(known & set(recognise(head_of(file))))
    except RecordError:
        return False


def _partition(file: Path) -> str:
    """The patient that the folders of a partitioned data set name, as in `patient=NAME/part.parquet`; "" where they do not."""
    return next((part.removeprefix("patient=") for part in file.parts if part.startswith("patient=")), "")


def _of_database(place: int, address: str) -> list[Unit]:
    from careplan.clinic.known import patient_names
    from careplan.store import StoreError, existing_database, open_database

    try:
        existing_database(address).dispose()
    except StoreError as error:
        raise AskError(str(error)) from error
    database = open_database(address)
    try:
        names = sorted(patient_names(database))
    finally:
        database.close()
    blocks = [tuple(names[start : start + BLOCK]) for start in range(0, len(names), BLOCK)]
    return [Unit(f"{place}/store-{index:05d}", "store", address, patients=block) for index, block in enumerate(blocks)]


def _stored_digest(unit: Unit) -> list[str]:
    from careplan.clinic.recordings import identity
    from careplan.store import open_database

    database = open_database(unit.path)
    try:
        return [" ".join((name, *identity(database, name, "glucose"))) for name in unit.patients]
    finally:
        database.close()


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def read_unit(unit: Unit, refused: Refused) -> list[PatientRecord]:
    """The records of a unit; who cannot be read is noted in `refused`, by name. Never raises for what is in a file."""
    try:
        if unit.kind == "store":
            return list(_read_store(unit))
        return read(unit.path, format=unit.format or None, patient=unit.patient or None, refused=refused)
    except RecordError as error:
        refused[unit.name] = error
        return []


def _read_store(unit: Unit) -> Iterator[PatientRecord]:
    from careplan.clinic.stored_records import load_record
    from careplan.store import open_database

    database = open_database(unit.path)
    try:
        for name in unit.patients:
            yield load_record(database, name)
    finally:
        database.close()
