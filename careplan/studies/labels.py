"""What logged doses are worth, on the people of a card: who is trained on, who judges, and what to run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from careplan.clinic.errors import ClinicError
from careplan.evaluation.labels import ARMS, RECIPE, Run, label_curve, logged, worth
from careplan.series import PatientSeries
from careplan.studies.training import read_sources
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.weights_folder import WEIGHTS
from careplan.world.model import load_card
from careplan.world.training import Recipe

APART = 4  # of the people trained on, every so many judge, beside those that intervals are calibrated on


def evaluate_labels(
    sources: Sequence[tuple[str, str]],
    folder: Path,
    *,
    shares: Sequence[float],
    seeds: Sequence[int] = (0,),
    arms: Sequence[str] = ARMS[:3],
    recipe: Recipe = RECIPE,
    stride: int = 12,
    say: Callable[[str], None] = print,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Errors by run and person (`label_curve`), and how many times the labels each pretrained arm is worth at the least share.

    Nobody that the card reports on is read, let alone trained on. Raises `ClinicError` where nobody is left to train on or judge.
    """
    train_on, judged = people_of(sources, load_card(GLUCOSE, WEIGHTS)["split"])
    if not judged or not any(logged(series).any() for people in train_on.values() for series in people):
        raise ClinicError("labels are judged on the people of the card: give the recordings that the model was trained with")
    runs = [Run(arm=arm, share=share, seed=seed) for seed in seeds for share in sorted(shares) for arm in arms]
    curve = label_curve(train_on, judged, runs, folder, recipe=recipe, stride=stride, say=say)
    compared = [worth(curve, arm, min(shares)) for arm in arms if arm != "scratch" and "scratch" in arms]
    return curve, pd.concat(compared, ignore_index=True) if compared else pd.DataFrame()


def people_of(
    sources: Sequence[tuple[str, str]], split: dict[str, Any]
) -> tuple[dict[str, list[PatientSeries]], list[PatientSeries]]:
    """By source, whom to train on; and who judges: those calibrated on and every fourth trained on, where doses are logged."""
    recordings = read_sources(sources)
    apart = {*split["calibration"], *sorted(split["train"])[APART // 2 :: APART]}
    train_on: dict[str, list[PatientSeries]] = {}
    judged: list[PatientSeries] = []
    for source, people in recordings.items():
        for name, series in people.items():
            if name in apart and logged(series).any():
                judged.append(series)
            elif name in split["train"]:
                train_on.setdefault(source, []).append(series)
    return train_on, judged
