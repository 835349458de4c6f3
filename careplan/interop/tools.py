"""careplan as a Model Context Protocol server: read-only tools and resources for other programs, as one user and on record.

Every tool is a typed query of `careplan.interop.language`, so that a program can ask no more than a person can in words, and
nothing that it asks plans, drafts or signs. A greedy client is slowed, then told.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from time import monotonic
from typing import Annotated, Any, Literal

import anyio
from anyio import CapacityLimiter, to_thread
from mcp.server import MCPServer
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import AnyHttpUrl, Field, ValidationError

from careplan import __version__
from careplan.clinic import asking
from careplan.errors import AskError
from careplan.interop.language import queries as asked
from careplan.interop.language.answers import Answer, Sources, answer

RATE, BURST = 5.0, 20.0  # calls a second, and how many at once after a pause
PATIENCE = 2.0  # seconds that a call is held back before it is refused
WORDS = 200  # characters of a text argument
BODY = 100_000  # bytes of a request over HTTP
INSTRUCTIONS = (
    "Reads of a personalised treatment planner, for research use; not a medical device. Nothing here decides, changes or signs a "
    "dose. Every number has a unit; `abstains` says why there is none; `model` is the hash of the weights behind a prediction."
)

Patient = Annotated[str, Field(max_length=WORDS, description="The patient's name, as list_patients has it.")]
Text = Annotated[str, Field(max_length=WORDS)]
READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


class Patients(asked.Strict):
    """Who is in the store."""

    patients: tuple[str, ...]


@dataclass
class Pace:
    """A bucket of calls that refills at `rate` a second: a call waits for its turn, and is refused where that is too long."""

    rate: float = RATE
    burst: float = BURST
    patience: float = PATIENCE
    clock: Callable[[], float] = monotonic
    _left: float = field(default=0.0, init=False)
    _since: float | None = field(default=None, init=False)

    def wait(self) -> float:
        """Seconds until this call's turn. Raises `ToolError` where that is longer than anybody waits; then it takes no turn."""
        now = self.clock()
        left = self.burst if self._since is None else self._left + (now - self._since) * self.rate
        self._left, self._since = min(self.burst, left), now
        seconds = max(0.0, (1.0 - self._left) / self.rate)
        if seconds > self.patience:
            raise ToolError(f"too many calls: {self.rate:g} a second are answered; try again in {seconds:.0f} s")
        self._left -= 1.0
        return seconds


class OneToken:
    """Lets in whoever holds the token that the server was started with; a wrong one costs the same time whatever it is."""

    def __init__(self, token: str) -> None:
        self.token = token

    async def verify_token(self, token: str) -> AccessToken | None:
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return None
        return AccessToken(token=token, client_id="careplan", scopes=[])


def make_server(sources: Sources, *, pace: Pace | None = None, token: str | None = None, port: int = 8765) -> MCPServer:
    """The server over one store, as one user. token: what HTTP clients must bring; None for stdio, which is the user's own."""
    auth: dict[str, Any] = {}
    if token is not None:
        here = AnyHttpUrl(f"http://127.0.0.1:{port}/mcp")
        auth = {"token_verifier": OneToken(token), "auth": AuthSettings(issuer_url=here, resource_server_url=here)}
    server = MCPServer("careplan", version=__version__, instructions=INSTRUCTIONS, **auth)
    call = _Calls(sources, pace or Pace())
    _add_reads(server, call)
    _add_predictions(server, call)
    _add_resources(server, call)
    return server


@dataclass
class _Calls:
    """Each call in its turn, one at a time, on record before it is answered."""

    sources: Sources
    pace: Pace
    one: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))

    async def ask(self, tool: str, make: Callable[[], Any], patient: str | None = None) -> Answer:
        return await self.run(tool, patient, lambda: answer(make(), self.sources))

    async def run(self, tool: str, patient: str | None, work: Callable[[], Any]) -> Any:
        await anyio.sleep(self.pace.wait())

        def recorded() -> Any:
            try:
                asking.log_tool_call(self.sources.db, tool, patient, self.sources.actor)
                return work()
            except ValidationError as error:
                raise ToolError("; ".join(str(each["msg"]) for each in error.errors())) from None
            except AskError as error:
                raise ToolError(str(error)) from None

        return await to_thread.run_sync(recorded, limiter=self.one)


def _add_reads(server: MCPServer, call: _Calls) -> None:
    """What is on record, and how good the model is."""
    tool = server.tool(annotations=READ_ONLY, structured_output=True)

    @tool
    async def list_patients() -> Patients:
        """Who is in the store."""
        found: Patients = await call.run(
            "list_patients", None, lambda: Patients(patients=tuple(asking.all_patients(call.sources.db)))
        )
        return found

    @tool
    async def patient_summary(patient: Patient) -> Answer:
        """How a patient is doing: consensus metrics of the recording, and the usual daily dose."""
        return await call.ask("patient_summary", lambda: asked.Summary(patient=patient), patient)

    @tool
    async def why(patient: Patient, setting: Text | None = None, minute: int | None = None) -> Answer:
        """Why the newest suggestion is what it is, or one of its lines by setting and minute of the day."""
        given = {"patient": patient, "setting": setting, "minute": minute}
        return await call.ask("why", lambda: asked.Why.model_validate(given), patient)

    @tool
    async def compare_periods(patient: Patient, first: date, first_until: date, second: date, second_until: date) -> Answer:
        """Two stretches of whole days of one patient, side by side."""
        return await call.ask(
            "compare_periods",
            lambda: asked.ComparePeriods(
                patient=patient,
                first=asked.Period(first=first, last=first_until),
                second=asked.Period(first=second, last=second_until),
            ),
            patient,
        )

    @tool
    async def limits(patient: Patient) -> Answer:
        """The limits that hold for a patient's doses and settings. No tool changes one."""
        return await call.ask("limits", lambda: asked.Limits(patient=patient), patient)

    @tool
    async def evaluation_figures() -> Answer:
        """How good the model in use is, by the card beside its weights."""
        return await call.ask("evaluation_figures", asked.Evaluation)


def _add_predictions(server: MCPServer, call: _Calls) -> None:
    """What is expected, and what would have been."""
    tool = server.tool(annotations=READ_ONLY, structured_output=True)

    @tool
    async def forecast(patient: Patient, hours: float = 4.0, day: date | None = None, time: Text | None = None) -> Answer:
        """Where glucose is going, with 90 % intervals: from the last reading on, or from a day and a time (HH:MM) of it."""
        return await call.ask("forecast", lambda: asked.Forecast(patient=patient, hours=hours, day=day, time=time), patient)

    @tool
    async def what_if(
        patient: Patient,
        channel: Literal["bolus", "carbs", "basal"],
        day: date,
        to: float | None = None,
        change: float | None = None,
        times: float | None = None,
        meal: Literal["breakfast", "lunch", "dinner"] | None = None,
        time: Text | None = None,
        until: Text | None = None,
    ) -> Answer:
        """What another dose, meal or rate in the past would have come to: one of `to`, `change`, `times`; a meal or a time."""
        given = {
            "channel": channel,
            "day": day,
            "to": to,
            "change": change,
            "times": times,
            "meal": meal,
            "time": time,
            "until": until,
        }
        return await call.ask("what_if", lambda: asked.Counterfactual.model_validate({"patient": patient, **given}), patient)

    @tool
    async def cohort_replay(
        populations: Annotated[list[Text], Field(max_length=8)],
        policies: Annotated[list[Text], Field(max_length=8)],
        days: int = 14,
    ) -> Answer:
        """Virtual people (`adult:100`) under policies (`basal-bolus`); what takes long is answered by its command."""
        given = {"populations": populations, "policies": policies, "days": days}
        return await call.ask("cohort_replay", lambda: asked.CohortReplay.model_validate(given))


def _add_resources(server: MCPServer, call: _Calls) -> None:
    @server.resource("careplan://patient/{patient}/summary", mime_type="application/json")
    async def summary(patient: str) -> str:
        """A patient's consensus metrics, as JSON."""
        return await _as_json(call, "summary", asked.Summary, patient)

    @server.resource("careplan://patient/{patient}/regimen", mime_type="application/json")
    async def regimen(patient: str) -> str:
        """What is prescribed for a patient, as JSON."""
        return await _as_json(call, "regimen", asked.RegimenInForce, patient)


async def _as_json(call: _Calls, name: str, kind: Any, patient: str) -> str:
    if len(patient) > WORDS:
        raise ToolError(f"a patient's name has at most {WORDS} characters")
    return (await call.ask(f"resource {name}", lambda: kind(patient=patient), patient)).model_dump_json()
