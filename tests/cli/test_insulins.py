"""`careplan import` and `look` with an insulin that no table has: it is told, asked for at a terminal, and never guessed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from careplan.cli import app

Run = Callable[..., Result]
PENS = [{"insulin": "Fantasulin", "units": 12}]
SITE = [
    {"eventType": "<none>", "created_at": "2024-03-05T08:00:00.000Z", "insulin": 12, "insulinInjections": json.dumps(PENS)},
    {"type": "sgv", "sgv": 120, "date": 1_709_625_600_000},
]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.json"
    path.write_text(json.dumps(SITE), encoding="utf-8")
    return path


def call(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(app, [*arguments], env={"COLUMNS": "200"}, input=input)


def seen(result: Result) -> tuple[dict[str, int], dict[str, int]]:
    assert result.exit_code == 0, result.output
    [record] = json.loads(result.stdout)["records"]
    return record["counts"], record["corrected"]


def test_without_an_answer_it_is_left_out_and_told(site: Path) -> None:
    counts, told = seen(call("look", str(site), "--json"))
    assert "long_acting" not in counts and "bolus" not in counts
    assert told["unknown insulin"] == 1


def test_what_was_stated_counts_and_is_told(site: Path) -> None:
    counts, told = seen(call("look", str(site), "--json", "--insulin", "fantasulin=long"))
    assert counts["long_acting"] == 1
    assert told["insulin as stated"] == 1 and "unknown insulin" not in told


def test_at_a_terminal_it_is_asked_for(site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("careplan.cli.records.at_a_terminal", lambda: True)
    result = call("--db", str(tmp_path / "store.db"), "import", str(site), input="nonsense\nrapid\n")
    assert result.exit_code == 0, result.output
    assert "Fantasulin" in result.output and "1 bolus" in result.output


@pytest.mark.parametrize("text", ["Fantasulin", "=long", "Fantasulin=magic"])
def test_what_is_no_statement_is_refused(site: Path, text: str) -> None:
    result = call("look", str(site), "--insulin", text)
    assert result.exit_code == 2 and "NAME=KIND" in result.output
