"""Effects of treatments judged family by family: on the bodies that a model was trained on, and on those it never saw."""

from collections.abc import Callable, Sequence

import pandas as pd

from careplan.clinic.errors import ClinicError
from careplan.studies import effects
from careplan.world.loaded import World
from cohorts.families import FAMILIES, Family

EXACTLY, COUNTED = "exactly", "as counted"  # how a predictor is told of meals
DAYS = (0, 1, effects.DAYS)  # of history


def known_families(named: Sequence[str]) -> tuple[Family, ...]:
    """Families by name, in their usual order. Raises ClinicError for one that there is not."""
    for name in named:
        if name not in FAMILIES:
            raise ClinicError(f"family {name!r}: expected one of {', '.join(FAMILIES)}")
    return tuple(family for family in FAMILIES if family in named)


def families_of(world: World, named: Sequence[str] = (), *, left_out: bool = False) -> tuple[Family, ...]:
    """The families to judge on: those named, or UVA/Padova; with `left_out` those that the weights were not trained on, of these
    if any are named. Raises ClinicError for one that there is not, or where none is left."""
    chosen = known_families(named) or FAMILIES
    if not left_out:
        return chosen if named else FAMILIES[:1]
    trained = world.card["virtual"].get("families", ["padova"])
    left = tuple(family for family in chosen if family not in trained)
    if not left:
        raise ClinicError(f"these weights were trained on {', '.join(trained)}: none of {', '.join(chosen)} was left out")
    return left


def evaluate_effects(
    world: World,
    *,
    people: int,
    seed: int,
    family: Family = "padova",
    baselines: bool = True,
    say: Callable[[str], None] = print,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predicted against true treatment effects in `people` virtual patients of every group of one family that nothing was trained
    on, and the headline figures. The cohort differs from the training cohort of the card by its seed.

    Everybody predicts twice: told the treatments as they are given (`told` "exactly", the headline), and with meals as people
    count them ("as counted"), which bounds what anybody can predict of them. The intervals judged are those told exactly.

    Raises `ClinicError` where the seed draws people that the model was trained or reported on.
    """
    if seed in (world.card["virtual"]["seed"], world.card["virtual"]["seed"] + 1):
        raise ClinicError(f"seed {seed} draws the virtual patients that the model was trained or reported on: choose another")
    say(f"Simulating {3 * people} virtual patients of {family}")
    counted = effects.make_trial(effects.cohort(people, seed, family), seed)
    ours = effects.Predicting(world.model)
    estimators: dict[str, tuple[effects.Estimator, int]] = {_ours(days): (ours, days) for days in DAYS}
    if baselines:
        say("Fitting gradient boosting with future doses")
        boosting = effects.boosting(effects.cohort(20, seed + 1, family), seed + 1)
        twins = effects.twin(effects.cohort(40, seed + 2, family))
        estimators["true physiology"] = (effects.logged, effects.DAYS)
        estimators["boosting + future doses"] = (boosting, effects.DAYS)
        estimators |= {f"twin, {days} days": (twins, days) for days in (1, effects.DAYS)}
    tables = []
    for told, trial in ((EXACTLY, counted.exactly()), (COUNTED, counted)):
        estimates, half_widths = {}, {}
        for name, (estimator, days) in estimators.items():
            say(f"{family}: {name}, told {told}")
            estimates[name] = estimator(trial, days)
            if estimator is ours and told == EXACTLY:
                half_widths[name] = ours.half_width(trial, days)
        tables.append(effects.judge(trial, estimates, half_widths).assign(told=told, family=family))
    table = pd.concat(tables, ignore_index=True)
    return table, headline(table)


def headline(table: pd.DataFrame) -> dict[str, float]:
    """The figures that a model is known by: `effect_error_14d` and so on, told exactly; those as counted end in `_counted`."""
    rows = table[table["kind"] == "all"].to_dict("records")
    by = {(row["told"], row["estimator"], row["hours"]): row for row in rows}
    found: dict[str, float] = {}
    for told, ending in ((EXACTLY, ""), (COUNTED, "_counted")):
        for days in (effects.DAYS, 1):
            found[f"effect_error_{days}d{ending}"] = by[told, _ours(days), "all"]["error"]
        found[f"sign_right{ending}"] = by[told, _ours(effects.DAYS), "all"]["sign_right"]
    for days in (effects.DAYS, 1):
        whole = by[EXACTLY, _ours(days), "all"]
        found |= {f"effect_{name}_{days}d": whole[name] for name in ("slope", "coverage", "width")}
        found[f"effect_slope_8h_{days}d"] = by[EXACTLY, _ours(days), 8]["slope"]
    return found


def _ours(days: int) -> str:
    return f"careplan, {days} days"
