"""What leaves careplan for other systems: FHIR and tables; and questions that come in, in words and from other programs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from careplan.interop.fhir import ExportError, fhir_bundle
    from careplan.interop.sending import send
    from careplan.interop.tables import export_table

_HOME = {"ExportError": "fhir", "fhir_bundle": "fhir", "send": "sending", "export_table": "tables"}

__all__ = ["ExportError", "export_table", "fhir_bundle", "send"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
