"""The glucose therapy as careplan finds it: its `Practice`."""

from careplan.practice import Practice, Words
from careplan.therapies.glucose.bands import MARKS
from careplan.therapies.glucose.days import recent_days
from careplan.therapies.glucose.decisions import caution, judge
from careplan.therapies.glucose.declaration import GLUCOSE, HOLDS, LIMITS, RECENT, Regimen
from careplan.therapies.glucose.dosing import doses_of
from careplan.therapies.glucose.estimates import estimate_regimen, total_daily_dose
from careplan.therapies.glucose.metrics import Metrics
from careplan.therapies.glucose.pages import days_of, glance, profile_of
from careplan.therapies.glucose.regimen import apply_changes, current, listed, stated
from careplan.therapies.glucose.rules import RULES
from careplan.therapies.glucose.titration import regimen_of
from careplan.therapies.glucose.words import MG_DL, MMOL_L, SETTINGS, because, limits_in_words, said
from careplan.therapies.glucose.world import WEIGHTS

PRACTICE = Practice(
    therapy=GLUCOSE,
    limits={str(group): limits for group, limits in LIMITS.items()},
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
    weights=WEIGHTS,
    measures=Metrics,
    rules=RULES,
    units=(MG_DL, MMOL_L),
    marks=MARKS,
    words=Words(settings=SETTINGS, said=said, because=because, limits=limits_in_words),
    replay_days=recent_days,
    clinic="cohorts.clinic:CLINIC",
)
