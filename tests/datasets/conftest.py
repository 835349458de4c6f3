"""Where the real recordings are, for the tests that read them."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data: `CAREPLAN_DATA`, or `../shared/data` beside the checkout."""
    folder = Path(os.environ.get("CAREPLAN_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set CAREPLAN_DATA")
    return folder
