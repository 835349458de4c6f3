"""Where the model cannot say and somebody is in danger, the guideline speaks: less basal insulin where lows break a target.

ADA Standards of Care in Diabetes, section 9 (figure 9.4): for hypoglycaemia determine the cause; if there is no clear reason
lower the dose by 10 to 20 %.
"""

from careplan.language import N_
from careplan.minutes import DAY
from careplan.planning.safety import RegimenLine, guard_line, rounded
from careplan.series import PatientSeries
from careplan.suggestion import Line
from careplan.therapies.glucose.decisions import Exposure
from careplan.therapies.glucose.declaration import Regimen, Setting
from careplan.therapies.glucose.lines import line_of, regimen_line
from careplan.therapies.glucose.rule_words import rule_in_words

LOWERED = {"broken": 0.1, "danger": 0.2}  # of the dose, where a target for lows is broken, and where by far
SAYS = N_("the model cannot say; the guideline would lower {setting} by {percent:.0f} %: {breach}")
NO_LINE = N_("no line is proposed, since none could be signed")
BASAL = N_("basal insulin")
LESS = N_("{share:.0%} less insulin against lows, by the guideline")


def guideline_lines(recent: PatientSeries, regimen: Regimen, exposed: Exposure) -> tuple[Line, ...]:
    """The lines that the guideline proposes by the lows `exposed` of the recent readings; empty where the target for lows is
    met, where nothing was measured, and where no line can be signed."""
    if not exposed.readings or exposed.breach is None:
        return ()
    share, setting = LOWERED["danger" if exposed.danger else "broken"], basal_setting(regimen)
    if setting == "long_acting":
        standing = [(0, regimen.long_acting)]
    else:
        standing = list(zip(regimen.starts, getattr(regimen, setting), strict=True))
    found, days = [], _days(recent)
    for start, current in standing:
        line = regimen_line(setting, start, float(current), exposed, days=days)
        value = rounded(line, 1.0 - share * line.direction)
        if value != current and guard_line(line, value).allowed:
            why = LESS.format(share=share)
            found.append(line_of(line, value, regimen, recommended=_recommended(line), why=why))
    return tuple(found)


def _recommended(line: RegimenLine) -> tuple[float, float]:
    """From the value now to what lowers the dose by as much as the guideline ever does."""
    limit, most = line.limits, LOWERED["danger"]
    if line.direction > 0:
        return max(limit.low, line.current * (1 - most)), line.current
    return line.current, min(limit.high, line.current * (1 + most))


def basal_setting(regimen: Regimen) -> Setting:
    """What stands for basal insulin; the carb ratio where there is none."""
    if regimen.long_acting > 0:
        return "long_acting"
    return "basal" if any(rate > 0 for rate in regimen.basal) else "carb_ratio"


def guideline_in_words(regimen: Regimen | None, exposed: Exposure, lines: tuple[Line, ...]) -> str:
    """What the guideline says, in words; empty where it has nothing to say."""
    if not exposed.readings or exposed.breach is None:
        return ""
    setting = BASAL if regimen is None else basal_setting(regimen).replace("_", " ")
    percent = 100.0 * LOWERED["danger" if exposed.danger else "broken"]
    said = SAYS.format(setting=setting, percent=percent, breach=rule_in_words(exposed.breach))
    return said if lines else f"{said}; {NO_LINE}"


def _days(recent: PatientSeries) -> float:
    """Local days with readings for half of them, at one a quarter of an hour."""
    local = recent.times.tz_convert(recent.zone).normalize()
    known = recent.mask[:, recent.therapy.index(recent.therapy.regulated)]
    return float(sum(known[local == day].sum() * recent.therapy.step >= DAY / 6 for day in local.unique()))
