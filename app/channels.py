"""What the channels of a recording are called; a channel that is not known here has the name its therapy gives it."""

from app.wording import setting_name
from careplan.language import N_, _

NAMES = {
    "glucose": N_("Glucose readings"),
    "basal": N_("Basal rates"),
    "bolus": N_("Boluses"),
    "long_acting": N_("Long-acting doses"),
    "carbs": N_("Meals (carbohydrate)"),
    "activity": N_("Activity"),
}


def channel_name(name: str) -> str:
    return _(NAMES[name]) if name in NAMES else setting_name(name)
