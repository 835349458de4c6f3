"""Regimens over visits: virtual people live a fortnight by their settings, somebody reviews these, and they live on.

Everyone's life, sensor and habits are drawn once and shared by all who review, so that only the settings differ.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from careplan.minutes import DAY
from careplan.studies.cohorts import EVERYONE, SETTINGS, bootstrap
from careplan.therapies.glucose.bands import TARGETS, outcomes
from careplan.therapies.glucose.declaration import BLOCKS, Group, Regimen
from cohorts.autotune import TunedSettings, autotuned
from cohorts.bodies import Body
from cohorts.families import Family
from cohorts.policies import Behaviour, Doses, Seen
from cohorts.population import GROUPS, Population, join, sample_population
from cohorts.replay import START, Drawn, Living, Replay, Row
from cohorts.scenarios import ROWS
from cohorts.titration import reviewed

DAYS = 14  # between visits
TOO_STRONG = 10.0  # % of time below 70 mg/dL before the first visit
AIMS = ("in_range", "below_70", "below_54")  # of the targets, those that a visit is judged by
MEASURES = ("in_range", "below_70", "below_54", "above_180", "on_target", "reached", "raised", "raised_here")
# Where people begin: basal, carb ratio and correction factor times what suits; None: each off by chance.
STRONG = (1.25, 0.75, 0.75)
STARTS: dict[str, tuple[float, float, float] | None] = {
    "off by a third": None,
    "too strong": STRONG,
    "too weak": (0.7, 1.4, 1.4),
    "mixed by block": (1.0, 1.0, 1.0),
    "derived": (1.0, 1.0, 1.0),
}
MIXED = 0.25  # spread of the logarithm by which each setting is off in each part of the day, mixed by block
WORSE = {"in_range": -3.0, "below_70": 1.0, "below_54": 0.5}  # % by which an end is worse than another
BEGINNING = "the beginning"

# What has been lived, and the regimens in force -> the regimens from now on.
Visit = Callable[[Replay, Sequence[Regimen]], Sequence[Regimen]]


@dataclass
class ByBlock(Behaviour):
    """People's behaviour with settings that differ by part of the day. On pens basal U/h stands for the long-acting dose.

    copies: everyone is there so many times, and behaves alike each time.
    """

    copies: int = 1
    blocks: Tensor = field(init=False, repr=False)  # [B, blocks, 3]

    def begin(self, people: Population, rows: int, generator: torch.Generator) -> None:
        super().begin(people[torch.arange(len(people) // self.copies)], rows, generator)
        self._draws = {name: torch.cat([draw] * self.copies, -1) for name, draw in self._draws.items()}
        self.prescribe([people.regimen(index) for index in range(len(people))])

    def prescribe(self, regimens: Sequence[Regimen]) -> None:
        """From the next row on. The regimens' blocks are those of `BLOCKS`."""
        self.blocks = torch.stack([settings(regimen) for regimen in regimens])

    def decide(self, seen: Seen) -> Doses:
        minute = seen.row % ROWS * DAY // ROWS
        self.settings = self.blocks[:, sum(start <= minute for start in BLOCKS) - 1]
        return super().decide(seen)


def settings(regimen: Regimen) -> Tensor:
    """Basal, carb ratio and correction factor by block, `[blocks, 3]`."""
    basal = (regimen.long_acting / 24,) * len(BLOCKS) if regimen.delivery == "pen" else regimen.basal
    return torch.tensor([basal, regimen.carb_ratio, regimen.correction_factor]).T


def cohort(
    count: int,
    seed: int,
    *,
    start: str = "off by a third",
    mis_set: float = 0.3,
    pens: float = 0.3,
    groups: Sequence[Group] = GROUPS,
    family: Family = "padova",
) -> Population:
    """`count` people of every group and one family of equations, who begin as `STARTS` says; by default off by a spread
    `mis_set` of the logarithm."""
    parts = [
        sample_population(group, count, 10 * seed + k, mis_set=mis_set, pens=pens, family=family)
        for k, group in enumerate(GROUPS)
        if group in groups
    ]
    people = join(parts)
    begins = STARTS[start]
    return people if begins is None else replace(people, prescribed=torch.tensor(begins).expand(len(people), 3))


def first_regimens(people: Population, start: str, seed: int) -> list[Regimen]:
    """What is in force before the first visit. Mixed by block, every setting is off in every part of the day by `MIXED`."""
    regimens = [people.regimen(index) for index in range(len(people))]
    if start != "mixed by block":
        return regimens
    off = np.exp(np.random.default_rng([seed, 1]).normal(0.0, MIXED, (len(regimens), 3, len(BLOCKS))))
    return [_mixed(regimen, each) for regimen, each in zip(regimens, off, strict=True)]


def _mixed(regimen: Regimen, off: NDArray[np.float64]) -> Regimen:
    basal, ratio, factor = (
        tuple(round(value * float(share), places) for value, share in zip(getattr(regimen, name), each, strict=True))
        for (name, places), each in zip((("basal", 2), ("carb_ratio", 1), ("correction_factor", 1)), off, strict=True)
    )
    pens = float(round(regimen.long_acting * float(off[0].mean())))
    return replace(regimen, basal=basal, carb_ratio=ratio, correction_factor=factor, long_acting=pens)


def live(
    people: Population, visit: Visit, *, visits: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> tuple[Replay, list[list[Regimen]]]:
    """`visits` visits, `DAYS` days before each and after the last. Returns it all, and the regimens of each fortnight."""
    return live_side_by_side(people, {"": visit}, visits=visits, seed=seed, progress=progress)[""]


def live_side_by_side(
    people: Population,
    reviewers: Mapping[str, Visit],
    *,
    visits: int,
    seed: int,
    begin: Sequence[Regimen] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, tuple[Replay, list[list[Regimen]]]]:
    """The same people under each reviewer, in the same lives and behind the same sensors, as `live` returns it of one.

    begin: what is in force before the first visit, by default what the people say.
    """
    copies = len(reviewers)
    policy = ByBlock(copies=copies)
    living = Living(join([people] * copies), policy, days=DAYS * (visits + 1), seed=seed, copies=copies)
    first = [people.regimen(index) for index in range(len(people))] if begin is None else list(begin)
    regimens = {name: [first] for name in reviewers}
    policy.prescribe(first * copies)
    rows: list[Row] = []
    for number in range(visits + 1):
        with torch.inference_mode():
            rows += [living.live(living.decide()) for _ in range(DAYS * ROWS)]
        lived = _so_far(living, people, rows)
        if number < visits:
            for (name, visit), replay in zip(reviewers.items(), lived, strict=True):
                regimens[name].append(list(visit(replay, regimens[name][-1])))
            policy.prescribe([regimen for now in regimens.values() for regimen in now[-1]])
        if progress is not None:
            progress(number + 1, visits + 1)
    return {name: (replay, regimens[name]) for name, replay in zip(reviewers, lived, strict=True)}


def _so_far(living: Living, people: Population, rows: Sequence[Row]) -> list[Replay]:
    """What each copy of the people has lived, without the bodies in between."""
    columns = {part.name: torch.stack([getattr(row, part.name) for row in rows], 1) for part in fields(Row)}
    none = Body(*(part.unsqueeze(1) for part in vars(people.body).values()))
    found = []
    for first in range(0, len(living.people), len(people)):
        who = slice(first, first + len(people))
        life, wear = _part(living.scenario, who, len(rows)), _part(living.wear, who, len(rows))
        lived = {name: column[who] for name, column in columns.items()}
        found.append(Replay(people, START, life, wear, **lived, bodies=none))
    return found


def _part(drawn: Drawn, who: slice, rows: int) -> Drawn:
    """A scenario or a sensor's wear of some people, up to a row."""
    parts: dict[str, Any] = {name: part[who, :rows] for name, part in vars(drawn).items() if isinstance(part, Tensor)}
    return replace(drawn, **parts)


def no_change(lived: Replay, regimens: Sequence[Regimen]) -> Sequence[Regimen]:
    """The settings stay."""
    return regimens


def titrate(lived: Replay, regimens: Sequence[Regimen]) -> Sequence[Regimen]:
    """Guideline titration on the last fortnight, the same in every part of the day (`cohorts.titration.reviewed`)."""
    recent = slice(-DAYS * ROWS, None)
    current = torch.stack([settings(regimen)[0] for regimen in regimens])
    changed = reviewed(current, shown(lived)[recent], lived.scenario.announced.T[recent], lived.bolus.T[recent])
    return [even(regimen, row) for regimen, row in zip(regimens, changed.tolist(), strict=True)]


def autotune(lived: Replay, regimens: Sequence[Regimen]) -> Sequence[Regimen]:
    """A run of `cohorts.autotune` a night over the last fortnight: basal by hour, averaged over the parts of the day, one carb
    ratio and correction factor all day. On pens the basal rate stands for the long-acting dose, as in `titrate`."""
    current = torch.stack([settings(regimen) for regimen in regimens])
    blocks = torch.tensor([sum(start <= 60 * hour for start in BLOCKS) - 1 for hour in range(24)])
    now = TunedSettings(current[:, blocks, 0].T, current[:, 0, 1], current[:, 0, 2])
    recent = slice(-DAYS * ROWS, None)
    set_rate = now.basal.repeat_interleave(ROWS // 24, 0).repeat(DAYS, 1)
    extra = torch.where(lived.people.pens, 0.0, lived.basal.T[recent] - set_rate) / 12
    after = autotuned(now, shown(lived)[recent], lived.scenario.announced.T[recent], lived.bolus.T[recent], extra)
    found = []
    for index, regimen in enumerate(regimens):
        rates = [float(after.basal[blocks == block, index].mean()) for block in range(len(BLOCKS))]
        told = even(regimen, [float(after.basal[:, index].mean()), float(after.ratio[index]), float(after.factor[index])])
        found.append(told if regimen.delivery == "pen" else replace(told, basal=tuple(round(rate, 3) for rate in rates)))
    return found


def shown(lived: Replay) -> Tensor:
    """What was last shown before each row, mg/dL `[T, B]`."""
    return torch.tensor(pd.DataFrame(lived.reading.T.numpy()).shift(1).ffill().bfill().to_numpy())


def even(regimen: Regimen, values: Sequence[float]) -> Regimen:
    """A regimen with one basal U/h, carb ratio and correction factor all day, rounded as `Population.regimen` rounds."""
    basal, ratio, factor = values
    pens, blocks = regimen.delivery == "pen", len(regimen.starts)
    return replace(
        regimen,
        basal=(0.0 if pens else round(basal, 3),) * blocks,
        carb_ratio=(round(ratio, 1),) * blocks,
        correction_factor=(round(factor, 1),) * blocks,
        long_acting=float(round(24 * basal)) if pens else 0.0,
    )


def truth(people: Population, *, per_visit: float | None = None) -> Visit:
    """The settings that suit each person (`Population` with nothing mis-set), at once or by a share of the current a visit."""
    suits = torch.stack([people.basal, people.carb_ratio, people.correction_factor], -1)

    def visit(lived: Replay, regimens: Sequence[Regimen]) -> Sequence[Regimen]:
        now = torch.stack([settings(regimen)[0] for regimen in regimens])
        reached = suits if per_visit is None else suits.maximum(now * (1 - per_visit)).minimum(now * (1 + per_visit))
        return [even(regimen, row) for regimen, row in zip(regimens, reached.tolist(), strict=True)]

    return visit


def table(lived: Replay, regimens: Sequence[Sequence[Regimen]], reviewer: str) -> pd.DataFrame:
    """A row a person and fortnight: % of true glucose in and out of range, whether targets are met, and the settings over what
    suits, the mean over the day. visit: how many went before. reached: targets met now or after an earlier visit."""
    people = lived.people
    level = lived.glucose.unflatten(1, (-1, DAYS * ROWS))
    shares = {name: inside for name, inside in outcomes(level).items() if name in MEASURES}
    suits = torch.stack([people.basal, people.carb_ratio, people.correction_factor], -1)
    off = torch.stack([torch.stack([settings(each) for each in now]).mean(1) / suits for now in regimens], 1)  # [B, V, 3]
    columns = {name: 100.0 * share.double().mean(-1) for name, share in shares.items()}
    columns["mean"] = level.double().mean(-1)
    columns |= dict(zip(SETTINGS, off.double().unbind(-1), strict=True))
    count = level.shape[1]
    found = pd.DataFrame({name: column.flatten().numpy() for name, column in columns.items()})
    found.insert(0, "visit", list(range(count)) * len(people))
    for name, values in (("pens", people.pens.tolist()), ("group", people.groups), ("person", people.names)):
        found.insert(0, name, [value for value in values for _ in range(count)])
    found.insert(0, "reviewer", reviewer)
    low = (found["below_70"] >= TARGETS["below_70"]) | (found["below_54"] >= TARGETS["below_54"])
    before = low.groupby(found["person"]).shift(1, fill_value=True)
    found["on_target"] = ~low & (found["in_range"] > TARGETS["in_range"])
    found["raised"] = low & ~before
    found["reached"] = found["on_target"].where(found["visit"] > 0, False).groupby(found["person"]).cummax()
    found.loc[found["visit"] == 0, "reached"] = found["on_target"]
    return found


def against_no_change(people: pd.DataFrame, unchanged: pd.DataFrame) -> pd.DataFrame:
    """With `raised_here`: a visit after which time below range is above target, as it was not before and would not have been had
    nobody changed anything, in the same life."""
    low = (unchanged["below_70"] >= TARGETS["below_70"]) | (unchanged["below_54"] >= TARGETS["below_54"])
    return people.assign(raised_here=people["raised"].to_numpy() & ~low.to_numpy())


def summarise(people: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """By reviewer, group and visit, the mean over people of each of `MEASURES` (shares of people in %) with its 95 % interval."""
    rows = []
    values = people[list(MEASURES)].astype(float)
    values[list(MEASURES[4:])] *= 100.0
    everyone = pd.concat([people[["reviewer", "group", "visit", "person"]], values], axis=1)
    everyone = pd.concat([everyone, everyone.assign(group=EVERYONE)])
    for (reviewer, group, visit), part in everyone.groupby(["reviewer", "group", "visit"], sort=False):
        numbers = part[list(MEASURES)].to_numpy(float)
        low, high = bootstrap(numbers, seed=seed) if len(numbers) > 1 else (numbers[0], numbers[0])
        row: dict[str, object] = {"reviewer": reviewer, "group": group, "visit": visit, "people": len(part)}
        for place, name in enumerate(MEASURES):
            row |= {name: numbers[:, place].mean(), f"{name}_low": low[place], f"{name}_high": high[place]}
        rows.append(row)
    return pd.DataFrame(rows)


def too_strong(people: pd.DataFrame) -> pd.DataFrame:
    """Those who were below 70 mg/dL for more than `TOO_STRONG` % of the first fortnight: a row each, reviewer and visit."""
    first = people[(people["visit"] == 0) & (people["below_70"] > TOO_STRONG)]["person"].unique()
    return people[people["person"].isin(first)][["reviewer", "person", "visit", *AIMS, *SETTINGS]]


def losses(people: pd.DataFrame, reviewer: str, against: Sequence[str]) -> pd.DataFrame:
    """Who ends worse under `reviewer` than they began, or than they end under another, by `WORSE`: a row each, with why."""
    ends = people[people["visit"] == people["visit"].max()].set_index("person")
    ours = ends[ends["reviewer"] == reviewer]
    others = {name: ends[ends["reviewer"] == name] for name in against}
    others[BEGINNING] = people[(people["visit"] == 0) & (people["reviewer"] == reviewer)].set_index("person")
    rows = []
    for name, other in others.items():
        change = ours[list(AIMS)] - other[list(AIMS)].loc[ours.index]
        for person, row in ours.iterrows():
            worse = [part for part, by in WORSE.items() if (float(change.loc[person, part]) - by) * by >= 0]
            if worse:
                numbers = {f"{part}_change": change.loc[person, part] for part in AIMS}
                told = {"person": person, "than": name, "on_target": bool(row["on_target"]), "worse": ", ".join(worse)}
                rows.append({**told, **row[[*AIMS, *SETTINGS]], **numbers, "why": _why(worse[-1] != "in_range", row)})
    return pd.DataFrame(rows)


def _why(lows: bool, row: pd.Series) -> str:
    """The setting furthest from what suits, in words; where none is far, life."""
    strength = {"basal": row["basal"], "carb_ratio": 1 / row["carb_ratio"], "correction_factor": 1 / row["correction_factor"]}
    blamed = {name: value for name, value in strength.items() if (value > 1.15 if lows else value < 0.87)}
    if not blamed:
        return "settings are near what suits: this fortnight was harder"
    most = (max if lows else min)(blamed, key=lambda name: blamed[name])
    return f"{most.replace('_', ' ')} {'too strong' if lows else 'too weak'}: {blamed[most]:.2f} times the insulin that suits"
