"""Commands that need the world model: train, personalise, forecast, plan, demo."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from careplan.cli.shell import Json, Patient, Weights, print_json, sources_of, stderr, stdout, store, warn
from careplan.errors import AskError

if TYPE_CHECKING:
    from careplan.clinic.overnight import Asked
    from careplan.suggestion import Suggestion
    from careplan.world.loaded import World

app = typer.Typer()

At = Annotated[
    str | None, typer.Option(help="When, such as 2026-03-01T12:00, on the patient's clock. Default: after the last reading.")
]


@app.command()
def train(
    out: Annotated[Path, typer.Argument(help="The folder for weights, card and checkpoints.")],
    data: Annotated[list[str] | None, typer.Option(help="Recordings, as FORMAT:PATH; may be repeated.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps; 1500 of glucose, 150 of an installed therapy.")] = None,
    people: Annotated[
        int | None, typer.Option(help="Virtual patients in each group of each family; 160 of glucose, 40 of another therapy.")
    ] = None,
    family: Annotated[list[str] | None, typer.Option(help="Bodies to train on, such as minimal; may be repeated.")] = None,
    begin: Annotated[Path | None, typer.Option(help="Weights to take for what the first family gives.")] = None,
    seed: Annotated[int, typer.Option(help="Decides the split, the cohort and the weights.")] = 7,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in OUT.")] = False,
    therapy: Annotated[
        str, typer.Option(help="Whose world model; all but glucose's learn from their own virtual people.")
    ] = "glucose",
) -> None:
    """Train the world model on virtual patients and on recordings. Ctrl-C keeps the last checkpoint; --resume goes on."""
    from careplan.studies.bodies import known_families
    from careplan.studies.training import Virtual, train_world
    from careplan.world.training import Recipe
    from cohorts.families import FAMILIES

    if out.exists() and any(out.iterdir()) and not resume:
        raise typer.BadParameter(f"{out} is not empty; name another folder, or --resume", param_hint="OUT")
    if therapy == "warfarin":
        from careplan.studies.warfarin import train_warfarin

        if data or family or begin:
            raise typer.BadParameter("warfarin's model is trained on its own virtual people", param_hint="--therapy")
        made = train_warfarin(out, resume=resume, say=lambda text: stderr().print(text, soft_wrap=True, highlight=False))
        stdout().print(f"Wrote {out}/warfarin.safetensors and its card; {made['minutes']} minutes.")
        return
    if therapy != "glucose":
        from dataclasses import replace

        from careplan import therapies
        from careplan.studies.declared import RECIPE, train_declared

        if data or family or begin:
            raise typer.BadParameter(f"{therapy}'s model is trained on its own virtual people", param_hint="--therapy")
        recipe = replace(RECIPE, steps=steps or RECIPE.steps, seed=seed)
        made = train_declared(
            therapies.practice(therapy), out, recipe=recipe, people=people or 40, resume=resume,
            say=lambda text: stderr().print(text, soft_wrap=True, highlight=False),
        )  # fmt: skip
        stdout().print(f"Wrote {out}/{therapy}.safetensors and its card; {made['minutes']} minutes.")
        return
    try:
        card = train_world(
            sources_of(data or []),
            out,
            recipe=Recipe(steps=steps or 1500, seed=seed),
            virtual=Virtual(families=known_families(family or FAMILIES[:1]), people=people or 160, seed=seed),
            begin=begin,
            resume=resume,
            say=lambda text: stderr().print(text, soft_wrap=True, highlight=False),
        )
    except OSError as error:
        problem = error.strerror or str(error)
        raise AskError(f"{error.filename or out}: {problem}. The last checkpoint is kept; --resume goes on") from error
    stdout().print(f"Wrote {out}/glucose.safetensors and its card; {card['minutes']} minutes.")


@app.command()
def calibrate(
    folder: Annotated[Path, typer.Argument(help="The folder of weights and card.")],
    data: Annotated[list[str], typer.Option(help="The recordings it was trained with, as FORMAT:PATH; may be repeated.")],
) -> None:
    """Calibrate intervals and risks again, on the people that the card keeps for it; writes the card, the weights stay."""
    from careplan.studies.training import calibrate_world

    with stderr().status("Calibrating"):
        card = calibrate_world(sources_of(data), folder)
    stdout().print(f"Wrote {folder}/glucose.json, calibrated on {', '.join(card['split']['calibration'])}.")


@app.command()
def personalise(
    ctx: typer.Context,
    patients: list[str],
    therapy: Annotated[str | None, typer.Option(help="Under which therapy, where it is not the patients' only one.")] = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """What the recording tells of each patient: the posterior over the patient code, and what it buys."""
    from rich.table import Table

    from careplan.clinic.people import personalised
    from careplan.clock import duration_in_words

    world = _world(ctx, patients, therapy, weights)
    with store(ctx) as database, stderr().status("Personalising") as status:
        known = personalised(database, patients, world, lambda done, total: status.update(f"Personalised {done} of {total}"))
    rows = [
        {
            "patient": patient,
            "windows": person.windows,
            "code": [round(value, 3) for value in person.mean.tolist()],
            "spread": [round(value, 3) for value in person.covariance.diagonal().sqrt().tolist()],
            "minutes": person.minutes.tolist(),
            "rmse_typical": [round(value, 2) for value in person.errors[:, 0].tolist()],
            "rmse_personal": [round(value, 2) for value in person.errors[:, 1].tolist()],
        }
        for patient, (_, person, _) in known.items()
    ]
    if as_json:
        print_json(rows)
        return
    effects = world.model.therapy.effects
    ahead = max((person.minutes for _, person, _ in known.values()), key=len).tolist()
    shown = [at for at in (1, 3) if at < len(ahead)] or list(range(len(ahead)))[:1]
    heads = [text for at in shown for text in (f"RMSE at {duration_in_words(ahead[at])}: typical", "personal")]
    table = Table("Patient", "Windows", *heads, *(effect.name.replace("_", " ").capitalize() for effect in effects))
    for patient, (_, person, _) in known.items():
        errors = [f"{value:.3g}" for value in person.errors[shown].flatten().tolist()] if len(person.errors) else []
        acts = [f"x{value:.2f}" for value in (0.5 * person.mean[: len(effects)]).exp().tolist()]
        table.add_row(patient, str(person.windows), *(errors or ["-"] * len(heads)), *acts)
    stdout().print(table)


@app.command()
def forecast(
    ctx: typer.Context,
    patient: Patient,
    at: At = None,
    what_if: Annotated[
        list[str] | None,
        typer.Option(help="Such as 'bolus 4 at 12:30', 'basal x1.5 from 12:00 to 14:00' or 'basal x1.5'; may be repeated."),
    ] = None,
    ahead: Annotated[
        str | None, typer.Option(help="How far, such as '4 h' or '6 weeks'. Default: as far as the therapy's model learns to.")
    ] = None,
    minutes: Annotated[
        str | None, typer.Option(help="Predict at these minutes ahead instead, whatever they are, such as 17,95.5.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the plot to this HTML file.")] = None,
    therapy: Annotated[str | None, typer.Option(help="Under which therapy, where it is not the patient's only one.")] = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """The predicted level with a 90 % interval: expected, no change, each what-if, and what happened where it is known."""
    from careplan import therapies
    from careplan.cli import plots
    from careplan.clinic.forecasts import forecast_patient

    world = _world(ctx, [patient], therapy, weights)
    practice = therapies.practice(world.model.therapy.name)
    with store(ctx) as database:
        until = _minutes(minutes) or _length(ahead)
        found = forecast_patient(database, patient, world, at=_time(at), what_if=what_if or [], ahead=until)
    if plot is not None:
        plots.write_forecast(plot, found, practice)
    if as_json:
        print_json(found)
    else:
        plots.print_forecast(stdout(), found, practice)


@app.command()
def plan(
    ctx: typer.Context,
    patients: Annotated[list[str] | None, typer.Argument()] = None,
    everyone: Annotated[
        bool, typer.Option("--all", help="Everyone in the store, block by block; whoever is answered already is skipped.")
    ] = False,
    at: At = None,
    regimen: Annotated[
        bool,
        typer.Option(
            "--regimen", help="Settings for the coming weeks, not doses for the coming hours; the default without doses."
        ),
    ] = False,
    announce: Annotated[
        list[str] | None, typer.Option(help="What the patient will do, such as 'carbs 60 at 12:30'; may be repeated.")
    ] = None,
    seed: int = 0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Everything behind it, every limit that bound among it.")] = False,
    therapy: Annotated[str | None, typer.Option(help="Under which therapy, where it is not the patients' only one.")] = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Search treatments under hard limits: the suggestion, the runner-up, no change, and every limit that bound."""
    from careplan.cli import plots
    from careplan.clinic.overnight import Asked
    from careplan.clinic.planning import plan_regimens, suggest_doses
    from careplan.suggestion import Kind
    from careplan.therapies import practice

    if bool(patients) == everyone:
        raise typer.BadParameter("name patients, or say --all", param_hint="PATIENTS")
    world = _world(ctx, patients or [], therapy, weights)
    regimen = regimen or practice(world.model.therapy.name).plan_doses is None
    if everyone:
        kind: Kind = "regimen" if regimen else "doses"
        _plan_everyone(ctx, world, Asked(kind=kind, at=_time(at), announced=tuple(announce or ()), seed=seed), as_json)
        return
    names = patients or []
    with store(ctx) as database, stderr().status("Planning") as status:
        if regimen:
            made = plan_regimens(
                database,
                names,
                world,
                seed=seed,
                progress=lambda done, total, one: status.update(f"Planned {one.patient}, {done} of {total}"),
            )
        else:
            made = suggest_doses(database, names, world, at=_time(at), announced=announce or [], seed=seed)
    if as_json:
        print_json(made)
    else:
        for suggestion in made:
            plots.print_suggestion(stdout(), suggestion, verbose=verbose)


def _world(ctx: typer.Context, patients: list[str], therapy: str | None, weights: Path | None) -> "World":
    """The world model of a therapy: the one that is said, else that of the patients, else the first."""
    from careplan import therapies
    from careplan.clinic.summaries import therapies_of
    from careplan.clinic.worker import world_of
    from careplan.world.loaded import open_world

    if therapy is None and patients:
        with store(ctx) as database:
            found = therapies_of(database, patients)
        if len(found) != 1:
            raise typer.BadParameter(f"these patients are treated under {', '.join(found)}: say which", param_hint="--therapy")
        therapy = found[0]
    practice = therapies.first() if therapy is None else therapies.practice(therapy)
    return world_of(practice.name) if weights is None else open_world(practice.therapy, weights)


def _plan_everyone(ctx: typer.Context, world: "World", asked: "Asked", as_json: bool) -> None:
    """Plan for the whole store and report the run; whoever fails is named, and makes the exit say so."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from careplan import clinic
    from careplan.cli import console
    from careplan.clinic.overnight import plan_everyone

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,} of {task.total:,}"))
    with store(ctx) as database, Progress(*columns, TimeRemainingColumn(), console=stderr()) as bar:
        names = clinic.patient_names(database)
        task = bar.add_task("Planning", total=len(names))
        try:
            night = plan_everyone(database, names, world, asked, progress=lambda done, _: bar.update(task, completed=done))
        except KeyboardInterrupt:
            bar.console.print("Finished blocks are kept; the same command goes on.", highlight=False)
            raise
    if as_json:
        print_json(night)
    else:
        console.print_night(stdout(), night)
    for reason, people in console.by_reason(night.failed).items():
        warn(f"Not planned: {', '.join(people)}: {reason}")
    if night.failed:
        raise typer.Exit(1)


@app.command()
def demo(
    ctx: typer.Context,
    people: Annotated[int, typer.Option(min=1, max=50, help="Virtual patients.")] = 6,
    days: Annotated[int, typer.Option(min=1, max=90, help="Days of history.")] = 21,
    seed: int = 7,
    port: int = 8501,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Open the app at the end.")] = True,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """The whole main job on virtual patients: history, model, suggestions, the app. Stored patients are planned for again."""
    from careplan.cli import plots
    from careplan.cli.shell import database_url
    from careplan.clinic.planners import planners
    from careplan.studies.demo import run_demo
    from careplan.therapies.glucose.world import open_world

    with store(ctx, makes=True) as database:
        url = database_url(ctx)
        world = open_world()
        with planners(people) as pool, stderr().status("Simulating") as status:

            def show(made: "Suggestion") -> None:
                status.stop()  # which else takes what is printed
                plots.print_suggestion(stdout(), made, brief=True)
                status.start()

            run_demo(database, world, people=people, days=days, seed=seed, say=status.update, show=show, pool=pool)
        stdout().print(f"Kept in {database.url}. Look again with: careplan app", soft_wrap=True)
    if serve:
        from careplan.cli.serve import serve as open_app

        raise typer.Exit(open_app(url, port=port, browser=browser))


def _minutes(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not minutes such as 17,95.5", param_hint="--minutes") from None


def _length(text: str | None) -> float | None:
    from careplan.clock import minutes_of

    try:
        return None if text is None else minutes_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--ahead") from None


def _time(text: str | None):  # type: ignore[no-untyped-def]
    import pandas as pd

    if text is None:
        return None
    try:
        return pd.Timestamp(datetime.fromisoformat(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-03-01T12:00", param_hint="--at") from None
