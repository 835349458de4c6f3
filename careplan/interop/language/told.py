"""What is told before a question: who is on the phone, how somebody feels, what happened on a day. It asks nothing.

Only a statement of such words is taken away, and only where nothing of the question hangs on it: what was eaten or given, and
what is to be left out, stays and is asked back. Illness and exercise move glucose: before a forecast they stay, too.
"""

import re

from careplan.interop.language import cues, times
from careplan.interop.language.unread import ANY_DAY, BESIDE, TOPICS, WORD, sayable
from careplan.interop.language.wording import WORDS

SENTENCES = re.compile(r"(?<=[a-z])[.!]+\s+")
SUBJECT = re.compile(r"^(?:he|she|they|i|we|it|this|that|the|my|our|his|her|their)\b")
VERB = re.compile(r"^(?:has|had|is|was|just|woke|fe\w+|look\w+|sound\w+|seem\w+|came|got|went|changed|started|moved|fainted)\b")
KIN = re.compile(  # who is worried is not who is meant
    rf"^(?:(?:the|my|our|his|her|their) )?{WORDS['frames']['kin']} (?:(?:is|was|has been|just|very|quite|rather) )*"
    r"(?:worried|concerned|anxious|nervous|puzzled|upset|here|waiting|call(?:ed|ing)|on the (?:phone|line)"
    r"|in the (?:room|clinic))$"
)
MET = re.compile(r"\b(?:here|waiting|call(?:ed|ing)|phone|line|room|clinic)$")
MEANT = {  # whom a pronoun of the question may mean where one of them is met: who is worried asks about another
    r"\b(?:mum|mom|mam|mummy|mommy|mother|gran|granny|grandma|grandmother|wife)\b": r"\b(?:she|hers?)\b",
    r"\b(?:dad|daddy|father|grandad|grandpa|grandfather|husband)\b": r"\b(?:he|him|his)\b",
}
ANYBODY = r"\b(?:she|hers?|he|him|his|they|them|their)\b"
SINCE_THEN = re.compile(r"\bsince(?: then| that(?: day)?)?(?=\W*$)")
THAT_DAY = re.compile(r"\b(?:on )?that (?:same )?day\b")
AHEAD = {"forecast", "counterfactual", "dose", "cohort_replay"}  # what is told may be meant as a condition of these


def question_of(text: str, named_first: bool) -> str:
    """The question of a plain text without what is told before it; a day that was told stands where the question points at it.

    named_first: whether the name that was taken out of the text stood at its beginning.
    """
    *statements, question = SENTENCES.split(text)
    if not statements or not cues.kinds(question):
        return text
    days = [each for said in statements for each in _days(said)]
    said = BESIDE | TOPICS["told"] | (frozenset() if cues.kinds(question) & AHEAD else TOPICS["happened"])
    if named_first and VERB.search(statements[0]):
        statements[0] = f"she {statements[0]}"
    if not all(KIN.search(each) or _tells(each, said) for each in statements):
        return text
    met = [each for each in statements if KIN.search(each) and MET.search(each)]
    if any(re.search(_meaning(each), question) for each in met):
        return text
    if len(days) == 1 and (SINCE_THEN.search(question) or THAT_DAY.search(question)):
        return THAT_DAY.sub(days[0], SINCE_THEN.sub(f"since {days[0]}", question))
    return text if days and not _days(question) else question


def _meaning(statement: str) -> str:
    """The pronouns that may mean who is met."""
    return next((pronouns for who, pronouns in MEANT.items() if re.search(who, statement)), ANYBODY)


def _days(text: str) -> list[str]:
    return [text[each.start : each.end].strip() for each in times.periods(text, ANY_DAY)]


def _tells(statement: str, said: frozenset[str]) -> bool:
    """Whether a sentence is a statement in these words and days alone."""
    if not SUBJECT.search(statement) or cues.kinds(statement) - {"who_needs_a_look"}:  # "is worried" asks nothing here
        return False
    for day in _days(statement):
        statement = statement.replace(day, " ", 1)
    return all(sayable(word.removesuffix("'s"), said) for word in WORD.findall(statement))
