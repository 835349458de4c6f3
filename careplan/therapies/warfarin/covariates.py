"""What is known of a patient before any INR: age, body, ancestry, genotype and other drugs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from careplan.errors import AskError

Cyp2c9 = Literal["*1/*1", "*1/*2", "*1/*3", "*2/*2", "*2/*3", "*3/*3"]
Vkorc1 = Literal["G/G", "G/A", "A/A"]  # -1639 G>A, rs9923231
Race = Literal["white", "asian", "black", "other"]
CYP2C9: tuple[Cyp2c9, ...] = get_args(Cyp2c9)
VKORC1: tuple[Vkorc1, ...] = get_args(Vkorc1)
RACES: tuple[Race, ...] = get_args(Race)

# What can be true of an adult; beyond it a number is an error in the record.
BOUNDS = {"age": (18.0, 110.0), "weight": (25.0, 300.0), "height": (120.0, 230.0)}
# Those of whom nothing is said: the middle of the people whose doses the IWPC collected (IWPC 2009, table 1).
USUAL = {"age": 65.0, "weight": 78.0, "height": 168.0}


@dataclass(frozen=True, kw_only=True)
class Covariates:
    """age: years. weight: kg. height: cm. cyp2c9, vkorc1: None where not typed. amiodarone, inducer (carbamazepine, phenytoin,
    rifampicin): whether it is taken."""

    age: float
    weight: float
    height: float
    race: Race = "other"
    cyp2c9: Cyp2c9 | None = None
    vkorc1: Vkorc1 | None = None
    amiodarone: bool = False
    inducer: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise AskError(f"{name}: {value:g} is not between {low:g} and {high:g}")


def covariates_of(stated: Mapping[str, Any]) -> Covariates:
    """What a source states of a patient, by name; what it does not state is usual or unknown.

    Raises `AskError` for a genotype or a race that does not exist, a number that is none, and a name that is not known.
    """
    known = {*BOUNDS, "race", "cyp2c9", "vkorc1", "amiodarone", "inducer"}
    if unknown := stated.keys() - known:
        raise AskError(f"{min(unknown)!r} is not known of a patient; known are {', '.join(sorted(known))}")
    told = {name: value for name, value in stated.items() if not _absent(value)}
    found: dict[str, Any] = {name: _number(name, told.get(name, usual)) for name, usual in USUAL.items()}
    found |= {name: _flag(name, told[name]) for name in ("amiodarone", "inducer") if name in told}
    if "race" in told:
        found["race"] = _one_of("race", str(told["race"]).strip().lower(), RACES)
    if "cyp2c9" in told:
        found["cyp2c9"] = cyp2c9_of(str(told["cyp2c9"]))
    if "vkorc1" in told:
        found["vkorc1"] = vkorc1_of(str(told["vkorc1"]))
    return Covariates(**found)


def known(stated: Mapping[str, Any]) -> dict[str, float | str]:
    """What a source states of a patient, as the therapy's covariates, and nothing that it does not. Raises as `covariates_of`."""
    found = covariates_of(stated)
    said = [name for name, value in stated.items() if not _absent(value)]
    return {name: _plain(getattr(found, name)) for name in said}


def _plain(value: float | str | bool) -> float | str:
    return ("yes" if value else "no") if isinstance(value, bool) else value


def cyp2c9_of(text: str) -> Cyp2c9:
    """ "*2/*1" or "2/1" -> "*1/*2". Raises `AskError` for alleles that the dosing equations do not know."""
    parts = sorted(part.strip().lstrip("*") for part in text.upper().removeprefix("CYP2C9").split("/"))
    return _one_of("cyp2c9", "/".join(f"*{part}" for part in parts), CYP2C9, text)


def vkorc1_of(text: str) -> Vkorc1:
    """ "A/G", "ga" or, on the other strand, "C/T" -> "G/A". Raises `AskError` for other letters."""
    letters = text.strip().upper().replace("/", "").replace("-", "")
    forward = "".join({"C": "G", "T": "A"}.get(letter, letter) for letter in letters)
    return _one_of("vkorc1", "/".join(sorted(forward, reverse=True)), VKORC1, text)


def _one_of(name: str, value: str, allowed: tuple[Any, ...], text: str | None = None) -> Any:
    if value not in allowed:
        raise AskError(f"{name}: {(value if text is None else text)!r} does not exist here; there are {', '.join(allowed)}")
    return value


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise AskError(f"{name}: {value!r} is not a number") from None


def _flag(name: str, value: Any) -> bool:
    text = str(value).strip().lower()
    if text in ("1", "1.0", "true", "yes", "y"):
        return True
    if text in ("0", "0.0", "false", "no", "n"):
        return False
    raise AskError(f"{name}: {value!r} is neither yes nor no")


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or str(value).strip() == ""
