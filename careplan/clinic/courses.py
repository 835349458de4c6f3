"""Under which therapy a patient is treated."""

from sqlalchemy.orm import Session

from careplan import therapies
from careplan.practice import Practice


def practice_of(session: Session, patient: str) -> Practice:
    """The therapy of a stored patient. Raises `NotInstalledError` where it is not installed."""
    return therapies.first()
