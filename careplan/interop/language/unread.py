"""What a question says and its typed query does not hold. A query that leaves out "after exercise" answers another question.

Every number, day, meal, setting and word of content must have gone into the query; what is common to all questions may stand
beside it.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from careplan.interop.language import times
from careplan.interop.language.cues import ALONE, GROUPS, MEALS, SETTINGS
from careplan.interop.language.wording import COMMON, NUMBERS, WORDS, slips

HOLDS = {  # what a query of each kind can hold
    "forecast": {"period", "clock", "length", "edge"},
    "counterfactual": {"period", "clock", "amount", "meal", "setting", "edge"},
    "compare_periods": {"period", "edge"},
    "why": {"clock", "setting", "edge"},
    "who_needs_a_look": set(),
    "limits": {"setting"},
    "cohort_replay": {"people", "length"},
    "summary": {"period", "range"},
    "plan": {"setting", "edge"},
    "regimen": {"clock", "setting"},
    "evaluation": {"length", "percent"},
    "episodes": {"period", "level"},
}
ABOUT = {  # words of what topics may stand in a question of each kind, beside what its query holds
    "forecast": {"mood", "direction"},
    "counterfactual": {"share", "treatment", "change", "mood", "direction"},
    "compare_periods": {"change", "direction"},
    "why": {"treatment", "change", "mood", "novelty", "direction"},
    "who_needs_a_look": {"mood", "direction"},
    "limits": {"treatment", "change", "direction"},
    "cohort_replay": {"mood", "direction"},
    "plan": {"treatment", "change", "mood", "novelty", "direction"},
    "regimen": {"treatment"},
    "evaluation": {"mood", "direction"},
    "summary": {"direction"},
    "episodes": {"direction"},
}
EDGES = r"(?:54|70|180|250|3(?:\.[09])?|4|10(?:\.0)?|13\.9)"  # levels that are told of anyway
ANY_GROUP = "|".join(GROUPS.values())
SLOTS = {
    "length": times.LENGTH,
    "clock": times.CLOCK,
    "level": r"(?<![\d.])\d+(?:\.\d+)?\s*(?:mg/?dl|mmol(?:/l)?)\b|\b(?:below|under|above|over) \d+(?:\.\d+)?(?![\w.])",
    "edge": rf"\b(?:below|under|above|over) {EDGES}(?: ?(?:mg/?dl|mmol(?:/l)?))?(?![\w.])",
    "range": r"(?<![\d.])(?:3\.9 ?(?:-|to) ?10(?:\.0)?|70 ?(?:-|to) ?180)(?! ?\d)",
    "amount": r"(?<![\d.])\d+(?:\.\d+)?\s*(?:units?|iu|u/h|u|grams?|g|%|percent)?(?![\w.])",
    "percent": r"(?<![\d.])\d+ ?%|(?<=@)\d+",
    "people": rf"(?<![-\d.])\b\d+ (?:virtual |simulated? |minimal )*(?:people with )?(?:{ANY_GROUP}|type 2)\b"
    rf"|\b(?:{ANY_GROUP}) \d+ people\b",
    "meal": "|".join(MEALS.values()),
    "setting": rf"(?:{'|'.join(SETTINGS.values())})(?: rat(?:e|io)s?\b)?",
    "group": rf"\b(?:minimal )?(?:{'|'.join(GROUPS.values())})\b|\btype 2\b",
}
COUNTED = re.compile(
    r"\b(?:top )?\d{1,3} (?:most|worst|patients?|people|urgent)(?: ones)?\b|\btop \d{1,3}\b"
    r"|\b\d{1,3} at most\b|\bpatients \d{1,3} people\b"
)
VISIT = re.compile(
    r"\bno (?:bolus|insulin|dose)\b|\b(?:in|per|each|every|at) (?:1 |a )?(?:single )?(?:visits?|go|step|time)\b"
    r"|\b1 (?:single )?bolus\b"
)
GIVEN = r"(?:bolus|insulin|carbs|breakfast|lunch|dinner)"
NONE = re.compile(
    r"(?<=\d) (?:until|till)\b"
    rf"|\b(?:without|skip\w*) (?:(?:the|a|any|his|her|their|\d+:\d+|correction|breakfast|lunch|dinner) )*{GIVEN}\b"
    rf"|\b{GIVEN} (?:eaten )?skip\w*|\bate\b|\beaten(?: \S+)? skip\w*"
)
NOT_GIVEN = re.compile(r"\bnot (?:eaten|taken|had|injected|bolused)\b|\bno (?:bolus|carbs|insulin)\b")
UNCHANGED = re.compile(
    r"\bwhy not\b|\bno (?:change|suggestion|proposal)s?\b|\bnothing\b|\bnot (?:rais|lower|chang|propos|suggest)\w*"
)
SINCE = re.compile(r"\bsince\b")
BOUND = r"until|till|by|since|past|up to"
NOW = re.compile(r"^(?:today|this morning)$")
BEARING = frozenset(WORDS["bearing"].split())  # words that would make it another question
TOPICS = {topic: frozenset(words.split()) for topic, words in WORDS["topics"].items()}
BESIDE = (COMMON | frozenset(WORDS["beside"].split()) | frozenset(NUMBERS) | frozenset(WORDS["known"].split())) - BEARING
ENDINGS = (
    ("", ""),
    ("s", ""),
    ("es", ""),
    ("ed", ""),
    ("d", ""),
    ("ing", ""),
    ("ing", "e"),
    ("ly", ""),
    ("al", "e"),
    ("ation", ""),
)


class Cues(NamedTuple):
    """What tells of which kind a question is: patterns, and the words in them."""

    patterns: Sequence[str]
    words: frozenset[str]


WORD = re.compile(r"\d+(?:[.:]\d+)?|[a-z]+(?:[-'][a-z]+)*|[\u30a1-\u30fa\u30fc\u4e00-\u9fff]+")  # and Japanese words of content


def unread(kind: str, text: str, today: date, cues: Cues, policies: tuple[str, ...] = ()) -> list[str]:
    """Words of a plain text, without names, that no query of its kind holds. cues: what tells of which kind a question is."""
    holds = HOLDS[kind]
    for policy in sorted(policies if kind == "cohort_replay" else (), key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){policy.replace('-', '[- ]')}0?(?![\w-])", " ", text)
    bounds = _bounds(kind, text, today)
    for found in sorted(times.periods(text, today), key=lambda found: -found.start):
        if "period" in holds or NOW.match(text[found.start : found.end].strip()):
            text = text[: found.start] + " " + text[found.end :]
    own = {"limits": VISIT, "who_needs_a_look": COUNTED, "counterfactual": NONE, "why": UNCHANGED, "compare_periods": SINCE}
    text = own[kind].sub(" ", text) if kind in own else text
    text = NOT_GIVEN.sub(" ", text) if kind == "counterfactual" else text
    if "edge" in holds:  # any other level is none of what is told, nor is it an amount
        text = re.sub(SLOTS["edge"], " ", text)
        bounds += [match[0] for match in re.finditer(SLOTS["level"], text)]
    for slot, pattern in SLOTS.items():
        if slot in holds:
            text = re.sub(pattern, " ", text)
    text = re.sub(ALONE[kind], " ", text)
    elsewhere = [pattern for slot, pattern in SLOTS.items() if slot in ("meal", "setting", "group") and slot not in holds]
    dated = [text[found.start : found.end] for found in times.periods(text, today)]
    asking = [match[0] for pattern in elsewhere for match in re.finditer(pattern, text)]
    about = frozenset[str]().union(*(words for topic, words in TOPICS.items() if topic not in ABOUT.get(kind, ())))
    return [*bounds, *dated, *asking, *(word for word in WORD.findall(text) if _bears(word.removesuffix("'s"), about, cues))]


def _bounds(kind: str, text: str, today: date) -> list[str]:
    """Words that make of a day or a time one end of a stretch: "until Monday" is not Monday."""
    found = [] if kind == "counterfactual" else [match[1] for match in re.finditer(rf"\b({BOUND})\s+(?:{times.CLOCK})", text)]
    periods = times.periods(text, today)
    if kind in ("forecast", "why", "regimen"):
        found += [match[0] for match in list(re.finditer(times.CLOCK, text))[1:]]
        found += [text[each.start : each.end] for each in periods[1:]]
    for each in periods:
        if after := re.match(rf" (?:{BOUND})\b", text[each.end :]):
            found.append(after[0].strip())
        before = re.search(rf"\b({BOUND}|from) (?:the )?$", text[: each.start])
        if (
            before
            and not (kind == "compare_periods" and before[1] == "since")
            and (before[1] != "from" or (each.value.first == each.value.last and kind != "forecast"))
        ):
            found.append(before[1])
    return found


def _bears(word: str, about: frozenset[str], cues: Cues) -> bool:
    """Whether a word makes it another question than what is common to all questions, and what their kinds are told by, would.

    about: words of topics that a question of this kind has not.
    """
    stems = {word.removesuffix(ending) + letter for ending, letter in ENDINGS if word.endswith(ending)}
    if word[0].isdigit() or word in BEARING or stems & about:
        return True
    if len(word) < 2 or stems & BESIDE or stems & cues.words or any(re.fullmatch(pattern, word) for pattern in cues.patterns):
        return False
    likely = (other for other in slips(word, BESIDE, 1) if other[0] == word[0])  # a short word is too near to too many
    return not any(len(word) > 4 or sorted(word) == sorted(other) for other in likely)
