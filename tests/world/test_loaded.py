"""A model is used only with the weights that its card tells of."""

import json
import shutil
from pathlib import Path

import pytest

from careplan.errors import AskError
from careplan.therapies.glucose.weights_folder import WEIGHTS
from careplan.therapies.glucose.world import open_world


def test_weights_whose_hash_is_not_on_their_card_are_refused_in_words(tmp_path: Path) -> None:
    for file in WEIGHTS.glob("glucose.*"):
        shutil.copy(file, tmp_path)
    card = json.loads((tmp_path / "glucose.json").read_text())
    (tmp_path / "glucose.json").write_text(json.dumps({**card, "hash": "0" * len(card["hash"])}))
    with pytest.raises(AskError, match=r"this model is not used: .*weights do not match their card"):
        open_world(tmp_path)
    with pytest.raises(AskError, match="no card of a trained model"):
        open_world(tmp_path / "nowhere")
