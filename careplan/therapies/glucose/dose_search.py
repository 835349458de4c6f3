"""The search for doses over the next hours, from tensors: what stored patients and closed loops share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from careplan.planning.actions import dose_table
from careplan.planning.latent import Known, LatentModel, initial_state, latent_futures
from careplan.planning.planner import DosePlans, DoseQuestion, DoseSearch, plan_doses
from careplan.planning.safety import DoseContext
from careplan.series import Window
from careplan.stages import stage
from careplan.therapies.glucose.declaration import CLOCK, GLUCOSE
from careplan.therapy import Limits, Mandate, Therapy
from careplan.world.model import WorldModel

PARTICLES = 16
INCREMENT = {"pump": 0.05, "pen": 1.0}  # U
SHARE_OF_BUDGET = 0.5  # of what may be spent on lows, for one plan: the next one spends anew
RISK_LEVEL = 1.0  # every particle counts: the worst half would be the high ones, and lows would weigh nothing


@dataclass(frozen=True, eq=False)
class Ahead:
    """The hours ahead of B patients as prescribed and announced, `[B, T, C]` values where `mask`; increment `[B]` U an impulse,
    adjustable `[B]` whether the basal rate can be changed for a while."""

    values: Tensor
    mask: Tensor
    increment: Tensor
    adjustable: Tensor


@dataclass(frozen=True, eq=False)
class Patients:
    """What is known of B patients now: what was recorded, windows `[B, T, C]`; what is usual, `[B, C + 1]`; particles of the
    code, `[B, P, K]`; and by how much the predicted spread is multiplied, `[B]`."""

    past: Window
    usual: Tensor
    code: Tensor
    interval_factor: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Constraints:
    """What the doses of B patients keep to.

    context: what the guardrails need, from the standing basal rate at each decision `[B, D]` U/h. limits: by patient. mandates:
    what each patient's regimen hands down; the therapy's own where None. therapy: as it is for the targets of all of them.
    """

    context: Callable[[Tensor], DoseContext]
    limits: Sequence[Limits]
    mandates: Sequence[Mandate] | None = None
    therapy: Therapy = GLUCOSE


@torch.no_grad()
def search_doses(
    model: WorldModel,
    patients: Patients,
    ahead: Ahead,
    within: Constraints,
    *,
    simulations: int | None = None,
    seed: int = 0,
    binding: bool = False,
) -> DosePlans:
    """Encode what was recorded, integrate the context once a particle of the code, and search. simulations, binding: as
    `plan_doses`."""
    therapy, mandates = within.therapy, within.mandates
    with stage("encode"):
        latent, state, daily, hourly = _encoded(model, patients, ahead, seed)
    candidates, exists = dose_table(daily.cpu(), ahead.increment, ahead.adjustable)
    known = within.context(hourly.unflatten(1, (round(CLOCK.ahead / CLOCK.decision), -1)).mean(-1).cpu())
    device = state.device
    asked = DoseQuestion(
        state=state,
        therapy=therapy if mandates is None else therapy.aimed(mandates),
        limits=within.limits,
        context=_on(known, device),
        candidates=candidates.to(device),
        exists=exists.to(device),
        budget=SHARE_OF_BUDGET * budgets_of(mandates or [therapy.mandate] * len(state)).to(device),
    )
    with stage("search"):
        return plan_doses(latent, asked, DoseSearch(risk_level=RISK_LEVEL, simulations=simulations, seed=seed, binding=binding))


def budgets_of(mandates: Sequence[Mandate]) -> Tensor:
    """`[B, Q]` of the mandates."""
    return torch.tensor([mandate.budgets for mandate in mandates])


def _encoded(model: WorldModel, patients: Patients, ahead: Ahead, seed: int) -> tuple[LatentModel, Tensor, Tensor, Tensor]:
    """What is searched and where it begins `[B, P, S]`; U of bolus that count as a day's `[B]`; the standing basal rate along the
    integration `[B, H]`."""
    shape, device = model.shape, model.center.device
    usual, code, known = patients.usual, patients.code, Known(ahead.values, ahead.mask)
    futures, pools, inflow = latent_futures(model, patients.past, usual, code, known, patients.interval_factor, seed)
    usual, code = usual.to(device), code.to(device)
    values, mask = ahead.values.to(device), ahead.mask.to(device)
    basal, bolus = GLUCOSE.index("basal"), GLUCOSE.index("bolus")
    pool = next(index for index, item in enumerate(GLUCOSE.pools) if "bolus" in item.channels)
    into = torch.nn.functional.one_hot(torch.tensor(pool), len(GLUCOSE.pools)).to(device)
    daily = model.daily(usual)[:, bolus]
    steps = round(shape.interval / GLUCOSE.step)
    hourly = torch.where(mask[..., basal], values[..., basal], usual[:, None, basal]).unflatten(1, (-1, steps)).mean(-1)
    rate = (hourly / 60.0 / daily.unsqueeze(1)).unsqueeze(-1) * into
    latent = LatentModel(
        futures=futures,
        rate=rate,
        other=inflow - rate,
        unit=into / (daily.unsqueeze(1) * shape.interval),
        steps=round(CLOCK.decision / shape.interval),
        strength=_strength(code, model.typical(usual), model.layout.effect("insulin")),
    )
    return latent, initial_state(futures, pools), daily, hourly


def _strength(code: Tensor, typical: Tensor, place: int) -> Tensor:
    """What of an added dose counts in each particle, `[B, P]`, of codes `[B, P, K]` where the typical one is `[B, K]`; place: of
    the strength of insulin in a code.

    Food that nobody logged looks like insulin that does less. So where a patient's code makes it weaker than the typical one,
    every other particle does not believe it.
    """
    weaker = torch.exp(0.5 * (typical.unsqueeze(1) - code)[..., place]).clamp(min=1.0)
    doubting = torch.arange(code.shape[1], device=code.device) % 2 == 1
    return torch.where(doubting, weaker, torch.ones_like(weaker))


def _on(context: DoseContext, device: torch.device) -> DoseContext:
    return DoseContext(**{name: part.to(device) for name, part in vars(context).items()})
