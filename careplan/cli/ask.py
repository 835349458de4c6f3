"""`careplan ask` and `careplan mcp`: questions in words, and the same questions as tools of other programs."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from careplan.cli.shell import Json, Weights, stderr, stdout, store, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from careplan.interop.language.queries import Reading
    from careplan.store import Database
    from careplan.world.loaded import World

app = typer.Typer()


@app.command()
def ask(
    ctx: typer.Context,
    question: Annotated[
        str, typer.Argument(help="In English or Japanese, such as 'Where will Anna's glucose be in 2 hours?'")
    ] = "",
    query: Annotated[
        str | None, typer.Option(help="A query as JSON instead of words: what --json printed, corrected, or one of your own.")
    ] = None,
    only_read: Annotated[bool, typer.Option("--only-read", help="Show what was understood, and answer nothing.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write the chart of a forecast or a what-if to this HTML file.")] = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Ask in your own words. What was understood is shown; what is not clear is asked back; no answer decides a dose."""
    from careplan.interop.language import ask_model, known_in, read

    if bool(question) == (query is not None):
        raise typer.BadParameter("ask in words, or give --query", param_hint="QUESTION")
    with store(ctx) as database:
        known = known_in(database)
        reading = ask_model(question, read(question, known), known) if query is None else _given(query)
        if reading.query is None:
            offered = _ask_back(reading, as_json, only_read)
            if offered is None:
                return
            reading = offered
        if only_read:
            _show(reading, None, as_json)
            return
        _answer(database, reading, weights, plot, as_json)


def _given(query: str) -> "Reading":
    """A query as JSON, as `--json` prints it: what is beside the query's own fields is left out."""
    from pydantic import ValidationError

    from careplan.interop.language.queries import QUERY, Reading

    try:
        body = json.loads(query)
        body = {name: value for name, value in body.items() if name not in ("question", "understood", "answer", "problem")}
        return Reading(question=query, query=QUERY.validate_python(body))
    except (ValidationError, ValueError, AttributeError) as error:
        raise typer.BadParameter(" ".join(str(error).split())[:300], param_hint="--query") from None


def _worlds(weights: Path | None) -> "Callable[[str], World]":
    """The world model of a therapy by name: that of a folder where one is given."""

    def world(therapy: str) -> "World":
        from careplan import therapies
        from careplan.clinic.worker import world_of
        from careplan.world.loaded import open_world

        return world_of(therapy) if weights is None else open_world(therapies.practice(therapy).therapy, weights)

    return world


def _answer(database: "Database", reading: "Reading", weights: Path | None, plot: Path | None, as_json: bool) -> None:
    from careplan.errors import AskError
    from careplan.interop.language.answers import Sources, answer

    try:
        with stderr().status("Answering"):
            found = answer(reading.query, Sources(database, _worlds(weights)))
    except AskError as error:
        if as_json:
            typer.echo(json.dumps({**_plain(reading), "problem": str(error)}, indent=2, ensure_ascii=False))
        else:
            _show(reading, None, as_json=False)
        warn(str(error))
        raise typer.Exit(1) from None
    if plot is not None:
        from careplan.cli.plots import write_paths
        from careplan.clinic.asking import practice_and_facts
        from careplan.interop.language.queries import Counterfactual, Forecast
        from careplan.suggestion import Path as Predicted

        if "paths" not in found.figures:
            raise typer.BadParameter("only a forecast and a what-if have a chart", param_hint="--plot")
        paths = {name: Predicted(**path) for name, path in found.figures["paths"].items()}
        assert isinstance(reading.query, Forecast | Counterfactual)
        practice = practice_and_facts(database, reading.query.patient)[0]
        write_paths(plot, found.understood, practice, paths)
    _show(reading, found, as_json)


def _ask_back(reading: "Reading", as_json: bool, only_read: bool) -> "Reading | None":
    """Shows what is asked and what may be meant; the latter as a reading where somebody at a terminal says that it is meant."""
    from careplan.cli.records import at_a_terminal
    from careplan.interop.language.queries import Reading

    offered = None if reading.offers is None else Reading(question=reading.question, query=reading.offers)
    if as_json:
        body = {"question": reading.question, "asks": reading.asks, "choices": list(reading.choices)}
        offers = (
            {} if offered is None else {"offers": {name: each for name, each in _plain(offered).items() if name != "question"}}
        )
        typer.echo(json.dumps({**body, **offers}, indent=2, ensure_ascii=False))
        return None
    console = stdout()
    console.print(reading.asks, markup=False, highlight=False)
    for choice in reading.choices:
        console.print(f"  {choice}", markup=False, highlight=False)
    if reading.offers is None:
        return None
    meant = f"Did you mean: {reading.offers.said()}"
    if at_a_terminal() and not only_read:
        return offered if typer.confirm(meant, default=False, err=True) else None
    console.print(meant, markup=False, highlight=False, soft_wrap=True)
    query = shlex.quote(reading.offers.model_dump_json(exclude_none=True))
    console.print(f"  careplan ask --query {query}", markup=False, highlight=False, soft_wrap=True)
    return None


def _plain(reading: "Reading") -> dict[str, Any]:
    """The query as JSON values, its kind first."""
    assert reading.query is not None
    body = reading.query.model_dump(mode="json", exclude_none=True)
    return {"question": reading.question, **body, "understood": reading.query.said()}


def _show(reading: "Reading", found: Any, as_json: bool) -> None:
    if as_json:
        answer = {} if found is None else {"answer": found.model_dump(mode="json")}
        typer.echo(json.dumps({**_plain(reading), **answer}, indent=2, ensure_ascii=False))
        return
    console = stdout()
    assert reading.query is not None
    console.print(
        f"Understood: {found.understood if found else reading.query.said()}", style="bold", markup=False, highlight=False
    )
    if found is None:
        return
    for text in found.text:
        console.print(text, markup=False, highlight=False)
    by = f"; model {found.model}" if found.model else ""
    console.print(
        f"Based on {'; '.join(found.basis) or 'nothing'}{by}. For research use; not a medical device.",
        style="dim",
        highlight=False,
        markup=False,
    )


@app.command()
def mcp(
    ctx: typer.Context,
    http: Annotated[
        bool, typer.Option("--http", help="Over HTTP on this machine's loopback, with a token, instead of stdio.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The local port, with --http.")] = 8765,
    token: Annotated[
        str | None,
        typer.Option(envvar="CAREPLAN_MCP_TOKEN", help="What clients must bring, with --http. Default: a new one, printed."),
    ] = None,
    weights: Weights = None,
) -> None:
    """Serve read-only tools to other programs by the Model Context Protocol, as you, every call on record."""
    import secrets

    from careplan.errors import AskError

    try:
        from careplan.interop.language.answers import Sources
        from careplan.interop.tools import BODY, make_server
    except ModuleNotFoundError as error:
        raise AskError(f"{error.name} is not installed: pip install 'careplan[mcp]'") from None

    with store(ctx) as database:
        sources = Sources(database, _worlds(weights))
        if not http:
            make_server(sources).run("stdio")
            return
        secret = token or secrets.token_urlsafe(24)
        stderr().print(
            f"http://127.0.0.1:{port}/mcp, Authorization: Bearer {secret if token is None else '(the token given)'}",
            highlight=False,
        )
        make_server(sources, token=secret, port=port).run(
            "streamable-http", host="127.0.0.1", port=port, max_request_body_size=BODY
        )
