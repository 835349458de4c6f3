"""Who is meant. A patient's name is never guessed: what fits nobody, or several, is asked back."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from careplan.interop.language import kana
from careplan.interop.language.wording import WORDS

SHORTEST = 3  # letters of a part of a name that may stand for it


@dataclass(frozen=True)
class Named:
    """Patients that a question names, what is left of it, and parts of names that fit several."""

    patients: tuple[str, ...]
    rest: str
    unclear: tuple[tuple[str, tuple[str, ...]], ...] = ()


def named(question: str, patients: Sequence[str], common: Collection[str] = ()) -> Named:
    """Takes names out of a question: whole ones first, then parts that fit only one patient and are not common words."""
    text = unicodedata.normalize("NFKC", question).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = _in_latin(text, patients)
    found: list[tuple[int, str]] = []
    for patient in sorted(patients, key=len, reverse=True):
        words = r"[\s_-]?".join(re.escape(word) for word in re.split(r"[\s_-]+", patient) if word)
        for match in re.finditer(_whole(words), text, re.I):
            found.append((match.start(), patient))
        text = re.sub(_whole(words), lambda match: " " * (len(match[0])), text, flags=re.I)
    unclear: dict[str, tuple[str, ...]] = {}
    for part in sorted({part for patient in patients for part in re.split(r"[\s_-]+", patient.lower())}, key=len, reverse=True):
        if len(part) < SHORTEST or part.isdigit() or part in common:
            continue
        having = tuple(patient for patient in patients if part in re.split(r"[\s_-]+", patient.lower()))
        for match in re.finditer(_whole(re.escape(part)), text, re.I):
            if len(having) == 1:
                found.append((match.start(), having[0]))
            else:
                unclear[part] = having
        text = re.sub(_whole(re.escape(part)), lambda match: " " * len(match[0]), text, flags=re.I)
    ordered = tuple(dict.fromkeys(patient for _, patient in sorted(found)))
    return Named(ordered, text, tuple(unclear.items()))


def _in_latin(text: str, patients: Sequence[str]) -> str:
    """The text with each word in katakana that is one part of patients' names in those letters; what may be two parts stays."""
    parts = {part for patient in patients for part in re.split(r"[\s_-]+", patient.lower()) if len(part) >= SHORTEST}

    def told(match: re.Match[str]) -> str:
        fitting = [part for part in parts if kana.letters(part) == kana.latin(match[0])]
        return fitting[0] if len(fitting) == 1 and match[0] not in WORDS["japanese"] else match[0]

    return kana.RUN.sub(told, text)


def _whole(words: str) -> str:
    """A name by itself, with an English possessive or a plural that lost its apostrophe."""
    return rf"(?<![A-Za-z0-9-]){words}(?:'s|'|s)?(?![A-Za-z0-9-]*[A-Za-z0-9])"


def strangers(rest: str, known: Sequence[str]) -> list[str]:
    """Words that look like names of people who are not in the store: capitalised within a sentence, or in the place of a name."""
    words = set(known)
    found = re.findall(r"(?<=[a-z,] )([A-Z][a-z]{2,})\b", rest) + re.findall(r"\b([A-Za-z][a-z]+)'s\b", rest)
    found += re.findall(r"\b(?:is|for|of|how's|hows|was|did) ([a-z]{3,}) (?:doing|low|high)\b", rest, re.I)
    return [word for word in dict.fromkeys(found) if word.lower() not in words]
