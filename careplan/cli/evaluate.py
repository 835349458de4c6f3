"""Commands that say how good it is, on recordings that you give and on virtual patients."""

from pathlib import Path
from typing import Annotated, Any

import typer

from careplan.cli.cohort import cohort
from careplan.cli.effects import effects, natural
from careplan.cli.shell import Json, Weights, print_json, recordings_of, sources_of, stderr, stdout

app = typer.Typer(no_args_is_help=True, help="How good it is, on recordings that you give.")
app.command("effects")(effects)
app.command("natural")(natural)
app.command("cohort")(cohort)


@app.command("forecasts")
def evaluate_forecasts(
    ctx: typer.Context,
    data: Annotated[list[str] | None, typer.Argument(help="Recordings, as FORMAT:PATH; without any, the store's.")] = None,
    stride: Annotated[int, typer.Option(min=1, help="Forecast from every so many five-minute rows.")] = 3,
    everyone: Annotated[
        bool, typer.Option("--everyone", help="Those the intervals were calibrated on too, not only people never seen.")
    ] = False,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """The model beside persistence, ridge and gradient boosting, on the same rows of people it never saw."""
    from careplan.studies.evaluation import evaluate_forecasts as evaluate
    from careplan.therapies.glucose.world import open_world

    recordings = recordings_of(ctx, data)
    with stderr().status("Fitting the baselines"):
        scores, means = evaluate(open_world(*([weights] if weights else [])), recordings, stride=stride, everyone=everyone)
    if as_json:
        typer.echo(scores.to_json(orient="records", double_precision=3))
        return
    from rich.table import Table

    for source, part in means.groupby("source"):
        table = Table(
            "Model",
            *(f"{horizon} min" for horizon in part["horizon"].unique()),
            title=f"{source}: RMSE (MAE), mg/dL, mean over people",
        )
        for name, rows in part.groupby("model", sort=False):
            table.add_row(str(name), *(f"{row.rmse:.2f} ({row.mae:.2f})" for row in rows.itertuples()))
        stdout().print(table)


@app.command("personalisation")
def evaluate_personalisation(
    ctx: typer.Context,
    data: Annotated[list[str] | None, typer.Argument(help="Recordings, as FORMAT:PATH; without any, the store's.")] = None,
    fine_tune: Annotated[bool, typer.Option(help="Beside it, all weights trained further on each patient.")] = True,
    everyone: Annotated[bool, typer.Option("--everyone", help="Those the intervals were calibrated on too.")] = False,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Error against days of a patient's data: for the code alone, and for all weights; the same last stretch for all."""
    from careplan.studies.evaluation import evaluate_personalisation as evaluate
    from careplan.therapies.glucose.world import open_world

    world = open_world(*([weights] if weights else []))
    with stderr().status("Reading") as status:
        curve = evaluate(world, recordings_of(ctx, data), fine_tune=fine_tune, everyone=everyone, say=status.update)
    if as_json:
        typer.echo(curve.to_json(orient="records", double_precision=3))
        return
    from rich.table import Table

    columns = ("Source", "Given", "Method", "Days", "People", "60 min", "120 min", "s a person")
    shown = Table(*columns, title="RMSE, mg/dL, mean over people")
    for (source, given, method, days), rows in curve.groupby(["source", "given", "method", "days"]):
        error = rows.groupby("horizon")["rmse"].mean()
        figures = (f"{error[60]:.2f}", f"{error[120]:.2f}", f"{rows['seconds'].mean():.1f}")
        shown.add_row(str(source), str(given), str(method), str(days), str(rows["person"].nunique()), *figures)
    stdout().print(shown)


@app.command("uncertainty")
def evaluate_uncertainty(
    data: Annotated[list[str], typer.Argument(help="Recordings, as FORMAT:PATH: those that the model was trained with.")],
    stride: Annotated[int, typer.Option(min=1, help="Forecast from every so many five-minute rows.")] = 3,
    calibration: Annotated[
        bool, typer.Option("--calibration", help="The people calibrated on instead, to choose by; never to report.")
    ] = False,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Coverage and width of the intervals, and the risks of going low and high, on people held out for the report."""
    from careplan.studies.evaluation import evaluate_uncertainty as evaluate
    from careplan.therapies.glucose.world import open_world

    with stderr().status("Personalising, and fitting the baselines"):
        world = open_world(*([weights] if weights else []))
        tables = evaluate(world, sources_of(data), judge="calibration" if calibration else "test", stride=stride)
    if as_json:
        print_json({name: table.to_dict("records") for name, table in tables.items()})
        return
    from rich.table import Table

    shown = Table("Model", "Ahead", "Coverage", "Worst person", "Width", title="90 % intervals")
    for (name, horizon), rows in tables["intervals"].groupby(["model", "horizon"], sort=False):
        covered, width = rows["coverage"], rows["width"].mean()
        shown.add_row(str(name), f"{horizon} min", f"{covered.mean():.1%}", f"{covered.min():.1%}", f"{width:.0f} mg/dL")
    stdout().print(shown)
    for name, beyond in (("lows", "Below 70"), ("highs", "Above 250")):
        shown = Table("Model", "AUROC", "Brier score", "Events", "Forecasts", title=f"{beyond} mg/dL within two hours")
        for row in tables[name].itertuples():
            shown.add_row(str(row.model), f"{row.auroc:.3f}", f"{row.brier:.4f}", str(row.events), str(row.n))
        stdout().print(shown)


@app.command("iwpc")
def evaluate_iwpc(
    table: Annotated[Path, typer.Argument(help="The IWPC's data set, as text or a workbook; fetch it from the consortium.")],
    as_json: Json = False,
) -> None:
    """Doses of warfarin from covariates alone: on a held-out half, the share within a fifth of the stable dose."""
    from rich.table import Table

    from careplan.clinic.worker import world_of
    from careplan.studies.iwpc import judge, read_iwpc

    found = judge(world_of("warfarin").model, read_iwpc(table))
    if as_json:
        print_json(found)
        return
    shown = Table("Dose by", "People", "Within 20 %", "Mean error, mg a week")
    for name, row in found.items():
        shown.add_row(name, f"{row['people']:.0f}", f"{row['within_20']:.1f} %", f"{row['mean_error']:.2f}")
    stdout().print(shown)


@app.command("fingersticks")
def evaluate_fingersticks(
    ctx: typer.Context,
    data: Annotated[list[str] | None, typer.Argument(help="Recordings, as FORMAT:PATH; without any, the store's.")] = None,
    per_day: Annotated[float, typer.Option(min=1, max=40, help="How many readings a day are kept.")] = 7,
    seed: Annotated[int, typer.Option(help="Decides which.")] = 0,
    everyone: Annotated[bool, typer.Option("--everyone", help="Those the intervals were calibrated on too.")] = False,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Forecasts from one finger-stick for the next, whenever it comes, in recordings thinned to so few readings."""
    from careplan.studies.evaluation import evaluate_fingersticks as evaluate
    from careplan.therapies.glucose.world import open_world

    world = open_world(*([weights] if weights else []))
    with stderr().status("Personalising"):
        table = evaluate(world, recordings_of(ctx, data), per_day=per_day, everyone=everyone, seed=seed)
    if as_json:
        typer.echo(table.to_json(orient="records", double_precision=3))
        return
    from rich.table import Table

    models = [name for name in table.columns if name not in ("person", "gap", "n", "source")]
    shown = Table("Source", "Between readings", "Forecasts", *models, title="RMSE, mg/dL, mean over people")
    for (source, gap), rows in table.groupby(["source", "gap"], sort=False):
        shown.add_row(str(source), str(gap), str(rows["n"].sum()), *(f"{rows[name].mean():.1f}" for name in models))
    stdout().print(shown)


@app.command("visits")
def evaluate_visits(
    people: Annotated[int, typer.Option(min=1, help="Virtual patients in each age group.")] = 10,
    visits: Annotated[int, typer.Option(min=1, help="How many visits, a fortnight apart.")] = 4,
    seed: Annotated[int, typer.Option(help="Decides the patients; never a seed of the training.")] = 101,
    lives: Annotated[int | None, typer.Option(help="Decides their lives. Default: as the patients.")] = None,
    mis_set: Annotated[float, typer.Option(help="How far settings are off: spread of the logarithm.")] = 0.3,
    pens: Annotated[float, typer.Option(min=0, max=1, help="The share on pens.")] = 0.3,
    start: Annotated[
        str, typer.Option(help="How settings are off: off by a third, too strong, too weak, mixed by block, or derived.")
    ] = "off by a third",
    family: Annotated[str, typer.Option(help="Whose equations the bodies have, as of `careplan train`.")] = "padova",
    group: Annotated[list[str] | None, typer.Option(help="adult, adolescent or child; may be repeated. Default: all.")] = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Regimens over visits, from therapy that is mis-set, beside titration, autotune and the truth; the same lives."""
    from careplan.studies.bodies import known_families
    from careplan.studies.visits import VisitsQuestion
    from careplan.studies.visits import evaluate_visits as evaluate
    from careplan.studies.visits_judged import STARTS
    from careplan.therapies.glucose.world import open_world
    from cohorts.population import GROUPS

    if start not in STARTS:
        raise typer.BadParameter(f"{start!r}: expected one of {', '.join(STARTS)}", param_hint="--start")
    [bodies] = known_families([family])
    groups = tuple(group or GROUPS)
    if unknown := set(groups) - set(GROUPS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: expected some of {', '.join(GROUPS)}", param_hint="--group")
    with stderr().status("Simulating") as status:
        world = open_world(*([weights] if weights else []))
        asked: dict[str, Any] = {"people": people, "seed": seed, "lives": lives, "mis_set": mis_set, "pens": pens}
        asked |= {"start": start, "family": bodies, "groups": groups}
        found = evaluate(world, VisitsQuestion(count=visits, **asked), say=status.update)
    summary = found.summary
    if as_json:
        names = ("summary", "too_strong", "losses", "aims", "records")
        tables = {name: getattr(found, name).round(3).to_dict("records") for name in names}
        counted = {"abstained": found.silent, "refused": found.refused}
        print_json({**asked, "visits": visits, "model": world.fingerprint, **tables, **counted})
        return
    from rich.table import Table

    columns = ("Reviewer", "Group", "Visits", "In range", "<70", "<54", "On target", "Reached", "Raised")
    shown = Table(*columns, title="Mean over people, % of time; shares of people, %")
    for row in summary.to_dict("records"):
        shares = (f"{row[name]:.0f}" for name in ("on_target", "reached", "raised_here"))
        figures = (f"{row['in_range']:.1f}", f"{row['below_70']:.1f}", f"{row['below_54']:.2f}", *shares)
        shown.add_row(str(row["reviewer"]), str(row["group"]), str(row["visit"]), *figures)
    stdout().print(shown)
    held = Table("Aim", "Wanted", "Found", "Met", title=f"What visits are held to: {start}, {bodies}")
    for row in found.aims.to_dict("records"):
        held.add_row(row["aim"], row["wanted"], row["found"], {True: "yes", False: "no"}.get(row["met"], "-"))
    stdout().print(held)


@app.command("ablation")
def evaluate_ablation(
    data: Annotated[list[str], typer.Argument(help="Recordings, as FORMAT:PATH; the people a card reports on are left out.")],
    variants: Annotated[str | None, typer.Option(help="Which, between commas. Default: all.")] = None,
    seeds: Annotated[str, typer.Option(help="Of the training, between commas; every variant with each.")] = "7",
    steps: Annotated[int, typer.Option(min=20, help="Training steps a run.")] = 150,
    batch: Annotated[int, typer.Option(min=8, help="Windows, and branched futures, a step.")] = 128,
    horizon: Annotated[int, typer.Option(min=24, help="Five-minute rows of a window predicted; of futures twice as many.")] = 24,
    people: Annotated[int, typer.Option(min=1, help="Virtual patients in each age group.")] = 24,
    out: Annotated[Path, typer.Option(help="A file for each run goes here; what is there is not run again.")] = Path("ablation"),
    as_json: Json = False,
) -> None:
    """What each part of the model buys: the recipe trained again with one part changed, on people held out for choices."""
    from careplan.studies import ablation
    from careplan.studies.training import Virtual
    from careplan.world.training import Recipe

    found = ablation.evaluate_ablation(
        ablation.Cohort(tuple(sources_of(data)), Virtual(people=people)),
        out,
        variants=variants.split(",") if variants else list(ablation.VARIANTS),
        seeds=[int(seed) for seed in seeds.split(",")],
        recipe=Recipe(steps=steps, batch=batch, branches=batch, horizon=horizon),
        say=lambda text: stderr().print(text, soft_wrap=True, highlight=False),
    )
    if as_json:
        print_json(found)
        return
    from rich.table import Table

    rows = [ablation.flat(one) for one in found]
    shown = Table(*rows[0], title="RMSE at 60 / 120 min, mg/dL; effects after 14 days; encodings")
    for row in rows:
        shown.add_row(*row.values())
    stdout().print(shown)


@app.command("drift")
def evaluate_drift(
    ctx: typer.Context,
    data: Annotated[list[str] | None, typer.Argument(help="Recordings, as FORMAT:PATH; without any, the store's.")] = None,
    seed: Annotated[int, typer.Option(help="Decides what is spoilt, and where.")] = 0,
    everyone: Annotated[bool, typer.Option("--everyone", help="Those the alarms were measured on too.")] = False,
    measure: Annotated[
        Path | None, typer.Option(help="Instead, measure what is usual on the people trained and calibrated on, into this file.")
    ] = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """How often alarms sound when units, sensor, person or dose log go wrong, and when nothing does."""
    from careplan.studies.evaluation import evaluate_drift as evaluate
    from careplan.studies.evaluation import measure_drift
    from careplan.therapies.glucose.world import open_world
    from careplan.world.drift import save_reference

    world = open_world(*([weights] if weights else []))
    with stderr().status("Personalising") as status:
        recordings = recordings_of(ctx, data)
        if measure is not None:
            save_reference(measure_drift(world, recordings), measure)
            return
        rates = evaluate(world, recordings, everyone=everyone, seed=seed, say=status.update)
    if as_json:
        typer.echo(rates.to_json(orient="records", double_precision=3))
        return
    from rich.table import Table

    shown = Table("Recording", "Looks", "Something fires", "Within 24 h", "Within 48 h", "Median hours", "AUROC")
    for row in rates.to_dict("records"):
        figures = [f"{row['day']:.0%}", f"{row['two_days']:.0%}", f"{row['hours']:.0f}", f"{row['auroc']:.3f}"]
        spoilt = figures if row["cases"] > 0 else [""] * len(figures)
        shown.add_row(str(row["kind"]), str(row["looks"]), f"{row['fired']:.1%}", *spoilt)
    stdout().print(shown)


@app.command("labels")
def evaluate_labels(
    data: Annotated[list[str], typer.Argument(help="Recordings, as FORMAT:PATH: those that the model was trained with.")],
    out: Annotated[Path, typer.Option(help="The folder for runs; those already there are not done again.")],
    shares: Annotated[str, typer.Option(help="Shares of the days with logged doses, by commas.")] = "0.1,0.3,1.0",
    seeds: Annotated[str, typer.Option(help="Decide who is labelled first, and the weights; by commas.")] = "0",
    arms: Annotated[str, typer.Option(help="Of scratch, plain, latent, doses; by commas.")] = "scratch,plain,latent",
    steps: Annotated[int, typer.Option(min=2, help="Training steps of each model, pretraining among them.")] = 400,
    as_json: Json = False,
) -> None:
    """What logged doses are worth: error against their share, with and without pretraining on the levels of everyone. It takes
    minutes a run; killed, it goes on where it was."""
    from dataclasses import replace

    from careplan.evaluation.labels import ARMS, RECIPE
    from careplan.studies.labels import evaluate_labels as evaluate

    asked = parsed(shares, float, "--shares"), parsed(seeds, int, "--seeds")
    chosen = arms.split(",")
    if unknown := set(chosen) - set(ARMS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: expected some of {', '.join(ARMS)}", param_hint="--arms")
    if not all(0 < share <= 1 for share in asked[0]):
        raise typer.BadParameter("expected shares above 0, up to 1", param_hint="--shares")
    curve, worth = evaluate(
        sources_of(data),
        out,
        shares=asked[0],
        seeds=asked[1],
        arms=chosen,
        recipe=replace(RECIPE, steps=steps),
        say=lambda text: stderr().print(text, soft_wrap=True, highlight=False),
    )
    if as_json:
        print_json({"curve": curve.round(3).to_dict("records"), "worth": worth.round(3).to_dict("records")})
        return
    from rich.table import Table

    shown = Table("Trained", "Share", "Seeds", "Given", "60 min", "120 min", title="RMSE, mg/dL, mean over people and seeds")
    for (arm, share, given), rows in curve.groupby(["arm", "share", "given"]):
        error = rows.groupby("horizon")["rmse"].mean()
        shown.add_row(str(arm), f"{share:.0%}", str(rows["seed"].nunique()), str(given), f"{error[60]:.2f}", f"{error[120]:.2f}")
    stdout().print(shown)
    if worth.empty:
        return
    columns = ("Trained", "Share", "Given", "Ahead", "Over people", "RMSE", "From scratch it takes")
    shown = Table(*columns, title="What pretraining is worth")
    for row in worth.to_dict("records"):
        told = "more than all labels" if row["multiple"] == float("inf") else f"{row['multiple']:.1f} times the labels"
        own = (row["arm"], f"{row['share']:.0%}", row["given"], f"{row['horizon']} min", row["statistic"], f"{row['rmse']:.1f}")
        shown.add_row(*own, told)
    stdout().print(shown)


def parsed(text: str, kind: "type[float] | type[int]", option: str) -> "list[Any]":
    """Numbers between commas."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r}: expected numbers between commas", param_hint=option) from None
