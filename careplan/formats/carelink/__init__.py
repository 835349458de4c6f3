"""Medtronic CareLink's CSV, of both generations of pumps."""
