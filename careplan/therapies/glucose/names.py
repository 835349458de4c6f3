"""What settings are called, and the units that glucose is shown in."""

from collections.abc import Mapping

from careplan.display import Unit
from careplan.records.units import MG_PER_MMOL

SETTINGS: Mapping[str, str] = {
    "basal": "Basal rate",
    "carb_ratio": "Carb ratio",
    "correction_factor": "Correction factor",
    "long_acting": "Long-acting insulin",
    "bolus": "Bolus",
    "temp_basal": "Temporary basal",
}

MG_DL = Unit("mg/dL", 1.0, 0)
MMOL_L = Unit("mmol/L", MG_PER_MMOL, 1)
