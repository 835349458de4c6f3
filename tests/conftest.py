"""For every test: one thread (the machine is shared), and no deadline for hypothesis (a slow machine is not a bug)."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("careplan", deadline=None, print_blob=True)
settings.load_profile("careplan")
