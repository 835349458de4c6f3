"""What visits are held to, start by start: each aim beside what was found.

A record is one person at one visit: `UNDER` what was proposed by, whether anything changed, what was read before, and what was
predicted of the mean glucose. What was lived is the change of it from one fortnight to the next less that of the same people in
the same lives with nothing changed, so that life's own course does not count as an effect.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

SILENT = 8.0  # % of readings below 70 mg/dL, with more of which nobody is left without a word
CHILDREN, LEFT_ALONE = 85.0, 90.0  # % on target after the third visit; % of derived settings left alone
WORSE, HARM = 1.0, 1.0  # points of time below 70; visits of a hundred that may end so
LOW, VERY_LOW = 4.0, 4.0  # % below 70 and below 54 mg/dL that a change may not bring
SLOPE = (0.8, 1.2)  # of lived on predicted effects


@dataclass(frozen=True)
class Record:
    """One person at one visit. below_70: % of readings of the fortnight before. predicted: the change of mean glucose in mg/dL,
    NaN where nothing was predicted; nth: of how many signed changes it is."""

    person: str
    visit: int
    source: str
    abstained: bool
    changed: bool
    lowered: bool
    below_70: float
    predicted: float
    nth: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Aim:
    """What is wanted of whom, and what was found. met: None where nobody tells."""

    aim: str
    wanted: str
    found: str
    met: bool | None


def aims(
    people: pd.DataFrame, records: Sequence[Record], start: str, *, ours: str, unchanged: str, baseline: str, suits: str
) -> pd.DataFrame:
    """The aims of one start. people: as `visits_judged.table` makes it of every reviewer; the others name some of these."""
    table = frame(records)
    means = people.groupby(["reviewer", "visit"])[["in_range", "below_70", "on_target"]].mean()
    us, them, truth = (means.loc[name] for name in (ours, baseline, suits))
    last = int(people["visit"].max())
    found: list[Aim] = []
    if start == "too strong":
        behind = (truth["in_range"] - us["in_range"])[1:]
        found.append(_at_most("below 70 after the first visit, %", us["below_70"][1], 5.0))
        found.append(_at_most("in range behind the settings that suit, at any visit, points", behind.max(), 5.0))
        found.append(_at_most("the same after the last visit, points", behind[last], 3.0))
    elif start == "too weak":
        ahead = 100.0 * (us["on_target"] - them["on_target"])[1:]
        found.append(_at_least(f"on target ahead of {baseline}, at every visit, % of people", ahead.min(), 0.0))
        first = us["in_range"][1] - them["in_range"][1]
        found.append(_at_least(f"in range ahead of {baseline} after the first visit, points", first, 8.0))
    elif start == "derived":
        alone = 100.0 * (1.0 - table[table["visit"] == 1]["changed"].mean())
        found.append(_at_least("settings left alone at the first visit, %", alone, LEFT_ALONE))
    mine = people[people["reviewer"] == ours]
    children = mine[(mine["group"] == "child") & (mine["visit"] == last)]["on_target"]
    if len(children):
        found.append(_at_least("children on target after the last visit, %", 100.0 * children.mean(), CHILDREN))
    still = people[people["reviewer"] == unchanged]
    found += _harm(mine, table, still)
    chosen = lived(table, mine, still)
    found += [_slope(chosen, nth) for nth in (1, 2)]
    return pd.DataFrame([asdict(aim) for aim in found])


def frame(records: Sequence[Record]) -> pd.DataFrame:
    return pd.DataFrame([asdict(record) for record in records], columns=list(Record.__dataclass_fields__))


def lived(table: pd.DataFrame, mine: pd.DataFrame, unchanged: pd.DataFrame) -> pd.DataFrame:
    """Records of visits at which something changed that was predicted, with what was lived of it."""
    mean = mine.set_index(["person", "visit"])["mean"] - unchanged.set_index(["person", "visit"])["mean"]
    chosen = table[table["changed"] & table["predicted"].notna()].copy()
    at = list(zip(chosen["person"], chosen["visit"], strict=True))
    chosen["lived"] = [mean[person, visit] - mean[person, visit - 1] for person, visit in at]
    return chosen


def slope(predicted: "pd.Series[float]", seen: "pd.Series[float]") -> tuple[float, float]:
    """Of lived on predicted changes through no change at all, with its standard error whatever the spread of each change about it
    (White 1980, with n - 1); NaN where nothing was predicted, and the error of a single change."""
    squares, count = float((predicted**2).sum()), len(predicted)
    if not squares:
        return float("nan"), float("nan")
    found = float((predicted * seen).sum()) / squares
    spread = float(((predicted * (seen - found * predicted)) ** 2).sum())
    return found, (spread * count / (count - 1)) ** 0.5 / squares if count > 1 else float("nan")


def _harm(mine: pd.DataFrame, table: pd.DataFrame, still: pd.DataFrame) -> list[Aim]:
    """Who is worse, or low by far, after a change, by life or by the change itself; and who is left in silence."""
    changed = table[table["changed"]]

    def fortnights(people: pd.DataFrame, back: int = 0) -> pd.DataFrame:
        at = pd.MultiIndex.from_arrays([changed["person"], changed["visit"] - back])
        return people.set_index(["person", "visit"]).reindex(at)

    after, before = fortnights(mine), fortnights(mine, 1)
    low, was, unchanged = (part["below_70"].to_numpy() for part in (after, before, fortnights(still)))
    worse = (low > LOW) & (low > was + WORSE)
    visits = max(len(table), 1)
    far = int(((after["below_54"].to_numpy() > VERY_LOW) & (before["below_54"].to_numpy() <= VERY_LOW)).sum())
    silent = int(((table["below_70"] > SILENT) & ~table["lowered"]).sum())
    return [
        _at_most("visits after which somebody is worse off, of 100", 100.0 * float(worse.sum()) / visits, HARM),
        _at_most(
            "of these, with more lows than had nothing changed, of 100",
            100.0 * float((worse & (low > unchanged)).sum()) / visits,
            HARM,
        ),
        _at_most("people brought above 4 % below 54 by a change", far, 0),
        _at_most("visits in silence with more than 8 % below 70", silent, 0),
    ]


def _slope(chosen: pd.DataFrame, nth: int) -> Aim:
    """Of first changes, and of those after one was lived with."""
    chosen = chosen[chosen["nth"] == 1 if nth == 1 else chosen["nth"] > 1]
    found, error = slope(chosen["predicted"], chosen["lived"])
    name = "first" if nth == 1 else "next"
    met = None if np.isnan(found) else bool(SLOPE[0] <= found <= SLOPE[1])
    wanted, told = f"{SLOPE[0]:g} to {SLOPE[1]:g}", f"{found:.2f}" if np.isnan(error) else f"{found:.2f} ± {error:.2f}"
    return Aim(f"slope of lived on predicted mean glucose, {name} change ({len(chosen)})", wanted, told, met)


def _at_most(aim: str, found: float, most: float) -> Aim:
    return Aim(aim, f"at most {most:g}", f"{found:.1f}", bool(found <= most))


def _at_least(aim: str, found: float, least: float) -> Aim:
    return Aim(aim, f"at least {least:g}", f"{found:.1f}", bool(found >= least))
