"""`python -m careplan.cli` is the `careplan` command."""

from careplan.cli import app

app()
