"""What one treatment gave: insulin from a pump, a pen or a combo bolus, and carbohydrates."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from careplan.formats.nightscout.documents import Account, Document, Placed
from careplan.formats.nightscout.values import affirmed, filled, minutes_of, number
from careplan.records.insulins import find_insulin, known_insulin

EXTENDED = 120.0  # minutes that an extended bolus lasts where nothing says how long
LONG_ACTING = (
    "basalinjection",
    "basalinsulin",
    "longacting",
    "longactinginsulin",
    "basal",
)  # types of a dose of background insulin
PUMP = ("automatic", "isSMB", "pumpId", "pumpType", "pumpSerial", "programmed", "unabsorbed", "bolusType")  # only fast insulin


class Dose(NamedTuple):
    """An amount on its way to a cell; `raw` is what was written of it."""

    field: str
    channel: str
    value: float
    raw: str
    duration: float = 0.0
    flag: str = ""
    product: str = ""


def insulin_doses(placed: Placed, kind: str, account: Account) -> Iterator[Dose]:
    """The insulin of a treatment. kind: its type, in lower case without spaces."""
    document = placed.document
    if affirmed(document.get("isBasalInsulin")):  # AndroidAPS with pens
        kind = LONG_ACTING[0]
    injections: list[tuple[str, object]] | None = pen_injections(document.get("insulinInjections"))
    if injections is None:
        account.drop("unknown insulin", placed, "insulinInjections", f"{document.get('insulinInjections')!r:.80} cannot be read")
    elif injections:
        total, stated = sum(number(units, 0.0) for _, units in injections), number(document.get("insulin"), 0.0)
        if stated and abs(stated - total) > 0.05:
            account.change("sum of injections", placed, "insulin", f"{stated:g} U stated, {total:g} U in the injections count")
        for name, units in injections:
            yield from named_doses(placed, "insulinInjections", name, units, kind, account)
    elif kind == "combobolus" or (filled(document.get("splitExt")) and filled(document.get("enteredinsulin"))):
        yield from combo_doses(placed, account)
    elif filled(document.get("insulin")):
        raw = document["insulin"]
        if "prim" in kind or kind in ("sitechange", "insulinchange", "cannulachange"):
            account.drop("priming", placed, "insulin", f"{raw!r:.20} U to fill a tube or cannula")
        elif filled(document.get("insulinType")):
            yield from named_doses(placed, "insulin", str(document["insulinType"]), raw, kind, account)
        elif kind in LONG_ACTING:
            yield Dose("insulin", "long_acting", number(raw), str(raw))
        else:
            square = str(document.get("type", "")).lower() == "square"
            lasts = bolus_minutes(placed, account) if square else 0.0
            yield Dose("insulin", "bolus", number(raw), str(raw), lasts, automatic(document, kind))


def automatic(document: Document, kind: str) -> str:
    """The flag of a dose that an algorithm gave."""
    smb = kind == "smb" or str(document.get("type", "")).upper() == "SMB"
    return "automatic" if smb or affirmed(document.get("automatic")) or affirmed(document.get("isSMB")) else ""


def pen_injections(value: object) -> list[tuple[str, object]] | None:
    """xDrip's list of (insulin's name, units), which it writes as JSON in a text; None where it holds something else."""
    if value in (None, ""):
        return []
    try:
        parts = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return None
    return [(str(part.get("insulin") or ""), part.get("units")) for part in parts if filled(part.get("units"))]


def named_doses(placed: Placed, field: str, name: str, units: object, kind: str, account: Account) -> Iterator[Dose]:
    """A dose of an insulin by its name, in its parts.

    Rule "unknown insulin": one that the table does not have is left out, unless the treatment says that it is background insulin,
    or that a pump gave it, which holds fast insulin alone.
    """
    document = placed.document
    insulin, amount = find_insulin(name), number(units)
    of_pump = field == "insulin" and any(filled(document.get(sign)) for sign in PUMP)
    if insulin is None and not of_pump and kind not in LONG_ACTING:
        insulin = known_insulin(name)
    if insulin is not None:
        for channel, part in insulin.split(amount) if not np.isnan(amount) else ((insulin.split(1.0)[0][0], amount),):
            flag = automatic(document, "") if channel == "bolus" else ""
            yield Dose(field, channel, part, str(units), flag=flag, product=insulin.name)
    elif kind in LONG_ACTING:
        account.change("unknown insulin", placed, field, f"{name!r:.60}: taken to be long-acting, as the treatment says")
        yield Dose(field, "long_acting", amount, str(units), product=name)
    elif of_pump:
        account.change("unknown insulin", placed, "insulinType", f"{name!r:.60}: a pump's, taken to be rapid")
        yield Dose(field, "bolus", amount, str(units), flag=automatic(document, ""), product=name)
    else:
        account.drop("unknown insulin", placed, field, f"{units!r:.20} U of {name!r:.60}, which is in no table of insulins")


def bolus_minutes(placed: Placed, account: Account) -> float:
    """How long a bolus lasts. Rule "extended bolus": two hours where it does not say."""
    lasts, milliseconds = minutes_of(placed.document)
    if milliseconds:
        account.change(
            "duration in milliseconds", placed, "duration", f"{placed.document.get('duration')!r:.20} to {lasts:g} min"
        )
    if lasts <= 0:
        account.change("extended bolus", placed, "duration", f"spread over {EXTENDED:g} min, as it does not say how long")
    return lasts if lasts > 0 else EXTENDED


def combo_doses(placed: Placed, account: Account) -> Iterator[Dose]:
    """The part of a combo bolus given at once and the part spread over its duration."""
    document = placed.document
    now, later = combo_parts(document)
    if np.isnan(now) or np.isnan(later):
        field = "enteredinsulin" if filled(document.get("enteredinsulin")) else "insulin"
        yield Dose(field, "bolus", np.nan, str(document.get(field)))
        return
    if now != 0:
        yield Dose("insulin", "bolus", now, f"{now:g} at once", flag=automatic(document, ""))
    if later > 0:
        yield Dose("enteredinsulin", "bolus", later, f"{later:g} extended", bolus_minutes(placed, account))
    elif later < 0:
        account.drop("negative", placed, "enteredinsulin", f"{later:g} U extended")
    if later == 0 and now > 0 and minutes_of(document)[0] > 0:
        account.change("combo bolus without a split", placed, "duration", "all of it counts as given at once")


def combo_parts(document: Document) -> tuple[float, float]:
    """`(given at once, extended)`, U, of a combo bolus; NaN where a number cannot be read. Four uploaders write it in four ways:

    - careportal: `enteredinsulin` is the total, `insulin` the part given at once, with `splitNow` and `splitExt` in percent
    - AndroidAPS: `enteredinsulin` is the extended amount, with a split of 0 and 100
    - DanaR: `insulin` 0, and `relative` is the rate of the extended part, U/h
    - tconnectsync: `insulin` is all that was delivered, and nothing is said of a split
    """
    said = {
        name: number(document.get(name), np.nan if filled(document.get(name)) else 0.0) for name in ("enteredinsulin", "insulin")
    }
    total, insulin = said["enteredinsulin"], said["insulin"]
    split_now, split_later = (number(document.get(name)) for name in ("splitNow", "splitExt"))
    if np.isnan(split_later) and not np.isnan(split_now):
        split_later = 100.0 - split_now
    spread = max(0.0, number(document.get("relative"), 0.0)) * minutes_of(document)[0] / 60.0
    if np.isnan(total) or np.isnan(insulin):
        return np.nan, np.nan
    if total:
        if not np.isnan(split_later):
            later = total * min(max(split_later, 0.0), 100.0) / 100.0
        else:
            later = spread if spread else total - insulin if insulin else 0.0
        return round(total - later, 4), round(later, 4)
    if spread:
        return insulin, round(spread, 4)
    if np.isnan(split_later) or split_later <= 0:
        return insulin, 0.0
    if split_later >= 100.0:
        return 0.0, insulin
    return insulin, round(insulin * split_later / (100.0 - split_later), 4)


def carb_doses(placed: Placed, kind: str, gave_insulin: bool, account: Account) -> Iterator[Dose]:
    """The carbohydrates of a treatment. They are eaten over its duration where nothing else in it could last that long."""
    document = placed.document
    if not filled(document.get("carbs")):
        return
    if affirmed(document.get("isFPU")):
        return account.drop("fat and protein", placed, "carbs", f"{document['carbs']!r:.20} g stand for fat and protein")
    lasts, milliseconds = minutes_of(document)
    own = "carb" in kind or (kind in ("mealbolus", "snackbolus", "<none>", "") and not gave_insulin)
    if milliseconds and own:
        account.change("duration in milliseconds", placed, "duration", f"{document.get('duration')!r:.20} to {lasts:g} min")
    yield Dose("carbs", "carbs", number(document["carbs"]), str(document["carbs"]), lasts if own else 0.0)
