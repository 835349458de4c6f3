"""The glucose therapy as careplan finds it: its `Practice`. Quick to import: its functions load what they need when called."""

from typing import TYPE_CHECKING

from careplan.practice import Practice, Words, later
from careplan.therapies.glucose.aims import aims
from careplan.therapies.glucose.bands import MARKS, PRESETS
from careplan.therapies.glucose.declaration import GLUCOSE, HOLDS, LIMITS, RECENT, Regimen, limits_of
from careplan.therapies.glucose.names import MG_DL, MMOL_L, SETTINGS, UNITS
from careplan.therapies.glucose.regimen import apply_changes, current, listed, stated
from careplan.therapies.glucose.rule_words import RULES
from careplan.therapies.glucose.views import Metrics
from careplan.therapies.glucose.weights_folder import WEIGHTS

if TYPE_CHECKING:
    from careplan.therapies.glucose.decisions import caution, judge
    from careplan.therapies.glucose.dosing import doses_of
    from careplan.therapies.glucose.estimates import estimate_regimen, total_daily_dose
    from careplan.therapies.glucose.experiments import experiments
    from careplan.therapies.glucose.pages import days_of, glance, profile_of, stretches
    from careplan.therapies.glucose.regimen_search import regimen_of
    from careplan.therapies.glucose.rehearsal import rehearse
    from careplan.therapies.glucose.words import because, limits_in_words, said
else:
    HERE = "careplan.therapies.glucose"
    caution, judge = later(f"{HERE}.decisions", "caution", "judge")
    (doses_of,) = later(f"{HERE}.dosing", "doses_of")
    estimate_regimen, total_daily_dose = later(f"{HERE}.estimates", "estimate_regimen", "total_daily_dose")
    (experiments,) = later(f"{HERE}.experiments", "experiments")
    days_of, glance, profile_of, stretches = later(f"{HERE}.pages", "days_of", "glance", "profile_of", "stretches")
    (regimen_of,) = later(f"{HERE}.regimen_search", "regimen_of")
    (rehearse,) = later(f"{HERE}.rehearsal", "rehearse")
    because, limits_in_words, said = later(f"{HERE}.words", "because", "limits_in_words", "said")

PRACTICE = Practice(
    therapy=GLUCOSE,
    groups=tuple(LIMITS),
    limits=limits_of,
    recent=RECENT,
    holds=HOLDS,
    regimen=Regimen,
    stated=stated,
    estimate=estimate_regimen,
    changed=apply_changes,
    current=current,
    listed=listed,
    plan_regimen=regimen_of,
    plan_doses=doses_of,
    judge=judge,
    caution=caution,
    glance=glance,
    daily_dose=total_daily_dose,
    profile=profile_of,
    days=days_of,
    stretches=stretches,
    weights=WEIGHTS,
    experiments=experiments,
    measures=Metrics,
    rehearse=rehearse,
    rules=RULES,
    units=(MG_DL, MMOL_L),
    marks=MARKS,
    words=Words(settings=SETTINGS, said=said, because=because, limits=limits_in_words, units=UNITS),
    clinic="cohorts.clinic:CLINIC",
    presets=PRESETS,
    aims=aims,
)
