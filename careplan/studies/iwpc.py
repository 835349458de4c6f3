"""The stable doses that the IWPC collected, beside what its equations and the world model say of them from covariates alone.

The table is the consortium's own (PharmGKB's "IWPC data set"), fetched by whoever runs this; careplan ships none of it.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from careplan.errors import AskError
from careplan.series import PatientSeries
from careplan.therapies.warfarin.courses import courses_of
from careplan.therapies.warfarin.covariates import Covariates, covariates_of, known
from careplan.therapies.warfarin.declaration import WARFARIN
from careplan.therapies.warfarin.protocols import iwpc_clinical, iwpc_pharmacogenetic
from careplan.therapies.warfarin.search import settled_dose
from careplan.world.corpus import stranger
from careplan.world.model import WorldModel
from careplan.world.personalise import typical

# By what a column's name begins with in the consortium's table, whatever its spaces; the first that is there.
COLUMNS = {
    "race": ("Race (OMB)",),
    "age": ("Age",),
    "height": ("Height",),
    "weight": ("Weight",),
    "amiodarone": ("Amiodarone",),
    "cyp2c9": ("CYP2C9 consensus", "Cyp2C9 genotypes"),
    "vkorc1": ("VKORC1 -1639 consensus", "VKORC1 genotype: -1639"),
    "dose": ("Therapeutic Dose of Warfarin",),
}
STABLE = "Subject Reached Stable Dose"  # 0 where the dose is not one
INDUCERS = ("Carbamazepine", "Phenytoin", "Rifampin")
NEAR = 0.2  # a dose within a fifth of the stable one, as the consortium counts
TOGETHER = 64  # people rolled out at once


@dataclass(frozen=True)
class Stable:
    """One person: what is known, and the stable dose in mg a week. held_out: of the half that nothing may be chosen on."""

    known: Covariates
    facts: Mapping[str, float | str]
    dose: float
    held_out: bool


def read_iwpc(path: Path) -> list[Stable]:
    """The people of the table (text or a workbook) whose stable dose, age, height and weight are known.

    Genotypes that the equations do not know count as unknown. Raises `AskError` where a column is missing or nobody is left.
    """
    try:
        frame = pd.read_excel(path, engine="calamine") if path.suffix.lower() in (".xls", ".xlsx") else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise AskError(f"{path}: cannot be read as a table: {error}") from error
    columns = {name: _column(frame, starts, path) for name, starts in COLUMNS.items()}
    inducers = [found for start in INDUCERS if (found := _column(frame, (start,))) is not None]
    stable = _column(frame, (STABLE,))
    people = []
    for row, each in enumerate(frame.to_dict("records")):
        if stable is not None and _number(each[stable]) == 0:
            continue
        stated_row = {name: each[str(column)] for name, column in columns.items()}
        person = _person(stated_row, [each[inducer] for inducer in inducers], zlib.crc32(str(row).encode()) % 2 == 0)
        people += [] if person is None else [person]
    if not people:
        raise AskError(f"{path}: nobody with a stable dose, an age, a height and a weight")
    return people


def judge(model: WorldModel, people: Sequence[Stable]) -> dict[str, dict[str, float]]:
    """Of the held-out half, by who says the dose: % within a fifth of the stable one, and the mean error in mg a week."""
    held = [person for person in people if person.held_out]
    true = np.array([person.dose for person in held])
    said = {
        "iwpc_clinical": np.array([iwpc_clinical(person.known) for person in held]),
        "iwpc_pharmacogenetic": np.array([iwpc_pharmacogenetic(person.known) for person in held]),
        "careplan": np.concatenate(
            [_suits(model, held[first : first + TOGETHER]) for first in range(0, len(held), TOGETHER)] or [np.zeros(0)]
        ),
    }
    return {
        name: {
            "people": float(len(held)),
            "within_20": round(100 * float((np.abs(dose / true - 1) <= NEAR).mean()), 1),
            "mean_error": round(float(np.abs(dose - true).mean()), 2),
        }
        for name, dose in said.items()
    }


def _suits(model: WorldModel, people: Sequence[Stable]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Mg a week that suit in the end, by what is known before any INR."""
    rows, channels = 1, len(WARFARIN.channels)
    mask = np.ones((rows, channels), bool)
    mask[:, WARFARIN.index("inr")] = False
    start = pd.Timestamp("2026-01-05", tz="UTC")
    recordings = [
        PatientSeries(str(place), WARFARIN, start, "UTC", np.zeros((rows, channels), np.float32), mask, dict(person.facts))
        for place, person in enumerate(people)
    ]
    strangers = [typical(model, series.patient, stranger(series)) for series in recordings]
    with torch.no_grad():
        return settled_dose(courses_of(model, recordings, strangers)).double().numpy()


def _column(frame: pd.DataFrame, starts: Sequence[str], path: Path | None = None) -> str | None:
    plain = {" ".join(str(name).lower().split()): str(name) for name in frame.columns}
    found = [name for start in starts for text, name in plain.items() if text.startswith(start.lower())]
    if not found and path is not None:
        raise AskError(f"{path}: no column begins with {starts[0]!r}; it has {', '.join(map(str, frame.columns[:8]))} and others")
    return found[0] if found else None


def _person(stated_row: Mapping[str, object], inducers: Sequence[object], held_out: bool) -> Stable | None:
    """One row; None where the dose or the body is not known."""
    dose, height, weight, age = (_number(stated_row[name]) for name in ("dose", "height", "weight", "age"))
    if min(dose, height, weight, age) <= 0:
        return None
    stated: dict[str, object] = {"age": age, "height": height, "weight": weight, "race": _race(str(stated_row["race"]))}
    stated |= {name: _typed(name, stated_row[name]) for name in ("cyp2c9", "vkorc1")}
    stated |= {"amiodarone": _number(stated_row["amiodarone"]) == 1, "inducer": any(_number(each) == 1 for each in inducers)}
    try:
        return Stable(covariates_of(stated), known(stated), dose, held_out)
    except AskError:  # beyond what can be of an adult
        return None


def _number(value: object) -> float:
    """A number, the beginning of a span of years ("60 - 69"), or -1 where there is none."""
    text = str(value).split("-")[0].replace("+", "").strip()
    try:
        number = float(text)
    except ValueError:
        return -1.0
    return number if math.isfinite(number) else -1.0


def _race(text: str) -> str:
    return next((race for race in ("white", "asian", "black") if race in text.lower()), "other")


def _typed(name: str, value: object) -> object:
    """A genotype, None where it is missing or none that the equations know."""
    try:
        return None if value is None or str(value) in ("nan", "NA", "") else getattr(covariates_of({name: value}), name)
    except AskError:
        return None
