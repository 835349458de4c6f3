"""A whole `Practice` from a declaration: for a therapy whose declared actions are all that a plan decides.

    PRACTICE = practice_of(THYROID, {"adult": LIMITS}, plans="regimen", recent=timedelta(days=365), holds=timedelta(days=14))

What a therapy says better by itself, such as words, marks or a regimen of its own, it puts in its place (`dataclasses.replace`).
"""

from careplan.declared.making import practice_of
from careplan.declared.standing import Standing

__all__ = ["Standing", "practice_of"]
