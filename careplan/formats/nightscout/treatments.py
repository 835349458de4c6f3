"""Nightscout's treatments: doses, meals, finger sticks and exercise as cells; everything else named."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from careplan.formats.nightscout.basal import KINDS, event_kind
from careplan.formats.nightscout.documents import Account, Document, Placed
from careplan.formats.nightscout.doses import Dose, carb_doses, insulin_doses
from careplan.formats.nightscout.entries import MMOL
from careplan.formats.nightscout.values import denied, filled, minutes_of, moments, number, stamp_of
from careplan.records.cells import CELLS
from careplan.records.channels import met_of
from careplan.records.export import METER
from careplan.records.stamps import impossible, stamps_of
from careplan.records.text import beyond
from careplan.records.units import MG_PER_MMOL

STAMPS = ("created_at", "timestamp", "mills", "date")
LEAST = 20.0  # mg/dL: no meter shows less, so a smaller number is in mmol/L whatever its label
OVERRIDING = ("trio", "iaps", "freeaps x")  # apps that upload what they call an override as the type "Exercise"
# Types of treatments that give no dose, meal or reading, as their kinds in a report.
NOTES = {
    **{"note": "note", "announcement": "note", "question": "note", "<none>": "note", "": "note", "d.a.d.alert": "note"},
    **{
        "sitechange": "site change",
        "cannulachange": "site change",
        "insulinchange": "insulin change",
        "pumpbatterychange": "battery change",
    },
    **{"sensorstart": "sensor change", "sensorchange": "sensor change", "sensorstop": "sensor change"},
    **{"temporarytarget": "temporary target", "temporarytargetcancel": "temporary target", "openapsoffline": "loop offline"},
    **{"boluswizard": "bolus calculation", "sleep": "sleep"},
}


def current(treatments: Sequence[Placed], account: Account) -> list[Placed]:
    """The treatments that stand.

    Rule "older version": of those with one identity the last changed counts, or the last in the files. Rule "deleted": AndroidAPS
    sends a deleted document again, marked `isValid: false`.
    """
    standing = list(treatments)
    for identity in IDENTITIES:
        standing = latest(standing, identity, account)
    kept = []
    for placed in standing:
        if "isValid" in placed.document and denied(placed.document["isValid"]):
            account.drop("deleted", placed, "isValid", f"{described(placed.document)} marked as deleted")
        else:
            kept.append(placed)
    return kept


def latest(treatments: Sequence[Placed], identity: Callable[[Document], object], account: Account) -> list[Placed]:
    """Of the treatments that share an identity, the last version; those without one all stand."""
    last: dict[object, tuple[float, Placed]] = {}
    names = [identity(placed.document) for placed in treatments]
    for name, placed in zip(names, treatments, strict=True):
        changed = number(placed.document.get("srvModified"), 0.0)
        if name is not None and (name not in last or changed >= last[name][0]):
            last[name] = changed, placed
    standing = []
    for name, placed in zip(names, treatments, strict=True):
        if name is not None and last[name][1] is not placed:
            account.drop("older version", placed, "identifier", f"{described(placed.document)} was written again")
        else:
            standing.append(placed)
    return standing


def given(name: str) -> Callable[[Document], object]:
    """The identity that an uploader states in a field."""
    return lambda document: str(document[name]) if filled(document.get(name)) else None


def of_pump(document: Document) -> object:
    """The pump's own number of a delivery, with the pump, the day and what was delivered: pumps number each kind by itself, a
    combo bolus's two parts alike, and begin again."""
    if not filled(document.get("pumpId")):
        return None
    kind = event_kind(document)
    what = kind if kind in KINDS or kind == "combobolus" else (filled(document.get("insulin")), filled(document.get("carbs")))
    day = str(document.get("created_at") or "")[:10]
    return str(document["pumpId"]), str(document.get("pumpType")), str(document.get("pumpSerial")), what, day


def of_database(document: Document) -> object:
    """The database's identifier, with the type and the time: files may repeat a document."""
    if not filled(document.get("_id")):
        return None
    return str(document["_id"]), str(document.get("eventType")), str(document.get("created_at", document.get("date")))


# What two versions of one document may share: the identifier of AndroidAPS 3, Loop's, the pump's number, the database's.
IDENTITIES = (given("identifier"), given("syncIdentifier"), of_pump, of_database)


def described(document: Document) -> str:
    """A treatment in a few words."""
    amounts = [
        f"{name} {document[name]!r:.20}"
        for name in ("insulin", "carbs", "absolute", "rate", "percent")
        if filled(document.get(name))
    ]
    return " ".join([str(document.get("eventType") or "treatment"), *amounts])


def basal_treatments(treatments: Sequence[Placed], account: Account) -> tuple[list[Placed], pd.Series]:
    """The treatments that change basal, and when, `[N]` in UTC; those without a possible time are reported."""
    mine = [placed for placed in treatments if event_kind(placed.document) in KINDS]
    times = times_of(mine)
    possible = ~impossible(times)
    for index in np.flatnonzero(~possible).tolist():
        name, text = stamp_of(STAMPS, mine[index].document.get)
        account.drop("impossible date", mine[index], name, repr(text))
    return [placed for placed, there in zip(mine, possible, strict=True) if there], times[possible].reset_index(drop=True)


def times_of(treatments: Sequence[Placed]) -> pd.Series:
    """`[N]` when each began, in UTC."""
    return moments(*([placed.document.get(name) for placed in treatments] for name in STAMPS))


def treatment_cells(treatments: Sequence[Placed], site_units: str, account: Account) -> pd.DataFrame:
    """Cells (`CELLS` and `product`) of the treatments; those that give none are on the account.

    site_units: of glucose where a treatment does not say, "" where the site does not either.
    """
    doses: list[Dose] = []
    owner: list[int] = []
    rest = [placed for placed in treatments if event_kind(placed.document) not in KINDS]
    for index, placed in enumerate(rest):
        if is_override(placed.document):
            account.leave_out("override", placed.file, placed.row, repr(str(placed.document.get("notes") or ""))[:40])
            continue
        before = len(account.corrections)
        given = list(doses_of(placed, site_units, account))
        if not given and len(account.corrections) == before:
            kind = event_kind(placed.document)
            if kind in NOTES or any(word in kind for word in ("bolus", "carb", "check", "injection")):
                account.ignore(NOTES.get(kind, "nothing given"))
            else:
                account.leave_out("other event", placed.file, placed.row, repr(str(placed.document.get("eventType")))[:40])
        doses += given
        owner += [index] * len(given)
    every = times_of(rest)
    account.stamps |= stamps_of(every, lambda index: rest[index][:2], lambda index: stamp_of(STAMPS, rest[index].document.get))
    times = every.iloc[owner].reset_index(drop=True)
    frame = pd.DataFrame(doses, columns=list(Dose._fields)).assign(
        file=[rest[index].file for index in owner], row=[rest[index].row for index in owner], time=times
    )
    return frame[[*CELLS, "product"]].astype({"row": "int64", "value": float, "duration": float})


def is_override(document: Document) -> bool:
    """Whether a treatment of the type "Exercise" is an app's override of its settings, and nobody's exercise."""
    return event_kind(document) == "exercise" and str(document.get("enteredBy") or "").lower() in OVERRIDING


def doses_of(placed: Placed, site_units: str, account: Account) -> Iterator[Dose]:
    """Everything one treatment gave or measured."""
    document, kind = placed.document, event_kind(placed.document)
    if str(document.get("type", "")).upper() == "PRIMING":
        account.drop("priming", placed, "type", f"{document.get('insulin')!r:.20} U to fill a tube or cannula")
        return
    insulin = list(insulin_doses(placed, kind, account))
    yield from insulin
    yield from carb_doses(placed, kind, bool(insulin), account)
    yield from finger_sticks(placed, kind, site_units, account)
    if kind in ("exercise", "activity"):
        yield from exercise(placed, account)


def finger_sticks(placed: Placed, kind: str, site_units: str, account: Account) -> Iterator[Dose]:
    """A finger stick: the glucose of a BG check or a calibration, or of any treatment that says it is from a finger.

    Rules "mmol/L labelled mg/dL" and the reverse: a value no meter shows in the unit it is labelled with is in the other one.
    """
    document = placed.document
    raw, source = document.get("glucose", document.get("mbg")), str(document.get("glucoseType", "")).lower()
    check = kind in ("bgcheck", "glucosecheck") or "calibration" in kind
    if not filled(raw) or not (source == "finger" or check):
        return
    if source == "sensor":
        account.drop("sensor's reading", placed, "glucose", f"{raw!r:.20}, which the entries hold")
        return
    if isinstance(raw, str) and (said := beyond(raw)):
        limit = METER[said[0] == "high"] if np.isnan(said[1]) else said[1]
        mg = limit * MG_PER_MMOL if limit < MMOL and not np.isnan(said[1]) else limit
        yield Dose("glucose", "glucose", mg, raw, flag=f"fingerstick {said[0]}")
        return
    value = number(raw)
    stated = str(document.get("units") or "").lower() or site_units.lower()
    mmol = stated.startswith("mmol")
    if mmol and value >= MMOL:
        account.change("mg/dL labelled mmol/L", placed, "glucose", f"{value:g}")
        mmol = False
    elif not mmol and value < LEAST:
        rule = "mmol/L labelled mg/dL" if stated else "mmol/L by its size"
        account.change(rule, placed, "glucose", f"{value:g} mmol/L to {value * MG_PER_MMOL:.0f} mg/dL")
        mmol = True
    yield Dose("glucose", "glucose", value * MG_PER_MMOL if mmol else value, str(raw), flag="fingerstick")


def exercise(placed: Placed, account: Account) -> Iterator[Dose]:
    """Exercise as MET for as long as it lasted. Rule "exercise": a word in the notes says how hard, else it is moderate."""
    document = placed.document
    lasts, _ = minutes_of(document)
    if lasts <= 0:
        account.drop("no duration", placed, "duration", f"exercise {str(document.get('notes') or '')!r:.40}")
        return
    found = met_of(str(document.get("intensity") or document.get("notes") or ""))
    account.change("exercise", placed, "duration", f"{lasts:g} min taken as {found:g} MET")
    yield Dose("duration", "activity", found, f"{lasts:g}", lasts)
