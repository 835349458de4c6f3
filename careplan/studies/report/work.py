"""The work of one unit, the same in this process and on a cluster: read, choose, judge; whoever it fails on is left out alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pandas as pd
import torch

from careplan.evaluation.forecasts import Predictor
from careplan.records import Refused
from careplan.studies.report.judge import TABLES, Chosen, Tables, choose, judge
from careplan.studies.report.plans import judge_plans
from careplan.studies.report.protocol import Protocol
from careplan.studies.report.sources import Unit, read_unit
from careplan.therapies.glucose.world import open_world
from careplan.world.loaded import World


@dataclass(frozen=True, eq=False)
class Baselines:
    """Two sets of baselines, each fitted to half of some people, `(unit, patient)`; nobody is judged by one fitted to them."""

    fitted: tuple[dict[str, Predictor], dict[str, Predictor]]
    people: tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]

    def of(self, unit: str, patient: str) -> int:
        """Which of the two somebody is judged by: the one they are not in, or else one by name."""
        inside = [(unit, patient) in some for some in self.people]
        return inside.index(False) if any(inside) else sha256(f"{unit}/{patient}".encode()).digest()[0] % 2


@dataclass(frozen=True, eq=False)
class Job:
    """One unit to judge.

    weights: a folder; the shipped ones where None. baselines: that people are judged beside; None for planning. planned: what
    would be proposed to these people, in place of judging.
    """

    unit: Unit
    protocol: Protocol
    weights: Path | None
    baselines: Baselines | None = None
    planned: tuple[str, ...] | None = None


def drawn(unit: str, patient: str, seed: int) -> str:
    """A number that decides who is drawn for what is not done for everybody."""
    return sha256(f"{seed}/{unit}/{patient}".encode()).hexdigest()


def work(job: Job) -> Tables:
    """The tables of a unit; those of plans where the job says for whom. With one thread, wherever it is done: arithmetic in
    another order would not be equal to the bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _work(job)
    finally:
        torch.set_num_threads(threads)


def _work(job: Job) -> Tables:
    world = open_world(*([job.weights] if job.weights else []))
    refused: Refused = {}
    records = read_unit(job.unit, refused)
    if job.planned is not None:
        records = [record for record in records if record.patient in job.planned]
    chosen, left_out = choose(job.unit.name, records, world.model.therapy, job.protocol)
    for name, error in refused.items():
        left_out.append({"unit": job.unit.name, "patient": name, "reason": "cannot be read", "detail": str(error)})
    if job.planned is not None:
        factors, failed = job.protocol.factors, list[dict[str, str]]()
        proposed = spared(chosen, lambda some: {"plans": judge_plans(world, some, factors)}, failed)
        return {"plans": pd.DataFrame(), **proposed, "left_out": pd.DataFrame(failed)}
    tables = spared(chosen, lambda some: _judged(world, some, job), left_out)
    return {**{name: tables.get(name, pd.DataFrame()) for name in TABLES}, "left_out": pd.DataFrame(left_out)}


def _judged(world: World, chosen: Sequence[Chosen], job: Job) -> Tables:
    beside = job.baselines
    if beside is None:
        return judge(world, chosen, job.protocol, {})
    parts = [
        judge(world, some, job.protocol, beside.fitted[which])
        for which in (0, 1)
        if (some := [one for one in chosen if beside.of(one.unit, one.record.patient) == which])
    ]
    return joined(parts)


def joined(parts: Sequence[Tables]) -> Tables:
    """The tables of several, one after the other."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: pd.concat([part[name] for part in parts if name in part], ignore_index=True) for name in names}


def spared(chosen: Sequence[Chosen], judged: Callable[[Sequence[Chosen]], Tables], left_out: list[dict[str, str]]) -> Tables:
    """`judged` on all at once; where it fails, on each half, until whoever it fails on is alone and left out by name."""
    if not chosen:
        return {}
    try:
        return judged(chosen)
    except Exception as error:
        if len(chosen) == 1:
            one = chosen[0]
            detail = f"{type(error).__name__}: {error}"
            left_out.append({"unit": one.unit, "patient": one.record.patient, "reason": "failed", "detail": detail})
            return {}
        middle = len(chosen) // 2
        return joined([spared(some, judged, left_out) for some in (chosen[:middle], chosen[middle:])])
