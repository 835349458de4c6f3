"""Units that sources use."""

MG_PER_MMOL = 18.01559  # mg/dL in one mmol/L of glucose
