"""Numbers and settings in words: units, times of day, changes. Glucose is mg/dL inside; a `Unit` is for display alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from careplan.clinic.decisions import INSULIN
from careplan.clinic.views import Kind, Line, Setting
from careplan.glucose import MG_PER_MMOL

DAY = 24 * 60
MINUS = "\N{MINUS SIGN}"

SETTINGS: Mapping[str, str] = {
    "basal": "Basal rate",
    "carb_ratio": "Carb ratio",
    "correction_factor": "Correction factor",
    "long_acting": "Long-acting insulin",
    "bolus": "Bolus",
    "temp_basal": "Temporary basal",
}

LIMITS: Mapping[str, str] = {
    "max_dose": "the largest bolus allowed",
    "max_on_board": "the most insulin on board allowed",
    "min_spacing": "the least time between boluses",
    "floor": "glucose too low for more insulin",
    "max_rate": "the highest basal rate allowed",
    "max_rate_ratio": "the highest temporary basal allowed",
    "budget below_70": "the budget for time below {low} {unit}",
    "budget below_54": "the budget for time below {very_low} {unit}",
    "more treatment where the low-level target is broken or unknown": "more insulin where lows already miss their target",
}


@dataclass(frozen=True)
class Unit:
    """How glucose is shown: `value in mg/dL / per`, with so many decimals."""

    name: str
    per: float
    digits: int

    def of(self, glucose: float) -> float:
        """From mg/dL."""
        return glucose / self.per

    def back(self, shown: float) -> float:
        """To mg/dL."""
        return shown * self.per

    def text(self, glucose: float | None) -> str:
        return "-" if glucose is None else f"{self.of(glucose):.{self.digits}f}"

    def series(self, values: Iterable[float | None]) -> list[float | None]:
        return [None if value is None else round(self.of(value), 2) for value in values]


MG_DL = Unit("mg/dL", 1.0, 0)
MMOL_L = Unit("mmol/L", MG_PER_MMOL, 1)
UNITS = {unit.name: unit for unit in (MG_DL, MMOL_L)}


@dataclass(frozen=True)
class Scale:
    """How one setting is shown: glucose units follow the reader's choice, insulin and carbohydrate stay."""

    unit: str
    per: float
    digits: int
    step: float
    least: int | None = None  # decimals kept although they are zeros; all where not given

    def of(self, value: float) -> float:
        return value / self.per

    def back(self, shown: float) -> float:
        return shown * self.per

    def text(self, value: float) -> str:
        whole, _, decimals = f"{self.of(value):.{self.digits}f}".partition(".")
        kept = decimals.rstrip("0").ljust(self.digits if self.least is None else self.least, "0")
        return f"{whole}.{kept}" if kept else whole


def scale(setting: str, unit: Unit) -> Scale:
    if setting == "correction_factor":
        return Scale(f"{unit.name} per U", unit.per, unit.digits, 1.0 if unit is MG_DL else 0.1)
    if setting == "carb_ratio":
        return Scale("g/U", 1.0, 1, 0.5)
    if setting == "basal":
        return Scale("U/h", 1.0, 3, 0.025, least=2)
    if setting == "temp_basal":
        return Scale("\N{MULTIPLICATION SIGN} basal", 1.0, 2, 0.25, least=0)
    if setting == "bolus":
        return Scale("U", 1.0, 2, 0.05, least=0)  # no trailing zero: 5.0 U must not be read as 50 U
    return Scale("U", 1.0, 1, 0.5)


def clock(minute: float) -> str:
    """Minutes after midnight as 06:30; the end of the day is 24:00."""
    return f"{int(minute) // 60:02d}:{int(minute) % 60:02d}"


def block(start: int, end: int, kind: Kind = "regimen") -> str:
    """A time block: of the local day, or from now."""
    if kind == "doses":
        return ("now" if start == 0 else f"in {start} min") + (f", for {end - start} min" if end > start else "")
    return "all day" if (start, end) == (0, DAY) else f"{clock(start)}-{clock(end)}"


def line_name(line: Line, kind: Kind = "regimen") -> str:
    return f"{SETTINGS[line.setting]}, {block(line.start, line.end, kind)}"


def in_words(problem: str, lines: Iterable[Line], kind: Kind = "regimen") -> str:
    """A problem about "basal@360" about "Basal rate, 06:00-11:00" instead; "from 06:00" where the line itself is not at hand."""
    for line in lines:
        if problem.startswith(f"{line.key}: "):
            return f"{line_name(line, kind)}: {problem.removeprefix(line.key + ': ')}"
    key, colon, rest = problem.partition(": ")
    return f"{key_name(key)}: {rest}" if colon and "@" in key else problem


def limits_in_words(bound: Iterable[str], unit: Unit) -> list[str]:
    """Each limit once, with the settings it bound: "3 days of evidence, 5 needed (carb ratio from 00:00, 06:00)"."""
    names = {"low": unit.text(70), "very_low": unit.text(54), "unit": unit.name}
    found: dict[str, dict[str, list[str]]] = {}
    for text in bound:
        key, colon, rest = text.partition(": ")
        setting, at, start = key.partition("@")
        keyed = bool(colon and at and start.isdigit())
        rule = rest if keyed else text
        places = found.setdefault(LIMITS[rule].format(**names) if rule in LIMITS else rule, {})
        if keyed:
            places.setdefault(SETTINGS.get(setting, setting).lower(), []).append(clock(int(start)))
    said = []
    for rule, places in found.items():
        where = "; ".join(f"{setting} from {', '.join(starts)}" for setting, starts in places.items())
        said.append(f"{rule} ({where})" if where else rule)
    return said


def signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", MINUS)


def change(setting: str, current: float, value: float, unit: Unit) -> str:
    """Absolute and percent: "+0.10 U/h (+12 %)"; "no change" where it is none at the precision shown."""
    shown = scale(setting, unit)
    if shown.text(current) == shown.text(value):
        return "no change"
    percent = f" ({signed(100 * (value / current - 1), 0)} %)" if current else ""
    more = shown.text(abs(value - current))
    return f"{'+' if value > current else MINUS}{more} {shown.unit}{percent}"


def direction(setting: Setting, current: float, value: float) -> str:
    """What a change means, because a larger carb ratio gives less insulin."""
    more = (value - current) * INSULIN[setting]
    return "" if abs(more) < 1e-9 else "more insulin" if more > 0 else "less insulin"


def percent(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f} %"


def when(time: datetime | None, zone: str) -> str:
    """A UTC time on the patient's clock."""
    return "-" if time is None else f"{time.astimezone(ZoneInfo(zone)):%d %b %Y %H:%M}"


def duration(minutes: float) -> str:
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 2 * DAY else f"{minutes / DAY:.{0 if minutes > 10 * DAY else 1}f} days"


def key_name(key: str, kind: Kind = "regimen") -> str:
    """A line's key in words where the line itself is not at hand: "basal@360" is "Basal rate, from 06:00"."""
    setting, _, start = key.partition("@")
    if kind == "doses" and start.isdigit():
        return f"{SETTINGS.get(setting, setting)}, {block(int(start), int(start), kind)}"
    return f"{SETTINGS.get(setting, setting)}, from {clock(int(start))}" if start.isdigit() else SETTINGS.get(setting, key)


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
