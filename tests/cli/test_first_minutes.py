"""The first ten minutes: quick commands stay light, help has examples that parse, a plan reads in one look."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from careplan import clinic, store
from careplan.breach import Breach
from careplan.cli import app, plots
from careplan.cli.examples import EXAMPLES
from careplan.clinic import open_database, store_records, take_back
from careplan.clinic.summaries import GLANCE
from careplan.store import Database
from careplan.store.schema import ImportBatch
from careplan.suggestion import Interval, Option
from careplan.suggestion import Path as Curve

from ..clinic.build import line, record, suggestion

HEAVY = ("torch", "pandas", "numpy", "alembic", "lightning", "sklearn", "httpx")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = open_database(str(tmp_path / "store.db"))
    yield database
    database.close()


@pytest.mark.parametrize("command", [("patients",), ("show", "ann"), ("patients", "--json"), ("imports",), ()])
def test_what_is_quick_waits_for_nothing_heavy(db: Database, tmp_path: Path, command: tuple[str, ...]) -> None:
    store_records(db, "table", [record("ann", days=2)])
    program = f"""
import sys
from careplan.cli import app
app(["--db", {str(tmp_path / "store.db")!r}, *{command!r}], standalone_mode=False)
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n" and done.stdout


def test_a_glance_is_what_the_record_says(db: Database) -> None:
    whole = record("ann", days=4, regimen=None, weight=61.0)
    early = whole.events["time"] < whole.events["time"].min() + (whole.events["time"].max() - whole.events["time"].min()) / 3
    for part in (whole.events[early], whole.events):
        store_records(db, "table", [replace(whole, events=part.reset_index(drop=True))])
    kept, kept_regimen = clinic.show(db, "ann"), clinic.prescribed(db, "ann")
    assert kept.days == pytest.approx(4.0) and kept.weight == 61.0 and kept.events["glucose"] == 4 * 288
    with db.write() as session:
        for batch in session.query(ImportBatch):
            assert batch.report[GLANCE]["therapy"] == "glucose"
    _forget(db)
    assert clinic.show(db, "ann") == kept and clinic.patients(db) == [kept]
    assert clinic.prescribed(db, "ann") == kept_regimen


def test_a_glance_is_not_believed_once_something_was_taken_back(db: Database) -> None:
    whole = record("ann", days=4)
    half = whole.events["time"] < whole.events["time"].min() + (whole.events["time"].max() - whole.events["time"].min()) / 2
    store_records(db, "table", [replace(whole, events=whole.events[half].reset_index(drop=True))])
    again = store_records(db, "table", [whole])
    assert clinic.show(db, "ann").days == pytest.approx(4.0)
    take_back(db, again.run, reason="a test")
    assert clinic.show(db, "ann").days == pytest.approx(2.0)


def _forget(db: Database) -> None:
    """As a store that was filled before glances were kept."""
    with db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE import_batch SET report = '{}'")


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, by its words."""
    for name, child in getattr(command, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from leaves(child, (*path, name))
        else:
            yield (*path, name), child


ROOT = typer.main.get_command(app)
LEAVES = dict(leaves(ROOT))


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_help_has_an_example_that_parses(words: tuple[str, ...]) -> None:
    example = EXAMPLES.get(" ".join(words))
    assert example is not None, "add one to careplan/cli/examples.py"
    assert " ".join(example.split()[:3]) in " ".join(CliRunner().invoke(app, [*words, "--help"]).output.split())
    program, *given = shlex.split(example)
    if given[0] == "--db":
        given = given[2:]
    assert program == "careplan" and tuple(given[: len(words)]) == words
    LEAVES[words].make_context(words[-1], given[len(words) :])


def test_examples_are_of_commands_that_are_there() -> None:
    assert set(EXAMPLES) == {" ".join(words) for words in LEAVES}


def test_no_argument_tells_three_things_to_do_first() -> None:
    result = CliRunner().invoke(app, [])
    first = [text.split()[:2] for text in result.output.splitlines() if text.startswith("  careplan ")]
    assert result.exit_code == 0 and len(first) == 3
    assert all((word,) in LEAVES for _, word in first)


def test_a_variable_whose_value_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAREPLAN_LANGUAGE", "fr")
    result = CliRunner().invoke(app, ["patients"])
    assert result.exit_code == 1 and "CAREPLAN_LANGUAGE is 'fr': input should be 'en' or 'ja'" in result.output


@pytest.mark.parametrize("command", [("patients",), ("show", "ann"), ("imports",), ("plan", "ann"), ("ask", "Who needs a look?")])
def test_a_mistyped_database_is_told_and_not_made(tmp_path: Path, command: tuple[str, ...]) -> None:
    place = tmp_path / "stor.db"
    result = CliRunner().invoke(app, ["--db", str(place), *command])
    assert result.exit_code == 1 and "there is no database; `careplan import` and `careplan demo` make one" in result.output
    assert not place.exists()


def test_what_makes_a_database_makes_it_where_it_is_named(tmp_path: Path) -> None:
    place = tmp_path / "new" / "store.db"
    assert CliRunner().invoke(app, ["--db", str(place), "db", "upgrade"]).exit_code == 0 and place.exists()
    assert CliRunner().invoke(app, ["--db", str(place), "patients"]).exit_code == 0


def shown(verbose: bool, **changes: Any) -> list[str]:
    interval = Interval(mid=71.2, low=65.1, high=77.3)
    outcomes = dict.fromkeys(("in_range", "below_70", "below_54", "risk", "mean"), interval)
    curve = Curve(minutes=(0.0,), mid=(120.0,), low=(110.0,), high=(130.0,))
    options = tuple(Option(name=name, path=curve, outcomes=outcomes) for name in ("proposed", "runner-up", "no change"))
    bound = (
        Breach("evidence", "carb_ratio@0", {"days": 3, "needed": 5}),
        Breach("change in one visit", "basal@360", {"most": 0.2}),
    )
    lines = (line(), line("carb_ratio", 2, 1.1), line("correction_factor", 3, 1.2))
    made = suggestion(*lines, options=options, limits_bound=bound, **changes)
    text = StringIO()
    plots.print_suggestion(Console(file=text, width=80), made, verbose=verbose)
    return text.getvalue().splitlines()


def test_a_plan_reads_in_one_look_in_80_columns() -> None:
    lines = shown(verbose=False)
    assert max(map(len, lines)) <= 80 and len(lines) < 24
    text = "\n".join(lines)
    assert "06:00-11:00  Basal rate" in text and "to   0.9  U/h" in text and "-10 %" in text
    assert "2 limits bound it" in text and "days of evidence" not in text
    verbose = "\n".join(shown(verbose=True))
    assert "3 days of evidence" in verbose and "more than 20% in one visit" in verbose


def test_a_plan_that_abstains_says_why() -> None:
    lines = shown(verbose=False, abstained=True, reasons=("3 days are recorded, 14 are needed",))
    assert any("Abstains: 3 days are recorded" in text for text in lines)


@pytest.mark.parametrize("face", [clinic, store], ids=["clinic", "store"])
def test_no_name_of_a_face_is_hidden_by_a_module_of_that_name(face: Any) -> None:
    modules = {path.stem for path in Path(face.__file__).parent.glob("*.py")} - {"schema"}  # that one is the module
    assert set(face.__all__) & modules == set()
    assert all(getattr(face, name) is not None for name in face.__all__)
