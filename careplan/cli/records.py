"""Recordings: `careplan import`, and `careplan look` at what is in a file without keeping it."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast, get_args

import typer

from careplan.cli.shell import Json, print_json, stderr, stdout, store, warn

if TYPE_CHECKING:
    from rich.status import Status

    from careplan.records.insulins import Kind

app = typer.Typer()
USER_ERROR = 1

Paths = Annotated[list[str], typer.Argument(help="Files, folders, ZIPs or servers' addresses; a format's name may stand first.")]
Format = Annotated[str | None, typer.Option(help="What the files are; by default each is looked at.")]
Zone = Annotated[str | None, typer.Option(help="The patients' time zone, such as Europe/London, where the source does not say.")]
DayFirst = Annotated[
    bool | None,
    typer.Option("--day-first/--month-first", help="The order of dates such as 03/05/2024, where nothing in a file tells."),
]
Insulins = Annotated[
    list[str] | None,
    typer.Option("--insulin", help="What an insulin that no table has is, as NAME=long; asked for at a terminal."),
]
Token = Annotated[str | None, typer.Option(envvar="CAREPLAN_TOKEN", help="A server's access token.")]


Remember = Annotated[
    bool, typer.Option("--remember", help="Keep a Nightscout address, and its token encrypted, to read it again.")
]
Group = Annotated[
    str | None, typer.Option(help="Group of new patients, which sets their dose limits, such as adult, adolescent or child.")
]
Declared = Annotated[
    str | None, typer.Option(help="Read what is of this installed therapy, also tables of its channels and covariates.")
]


@app.command("import")
def import_command(
    ctx: typer.Context,
    paths: Annotated[list[str] | None, typer.Argument(help="As of `careplan look`.")] = None,
    format: Format = None,
    zone: Zone = None,
    day_first: DayFirst = None,
    token: Token = None,
    patient: Annotated[str | None, typer.Option(help="The patient's name, where all of it is one person's.")] = None,
    remember: Remember = False,
    again: Annotated[
        list[str] | None, typer.Option("--again", metavar="PATIENT", help="Read what is new at the addresses kept for a patient.")
    ] = None,
    group: Group = None,
    prefer: Annotated[str, typer.Option(help="Sources believed first where several hold the same: glooko,nightscout.")] = "",
    report: Annotated[Path | None, typer.Option(help="Write every dropped or changed row to this CSV file.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Add to patients that are already stored from another source.")] = False,
    insulin: Insulins = None,
    therapy: Declared = None,
) -> None:
    """Put recordings into the store: what is new of each patient, whole or not at all. Importing again adds nothing."""
    from careplan.cli import console
    from careplan.clinic import ImportOptions, import_declared, import_records
    from careplan.clinic.worklists import refresh
    from careplan.records.insulins import asking

    if again:
        return _again(ctx, again, paths)
    if remember:
        return _remember(ctx, paths or [], token, zone, patient)
    format, sources = _sources(paths or [], format)
    if therapy is not None and (format or token or prefer):
        raise typer.BadParameter("a therapy's own tables have no format, token or preference", param_hint="--therapy")
    if report is not None and not report.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {report.parent}", param_hint="--report")
    how = ImportOptions(
        format=format, zone=zone, day_first=day_first, token=token, patient=patient, group=group, therapy=therapy, merge=merge
    )
    how = replace(how, prefer=[name for name in prefer.split(",") if name])
    bring, kept = import_records if therapy is None else import_declared, list[str]()
    with store(ctx, makes=True) as database, stderr().status(f"Reading {', '.join(map(str, sources))}") as status:

        def progress(done: int, total: int, patient: str) -> None:
            kept.append(patient)
            status.update(f"Keeping patient {patient}, {done} of {total}")

        try:
            with asking(_asker(insulin or [], status)):
                result = bring(database, *sources, how=how, progress=progress)
        except BaseException:
            status.stop()
            stderr().print(_kept(kept), soft_wrap=True, highlight=False)
            raise
        refresh(database)
    console.print_import(stdout(), result)
    if report is not None:
        console.write_corrections(report, result)
    if result.failed:
        _fail(result.failed, kept)


def _fail(failed: Mapping[str, str], kept: list[str]) -> NoReturn:
    """Name who was not imported, and who was, and end."""
    for name, problem in failed.items():
        warn(f"{name}: not imported: {problem}")
    stderr().print(_kept(kept), soft_wrap=True, highlight=False)
    raise typer.Exit(USER_ERROR)


def _again(ctx: typer.Context, patients: list[str], paths: list[str] | None) -> None:
    """What is new of each patient at the addresses that are kept; one that cannot be read does not stop the others."""
    from careplan.cli import console
    from careplan.clinic import read_again
    from careplan.errors import AskError
    from careplan.records.events import RecordError

    if paths:
        raise typer.BadParameter("what is kept for a patient is read: give no path beside it", param_hint="--again")
    failed = False
    with store(ctx) as database:
        for patient in patients:
            try:
                console.print_import(stdout(), read_again(database, patient))
            except (AskError, RecordError) as error:
                warn(f"{patient}: not read: {error}")
                failed = True
    if failed:
        raise typer.Exit(USER_ERROR)


def _remember(ctx: typer.Context, paths: list[str], token: str | None, zone: str | None, patient: str | None) -> None:
    """A site, read and kept with its address for one patient."""
    from careplan.cli import console
    from careplan.clinic import import_site, local_account, patient_names, read_site, site_at

    if len(paths) != 1:
        raise typer.BadParameter("expected one address of a Nightscout site", param_hint="--remember")
    site = site_at(paths[0], token or "")
    with store(ctx, makes=True) as database:
        incoming = read_site(site, zone=zone)
        for where, problem in incoming.refused.items():
            warn(problem if problem.startswith(where) else f"{where}: {problem}")
            raise typer.Exit(USER_ERROR)
        name = patient or incoming.records[0].patient
        add = frozenset({0} if name in patient_names(database) else ())
        console.print_import(stdout(), import_site(database, site, incoming, {0: name}, actor=local_account(), add=add))


@app.command("imports")
def imports_command(
    ctx: typer.Context,
    patient: Annotated[str | None, typer.Option(help="Only those that hold something of this patient.")] = None,
    as_json: Json = False,
) -> None:
    """List what was imported, the newest first, with the name by which an import is taken back."""
    from careplan import clinic
    from careplan.cli import console

    with store(ctx) as database:
        found = clinic.imports(database, patient=patient)
    if as_json:
        print_json(found)
    else:
        console.print_imports(stdout(), found)


@app.command()
def unimport(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="The import's name, or its first letters; `careplan imports` lists them.")],
    reason: Annotated[str, typer.Option(help="Why; it goes on record.")],
) -> None:
    """Take an import back as a whole: what it added is removed, and that it was there stays on record."""
    from careplan.clinic import take_back

    with store(ctx) as database:
        done = take_back(database, run, reason=reason)
    for patient, count in done.events.items():
        stdout().print(f"{patient}: {count:,} events removed.", highlight=False)
    if done.again:
        stdout().print(f"Others held some of them too; import again: {', '.join(done.again)}.", soft_wrap=True, highlight=False)


@app.command()
def look(
    paths: Paths,
    format: Format = None,
    zone: Zone = None,
    day_first: DayFirst = None,
    token: Token = None,
    patient: Annotated[str | None, typer.Option(help="The patient's name, where all of it is one person's.")] = None,
    insulin: Insulins = None,
    as_json: Json = False,
) -> None:
    """Show what is in files, folders, ZIPs or on servers, by channel and day, without keeping any of it."""
    from careplan.cli import console
    from careplan.records.insulins import asking
    from careplan.records.look import look as look_at

    format, sources = _sources(paths, format)
    with asking(_asker(insulin or [])):
        found = look_at(sources, format=format, zone=zone, day_first=day_first, token=token, patient=patient)
    if as_json:
        print_json(found)
    else:
        console.print_look(stdout(), found)
    for name, problem in found.failed.items():
        warn(f"{name}: cannot be read: {problem}")
    if found.failed:
        raise typer.Exit(USER_ERROR)


def _sources(paths: list[str], format: str | None) -> tuple[str | None, tuple[str | Path, ...]]:
    from careplan.clinic import ClinicError, named_format

    try:
        return named_format(paths, format)
    except ClinicError as error:
        raise typer.BadParameter(str(error), param_hint="FORMAT or PATH") from None


def _asker(stated: list[str], status: "Status | None" = None) -> "Callable[[str], Kind | None]":
    """Answers what kind an insulin is from `NAME=KIND` texts, or, at a terminal, by asking."""
    from careplan.records.insulins import Kind

    kinds: tuple[str, ...] = get_args(Kind)
    answers: dict[str, Kind | None] = {}
    for text in stated:
        name, _, kind = text.rpartition("=")
        if not name.strip() or kind not in kinds:
            raise typer.BadParameter(
                f"expected NAME=KIND with a kind of {', '.join(kinds)}; found {text!r}", param_hint="--insulin"
            )
        answers[name.strip().casefold()] = cast("Kind", kind)

    def ask(name: str) -> "Kind | None":
        if name.casefold() in answers or not at_a_terminal():
            return answers.get(name.casefold())
        if status is not None:
            status.stop()
        question = f"No table has the insulin {name!r}. Is it {', '.join(kinds)}? Enter alone leaves its doses out"
        answer = "?"
        while answer and answer not in kinds:
            answer = typer.prompt(question, default="", show_default=False, err=True)
        if status is not None:
            status.start()
        answers[name.casefold()] = cast("Kind", answer) if answer else None
        return answers[name.casefold()]

    return ask


def at_a_terminal() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


def _kept(patients: list[str]) -> str:
    return (
        f"Kept whole: {', '.join(patients)}; nothing of any other patient."
        if patients
        else "Nothing was kept; the store is unchanged."
    )
