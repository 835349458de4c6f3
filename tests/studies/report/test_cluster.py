"""The same tables from a real Ray of two workers, one of which is killed in the middle."""

import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from careplan.studies.report import Protocol
from careplan.studies.report import cluster as clusters
from careplan.studies.report.sources import Unit
from careplan.studies.report.work import Baselines, Job

NONE = Baselines.none()
ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")


def _dies_once(job: Job, _: Baselines) -> dict[str, pd.DataFrame]:
    """A unit's work whose worker is lost the first time that somebody takes it up."""
    mark = Path(job.unit.path)
    if job.unit.name == "2" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"people": pd.DataFrame({"unit": [job.unit.name]})}


def test_a_lost_worker_costs_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_job", _dies_once)
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        jobs = [Job(Unit(str(index), "records", str(tmp_path / "mark")), Protocol(), None, NONE) for index in range(5)]
        found = dict((job.unit.name, tables["people"]["unit"].tolist()) for job, tables in clusters.on_ray("local")(jobs))
    finally:
        ray.shutdown()
    assert found == {str(index): [str(index)] for index in range(5)}
    assert (tmp_path / "mark").exists()
