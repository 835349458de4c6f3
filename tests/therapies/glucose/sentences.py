"""What the sentences about a suggestion look like in each language: where the numbers stand, and by which words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from careplan.suggestion import Side

NUMBER = r"[+\N{MINUS SIGN}-]?\d+(?:\.\d+)?"


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """One language. headings: of what is said of a suggestion, in the order of `ENGLISH`. Those fields that are patterns are
    regular expressions, with a group for each number."""

    headings: tuple[str, ...]
    no_change: str
    too_little: str  # pattern: what it would gain, what a change must gain
    nothing_else: str
    worse: str
    price: str
    fewer: Mapping[Side, str]
    milder: Mapping[Side, str]
    middle: str
    more_time: Callable[[Side, str, str], str]  # side, level, unit -> pattern: points
    less_in_range: str  # pattern: points
    total: str  # pattern: drivers, sum
    each_gain: str  # pattern
    better: Callable[[Side], str]  # pattern
    graver: Callable[[Side], str]  # pattern
    less: str  # pattern
    more: str  # pattern
    surely: str  # pattern
    alternative: str
    in_range: str
    below: str
    effect: str  # pattern: middle, low, high
    runner_up: str
    gains: str  # pattern: of the runner-up, of the proposal
    rule_ends: tuple[str, ...]
    between: str
    own_days: Mapping[Side, str]
    too_few_readings: str
    seen: Callable[[int, int], str]
    extreme: Callable[[Side, str], str]
    no_moment: str
    moments: str  # pattern: how many, lows, highs
    more_than_ever: str
    risk: Callable[[str, str], str]  # level, unit -> pattern: percent
    more_insulin: str
    less_insulin: str
    against: Mapping[bool, str]
    evidence: Callable[[int], str]
    near: str  # pattern: percent, level, target
    broken: str  # pattern: percent, level, target


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"


ENGLISH = Sentences(
    headings=(
        "In short",
        "What drove it",
        "How sure",
        "Runner-up",
        "Limits that bound it",
        "Own days",
        "Like now",
        "Risk of a low",
        "Together",
    ),
    no_change="no change",
    too_little=rf"would gain ({NUMBER}) in risk, where a change must gain ({NUMBER})",
    nothing_else="nothing else was allowed",
    worse="is predicted to be worse",
    price=", at the price of ",
    fewer={"low": "fewer lows", "high": "fewer highs"},
    milder={"low": "milder lows", "high": "milder highs"},
    middle="nearer the middle",
    more_time=lambda side, level, unit: rf"more time {_BEYOND[side]} {level} {unit} \(({NUMBER}) points\)",
    less_in_range=rf"less time in range \(({NUMBER}) points\)",
    total=rf"^(.*): ({NUMBER}) in risk$",
    each_gain=rf"({NUMBER})(?:;|$)",
    better=lambda side: rf"^(?:fewer|milder) {side}s",
    graver=lambda side: rf"^(?:more|graver) {side}s",
    less="^fewer",
    more="^more",
    surely=r"better than no change in (?P<better>\d+) of (?P<of>\d+)",
    alternative="the best alternative is",
    in_range="time in range",
    below="below {level}",
    effect=rf" ({NUMBER}) points \(90 %: ({NUMBER}) to ({NUMBER})\)",
    runner_up="basal +10 % all day",
    gains=rf"it gains ({NUMBER})(?:, this ({NUMBER}))?$",
    rule_ends=(" (",),
    between="; ",
    own_days={"low": "low", "high": "high"},
    too_few_readings="no day has enough readings to tell",
    seen=lambda count, days: f"on {count or 'none'} of {_days(days)}{':' if count else ''}",
    extreme=lambda side, level: f"({'lowest' if side == 'low' else 'highest'} {level} at",
    no_moment="no past moment was like this one",
    moments=r"of the (?:one|(\d+)) past moments? most like this, (\d+) had a low and (\d+) a high",
    more_than_ever="more than at any of them",
    risk=lambda level, unit: rf"below {level} {unit} within two hours, .*: (\d+) %$",
    more_insulin="more insulin",
    less_insulin="less insulin",
    against={True: "more insulin against highs", False: "less insulin against lows"},
    evidence=lambda days: f". {_days(days)} of evidence",
    near=rf"({NUMBER}) % of readings were below (54|70) mg/dL, near the target of ({NUMBER}) %",
    broken=rf"({NUMBER}) % of readings are below (54|70) mg/dL \(target under ({NUMBER}) %\)",
)
_BEYOND: Mapping[Side, str] = {"low": "below", "high": "above"}
_SIDES: Mapping[Side, str] = {"low": "低血糖", "high": "高血糖"}
JAPANESE = Sentences(
    headings=(
        "要点",
        "根拠",
        "確からしさ",
        "次点案",
        "適用された制限",
        "患者自身の日々",
        "今と似た状況",
        "低血糖のリスク",
        "同時の変更",
    ),
    no_change="変更なし",
    too_little=rf"リスクの改善は ({NUMBER}) で、変更に必要な ({NUMBER}) に達しません",
    nothing_else="ほかに許容される案がありません",
    worse="悪化すると予測されます",
    price="。その代わり、",
    fewer={side: f"{name}を減らす" for side, name in _SIDES.items()},
    milder={side: f"{name}を軽くする" for side, name in _SIDES.items()},
    middle="範囲の中央に近づける",
    more_time=lambda side, level, unit: (
        rf"{level} {unit} {'未満' if side == 'low' else '超'}の時間が増えます（({NUMBER}) ポイント）"
    ),
    less_in_range=rf"目標範囲内の時間が減ります（({NUMBER}) ポイント）",
    total=rf"^(.*)：リスク ({NUMBER})$",
    each_gain=rf" ({NUMBER})(?:／|$)",
    better=lambda side: rf"{_SIDES[side]}が(?:減る|軽くなる)$",
    graver=lambda side: rf"{_SIDES[side]}が(?:増える|重くなる)$",
    less="減る$",
    more="増える$",
    surely=r"(?P<of>\d+) 通りの(?:将来の)?うち (?P<better>\d+) 通りで、変更なしより良い結果",
    alternative="最良の代替案は",
    in_range="目標範囲内時間",
    below="{level} 未満",
    effect=rf" ({NUMBER}) ポイント（90 %：({NUMBER})～({NUMBER})）",
    runner_up="基礎 +10 %（終日）／",
    gains=rf"改善 ({NUMBER})(?:、この案は ({NUMBER}))?$",
    rule_ends=("（基礎", "（糖質比"),
    between="／",
    own_days=_SIDES,
    too_few_readings="判断できるだけの測定値がある日がありません",
    seen=lambda count, days: f"{days} 日間で {count} 日",
    extreme=lambda side, level: f"（{'最低' if side == 'low' else '最高'} {level}、",
    no_moment="今と似た過去の状況はありません",
    moments=r"今と最も似た過去の (\d+) 回のうち、4 時間以内に低血糖 (\d+) 回、高血糖 (\d+) 回",
    more_than_ever="いずれよりも多い量",
    risk=lambda level, unit: rf"2 時間以内の測定値が {level} {unit} 未満となるリスク：(\d+) %$",
    more_insulin="インスリンを増やす",
    less_insulin="インスリンを減らす",
    against={True: "高血糖に対してインスリンを増やす", False: "低血糖に対してインスリンを減らす"},
    evidence=lambda days: f"根拠となる日数 {days} 日",
    near=rf"測定値の ({NUMBER}) % が (54|70) mg/dL 未満で、目標の ({NUMBER}) % に近い値です",
    broken=rf"測定値の ({NUMBER}) % が (54|70) mg/dL 未満です（目標 ({NUMBER}) % 未満）",
)
