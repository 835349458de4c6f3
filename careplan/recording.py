"""One patient as stored, read once: what everything that is computed of a patient begins from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from careplan.covariates import CourseFacts
from careplan.errors import AskError
from careplan.language import N_
from careplan.series import PatientSeries
from careplan.suggestion import Kind, Suggestion
from careplan.targets import Targets
from careplan.therapy import Mandate

AFTER_LAST = N_("{kind} after the last reading; regimen {prescribed}")
AT = N_("{kind} at {moment}; regimen {prescribed}")
LAST_READING = N_("the last reading")
SIMULATIONS = N_("{count} simulations")
KINDS = (N_("regimen"), N_("doses"))
VERSION = N_("version {number}")  # of a regimen


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A change of what is prescribed that somebody signed: from when, and the therapy's own regimen before and after.

    predicted: what was said of it then, the middle of each outcome without the change and with it; empty where nothing was.
    targets: by which those outcomes were told; None: the therapy's own.
    """

    since: pd.Timestamp
    before: Any
    after: Any
    predicted: Mapping[str, tuple[float, float]]
    targets: Targets | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """What is known of one patient under one therapy.

    series: on the therapy's grid. group: of the therapy's groups. regimen: the therapy's own, in force or else estimated, None
    where neither is known. prescribed: which of them that is, in words. data: the hash of the events. mandate: what that regimen,
    where it came from a suggestion that was signed, hands to the planning of doses. changes: that were signed, the oldest first.
    targets: the patient's; None: the therapy's own.
    """

    series: PatientSeries
    group: str
    regimen: Any | None
    prescribed: str
    data: str
    mandate: Mandate | None = None
    changes: tuple[Signed, ...] = ()
    targets: Targets | None = None

    @property
    def patient(self) -> str:
        return self.series.patient

    @property
    def facts(self) -> CourseFacts:
        """What the patient's limits are by."""
        return CourseFacts(group=self.group, covariates=self.series.facts)


def question(
    kind: Kind,
    prescribed: str,
    *,
    at: pd.Timestamp | None = None,
    announced: Sequence[str] = (),
    simulations: int | None = None,
) -> str:
    """What a suggestion answers, in words that are the same whenever the same is asked of the same prescription."""
    ahead = f", announced {'; '.join(announced)}" if announced else ""
    effort = "" if simulations is None else f"; {SIMULATIONS.format(count=simulations)}"
    if at is None and not ahead:
        return AFTER_LAST.format(kind=kind, prescribed=prescribed) + effort
    moment = (LAST_READING if at is None else at.isoformat()) + ahead
    return AT.format(kind=kind, moment=moment, prescribed=prescribed) + effort


def abstaining(
    series: PatientSeries, kind: Kind, provenance: Mapping[str, str], reasons: Sequence[str], *, at: datetime | None = None
) -> Suggestion:
    """A suggestion made now that proposes nothing, for these reasons: what a therapy begins from, and fills in where it can say
    more. at: of what time it is, the last row of the recording where None."""
    return Suggestion(
        id=None,
        patient=series.patient,
        kind=kind,
        created=datetime.now(UTC),
        at=series.times[-1].to_pydatetime() if at is None else at,
        abstained=True,
        reasons=tuple(reasons),
        lines=(),
        options=(),
        limits_bound=(),
        banners=(),
        therapy=series.therapy.name,
        provenance=provenance,
    )


def row_at(series: PatientSeries, at: pd.Timestamp) -> int:
    """The row that begins at a time, in the patient's zone where it has none; raises `AskError` outside the recording."""
    moment = at.tz_localize(series.zone) if at.tzinfo is None else at
    end = series.times[-1] + pd.Timedelta(minutes=series.therapy.step)
    if not series.start < moment <= end:
        zone = series.zone
        raise AskError(
            f"patient {series.patient}: {moment.tz_convert(zone):%Y-%m-%d %H:%M} is outside the recording, "
            f"{series.start.tz_convert(zone):%Y-%m-%d %H:%M} to {end.tz_convert(zone):%Y-%m-%d %H:%M} ({zone})"
        )
    return int((moment - series.start) / pd.Timedelta(minutes=series.therapy.step))
