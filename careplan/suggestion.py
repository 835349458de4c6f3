"""What a therapy proposes and what a person decides of it: frozen, ready to draw or print, free of tensors and sessions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from careplan.breach import Breach
from careplan.targets import Targets
from careplan.therapy import Mandate

Verdict = Literal["accept", "edit", "reject"]
Kind = Literal["regimen", "doses"]
Side = Literal["low", "high"]
Source = Literal["model", "guideline"]
Meaning = Literal["prescribe as proposed", "prescribe with changes", "prescribe no change"]
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)


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
    setting: str
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
    effects: Mapping[str, Interval]  # % points; the mean in the level's unit


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One local day with a pattern: when the level was furthest from range, how far, and for how many minutes in all."""

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
    """A past moment of the local day, the level then, what was given and taken in the hour that followed, by channel, and the
    extremes of the four hours."""

    date: str
    minute: int
    level: float
    given: Mapping[str, float]
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class Why:
    """The numbers behind a suggestion, from the search and from the patient's own days; `words` says them.

    gain, runner_up: in the search's score (risk), over no change; 0 and None where there is none. worth: what a change must gain.
    parts, sure: of the proposal against no change, or of the runner-up where no change is best; parts sum to the gain.
    low_risk: the probability of the therapy's hazard "low" after `at`, everyone behaving as usual.
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
class Outcome:
    """Of a signed change: an outcome without it and with it, as predicted then (None where nothing was) and as lived."""

    predicted: tuple[float, float] | None
    lived: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A signed change of what is prescribed that was lived with: since when, what it changed in words, and its outcomes by name,
    in % of readings, the mean in the level's unit."""

    since: datetime
    does: str
    outcomes: Mapping[str, Outcome]


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
    limits_bound: tuple[Breach, ...]
    banners: tuple[str, ...]  # warnings: out of distribution, guardrail, little data
    provenance: Mapping[str, str]  # seed, code version, model hash, data hash
    mandate: Mandate | None = None  # of a regimen: what it hands to the planning of doses
    why: Why | None = None  # None where it abstains, and for those stored before there was one
    therapy: str = ""  # whose it is; empty: the only one of the patient
    source: Source = "model"  # who proposes the lines: the guideline where the model cannot say and somebody is in danger
    experiments: tuple[Experiment, ...] = ()  # of a regimen: the signed changes that it was made from, predicted against lived
    targets: Targets | None = None  # the patient's when it was made; None: the default of their group


def predicted(suggestion: Suggestion) -> dict[str, tuple[float, float]]:
    """What a suggestion says of each outcome without its change and with it; empty where it proposes none of its own."""
    options = {option.name: option.outcomes for option in suggestion.options}
    if not {"proposed", "no change"} <= options.keys():
        return {}
    still, ours = options["no change"], options["proposed"]
    return {name: (still[name].mid, ours[name].mid) for name in ours if name in still}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the reviewer decided of one line. `value` is what will be prescribed; an edit or a rejection has a reason."""

    key: str
    verdict: Verdict
    value: float
    reason: str = ""
