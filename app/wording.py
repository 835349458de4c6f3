"""Numbers and settings in words: units, times of day, changes. Glucose is mg/dL inside; a `Unit` is for display alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from careplan.clinic.decisions import INSULIN
from careplan.clinic.views import Kind, Line, Setting
from careplan.glucose import MG_PER_MMOL

DAY = 24 * 60

SETTINGS: Mapping[str, str] = {
    "basal": "Basal rate",
    "carb_ratio": "Carb ratio",
    "correction_factor": "Correction factor",
    "long_acting": "Long-acting insulin",
    "bolus": "Bolus",
    "temp_basal": "Temporary basal",
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

    def of(self, value: float) -> float:
        return value / self.per

    def back(self, shown: float) -> float:
        return shown * self.per

    def text(self, value: float) -> str:
        return f"{self.of(value):.{self.digits}f}"


def scale(setting: str, unit: Unit) -> Scale:
    if setting == "correction_factor":
        return Scale(f"{unit.name} per U", unit.per, unit.digits, 1.0 if unit is MG_DL else 0.1)
    if setting == "carb_ratio":
        return Scale("g/U", 1.0, 1, 0.5)
    if setting in ("basal", "temp_basal"):
        return Scale("U/h", 1.0, 2, 0.05)
    return Scale("U", 1.0, 1, 0.5)


def clock(minute: float) -> str:
    """Minutes after midnight as 06:30; the end of the day is 24:00."""
    return f"{int(minute) // 60:02d}:{int(minute) % 60:02d}"


def block(start: int, end: int, kind: Kind = "regimen") -> str:
    """A time block: of the local day, or from now."""
    if kind == "doses":
        return "now" if start == 0 else f"in {start} min"
    return "all day" if (start, end) == (0, DAY) else f"{clock(start)}-{clock(end)}"


def line_name(line: Line, kind: Kind = "regimen") -> str:
    return f"{SETTINGS[line.setting]}, {block(line.start, line.end, kind)}"


def in_words(problem: str, lines: Iterable[Line], kind: Kind = "regimen") -> str:
    """A problem about "basal@360" about "Basal rate, 06:00-11:00" instead."""
    for line in lines:
        if problem.startswith(f"{line.key}: "):
            return f"{line_name(line, kind)}: {problem.removeprefix(line.key + ': ')}"
    return problem


def signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def change(setting: str, current: float, value: float, unit: Unit) -> str:
    """Absolute and percent: "+0.10 U/h (+12 %)"; "no change" where it is none at the precision shown."""
    shown = scale(setting, unit)
    if shown.text(current) == shown.text(value):
        return "no change"
    percent = f" ({signed(100 * (value / current - 1), 0)} %)" if current else ""
    return f"{signed(shown.of(value - current), shown.digits)} {shown.unit}{percent}"


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
    return f"{minutes / 60:.1f} h" if minutes < 2 * DAY else f"{minutes / DAY:.1f} days"


def key_name(key: str) -> str:
    """A line's key in words where the line itself is not at hand: "basal@360" is "Basal rate, from 06:00"."""
    setting, _, start = key.partition("@")
    return f"{SETTINGS.get(setting, setting)}, from {clock(int(start))}" if start.isdigit() else SETTINGS.get(setting, key)


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
