"""Who lives under which policies, and for how long."""

import re
from collections.abc import Sequence
from typing import Any

from careplan.interop.language import times
from careplan.interop.language.cues import GROUPS
from careplan.interop.language.queries import Unclear
from careplan.language import _


def cohort(text: str, known: Sequence[str]) -> dict[str, Any]:
    """The populations, policies and days of a cohort in plain text. known: the policies that there are. Raises `Unclear`."""
    populations = []
    for match in re.finditer(
        r"(?<![-\d.])\b(\d+) (?:virtual |simulated? )?(?:people with )?(minimal )?(?:type 2|([a-z]+))", text
    ):
        if "type 2" in match[0]:
            populations.append((match.start(), f"type2:{match[1]}"))
            continue
        for group, pattern in GROUPS.items():
            if re.fullmatch(pattern, match[3] or ""):
                populations.append((match.start(), f"{'minimal-' if match[2] else ''}{group}:{match[1]}"))
    for match in re.finditer(rf"\b({'|'.join(GROUPS.values())}) (\d+) people\b", text):
        group = next(name for name, pattern in GROUPS.items() if re.fullmatch(pattern, match[1]))
        populations.append((match.start(), f"{group}:{match[2]}"))
    if not populations:
        raise Unclear(
            _("How many people, and of which group?"), ("100 adults", "50 adolescents", "50 children", "50 people with type 2")
        )
    policies: dict[str, int] = {}
    for policy in sorted(known, key=len, reverse=True):
        for match in re.finditer(rf"(?<![\w-]){policy.replace('-', '[- ]')}0?(?![\w-])", text):
            policies.setdefault(policy, match.start())
            text = text[: match.start()] + " " * len(match[0]) + text[match.end() :]
    if not policies:
        raise Unclear(_("Under which policy?"), known)
    ordered = tuple(sorted(policies, key=lambda policy: policies[policy]))
    minutes = length(text)
    days = {} if minutes is None else {"days": round(minutes / 1440)}
    return {"populations": tuple(text for _, text in sorted(populations)), "policies": ordered, **days}


def length(text: str) -> float | None:
    """Minutes, where a length of time is named. Raises `Unclear` for several."""
    found = times.lengths(text)
    if len(found) > 1:
        raise Unclear(_("How long? One length of time."))
    return found.pop() if found else None
