"""Where the weights that ship with careplan lie."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
