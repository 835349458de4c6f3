"""What settings are called, and the units that glucose is shown in."""

from collections.abc import Mapping

from careplan.display import Unit
from careplan.language import N_
from careplan.records.units import MG_PER_MMOL

SETTINGS: Mapping[str, str] = {
    "basal": N_("Basal rate"),
    "carb_ratio": N_("Carb ratio"),
    "correction_factor": N_("Correction factor"),
    "long_acting": N_("Long-acting insulin"),
    "bolus": N_("Bolus"),
    "temp_basal": N_("Temporary basal"),
}

MG_DL = Unit("mg/dL", 1.0, 0)
MMOL_L = Unit("mmol/L", MG_PER_MMOL, 1)
