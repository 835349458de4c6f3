"""What to prescribe until the next INR, for many patients at once: the planner's search over weekly doses, and when to look."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.planning.regimen import RegimenPlans, RegimenQuestion, RegimenSearch, plan_regimen
from careplan.targets import Targets
from careplan.therapies.warfarin.aims import USUAL, risk_for, therapy_for
from careplan.therapies.warfarin.courses import Courses
from careplan.therapies.warfarin.decisions import regimen_line
from careplan.therapies.warfarin.declaration import CEILING, DANGER, MOST_A_DAY, STARTS
from careplan.therapies.warfarin.metrics import TOO_HIGH

FACTORS = (0.8, 0.85, 0.9, 0.93, 0.96, 1.04, 1.07, 1.1, 1.15, 1.2)  # of the weekly dose
LESS = (0.5, 0.6, 0.7)  # tried too where the INR is above 4
WIDE = (0.45, 0.55, 0.65, 0.75, 0.87, 1.15, 1.3, 1.45, 1.7)  # tried too in the first fortnight
WEEKS = torch.tensor([3.5, 6, 8.5, 11, 14, 17.5, 21, 25, 29, 34, 39, 45, 52, 60, 70, 85, 100])  # mg, of what may suit in the end
LONG = 28  # days after which a weekly dose has shown what it does
BEYOND = 10  # days looked at after the next INR
# Days to the next INR, of which the longest is chosen before which the INR is hardly out of range or far out of it.
GAPS = (2, 3, 4, 5, 7, 10, 14, 21, 28)
FAR_LOW, FAR_HIGH = 0.3, 0.5  # INR below and above the range that is far out of it
OUT, FAR = 0.5, 0.12  # the most probable that either may be
LONGEST = ((4, 2), (8, 3), (12, 4), (21, 7), (35, 14))  # to so many days of treatment, the longest gap
EVERYBODY = 1.0  # all particles count alike: risk is harm on both sides
WORTH = 0.02  # less risk than no change that a change must have


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One patient: mg a week as it stands (where nothing is taken yet, what an equation says), days of treatment, the last INR,
    tablets' strengths. begun: whether anything is taken yet."""

    weekly: float
    days: int
    last: float | None
    strengths: tuple[float, ...]
    begun: bool

    @property
    def starting(self) -> bool:
        return self.days < STARTS

    def for_now(self, weekly: float, suits: float) -> bool:
        """Whether another weekly dose is meant until the next INR alone, as while a course starts, and what suits follows it."""
        return self.starting and weekly not in (self.weekly if self.begun else 0.0, suits)


@dataclass(frozen=True, eq=False)
class Found:
    """The answers for B patients: mg a week, evenings left out first, days to the next INR; what suits in the end, mg a week;
    the search's own account."""

    weekly: list[float]
    hold: list[int]
    due: list[int]
    suits: Tensor
    plans: RegimenPlans


def search(courses: Courses, asked: Sequence[Asked], targets: Targets = USUAL) -> Found:
    """The weekly dose until the next INR with the least risk, and after it what suits in the end; the evenings to leave out; and
    the day on which to look again. targets: of all of them."""
    suits = settled_dose(courses, targets)
    standing = torch.tensor([each.weekly for each in asked])
    hold = [_least(each) for each in asked]
    due = [min(_longest(each, targets), 7) for each in asked]
    lines = [[regimen_line(each.weekly, each.last, each.strengths, starting=each.starting)] for each in asked]
    less = LESS if any((one.last or 0.0) > TOO_HIGH for one in asked) else ()
    wide = WIDE if any(one.starting for one in asked) else ()
    factors = sorted({*FACTORS, *less, *wide})

    def evaluate(multipliers: Tensor) -> Tensor:
        weekly = standing.unsqueeze(1) * multipliers[..., 0]
        return _levels(courses, weekly, suits, hold, due)

    how = RegimenSearch(
        risk_level=EVERYBODY,
        worth=WORTH,
        penalty=0.0,
        excess=0.05,
        changes=1,
        factors=factors,
        simulations=len(factors) + 1,
    )
    plans = plan_regimen(evaluate, RegimenQuestion(lines=lines, therapy=therapy_for(targets)), how)
    weekly = plans.values[:, 0, 0]
    hold = _held(courses, weekly, suits, hold, due, asked, targets)
    gaps = _gaps(courses, weekly, hold, asked, targets)
    return Found([round(value, 4) for value in weekly.tolist()], hold, gaps, suits, plans)


def settled_dose(courses: Courses, targets: Targets = USUAL) -> Tensor:
    """Mg a week `[B]` with the least risk once it has shown what it does."""
    doses = (WEEKS / 7).clamp(max=MOST_A_DAY)[None, :, None].expand(len(courses), -1, LONG)
    late = courses.levels(doses)[..., LONG // 2 :]
    return WEEKS[risk_for(targets)(late).mean((2, 3)).argmin(1)]


def _levels(courses: Courses, weekly: Tensor, suits: Tensor, hold: Sequence[int], due: Sequence[int]) -> Tensor:
    """INRs `[B, N, P, D]` under mg a week `[B, N]` until each one's next INR, then what suits."""
    days = max(due) + BEYOND
    day = torch.arange(days)
    until = day[None] < torch.tensor(due).unsqueeze(1)
    left_out = day[None] < torch.tensor(hold).unsqueeze(1)
    evening = torch.where(until.unsqueeze(1), weekly.unsqueeze(2), suits[:, None, None]) / 7
    evening = torch.where(left_out.unsqueeze(1), 0.0, evening)
    return courses.levels(evening.clamp(max=MOST_A_DAY))


def _least(asked: Asked) -> int:
    """Evenings that must be left out: one from the ceiling on, two from where it is dangerous."""
    return 0 if asked.last is None or asked.last < CEILING else 1 if asked.last < DANGER else 2


def _held(
    courses: Courses,
    weekly: Tensor,
    suits: Tensor,
    least: Sequence[int],
    due: Sequence[int],
    asked: Sequence[Asked],
    targets: Targets,
) -> list[int]:
    """Evenings to leave out: what must be, or one or two more where that is less risk; none where the INR is not high."""
    risks = []
    for more in range(3):
        hold = [must + more for must in least]
        levels = _levels(courses, weekly.unsqueeze(1), suits, hold, due)[:, 0]
        risks.append(risk_for(targets)(levels).mean((1, 2)))
    best = torch.stack(risks, 1)
    best[:, 1:] += 0.1  # for the evenings themselves
    chosen, high = best.argmin(1).tolist(), targets.levels["high"]
    return [must + (extra if (one.last or 0.0) > high else 0) for must, extra, one in zip(least, chosen, asked, strict=True)]


def _gaps(courses: Courses, weekly: Tensor, hold: Sequence[int], asked: Sequence[Asked], targets: Targets) -> list[int]:
    """Days to the next INR of each patient."""
    day = torch.arange(max(GAPS))
    evening = (weekly / 7)[:, None, None].expand(-1, 1, max(GAPS))
    evening = torch.where((day[None] < torch.tensor(hold).unsqueeze(1)).unsqueeze(1), 0.0, evening)
    levels = courses.levels(evening.clamp(max=MOST_A_DAY))[:, 0]
    low, high = targets.levels["low"], targets.levels["high"]
    out = ((levels < low) | (levels > high)).float().mean(1)
    far = ((levels < low - FAR_LOW) | (levels > high + FAR_HIGH)).float().mean(1)
    found = []
    for row, one in enumerate(asked):
        calm = [gap for gap in GAPS if bool((out[row, gap // 2 : gap] <= OUT).all() and (far[row, gap // 2 : gap] <= FAR).all())]
        soonest = 2 if hold[row] else 3 if one.starting else 7
        if one.days < 4:
            soonest = 2
        found.append(min(max([*calm, soonest]), _longest(one, targets)) if not hold[row] else min(max(hold[row] + 1, 2), 4))
    return found


def _longest(asked: Asked, targets: Targets) -> int:
    """The longest gap at this stage of treatment, and a week where the last INR is out of range."""
    stage = next((gap for days, gap in LONGEST if asked.days < days), max(GAPS))
    calm = asked.last is None or targets.levels["low"] <= asked.last <= targets.levels["high"]
    return stage if calm or asked.starting else min(stage, 7)
