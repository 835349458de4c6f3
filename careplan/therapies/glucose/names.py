"""What settings are called, which way they act, and the units that glucose is shown in."""

from collections.abc import Mapping

from careplan.display import Unit
from careplan.language import N_
from careplan.records.units import MG_PER_MMOL
from careplan.suggestion import Line, Side

SETTINGS: Mapping[str, str] = {
    "basal": N_("Basal rate"),
    "carb_ratio": N_("Carb ratio"),
    "correction_factor": N_("Correction factor"),
    "long_acting": N_("Long-acting insulin"),
    "bolus": N_("Bolus"),
    "temp_basal": N_("Temporary basal"),
}

UNITS: Mapping[str, str] = {"basal": "U/h", "carb_ratio": "g/U", "correction_factor": "mg/dL/U", "long_acting": "U"}

MG_DL = Unit("mg/dL", 1.0, 0)
MMOL_L = Unit("mmol/L", MG_PER_MMOL, 1)

SIDES: Mapping[str, Side] = {"below_54": "low", "below_70": "low", "above_180": "high", "above_250": "high"}
LEAST = 0.05  # of all that moved the score: what moved it less has no days named

# Whether a larger value means more insulin (1) or less (-1).
INSULIN: Mapping[str, int] = {
    "basal": 1,
    "long_acting": 1,
    "bolus": 1,
    "temp_basal": 1,
    "carb_ratio": -1,
    "correction_factor": -1,
}


def raises_insulin(line: Line, value: float) -> bool:
    """Whether deciding on `value` gives more insulin than now."""
    return (value - line.current) * INSULIN[line.setting] > 1e-9
