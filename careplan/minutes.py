"""Lengths of time in minutes, the unit of time throughout."""

DAY = 24 * 60
