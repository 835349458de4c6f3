"""Every limit, target and boundary, with where it was read. Nothing of the code is imported: tests hold the code against it.

Sources: AndroidAPS `HardLimits` (largest bolus and insulin on board by group); oref0 `autotune` (a fifth of the change a run,
within 0.7 to 1.2 of the pump's settings) and `basal-set-temp` (four times the current rate); LoopKit's guardrails (carb ratio
2-150, recommended 4-28; sensitivity 10-500); the consensus on CGM targets (Battelino 2019, 2023); Bergenstal 2018 (GMI), Klonoff
2023 (GRI), Kovatchev 1997 (risk); LoopKit `ExponentialInsulinModel` and oref0 (on board). "Ours" marks what no system states.
"""

from datetime import timedelta

# Group: largest bolus, U; most on board, U; minutes between boluses; floor, mg/dL; largest rate, U/h; times the standing rate.
# AndroidAPS: bolus 17, 10 and 5 U; on board 22, 13 and 7 U, of which we keep 13 for adults too. Ours: spacing, floor, rate.
DOSES = {
    "adult": (17.0, 13.0, 30.0, 80.0, 10.0, 4.0),
    "adolescent": (10.0, 13.0, 30.0, 80.0, 6.0, 4.0),
    "child": (5.0, 7.0, 30.0, 80.0, 3.0, 4.0),
}

# Setting: absolute lowest and highest, recommended low and high. LoopKit: the carb ratio, the absolute ones of the correction
# factor. Ours: basal, U/h, and long-acting insulin, U, within what their channels can hold; the recommended correction factor.
LINES = {
    "basal": (0.0, 35.0, 0.05, 5.0),
    "carb_ratio": (2.0, 150.0, 4.0, 28.0),
    "correction_factor": (10.0, 500.0, 16.0, 400.0),
    "long_acting": (0.0, 150.0, 1.0, 80.0),
}
# Of the original setting, lowest and highest; the largest change in one visit (oref0 autotune). Ours: less treatment at once
# where the target for lows is broken, and where it is broken by far.
CAPS = (0.7, 1.2, 0.2, 0.3, 0.5)
EVIDENCE = 7.0  # days, ours
READING_AGE = 15.0  # minutes, ours: three readings of a sensor

# Channel: unit, lowest and highest value that is physiology and not an error.
CHANNELS = {
    "glucose": ("mg/dL", 20.0, 600.0),
    "basal": ("U/h", 0.0, 35.0),  # the largest rate of the pumps sold
    "bolus": ("U", 0.0, 60.0),  # AndroidAPS: the largest of any group
    "long_acting": ("U", 0.0, 150.0),
    "carbs": ("g", 0.0, 400.0),
    "activity": ("MET", 0.0, 25.0),
}

# Consensus for adults: of all readings at most so many % below so many mg/dL.
LOWS = {70.0: 4.0, 54.0: 1.0}
BANDS = {
    "very_low": (0.0, 54.0),
    "low": (54.0, 70.0),
    "in_range": (70.0, 180.0),
    "high": (180.0, 250.0),
    "very_high": (250.0, 1e9),
}
SUFFICIENT = (14.0, 70.0)  # days, % of readings
GMI = (3.31, 0.02392)  # %, % a mg/dL
GRI = {"very_low": 3.0, "low": 2.4, "very_high": 1.6, "high": 0.8}
MG_PER_MMOL = 18.01559

# For how long a suggestion may be signed (ours): settings a fortnight from when they were made, doses half an hour from when they
# begin.
HOLDS = {"regimen": timedelta(days=14), "doses": timedelta(minutes=30)}

# What must be known of a patient before anything is suggested (ours, beside the 14 days and 70 % of the consensus).
GATE = {
    **{"days": 14.0, "active": 70.0, "recent": 14 * 1440.0, "windows": 20, "strange": 2.0, "error_ratio": 0.95},
    "dosed": 0.3,
    "even": 0.5,
}
COVERAGE = 0.9  # of predictive intervals, ours
