"""Courses of chemotherapy and radiotherapy under a cumulative cap: the world model's plans beside other policies and an oracle's.

    python benchmarks/tumour_plans.py --patients 120 --seed 2 --gamma 2 --cap 15 --json

Virtual patients live their first days under the confounded factual policy; the days left until the 60th are decided by no
treatment, the factual policy, all that the cap leaves at once or on the last days, careplan, and an oracle: the same search under
the same rules, whose future is the true equation with the patient's own numbers. The cap is on the givings of each treatment, or
of both together, since the first day, the factual ones counted. Everybody lives with the same chance under each policy; outcomes
are of those alive and not cured when decisions begin, with 95 % intervals of the means of paired differences to `all at once`.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tumour import recording, trained

from careplan.planning.course import CourseSearch, plan_course
from careplan.planning.latent import latent_course
from careplan.planning.menu import Menu
from careplan.planning.model import PlanningModel
from careplan.rules import Cap
from careplan.therapies.tumour.declaration import DEATH, GIVEN, LIMITS, TUMOUR
from careplan.therapy import Limits
from careplan.world.corpus import Corpus
from careplan.world.model import WorldModel
from careplan.world.personalise import personalise
from cohorts.tumour import DAYS, DENSITY, Flags, Lives, Treat, TrueEquation, chosen, live, sample_tumours

PARTICLES = 12  # of each posterior
GIVINGS = ("chemo", "radio")
EFFORT = 0.002  # risk that a day's treatment must save: 5 % of the cells, for as long as a plan looks
BESIDE = "all at once"  # what differences are to
Foresee = Callable[[Lives, NDArray[np.int64]], tuple[PlanningModel, Tensor, Menu, Tensor]]


def so_far(lives: Lives) -> NDArray[np.float64]:
    """`[B, T, 2]` what was given."""
    return np.stack([lives.chemo, lives.radio], -1).astype(float)


def left(lives: Lives, rule: Cap) -> NDArray[np.float64]:
    """`[B]` givings that a cap leaves."""
    return np.asarray(rule.most - so_far(lives).sum(1)[:, [GIVINGS.index(name) for name in rule.channels]].sum(1))


def allowed(lives: Lives, rules: Sequence[Cap]) -> Flags:
    """`[2, B]` what the caps leave for today, chemotherapy before radiotherapy where both are under one."""
    most = {name: left(lives, rule) - place for rule in rules for place, name in enumerate(rule.channels)}
    return np.stack([most[name] >= 1 for name in GIVINGS])


def at_the_end(lives: Lives, rules: Sequence[Cap]) -> Flags:
    """`[2, B]` what the caps leave, on the last days that the last volume shows."""
    days = DAYS - lives.volume.shape[1]
    begins = {name: left(lives, rule) >= days * len(rule.channels) for rule in rules for name in rule.channels}
    return np.stack([begins[name] for name in GIVINGS]) & allowed(lives, rules)


def standing(patients: int) -> Tensor:
    """`[B, T, C]` the future as it stands: no treatment."""
    return torch.zeros(patients, TUMOUR.clock.rows(TUMOUR.clock.ahead), len(TUMOUR.channels))


def known(lives: Lives, who: NDArray[np.int64]) -> tuple[PlanningModel, Tensor, Menu, Tensor]:
    """What an oracle foresees."""
    now = torch.from_numpy(np.stack([lives.volume[who, -1], lives.concentration[who, -1]], -1)).float()
    menu = Menu(TUMOUR, standing(len(who)), torch.zeros(len(who), len(TUMOUR.channels)))
    return TrueEquation(chosen(lives.tumours, who)), now.unsqueeze(1), menu, now[:, :1]


def learned(model: WorldModel) -> Foresee:
    """What the world model foresees, personalised on everybody's days so far."""

    @torch.no_grad()
    def foresee(lives: Lives, who: NDArray[np.int64]) -> tuple[PlanningModel, Tensor, Menu, Tensor]:
        recordings = [recording(lives, one, lives.volume.shape[1]) for one in who]
        people, corpus, context = personalise(model, recordings), Corpus.of(recordings), model.shape.context
        past = corpus.windows(torch.arange(len(people)), corpus.length - context, context)
        usual = torch.stack([person.usual for person in people])
        code = torch.stack([person.particles(PARTICLES) for person in people])
        course, state = latent_course(model, past, usual, code, standing(len(who)))
        return course, state, course.menu, model.natural(course.futures.start.mean(1))

    return foresee


def planned(foresee: Foresee, limits: Limits, how: CourseSearch, every: int) -> Treat:
    """The first days of the best course, searched anew every so many days."""
    decided: list[Flags] = []  # `[2, B]` of the days to come

    def treat(lives: Lives, factual: Flags) -> Flags:
        who = np.flatnonzero((lives.volume[:, -1] > 0) & (lives.volume[:, -1] < DEATH))
        if not decided and len(who):
            model, state, menu, level = foresee(lives, who)
            plans = plan_course(model, state, menu, limits, level, torch.from_numpy(so_far(lives)[who]).float(), how=how)
            course = np.zeros((every, *factual.shape), dtype=bool)
            course[:, :, who] = plans.amounts[:, 0, :every].permute(1, 2, 0).numpy() > 0.5
            decided.extend(course)
        return decided.pop(0) if decided else np.zeros_like(factual)

    return treat


def after(lived: int, rules: Sequence[Cap], treat: Treat) -> Treat:
    """The factual policy within the caps until a day, then another."""

    def both(lives: Lives, factual: Flags) -> Flags:
        return factual & allowed(lives, rules) if lives.volume.shape[1] <= lived else treat(lives, factual)

    return both


def outcomes(lives: Lives, lived: int, rules: Sequence[Cap]) -> pd.DataFrame:
    """A row a patient who is alive and not cured when decisions begin."""
    last, given = lives.volume[:, -1], so_far(lives)
    table = pd.DataFrame(
        {
            "dead": last >= DEATH,
            "cured": last <= 0,
            "volume": last,
            "log10_volume": np.log10(np.maximum(last, 1 / DENSITY)),
            "mean_log10_volume": np.log10(np.maximum(lives.volume[:, lived:], 1 / DENSITY)).mean(1),
            "days_alive": np.where(last >= DEATH, lives.length - 1, DAYS),
            "chemo": given[:, lived:, 0].sum(1),
            "radio": given[:, lived:, 1].sum(1),
            "over_cap": np.any([left(lives, rule) < 0 for rule in rules], 0),
        }
    )
    return table[lives.length > lived].astype(float)


def summary(tables: dict[str, pd.DataFrame]) -> list[dict[str, object]]:
    """A row a policy: means, the median volume, and paired differences with what half a 95 % interval spans."""
    rows = []
    for name, table in tables.items():
        row: dict[str, object] = {"policy": name, "patients": len(table), "median_volume": float(table["volume"].median())}
        for column in table:
            away = table[column] - tables[BESIDE][column]
            row |= {
                column: float(table[column].mean()),
                f"{column}_difference": float(away.mean()),
                f"{column}_half": float(1.96 * away.std() / len(away) ** 0.5),
            }
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=120)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--gamma", type=float, default=2.0)
    parser.add_argument("--cap", type=float, default=GIVEN, help="givings of either treatment, since the first day")
    parser.add_argument("--together", action="store_true", help="one cap on both treatments together, in place of one on each")
    parser.add_argument("--lived", type=int, default=15, help="days under the factual policy before decisions begin")
    parser.add_argument("--policies", nargs="+", default=["none", "factual", BESIDE, "all at the end", "careplan", "oracle"])
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--every", type=int, default=3, help="days from one search to the next, no more than its depth")
    parser.add_argument("--simulations", type=int, default=None)
    parser.add_argument("--trained", type=int, default=2000, help="training patients")
    parser.add_argument("--steps", type=int, default=0, help="training steps; 0 leaves the declared structure as it is")
    parser.add_argument("--out", type=Path, default=Path("runs/tumour"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    groups = [GIVINGS] if args.together else [(name,) for name in GIVINGS]
    rules = [Cap(name=f"{' and '.join(names)} of a course", channels=names, most=args.cap) for names in groups]
    limits = replace(LIMITS, rules=tuple(rules))
    how = CourseSearch(depth=args.depth, simulations=args.simulations, worth=0.0, effort=EFFORT)
    policies: dict[str, Callable[[], Treat]] = {
        "none": lambda: lambda _, factual: np.zeros_like(factual),
        "factual": lambda: lambda lives, factual: factual & allowed(lives, rules),
        BESIDE: lambda: lambda lives, _: allowed(lives, rules),
        "all at the end": lambda: lambda lives, _: at_the_end(lives, rules),
        "careplan": lambda: planned(
            learned(trained(args.gamma, 10, args.trained, args.steps, args.out)), limits, how, args.every
        ),
        "oracle": lambda: planned(known, limits, how, args.every),
    }
    tables = {}
    for name in args.policies:
        random = np.random.default_rng([args.seed, 60])
        tumours = sample_tumours(args.patients, random)
        lives = live(tumours, args.gamma, random, treat=after(args.lived, rules, policies[name]()))
        tables[name] = outcomes(lives, args.lived, rules)
    rows = summary(tables)
    if args.json:
        print(json.dumps({**{k: str(v) for k, v in vars(args).items()}, "rows": rows}, indent=1))
    else:
        print(pd.DataFrame(rows).set_index("policy").T.round(4).to_string())


if __name__ == "__main__":
    main()
