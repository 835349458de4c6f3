"""The first page is there soon: it waits for nothing that plans, and for no data frames."""

import subprocess
import sys

PROGRAM = """
import sys
import app.access, app.planning, app.screens.worklist
from careplan import therapies
assert therapies.installed() and all(found.practice is not None for found in therapies.installed().values())
print([name for name in ("torch", "pandas", "httpx", "scipy", "sklearn", "reportlab", "lightning") if name in sys.modules])
"""


def test_the_worklist_loads_no_tensors_and_nothing_that_other_pages_need() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
