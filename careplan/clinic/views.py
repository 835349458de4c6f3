"""What the use cases hand to a face (CLI, app, Python): frozen, ready to draw or print, free of tensors and sessions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from careplan.records.correction import Correction, rows_told
from careplan.suggestion import Decision, Kind, Path, Suggestion
from careplan.targets import Targets

Sort = Literal["urgency", "name", "last"]
Status = Literal["not readable", "no data", "not planned", "suggested", "no change", "abstained", "draft", "signed", "altered"]


@dataclass(frozen=True, kw_only=True)
class PatientSummary:
    """One patient at a glance. `gaps`: (start, minutes) of gaps between readings, the longest first, at most ten."""

    patient: str
    group: str
    zone: str
    source: str
    weight: float | None
    first: datetime | None
    last: datetime | None
    days: float
    events: Mapping[str, int]  # by channel
    gaps: tuple[tuple[datetime, float], ...]
    gap_count: int
    metrics: Any
    sufficient: bool  # enough to plan on
    total_daily_dose: float | None  # in the unit of doses
    therapy: str
    problem: str = ""  # why the record cannot be read here; then it says nothing of readings


@dataclass(frozen=True, kw_only=True)
class WorklistRow:
    """One line of the worklist. due: the last change has been lived with long enough to see what became of it."""

    patient: str
    group: str
    urgency: float
    headline: str
    status: Status
    metrics: Any
    days: float
    last: datetime | None  # on the patient's clock
    suggestion: int | None
    therapy: str
    due: bool = False


@dataclass(frozen=True, kw_only=True)
class WorklistQuery:
    """Which courses, and in what order. find: within the patient's name. statuses, unmet: any of these; all where empty. unmet:
    targets that the therapy names. due: only those whose last change has been lived with long enough to see what became of it.
    page: from 1, each of `size` rows.
    """

    find: str = ""
    statuses: tuple[Status, ...] = ()
    group: str | None = None
    unmet: tuple[str, ...] = ()
    due: bool = False
    sort: Sort = "urgency"
    page: int = 1
    size: int = 20


@dataclass(frozen=True, kw_only=True)
class WorklistPage:
    """One page of a query's courses. found: how many courses the query has in all. The rest is of the whole worklist: statuses,
    how many courses of each; groups and unmet, those there are; due, how many courses.
    """

    rows: tuple[WorklistRow, ...]
    found: int
    statuses: Mapping[Status, int]
    groups: tuple[str, ...]
    unmet: tuple[str, ...]
    due: int


@dataclass(frozen=True, kw_only=True)
class Review:
    """A signed review of one suggestion."""

    id: int
    suggestion: int
    patient: str
    reviewer: str
    signed: datetime
    meaning: str  # a `Meaning`; of a review signed before there was a list, free text
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, kw_only=True)
class ReviewPage:
    """Everything the review screen draws. `recent`: metrics of the last 14 days recorded, as the worklist judges them."""

    summary: PatientSummary
    recent: Any
    profile: Any
    days: tuple[Any, ...]
    regimen: Mapping[str, tuple[tuple[int, float], ...]]  # setting -> ((start minute, value), ...) as prescribed
    suggestion: Suggestion | None
    draft: tuple[Decision, ...]
    history: tuple[Review, ...]
    out_of_date: tuple[str, ...] = ()  # why the suggestion can no longer be signed, though nobody has
    notices: tuple[str, ...] = ()  # what was set aside or is not shown, because it was changed past careplan or is damaged
    targets: Targets  # what the patient is treated to


@dataclass(frozen=True, kw_only=True)
class DosePage:
    """Everything the screen of the next hours draws. `recorded`: readings around the suggestion's moment, minutes from it.

    caution: what to warn of, so that signing needs a typed reason.
    """

    summary: PatientSummary
    suggestion: Suggestion | None
    recorded: Path
    caution: str | None
    draft: tuple[Decision, ...]
    history: tuple[Review, ...]
    out_of_date: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    targets: Targets


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import did, patient by patient, with every row it dropped or changed."""

    source: str
    patients: tuple["ImportedPatient", ...]
    failed: Mapping[str, str] = field(default_factory=dict)  # patient -> why nothing of theirs was kept
    run: str = ""  # the import's name, by which it can be taken back

    @property
    def kinds(self) -> tuple["CorrectionKind", ...]:
        """What was dropped or changed, by kind: a thousand duplicates are one line with their number and an example."""
        found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        counts: dict[tuple[str, str, str], int] = {}
        for each in self.patients:
            for told, rows in rows_told(each.corrections, each.ignored):
                if not rows:
                    continue
                key = (told.action, told.rule, told.field)
                place = f"{told.file}, row {told.row}" if told.row else told.file
                found.setdefault(key, []).append((each.patient, f"{place}: {told.detail}"))
                counts[key] = counts.get(key, 0) + rows
        return tuple(
            CorrectionKind(
                action=action,
                rule=rule,
                field=name,
                rows=counts[action, rule, name],
                patients=len({patient for patient, _ in every}),
                example=every[0][1],
            )
            for (action, rule, name), every in sorted(found.items())
        )


@dataclass(frozen=True, kw_only=True)
class CorrectionKind:
    """Rows dropped or changed by one rule in one field: how many, of how many patients, and the first of them."""

    action: str
    rule: str
    field: str
    rows: int
    patients: int
    example: str


@dataclass(frozen=True, kw_only=True)
class ImportedPatient:
    patient: str
    rows_read: int
    events_added: Mapping[str, int]  # by channel
    events_known: int  # already in the store
    corrections: tuple[Correction, ...]
    ignored: Mapping[str, int] = field(default_factory=dict)  # rows of no channel, by the rule that names their kind
    files: tuple[str, ...] = ()
    source: str = ""
    why: str = ""  # what in the files told the format


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Predicted paths from `at`: what is expected, no change, and each what-if; and what happened, where it is known.

    low_risk, high_risk: the probabilities of the therapy's hazards of that name, everyone behaving as usual; None where it has
    none.
    """

    patient: str
    at: datetime
    unit: str
    history: Path  # the readings of the hours before, minutes <= 0
    paths: Mapping[str, Path]
    low_risk: float | None
    high_risk: float | None
    observed: Path | None
    banners: tuple[str, ...]
    provenance: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class StageTime:
    """What one stage took: seconds on the wall, seconds of processors, and patients a second of the wall."""

    wall: float
    processor: float
    patients_a_second: float


@dataclass(frozen=True, kw_only=True)
class Night:
    """What a run over many patients did. patients = planned + skipped + failed; planned = changed + unchanged + abstained.

    skipped: the newest suggestion already answers this. failed: patient -> why nothing was planned. personalised: inferred anew.
    stages: by name, in the order of the work; a stage's rate counts those who went through it. bound_by: the longest.
    memory: the most the process ever held, MB, after each block.
    """

    kind: Kind
    patients: int
    planned: int
    skipped: int
    failed: Mapping[str, str]
    changed: int
    unchanged: int
    abstained: int
    personalised: int
    block: int
    seconds: float
    patients_a_second: float
    stages: Mapping[str, StageTime]
    bound_by: str | None
    memory: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """One entry of the audit trail."""

    id: int
    time: datetime
    actor: str
    action: str
    patient: str | None
    detail: Mapping[str, object]
