"""The folder a replay is kept in: its manifest, its tables, its summary. Read by the command line and the app.

`manifest.json`: arguments, versions, finished blocks. `steps/` and `people/`: a Parquet file a block and policy.
`summary.json`: `evaluation.cohorts.CohortSummary`. The same arguments and versions give the same bytes.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from careplan import files
from careplan.clinic import codec
from careplan.clinic.errors import ClinicError
from careplan.studies.cohorts import CohortSummary

BLOCK = 512  # people who live together; twice as many would be faster, and take twice the memory
MANIFEST, SUMMARY = "manifest.json", "summary.json"


@dataclass(frozen=True)
class Arguments:
    """What decides a replay. population: people by age group. life, sensor: names in `cohorts.scenarios.LIVES` and
    `cohorts.sensors.SENSORS`. fused: whether the step is compiled.
    """

    population: dict[str, int]
    policies: tuple[str, ...]
    days: int
    seed: int
    mis_set: float
    pens: float
    life: str
    sensor: str
    fused: bool
    block: int = BLOCK


@dataclass(frozen=True)
class Block:
    """People `number * BLOCK` and on of a group, under one policy."""

    group: str
    number: int
    policy: str
    count: int

    @property
    def name(self) -> str:
        return f"{self.group}-{self.number:05d}.{self.policy}"


@dataclass(frozen=True)
class Manifest:
    """blocks: the names of those that are finished, in the order of `blocks_of`."""

    arguments: Arguments
    versions: dict[str, str]
    blocks: tuple[str, ...]

    @property
    def finished(self) -> bool:
        return len(self.blocks) == len(blocks_of(self.arguments))


def blocks_of(arguments: Arguments) -> list[Block]:
    """All blocks: policies side by side, so that an early stop leaves whole comparisons."""
    return [
        Block(group, number, policy, min(arguments.block, count - number * arguments.block))
        for group, count in arguments.population.items()
        for number in range(-(-count // arguments.block))
        for policy in arguments.policies
    ]


def person_name(group: str, index: int) -> str:
    """The name of person `index` (from 0) of a group."""
    return f"{group}-{index + 1:06d}"


def read_manifest(folder: Path) -> Manifest:
    """Raises ClinicError where there is none, or it cannot be read."""
    return _read(folder / MANIFEST, Manifest, "not a replay folder")


def read_summary(folder: Path) -> CohortSummary:
    """Raises ClinicError where the replay is not finished."""
    return _read(folder / SUMMARY, CohortSummary, "the replay is not finished; run the same command again")


def replays_in(root: Path) -> list[str]:
    """Names of the finished replays under `root`."""
    return sorted(path.parent.name for path in root.glob(f"*/{SUMMARY}")) if root.is_dir() else []


def read_people(folder: Path) -> pd.DataFrame:
    """A row a person and policy, from every finished block."""
    return pa.concat_tables(_table(path_of(folder, "people", block)) for block in read_manifest(folder).blocks).to_pandas()


def path_of(folder: Path, kind: Literal["people", "steps"], block: str) -> Path:
    """Where a block's table lies."""
    return folder / kind / f"{block}.parquet"


def read_steps(folder: Path, person: str) -> pd.DataFrame:
    """All five-minute rows of one person, policy after policy. Raises ClinicError for somebody unknown."""
    return _of_person(folder, "steps", person)


def read_person(folder: Path, person: str) -> pd.DataFrame:
    """One person's row under each policy."""
    return _of_person(folder, "people", person)


def write_json(path: Path, value: Any) -> None:
    """A view as JSON, in one move."""
    whole = json.dumps(codec.dump(value), indent=1, ensure_ascii=False) + "\n"
    in_one_move(path, lambda part: part.write_text(whole, encoding="utf-8"))


def write_table(path: Path, table: pa.Table, rows: int) -> None:
    """Parquet in one move, in groups of `rows` rows."""
    in_one_move(path, lambda part: pq.write_table(table, part, compression="zstd", row_group_size=rows))


def in_one_move(path: Path, write: Callable[[Path], object]) -> None:
    """A file is there whole or not at all, however this ends. Raises ClinicError where the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.in_one_move(path, write)
    except OSError as error:
        problem = error.strerror or str(error)
        raise ClinicError(f"{path} cannot be written: {problem}. What is finished is kept; the same command goes on") from error


def differing(ours: Manifest, theirs: Manifest) -> list[str]:
    """What differs between two manifests' arguments and versions, in words."""
    asked, kept = (asdict(manifest.arguments) | manifest.versions for manifest in (ours, theirs))
    return [f"{name} {kept.get(name)}, not {value}" for name, value in asked.items() if kept.get(name) != value]


def _of_person(folder: Path, kind: Literal["people", "steps"], person: str) -> pd.DataFrame:
    arguments = read_manifest(folder).arguments
    group, _, number = person.rpartition("-")
    index = int(number) - 1 if number.isdecimal() else -1
    if not 0 <= index < arguments.population.get(group, 0) or person != person_name(group, index):
        raise ClinicError(f"person {person!r} is not in {folder}")
    blocks = [Block(group, index // arguments.block, policy, 0).name for policy in arguments.policies]
    found = [_table(path_of(folder, kind, block), filters=[("person", "==", person)]).to_pandas() for block in blocks]
    return pd.concat(found, ignore_index=True).astype({"policy": str, "person": str})


def _table(path: Path, **options: Any) -> pa.Table:
    try:
        return pq.read_table(path, **options)
    except (OSError, pa.ArrowInvalid) as error:
        raise ClinicError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _read(path: Path, kind: Any, otherwise: str) -> Any:
    try:
        return codec.load(kind, json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise ClinicError(f"{path.parent}: no {path.name}: {otherwise}") from None
    except (OSError, ValueError, ValidationError) as error:
        raise ClinicError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
