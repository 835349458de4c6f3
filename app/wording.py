"""Numbers and settings in words: units, times of day, changes. Glucose is mg/dL inside; a `Unit` is for display alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from careplan import therapies
from careplan.display import MINUS, Unit, clock, signed
from careplan.minutes import DAY
from careplan.suggestion import Kind, Line
from careplan.therapies.glucose.decisions import INSULIN
from careplan.therapies.glucose.words import MG_DL, MMOL_L, SETTINGS, stretch

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
    if setting in SETTINGS:
        return Scale("U", 1.0, 1, 0.5)
    return Scale("", 1.0, 1, 0.5, least=0)


def block(start: int, end: int, kind: Kind = "regimen") -> str:
    """A time block: of the local day, or from now."""
    if kind == "doses":
        return ("now" if start == 0 else f"in {start} min") + (f", for {end - start} min" if end > start else "")
    return stretch(start, end)


def line_name(line: Line, kind: Kind = "regimen") -> str:
    if line.setting not in SETTINGS:
        return f"{setting_name(line.setting)}, {line.unit}"
    return f"{SETTINGS[line.setting]}, {block(line.start, line.end, kind)}"


def setting_name(setting: str) -> str:
    """A setting as the therapy that has it calls it."""
    practices = [found.practice for found in therapies.installed().values() if found.practice is not None]
    named = (practice.words.settings for practice in practices if practice.words is not None)
    return next((names[setting] for names in named if setting in names), setting)


def in_words(problem: str, lines: Iterable[Line], kind: Kind = "regimen") -> str:
    """A problem about "basal@360" about "Basal rate, 06:00-11:00" instead; "from 06:00" where the line itself is not at hand."""
    for line in lines:
        if problem.startswith(f"{line.key}: "):
            return f"{line_name(line, kind)}: {problem.removeprefix(line.key + ': ')}"
    key, colon, rest = problem.partition(": ")
    return f"{key_name(key)}: {rest}" if colon and "@" in key else problem


def change(setting: str, current: float, value: float, unit: Unit) -> str:
    """Absolute and percent: "+0.10 U/h (+12 %)"; "no change" where it is none at the precision shown."""
    shown = scale(setting, unit)
    if shown.text(current) == shown.text(value):
        return "no change"
    percent = f" ({signed(100 * (value / current - 1), 0)} %)" if current else ""
    more = shown.text(abs(value - current))
    return f"{'+' if value > current else MINUS}{more} {shown.unit}{percent}"


def direction(setting: str, current: float, value: float) -> str:
    """What a change means, because a larger carb ratio gives less insulin."""
    more = (value - current) * INSULIN.get(setting, 0)
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
    if setting not in SETTINGS:
        return setting_name(setting)
    return f"{SETTINGS[setting]}, from {clock(int(start))}" if start.isdigit() else SETTINGS.get(setting, key)
