"""Questions in English and Japanese to typed queries, offline. What is not clear is asked back, never guessed."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import ValidationError

from careplan.clock import duration_in_words
from careplan.interop.language import cues, people, times, told
from careplan.interop.language.cohort import cohort, length
from careplan.interop.language.cues import GROUPS, MEALS, SETTINGS
from careplan.interop.language.queries import NO_WHAT_IF, QUERY, Reading, Unclear
from careplan.interop.language.unread import ANY_DAY, GLUCOSE, Spoken, unread
from careplan.interop.language.wording import COMMON, MONTHS, NUMBERS, WORDS, mended, plain
from careplan.language import N_, _
from careplan.records.units import MG_PER_MMOL

TOLD = (30, 60, 120, 240)  # minutes ahead of which the card of the weights tells the error
LONGEST = 1000  # characters of a question
MORE = "(?:more |less |fewer |extra |additional )?"
AMOUNT = rf"(?<![\d:/.-])(\d+(?:\.\d+)?)\s*{MORE}(units?|iu|u|grams?|g|mg/dl|mmol/l|mmol|mg|ml|%|percent)?(?![\w:/-])"
LESS = ("less|fewer|lower|smaller", r"lowered|reduc\w*|cut|decreas\w*|dropp\w*")
MORE_OF = ("more|extra|additional|higher|larger|bigger", r"raised?|increas\w*")
BOUNDARY = r"(?:(?:the|his|her|their) )?(?:target|range|limit|threshold)"
LEVEL = r"(?:mg/?dl|mmol(?:/l)?)"
NOTHING = (
    r"\bskip\w*|\bhadn't\b|\bnot (?:eaten|taken|had|injected|bolused)\b|\bwithout\b|(?<!better )(?<!worse )\boff\b"
    r"|\bno (?:(?:breakfast|lunch|dinner|correction) )?(?:bolus|carbs|insulin)\b|\b(?:take|took|taken) (?:away|out)\b"
    r"|\bmissed\b|\bforgot\w*|\b(?:left|leaving|leave) out\b|\bomitt\w*|\bforgone\b"
)
MOVES = re.compile(
    r"\b(?:go(?:es|ing|ne)?|went|ris\w+|rose|fall\w*|fell|drop\w*|climb\w*|spik\w+|up|down)\b|[上下]"
)  # of glucose
LEFT = N_("Understood was {said}. This is not part of that: {left}. What is asked?")
WHO = {"who_needs_a_look", "cohort_replay", "evaluation"}  # ask about nobody in particular
ASKS = {
    "kind": N_(
        "What is asked: a forecast, what if, a comparison of two periods, why, who needs a look, limits, a cohort replayed, "
        "a summary, the plan, what is prescribed, how good the model is, or when glucose was low or high?"
    ),
    "patient": N_("Which patient is meant?"),
    "several": N_("Which one first? One patient at a time."),
    "two": N_("That is more than one question. Which one first?"),
    "all": N_("The card tells how good the model is for everybody together, not for one patient. Is that asked?"),
    "writes": N_("A question changes nothing: settings and doses are decided, and signed, by a person on the review page."),
}


@dataclass(frozen=True)
class Known:
    """What the grammar reads a question against.

    today: the last recorded day of each patient, on their clock. policies: of cohorts. spoken: the therapy of a patient in words.
    """

    patients: tuple[str, ...]
    today: Callable[[str], date]
    policies: tuple[str, ...] = ()
    spoken: Callable[[str], Spoken] = lambda patient: GLUCOSE


def read(question: str, known: Known) -> Reading:
    """A question as a typed query, or what is asked back."""
    try:
        query = _query(question, known)
        return Reading(question=question, query=QUERY.validate_python(query))
    except Unclear as error:
        return Reading(question=question, asks=str(error), choices=error.choices, offers=error.offers)
    except ValidationError as error:
        told = "; ".join(str(each["msg"]).removeprefix("Value error, ") for each in error.errors())
        return Reading(question=question, asks=_("That cannot be asked: {told}.", told=told))


def _query(question: str, known: Known) -> dict[str, Any]:
    if len(question) > LONGEST:
        raise Unclear(_("A question has at most {count} characters.", count=LONGEST))
    named = people.named(question, known.patients, WORDS_OF_QUESTIONS)
    names = [part for patient in known.patients for part in re.split(r"[\s_-]+", patient.lower())]
    names += [term for patient in named.patients for term in known.spoken(patient).terms]
    text = mended(plain(named.rest), VOCABULARY, names)
    if named.patients:  # "has anyone signed it" is about the patient
        text = cues.SIGNER.sub("somebody", cues.ANYBODY.sub("somebody", text))
    if cues.writes(text, named.rest):
        raise Unclear(_(ASKS["writes"]))
    text = told.question_of(text, named.rest[:1].isspace())
    named_together = "|".join(policy.replace("-", "[- ]") for policy in known.policies) or "-"
    if (dated := times.either_order(text)) is not None:
        raise Unclear(_("Which day is {day}? Write the month as a word.", day=dated))
    if named.patients and not re.search("|".join(GROUPS.values()), text):  # the days of one person
        text = cues.SIMULATES.sub("what if" if times.periods(text, ANY_DAY) else "forecast", text)
    found = cues.kinds(text)
    if named.patients and not cues.OF_MODEL.search(text):  # "any good" is of the patient
        text, found = cues.ANY_GOOD.sub(" ", text), found - {"evaluation"}
    if not found and _meal_amount(text) and re.search(r"\binstead\b|\bless\b|\bfewer\b|\bmore\b", text):
        found = {"counterfactual"}
    if not found and times.periods(text, ANY_DAY):  # a stretch of days and nothing else is asked for
        found = {"episodes" if re.search(r"\b(?:low|high)\b", text) else "summary"}
    if len(found) != 1:
        raise Unclear(_(ASKS["two" if len(found) > 1 else "kind"]))
    kind = found.pop()
    if cues.several(re.sub(rf"\b({named_together}) and (?=(?:{named_together})\b)", r"\1, ", text), kind):
        raise Unclear(_(ASKS["two"]))
    if kind in WHO:
        if kind == "evaluation" and named.patients and not unread(kind, text, ANY_DAY):
            raise Unclear(_(ASKS["all"]), offers=QUERY.validate_python({"kind": kind}))
        if named.patients or named.unclear:
            raise Unclear(_(ASKS["two"]))
        query = {"kind": kind, **_of_nobody(kind, text, known)}
        return _whole(query, unread(kind, text, ANY_DAY, policies=known.policies))
    patient = _patient(named, text, known)
    if kind == "dose":  # whatever it is for, the answer is who decides
        return {"kind": "plan", "patient": patient, "dose": True}
    return _of_patient(kind, text, patient, known)


def _of_patient(kind: str, text: str, patient: str, known: Known) -> dict[str, Any]:
    today, spoken = known.today(patient), known.spoken(patient)
    if kind in ("summary", "episodes"):
        _dated(kind, text, patient, known)
    ours = spoken.therapy == GLUCOSE.therapy
    if not ours and kind == "counterfactual":
        raise Unclear(_(NO_WHAT_IF, patient=patient, therapy=spoken.therapy))
    query: dict[str, Any] = {"kind": kind, "patient": patient}
    if not ours and kind == "episodes":
        query |= _episodes(text, today, spoken.level)
    elif kind in _READ and (ours or kind not in ("why", "regimen")):
        query |= _READ[kind](text, today)
    if 60.0 * query.get("hours", 0.0) > spoken.reach:
        length = duration_in_words(spoken.reach)
        raise Unclear(_("That cannot be asked: a forecast reaches {length} ahead at most.", length=length))
    return _whole(query, unread(kind, text, today, spoken))


def _dated(kind: str, text: str, patient: str, known: Known) -> None:
    """Raises `Unclear` where a stretch of days has no length of its own, or begins on no day."""
    vague = times.VAGUE.search(text)
    if vague is not None and not times.periods(text, ANY_DAY):
        offers = _of_patient(kind, times.VAGUE.sub(" last 2 weeks ", text), patient, known)
        choices = (_("the last 7 days"), _("the last 14 days"), _("the last 30 days"))
        raise Unclear(_("How many days is {said}?", said=repr(vague[0])), choices, QUERY.validate_python(offers))
    if re.search(r"\bsince\b(?! when)", text) and not times.periods(text, ANY_DAY):
        raise Unclear(_("Since which day?"))


def _whole(query: dict[str, Any], left: Sequence[str]) -> dict[str, Any]:
    """The query, where it holds all that was said; else it is offered, and asked back."""
    if left:
        offered = QUERY.validate_python(query)
        raise Unclear(_(LEFT, said=offered.said(), left=", ".join(map(repr, dict.fromkeys(left)))), offers=offered)
    return query


def _patient(named: people.Named, text: str, known: Known) -> str:
    if len(named.patients) > 1:
        raise Unclear(_(ASKS["several"]), named.patients)
    if named.unclear:
        part, fitting = named.unclear[0]
        raise Unclear(_("Several patients are called {name}. Which one is meant?", name=repr(part)), fitting)
    strangers = people.strangers(named.rest, [*VOCABULARY, *COMMON, *NUMBERS])
    if named.patients:
        return named.patients[0]
    if strangers:
        near = [patient for patient in known.patients if patient.lower().startswith(strangers[0].lower()[:2])]
        raise Unclear(
            _("Nobody in the store is called {name}. Which patient is meant?", name=repr(strangers[0])),
            near or known.patients[:10],
        )
    if len(known.patients) == 1:
        return known.patients[0]
    raise Unclear(_(ASKS["patient"]), known.patients[:10])


def _of_nobody(kind: str, text: str, known: Known) -> dict[str, Any]:
    if kind == "evaluation":
        if times.lengths(text) - set(TOLD):
            raise Unclear(_("The card tells of errors {minutes} minutes ahead.", minutes=", ".join(map(str, TOLD))))
        return {}
    if kind == "who_needs_a_look":
        if re.fullmatch(r"\W*(?:who|whose|any(?:one|body)|which (?:patients?|people))\W*", text):
            raise Unclear(_(ASKS["kind"]))
        count = re.search(
            r"(?<![\d.])(\d{1,3})\s+(?:most|worst|patients?|people|urgent)\b|\btop (\d{1,3})\b"
            r"|\bthe (\d{1,2}) (?:(?:that|whom?) )?(?:i|we) (?:should|must|need|ought|have to)\b"
            r"|\b(\d{1,3}) at most\b|\bpatients (\d{1,3}) people\b",
            text,
        )
        return {} if count is None else {"count": int(next(number for number in count.groups() if number))}
    return cohort(text, known.policies)


def _forecast(text: str, today: date) -> dict[str, Any]:
    found: dict[str, Any] = {}
    minutes = length(text)
    tonight = re.search(r"\btonight\b", text)
    if minutes is not None and tonight:
        raise Unclear(_("How long? One length of time."))
    if minutes is not None or tonight:
        found["hours"] = 12.0 if minutes is None else minutes / 60
    clocks, days = times.clocks(text), times.periods(text, today)
    if clocks and cues.AHEAD.search(text) and all(each.value.last >= today for each in days):
        raise Unclear(_("How many hours after the last reading?"), ("1", "2", "4"))
    if clocks:
        day = days[0].value.first if days else today
        found |= {"day": day, "time": clocks[0]}
    elif days and days[0].value.first < today:
        raise Unclear(_("From what time of that day?"))
    side = _side(text)
    return found | ({"about": side} if side else {})


def _side(text: str) -> str | None:
    text = re.sub(times.LENGTH, " ", text)  # "over 4 hours" is no level
    low = re.search(r"\blows?\b|\bcrash\w*|\bhypo\w*|\bbelow\b|\bunder\b", text)
    high = re.search(rf"\bhighs?\b|\b(?:shoot\w*|shot) up\b|\bsoar\w*|\bhyper\w*|\babove\b|\bover (?:\d|{BOUNDARY})", text)
    if low and high:
        raise Unclear(_("Low or high? One at a time."), ("low", "high"))
    return "low" if low else "high" if high else None


def _counterfactual(text: str, today: date) -> dict[str, Any]:
    channel = _channel(text)
    days = times.periods(re.sub(r"\blast night\b", "yesterday", text), today)
    clocks = times.clocks(text)
    meals = [meal for meal, pattern in MEALS.items() if re.search(pattern, text)]
    if not days:
        raise Unclear(_("On which day?"), ("today", "yesterday"))
    if len(days) > 1 or days[0].value.first != days[0].value.last:
        raise Unclear(_("On which day? One day at a time."))
    found: dict[str, Any] = {"channel": channel, "day": days[0].value.first}
    if channel == "basal":
        if len(clocks) != 2:
            raise Unclear(_("From what time until what time?"))
        found |= {"time": clocks[0], "until": clocks[1]}
    elif len(clocks) == 1:
        found["time"] = clocks[0]
    elif len(clocks) > 1 or len(meals) != 1:
        raise Unclear(_("At which meal, or at what time?"), ("breakfast", "lunch", "dinner"))
    else:
        found["meal"] = meals[0]
    return found | _change(_without(text, days), channel)


def _channel(text: str) -> str:
    if re.search(SETTINGS["basal"], text):
        return "basal"
    grams = re.search(rf"\d\s*{MORE}g(?:rams?)?\b", text)
    carbs = re.search(r"\bcarbs?\b|\bcarbohydrates?\b|\b(?:eaten|eat|ate)\b", text)
    dose = re.search(rf"\d\s*{MORE}(?:units?|iu|u)\b|\bbolus\w*|\binject\w*|\binsulin\b|\bdoses?\b|\bcorrections?\b", text)
    if (grams or carbs) and dose:
        raise Unclear(_("Is it the dose or the meal that would have been another? One at a time."))
    if grams or carbs:
        return "carbs"
    if dose:
        return "bolus"
    if re.search(r"\b(?:without|skip\w*) (?:breakfast|lunch|dinner)\b|\b(?:breakfast|lunch|dinner) skipped\b", text):
        return "carbs"
    raise Unclear(_("What would have been another: how many units of insulin, or how many grams of carbohydrate?"))


def _without(text: str, days: Sequence[times.Found]) -> str:
    for found in days:
        text = text[: found.start] + " " * (found.end - found.start) + text[found.end :]
    text = re.sub(r"\b(?:instead of|rather than) (?:the )?\d+(?:\.\d+)?(?: ?(?:units?|u|grams?|g))?\b", " ", text)
    text = re.sub(rf"\b(?:between \d{{1,2}} and |\d{{1,2}}{times.TO})\d{{1,2}}\s*(?:am|pm)\b", " ", text)
    text = re.sub(rf"\b(?:below|under|above|over) \d+(?:\.\d+)?(?: ?{LEVEL})?", " ", text)  # what came of it, not what was given
    return re.sub(times.CLOCK, " ", text)


def _change(text: str, channel: str) -> dict[str, Any]:
    """What would have been another, of a text without its days and times."""
    less, more = (re.search(_by(words, verbs), text) for words, verbs in (LESS, MORE_OF))
    share = re.search(r"(?<![\d.])(\d{1,3}) ?(?:%|percent\b)", text)
    amounts = [float(number) for number, _ in re.findall(AMOUNT, text)]
    parts = [re.search(words, text) for words in (r"\bhalf\b|\bhalv(?:ed?|ing)\b", r"\bdoubl(?:ed?|ing)\b|\btwice\b", NOTHING)]
    if len(amounts) + sum(map(bool, parts[:2])) + len(re.findall(NOTHING, text)) > 1 or (less and more):
        raise Unclear(_("One change at a time. Which one?"))
    if share and (less or more):
        return {"times": round(1 + (-1 if less else 1) * int(share[1]) / 100, 4)}
    if share and re.search(r"(?:%|percent) (?:of (?:the |his |her |their )?)?(?:usual |normal )?(?:basal|bolus|dose)\b", text):
        return {"times": int(share[1]) / 100}
    if re.search(rf"\d\s*{LEVEL}\b|%|\bpercent\b" + ("" if channel == "basal" else r"|\bu/h\b"), text):
        raise Unclear(_("How many units, or how many grams? Doses and meals are not in that unit."))
    if re.search(times.LENGTH, text):
        raise Unclear(_("A dose or a meal cannot be moved in time here. Say how much, and at what time."))
    if amounts and (less or more):
        return {"change": -amounts[0] if less else amounts[0]}
    if re.search(rf"\b(?:{LESS[0]}|{MORE_OF[0]})\b", text):
        raise Unclear(_("How much: how many units, or how many grams?"))
    if amounts:
        return {"to": amounts[0]}
    for part, query in zip(parts, ({"times": 0.5}, {"times": 2.0}, {"to": 0.0}), strict=True):
        if part:
            return query
    raise Unclear(_("How much: how many units, or how many grams?"))


def _by(words: str, verbs: str) -> str:
    """Where an amount is a difference: "2 units less", "reduced by 2 units"."""
    unit = r"(?: ?(?:%|percent|units?|iu|u/h|u|grams?|g)(?!\w))?(?: of)?(?: (?:carbs?|carbohydrates?|insulin|bolus|basal|the))*"
    return rf"\d{unit} (?:{words})\b|\d (?:{words}) |\b(?:{words}|{verbs})\b[^.]*? by \d"


def _compare(text: str, today: date) -> dict[str, Any]:
    _side(text)  # raises where there are two
    found = [each.value for each in times.periods(text, today)]
    if len(found) != 2 or max(each.first for each in found) <= min(each.last for each in found):
        raise Unclear(_("Which two periods?"), ("the last week and the week before", "February and March"))
    first, second = sorted(found, key=lambda period: (period.first, period.last))
    return {"first": first, "second": second}


def _setting(text: str, today: date) -> dict[str, Any]:
    named = [setting for setting, pattern in SETTINGS.items() if re.search(pattern, text)]
    moved = MOVES.search(text) and not re.search(cues.CUES["plan"], text)
    if not named and (moved or _side(text) is not None):
        raise Unclear(_("careplan says why of a suggestion. When glucose was low or high, and what if, can be asked too."))
    if len(named) > 1:
        raise Unclear(_("Which setting? One at a time."), named)
    if re.search(times.TWELVE, text):
        raise Unclear(_("Morning or evening? Write the time as 05:30 or 17:30."))
    clocks = times.clocks(text)
    found: dict[str, Any] = {"setting": named[0]} if named else {}
    return found | ({"minute": 60 * int(clocks[0][:2]) + int(clocks[0][3:])} if clocks else {})


def _summary(text: str, today: date) -> dict[str, Any]:
    found = times.periods(text, today)
    if len(found) > 1:
        raise Unclear(_("Which period? One at a time."))
    return {"period": found[0].value} if found else {}


def _episodes(text: str, today: date, of: str | None = None) -> dict[str, Any]:
    """of: what is low or high, where it is not glucose."""
    found = _summary(text, today) | ({"of": of} if of else {})
    marks = list(re.finditer(rf"\b(below|under|above|over) (\d+(?:\.\d+)?)\s*({LEVEL})?", text))
    if len(marks) > 1 or (of and marks and marks[0][3]):
        raise Unclear(_("Which level? One at a time."))
    mark = marks[0] if marks else None
    side = _side(text) if mark is None else "low" if mark[1] in ("below", "under") else "high"
    if side is None or side != (_side(re.sub(r"\b(?:below|under|above|over) \d", " ", text)) or side):
        raise Unclear(_("Low or high?"), ("low", "high"))
    if mark is None:
        return found | {"side": side}
    level = float(mark[2]) if of else _mg_dl(mark[2], mark[3])
    return found | {"side": side, "below" if side == "low" else "above": level}


def _mg_dl(number: str, unit: str | None) -> float:
    level = float(number)
    if (unit or "").startswith("mmol") or (unit is None and level < 30):
        level = float(round(level * MG_PER_MMOL))
    if not 30 <= level <= 600:
        raise Unclear(
            _("Glucose does not reach {level} {unit}. Which level, in mg/dL or mmol/L?", level=number, unit=unit or "mg/dL")
        )
    return level


def _meal_amount(text: str) -> bool:
    amount = re.search(rf"\d\s*{MORE}(?:g|grams?|u|units?)\b", text)
    return amount is not None and any(re.search(pattern, text) for pattern in MEALS.values())


_READ = {
    "forecast": _forecast,
    "counterfactual": _counterfactual,
    "compare_periods": _compare,
    "why": _setting,
    "regimen": _setting,
    "summary": _summary,
    "episodes": _episodes,
}
_PATTERNS = [cues.WRITES.pattern, *cues.CUES.values(), *SETTINGS.values(), *MEALS.values(), *GROUPS.values()]
VOCABULARY = frozenset(
    word
    for pattern in _PATTERNS
    for word in re.findall(r"[a-z]{3,}", re.sub(r"\\[a-z]|\w+\(\?:|\(\?[:!<=]*|\w+\\w[*+]", " ", pattern))
) | frozenset([*times.DAYS, *MONTHS, *NUMBERS, *WORDS["known"].split()])
WORDS_OF_QUESTIONS = VOCABULARY | {word.removesuffix("s") for word in VOCABULARY}  # of which no part of a name may be one
