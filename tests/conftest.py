"""For every test: one thread (the machine is shared), no deadline for hypothesis (a slow machine is not a bug), and an audit key
of the tests' own."""

import os
import shutil
from pathlib import Path
from tempfile import mkdtemp

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["CAREPLAN_AUDIT"] = str(Path(mkdtemp(prefix="careplan-tests-")) / "audit")
os.environ.pop("CAREPLAN_AUDIT_KEY", None)

import pytest
from hypothesis import Phase, settings

settings.register_profile("careplan", deadline=None, print_blob=True)
settings.register_profile(  # of a mutation run: the same examples each time, none made smaller
    "mutation", deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("CAREPLAN_HYPOTHESIS", "careplan"))


@pytest.fixture(scope="session")
def compiled_engine() -> None:
    """The search engine of this checkout's source, compiled where what was installed is of another source; skips without a
    compiler."""
    from careplan.planning import engine

    if all(library.exists() and engine.current(library) for library in engine.libraries()):
        return
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler")
    engine.build()
