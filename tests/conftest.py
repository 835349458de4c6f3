"""For every test: one thread (the machine is shared), and no deadline for hypothesis (a slow machine is not a bug)."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import Phase, settings

settings.register_profile("careplan", deadline=None, print_blob=True)
settings.register_profile(  # of a mutation run: the same examples each time, none made smaller
    "mutation", deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("CAREPLAN_HYPOTHESIS", "careplan"))
