"""What a use case refuses, in words for the person who asked."""

from collections.abc import Sequence

from careplan.errors import AskError
from careplan.language import N_


class ClinicError(AskError):
    """The request cannot be done as asked; the store is unchanged."""


class UnknownPatient(ClinicError):  # noqa: N818
    def __init__(self, patient: str, known: Sequence[str]) -> None:
        listed = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
        held = listed or N_("no patients yet: careplan import PATH brings some")
        super().__init__(N_("patient {patient} is not in the store; it holds {held}").format(patient=repr(patient), held=held))
        self.patient = patient


class Altered(ClinicError):  # noqa: N818
    """A row is not as it was put on record: it is neither shown nor signed."""


class ReviewError(ClinicError):
    """A draft or review that cannot be kept. `problems`: each line's problem, in words."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
