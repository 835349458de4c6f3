"""The Model Context Protocol server: read-only tools with schemas, on record as its user's, and a greedy client told."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("mcp")

from mcp import Client, StdioServerParameters
from mcp.server.mcpserver.exceptions import ToolError

from careplan.clinic import audit_trail, open_database, save_suggestion, store_records
from careplan.clinic.worker import world_of
from careplan.interop.language.answers import Sources
from careplan.interop.tools import OneToken, Pace, make_server
from careplan.store import Actor, Database
from careplan.therapies.glucose.world import open_world

from ..clinic.build import line, record, suggestion

TOOLS = {
    *("list_patients", "patient_summary", "forecast", "what_if", "why", "compare_periods", "limits", "cohort_replay"),
    "evaluation_figures",
}
USER = Actor(kind="service account", name="a program", issuer="the tests", subject="program")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = open_database(str(tmp_path / "store.db"))
    store_records(database, "table", [record("ann")])
    save_suggestion(database, suggestion(line()))
    yield database
    database.close()


def calls(db: Database, *wanted: tuple[str, dict[str, Any]], pace: Pace | None = None) -> list[Any]:
    async def run() -> list[Any]:
        async with Client(make_server(Sources(db, world_of, USER), pace=pace)) as client:
            return [await client.call_tool(name, given) for name, given in wanted]

    return anyio.run(run)


def test_tools_are_read_only_and_say_what_they_return(db: Database) -> None:
    async def run() -> Any:
        async with Client(make_server(Sources(db, world_of, USER))) as client:
            return await client.list_tools(), await client.list_resource_templates()

    tools, resources = anyio.run(run)
    assert {tool.name for tool in tools.tools} == TOOLS
    assert all(tool.annotations.read_only_hint and tool.output_schema["properties"] for tool in tools.tools)
    assert {each.uri_template for each in resources.resource_templates} == {
        "careplan://patient/{patient}/summary",
        "careplan://patient/{patient}/regimen",
    }


def test_calls_are_answered_with_units_and_on_record_as_the_users(db: Database) -> None:
    listed, summary, forecast, what_if = calls(
        db,
        ("list_patients", {}),
        ("patient_summary", {"patient": "ann"}),
        ("forecast", {"patient": "ann", "hours": 1}),
        ("what_if", {"patient": "ann", "channel": "bolus", "day": "2024-03-14", "change": -2, "meal": "lunch"}),
    )
    assert listed.structured_content == {"patients": ["ann"]}
    assert summary.structured_content["unit"] == "mg/dL" and summary.structured_content["figures"]["readings"] == 4320
    assert forecast.structured_content["model"] == open_world().fingerprint
    assert "6.0 -> 4.0 U" in what_if.structured_content["understood"]
    told = [entry.detail["tool"] for entry in audit_trail(db) if entry.actor == "a program" and "tool" in entry.detail]
    assert sorted(told) == ["forecast", "list_patients", "patient_summary", "what_if"]


def test_a_resource_is_a_patients(db: Database) -> None:
    async def run() -> Any:
        async with Client(make_server(Sources(db, world_of, USER))) as client:
            return await client.read_resource("careplan://patient/ann/regimen")

    body = json.loads(anyio.run(run).contents[0].text)
    assert body["figures"]["basal"][0] == [0, 0.8]


@pytest.mark.parametrize(
    ("tool", "given", "told"),
    [
        ("patient_summary", {"patient": "eve"}, "'eve' is not in the store"),
        ("forecast", {"patient": "ann", "hours": 99}, "reaches 12 h ahead at most"),
        ("what_if", {"patient": "ann", "channel": "bolus", "day": "2024-03-14", "meal": "lunch"}, "one of to, change and times"),
        ("patient_summary", {"patient": "x" * 10_000_000}, "at most 200 characters"),
        ("cohort_replay", {"populations": ["adult:100"], "policies": ["magic"]}, "expected one of"),
    ],
)
def test_a_broken_call_is_told_briefly(db: Database, tool: str, given: dict[str, Any], told: str) -> None:
    [result] = calls(db, (tool, given))
    assert result.is_error and told in result.content[0].text and len(result.content[0].text) < 2000


def test_a_greedy_client_is_slowed_and_told(db: Database) -> None:
    time = [0.0]
    pace = Pace(rate=5.0, burst=3.0, patience=0.0, clock=lambda: time[0])
    results = calls(db, *[("list_patients", {})] * 50, pace=pace)
    refused = [result for result in results if result.is_error]
    assert len(refused) == 47 and "too many calls: 5 a second" in refused[0].content[0].text
    time[0] += 1.0
    assert pace.wait() == 0.0


def test_a_call_waits_its_turn_before_it_is_refused() -> None:
    pace = Pace(rate=5.0, burst=2.0, patience=1.0, clock=lambda: 0.0)
    waits = [pace.wait() for _ in range(7)]
    assert waits == pytest.approx([0.0, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    with pytest.raises(ToolError, match="try again"):
        pace.wait()


def test_only_the_token_lets_in() -> None:
    async def run(token: str) -> Any:
        return await OneToken("right").verify_token(token)

    assert anyio.run(run, "wrong") is None and anyio.run(run, "right").client_id == "careplan"


def test_over_stdio(db: Database, tmp_path: Path) -> None:
    command = ["-m", "careplan.cli", "--db", str(tmp_path / "store.db"), "mcp"]

    async def run() -> Any:
        async with Client(StdioServerParameters(command=sys.executable, args=command)) as client:
            return await client.call_tool("list_patients", {})

    assert anyio.run(run).structured_content == {"patients": ["ann"]}
