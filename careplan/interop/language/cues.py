"""What kind of question a text asks, by its words; which kind wins where several fit; and where a text asks twice."""

import re

from careplan.interop.language.wording import WORDS, any_of

# A kind is meant where one of its patterns is found in plain text.
CUES: dict[str, str] = {kind: "|".join(patterns) for kind, patterns in WORDS["cues"].items()}
# Those that stand together, without the words between that the others reach over.
ALONE = {kind: "|".join(each for each in patterns if ".*" not in each) for kind, patterns in WORDS["cues"].items()}
# Where both fit, the first is meant: what else stands in the text is what it is about.
BEATS: dict[str, tuple[str, ...]] = {
    "cohort_replay": (
        "compare_periods",
        "counterfactual",
        "summary",
        "forecast",
        "plan",
        "dose",
        "who_needs_a_look",
        "regimen",
        "evaluation",
        "episodes",
    ),
    "counterfactual": ("forecast", "regimen", "plan", "dose", "summary", "episodes", "limits", "compare_periods"),
    "compare_periods": ("summary", "episodes", "forecast", "regimen"),
    "why": ("regimen", "plan", "dose", "limits", "summary", "episodes", "forecast", "compare_periods"),
    "who_needs_a_look": ("episodes", "summary", "forecast", "dose", "plan", "limits", "regimen"),
    "evaluation": ("forecast", "limits", "summary", "compare_periods", "plan", "regimen", "episodes"),
    "limits": ("regimen", "plan", "dose", "summary", "episodes", "forecast"),
    "dose": ("plan", "summary", "forecast", "episodes", "regimen"),
    "forecast": ("summary", "episodes", "regimen"),
    "episodes": ("summary",),
    "plan": ("summary", "regimen"),
    "regimen": ("summary",),
}
# What a question of one kind may be about, in the words of another.
ALSO = {
    "compare_periods": ("summary", "episodes"),
    "why": ("plan",),
    "who_needs_a_look": ("episodes",),
    "cohort_replay": ("compare_periods", "summary"),
    "evaluation": ("forecast",),
}
# What a question names, by the word that a query has for it.
GROUPS = {
    "adult": r"adults?",
    "child": r"children|child|kids",
    "adolescent": r"adolescents?|teenagers?|teens",
}
SETTINGS = {
    "carb_ratio": r"\bcarb(?:ohydrate)? ratios?\b|\bicr\b|\binsulin.to.carb\b"
    r"|\b(?:g|grams?)(?: of (?:carbs?|carbohydrates?))? (?:per|to (?:the|1|a)) unit\b",
    "correction_factor": r"\bcorrection factors?\b|\bisf\b|\bsensitivity\b",
    "long_acting": r"\blong[- ]acting\b",
    "basal": r"\bbasal\b(?!-bolus| bolus)|\b(?:programmed|pump|infusion) rates?\b",
}
MEALS = {
    "breakfast": r"\bbreakfast(?:s|[- ]?time)?\b",
    "lunch": r"\blunch(?:es|[- ]?time)?\b",
    "dinner": r"\bdinner(?:s|[- ]?time)?\b|\bsupper(?:[- ]?time)?\b",
}
WRITES = re.compile(
    rf"^(?:{any_of(WORDS['commands']['begun'])})*(?:{any_of(WORDS['commands']['verbs'])})\b(?! in\b| limits?\b| bounds?\b| on\b)"
)
TELLS = re.compile(any_of(WORDS["commands"]["japanese"]))  # the same in Japanese
ANYBODY = re.compile(r"\bany(?:one|body)\b")
SIGNER = re.compile(r"\bwho(?= (?:has |have )?(?:signed|approved|accepted|rejected|reviewed|authori[sz]ed|endorsed)\b)")
DONE = re.compile(r"\b(?:did|was|were|had|has|been|used|yesterday|is on)\b|\bwould\b.*\bhave\b")
PRESCRIBED = re.compile(  # it stands on record, and nobody has to decide it
    r"^(?!.*\b(?:should|be|needs?|must|if)\b).*\b(?:is|are)(?: (?:he|she|they|it|now|currently))* prescribed\b"
)
BELIEVED = re.compile(
    r"\bhow much (?:faith|trust|confidence|stock|weight)\b"
    r"|\bhow much (?:can|should|may|could|do) (?:i|we|you|1)(?: really)? (?:trust|believe|rely|depend)\b"
)
OF_MODEL = re.compile(
    r"\b(?:model|forecast|predict|interval|accura|rmse|mae\b|mard\b|calibrat|valid|train|error|ridge|persistence|reliab|trust)"
)
ANY_GOOD = re.compile(r"\bany good(?=\W*$)")
SIMULATES = re.compile(r"\b(?:simulat\w+|replay\w*)\b|^model\b")
FUTURE = re.compile(
    r"\b(?:will|about to|foresee\w*|project\w*|anticipat\w*|chances?|probability|likelihood|prospects?|going to|next|coming|ahead"
    r"|likely|tonight|risk|odds|forecast|predict\w*|expect(?:ed|ing)?|from now)\b"
)
MAYBE = re.compile(r"^(?!.*\b(?:did|was|were|had|have)\b).*\b(?:might|within (?:the )?(?:next )?\d)")
AHEAD = re.compile(
    r"^(?!.*\b(?:did|would|was|were|had|from \d|starting|standing|at the time)\b)"
    r".*\b(?:will|going to|likely|tonight|risk|odds|by \d)"
)
HOW_DO = re.compile(r"\bhow (?:do|does|did)\b(?=.*\b(?:compare|differ)\b)")  # it asks of the two together
CLAUSES = re.compile(r"\?+\s*|;\s*|\.\s+|,? and (?:then |also )?|,? then |,? (?:plus|along with|as well as) | & ")


def kinds(text: str) -> set[str]:
    """The kinds that a text may be of, once what is only about another is left out."""
    found = {kind for kind, pattern in CUES.items() if re.search(pattern, text)}
    if DONE.search(text) or PRESCRIBED.search(text):  # what was given, or is on record, is nothing to decide
        found.discard("dose")
    if BELIEVED.search(text):
        found.discard("dose")
    if {"forecast", "episodes"} <= found:
        found.discard("episodes" if FUTURE.search(text) or MAYBE.search(text) else "forecast")
    if {"limits", "episodes"} <= found and not re.search(r"\blimits?\b|\bno (?:bolus|insulin|dose)\b", text):
        found.discard("limits")
    for kind in list(found):
        if kind in found:
            found -= set(BEATS.get(kind, ()))
    return found


def several(text: str, kind: str) -> bool:
    """Whether a part of a text asks something by itself that is not of this kind, nor what a question of this kind is about."""
    if kind == "compare_periods":
        text = HOW_DO.sub("", text)
    for part in filter(str.strip, CLAUSES.split(text)):
        others = kinds(part) - {kind}
        if others and (_asks(part) or not others <= set(ALSO.get(kind, ()))):
            return True
    return False


def _asks(part: str) -> bool:
    """Whether a part of a sentence is a question or a wish of its own, rather than more of the one before."""
    return bool(
        re.search(
            r"\b(?:what|why|who|when|where|which|how|is|are|was|were|will|did|does|do|has|have|can|should|tell|show|give|compare|explain"
            r"|replay|simulate|list|forecast|predict|summari[sz]e|summary|raise|set|lower)\b",
            part,
        )
    )


def writes(text: str, question: str) -> bool:
    """Whether a plain text, or the question as it was typed, tells careplan to change something, which no question can."""
    return bool(TELLS.search(question)) or any(WRITES.search(part.strip()) for part in CLAUSES.split(text) if part)
