"""Tables of a run on disk, a folder a unit: written whole or not at all, and not made again."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from careplan.errors import AskError
from careplan.studies.report.judge import Tables

ROWS, FILES = 50_000, 200  # of units' tables that are read at once, about


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
    """One table of all units, some of them at once, in order."""
    for table in _some_at_once(_files(folders, name)):
        yield table.to_pandas()


def whole(folders: list[Path], name: str) -> pd.DataFrame:
    """One table of all units."""
    found = list(tables_of(folders, name))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def together(path: Path, folders: list[Path], name: str) -> None:
    """Writes one table of all units to one file, some of them at once; none where it has no row. Raises `OSError`."""
    path.unlink(missing_ok=True)  # of another protocol, perhaps
    files = _files(folders, name)
    if not files:
        return
    schema = pa.schema([])
    for file in files:
        schema = pa.unify_schemas([schema, _plain(pq.read_schema(file))], promote_options="permissive")

    def writing(making: Path) -> None:
        with pq.ParquetWriter(making, schema) as writer:
            for table in _some_at_once(files):
                whole = pa.concat_tables([schema.empty_table(), table], promote_options="permissive")
                writer.write_table(whole.cast(schema))

    write(path, writing)


def _files(folders: list[Path], name: str) -> list[Path]:
    """The files of a table, of every unit in which it has a row."""
    files = [folder / f"{name}.parquet" for folder in folders]
    return [file for file in files if file.exists() and pq.read_metadata(file).num_rows]


def _some_at_once(files: list[Path]) -> Iterator[pa.Table]:
    """The rows of all files, of as many files at once as `ROWS` and `FILES` allow."""
    waiting: list[pa.Table] = []
    for file in files:
        waiting.append(_plain(pq.read_table(file, use_threads=False)))
        if len(waiting) == FILES or sum(table.num_rows for table in waiting) >= ROWS or file == files[-1]:
            yield pa.concat_tables(waiting, promote_options="permissive")
            waiting.clear()


def _plain(found: Any) -> Any:
    """A schema, or a table, without what pandas notes of one unit's columns, which can differ from another's."""
    return found.replace_schema_metadata(None) if isinstance(found, pa.Table) else found.remove_metadata()
