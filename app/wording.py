"""Numbers and settings in words: units, times of day, changes. Glucose is mg/dL inside; a `Unit` is for display alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from careplan import language, therapies
from careplan.display import MINUS, Unit, clock, signed
from careplan.language import N_, _, retold
from careplan.minutes import DAY
from careplan.suggestion import Kind, Line
from careplan.therapies.glucose.names import INSULIN
from careplan.therapies.glucose.words import MG_DL, MMOL_L, SETTINGS, time_span

UNITS = {unit.name: unit for unit in (MG_DL, MMOL_L)}
GROUPS = (N_("adult"), N_("adolescent"), N_("child"), N_("all"))
OUTCOMES = {
    "in_range": N_("Time in range"),
    "below_70": N_("Below range"),
    "below_54": N_("Far below range"),
    "above_180": N_("Above range"),
    "above_250": N_("Far above range"),
    "above_4": N_("Above 4"),
    "below_2": N_("Below range"),
    "cv": N_("Variation (CV)"),
    "mean": N_("Mean"),
    "risk": N_("Risk"),
}
THERAPIES = (N_("glucose"), N_("warfarin"))
SOURCES = (N_("table"), N_("inr"), N_("estimated"), N_("stated"))


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
        whole, _point, decimals = f"{self.of(value):.{self.digits}f}".partition(".")
        kept = decimals.rstrip("0").ljust(self.digits if self.least is None else self.least, "0")
        return f"{whole}.{kept}" if kept else whole


def scale(setting: str, unit: Unit) -> Scale:
    if setting == "correction_factor":
        return Scale(_("{unit} per U", unit=unit.name), unit.per, unit.digits, 1.0 if unit is MG_DL else 0.1)
    if setting == "carb_ratio":
        return Scale("g/U", 1.0, 1, 0.5)
    if setting == "basal":
        return Scale("U/h", 1.0, 3, 0.025, least=2)
    if setting == "temp_basal":
        return Scale(_("\N{MULTIPLICATION SIGN} basal"), 1.0, 2, 0.25, least=0)
    if setting == "bolus":
        return Scale("U", 1.0, 2, 0.05, least=0)  # no trailing zero: 5.0 U must not be read as 50 U
    if setting in SETTINGS:
        return Scale("U", 1.0, 1, 0.5)
    return Scale("", 1.0, 1, 0.5, least=0)


def block(start: int, end: int, kind: Kind = "regimen") -> str:
    """A time block: of the local day, or from now."""
    if kind == "doses":
        begins = _("now") if start == 0 else _("in {minutes} min", minutes=start)
        return _("{begins}, for {minutes} min", begins=begins, minutes=end - start) if end > start else begins
    return time_span(start, end)


# The options that are compared, by name.
OPTIONS = (
    N_("proposed"), N_("no change"), N_("runner-up"), N_("protocol"), N_("as now"), N_("as proposed"), N_("as tried"),
    N_("as it was given"), N_("what if"), N_("what was"),
)  # fmt: skip


def option_name(name: str) -> str:
    """A future that is compared, as a heading begins."""
    said = _(name)
    return said[:1].upper() + said[1:]


def group_name(group: str) -> str:
    """A group of patients, as a heading begins: "Adult"."""
    said = _(group)
    return said[:1].upper() + said[1:]


def line_name(line: Line, kind: Kind = "regimen") -> str:
    if line.setting not in SETTINGS:
        return _("{setting}, {where}", setting=setting_name(line.setting), where=_(line.unit))
    return _("{setting}, {where}", setting=_(SETTINGS[line.setting]), where=block(line.start, line.end, kind))


def setting_name(setting: str) -> str:
    """A setting as the therapy that has it calls it."""
    practices = [found.practice for found in therapies.installed().values() if found.practice is not None]
    named = (practice.words.settings for practice in practices if practice.words is not None)
    return next((_(names[setting]) for names in named if setting in names), _(setting.replace("_", " ")))


def in_words(problem: str, lines: Iterable[Line], kind: Kind = "regimen") -> str:
    """A problem about "basal@360" about "Basal rate, 06:00-11:00" instead; "from 06:00" where the line itself is not at hand."""
    for line in lines:
        if problem.startswith(f"{line.key}: "):
            rest = retold(problem.removeprefix(line.key + ": "))
            return _("{name}: {said}", name=line_name(line, kind), said=rest)
    key, colon, rest = problem.partition(": ")
    return _("{name}: {said}", name=key_name(key), said=retold(rest)) if colon and "@" in key else retold(problem)


def change(setting: str, current: float, value: float, unit: Unit) -> str:
    """Absolute and percent: "+0.10 U/h (+12 %)"; "no change" where it is none at the precision shown."""
    shown = scale(setting, unit)
    if shown.text(current) == shown.text(value):
        return _("no change")
    percent = f" ({signed(100 * (value / current - 1), 0)} %)" if current else ""
    more = shown.text(abs(value - current))
    return f"{'+' if value > current else MINUS}{more} {shown.unit}{percent}"


def direction(setting: str, current: float, value: float) -> str:
    """What a change means, because a larger carb ratio gives less insulin."""
    more = (value - current) * INSULIN.get(setting, 0)
    return "" if abs(more) < 1e-9 else _("more insulin") if more > 0 else _("less insulin")


def percent(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f} %"


def when(time: datetime | None, zone: str) -> str:
    """A UTC time on the patient's clock."""
    return "-" if time is None else language.moment(time, zone)


def duration(minutes: float) -> str:
    if minutes < 120:
        return _("{minutes:.0f} min", minutes=minutes)
    if minutes < 2 * DAY:
        return _("{hours:.1f} h", hours=minutes / 60)
    return _("{days} days", days=language.number(minutes / DAY, 0 if minutes > 10 * DAY else 1))


def key_name(key: str, kind: Kind = "regimen") -> str:
    """A line's key in words where the line itself is not at hand: "basal@360" is "Basal rate, from 06:00"."""
    setting, _at, start = key.partition("@")
    if kind == "doses" and start.isdigit():
        return _("{setting}, {where}", setting=setting_name(setting), where=block(int(start), int(start), kind))
    if setting not in SETTINGS or not start.isdigit():
        return setting_name(setting)
    return _("{setting}, from {time}", setting=setting_name(setting), time=clock(int(start)))


def outcome_name(name: str) -> str:
    """An outcome that patients have a target for, in words: its edge is each patient's own."""
    return _(OUTCOMES.get(name, name.replace("_", " ").capitalize()))
