"""A cohort from its sources to its report: units side by side, kept as they are done, figures and pages at the end."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from careplan.errors import AskError
from careplan.evaluation.forecasts import Predictor, fit_baselines, forecast_rows, persistence
from careplan.series import PatientSeries
from careplan.studies.report import parts
from careplan.studies.report.figures import figures
from careplan.studies.report.gather import PERSON
from careplan.studies.report.judge import Tables, choose
from careplan.studies.report.page import page
from careplan.studies.report.protocol import Protocol
from careplan.studies.report.sources import Unit, read_unit, units_of
from careplan.studies.report.work import Baselines, Job, drawn, work
from careplan.therapies.glucose.world import open_world
from careplan.world.loaded import World, code_version

Spread = Callable[[Iterable[Job]], Iterator[tuple[Job, Tables]]]  # jobs -> their tables, in any order


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a run came to: where its report lies, how many were judged and left out, and what must be read first."""

    report: Path
    judged: int
    left_out: int
    warnings: tuple[str, ...]


def in_process(jobs: Iterable[Job]) -> Iterator[tuple[Job, Tables]]:
    """One unit after the other."""
    for job in jobs:
        yield job, work(job)


def evaluate_cohort(
    sources: Sequence[str],
    out: Path,
    *,
    protocol: Protocol | None = None,
    database: str | None = None,
    weights: Path | None = None,
    columns: Path | None = None,
    spread: Spread = in_process,
    say: Callable[[str], None] = print,
) -> Finished:
    """Evaluates everyone in the sources and writes `report.html`, `report.json`, tables and a log of who was left out to `out`.

    sources: as `units_of` takes them; database: what `store` means. weights: a folder, the shipped ones where None. columns: a
    CSV with a column `patient` and others to report by. spread: who does the work. What is done is kept and not done again.
    Raises `AskError` for sources, columns or a folder that cannot be used.
    """
    protocol = protocol or Protocol()
    world = open_world(*([weights] if weights else []))
    units = units_of(sources, database)
    if not units:
        raise AskError("no source holds anything to read")
    out.mkdir(parents=True, exist_ok=True)
    identity = {"protocol": asdict(protocol), "model": world.fingerprint, "code": code_version()}
    digests = {unit.name: _key(identity, unit.digest()) for unit in units}
    say(f"{len(units)} parts of a cohort")

    def judging(missing: Sequence[Unit]) -> list[Job]:
        baselines = _baselines(world, units, protocol, say)
        return [Job(unit, protocol, weights, baselines) for unit in missing]

    folders = _spread_out(units, out / "parts", digests, judging, spread, say)
    planned = _planned(parts.tables_of(folders, "people"), protocol)

    def planning(missing: Sequence[Unit]) -> list[Job]:
        return [Job(unit, protocol, weights, planned=planned[unit.name]) for unit in missing]

    some = [unit for unit in units if unit.name in planned]
    keys = {unit.name: _key(identity, digests[unit.name], *planned[unit.name]) for unit in some}
    plan_folders = _spread_out(some, out / "plans", keys, planning, spread, say)

    header = {**identity, "sources": list(sources), "card": world.card.get("limits", "")}
    found = figures(folders, plan_folders, protocol, header, _columns(columns), world.card.get("split", {}))
    _write(out, folders, plan_folders, found)
    flow = found["flow"]
    return Finished(
        report=out / "report.html", judged=flow["judged"], left_out=flow["left_out"], warnings=tuple(found["warnings"])
    )


def _key(identity: dict[str, Any], *more: str) -> str:
    return sha256(json.dumps([identity, *more], sort_keys=True).encode()).hexdigest()


def _spread_out(
    units: Sequence[Unit],
    folder: Path,
    keys: dict[str, str],
    jobs: Callable[[Sequence[Unit]], list[Job]],
    spread: Spread,
    say: Callable[[str], None],
) -> list[Path]:
    """The folders of every unit's tables, in order; those that are not there yet are made, by `jobs` of these units."""
    places = {unit.name: folder / f"{index:06d}" for index, unit in enumerate(units)}
    missing = [unit for unit in units if not parts.done(places[unit.name], keys[unit.name])]
    for count, (job, tables) in enumerate(spread(jobs(missing) if missing else []), len(units) - len(missing) + 1):
        parts.keep(places[job.unit.name], keys[job.unit.name], tables)
        say(f"{folder.name}: {count} of {len(units)}")
    return list(places.values())


def _baselines(world: World, units: Sequence[Unit], protocol: Protocol, say: Callable[[str], None]) -> Baselines:
    """Persistence, and ridge and boosting of each half of some people, for the other half."""
    some = list(islice(_some_people(world, units, protocol), protocol.baselines))
    halves = some[::2], some[1::2]
    still: dict[str, Predictor] = {"persistence": partial(persistence, horizons=protocol.horizons)}
    if not all(halves):
        return Baselines((still, still), (frozenset(), frozenset()))
    say(f"Fitting baselines to {len(some)} people")
    first, second = (
        fit_baselines([series for _, series in half], protocol.horizons, stride=9, seed=protocol.seed) for half in halves
    )
    names = [frozenset((unit, series.patient) for unit, series in half) for half in halves]
    return Baselines((first, second), (names[0], names[1]))


def _some_people(world: World, units: Sequence[Unit], protocol: Protocol) -> Iterator[tuple[str, PatientSeries]]:
    for unit in sorted(units, key=lambda unit: drawn(unit.name, "", protocol.seed)):
        chosen, _ = choose(unit.name, read_unit(unit, {}), world.model.therapy, protocol)
        for one in sorted(chosen, key=lambda one: drawn(unit.name, one.record.patient, protocol.seed)):
            if len(forecast_rows(one.series, protocol.horizons)):
                yield unit.name, one.series


def _planned(people: Iterable[pd.DataFrame], protocol: Protocol) -> dict[str, tuple[str, ...]]:
    """Who is planned for, by unit. people: the tables of those judged."""
    everybody = (who for table in people for who in table[PERSON].itertuples(index=False, name=None))
    some = nsmallest(protocol.plans, ((drawn(unit, patient, protocol.seed), unit, patient) for unit, patient in everybody))
    planned: dict[str, tuple[str, ...]] = {}
    for _, unit, patient in sorted(some, key=lambda one: one[1:]):
        planned[unit] = (*planned.get(unit, ()), patient)
    return planned


def _columns(path: Path | None) -> pd.DataFrame | None:
    """Columns of the user's to report by. Raises `AskError` that names the file and the row or column."""
    if path is None:
        return None
    try:
        table = pd.read_csv(path, dtype=str).fillna("")
    except (OSError, ValueError) as error:
        raise AskError(f"{path}: cannot be read: {error}") from error
    if "patient" not in table or len(table.columns) < 2:
        raise AskError(f"{path}: expected a column 'patient' and others, found {', '.join(table.columns)}")
    twice = table[table["patient"].duplicated()]
    if len(twice):
        raise AskError(f"{path}, row {int(twice.index[0]) + 2}, field 'patient': {twice['patient'].iloc[0]!r} stands there twice")
    return table


def _write(out: Path, folders: list[Path], plan_folders: list[Path], found: dict[str, Any]) -> None:
    """The report, its numbers, and the tables of all units, each in one file where they are of people; each file whole."""
    try:
        for name, where in (("people", folders), ("left_out", folders), ("forecasts", folders), ("plans", plan_folders)):
            parts.together(out / f"{name}.parquet", where, name)
        numbers = json.dumps(found, indent=1, allow_nan=False) + "\n"
        parts.write(out / "report.json", partial(Path.write_text, data=numbers, encoding="utf-8"))
        parts.write(out / "report.html", partial(Path.write_text, data=page(found), encoding="utf-8"))
    except OSError as error:
        raise AskError(f"{out}: cannot be written: {error.strerror or error}; what is done is kept, run it again") from error
