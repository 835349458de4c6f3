"""FHIR R4: resources from files and servers."""
