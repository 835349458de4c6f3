"""What charts draw of a course that is seen rarely or in one stretch: levels and doses, row by row."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from careplan.series import PatientSeries

Column = tuple[float | None, ...]
MOST = 2_000  # rows that are drawn, the newest


@dataclass(frozen=True, kw_only=True)
class Course:
    """Of the newest rows of a recording, `[N]` each: times on the patient's clock (ISO 8601); levels, by output, and doses, by
    action, None where unknown. Doses are in their channels' units."""

    times: tuple[str, ...] = ()
    levels: Mapping[str, Column]
    doses: Mapping[str, Column]


def course_of(series: PatientSeries | None) -> Course:
    """The course of a recording; empty without one."""
    if series is None:
        return Course(levels={}, doses={})
    series, therapy = series.since(max(0, len(series) - MOST)), series.therapy
    local = series.times.tz_convert(series.zone).tz_localize(None)
    return Course(
        times=tuple(local.strftime("%Y-%m-%dT%H:%M:%S")),
        levels={output.name: _column(series, output.name) for output in therapy.outputs},
        doses={channel.name: _column(series, channel.name) for channel in therapy.of("action")},
    )


def _column(series: PatientSeries, name: str) -> Column:
    return tuple(float(value) if np.isfinite(value) else None for value in series.column(name))
