"""What may be decided of a suggestion's lines, whatever the therapy: the same for a draft and for a signature. Pure."""

import math
from collections.abc import Callable, Sequence

from careplan.breach import rule_in_words
from careplan.language import N_
from careplan.practice import Judged
from careplan.suggestion import Decision, Line, Meaning

TYPED_REASON = 10  # characters at least, where a value is beyond its recommended range

# Why a line cannot be signed as it is decided; its key stands before.
TWICE = N_("decided twice")
NO_LINE = N_("the suggestion has no such line")
UNDECIDED = N_("not decided")
REJECTED = N_("a rejection needs a reason")
KEEPS = N_("a rejected line keeps {value:g} {unit}")
NO_NUMBER = N_("{value} is not a number")
ACCEPTED = N_("an accepted line is {proposed:g} {unit}, not {value:g}; edit it instead")
EDITED = N_("an edit needs a reason")
BEYOND = N_("{value:g} {unit} is beyond the absolute limits {low:g} to {high:g}, which nobody can sign")
UNUSUAL = N_("beyond the recommended {low:g} to {high:g}")
GUARDED = N_("the proposal is {why}: edit or reject it")
TYPE = N_("{value:g} {unit} is {why}: type a reason of at least {count} characters")
NEEDS = N_("{why} needs a reason of at least {count} characters")


def draft_problems(lines: Sequence[Line], decisions: Sequence[Decision]) -> list[str]:
    """What no draft may hold: a line decided twice, or a line that the suggestion has not."""
    keys = [decision.key for decision in decisions]
    known = {line.key for line in lines}
    problems = [f"{key}: {TWICE}" for key in sorted({key for key in keys if keys.count(key) > 1})]
    return problems + [f"{key}: {NO_LINE}" for key in keys if key not in known]


def problems(lines: Sequence[Line], decisions: Sequence[Decision], judge: Callable[[Line, float], Judged]) -> list[str]:
    """Why these decisions cannot be signed, a sentence each; empty when they can. judge: what the therapy's rules say."""
    found = draft_problems(lines, decisions)
    by_key = {decision.key: decision for decision in decisions}
    for line in lines:
        decision = by_key.get(line.key)
        found += [f"{line.key}: {UNDECIDED}"] if decision is None else _line_problems(line, decision, judge)
    return found


def meaning_of(lines: Sequence[Line], decisions: Sequence[Decision]) -> Meaning:
    """What a signature on these decisions means."""
    verdicts = {decision.key: decision.verdict for decision in decisions}
    kept = [verdicts[line.key] for line in lines if verdicts.get(line.key, "reject") != "reject"]
    if not kept:
        return "prescribe no change"
    return "prescribe as proposed" if kept == ["accept"] * len(lines) else "prescribe with changes"


def _line_problems(line: Line, decision: Decision, judge: Callable[[Line, float], Judged]) -> list[str]:
    key, value, reason = line.key, decision.value, decision.reason.strip()
    if decision.verdict == "reject":
        found = [] if reason else [f"{key}: {REJECTED}"]
        return found if _same(value, line.current) else [*found, f"{key}: {KEEPS.format(value=line.current, unit=line.unit)}"]
    if not math.isfinite(value):
        return [f"{key}: {NO_NUMBER.format(value=value)}"]

    found = []
    if decision.verdict == "accept" and not _same(value, line.proposed):
        found.append(f"{key}: {ACCEPTED.format(proposed=line.proposed, unit=line.unit, value=value)}")
    if decision.verdict == "edit" and not reason:
        found.append(f"{key}: {EDITED}")
    judged = judge(line, value)
    low, high = max(line.absolute_low, judged.lowest), min(line.absolute_high, judged.highest)
    if not low <= value <= high:
        return [*found, f"{key}: {BEYOND.format(value=value, unit=line.unit, low=low, high=high)}"]
    unusual = [] if line.lowest <= value <= line.highest else [UNUSUAL.format(low=line.lowest, high=line.highest)]
    guarded = [rule_in_words(breach) for breach in judged.guarded]
    if decision.verdict == "accept" and guarded:
        found.append(f"{key}: {GUARDED.format(why='; '.join(guarded))}")
    elif (unusual or guarded) and len(reason) < TYPED_REASON:
        told = "; ".join([*unusual, *guarded])
        found.append(f"{key}: {TYPE.format(value=value, unit=line.unit, why=told, count=TYPED_REASON)}")
    if judged.forbidden:
        found.append(f"{key}: {judged.forbidden}")
    elif judged.caution and len(reason) < TYPED_REASON:
        found.append(f"{key}: {NEEDS.format(why=judged.caution, count=TYPED_REASON)}")
    return found


def _same(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-9)
