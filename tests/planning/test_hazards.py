"""The hazard table names tests that exist."""

import re
from pathlib import Path


def test_every_test_that_the_hazard_table_names_exists():
    here = Path(__file__).parents[1]
    named = set(re.findall(r"`(test_\w+)`", (here.parent / "docs" / "reference" / "hazards.md").read_text()))
    source = "".join(path.read_text() for path in here.rglob("test_*.py"))
    assert len(named) > 15
    assert sorted(name for name in named if f"def {name}(" not in source) == []
