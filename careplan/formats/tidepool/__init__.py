"""Tidepool: the documents of its API, and the workbook of its site."""
