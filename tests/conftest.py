"""For every test: one thread (the machine is shared), no deadline for hypothesis (a slow machine is not a bug), and an audit key
of the tests' own."""

import os
from pathlib import Path
from tempfile import mkdtemp

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["CAREPLAN_AUDIT"] = str(Path(mkdtemp(prefix="careplan-tests-")) / "audit")
os.environ.pop("CAREPLAN_AUDIT_KEY", None)

from hypothesis import Phase, settings

settings.register_profile("careplan", deadline=None, print_blob=True)
settings.register_profile(  # of a mutation run: the same examples each time, none made smaller
    "mutation", deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("CAREPLAN_HYPOTHESIS", "careplan"))
