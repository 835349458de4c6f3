"""Every number of a cohort's report, from its tables: each with a 95 % interval over people, overall and by subgroup."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from careplan.evaluation.behaviour import fit_behaviour
from careplan.evaluation.occasions import Occasions
from careplan.evaluation.offpolicy import Estimate, e_value, jackknife, negative_controls, worth_of
from careplan.studies.dosing import occasions_of, with_meals
from careplan.studies.report import parts
from careplan.studies.report.brief import brief
from careplan.studies.report.gather import PERSON, risks_by_bin, values_of
from careplan.studies.report.judge import BINS
from careplan.studies.report.plans import LOWS, worth_column
from careplan.studies.report.protocol import Protocol
from careplan.studies.report.resampling import Counts, Figure, Values, bounds, resampled, summary
from careplan.studies.report.work import drawn

SEEN = {"train": "trained on", "calibration": "calibrated on"}
NEVER = "never seen"
SUBGROUPS = ("seen", "group", "source", "delivery", "sensor", "doses", "baseline")
COHORT = ("in_range", "below_70", "mean", "cv", "days")
OURS = "careplan, personal"
FEW = 10  # people, below which a subgroup's figures are of those people only
MEALS = 0.1  # share of the boluses beside which carbohydrate is logged, below which the worth of other doses is not estimated
REPAIRED = 0.1  # rows changed or dropped as they were read, of a person's readings, above which the report says so
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5)  # of the risk, at which a decision curve is told
Errors = Mapping[tuple[str, int], Mapping[str, Values]]  # model and minutes ahead -> `rmse` and `mae` by person
Covered = Mapping[int, Mapping[str, Values]]  # minutes ahead -> `coverage` and `width` by person


def figures(
    folders: list[Path],
    plan_folders: list[Path],
    protocol: Protocol,
    identity: Mapping[str, Any],
    columns: pd.DataFrame | None,
    split: Mapping[str, Sequence[str]],
) -> Figure:
    """The whole of `report.json`. split: the people whom the model was trained and calibrated on, as its card names them."""
    people = parts.whole(folders, "people")
    reasons = Counter(reason for table in parts.tables_of(folders, "left_out") for reason in table["reason"])
    found: Figure = {**identity, "flow": flow(len(people), reasons), "warnings": []}
    if people.empty:
        told = f"Nobody of the {reasons.total()} people found could be judged: {counted(found['flow']['reasons'])}."
        return plain(found | {"warnings": [told]})
    people["seen"] = [seen(name, split) for name in people["patient"]]
    if columns is not None:
        people = people.merge(columns, on="patient", how="left").fillna({name: "" for name in columns.columns})
    names = [*SUBGROUPS, *(() if columns is None else (name for name in columns.columns if name != "patient"))]
    weights = resampled(len(people), protocol)
    errors = values_of(folders, "forecasts", ["model", "horizon"], ["rmse", "mae"], people)
    covered = values_of(folders, "intervals", "horizon", ["coverage", "width"], people)
    planned, unplanned = (parts.whole(plan_folders, name) for name in ("plans", "left_out"))
    found |= {
        "cohort": {name: summary(people[name].to_numpy(float), weights) for name in COHORT},
        "forecasts": forecasts(errors, weights),
        "intervals": intervals(covered, weights),
        "risks": [risk(hazard, counts) for hazard, counts in risks_by_bin(folders, people, weights).items()],
        "looks": abstentions(parts.tables_of(folders, "looks")),
        "subgroups": subgroups(people, errors, covered, names, protocol),
        "worst": worst(errors, covered, people),
        "plans": plans(planned) | {"failed": len(unplanned)},
        "dosing": dosing(folders, people, planned, protocol),
    }
    found["warnings"] = warnings(found, people)
    found["brief"] = brief(found)
    return plain(found)


def seen(patient: str, split: Mapping[str, Sequence[str]]) -> str:
    """Whether the model knows somebody from its training."""
    return next((said for part, said in SEEN.items() if patient in split.get(part, ())), NEVER)


def flow(judged: int, reasons: Counter[str]) -> Figure:
    """Who was found, judged and left out, by reason; the numbers add up."""
    left_out = reasons.total()
    return {"found": judged + left_out, "judged": judged, "left_out": left_out, "reasons": dict(sorted(reasons.items()))}


def counted(reasons: Mapping[str, int]) -> str:
    """How many people there are of each reason, in words."""
    return ", ".join(f"{reason} {count}" for reason, count in reasons.items())


def forecasts(errors: Errors, weights: Counts) -> list[Figure]:
    """Errors by model and horizon, and ours less each, person by person."""
    return [
        {"model": model, "horizon": horizon}
        | {name: summary(values, weights) for name, values in own.items()}
        | {"ours_less": summary(errors[OURS, horizon]["rmse"] - own["rmse"], weights)}
        for (model, horizon), own in errors.items()
    ]


def intervals(covered: Covered, weights: Counts) -> list[Figure]:
    """Coverage and width of the 90 % intervals by horizon; the tenth of people whose intervals cover least."""
    found = []
    for horizon, own in sorted(covered.items()):
        decile = float(np.nanquantile(own["coverage"], 0.1))
        row = {"horizon": horizon} | {name: summary(values, weights) for name, values in own.items()}
        found.append(row | {"worst_decile": decile, "under_80": float(np.nanmean(own["coverage"] < 0.8))})
    return found


def risk(hazard: str, counts: Values) -> Figure:
    """A hazard by its moments in each resample and bin, `[R, BINS, 2]`: AUROC, Brier score, calibration by bins, and net benefit
    (Vickers and Elkin 2006) by threshold. A risk counts as the middle of its bin."""
    middle = (np.arange(BINS) + 0.5) / BINS
    no, yes = counts[..., 0], counts[..., 1]
    total = no.sum(1) * yes.sum(1)
    below = np.cumsum(no, axis=1) - no
    auroc = np.where(total > 0, (yes * (below + 0.5 * no)).sum(1) / np.maximum(total, 1.0), np.nan)
    brier = ((no * middle**2) + yes * (1 - middle) ** 2).sum(1) / counts.sum((1, 2))
    everyone = no[0] + yes[0]
    used = everyone > 0
    return {
        "hazard": hazard,
        "moments": int(everyone.sum()),
        "events": int(yes[0].sum()),
        "auroc": {"mean": auroc[0], **bounds(auroc[1:])},
        "brier": {"mean": brier[0], **bounds(brier[1:])},
        "told": middle[used],
        "happened": (yes[0] / np.maximum(everyone, 1))[used],
        "counts": everyone[used].astype(int),
        "net_benefit": [_net_benefit(no[0], yes[0], middle, threshold) for threshold in THRESHOLDS],
    }


def _net_benefit(no: Values, yes: Values, middle: Values, threshold: float) -> Figure:
    """Of acting where the risk told is beyond a threshold, beside acting always; acting never is 0."""
    total, odds, acted = no.sum() + yes.sum(), threshold / (1 - threshold), middle >= threshold
    ours = (yes[acted].sum() - odds * no[acted].sum()) / total
    return {"threshold": threshold, "ours": float(ours), "always": float((yes.sum() - odds * no.sum()) / total)}


def abstentions(tables: Iterable[pd.DataFrame]) -> Figure:
    """How often nothing would be suggested, for what, and how forecasts missed in the days after, beside persistence."""
    looks, abstained, reasons = 0, 0, Counter[str]()
    after = {"when_it_abstains": np.zeros(4), "when_it_speaks": np.zeros(4)}  # looks, rmse, persistence, worse: what they add to
    for table in tables:
        looks, abstained = looks + len(table), abstained + int(table["abstains"].sum())
        reasons.update(reason for told in table["reasons"] for reason in told.split("; ") if reason)
        for name, part in (("when_it_abstains", table[table["abstains"]]), ("when_it_speaks", table[~table["abstains"]])):
            missed, still = part[["rmse", "persistence"]].dropna().to_numpy(float).T
            after[name] += [len(missed), missed.sum(), still.sum(), (missed > still).sum()]
    found: Figure = {"looks": looks, "abstained": abstained, "reasons": dict(reasons.most_common())}
    for name, (count, *sums) in after.items() if looks else ():
        means = [value / count if count else None for value in sums]
        found[name] = {"looks": int(count), **dict(zip(("rmse", "persistence", "worse_than_persistence"), means, strict=True))}
    return found


def subgroups(
    people: pd.DataFrame, errors: Errors, covered: Covered, names: list[str], protocol: Protocol
) -> dict[str, list[Figure]]:
    """The same figures of each subgroup: people, time in range, error and coverage at each horizon."""
    found: dict[str, list[Figure]] = {}
    for name in names:
        found[name] = []
        for value, some in people.groupby(name, sort=True).indices.items():
            weights = resampled(len(some), protocol)
            row: Figure = {"value": str(value), "people": len(some), "few": len(some) < FEW}
            row["in_range"] = summary(people["in_range"].to_numpy(float)[some], weights)
            for horizon in protocol.horizons:
                row[f"rmse_{horizon}"] = summary(errors[OURS, horizon]["rmse"][some], weights)
                row[f"coverage_{horizon}"] = summary(covered[horizon]["coverage"][some], weights)
            found[name].append(row)
    return found


def worst(errors: Errors, covered: Covered, people: pd.DataFrame, count: int = 10) -> list[Figure]:
    """The people whose hour ahead is missed by most, with who they are."""
    if (OURS, 60) not in errors:
        return []
    missed = pd.Series(errors[OURS, 60]["rmse"]).nlargest(count)
    joined = people.assign(rmse=missed, coverage=covered[60]["coverage"]).loc[missed.index]
    names = (*PERSON, "rmse", "in_range", "below_70", "days", *SUBGROUPS, "coverage")
    return [{name: row[name] for name in names} for row in joined.to_dict("records")]


def plans(table: pd.DataFrame) -> Figure:
    """What would have been proposed: how often, how far, whether it could be signed, and what came after."""
    if table.empty:
        return {"people": 0}
    spoke = table[~table["abstained"]]
    more, less = spoke[spoke["direction"] > 0], spoke[spoke["direction"] < 0]
    changed = spoke[(spoke["real_direction"] != 0) & (spoke["direction"] != 0)]
    lows = more["week_below_70"].dropna() > LOWS
    return {
        "people": len(table),
        "abstained": int(table["abstained"].sum()),
        "reasons": dict(Counter(reason for told in table["reasons"] for reason in told.split("; ") if reason).most_common()),
        "unchanged": int((spoke["lines"] == 0).sum()),
        "more_insulin": len(more),
        "less_insulin": len(less),
        "largest_step": float(spoke["largest"].max()) if len(spoke) else None,
        "unsignable_lines": int(table["unsignable"].sum()),
        "more_before_a_week_with_lows": {"of": len(lows), "share": float(lows.mean()) if len(lows) else None},
        "real_changes": {
            "of": len(changed),
            "same_direction": float((changed["direction"] == changed["real_direction"]).mean()) if len(changed) else None,
        },
    }


def dosing(folders: list[Path], people: pd.DataFrame, planned: pd.DataFrame, protocol: Protocol) -> Figure:
    """The worth of other doses, as far as the record can tell: behaviour, overlap, estimators, controls; and where it can, what
    the world model says by replaying the days of those who were planned for."""
    found, occasions, meals = dosed_days(folders, people, protocol)
    if occasions is None or len(occasions.person) < 2 * FEW:
        return found | {"estimable": False, "why": "fewer than 20 whole days with logged doses of two people or more"}
    if meals < MEALS:
        return found | {"estimable": False, "why": "meals are not logged beside the doses, and people dose for what they eat"}
    behaviour = fit_behaviour(occasions, seed=protocol.seed)
    told = behaviour.probability(occasions.dose)
    deciles = np.histogram(told, bins=10, range=(0, 1))[0] / len(told)
    spread, worth = float(occasions.value.std()), []
    for factor in protocol.factors:
        one = worth_of(occasions, factor, behaviour=behaviour, seed=protocol.seed)
        replayed = by_replay(planned, factor) if one.estimable else {}
        estimates = {
            name: vars(estimate) | {"e_value": e_value(estimate, spread)} for name, estimate in (one.estimates | replayed).items()
        }
        controls = negative_controls(occasions, behaviour, factor, seed=protocol.seed) if one.estimable else ()
        worth.append(
            {
                **{name: value for name, value in vars(one).items() if name != "estimates"},
                "estimates": estimates,
                "controls": [{"name": control.name, "passes": control.passes, **vars(control.estimate)} for control in controls],
            }
        )
    return found | {
        "estimable": any(row["estimable"] for row in worth),
        "observed": float(occasions.value.mean()),
        "decisions": len(occasions.dose),
        "people": len(np.unique(occasions.person)),
        "spread_of_doses": float(behaviour.spread.mean()),
        "calibration": deciles,
        "worth": worth,
    }


def dosed_days(folders: list[Path], people: pd.DataFrame, protocol: Protocol) -> tuple[Figure, Occasions | None, float]:
    """Days of some people, by why they are left out; the decisions of the others, and `with_meals` of them."""
    order = ((drawn(unit, name, protocol.seed), unit, name) for unit, name in people[PERSON].to_numpy())
    some = {(unit, name) for _, unit, name in nsmallest(protocol.dosing, order)}
    tables = [table[[key in some for key in map(tuple, table[PERSON].to_numpy())]] for table in parts.tables_of(folders, "days")]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if table.empty:
        return {"days": 0, "days_left_out": {}}, None, 0.0
    left = table.drop_duplicates([*PERSON, "day"])["reason"]
    found = {"days": int((left == "").sum()), "days_left_out": dict(Counter(left[left != ""]).most_common())}
    return found, occasions_of(table, PERSON), with_meals(table)


def by_replay(planned: pd.DataFrame, factor: float) -> dict[str, Estimate]:
    """The direct method by the world model, over the people of the table who have a value; nothing of fewer than two."""
    column = worth_column(factor)
    own = planned[column].dropna().to_numpy(float) if column in planned else np.empty(0)
    if len(own) < 2:
        return {}
    return {"world_model": jackknife(np.arange(len(own)), lambda keep: float(own[keep].mean()))}


def warnings(found: Figure, people: pd.DataFrame) -> list[str]:
    """What must be read before any number."""
    told, flowed = [], found["flow"]
    if flowed["left_out"]:
        out, total, why = flowed["left_out"], flowed["found"], counted(flowed["reasons"])
        told.append(f"{out} of {total} ({out / total:.0%}) were left out ({why}); every number is of the others.")
    known = int((people["seen"] != NEVER).sum())
    if known:
        told.append(
            f"The model was trained or calibrated on {known} of the {len(people)} people judged, which flatters figures of all: "
            "read those of the others, under subgroups."
        )
    if len(people) < FEW:
        told.append(f"Only {len(people)} people could be judged: intervals over so few are hardly more than a range.")
    repaired = people[people["corrections"] > REPAIRED * people["readings"]].sort_values("corrections", ascending=False)
    if len(repaired):
        first = repaired.iloc[0]
        told.append(
            f"{len(repaired)} people's records were changed or dropped in part as they were read (most: {first['patient']}, "
            f"{first['corrections']} rows): see whether a column changes its unit or meaning, with `careplan import --report`."
        )
    short = int((people["days"] < 7).sum())
    if short:
        told.append(f"{short} people have less than a week of record; personalisation has little to go by.")
    if found["plans"]["failed"]:
        told.append(f"Planning failed for {found['plans']['failed']} people drawn for it; what is proposed is of the others.")
    names = people["patient"].nunique()
    if names < len(people):
        told.append(
            f"{len(people)} people bear {names} names: a name in two parts of the sources is counted as two people, each with a "
            "part of the record."
        )
    if not found["dosing"]["estimable"]:
        why = found["dosing"].get("why", "no policy asked about has enough overlap with how people dosed")
        told.append(f"What other doses would have been worth cannot be estimated from these records: {why}.")
    failed = [
        f"{row['factor']:g}: {control['name']}"
        for row in found["dosing"].get("worth", [])
        for control in row["controls"]
        if not control["passes"]
    ]
    if failed:
        told.append(f"Negative controls that are not nothing ({'; '.join(failed)}): do not believe the worth of those doses.")
    return told


def plain(value: Any) -> Any:
    """Numbers as JSON has them: no numpy, nothing that is not finite, four digits after the point."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(part) for part in value]
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return round(float(value), 4) + 0.0 if np.isfinite(value) else None  # no -0.0
    return value
