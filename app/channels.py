"""What the channels of a recording are called; a channel that is not known here keeps the name its therapy gives it."""

NAMES = {
    "glucose": "Glucose readings",
    "basal": "Basal rates",
    "bolus": "Boluses",
    "long_acting": "Long-acting doses",
    "carbs": "Meals (carbohydrate)",
    "activity": "Activity",
}


def channel_name(name: str) -> str:
    return NAMES.get(name, name.replace("_", " "))
