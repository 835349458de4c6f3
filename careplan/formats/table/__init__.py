"""careplan's own table, with the liberties that spreadsheets take."""
