"""The world model: a latent state of a patient, and what would follow from treatments.

It knows no therapy: channels, absorption and directions come from a `careplan.therapy.Therapy`. docs/explanation/world-model.md
explains it.
"""

from careplan.world.forecast import Future, predict
from careplan.world.loaded import World, open_world, reasons_to_abstain
from careplan.world.model import Shape, WorldModel, load_card, load_model
from careplan.world.personalise import Personalisation, personalise
from careplan.world.question import Given

__all__ = [
    "Future",
    "Given",
    "Personalisation",
    "Shape",
    "World",
    "WorldModel",
    "load_card",
    "load_model",
    "open_world",
    "personalise",
    "predict",
    "reasons_to_abstain",
]
