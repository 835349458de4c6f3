"""The work of a cohort spread over a Ray cluster; the same tables as in one process, in whatever order they are done."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from careplan.errors import AskError
from careplan.studies.report.judge import Tables
from careplan.studies.report.run import Spread
from careplan.studies.report.work import Baselines, Job, work

RETRIES = 3  # of a unit whose worker is lost
AHEAD = 2  # units waiting for each core, so that memory does not grow with the cohort


def on_ray(address: str) -> Spread:
    """Spreads jobs over the cluster at an address, or over this machine's cores for `local`.

    A worker that is lost costs its unit another try. Raises `AskError` where Ray is not installed or no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise AskError("--ray needs Ray: install careplan with its extra `ray`") from error

    def spread(jobs: Iterable[Job]) -> Iterator[tuple[Job, Tables]]:
        waiting = list(jobs)
        if not waiting:
            return
        _connect(ray, address)
        beside = ray.put(waiting[0].baselines)  # the same of all: sent to each machine once, not with every job
        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_job)
        most = AHEAD * max(1, _cores(ray))
        running: dict[Any, Job] = {}
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    job = waiting.pop(0)
                    running[remote.remote(replace(job, baselines=None), beside)] = job
                (finished, *_), _rest = ray.wait(list(running), num_returns=1)
                yield running.pop(finished), ray.get(finished)
        finally:
            for task in running:
                ray.cancel(task)

    return spread


def _cores(ray: Any) -> int:
    return int(ray.cluster_resources().get("CPU", 1))


def _connect(ray: Any, address: str) -> None:
    if ray.is_initialized():
        return
    try:
        if address == "local":
            ray.init(include_dashboard=False, logging_level="ERROR")
        else:
            ray.init(address=address, logging_level="ERROR")
    except Exception as error:  # Ray raises a bare one where this machine is too busy to begin
        raise AskError(f"--ray {address}: no cluster answers: {error}") from error


def _job(job: Job, baselines: Baselines | None) -> Tables:
    """A unit's tables, from a job without its baselines and these."""
    return work(replace(job, baselines=baselines))
