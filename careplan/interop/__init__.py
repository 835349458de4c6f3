"""What leaves careplan for other systems: FHIR and tables."""

from careplan.interop.fhir import ExportError, fhir_bundle
from careplan.interop.sending import send
from careplan.interop.tables import export_table

__all__ = ["ExportError", "export_table", "fhir_bundle", "send"]
