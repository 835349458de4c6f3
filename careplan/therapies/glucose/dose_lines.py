"""What a search for doses found: in words, and as the lines that a person decides on."""

from careplan.breach import Breach
from careplan.language import N_
from careplan.planning.planner import DosePlans
from careplan.suggestion import Line
from careplan.therapies.glucose.rule_words import rule_in_words

ONLY_LESS = N_("an edit can only give less; more needs a new plan")
LOWS = "; " + N_("{lows}, so more insulin needs a typed reason")
LESS, MORE = N_("less basal for {minutes:.0f} min"), N_("more basal for {minutes:.0f} min")


def doses_in_words(plans: DosePlans, index: int, option: int) -> str:
    """ "5.5 U now, 0.5 U in 30 min, basal x2 from 60 to 90 min"; "as prescribed" where nothing changes."""
    said = []
    for step, (impulse, multiple) in enumerate(plans.actions[index, option].tolist()):
        start = round(step * plans.decision)
        if impulse > 0:
            said.append(f"{round(impulse, 3):g} U {f'in {start} min' if start else 'now'}")
        if multiple != 1.0:
            said.append(f"basal x{multiple:g} from {f'{start}' if start else 'now'} to {start + plans.decision:.0f} min")
    return ", ".join(said) or "as prescribed"


def dose_lines(plans: DosePlans, index: int, days: int, lows: Breach | None) -> tuple[Line, ...]:
    """What is proposed. An edit can only give less: more than was searched and guarded needs a new plan. Where lows already
    miss their target more insulin is beyond what is recommended: signing it needs a typed reason."""
    lines = []
    caution = LOWS.format(lows=rule_in_words(lows)) if lows else ""
    for step, (impulse, multiple) in enumerate(plans.actions[index, 0].tolist()):
        start = round(step * plans.decision)
        if impulse > 0:
            lines.append(
                Line(
                    key=f"bolus@{start}",
                    setting="bolus",
                    start=start,
                    end=start,
                    unit="U",
                    current=0.0,
                    proposed=round(impulse, 3),
                    lowest=0.0,
                    highest=0.0 if lows else round(impulse, 3),
                    absolute_low=0.0,
                    absolute_high=round(impulse, 3),
                    days=days,
                    why=ONLY_LESS + caution,
                )
            )
        if multiple != 1.0:
            lines.append(
                Line(
                    key=f"temp_basal@{start}",
                    setting="temp_basal",
                    start=start,
                    end=start + round(plans.decision),
                    unit="x basal",
                    current=1.0,
                    proposed=multiple,
                    lowest=0.0,
                    highest=1.0 if lows else max(multiple, 1.0),
                    absolute_low=0.0,
                    absolute_high=max(multiple, 1.0),
                    days=days,
                    why=(LESS if multiple < 1 else MORE).format(minutes=plans.decision) + caution * (multiple > 1),
                )
            )
    return tuple(lines)
