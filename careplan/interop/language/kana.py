"""Names in katakana as Latin letters, by Hepburn romanisation: アンナ is anna.

Long vowels and doubled consonants count once but for n (アナ is not Anna), and l is r, v is b, as in Japanese.
"""

import re

ROWS = {
    "": "アイウエオ",
    "k": "カキクケコ",
    "g": "ガギグゲゴ",
    "s": "サシスセソ",
    "z": "ザジズゼゾ",
    "t": "タチツテト",
    "d": "ダヂヅデド",
    "n": "ナニヌネノ",
    "h": "ハヒフヘホ",
    "b": "バビブベボ",
    "p": "パピプペポ",
    "m": "マミムメモ",
    "r": "ラリルレロ",
}
SOUNDS = {sign: row + vowel for row, signs in ROWS.items() for sign, vowel in zip(signs, "aiueo", strict=True)}
SOUNDS |= {"シ": "shi", "ジ": "ji", "チ": "chi", "ツ": "tsu", "ヂ": "ji", "ヅ": "zu", "フ": "fu", "ヴ": "bu"}
SOUNDS |= {"ヤ": "ya", "ユ": "yu", "ヨ": "yo", "ワ": "wa", "ヲ": "o", "ン": "n", "ー": "", "ッ": ""}
SMALL = {"ャ": "ya", "ュ": "yu", "ョ": "yo", "ァ": "a", "ィ": "i", "ゥ": "u", "ェ": "e", "ォ": "o"}
RUN = re.compile("[ァ-ヴー]+")


def latin(katakana: str) -> str:
    """A name in katakana in Latin letters, as `letters` has them."""
    text = ""
    for sign in katakana:
        if sign not in SMALL:
            text += SOUNDS.get(sign, "?")
        elif sign in "ャュョ" and text.endswith(("shi", "chi", "ji")):
            text = text[:-1] + SMALL[sign][1:]
        else:
            text = text[:-1] + SMALL[sign]
    return letters(text)


def letters(name: str) -> str:
    """A name as katakana can tell it from another."""
    return re.sub(r"([^n])\1+", r"\1", name.lower().replace("l", "r").replace("v", "b"))
