"""One unit of a cohort judged: each person's forecasts, intervals, risks, looks and days, as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from careplan.evaluation.forecasts import Predictor, rms, spaced, steps, truths
from careplan.evaluation.intervals import happens
from careplan.minutes import DAY
from careplan.records import PatientRecord, to_series
from careplan.series import PatientSeries, cadence
from careplan.studies.dosing import dosing_table
from careplan.studies.evaluation import GIVEN, delivery
from careplan.studies.report.protocol import Protocol
from careplan.therapies.glucose.metrics import glucose_metrics
from careplan.therapy import Therapy
from careplan.world.forecast import predict, predict_each
from careplan.world.loaded import World, reasons_to_abstain
from careplan.world.personalise import Personalisation, personalise, typical
from careplan.world.question import Given

WEEK = 7 * DAY
BINS = 50  # of a predicted risk, from 0 to 1
LOGGED = 0.3  # share of the days with a dose, above which doses are called logged
TABLES = ("people", "windows", "forecasts", "intervals", "risks", "looks", "days", "left_out")
Tables = dict[str, pd.DataFrame]
Foreseen = tuple[Tensor, Tensor, Tensor]  # minutes, levels and offsets, as `predict` gives them


@dataclass(frozen=True, eq=False)
class Chosen:
    """One person to judge: the recording, the row from which on they are judged, and what the reader says of them."""

    unit: str
    record: PatientRecord
    series: PatientSeries
    begin: int


def choose(
    unit: str, records: Sequence[PatientRecord], therapy: Therapy, protocol: Protocol
) -> tuple[list[Chosen], list[dict[str, str]]]:
    """Who of a unit can be judged, and who is left out and why, a row each: unit, patient, reason, detail."""
    chosen, left_out = [], []
    for record in records:
        try:
            series = to_series(record, therapy)
        except ValueError as error:
            left_out.append({"unit": unit, "patient": record.patient, "reason": "not on the grid", "detail": str(error)})
            continue
        known = np.flatnonzero(series.mask[:, therapy.index(therapy.regulated)])
        begin = judged_from(known, therapy.step, protocol)
        rows = spaced(series, protocol.horizons, protocol.stride)
        days = (known[-1] - known[0] + 1) * therapy.step / DAY if len(known) else 0.0
        if not len(known):
            reason, detail = f"no {therapy.regulated}", ""
        elif days < protocol.least:
            reason, detail = f"under {protocol.least:g} days", f"{days:.2f} days"
        elif not (rows >= begin).any():
            reason, detail = "no moment to forecast from", "readings are too sparse or too gappy in the part that is judged"
        else:
            chosen.append(Chosen(unit, record, series, begin))
            continue
        left_out.append({"unit": unit, "patient": record.patient, "reason": reason, "detail": detail})
    return chosen, left_out


def judged_from(seen: NDArray[np.int64], step: float, protocol: Protocol) -> int:
    """The row from which on a person is judged, by the rows `[N]` with a reading; what lies between the first of them and it
    personalises the model. step: minutes of a row.
    """
    if not len(seen):
        return 0
    first, end = int(seen[0]), int(seen[-1]) + 1
    begin = first + steps(protocol.known * DAY, step)
    return begin if begin + steps(3 * DAY, step) <= end else first + round(protocol.share * (end - first))


def judge(world: World, chosen: Sequence[Chosen], protocol: Protocol, beside: Mapping[str, Predictor]) -> Tables:
    """The tables of everyone in a unit, personalised together. beside: the baselines, by name."""
    rows: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    people = personalise(world.model, [one.series.until(one.begin) for one in chosen]) if chosen else []
    for one, person in zip(chosen, people, strict=True):
        who = {"unit": one.unit, "patient": one.record.patient}
        at = moments(one, protocol)
        found, foreseen = forecast(world, one, at, person, protocol, beside)
        rows["windows"].append(windows(one, at, protocol, found).assign(**who))
        rows["forecasts"].append(errors(one, at, protocol, found).assign(**who))
        rows["intervals"].append(covered(world, one, at, person, protocol, foreseen).assign(**who))
        rows["risks"].append(risks(world, one, at, foreseen).assign(**who))
        rows["looks"].append(weekly_abstentions(world, one, person, protocol).assign(**who))
        rows["days"].append(dosing_table(one.series).assign(**who))
        rows["people"].append(pd.DataFrame([who | described(one, len(at))]))
    return {name: pd.concat(parts, ignore_index=True) if parts else pd.DataFrame() for name, parts in rows.items()}


def moments(one: Chosen, protocol: Protocol) -> NDArray[np.int64]:
    """`[N]` rows that are forecast from, evenly chosen where there are more than `protocol.most`."""
    rows = spaced(one.series, protocol.horizons, protocol.stride)
    rows = rows[rows >= one.begin]
    return rows if len(rows) <= protocol.most else rows[np.linspace(0, len(rows) - 1, protocol.most).round().astype(int)]


def forecast(
    world: World,
    one: Chosen,
    rows: NDArray[np.int64],
    person: Personalisation,
    protocol: Protocol,
    beside: Mapping[str, Predictor],
) -> tuple[dict[str, NDArray[np.float64]], Foreseen]:
    """Levels `[N, H]` by model: careplan, of a stranger and personal, told nothing, the plan and the record; the baselines. And
    what is foreseen of the person, told nothing."""
    stranger = typical(world.model, one.record.patient, person.usual)
    found = {name: np.asarray(model(one.series, rows), dtype=float) for name, model in beside.items()}
    asked = {
        name.replace("careplan", who): (known, given)
        for who, known in (("careplan", stranger), ("careplan, personal", person))
        for name, given in GIVEN.items()
    }
    answers = dict(zip(asked, predict_each(world.model, one.series, rows.tolist(), list(asked.values())), strict=True))
    for name, (minutes, levels, _) in answers.items():
        found[name] = levels[:, places(minutes, protocol.horizons)].double().numpy()
    return found, answers["careplan, personal"]


def places(minutes: Tensor, horizons: Sequence[int]) -> list[int]:
    """Where the horizons lie among the minutes of a forecast."""
    return [int(np.flatnonzero(minutes.numpy() == horizon)[0]) for horizon in horizons]


def windows(one: Chosen, rows: NDArray[np.int64], protocol: Protocol, found: Mapping[str, NDArray[np.float64]]) -> pd.DataFrame:
    """A row a moment: time, level, and truth and the personal forecast at each horizon, told nothing."""
    truth, ours = truths(one.series, rows, protocol.horizons), found["careplan, personal"]
    level = one.series.column(one.series.therapy.regulated)
    columns: dict[str, Any] = {"time": one.series.times[rows], "level": level[rows - 1].astype(float)}
    for place, horizon in enumerate(protocol.horizons):
        columns |= {f"measured_{horizon}": truth[:, place], f"forecast_{horizon}": ours[:, place].round(2)}
    return pd.DataFrame(columns)


def errors(one: Chosen, rows: NDArray[np.int64], protocol: Protocol, found: Mapping[str, NDArray[np.float64]]) -> pd.DataFrame:
    """Root mean square and mean absolute error by model and horizon."""
    truth = truths(one.series, rows, protocol.horizons)
    table = [
        {"model": name, "horizon": horizon, "n": len(rows), "rmse": rms(missed), "mae": float(np.abs(missed).mean())}
        for name, levels in found.items()
        for place, horizon in enumerate(protocol.horizons)
        for missed in [levels[:, place] - truth[:, place]]
    ]
    return pd.DataFrame(table)


def covered(
    world: World, one: Chosen, rows: NDArray[np.int64], person: Personalisation, protocol: Protocol, foreseen: Foreseen
) -> pd.DataFrame:
    """Coverage and width of the 90 % intervals about the personal forecast, told nothing, by horizon."""
    minutes, levels, offsets = foreseen
    at = places(minutes, protocol.horizons)
    factor = world.interval_factors(person)[Given.NOTHING][[horizon // 30 - 1 for horizon in protocol.horizons]]
    low, high = (levels[:, at] + factor * offsets[:, at, edge] for edge in (0, 3))
    truth = truths(one.series, rows, protocol.horizons)
    inside = (truth >= low.numpy()) & (truth <= high.numpy())
    width = (high - low).mean(0)
    return pd.DataFrame(
        {
            "horizon": protocol.horizons,
            "n": len(rows),
            "coverage": inside.mean(0),
            "width": width.double().numpy(),
        }
    )


def risks(world: World, one: Chosen, rows: NDArray[np.int64], foreseen: Foreseen) -> pd.DataFrame:
    """How often each hazard came true, by bins of the risk that was told where the level was not beyond already: hazard, bin, n,
    events."""
    level, table = one.series.column(one.series.therapy.regulated).astype(float), []
    for hazard in one.series.therapy.hazards:
        whole = rows + steps(hazard.within, one.series.therapy.step) <= len(one.series)
        still = whole & (hazard.side * level[rows - 1] <= hazard.side * hazard.level)
        fine = rows[still]
        if not len(fine):
            continue
        told = world.risk_of(hazard.name, *foreseen)[still]
        true = happens(one.series, fine, hazard.name)
        which = np.minimum((told * BINS).astype(int), BINS - 1)
        counts, events = np.bincount(which, minlength=BINS), np.bincount(which, true, BINS)
        used = np.flatnonzero(counts)
        table.append(pd.DataFrame({"hazard": hazard.name, "bin": used, "n": counts[used], "events": events[used].astype(int)}))
    return pd.concat(table, ignore_index=True) if table else pd.DataFrame(columns=["hazard", "bin", "n", "events"])


def weekly_abstentions(world: World, one: Chosen, person: Personalisation, protocol: Protocol) -> pd.DataFrame:
    """Each week of the judged part: why nothing would be suggested (empty: something could), and how the following three days'
    forecasts missed, at an hour, beside persistence."""
    step = one.series.therapy.step
    level = one.series.column(one.series.therapy.regulated).astype(float)
    possible, table = spaced(one.series, (60,), protocol.stride), []
    for row in range(one.begin, len(one.series), steps(WEEK, step)):
        reasons = reasons_to_abstain(world, one.series, person, row=row)
        rows = possible[(possible >= row) & (possible < row + steps(3 * DAY, step))]
        missed = still = np.nan
        if len(rows):
            hour = steps(60, step)
            _, levels, _ = predict(world.model, one.series, rows.tolist(), person, given=Given.NOTHING, horizon=hour)
            truth = truths(one.series, rows, (60,))[:, 0]
            missed, still = rms(levels[:, -1].numpy() - truth), rms(level[rows - 1] - truth)
        kinds = sorted({reason.split(":")[0] for reason in reasons})
        table.append({"row": row, "abstains": bool(reasons), "reasons": "; ".join(kinds), "rmse": missed, "persistence": still})
    return pd.DataFrame(table)


def described(one: Chosen, moments: int) -> dict[str, Any]:
    """Who a person is: what subgroups are made of, and the consensus metrics of the whole recording."""
    series = one.series
    level = np.asarray(series.column(series.therapy.regulated), dtype=float)
    metrics = glucose_metrics(level)
    dosed = series.mask[:, [series.therapy.index(channel.name) for channel in series.therapy.of("action")]].any(1)
    spacing = cadence(series)
    within = metrics.in_range or 0.0
    return {
        "group": one.record.group,
        "source": one.record.source,
        "delivery": delivery(series),
        "sensor": "every 5 min" if spacing <= 7.5 else "every 15 min" if spacing <= 20 else "finger-sticks",
        "doses": "logged" if dosed.mean() > LOGGED else "not logged",
        "baseline": "below 50 % in range" if within < 50 else "50-70 % in range" if within < 70 else "above 70 % in range",
        "days": round(len(series) * series.therapy.step / DAY, 2),
        "moments": moments,
        "readings": int(series.mask[:, series.therapy.index(series.therapy.regulated)].sum()),
        "corrections": len(one.record.corrections),
        "in_range": metrics.in_range,
        "below_70": None if metrics.low is None or metrics.very_low is None else metrics.low + metrics.very_low,
        "mean": metrics.mean,
        "cv": metrics.cv,
    }
