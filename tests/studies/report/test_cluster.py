"""The same tables from a real Ray of two workers, one of which is killed in the middle."""

from pathlib import Path

import pytest

from careplan.studies.report import cluster as clusters
from tests.studies.report.dying import Errand, Part, dies_once

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")


def test_a_lost_worker_costs_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_job", dies_once)
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", object_store_memory=100 * 2**20)
    try:
        jobs = [Errand(Part(str(index)), tmp_path / "mark", "baselines") for index in range(5)]
        found = dict((job.unit.name, tables["people"]) for job, tables in clusters.on_ray("local")(jobs))  # type: ignore[arg-type]
    finally:
        ray.shutdown()
    assert found == {str(index): [str(index), "baselines"] for index in range(5)}
    assert (tmp_path / "mark").exists()
