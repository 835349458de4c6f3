"""Replays of virtual cohorts on disk: block by block, resumable, the same bytes from the same arguments."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from careplan.clinic.errors import ClinicError
from careplan.studies.closed_loop import Planner
from careplan.studies.cohorts import SETTINGS, CohortSummary, judged, summarise
from careplan.studies.replay_folder import (
    MANIFEST,
    SUMMARY,
    Arguments,
    Block,
    Manifest,
    blocks_of,
    differing,
    path_of,
    person_name,
    read_manifest,
    read_people,
    write_json,
    write_table,
)
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.world import open_world
from careplan.world.loaded import code_version
from cohorts.catalogue import POLICIES as BASELINES
from cohorts.catalogue import refuse_for
from cohorts.policies import Policy
from cohorts.population import NAMED, Cohort, Population, sample_population
from cohorts.replay import Replay, replay
from cohorts.scenarios import LIVES, ROWS
from cohorts.sensors import SENSORS

POLICIES: dict[str, Callable[[], Policy]] = {**BASELINES, "planner": Planner}
PLANNED = 16  # people who live together where the planner treats them: a block is lived whole, and planning takes its time
FUSE_FROM = 100_000  # person-days lived, from which on a minute of compiling pays
PEOPLE_A_GROUP = 8  # people in a row group of the steps: one person's days are read without the rest

Progress = Callable[[int, int, str], None]


def arguments_of(
    population: Sequence[str],
    policies: Sequence[str],
    *,
    days: int,
    seed: int,
    mis_set: float = 0.0,
    pens: float = 0.0,
    life: str = "usual",
    sensor: str = "usual",
) -> Arguments:
    """population: texts such as `adult:1000`; life, sensor: names in `LIVES` and `SENSORS`. Raises ClinicError for what cannot
    be replayed.
    """
    people: dict[str, int] = {}
    groups: list[Cohort] = []
    for text in population:
        group, _, count = text.partition(":")
        if group not in NAMED or not count.isdecimal() or int(count) < 1:
            raise ClinicError(f"population {text!r}: expected GROUP:PEOPLE, such as adult:1000, of {', '.join(NAMED)}")
        if group in people:
            raise ClinicError(f"population {text!r}: {group} was named before")
        people[group] = int(count)
        groups.append(NAMED[group][1])
    named: list[tuple[str, str, Collection[str]]] = [("policy", name, POLICIES) for name in policies]
    for kind, name, known in [*named, ("life", life, LIVES), ("sensor", sensor, SENSORS)]:
        if name not in known:
            raise ClinicError(f"{kind} {name!r}: expected one of {', '.join(known)}")
    if not people or not policies or len(set(policies)) < len(policies):
        raise ClinicError("a replay needs at least one population and one policy, each named once")
    for policy, cohort in product(policies, groups):
        if policy == "planner" and cohort == "type2":
            raise ClinicError(f"policy {policy!r} is not for {cohort}: its world model has never seen people who make insulin")
        try:
            refuse_for(policy, cohort)
        except ValueError as error:
            raise ClinicError(str(error)) from None
    if days < 1 or seed < 0:
        raise ClinicError(f"{days} days, seed {seed}: expected at least one day, and a seed of 0 or more")
    if not 0 <= mis_set < 2 or not 0 <= pens <= 1:
        raise ClinicError(f"mis-set {mis_set}, pens {pens}: expected a spread from 0 to below 2, and a share from 0 to 1")
    asked = Arguments(people, tuple(policies), days, seed, float(mis_set), float(pens), life, sensor, fused=False)
    if "planner" in policies:
        asked = replace(asked, block=PLANNED)
    return replace(asked, fused=len(blocks_of(asked)) * asked.block * days >= FUSE_FROM)


def run_replay(folder: Path, arguments: Arguments, *, progress: Progress | None = None) -> CohortSummary:
    """Lives every block that is not finished yet, then summarises. progress: person-days done, of all, and the block's name.

    Raises ClinicError, before anything is written, where the folder holds something else.
    """
    manifest = _begin(folder, arguments)
    blocks = blocks_of(arguments)
    whole = sum(block.count for block in blocks) * arguments.days
    done, people, of = 0, None, None
    for block in blocks:
        if block.name not in manifest.blocks:
            if people is None or of != (block.group, block.number):
                people, of = people_of(arguments, block), (block.group, block.number)
            _live(folder, arguments, block, people, _within(progress, done, whole, block))
            finished = {*manifest.blocks, block.name}
            manifest = replace(manifest, blocks=tuple(each.name for each in blocks if each.name in finished))
            write_json(folder / MANIFEST, manifest)
        done += block.count * arguments.days
        if progress is not None:
            progress(done, whole, block.name)
    summary = summarise(read_people(folder), seed=arguments.seed)
    write_json(folder / SUMMARY, summary)
    return summary


def people_of(arguments: Arguments, block: Block) -> Population:
    """A whole block's people, who depend on the seed, the group and the block's number alone (and on how many are mis-set, or on
    pens): the last block of a small cohort is lived whole, so that ten adults are the first ten of a thousand."""
    seed = _seeds(arguments, block)[0]
    family, group = NAMED[block.group]
    people = sample_population(group, arguments.block, seed, mis_set=arguments.mis_set, pens=arguments.pens, family=family)
    first = block.number * arguments.block
    return replace(people, names=tuple(person_name(block.group, first + index) for index in range(len(people))))


def _begin(folder: Path, arguments: Arguments) -> Manifest:
    """The manifest to go on from: the folder's own, or a new one in a new or empty folder."""
    versions = {"careplan": code_version(), **{name: version(name) for name in ("torch", "numpy", "pyarrow")}}
    if "planner" in arguments.policies:
        versions["model"] = open_world().fingerprint
    fresh = Manifest(arguments, versions, ())
    if folder.exists() and not folder.is_dir():
        raise ClinicError(f"{folder} is a file; name a folder")
    if (folder / MANIFEST).exists():
        kept = read_manifest(folder)
        if different := differing(fresh, kept):
            raise ClinicError(f"{folder} holds another replay ({'; '.join(different)}); name another folder")
        there = (all(path_of(folder, kind, block).is_file() for kind in ("steps", "people")) for block in kept.blocks)
        return replace(kept, blocks=tuple(block for block, whole in zip(kept.blocks, there, strict=True) if whole))
    if folder.exists() and any(path.name != f"{MANIFEST}.part" for path in folder.iterdir()):  # a kill's
        raise ClinicError(f"{folder} is not empty and holds no replay; name another folder")
    write_json(folder / MANIFEST, fresh)
    return fresh


def _live(folder: Path, arguments: Arguments, block: Block, people: Population, progress: Callable[[int, int], None]) -> None:
    """One block under one policy. Life and sensors are drawn before the policy draws anything: they are alike under all."""
    seed = _seeds(arguments, block)[1]
    lived = replay(
        people,
        POLICIES[block.policy](),
        days=arguments.days,
        seed=seed,
        life=LIVES[arguments.life](),
        sensor=SENSORS[arguments.sensor](),
        progress=progress,
        fuse=arguments.fused,
    )
    people_of_block = pa.Table.from_pandas(_people(lived, block), preserve_index=False)
    write_table(path_of(folder, "steps", block.name), _steps(lived, block), PEOPLE_A_GROUP * ROWS * arguments.days)
    write_table(path_of(folder, "people", block.name), people_of_block, arguments.block)


def _steps(lived: Replay, block: Block) -> pa.Table:
    """A row a person and five minutes: glucose and reading (null: none) at its end, doses and meals in it, and the truth."""
    count, rows = block.count, lived.glucose.shape[1]
    life, wear = lived.scenario, lived.wear
    numbers = {
        "glucose": lived.glucose,
        "reading": lived.reading,
        "basal": lived.basal,
        "bolus": lived.bolus,
        "long_acting": lived.long_acting,
        "delivered": lived.delivered,
        "eaten": lived.eaten,
        "announced": lived.announced,
        "activity": life.activity,
        "sensitivity": life.sensitivity,
        "uptake": life.uptake,
        "pace": life.pace,
        "gain": wear.gain,
        "error": wear.error,
        "pressure": wear.pressure,
    }
    happens = {"ill": life.ill, "blocked": life.blocked & ~lived.people.pens.unsqueeze(1), "warming": wear.warming}
    time = pd.date_range(lived.start, periods=rows, freq=f"{GLUCOSE.step:g}min", unit="ms")
    person = pa.DictionaryArray.from_arrays(np.repeat(np.arange(count, dtype=np.int32), rows), list(lived.people.names[:count]))
    policy = pa.DictionaryArray.from_arrays(np.zeros(count * rows, np.int8), [block.policy])
    times = pa.array(np.tile(time.to_numpy(), count), pa.timestamp("ms", tz="UTC"))
    columns = {name: pa.array(_flat(values[:count]), from_pandas=True) for name, values in numbers.items()}
    columns |= {name: pa.array(values[:count].numpy().ravel()) for name, values in happens.items()}
    return pa.table({"policy": policy, "person": person, "time": times, **columns})


def _people(lived: Replay, block: Block) -> pd.DataFrame:
    """A row a person: the settings in force and those that suit, weight kg, insulin U a day, carbohydrate g a day, metrics."""
    people, days = lived.people, lived.glucose.shape[1] / ROWS
    weight = people.physiology.weight
    basal = lived.basal.sum(1) / 12 + lived.long_acting.sum(1)
    insulin = (basal + lived.bolus.sum(1)) / days
    force, suits = people.settings, (people.basal, people.carb_ratio, people.correction_factor)
    numbers = {
        "weight": weight,
        **{name: force[:, place] for place, name in enumerate(SETTINGS)},
        **{f"suits_{name}": values for name, values in zip(SETTINGS, suits, strict=True)},
        "daily_dose": people.daily_dose,
        "insulin": insulin,
        "insulin_per_kg": insulin / weight,
        "basal_share": basal / days / insulin,
        "eaten": lived.eaten.sum(1) / days,
    }
    count = block.count
    names = {"policy": block.policy, "person": people.names[:count], "group": [block.group] * count, "pens": people.pens[:count]}
    known = pd.DataFrame(names | {name: values[:count].numpy() for name, values in numbers.items()})
    return known.join(judged(lived.glucose[:count].double().numpy(), lived.reading[:count].double().numpy()).astype(np.float32))


def _flat(values: torch.Tensor) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return values.contiguous().numpy().astype(np.float32).ravel()


def _seeds(arguments: Arguments, block: Block) -> tuple[int, int]:
    """Of a block's people and of their lives, whatever the policy."""
    group = int.from_bytes(block.group.encode())
    people, life = np.random.SeedSequence([arguments.seed, group, block.number]).generate_state(2).tolist()
    return people, life


def _within(progress: Progress | None, done: int, whole: int, block: Block) -> Callable[[int, int], None]:
    def report(days: int, _: int) -> None:
        if progress is not None:
            progress(done + days * block.count, whole, block.name)

    return report
