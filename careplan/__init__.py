"""careplan: from recorded treatment of one patient to the treatment that it suggests, and why.

`careplan.world` predicts, `careplan.planning` searches, `careplan.clinic` is for people who treat and `careplan.studies` for
people who research; a disease is a package under `careplan.therapies`. docs/explanation/architecture.md draws the house.
"""

from typing import Any

__all__ = ["__version__"]


def __getattr__(name: str) -> Any:
    """`__version__`: the version that is installed, "unknown" where careplan runs without being installed."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(__name__)
    except PackageNotFoundError:
        return "unknown"
