"""The world model in use: the shipped weights or a trained folder, and each patient's personalisation, kept in the store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import select
from torch import Tensor

from careplan.clinic.recordings import Recording, read_recording
from careplan.series import PatientSeries, windows
from careplan.stages import stage
from careplan.store import Database
from careplan.store.schema import Personalisation as Stored
from careplan.therapies.glucose.declaration import DAY, GLUCOSE, HAZARDS, WITHIN, Hazard
from careplan.therapies.glucose.metrics import SENSOR, cadence
from careplan.world.drift import ALARMS, latest, load_reference
from careplan.world.forecast import ASKED, Given, predict
from careplan.world.model import WEIGHTS, WorldModel, load_card, load_model
from careplan.world.personalise import Personalisation, personalise, typical
from careplan.world.trust import Gate, abstentions, followed, nearest, strangeness, widening

BATCH = 25  # patients personalised at once: twice as many take a fifth longer each on two cores


@dataclass(frozen=True, eq=False)
class World:
    """A trained model and its card."""

    model: WorldModel
    card: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        return str(self.card["hash"])

    def widen(self, person: Personalisation) -> dict[Given, Tensor]:
        """Conformal factors every half hour for one patient by what is given of the future, `[H]` each.

        Those of foresight follow the patient's own days; that of plans, which nobody carried out as such, hardly narrows.
        """
        usual: dict[Given, Tensor] = {given: torch.tensor(self.card["conformal"][given]) for given in ASKED}
        return {
            given: widening(person, factor) if given == "plan" else followed(person, factor, ASKED[given])
            for given, factor in usual.items()
        }

    def risk(
        self, hazard: Hazard, series: PatientSeries, rows: Sequence[int], person: Personalisation
    ) -> NDArray[np.float64]:
        """The probability that a reading falls below 70, or rises above 250 mg/dL, within two hours of each row, nothing being
        given of the future, `[N]`."""
        fitted = self.card["hazard"][hazard]
        odds = fitted["intercept"] + fitted["slope"] * nearness(self.model, series, rows, person, hazard)
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))

    def provenance(self, seed: int, data: str, **asked: str) -> dict[str, str]:
        return {"seed": str(seed), "code": code_version(), "model": self.fingerprint, "data": data, **asked}


def nearness(
    model: WorldModel, series: PatientSeries, rows: Sequence[int], person: Personalisation, hazard: Hazard
) -> NDArray[np.float64]:
    """`trust.nearest` to the hazard's level within two hours, `[N]`."""
    side, level = HAZARDS[hazard]
    minutes, levels, offsets = predict(model, series, rows, person, given="nothing")
    soon = (minutes > 0) & (minutes <= WITHIN)
    return nearest(levels[:, soon], offsets[:, soon], level, side).double().numpy()


def code_version() -> str:
    try:
        return version("careplan")
    except PackageNotFoundError:
        return "unknown"


@cache
def open_world(folder: Path = WEIGHTS) -> World:
    """The model in `folder`, the shipped one by default, on the GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return World(load_model(GLUCOSE, folder, device), load_card(GLUCOSE, folder))


def personalised(
    db: Database, patients: Sequence[str], world: World, progress: Callable[[int, int], None] | None = None
) -> dict[str, tuple[PatientSeries, Personalisation, str]]:
    """Each patient's series, personalisation and data hash; inferred for those whose data or model changed, and stored."""
    recordings = [read_recording(db, patient) for patient in patients]
    people = people_of(db, recordings, world, progress)
    return {each.patient: (each.series, people[each.patient], each.data) for each in recordings}


def people_of(
    db: Database, recordings: Sequence[Recording], world: World, progress: Callable[[int, int], None] | None = None
) -> dict[str, Personalisation]:
    """The personalisation of each recording's patient, stored or inferred, by name."""
    people = stored_people(db, recordings, world)
    missing = [recording for recording in recordings if recording.patient not in people]
    for start in range(0, len(missing), BATCH):
        people |= infer_people(db, missing[start : start + BATCH], world)
        if progress is not None:
            progress(min(start + BATCH, len(missing)), len(missing))
    return people


def stored_people(db: Database, recordings: Sequence[Recording], world: World) -> dict[str, Personalisation]:
    """The personalisations that are stored for this model and these data, by patient."""
    with stage("read"):
        with db.read() as session:
            names = [recording.patient for recording in recordings]
            rows = session.scalars(select(Stored).where(Stored.patient.in_(names), Stored.model_hash == world.fingerprint))
            codes = {(row.patient, row.data_hash): row.code for row in rows}
        found = {each.patient: codes.get((each.patient, each.data), {}) for each in recordings}
        return {patient: _read(patient, code) for patient, code in found.items() if code.keys() >= {*TENSORS, *NUMBERS}}


def infer_people(db: Database, recordings: Sequence[Recording], world: World) -> dict[str, Personalisation]:
    """Personalisations inferred in one batch, and stored; as they will be read again, so that a cache changes nothing."""
    with stage("personalise"):
        bodies = [_write(person) for person in _infer(world, [each.series for each in recordings])]
    with stage("store"), db.write() as session:
        for each, body in zip(recordings, bodies, strict=True):
            session.merge(
                Stored(
                    patient=each.patient,
                    model_hash=world.fingerprint,
                    data_hash=each.data,
                    created=datetime.now(UTC),
                    code=body,
                )
            )
    return {each.patient: _read(each.patient, body) for each, body in zip(recordings, bodies, strict=True)}


def _infer(world: World, recordings: list[PatientSeries]) -> list[Personalisation]:
    column = GLUCOSE.index(GLUCOSE.regulated)
    usable = [series for series in recordings if series.mask[:, column].sum() > 1]
    people = {person.patient: person for person in personalise(world.model, usable)}
    nobody = torch.zeros(len(GLUCOSE.channels))
    return [people.get(series.patient) or typical(world.model, series.patient, nobody) for series in recordings]


TENSORS = ("mean", "covariance", "usual", "minutes", "errors", "persistence", "scores", "correction", "foreseen")
NUMBERS = ("windows", "every")


def _write(person: Personalisation) -> dict[str, Any]:
    body: dict[str, Any] = {name: getattr(person, name) for name in NUMBERS}
    for name in TENSORS:
        tensor = getattr(person, name)
        flat = [None if value != value else round(value, 7) for value in tensor.flatten().tolist()]
        body[name] = {"shape": list(tensor.shape), "values": flat}
    return body


def _read(patient: str, body: Mapping[str, Any]) -> Personalisation:
    parts: dict[str, Any] = {
        name: torch.tensor([float("nan") if value is None else value for value in body[name]["values"]]).reshape(
            body[name]["shape"]
        )
        for name in TENSORS
    }
    return Personalisation(patient=patient, **{name: body[name] for name in NUMBERS}, **parts)


def reasons_to_abstain(
    world: World, series: PatientSeries, person: Personalisation, *, row: int | None = None
) -> tuple[str, ...]:
    """Why nothing can be suggested at a row of the recording (default: its end); empty when something can."""
    with stage("check"):
        return _reasons_to_abstain(world, series, person, len(series) if row is None else row)


def _reasons_to_abstain(world: World, series: PatientSeries, person: Personalisation, row: int) -> tuple[str, ...]:
    column, per_day = GLUCOSE.index(GLUCOSE.regulated), DAY / GLUCOSE.step
    glucose = series.mask[:row, column]
    if not glucose.any():
        return ("no glucose is recorded",)
    span = glucose[int(np.flatnonzero(glucose)[0]) :]
    recent = span[-int(14 * per_day) :]
    until = series.until(row)
    spacing = round(min(cadence(until), SENSOR) / GLUCOSE.step)
    dosed = series.mask[
        max(0, row - int(14 * per_day)) : row, [GLUCOSE.index(name) for name in ("bolus", "basal", "long_acting")]
    ]
    model = world.model
    ends = np.linspace(max(row - int(3 * per_day), model.shape.context // 2), row, 7).astype(int)
    with torch.no_grad():
        past = windows(series, ends.tolist(), model.shape.context).to(model.center.device)
        z = model.encode(past, person.usual.to(model.center.device).expand(len(ends), -1))[:, -1]
        strange = float(strangeness(model, z).median())
    drifted = latest(model, until, person, load_reference(GLUCOSE))
    reasons = abstentions(
        Gate(),
        days=len(span) / per_day,
        active=100.0 * min(1.0, float(recent.mean()) * spacing),
        dosed=bool(dosed.mean(0).max() > 0.3),
        person=person,
        strange=strange,
    )
    return (*reasons, *(f"the latest day: {ALARMS[alarm]}" for alarm in drifted))
