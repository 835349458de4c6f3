"""What a question says and its typed query does not hold. A query that leaves out "after exercise" answers another question.

Every number, day, meal, setting and word of content must have gone into the query; what is common to all questions may stand
beside it.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from careplan.interop.language import times
from careplan.interop.language.cues import ALONE, ALSO, GROUPS, MEALS, SETTINGS
from careplan.interop.language.wording import ENDING, WORDS

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
ABOUT = {  # the topics whose words may stand in a question of each kind, beside what its query holds
    "forecast": {"now", "side", "movement", "mood", "ahead", "estimating"},
    "counterfactual": {"now", "side", "movement", "share", "treatment", "change", "mood", "outcome", "estimating"},
    "compare_periods": {"side", "movement", "change", "quality", "figure", "estimating"},
    "why": {"now", "treatment", "change", "mood", "novelty", "proposal", "arguing"},
    "who_needs_a_look": {"now", "movement", "mood", "worry"},
    "limits": {"now", "side", "treatment", "force", "bound", "proposal"},
    "cohort_replay": {"population", "mood", "quality", "estimating"},
    "plan": {"now", "treatment", "mood", "novelty", "proposal", "review", "staff"},
    "regimen": {"now", "treatment", "force", "novelty", "use"},
    "evaluation": {"now", "mood", "quality", "figure", "card", "often"},
    "summary": {"figure", "estimating"},
    "episodes": {"side", "movement", "often", "estimating"},
}
ANY_DAY = date(2000, 1, 1)  # for questions about nobody, which hold no day
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
    r"|\bthe \d{1,2} (?=(?:(?:that|whom?) )?(?:i|we) (?:should|must|need|ought|have to)\b)"
    r"|\b(?:(?:at|to|on) )?(?:the )?top of (?:my|the|our|your) list\b"
    r"|\b\d{1,3} at most\b|\bpatients \d{1,3} people\b|\bout of (?:target|range)\b"
)
VISIT = re.compile(
    r"\bno (?:bolus|insulin|dose)\b|\b(?:in|per|each|every|at) (?:1 |a )?(?:single )?(?:visits?|go|step|time)\b"
    r"|\b1 (?:single )?bolus\b"
)
GIVEN = r"(?:bolus|insulin|carbs|breakfast|lunch|dinner)"
NONE = re.compile(
    r"(?<=\d) (?:until|till)\b"
    r"|\b(?:without|skip\w*|forg[eo]t\w*|miss(?:ed|ing)|omitt\w*|left out)"
    rf" (?:(?:the|a|any|his|her|their|\d+:\d+|correction|breakfast|lunch|dinner) )*{GIVEN}\b"
    rf"|\b(?:left|leaving|leave) out\b|\bomitt\w*|\b{GIVEN} (?:eaten )?skip\w*|\bate\b|\beaten(?: \S+)? skip\w*"
)
NOT_GIVEN = re.compile(
    r"\bnot (?:eaten|taken|had|injected|bolused)\b|\b(?:take|took|taken) (?:away|out)\b"
    r"|\bno (?:(?:breakfast|lunch|dinner|correction) )?(?:bolus|carbs|insulin)\b"
)
UNCHANGED = re.compile(
    r"\bwhy not\b|\bno (?:change|suggestion|proposal)s?\b|\bnothing\b|\bnot (?:rais|lower|chang|propos|suggest)\w*"
)
REVIEWED = re.compile(  # what a person made of a suggestion, which only its plan tells
    r"\b(?:accepted|approved|rejected|signed|reviewed|decided)\b|\b(?:suggestion|proposal)s?\b.*\bturned (?:down|off)\b"
)
DEGREE = r"\b(?:very|really|quite|almost|nearly|rather|fairly|pretty|somewhat) (?:low|high)s?\b"
ANOTHER = {  # what makes of a question of its kind another one, though each word may stand in it
    "regimen": r"\bon board\b|\biob\b|\b(?:was|were|had|did|used to|needs|next)\b",
    "limits": r"\bhow low\b|\bhow (?:high|far)\b.*\b(?:glucose|sugars?|level)\b"
    r"|\b(?:was|were|used to|meals?|eat\w*|carb\w*(?! ratio))\b",
    "who_needs_a_look": r"\b(?:did|was|were|had)\b|\b(?:who|people|patients) (?:phone|call|visit|ring|contact|see)\b"
    r"|\b(?:is|are|keeps?) (?:phoning|calling|visiting|ringing|contacting|seeing)\b",
    "cohort_replay": r"\bthen\b|\bfollowed by\b",
    "plan": r"\b(?:meals?|eat\w*)\b|\bhow you\b"
    r"|\bhow (?:was|were|did|do|have|had) (?:you|he|she|they|it|the|this|that|suggest|propos|plan)\w*\b"
    r"|\bhow\b.*\b(?:put together|made up)\b",
    "why": r"\bpump\b(?! (?:settings?|basal|rates?)\b)|\b(?:does|did) (?:(?:he|she|they) )?want\b"
    r"|\bneeds?\b(?! (?:a |an |1 )?(?:new|another|different|lower|higher|more|less|chang\w*|to\b))",
    "evaluation": r"\bwhich (?:predictions?|forecasts?|intervals?)\b"
    r"|\bwhich (?:of the )?models?\b.*\b(?:best|better|worse|worst)\b",
    "episodes": DEGREE
    + r"|\b(?:how many|count|number of) (?:the )?(?:days|nights|weeks|hours|minutes|mornings|evenings)\b"
    + r"|\b(?:any|some)(?:one|body)\b",
    "forecast": DEGREE
    + r"|\bhow (?:far|fast|long|quickly|soon)\b|\bhow much\b.*\b(?:rise|fall|drop|climb|increase|decrease|go (?:up|down))\b"
    + r"|\b(?:when|what time)\b.*\b(?:will|going to)\b",
}
BY_EACH = (  # of any kind
    r"|\b(?:each|every|by) (?:single )?(?:day|night|week|month|hour|weekday|morning|evening|meal)\b"
    r"|\bper (?:patient|person|day|night|hour)\b|\bon (?!which|what)\w+ days\b"
)
SPANS = re.compile(r"\b(?:during|within|spanning|covering)(?: the)? $")  # before a stretch of days
SINCE = re.compile(r"\bsince\b")
EVERY = re.compile(
    r"\bevery (?:single )?(?=lows?\b|highs?\b|hyp|excursion|(?:time|stretch|spell|period|bout) (?:below|above|under|over)"
    r"|episode|event|instance|occurrence|occasion)"
)
BEFORE = re.compile(r"\bbefore (?:the )?(?:clinic|rounds?|ward round|handover|meeting)\b")
TOO = re.compile(r"\btoo (?=low|high)")
CHOSEN = re.compile(
    r"\byou (?:decided?|want(?:ed)?) to\b"
    r"|\b(?:you|it|the (?:system|planner|engine|algorithm|tool)) (?:choose|chose|pick|picked|settled?)\b(?: on)?"
)
SPENT = re.compile(r"\bspen[dt] (?:any |some )?time (?=(?:below|under|above|over)\b)")
AFTER = re.compile(r"\bafter (?=\d+ ?(?:minutes?|mins?|hours?|h)\b)")
SIGNS = re.compile(
    r"\bdid (?:(?:the )?(?:doctor|dr|clinician)|some(?:one|body)|you|he|she|they) (?:sign|accept|approve|reject)\b"
)
RUNNING = re.compile(r"\brun(?:ning|s)? (?=high|low)")
ONLY = re.compile(r"\bonly (?=(?:\w+ )?\d)|\bonly (?=(?:had|taken|took|ate|eaten|injected|bolused|been)\b)")
ELSE = re.compile(
    r"\b(?:before|ahead of|above|more than) (?:any(?:one|body)|every(?:one|body)|all) else(?=\W*$)|\bbefore all others\b"
)
BARRED = re.compile(
    r"\b(?:stops?|prevents?|keeps?) (?:you|it|careplan|(?:the )?(?:system|planner|engine|algorithm|tool|software|app)) from"
    r" (?:giving|dosing|overdosing)(?: too much)?(?: insulin)?"
    r"|\b(?:won't|wouldn't|will not|would not|can't|cannot) (?=(?:you |it )?(?:let|allow|permit|go|exceed)\b)"
    r"|\b(?:not|never) (?:allowed|permitted) to (?:do|give|set|change|exceed)\b|\b(?:at )?(?:the )?(?:very )?most(?=\W*$)"
    r"|\bkeeps? (?:(?:him|her|them) )?safe\b"
    r"|\bmost (?=(?:insulin|you|we|may|can|could|will|would|careplan)\b)"
    r"|\bmost (?=(?:that )?(?:(?:the|his|her) )?(?:basal|bolus|dose|carb ratio|correction factor)\b)"
)
GUESS = re.compile(r"\bbest (?=guess|forecast|prediction|projection|outlook|estimate)|\bguess\b")
WHAT_IF = re.compile(r"\bwhat (?:would happen |happens )?if\b")
ON = re.compile(r"\b(day|week|month) (?:on|over) \1\b")
CHANGES = re.compile(
    r"\bchanges? (?=(?:are|is|were|was|do|does|did|have|has|would)"
    r" (?:you|they|it|been|careplan|proposed|suggested|recommended)\b)"
    r"|(?:(?<=suggested)|(?<=proposed)|(?<=recommended)) changes?\b"
)
BEFORE_AFTER = re.compile(r"\bbefore and after\b|\bas against\b")
SAFE = re.compile(r"\bsafe from (?=lows?\b|highs?\b|hyp)")
ONCE = re.compile(r"\bonce (?=(?:with|on|under)\b)")
TOLD = re.compile(r"\bto (?:his|her|their|the) (?:parents|family|mum|mother|dad|father|carers?)(?=\W*$)")
AS_IT_STANDS = re.compile(
    r"\bif (?:nothing (?:changes|is (?:changed|done))|(?:we|i|you) (?:(?:do|change) nothing|don't do anything)"
    r"|(?:we|i|you) leave (?:things|it) as (?:they are|it is)"
    r"|(?:things|it all|everything) (?:stays?|continues?|goes? on|carr(?:y|ies) on)"
    r"(?: as (?:it is|they are|usual|now)| like this))\b"
    r"|\b(?:as things (?:stand|are)|at this rate)\b"
)
STANDING = re.compile(r"\bstanding (?=at \d)")
IN_MIND = re.compile(r"\bin mind\b")
DOWN_FOR = re.compile(r"\bdown for(?=\W*$)")
TRAINED_ON = re.compile(r"\b(?:people|patients)\b(?=.*\btrained (?:on|with)\b)")
OWN = {  # what is said of its kind in more than a word
    "limits": (VISIT, BARRED),
    "who_needs_a_look": (COUNTED, BEFORE, ELSE),
    "counterfactual": (ONLY, NONE, NOT_GIVEN),
    "why": (UNCHANGED, CHOSEN, TOLD),
    "compare_periods": (SINCE, ON, BEFORE_AFTER),
    "episodes": (EVERY, RUNNING, TOO, SPENT),
    "forecast": (RUNNING, TOO, GUESS, SAFE, AS_IT_STANDS, STANDING),
    "cohort_replay": (WHAT_IF, ONCE),
    "plan": (SIGNS, CHANGES, IN_MIND),
    "regimen": (DOWN_FOR,),
    "evaluation": (AFTER, TRAINED_ON),
}
OF_THEN = re.compile(r"(?:yesterday|last night)\b(?! (?:on|onwards?|forward)\b)")  # "from yesterday" is yesterday's
BOUND = r"until|till|by|since|past|up to"
NOW = re.compile(r"^(?:today|this morning)$")
OF_GLUCOSE = {"amount", "clock", "edge", "meal", "range", "setting"}  # what queries hold only where glucose is treated
BESIDE = frozenset(WORDS["beside"].split())  # words that ask nothing by themselves
TOPICS = {topic: frozenset(words.split()) for topic, words in WORDS["topics"].items()}
SAYABLE = {  # the words that may be left of a question of each kind
    kind: BESIDE.union(*(TOPICS[topic] for topic in topics)) for kind, topics in ABOUT.items()
}
ENDINGS = (("s", ""), ("es", ""), ("ed", ""), ("d", ""), ("ing", ""), ("ing", "e"))

WORD = re.compile(r"\d+(?:[.:]\d+)?|[a-z]+(?:[-'][a-z]+)*|[\u3041-\u309f]+|[\u30a1-\u30fa\u30fc\u4e00-\u9fff]+")


class Spoken(NamedTuple):
    """A therapy in words: its name, what its level is called, the words of what it observes and does, and how many minutes a
    forecast of it reaches."""

    therapy: str
    level: str
    terms: frozenset[str]
    reach: float


# The therapy whose words the grammar knows by heart.
GLUCOSE = Spoken("glucose", "glucose", frozenset(WORDS["level"].split()), 720.0)


def unread(kind: str, text: str, today: date, spoken: Spoken = GLUCOSE, policies: Sequence[str] = ()) -> list[str]:
    """Words of a plain text, without names, that no query of its kind holds. spoken: the therapy of the patient."""
    ours = spoken.therapy == GLUCOSE.therapy
    holds = HOLDS[kind] if ours else HOLDS[kind] - OF_GLUCOSE
    for policy in sorted(policies if kind == "cohort_replay" else (), key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){policy.replace('-', '[- ]')}0?(?![\w-])", " ", text)
    bounds = _bounds(kind, text, today) + ([] if kind == "plan" else REVIEWED.findall(text))
    bounds += re.findall(ANOTHER.get(kind, "(?!)") + BY_EACH, text)
    for found in sorted(times.periods(text, today), key=lambda found: -found.start):
        if "period" in holds or NOW.match(text[found.start : found.end].strip()):
            text = SPANS.sub("", text[: found.start]) + " " + text[found.end :]
    ifs = len(re.findall(r"\bif\b", text))
    for phrase in OWN.get(kind, ()):
        text = phrase.sub(" ", text)
    if "edge" in holds:  # any other level is none of what is told, nor is it an amount
        text = re.sub(SLOTS["edge"], " ", text)
        bounds += [match[0] for match in re.finditer(SLOTS["level"], text)]
    for slot, pattern in SLOTS.items():
        if slot in holds:
            text = re.sub(pattern, " ", text)
    text = re.sub(ALONE[kind], " ", text)
    if kind == "counterfactual" and ifs == 1:  # it is what is asked, not a condition beside it
        text = re.sub(r"\bif\b", " ", text)
    for each in ALSO.get(kind, ()):
        text = re.sub(rf"(?:{ALONE[each]})(?! ?\d)", " ", text)
    elsewhere = [pattern for slot, pattern in SLOTS.items() if slot in ("meal", "setting", "group") and slot not in holds]
    dated = [text[found.start : found.end] for found in times.periods(text, today)]
    asking = [match[0] for pattern in elsewhere for match in re.finditer(pattern, text)]
    said = (SAYABLE[kind] if ours else SAYABLE[kind] - TOPICS["treatment"]) | spoken.terms
    return [*bounds, *dated, *asking, *(word for word in WORD.findall(text) if not sayable(word.removesuffix("'s"), said))]


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
            and (
                before[1] != "from"
                or (each.value.first == each.value.last and kind != "forecast" and not OF_THEN.match(text[each.start :]))
            )
        ):
            found.append(before[1])
    return found


def sayable(word: str, said: frozenset[str]) -> bool:
    """Whether a word, however it ends, is one of those that may stand beside a query; a letter by itself says nothing."""
    stems = {word.removesuffix(ending) + letter for ending, letter in ENDINGS if word.endswith(ending)}
    return (
        word in said
        or any(len(stem) > 3 and stem in said for stem in stems)
        or re.fullmatch("[a-z]", word) is not None
        or ENDING.fullmatch(word) is not None
    )
