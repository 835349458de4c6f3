"""The world model in use: the shipped weights or a trained folder, its card, and when it must abstain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from careplan.errors import AskError
from careplan.language import N_
from careplan.minutes import DAY
from careplan.series import PatientSeries, cadence, windows
from careplan.stages import stage
from careplan.therapy import Therapy
from careplan.world.drift import ALARMS, FIT, Expected, Reference, latest, load_reference
from careplan.world.forecast import predict
from careplan.world.model import WorldModel, load_card, load_model
from careplan.world.personalise import Personalisation
from careplan.world.question import Given
from careplan.world.trust import (
    Reason,
    abstentions,
    factor_after_recording,
    factor_for_plans,
    in_words,
    nearness_to_level,
    strangeness,
)

LATEST = N_("the latest day: {alarm}")


@dataclass(frozen=True, eq=False)
class World:
    """A trained model and its card. reference: the statistics of ordinary days, without which there are no alarms of drift."""

    model: WorldModel
    card: Mapping[str, Any]
    reference: Reference | None = None

    @property
    def fingerprint(self) -> str:
        return str(self.card["hash"])

    def interval_factors(self, person: Personalisation) -> dict[Given, Tensor]:
        """Conformal factors every look for one patient by what is given of the future, `[H]` each.

        The factors of forecasts follow the patient's own days. Those of plans hardly narrow, since no plan was carried out as
        such. Without calibration the population's factors are 1.
        """
        clock = self.model.therapy.clock
        population = self.card.get("conformal", dict.fromkeys(Given, [1.0] * round(clock.horizon / clock.look)))
        usual: dict[Given, Tensor] = {given: torch.tensor(population[given]) for given in Given}
        return {
            given: factor_for_plans(person, own) if given is Given.PLAN else factor_after_recording(person, own, given, clock)
            for given, own in usual.items()
        }

    @property
    def calibrated(self) -> bool:
        """Whether people held out have told how wide intervals must be."""
        return "conformal" in self.card

    def risk(self, hazard: str, series: PatientSeries, rows: Sequence[int], person: Personalisation) -> NDArray[np.float64]:
        """The probability of one of the therapy's hazards after each row, nothing being given of the future, `[N]`."""
        return self.risk_of(hazard, *predict(self.model, series, rows, person, given=Given.NOTHING))

    def risk_of(self, hazard: str, minutes: Tensor, levels: Tensor, offsets: Tensor) -> NDArray[np.float64]:
        """The same of what was foreseen with nothing given (`predict`), `[N]`."""
        fitted = self.card["hazard"][hazard]
        odds = fitted["intercept"] + fitted["slope"] * nearness(self.model, minutes, levels, offsets, hazard)
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))

    def provenance(self, seed: int, data: str, **asked: str) -> dict[str, str]:
        return {"seed": str(seed), "code": code_version(), "model": self.fingerprint, "data": data, **asked}


def nearness(model: WorldModel, minutes: Tensor, levels: Tensor, offsets: Tensor, hazard: str) -> NDArray[np.float64]:
    """`trust.nearness_to_level` of the forecast to the hazard's level, within the time that the hazard is declared for, `[N]`."""
    declared = model.therapy.hazard(hazard)
    soon = (minutes > 0) & (minutes <= declared.within)
    return nearness_to_level(levels[:, soon], offsets[:, soon], declared.level, declared.side).double().numpy()


def code_version() -> str:
    try:
        return version("careplan")
    except PackageNotFoundError:
        return "unknown"


@cache
def open_world(therapy: Therapy, folder: Path, usual: Path | None = None) -> World:
    """A therapy's model in a folder, on the GPU where there is one.

    Args:
        therapy: The therapy that the model was trained on.
        folder: Where its weights and their card lie.
        usual: Where the reference of drift lies, if not beside the weights.

    Raises `AskError` where there is none, or its weights are not those that its card tells of.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kept = next((each for each in (folder, usual) if each and (each / f"{therapy.name}.drift.json").exists()), None)
        reference = None if kept is None else load_reference(therapy, kept)
        return World(load_model(therapy, folder, device), load_card(therapy, folder), reference)
    except (OSError, ValueError, KeyError) as error:
        raise AskError(f"this model is not used: {error}") from error


def reasons_to_abstain(
    world: World,
    series: PatientSeries,
    person: Personalisation,
    *,
    row: int | None = None,
    changes: Sequence[Expected] = (),
) -> tuple[str, ...]:
    """Why nothing can be suggested, each with what to do about it, what can be done the soonest first; empty where something can.

    Args:
        world: The model, with the reference of drift.
        series: The recording.
        person: What is known of the patient.
        row: Where in the recording, its end where None.
        changes: What was prescribed anew, and what that was expected to do.

    Returns:
        The reasons, in words.
    """
    with stage("check"):
        return _reasons_to_abstain(world, series, person, len(series) if row is None else row, changes)


def _reasons_to_abstain(
    world: World, series: PatientSeries, person: Personalisation, row: int, changes: Sequence[Expected]
) -> tuple[str, ...]:
    therapy, clock, gate = world.model.therapy, world.model.therapy.clock, world.model.therapy.gate
    column, per_day, recent_rows = therapy.index(therapy.regulated), DAY / clock.step, clock.rows(gate.recent)
    measured = series.mask[:row, column]
    if not measured.any():
        return in_words([Reason("check the recording", N_("no {channel} is recorded").format(channel=therapy.regulated))])
    span = measured[int(np.flatnonzero(measured)[0]) :]
    recent = span[-recent_rows:]
    until = series.until(row)
    spacing = round(min(cadence(until), therapy.slowest) / therapy.step)
    doses = [therapy.index(channel.name) for channel in therapy.of("action")]
    dosed = series.mask[max(0, row - recent_rows) : row, doses]
    model = world.model
    ends = np.linspace(max(row - 3 * model.shape.context, model.shape.context // 2), row, 7).astype(int)
    with torch.no_grad():
        past = windows(series, ends.tolist(), model.shape.context).to(model.center.device)
        z = model.encode(past, person.usual.to(model.center.device).expand(len(ends), -1))[:, -1]
        strange = float(strangeness(model, z).median())
    drifted = () if world.reference is None else latest(model, until, person, world.reference, changes)
    reasons = abstentions(
        gate,
        days=len(span) / per_day,
        active=100.0 * min(1.0, float(recent.mean()) * spacing),
        dosed=bool(dosed.mean(0).max() > gate.dosed),
        person=person,
        strange=strange,
        scale=therapy.channel(therapy.regulated).scale,
        judged=clock.judged,
    )
    alarms = [
        Reason("review without the model" if alarm == FIT else "check the recording", LATEST.format(alarm=ALARMS[alarm]))
        for alarm in drifted
    ]
    return in_words([*alarms, *reasons])
