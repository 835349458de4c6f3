"""What the use cases hand to a face (CLI, app, Python): frozen, ready to draw or print, free of tensors and sessions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from careplan.therapies.glucose.metrics import Metrics as Metrics
from careplan.therapies.glucose.metrics import Profile as Profile
from careplan.therapy import Mandate

Verdict = Literal["accept", "edit", "reject"]
Kind = Literal["regimen", "doses"]
Status = Literal["no data", "not planned", "suggested", "no change", "abstained", "draft", "signed", "altered"]
Meaning = Literal["prescribe as proposed", "prescribe with changes", "prescribe no change"]
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)
Side = Literal["low", "high"]
Setting = Literal["basal", "carb_ratio", "correction_factor", "long_acting", "bolus", "temp_basal"]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A prediction: the middle, and a 90 % interval."""

    mid: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Path:
    """Predicted levels over time: minutes from the start, each `[M]`."""

    minutes: tuple[float, ...]
    mid: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One proposed change: current against proposed, with the limits that bound it and the evidence behind it.

    key: unique within the suggestion ("basal@360"). start, end: minutes of the local day (regimen) or from now (doses).
    lowest, highest: recommended range of the proposed value (an edit beyond it needs a typed reason);
    absolute_low, absolute_high: nobody can sign beyond these. days: how many of the patient's days informed this line.
    """

    key: str
    setting: Setting
    start: int
    end: int
    unit: str
    current: float
    proposed: float
    lowest: float
    highest: float
    absolute_low: float
    absolute_high: float
    days: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Option:
    """One future that was compared: its predicted path and outcomes (time in range %, below 70 %, below 54 %, mean risk)."""

    name: str  # "proposed", "runner-up", "no change"
    path: Path
    outcomes: Mapping[str, Interval]
    does: str = ""  # what is given or changed, in words


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a gain over no change, in risk, from `start` to `end` as in `Line`.

    Of an outcome: "below_54", "below_70", "in_range", "above_180", "above_250"; or of what is charged beside risk: "change",
    "budget below_70". before, after: % of that time in the outcome, under no change and under the change.
    """

    outcome: str
    start: int
    end: int
    gain: float
    before: float | None = None
    after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sureness:
    """In how many particles of the patient's posterior a change scores better than no change, and its effect on each outcome."""

    better: int
    of: int
    effects: Mapping[str, Interval]  # % points; the mean in mg/dL


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One local day with a pattern: when glucose was furthest from range, how far (mg/dL), and for how many minutes in all."""

    date: str
    minute: int
    level: float
    minutes: float


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Lows or highs between two minutes of the local day: `seen` on some of so many days with enough readings."""

    side: Side
    start: int
    end: int
    days: int
    seen: tuple[Seen, ...]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A past moment of the local day, the level then, U and g of the hour that followed, and the extremes of the four hours."""

    date: str
    minute: int
    level: float
    bolus: float
    carbs: float
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class Why:
    """The numbers behind a suggestion, from the search and from the patient's own days; `words` says them.

    gain, runner_up: in the search's score (risk), over no change; 0 and None where there is none. worth: what a change must gain.
    parts, sure: of the proposal against no change, or of the runner-up where no change is best; parts sum to the gain.
    low_risk: the probability of a reading below 70 mg/dL in the two hours after `at`, everyone behaving as usual.
    patterns: of the parts of the day that the change is about; moments: like now, for doses.
    """

    gain: float
    runner_up: float | None
    worth: float
    parts: tuple[Part, ...]
    sure: Sureness | None
    low_risk: float | None
    patterns: tuple[Pattern, ...]
    moments: tuple[Moment, ...] | None


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What careplan would change, why, and how sure it is. `lines` is empty when it abstains or no change is best."""

    id: int | None
    patient: str
    kind: Kind
    created: datetime
    at: datetime
    abstained: bool
    reasons: tuple[str, ...]  # why it abstains, or why it suggests this
    lines: tuple[Line, ...]
    options: tuple[Option, ...]
    limits_bound: tuple[str, ...]
    banners: tuple[str, ...]  # warnings: out of distribution, guardrail, little data
    provenance: Mapping[str, str]  # seed, code version, model hash, data hash
    mandate: Mandate | None = None  # of a regimen: what it hands to the planning of doses
    why: Why | None = None  # None where it abstains, and for those stored before there was one


@dataclass(frozen=True, kw_only=True)
class PatientSummary:
    """One patient at a glance. `gaps`: (start, minutes) of glucose gaps over 15 min, the longest first, at most ten."""

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
    metrics: Metrics
    sufficient: bool  # 14 days, >= 70 % of readings
    total_daily_dose: float | None  # U/day


@dataclass(frozen=True, kw_only=True)
class WorklistRow:
    """One line of the worklist, sorted by `urgency` descending (hypoglycaemia first)."""

    patient: str
    group: str
    urgency: float
    headline: str
    status: Status
    metrics: Metrics
    days: float
    last: datetime | None  # on the patient's clock
    suggestion: int | None


@dataclass(frozen=True, kw_only=True)
class Day:
    """One local day of a recording: glucose by minute, and the doses and meals within it."""

    date: str
    minute: tuple[int, ...]
    glucose: tuple[float | None, ...]
    boluses: tuple[tuple[int, float], ...]
    carbs: tuple[tuple[int, float], ...]
    metrics: Metrics


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the reviewer decided of one line. `value` is what will be prescribed; an edit or a rejection has a reason."""

    key: str
    verdict: Verdict
    value: float
    reason: str = ""


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
    recent: Metrics
    profile: Profile
    days: tuple[Day, ...]
    regimen: Mapping[str, tuple[tuple[int, float], ...]]  # setting -> ((start minute, value), ...) as prescribed
    suggestion: Suggestion | None
    draft: tuple[Decision, ...]
    history: tuple[Review, ...]
    out_of_date: tuple[str, ...] = ()  # why the suggestion can no longer be signed, though nobody has
    notices: tuple[str, ...] = ()  # what was set aside or is not shown, because it was changed past careplan or is damaged


@dataclass(frozen=True, kw_only=True)
class DosePage:
    """Everything the screen of the next hours draws. `recorded`: glucose around the suggestion's moment, minutes from it.

    caution: why more insulin can be signed for with a typed reason alone, where lows miss their target.
    """

    summary: PatientSummary
    suggestion: Suggestion | None
    recorded: Path
    caution: str | None
    draft: tuple[Decision, ...]
    history: tuple[Review, ...]
    out_of_date: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


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
            for action, rule, file, row, name, detail in each.corrections:
                key = (action, rule, name)
                place = f"{file}, row {row}" if row else file
                found.setdefault(key, []).append((each.patient, f"{place}: {detail}"))
                counts[key] = counts.get(key, 0) + (each.ignored.get(rule, 1) if action == "dropped" else 1)
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
    corrections: tuple[tuple[str, str, str, int, str, str], ...]  # action, rule, file, row, field, detail
    ignored: Mapping[str, int] = field(default_factory=dict)  # rows of no channel, by the rule that names their kind
    files: tuple[str, ...] = ()
    source: str = ""
    why: str = ""  # what in the files told the format


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Predicted paths from `at`: what is expected, no change, and each what-if; and what happened, where it is known.

    low_risk, high_risk: the probabilities of a reading below 70 and above 250 mg/dL within two hours, everyone behaving as usual.
    """

    patient: str
    at: datetime
    unit: str
    history: Path  # the readings of the hours before, minutes <= 0
    paths: Mapping[str, Path]
    low_risk: float
    high_risk: float
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
