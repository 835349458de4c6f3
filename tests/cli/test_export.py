"""`careplan export`: to a file, to standard output, to a server, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from careplan.cli import app
from careplan.clinic import open_database, store_records
from careplan.formats.fhir.reader import read_fhir
from careplan.formats.table.reader import read_table
from tests.clinic.build import record
from tests.interop.fhir_server import Server
from tests.loopback import serve

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    place = str(tmp_path / "store.db")
    database = open_database(place)
    store_records(database, "table", [record(days=1, zone="Europe/Berlin")])
    database.close()

    def call(*arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(app, ["--db", place, "export", *arguments], env={"COLUMNS": "200", **environment})

    return call


def test_a_bundle_to_a_file_and_to_standard_output(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "ann.json"
    result = run("fhir", "ann", "--out", str(path))
    assert result.exit_code == 0, result.output
    assert result.output.startswith("332 resources of ann in ")
    [again] = read_fhir(path)
    assert (again.patient, again.zone, len(again.events)) == ("ann", "Europe/Berlin", 318)
    printed = json.loads(run("fhir", "ann", "--days", "0.5").stdout)
    assert len(printed["entry"]) < 200


def test_a_bundle_to_a_server(run: Run) -> None:
    server = Server("secret")
    with serve(server) as address:
        refused = run("fhir", "ann", "--to", f"{address}/fhir")
        assert (refused.exit_code, "give a token that may write" in refused.output) == (1, True)
        for _ in range(2):
            result = run("fhir", "ann", "--to", f"{address}/fhir", CAREPLAN_FHIR_TOKEN="secret")
            assert result.exit_code == 0, result.output
            assert "332 resources of ann are on the server." in result.output
        assert set(server.versions.values()) == {1}
        assert run("fhir", "ann", "--to", address, "--out", "x").exit_code == 2


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_a_table(run: Run, tmp_path: Path, format: str) -> None:
    path = tmp_path / f"ann.{format}"
    result = run("table", "ann", str(path), "--format", format)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("318 rows of ann in ")
    [again] = read_table(path)
    assert (again.patient, again.zone, len(again.events)) == ("ann", "Europe/Berlin", 318)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fhir", "eve"), "patient 'eve' is not in the store; it holds ann"),
        (("fhir", "ann", "--suggestion", "7"), "suggestion 7 is not in the store"),
        (("fhir", "ann", "--out", "/nowhere/x.json"), "cannot be written: No such file or directory"),
        (("fhir", "ann", "--to", "hospital.example/fhir"), "expected an http or https address"),
        (("table", "ann", "/nowhere/x.csv"), "cannot be written"),
    ],
)
def test_what_it_refuses_is_one_line(run: Run, arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert says in result.output
    assert "Traceback" not in result.output
