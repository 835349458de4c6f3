"""`careplan evaluate cohort` on the command line: what cannot be used is named in one line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from careplan.cli import app


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["nowhere"], "nowhere"),
        (["sqlite:///none.db"], "none.db"),
        ([".", "--config", "no.toml"], "no.toml"),
        ([".", "--therapy", "warts"], "warts"),
    ],
)
def test_what_cannot_be_used_is_named(asked: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["evaluate", "cohort", *asked, "--out", str(tmp_path / "out")])
    assert result.exit_code != 0
    assert told in (str(result.exception) + result.output)
    assert not (tmp_path / "out").exists()
