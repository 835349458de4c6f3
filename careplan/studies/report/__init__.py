"""One cohort evaluated whole: would this be right, safe and of use for these people? Tables, figures and a report to read."""

from careplan.studies.report.protocol import Protocol, ProtocolError, read_protocol
from careplan.studies.report.run import Finished, evaluate_cohort

__all__ = ["Finished", "Protocol", "ProtocolError", "evaluate_cohort", "read_protocol"]
