"""Tables of a run on disk, a folder a unit: written whole or not at all, and not made again."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from careplan.errors import AskError
from careplan.studies.report.judge import Tables


def done(folder: Path, key: str) -> bool:
    """Whether a unit's tables are there, made from the same data by the same protocol and model."""
    try:
        return bool(json.loads((folder / "done.json").read_text())["key"] == key)
    except (OSError, ValueError, KeyError):
        return False


def keep(folder: Path, key: str, tables: Tables) -> None:
    """Writes a unit's tables. Raises `AskError` where there is no room or no right to write, having kept what was there."""
    making = folder.with_name(folder.name + ".making")
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        for name, table in tables.items():
            if len(table.columns):
                table.to_parquet(making / f"{name}.parquet", index=False)
        (making / "done.json").write_text(json.dumps({"key": key}) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
    except OSError as error:
        shutil.rmtree(making, ignore_errors=True)
        raise AskError(f"{folder}: cannot be written: {error.strerror or error}; what is done is kept, run it again") from error


def write(path: Path, writing: Callable[[Path], object]) -> None:
    """A file by what writes one to a path, whole or not at all. Raises `OSError` where there is no room or no right to write."""
    making = path.with_name(path.name + ".making")
    try:
        writing(making)
        making.replace(path)
    finally:
        making.unlink(missing_ok=True)


def tables_of(folders: list[Path], name: str) -> Iterator[pd.DataFrame]:
    """One table of every unit that has it, in order."""
    for folder in folders:
        path = folder / f"{name}.parquet"
        if path.exists():
            table = pd.read_parquet(path)
            if len(table):
                yield table


def whole(folders: list[Path], name: str) -> pd.DataFrame:
    """One table of all units."""
    found = list(tables_of(folders, name))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()
