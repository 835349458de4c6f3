"""What devices, their makers and servers export: one reader a format. `careplan.records.read` finds the format of a file."""
