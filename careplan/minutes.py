"""Lengths of time in minutes, the unit of time throughout."""

HOUR = 60.0
DAY = 24 * 60
