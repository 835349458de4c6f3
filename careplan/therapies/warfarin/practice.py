"""The warfarin therapy as careplan finds it: its `Practice`."""

from pathlib import Path
from typing import TYPE_CHECKING

from careplan.practice import Practice, Words, later
from careplan.therapies.warfarin.aims import PRESETS, aims
from careplan.therapies.warfarin.covariates import known
from careplan.therapies.warfarin.declaration import HOLDS, LIMITS, RECENT, WARFARIN, limits_of
from careplan.therapies.warfarin.metrics import Metrics
from careplan.therapies.warfarin.regimen import Regimen, carried_on, changed, current, estimate, listed, stated
from careplan.therapies.warfarin.words import INR, MARKS, SETTINGS, UNITS, WORDS, because, limits_in_words, said

if TYPE_CHECKING:
    from careplan.therapies.warfarin.decisions import caution, judge
    from careplan.therapies.warfarin.pages import daily_dose, glance, stretches
    from careplan.therapies.warfarin.titration import regimen_of
else:  # they load what plans, and data frames
    caution, judge = later("careplan.therapies.warfarin.decisions", "caution", "judge")
    daily_dose, glance, stretches = later("careplan.therapies.warfarin.pages", "daily_dose", "glance", "stretches")
    (regimen_of,) = later("careplan.therapies.warfarin.titration", "regimen_of")

WEIGHTS = Path(__file__).parent / "weights"

PRACTICE = Practice(
    therapy=WARFARIN,
    groups=tuple(LIMITS),
    limits=limits_of,
    recent=RECENT,
    holds=HOLDS,
    regimen=Regimen,
    stated=stated,
    estimate=estimate,
    changed=changed,
    current=current,
    listed=listed,
    plan_regimen=regimen_of,
    plan_doses=None,
    judge=judge,
    caution=caution,
    glance=glance,
    daily_dose=daily_dose,
    stretches=stretches,
    carried_on=carried_on,
    weights=WEIGHTS,
    measures=Metrics,
    rules=WORDS,
    units=(INR,),
    marks=MARKS,
    words=Words(settings=SETTINGS, said=said, because=because, limits=limits_in_words, units=UNITS),
    clinic="cohorts.warfarin.clinic:CLINIC",
    known=known,
    presets=PRESETS,
    aims=aims,
)
