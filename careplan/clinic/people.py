"""Each patient's personalisation: kept in the store under the model and the data that it was inferred from."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import torch
from sqlalchemy import select

from careplan.clinic.recordings import read_recording
from careplan.recording import Recording
from careplan.series import PatientSeries
from careplan.stages import stage
from careplan.store import Actor, Database, append, local_account
from careplan.store.schema import Personalisation as Stored
from careplan.world.corpus import stranger
from careplan.world.loaded import World
from careplan.world.personalise import Personalisation, personalise, typical

BATCH = 25  # patients personalised at once: twice as many take a fifth longer each on two cores


def personalised(
    db: Database,
    patients: Sequence[str],
    world: World,
    progress: Callable[[int, int], None] | None = None,
    *,
    actor: Actor | None = None,
) -> dict[str, tuple[PatientSeries, Personalisation, str]]:
    """Each patient's series, personalisation and data hash; inferred for those whose data or model changed, and stored. actor:
    who reads."""
    recordings = [read_recording(db, patient, world.model.therapy.name, actor=actor) for patient in patients]
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
            made = Stored(
                patient=each.patient, model_hash=world.fingerprint, data_hash=each.data, created=datetime.now(UTC), code=body
            )
            append(session, local_account(), "personalised", patient=each.patient, rows=[session.merge(made)])
    return {each.patient: _read(each.patient, body) for each, body in zip(recordings, bodies, strict=True)}


def _infer(world: World, recordings: list[PatientSeries]) -> list[Personalisation]:
    therapy = world.model.therapy
    column = therapy.index(therapy.regulated)
    usable = [series for series in recordings if series.mask[:, column].sum() > 1]
    people = {person.patient: person for person in personalise(world.model, usable)}
    return [people.get(series.patient) or typical(world.model, series.patient, stranger(series)) for series in recordings]


TENSORS = ("mean", "covariance", "usual", "minutes", "errors", "persistence", "scores", "correction", "foreseen", "sample")
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
