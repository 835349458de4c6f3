"""The world model that ships with careplan, trained on this therapy."""

from pathlib import Path

from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.weights_folder import WEIGHTS
from careplan.world import loaded
from careplan.world.loaded import World


def open_world(folder: Path = WEIGHTS) -> World:
    """The model in `folder`, the shipped one by default; read once."""
    return loaded.open_world(GLUCOSE, folder, WEIGHTS)
