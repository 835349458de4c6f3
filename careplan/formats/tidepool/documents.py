"""What each of Tidepool's documents says of a channel: events, a correction, or a counted kind of no channel."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from careplan.records.channels import INTENSITY
from careplan.records.correction import Correction
from careplan.records.events import join_flags
from careplan.records.insulins import find_insulin, known_insulin
from careplan.records.units import MG_PER_MMOL

Document = dict[str, Any]
Row = tuple[object, ...]  # of `CELLS`, the product and the device

MS = 60_000.0  # milliseconds in a minute
MASS = ("mg/dL", "mg/dl", "mg/DL", "MG/DL")  # how the unit of a concentration by mass is written
CENSORED = {39: 40.0, 401: 400.0}  # mg/dL: how receivers write "Low" and "High"
LOW_MMOL, HIGH_MMOL = 10.0, 35.0  # a larger limit of "Low" or "High" is in mg/dL
LATEST = 7e12  # milliseconds: in the year 2191
LEAST, MOST = 20.0, 600.0  # mg/dL: what any device can show
EXTENDED_MINUTES = 120.0  # assumed where an extended bolus does not say: AZT1D's rule
EXCHANGE = 15.0  # g of carbohydrate in one of Tidepool's exchanges
ACTING = {"rapid": "bolus", "short": "bolus", "intermediate": "long_acting", "long": "long_acting"}
EFFORT = {"low": "light", "medium": "moderate", "high": "vigorous"}
UNITS = {"milliseconds": 1 / MS, "seconds": 1 / 60.0, "minutes": 1.0, "hours": 60.0, "days": 1440.0}


@dataclass(eq=False)
class Reading:
    """The documents of one file on their way to events; every one ends in `cells`, in `corrections`, or counted in `ignored`."""

    file: str
    mmol: bool  # whether the documents' glucose is in mmol/L whatever they say of their settings
    cells: list[Row] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    ignored: dict[str, tuple[int, int]] = field(default_factory=dict)  # kind -> how many, and the row of the first
    ends: dict[str, pd.Timestamp] = field(default_factory=dict)  # upload -> when it was made
    ungiven: set[str] = field(default_factory=set)  # boluses of which nothing was delivered

    def add(
        self,
        row: int,
        document: Document,
        name: str,
        channel: str,
        value: float | None,
        *,
        flag: str = "",
        product: str = "",
        **more: float,
    ) -> None:
        """One event; `raw` is what the document says under `name`."""
        get = document.get
        said, device = get(name), get("deviceId") or ""
        lasts = more["duration"] if more else 0.0
        raw = str(value if said is None else said)
        self.cells.append((self.file, row, name, raw, get("time"), channel, value, lasts, flag, product, str(device)))

    def report(self, row: int, name: str, rule: str, detail: str, *, dropped: bool = True) -> None:
        self.corrections.append(Correction("dropped" if dropped else "changed", rule, self.file, row, name, detail))

    def ignore(self, row: int, kind: str) -> None:
        count, first = self.ignored.get(kind, (0, row))
        self.ignored[kind] = (count + 1, first)


def number(value: object) -> float | None:
    """A number however it is written; None where there is none."""
    if type(value) is float and -LATEST < value < LATEST:
        return value
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value.replace(",", ".") if isinstance(value, str) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return found if abs(found) < LATEST else None


def moment(time: object) -> pd.Timestamp:
    """A time as the API writes it; NaT where it is none."""
    return pd.to_datetime(str(time or ""), utc=True, errors="coerce")  # type: ignore[return-value]


def time_of(document: Document) -> str:
    """When a document's event was, in UTC: as it states, by a database's epoch in milliseconds, or else by the device's clock,
    which is UTC + `timezoneOffset` (min) + `conversionOffset` (ms); empty where nothing tells.

    Source: tidepool.redocly.app/docs/datetime/btutc/timezone.
    """
    time = document.get("time")
    while isinstance(time, dict):
        time = time.get("$date", time.get("$numberLong"))
    if (epoch := number(time)) is not None:
        return pd.Timestamp(epoch, unit="ms", tz="UTC").isoformat()
    if isinstance(time, str) and time:
        return time
    shown, offset = moment(document.get("deviceTime")), number(document.get("timezoneOffset"))
    if offset is None or pd.isna(shown):
        return ""
    wrong = number(document.get("conversionOffset")) or 0.0
    return (shown - pd.Timedelta(minutes=offset) - pd.Timedelta(milliseconds=wrong)).isoformat()


def glucose(reading: Reading, row: int, document: Document) -> None:
    """A sensor's reading, a finger stick or a calibration; out of range by its annotation."""
    value, flag = number(document.get("value")), ""
    level = value if value is None or document.get("units") in MASS else value * MG_PER_MMOL
    bounds = (
        [each for each in annotations(document) if each.get("code") == "bg/out-of-range"] if "annotations" in document else []
    )
    if bounds:
        flag = join_flags(str(bounds[0].get("value", "")))
        limit = number(bounds[0].get("threshold"))
        if limit is not None and (level is None or not LEAST <= level <= MOST):
            level = limit if limit > (LOW_MMOL if flag == "low" else HIGH_MMOL) else limit * MG_PER_MMOL
        level = level if level is None else CENSORED.get(round(level), level)
        level = level if level is None or flag != "low" else max(level, LEAST)  # 1.11 mmol/L is a meter's 20 mg/dL
    elif level is not None and document.get("type") == "cbg" and round(level) in CENSORED and not reads_beyond(document):
        flag = "low" if level < 100.0 else "high"
        level = CENSORED[round(level)]
    if document.get("type") != "cbg":
        flag = join_flags("fingerstick", flag)
    reading.add(row, document, "value", "glucose", level, flag=flag)


def reads_beyond(document: Document) -> bool:
    """Whether the sensor is one that measures to 500 mg/dL, for which 401 is a reading."""
    return any(name in str(document.get("deviceId", "")).lower() for name in ("abbott", "libre"))


def bolus(reading: Reading, row: int, document: Document) -> None:
    normal, extended = number(document.get("normal")), number(document.get("extended"))
    if normal is None and extended is None:
        reading.report(row, "normal", "no amount", f"bolus {document.get('subType')!r} without normal and extended")
        return
    if not normal and not extended:
        reading.report(
            row, "normal", "nothing given", f"0 U of {document.get('expectedNormal') or document.get('expectedExtended') or 0} U"
        )
        return
    context = str(document.get("deliveryContext") or "")
    flag = "automatic" if document.get("subType") == "automated" or context == "algorithm" else ""
    product = brand_of(document.get("insulinFormulation"))
    if normal:
        reading.add(row, document, "normal", "bolus", normal, flag=flag, product=product)
    if extended:
        length = number(document.get("duration"))
        if not length or length < 0:
            reading.report(
                row, "duration", "extended bolus", f"{extended:g} U over {EXTENDED_MINUTES:g} min, assumed", dropped=False
            )
            length = EXTENDED_MINUTES * MS
        reading.add(row, document, "extended", "bolus", extended, flag=flag, product=product, duration=length / MS)


def is_ungiven(document: Document) -> bool:
    """Whether a bolus was stopped before any of it was delivered."""
    given, asked = ("normal", "extended"), ("expectedNormal", "expectedExtended")
    return not any(number(document.get(name)) for name in given) and any(number(document.get(name)) for name in asked)


def basal(reading: Reading, row: int, document: Document) -> None:
    """A rate that was delivered. Rule "fabricated basal": one made up from the schedule counts until its upload at most."""
    rate, length = number(document.get("rate")), number(document.get("duration"))
    delivery = str(document.get("deliveryType") or "")
    if delivery == "suspend":
        rate = 0.0
    suppressed = document.get("suppressed")
    if rate is None and isinstance(suppressed, dict) and number(document.get("percent")) is not None:
        rate = (number(document.get("percent")) or 0.0) * (number(suppressed.get("rate")) or 0.0)
    if rate is None:
        reading.report(row, "rate", "no amount", f"basal {delivery!r} without a rate")
        return
    if length == 0:
        reading.report(row, "duration", "nothing given", f"{rate:g} U/h for no time")
        return
    if any(str(each.get("code", "")).endswith("fabricated-from-schedule") for each in annotations(document)):
        end = reading.ends.get(str(document.get("uploadId")), moment(None))
        left = (end - moment(document.get("time"))).total_seconds() * 1000.0
        if not left > 0:
            reading.report(row, "rate", "fabricated basal", f"{rate:g} U/h made up from the schedule, no upload to end it")
            return
        if length is None or left < length:
            reading.report(
                row, "duration", "fabricated basal", f"{rate:g} U/h made up from the schedule: to the upload", dropped=False
            )
            length = left
    flag = "automatic" if delivery == "automated" else ""
    name = "rate" if document.get("rate") is not None else "deliveryType"
    minutes = float("nan") if length is None or length < 0 else length / MS
    reading.add(
        row, document, name, "basal", rate, flag=flag, product=brand_of(document.get("insulinFormulation")), duration=minutes
    )


def wizard(reading: Reading, row: int, document: Document) -> None:
    """The carbs that a bolus was calculated for. Its recommendations are no doses. Rule "not delivered": nothing of the bolus was
    given, so that these carbs may be told again with the next."""
    carbs, dose = number(document.get("carbInput")), document.get("bolus")
    if not carbs:
        reading.ignore(row, "wizard without carbs")
        return
    if is_ungiven(dose) if isinstance(dose, dict) else str(dose) in reading.ungiven:
        reading.report(row, "carbInput", "not delivered", f"{carbs:g} of a bolus that was not given")
        return
    if document.get("carbUnits") == "exchanges":
        reading.report(row, "carbInput", "exchanges to g", f"{carbs:g} exchanges of {EXCHANGE:g} g", dropped=False)
        carbs *= EXCHANGE
    reading.add(row, document, "carbInput", "carbs", carbs)


def food(reading: Reading, row: int, document: Document) -> None:
    nutrition = document.get("nutrition")
    part = nutrition.get("carbohydrate") if isinstance(nutrition, dict) else None
    carbs = number(part.get("net", part.get("total"))) if isinstance(part, dict) else None
    if carbs is None:
        reading.report(row, "nutrition", "no amount", f"food {document.get('name') or ''!r} without carbohydrate")
    elif carbs == 0:
        reading.report(row, "nutrition", "nothing given", "0 g")
    else:
        reading.add(row, document, "nutrition", "carbs", carbs)


def pen(reading: Reading, row: int, document: Document) -> None:
    """An injection. Rule "unknown insulin": what neither its brand nor its stated action tells is not guessed."""
    dose = document.get("dose")
    units = number(dose.get("total")) if isinstance(dose, dict) else None
    if units is None:
        reading.report(row, "dose", "no amount", "an injection without a total")
        return
    if units == 0:
        reading.report(row, "dose", "nothing given", "0 U")
        return
    formulation = document.get("formulation")
    product = brand_of(formulation)
    simple = formulation.get("simple") if isinstance(formulation, dict) else None
    stated = isinstance(simple, dict) and simple.get("actingType") in ACTING
    known = find_insulin(product) if stated else known_insulin(product)
    if known is not None:
        parts = known.split(units)
    elif isinstance(simple, dict) and simple.get("actingType") in ACTING:
        parts = ((ACTING[str(simple["actingType"])], units),)
    else:
        reading.report(
            row, "formulation", "unknown insulin", f"{units:g} U of {product or 'an insulin without a name'!r}: which is it?"
        )
        return
    for channel, part in parts:
        reading.add(row, document, "dose", channel, part, product=product)


def brand_of(formulation: object) -> str:
    """The insulin's name, where a document states one."""
    if not isinstance(formulation, dict):
        return ""
    simple = formulation.get("simple")
    brand = simple.get("brand") if isinstance(simple, dict) else None
    return str(brand or formulation.get("name") or "")


def activity(reading: Reading, row: int, document: Document) -> None:
    length = document.get("duration")
    amount = number(length.get("value")) if isinstance(length, dict) else number(length)
    scale = UNITS.get(str(length.get("units")), 0.0) if isinstance(length, dict) else 1.0 / MS
    if not amount or amount < 0 or not scale:
        reading.report(row, "duration", "no amount", f"exercise {document.get('name') or ''!r} without a length")
        return
    met = INTENSITY[EFFORT.get(str(document.get("reportedIntensity")), "moderate")]
    reading.add(row, document, "duration", "activity", met, duration=amount * scale)


def event(reading: Reading, row: int, document: Document) -> None:
    """Of a device's events, a sensor's calibration is a finger stick; alarms, reservoirs and the like are no channel's."""
    if document.get("subType") == "calibration" and number(document.get("value")) is not None:
        glucose(reading, row, document)
    else:
        reading.ignore(row, f"deviceEvent {document.get('subType') or ''}".strip())


READ: dict[str, Callable[[Reading, int, Document], None]] = {
    "cbg": glucose,
    "smbg": glucose,
    "bolus": bolus,
    "basal": basal,
    "wizard": wizard,
    "food": food,
    "insulin": pen,
    "physicalActivity": activity,
    "deviceEvent": event,
}


def annotations(document: Document) -> list[Document]:
    found = document.get("annotations")
    if not found:
        return []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
