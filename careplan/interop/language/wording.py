"""Words before grammar: one alphabet, digits for numbers, Japanese as the same English words, slips of the keyboard mended."""

import re
import tomllib
import unicodedata
from collections.abc import Collection
from pathlib import Path

from rapidfuzz import process
from rapidfuzz.distance import OSA

SIGNS = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{EN DASH}": "-", "\N{EM DASH}": " - "})
ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
]
NUMBERS = {word: number for number, word in enumerate([*ONES, "seventeen", "eighteen", "nineteen"])}
NUMBERS |= {
    word: 10 * tens
    for tens, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2)
}
NUMBERS |= {"dozen": 12}
KANJI = {digit: number for number, digit in enumerate("〇一二三四五六七八九")} | {"零": 0}
TENS = {"十": 10, "百": 100, "千": 1000}
COUNTED = "単位|割|時間|時|分|週|日|月|人|名|型|回|グラム|件|ヶ月|か月"

WORDS = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
JAPANESE = {word: f" {english} " for word, english in sorted(WORDS["japanese"].items(), key=lambda pair: -len(pair[0]))}
SLIPS: dict[str, str] = WORDS["slips"]
COMMON = frozenset(" ".join([WORDS["common"], WORDS["beside"], *WORDS["topics"].values()]).split())
PRIOR = r"(?:prior|preceding|foregoing)"
AGAINST = r"than|vs\.?|versus|against|compared (?:to|with)"
ENDING = re.compile(rf"[{WORDS['kana']['stems']}]?(?:{'|'.join(WORDS['kana']['parts'].split())})+")  # asks nothing by itself


def any_of(lines: str) -> str:
    """One pattern of several, one a line."""
    return "|".join(lines.strip("\n").split("\n"))


KANA = re.compile(any_of(WORDS["kana"]["asides"]))
FRAMES = {  # who asks, why, and how it is put, by what each is
    name: re.compile(
        rf"(?:(?<![\w'-])|(?=[,:]| -))(?:{any_of(lines.replace('{kin}', WORDS['frames']['kin']))})(?:(?<=\s)|(?![\w'-]))"
    )
    for name, lines in WORDS["frames"].items()
    if name != "kin"
}
LEAD = re.compile(r"^(?:[ ,:;.-]|(?:and|but|so|then)\b)+")  # what is left of a frame before the question
ASIDES = {  # by what stands in their place
    "" if said == "beside" else said: re.compile(rf"(?<![\w'-])(?:{any_of(lines)})(?:(?<=\s)|(?![\w'-]))")
    for said, lines in WORDS["asides"].items()
}


def plain(question: str) -> str:
    """One alphabet, lower case, spaces between words, Japanese words as English ones and numbers as digits."""
    text = unicodedata.normalize("NFKC", question).lower().translate(SIGNS)
    text = _of_japanese(KANA.sub(" ", text))
    text = re.sub(r"(\d),(\d{3})\b", r"\1\2", text)
    text = re.sub("[、。\N{FULLWIDTH QUESTION MARK}\N{FULLWIDTH EXCLAMATION MARK}「」のはをがにでもか]", " ", text)
    text = re.sub(r"\b(?:a )?half past (\w+)", lambda match: f"{NUMBERS.get(match[1], match[1])}:30 o'clock", text)
    text = re.sub(r"\b(units?|u) (?:an|per) hour\b", "u/h", text)
    text = re.sub(r"\bhalf an? hour\b", "0.5 hours", text)
    text = re.sub(r"\b(?:an?|one|1) (hour|unit|week|gram) and a half\b", r"1.5 \1s", text)
    text = re.sub(r"\b(\w+) and a half\b", _and_a_half, text)
    text = re.sub(r"\bexceed\w*(?= \d)|\b(?:higher|greater) than(?= \d)", "above", text)
    text = re.sub(r"(?<=\w )top(?:ped)? (?=\d{3}(?! (?:most|worst|urgent|patients|people)))", "above ", text)
    text = re.sub(r"\b(?:lower|less) than(?= \d)|\b(?:beneath|underneath)\b", "below", text)
    text = re.sub(r"\ba (hundred|dozen|thousand)\b", r"one \1", text)
    text = re.sub(r"\ban? (day|week|month|hour)\b", r"1 \1", text)
    text = re.sub(r"\b(next|coming|following|(?:within|inside) the) (hour|minute)\b", r"\1 1 \2", text)
    text = re.sub(r"\b(?:a )?fortnight\b", "2 weeks", text)
    text = re.sub(r"\bmodel's (?:best )?(?=(?:guess|forecast|prediction|projection|outlook|estimate)s?\b)", "best ", text)
    text = re.sub(r"'ll\b", " will", text)
    text = re.sub(r"(?<!:)\b(\w+) o'clock\b(?! in the)", lambda match: f"{NUMBERS.get(match[1], match[1])}:00 o'clock", text)
    text = re.sub(r"\b(\w+) (?:o'clock )?in the (morning|afternoon|evening)\b", _hour, text)
    text = re.sub(r"\b(?:covering|spanning)(?= (?:the |1 )?(?:next|coming|following|last|past|\d))", "over", text)
    text = re.sub(r"(?<=[\w.])-(?=(?:hour|minute|min|day|week|month|unit|gram)s?\b)", " ", text)
    text = re.sub(r"\b(?:a )?couple of (?=(?:more )?(?:hours|weeks|days|units))", "2 ", text)
    text = re.sub(
        rf"\b(\w+) (?:(hours?|days?|weeks?|months?) )?{PRIOR}(?:(?: to)? (?:that|those|them|it))?\b(?! (?:hour|day|week|month))",
        r"\1 \2 before",
        text,
    )
    text = re.sub(rf"\b(?:the )?{PRIOR} one\b", "the one before", text)
    text = re.sub(rf"\b{PRIOR} (?=(?:\w+ )?(?:days?|weeks?|months?)\b)", "previous ", text)
    text = re.sub(
        r"\b(?:the|your|our) (?:model|engine|system|algorithm|tool)"
        r" (?=(?:foresee|predict|forecast|expect|anticipat|project|propos|suggest|recommend|think|believ|reckon)\w*)",
        "you ",
        text,
    )
    text = re.sub(rf"\b(this|last) (week|month) ({AGAINST}) (this|last)(?=\W*$)", r"\1 \2 \3 \4 \2", text)
    text = re.sub(
        rf"\b(first half) of ((?:last|this) month|\w+)((?:,? (?:and|with|to|{AGAINST}))+)"
        r" (?:(?:the|its) )?(second|other|latter) half(?! of)",
        r"\1 of \2\3 \4 half of \2",
        text,
    )
    text = re.sub(r"\b(?:g[eo]t?|goes|went|gone|r[io]se|climb) past (?=\d{1,3}(?:\.\d+)? ?(?:mg|mmol))", "above ", text)
    text = re.sub(r"\b(?:the|this) hour ahead\b", "next 1 hour", text)
    for meal, part in (("breakfast", "morning"), ("lunch", "(?:noon|midday)"), ("dinner|supper", "(?:evening|night)")):
        text = re.sub(rf"\b({meal}) (on )?(yesterday|today|[a-z]+day) {part}\b", r"\1 \2\3", text)
    text = re.sub(r"\b(?:giv\w+|there) (?:me |us |you )?(?:any |some |a )?cause for (?:concern|worry)\b", "worrying", text)
    text = re.sub(r"\bnoon\b", "12:00", text)
    text = re.sub(r"\bmidnight\b", "00:00", text)
    text = re.sub(r"[a-z]+(?:-[a-z]+)?(?: (?:hundred|thousand|dozen))?", _number, text)
    text = re.sub(r"\bover (?=\d+(?:\.\d+)? (?:hours?|minutes?|days?|weeks?|months?)\b)", "for ", text)
    text = _weeks(" ".join(text.split()))
    for _again in range(2):  # a frame may stand within another
        for said, aside in [*(("", frame) for frame in FRAMES.values()), *ASIDES.items()]:
            text = LEAD.sub("", aside.sub(said, " ".join(text.split())))
    return " ".join(text.split())


def _weeks(text: str) -> str:
    """The week and the weekend that are just over, where no word says which."""
    text = re.sub(
        r"\b(?:how(?:'s| is| has| was)|what (?:sort|kind) of 1) (?:(?:the|his|her|their) )?week (?:been|gone|has|had)\b",
        "how was last week",
        text,
    )
    text = re.sub(r"^has (?:he |she )?had a (?:good|bad|decent|rough|tough|quiet) week\b", "how was last week", text)
    text = re.sub(r"(?<!last )(?<!this )\bweek in (?:numbers|figures|review|brief)\b", "last week figures", text)
    text = re.sub(r"\bwhat (?:sort|kind) of 1 (?=(?:day|night|weekend|month|time) (?:did|has|had|was)\b)", "how was ", text)
    return re.sub(
        r"\b(?:over|during|through|across) the weekend\b|\bthis weekend\b|(?<=how was )(?:(?:the|his|her|their) )?weekend\b",
        "last weekend",
        text,
    )


def _of_japanese(text: str) -> str:
    """Japanese words as English ones, its times, amounts and levels as an English text has them."""
    text = re.sub(
        r"(?:心配|おそれ|恐れ|懸念|危険|可能性|リスク)[はが]?(?:ない|ありません)(?:です|でしょう|の)*か", " risk ", text
    )
    text = re.sub(r"(?:リスク|可能性|確率|危険性?)[はが](?:高|低)い", " risk ", text)
    text = re.sub(r"(?<!その)前の(?=\d+ ?(?:週間|日間|か月))", " the before ", text)
    text = re.sub(r"(?:10|十)代の?(?:患者)?(?:さん)?(?=\d)", "思春期", text)
    text = re.sub(r"(?<=[月週日])を?並べ", " compare ", text)
    text = re.sub(rf"([〇零一二三四五六七八九十百千]+)(?=\s*(?:{COUNTED}))", lambda match: str(_kanji(match[1])), text)
    text = re.sub(r"(\d+月)(\d+日)から(\d+日)(?![間後前])", r"\1\2から\1\3", text)
    text = re.sub(r"(日)から(?=\d+月\d+日)(?:(\d+月\d+日)まで)?", r"\1 to \2", text)
    text = re.sub(r"(?<=[日月週間])分(?!前|後)", "", text)
    text = re.sub(r"(1[0-2]|[1-9])月(?:(\d+)日)?", lambda match: f" {match[2] or ''} {MONTHS[int(match[1]) - 1]} ", text)
    text = re.sub(r"(?<=[a-z%])(?=[\u3040-\u30ff\u4e00-\u9fff])", " ", text)
    text = re.sub(r"(\d+) ?(単位|割|週|グラム)半", r"\1.5 \2", text)
    text = re.sub(r"(\d+(?:\.\d+)?) ?(単位|グラム|g|u)に(?:減ら|増や|下げ|上げ)し?", r"\1\2", text)
    text = re.sub(r"(\d+) ?割", lambda match: f" {10 * int(match[1])} % ", text)
    text = re.sub(r"2型(?:糖尿病)?の?(?:患者さん|患者|人)?(\d+) ?[人名]", r" \1 people with type 2 ", text)
    text = re.sub(r"(成人|大人|小児|子ども|子供|思春期|青年期)の?患者(?:さん)?", r"\1", text)
    text = re.sub(r"ここ(?=\d)", " past ", text)
    text = re.sub(r"(\d+月)中", r"\1", text)
    text = re.sub(r"(?<=時間)ご(?=[のにはも、?]|$)", "後", text)
    text = re.sub(r"(?<=[るす])と(?=どう)", " ", text)
    text = re.sub(r"(?<![てでら])いま(?![すしせ])", "今", text)
    text = re.sub(r"((?:先|今)月|\d+月)の?前半[とを](?:その)?後半", r"\1の前半と\1の後半", text)
    text = re.sub(r"((?:先|今)月|\d+月)の?前半", r" first half of \1 ", text)
    text = re.sub(r"((?:先|今)月|\d+月)の?後半", r" second half of \1 ", text)
    text = re.sub(r"(?:最近|このところ|近頃|ここのところ)(?!の?\s*\d)", " lately ", text)
    text = re.sub(r"このまま(?:何もしなければ|何も変えなければ|いくと|行くと|いけば|行けば|だと|なら)", " as things stand ", text)
    text = re.sub(r"午前(?!の?\s*\d)", " morning ", text)
    text = re.sub(r"昼の?(?=(?:12|[1-4]) ?時)", "", text)
    text = re.sub(r"(\d+) ?時(\d+)分", r" \1:\2 ", text)
    text = re.sub(r"朝の?(?=\d+ ?時)", "午前", text)
    text = re.sub(r"(?:夕方|夜)の?(?=\d+ ?時)", "午後", text)
    text = re.sub(r"(\d+) ?時間半", r" \1.5時間", text)
    text = re.sub(r"(\d+) ?時半", r" \1:30 ", text)
    text = re.sub(r"(\d+) ?時(?!間)", r" \1:00 ", text)
    for word, english in JAPANESE.items():
        text = text.replace(word, english)
    text = re.sub(r"(超え|[上下]回り?|切り?|割り?)(?:る|ます)(?=か|でしょう|だろう)", r"\1 will ", text)
    text = re.sub(r"(\d+(?:\.\d+)?) ?(mg/dl|mmol/l)? ?(?:を|より)? ?(?:超|上回)[えるっ]*", r" above \1 \2 ", text)
    text = re.sub(
        r"(\d+(?:\.\d+)?) ?(mg/dl|mmol/l)? ?(?:を|より)? ?(?:下回[りるっ]*|未満|切[るっ]|割[るっ]|割り込[むんみ])",
        r" below \1 \2 ",
        text,
    )
    return text


MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]


def _and_a_half(match: re.Match[str]) -> str:
    number = str(NUMBERS.get(match[1], match[1]))
    return f"{number}.5" if number.isdigit() else match[0]


def _hour(match: re.Match[str]) -> str:
    hour = NUMBERS.get(match[1], match[1])
    return f"{hour} {'am' if match[2] == 'morning' else 'pm'}" if str(hour).isdigit() else match[0]


def _number(match: re.Match[str]) -> str:
    word, _, scale = match[0].partition(" ")
    first, _, second = word.partition("-")
    if first not in NUMBERS or (second and second not in NUMBERS):
        return match[0]
    number = NUMBERS[first] + (NUMBERS[second] if second else 0)
    return str(number * {"": 1, "dozen": 12, "hundred": 100, "thousand": 1000}[scale])


def _kanji(text: str) -> int:
    if not set(text) & set(TENS):
        return int("".join(str(KANJI[digit]) for digit in text))
    total, digit = 0, 1
    for sign in text:
        if sign in TENS:
            total, digit = total + digit * TENS[sign], 0
        else:
            digit = KANJI[sign]
    return total + (digit if text[-1] not in TENS else 0)


def mended(text: str, known: Collection[str], spared: Collection[str]) -> str:
    """Each word that is not known becomes the one known word that it is a slip away from; names and common words are spared.

    Another letter in a word of four makes too many other words: there only letters too many, missing or swapped are slips.
    """
    words = set(known)

    def mend(match: re.Match[str]) -> str:
        word = match[0]
        if word in SLIPS:
            return SLIPS[word]
        if len(word) < 3 or word in words or word in COMMON or word in spared:
            return word
        near = {
            other: many for other, many in slips(word, words, 2).items() if many <= (2 if min(len(word), len(other)) >= 7 else 1)
        }
        if len(word) <= 4:
            near = {other: many for other, many in near.items() if len(other) != len(word) or sorted(other) == sorted(word)}
        nearest = [other for other, many in near.items() if many == min(near.values())]
        if len(nearest) > 1:  # singular or plural, as it was typed
            nearest = [other for other in nearest if other[-1] == word[-1]]
        return nearest[0] if len(nearest) == 1 and nearest[0][0] == word[0] else word

    return re.sub(r"(?<![\w'-])[a-z]+(?![\w-])(?!'[a-rt-z])", mend, text)


def slips(word: str, words: Collection[str], most: int) -> dict[str, int]:
    """The words at most so many slips away, and how many: a letter wrong, missing, too many, or swapped with the next."""
    return {
        other: int(many) for other, many, _ in process.extract(word, words, scorer=OSA.distance, score_cutoff=most, limit=None)
    }
