"""Statistics of a replayed cohort: each person's metrics, how people differ, and policies compared person by person."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.therapies.glucose.metrics import glucose_metrics

EVERYONE = "all"  # the group of all groups
SETTINGS = ("basal", "carb_ratio", "correction_factor")
# Measures on which policies are compared, of the true glucose and of the insulin given.
COMPARED = (
    *("true_in_range", "true_tight_range", "true_below_70", "true_very_low", "true_above_180", "true_very_high"),
    *("true_mean", "true_cv", "true_gri", "insulin"),
)
RESAMPLES = 1000
MANY = 10_000  # people, from which on the normal interval is as good as the bootstrap's
WORST = 10  # people listed for each policy
NAMES = ("policy", "person", "group")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and percentiles over people; `None` where nobody has a value."""

    mean: float | None
    p5: float | None
    p50: float | None
    p95: float | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one group did under one policy: `spreads` by measure, the numeric columns of the table of people."""

    policy: str
    group: str
    people: int
    spreads: dict[str, Spread]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`policy` less `against` on the same people: the mean and its 95 % interval over people (`None` for fewer than two), and
    for what share of people, %, the measure is higher under `policy` and for what share lower."""

    policy: str
    against: str
    group: str
    measure: str
    people: int
    mean: float
    low: float | None
    high: float | None
    higher: float
    lower: float


@dataclass(frozen=True, kw_only=True)
class Worst:
    """Somebody who did badly: % of the time in range, below 70 and below 54 mg/dL, GRI, of the true glucose."""

    policy: str
    person: str
    group: str
    gri: float
    in_range: float
    below_70: float
    below_54: float
    factors: dict[str, float]  # by which the settings in force differ from what suits


@dataclass(frozen=True, kw_only=True)
class CohortSummary:
    """What a replay came to."""

    outcomes: tuple[Outcome, ...]
    differences: tuple[Difference, ...]
    worst: tuple[Worst, ...]


def judged(glucose: NDArray[np.floating], reading: NDArray[np.floating]) -> pd.DataFrame:
    """Consensus metrics of each person, `[B, T]` mg/dL of true glucose (`true_...`) and of readings (`read_...`, NaN: none)."""
    rows = []
    for true, read in zip(glucose, reading, strict=True):
        row: dict[str, float | None] = {"lowest": float(true.min()), "highest": float(true.max())}
        for name, values in (("true", true), ("read", read)):
            found = {key: value for key, value in asdict(glucose_metrics(values)).items() if key != "readings"}
            low, very_low, high, very_high = (found[band] for band in ("low", "very_low", "high", "very_high"))
            found["below_70"] = None if low is None or very_low is None else low + very_low
            found["above_180"] = None if high is None or very_high is None else high + very_high
            row |= {f"{name}_{key}": value for key, value in found.items()}
        rows.append(row)
    return pd.DataFrame(rows).drop(columns="true_active").astype(float)


def summarise(people: pd.DataFrame, *, seed: int) -> CohortSummary:
    """people: a row a person and policy, with `NAMES`, `COMPARED`, settings in force and `suits_...`. seed: of the bootstrap.

    Raises ValueError where a policy was lived by other people than the rest.
    """
    policies = list(dict.fromkeys(people["policy"]))
    groups = list(dict.fromkeys(people["group"]))
    groups += [EVERYONE] if len(groups) > 1 else []
    parts = {group: people if group == EVERYONE else people[people["group"] == group] for group in groups}
    outcomes = [_outcome(policy, group, part[part["policy"] == policy]) for group, part in parts.items() for policy in policies]
    differences = [
        found
        for group, part in parts.items()
        for against, policy in combinations(policies, 2)
        for found in compare(part, policy, against, group=group, seed=seed)
    ]
    worst = [row for policy in policies for row in _worst(people[people["policy"] == policy])]
    return CohortSummary(outcomes=tuple(outcomes), differences=tuple(differences), worst=tuple(worst))


def compare(people: pd.DataFrame, policy: str, against: str, *, group: str, seed: int) -> list[Difference]:
    """`policy` less `against`, person by person, on each of `COMPARED`. Raises `ValueError` where the two policies did not treat
    the same people.
    """
    ours, theirs = (
        people[people["policy"] == name].set_index("person")[list(COMPARED)].sort_index() for name in (policy, against)
    )
    if not ours.index.equals(theirs.index):
        raise ValueError(f"{policy} and {against} were not lived by the same people of group {group}")
    changed = (ours - theirs).to_numpy(float)
    interval = bootstrap(changed, seed=seed) if len(changed) > 1 else None
    found = []
    for place, measure in enumerate(COMPARED):
        column = changed[:, place]
        found.append(
            Difference(
                policy=policy,
                against=against,
                group=group,
                measure=measure,
                people=len(column),
                mean=float(column.mean()),
                low=None if interval is None else float(interval[0, place]),
                high=None if interval is None else float(interval[1, place]),
                higher=100.0 * float((column > 0).mean()),
                lower=100.0 * float((column < 0).mean()),
            )
        )
    return found


def bootstrap(values: NDArray[np.float64], *, seed: int) -> NDArray[np.float64]:
    """95 % interval of the mean over people, `[N, M]` -> `[2, M]`: percentiles of resampled people (Efron 1979), the normal
    interval from `MANY` people on."""
    count = len(values)
    if count >= MANY:
        half = 1.96 * values.std(0, ddof=1) / count**0.5
        return np.stack([values.mean(0) - half, values.mean(0) + half])
    random, even = np.random.default_rng(seed), np.full(count, 1 / count)
    means = [random.multinomial(count, even) @ values / count for _ in range(RESAMPLES)]
    return np.percentile(means, [2.5, 97.5], axis=0)


def _outcome(policy: str, group: str, part: pd.DataFrame) -> Outcome:
    numbers = part.drop(columns=list(NAMES)).astype(float)
    return Outcome(
        policy=policy, group=group, people=len(part), spreads={str(name): _spread(numbers[name]) for name in numbers.columns}
    )


def _spread(values: pd.Series) -> Spread:
    known = values.dropna().to_numpy(float)
    if not len(known):
        return Spread(mean=None, p5=None, p50=None, p95=None)
    p5, p50, p95 = np.percentile(known, [5, 50, 95]).tolist()
    return Spread(mean=float(known.mean()), p5=p5, p50=p50, p95=p95)


def _worst(people: pd.DataFrame) -> Sequence[Worst]:
    """By GRI, which ends at 100; among equals by the time below 54 mg/dL."""
    order = people.sort_values(["true_gri", "true_very_low", "person"], ascending=[False, False, True])
    return [
        Worst(
            policy=str(row["policy"]),
            person=str(row["person"]),
            group=str(row["group"]),
            gri=float(row["true_gri"]),
            in_range=float(row["true_in_range"]),
            below_70=float(row["true_below_70"]),
            below_54=float(row["true_very_low"]),
            factors={name: float(row[name] / row[f"suits_{name}"]) for name in SETTINGS},
        )
        for _, row in order.head(WORST).iterrows()
    ]
