"""Typed queries answered by the engine: figures with their unit, their interval, what they rest on and which model made them.

Nothing here writes: the import rules keep this package from every use case that plans, drafts, signs or prescribes.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from careplan.clinic import asking
from careplan.clinic.codec import dump
from careplan.clinic.roles import STUDIES, allow
from careplan.display import signed
from careplan.interop.language import declared, predictions
from careplan.interop.language import queries as asked
from careplan.interop.language.basis import DAYS_IN, THEN, Answer, Sources
from careplan.language import N_, _
from careplan.minutes import DAY
from careplan.suggestion import Line
from careplan.therapies.glucose.bands import LEVELS
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.names import MMOL_L, SETTINGS, UNITS

__all__ = ["WHO_DECIDES", "Answer", "Sources", "answer"]

ABOUT_NOBODY = ("who_needs_a_look", "cohort_replay", "evaluation")
SHOWN = ("in_range", "low", "very_low", "high", "very_high", "mean", "cv", "gmi", "readings", "active")
MOST = 2_000  # person-days that a question may have lived for it; more is a command of its own
WHO_DECIDES = N_("careplan decides no dose. What to take is decided by you and the clinician who signs your plan.")
TOO_FEW = N_("{period} has too few readings to judge by")
STATUS = {
    "no data": N_("no data"), "not planned": N_("not planned"), "suggested": N_("to review"), "no change": N_("no change"),
    "abstained": N_("abstained"), "draft": N_("draft"), "signed": N_("signed"), "altered": N_("changed past careplan"),
    "not readable": N_("not readable here"),
}  # fmt: skip
VERDICTS, OF_BASAL = (N_("accept"), N_("edit"), N_("reject")), N_("x basal")
BETWEEN = N_("Time from {low} to {high}, %")
NO_SUGGESTION = N_("There is no suggestion for {patient}: careplan plan {patient} --regimen makes one.")
LINE = N_("{setting} from {start} to {end}, now {current:g}, proposed {proposed:g} {unit}: {why}")
EVIDENCE = N_("{days} days of evidence for {line}")
LOOK = N_("{patient}: {headline} (status: {status}).")
AT_MOST = N_("As {group}: at most {max_dose:g} U at once, {max_on_board:g} U on board, {max_rate:g} U/h basal.")
AT_LEAST = N_("At least {min_spacing:g} min between doses, and none below {floor:g} mg/dL, measured or predicted.")
A_VISIT = N_("{setting}: {low:g} to {high:g}, at most {share:.0f} % a visit.")
NO_LIMIT, OF_THERAPY = N_("No question changes a limit."), N_("the limits of the therapy")
TAKES = N_("{people:,} people for {days} days takes a while; run it with: {command}")
OVER = N_("{count:,} readings over {days:.1f} days")
UNREVIEWED = {
    "settings": N_("The settings proposed as suggestion {number} are not reviewed: nobody may act on them."),
    "doses": N_("The doses proposed as suggestion {number} are not reviewed: nobody may act on them."),
}
SIGNED = N_("Suggestion {number} was signed by {who} at {when}: {meaning}.")
PROPOSED = N_("{line}: now {current:g}, proposed {proposed:g} {unit}.")
DECIDED = N_("{line}: now {current:g}, proposed {proposed:g} {unit}, decided: {verdict}, {value:g}.")
TRAINED = N_("Model {model}, trained on {sources} and virtual patients.")
ERROR = N_("RMSE {minutes} min ahead: {error:.1f} mg/dL, the mean over {people} people not trained on.")
UNTOLD = N_("Not on the card: what intervals cover (careplan evaluate uncertainty), baselines (careplan evaluate forecasts).")
BELOW = N_("{count} times for 15 minutes or longer below {level:g} mg/dL.")
ABOVE = N_("{count} times for 15 minutes or longer above {level:g} mg/dL.")
LOWEST, HIGHEST = N_("{start} to {end}: lowest {level:.0f} mg/dL."), N_("{start} to {end}: highest {level:.0f} mg/dL.")


def answer(query: Any, sources: Sources) -> Answer:
    """The answer to one of the queries, in the words of the patient's therapy. Raises `AskError` for what the store or the model
    cannot answer."""
    practice = None if query.kind in ABOUT_NOBODY else asking.spoken_of(sources.db, query.patient, GLUCOSE.name)
    found = None if practice is None else declared.answer(query, sources, practice)
    return _ANSWERS[query.kind](query, sources) if found is None else found


def _compare(query: asked.ComparePeriods, sources: Sources) -> Answer:
    both = [
        asking.glance_of(sources.db, query.patient, each.first, each.last, sources.actor) for each in (query.first, query.second)
    ]
    first, second = (dump(each.metrics) for each in both)
    levels = asking.aims(sources.db, query.patient).levels
    text = []
    for name in SHOWN[:8]:
        if first.get(name) is not None and second.get(name) is not None:
            moved = signed(second[name] - first[name], 1)
            text.append(THEN.format(name=_named(name, levels), before=first[name], after=second[name], change=moved))
    days = [DAYS_IN.format(days=each.days, period=period) for each, period in zip(both, (query.first, query.second), strict=True)]
    few = [TOO_FEW.format(period=period) for each, period in zip(both, (query.first, query.second), strict=True) if each.days < 1]
    return Answer(
        understood=query.said(), text=(*text, *few), unit="mg/dL", figures={"first": first, "second": second}, basis=tuple(days)
    )


def _named(name: str, levels: Mapping[str, float]) -> str:
    """A figure in words. levels: the edges of the patient's bands, mg/dL."""
    very_low, low, high, very_high = (f"{levels[edge]:g}" for edge in LEVELS)
    return {
        "in_range": N_("In range {low} to {high}, %").format(low=low, high=high),
        "low": BETWEEN.format(low=very_low, high=low),
        "very_low": N_("Time below {level}, %").format(level=very_low),
        "high": BETWEEN.format(low=high, high=very_high),
        "very_high": N_("Time above {level}, %").format(level=very_high),
        "mean": N_("Mean, mg/dL"),
        "cv": N_("Variation, %"),
        "gmi": N_("GMI, %"),
    }[name]


def _why(query: asked.Why, sources: Sources) -> Answer:
    from careplan.display import clock, sentence
    from careplan.therapies.glucose.words import MG_DL, because, said

    decided = asking.suggestions_with_reviews(sources.db, query.patient, sources.actor)
    if not decided:
        return _nothing(query.said(), NO_SUGGESTION.format(patient=query.patient))
    suggestion = decided[0][0]
    if suggestion.abstained:
        return Answer(
            understood=query.said(),
            text=suggestion.reasons,
            abstains=suggestion.reasons,
            model=suggestion.provenance.get("model"),
        )
    lines = [line for line in suggestion.lines if query.setting in (None, line.setting)]
    lines = [line for line in lines if query.minute is None or line.start <= query.minute < line.end]
    text = [
        LINE.format(
            setting=_setting(line.setting),
            start=clock(line.start),
            end=clock(line.end),
            current=line.current,
            proposed=line.proposed,
            unit=line.unit,
            why=because(line, suggestion, MG_DL),
        )
        for line in lines
    ]
    if not text and (query.setting or query.minute is not None):
        text.append(N_("No change is proposed there."))
    told = [f"{name}: {sentence(words)}" for name, words in said(suggestion, MG_DL)]
    days = tuple(EVIDENCE.format(days=line.days, line=_setting(line.setting)) for line in lines)
    figures = {"lines": [dump(line) for line in lines], "why": dump(suggestion.why) if suggestion.why else None}
    return Answer(
        understood=query.said(), text=(*text, *told), figures=figures, basis=days, model=suggestion.provenance.get("model")
    )


def _who(query: asked.WhoNeedsALook, sources: Sources) -> Answer:
    rows = asking.most_urgent(sources.db, query.count or 10, sources.actor)
    text = tuple(LOOK.format(patient=row.patient, headline=row.headline, status=_(STATUS[row.status])) for row in rows)
    figures = {
        "patients": [
            {"patient": row.patient, "urgency": row.urgency, "headline": row.headline, "status": row.status} for row in rows
        ]
    }
    return Answer(
        understood=query.said(),
        text=text or (N_("Nobody is in the store yet."),),
        figures=figures,
        basis=(N_("the last days recorded of each"),),
    )


def _limits(query: asked.Limits, sources: Sources) -> Answer:
    from careplan.therapies.glucose.declaration import LINE_LIMITS

    practice, facts = asking.practice_and_facts(sources.db, query.patient)
    limits, lines = dump(practice.limits(facts)), {name: dump(each) for name, each in LINE_LIMITS.items()}
    text = (
        AT_MOST.format(group=facts.group, **limits),
        AT_LEAST.format(**limits),
        *(
            A_VISIT.format(setting=_setting(name), low=each["low"], high=each["high"], share=100 * each["per_visit"])
            for name, each in lines.items()
        ),
        NO_LIMIT,
    )
    return Answer(
        understood=query.said(),
        text=text,
        unit="mg/dL",
        figures={"group": facts.group, "doses": limits, "settings": lines},
        basis=(OF_THERAPY,),
    )


def _cohort(query: asked.CohortReplay, sources: Sources) -> Answer:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from careplan.studies.replays import arguments_of, run_replay

    allow(sources.actor, STUDIES)
    arguments = arguments_of(query.populations, query.policies, days=query.days, seed=7)
    people = sum(int(text.partition(":")[2]) for text in query.populations)
    given = " ".join([*(f"--population {text}" for text in query.populations), *(f"--policy {text}" for text in query.policies)])
    command = f"careplan replay {given} --days {query.days} --seed 7 --out cohort"
    if people * query.days * len(query.policies) > MOST:
        return _nothing(query.said(), TAKES.format(people=people, days=query.days, command=command), command=command)
    with TemporaryDirectory() as folder:
        summary = dump(run_replay(Path(folder) / "cohort", arguments))
    return Answer(
        understood=query.said(),
        text=(N_("The same with: {command}").format(command=command),),
        unit="mg/dL",
        figures={"summary": summary},
        basis=(N_("{people} virtual people, seed 7").format(people=people),),
    )


def _summary(query: asked.Summary, sources: Sources) -> Answer:
    whole = asking.summary(sources.db, query.patient, sources.actor)
    if query.period is None:
        metrics, days, enough = whole.metrics, whole.days, whole.sufficient
    else:
        glance = asking.glance_of(sources.db, query.patient, query.period.first, query.period.last, sources.actor)
        metrics, days, enough = glance.metrics, glance.days, glance.sufficient
    figures, levels = dump(metrics), asking.aims(sources.db, query.patient).levels
    text = [f"{_named(name, levels)}: {figures[name]:.1f}." for name in SHOWN[:8] if figures.get(name) is not None]
    if whole.total_daily_dose is not None:
        text.append(N_("Total daily dose: {dose:.1f} U.").format(dose=whole.total_daily_dose))
    if not enough:
        text.append(N_("Too little for a judgement: 14 days with 70 % of readings are needed."))
    basis = (OVER.format(count=figures["readings"], days=days),)
    return Answer(
        understood=query.said(),
        text=tuple(text),
        unit="mg/dL",
        figures={**figures, "total_daily_dose": whole.total_daily_dose},
        basis=basis,
    )


def _plan(query: asked.Plan, sources: Sources) -> Answer:
    names = getattr(asking.practice_and_facts(sources.db, query.patient)[0].words, "settings", {})
    text, figures = [WHO_DECIDES] if query.dose else [], []
    for suggestion, review in asking.suggestions_with_reviews(sources.db, query.patient, sources.actor):
        what = "settings" if suggestion.kind == "regimen" else "doses"
        if review is None:
            text.append(UNREVIEWED[what].format(number=suggestion.id))
            if query.dose:
                continue
        else:
            when = f"{review.signed:%Y-%m-%d %H:%M} UTC"
            text.append(SIGNED.format(number=suggestion.id, who=review.reviewer, when=when, meaning=review.meaning))
        decisions = {each.key: each for each in review.decisions} if review else {}
        for line in suggestion.lines:
            told = {"line": _line(line, what, names), "current": line.current, "proposed": line.proposed, "unit": _(line.unit)}
            decided = decisions.get(line.key)
            text.append(
                PROPOSED.format(**told)
                if decided is None
                else DECIDED.format(**told, verdict=_(decided.verdict), value=decided.value)
            )
        figures.append(
            {
                "suggestion": suggestion.id,
                "kind": suggestion.kind,
                "signed": None if review is None else review.signed.isoformat(),
            }
        )
    if not figures and not query.dose:
        text.append(N_("There is no suggestion for {patient}.").format(patient=query.patient))
    if query.dose and not any(each["signed"] for each in figures):
        text.append(N_("No plan is signed, so there is nothing to go by here: ask the clinician."))
    return Answer(understood=query.said(), text=tuple(text), figures={"plans": figures}, basis=(N_("what is on record"),))


def _regimen(query: asked.RegimenInForce, sources: Sources) -> Answer:
    found = asking.in_force(sources.db, query.patient, sources.actor)
    if found is None:
        return _nothing(query.said(), N_("No regimen is stated, and too little insulin is logged to estimate one."))
    practice, _facts = asking.practice_and_facts(sources.db, query.patient)
    listed = practice.listed(found.regimen)
    text = []
    for setting, values in listed.items():
        if query.setting not in (None, setting):
            continue
        if query.minute is not None:
            value = max((each for each in values if each[0] <= query.minute), default=values[0])[1]
            text += _values(setting, [(query.minute, value)])
        else:
            text += _values(setting, values)
    figures = {setting: [list(each) for each in values] for setting, values in listed.items()}
    return Answer(
        understood=query.said(),
        text=tuple(text) or (N_("That setting is not part of it."),),
        figures=figures,
        basis=(found.source,),
    )


def _values(setting: str, values: Sequence[tuple[int, float]]) -> list[str]:
    """A setting over the day, in each unit that glucose is shown in where it is one of glucose."""
    told = [", ".join(f"{_clock(minute)} {value:g}" for minute, value in values) + f" {UNITS[setting]}"]
    if setting == "correction_factor":
        told.append(", ".join(f"{_clock(minute)} {MMOL_L.text(value)}" for minute, value in values) + f" {MMOL_L.name}/U")
    return [f"{_setting(setting)}: {each}." for each in told]


def _line(line: Line, what: str, names: Mapping[str, str]) -> str:
    """A line of a suggestion in words: settings by their time of day, if they have one, doses by when they are given."""
    from careplan.display import clock

    name, whole = _(names.get(line.setting, line.setting.replace("_", " "))), (line.start, line.end) == (0, DAY)
    if what == "settings":
        return name if whole else _("{setting}, from {time}", setting=name, time=clock(line.start))
    return name if line.start == 0 else _("{setting} in {minutes} min", setting=name, minutes=line.start)


def _setting(name: str) -> str:
    """A setting in words, in English."""
    return SETTINGS.get(name, name.replace("_", " "))


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _evaluation(query: asked.Evaluation, sources: Sources) -> Answer:
    card = asking.model_card(sources.db)
    report: Any = card.get("report") or {}
    figures = {"report": report, "split": card.get("split"), "sources": card.get("sources")}
    text = [
        TRAINED.format(model=card["hash"], sources=", ".join(map(str, card.get("sources") or ()))),
        str(card.get("limits", "")),
    ]
    people: Any = report.get("people") or {}
    for minutes in ("30", "60", "120", "240"):
        errors = [each["nothing"][minutes] for each in people.values() if minutes in each.get("nothing", {})]
        if errors:
            mean = sum(errors) / len(errors)
            text.append(ERROR.format(minutes=minutes, error=mean, people=len(errors)))
    return Answer(
        understood=query.said(),
        text=(*text, UNTOLD),
        unit="mg/dL",
        figures=figures,
        basis=(N_("the card beside the weights"),),
        model=str(card["hash"]),
    )


def _episodes(query: asked.Episodes, sources: Sources) -> Answer:
    first, last = (None, None) if query.period is None else (query.period.first, query.period.last)
    found = asking.readings(sources.db, query.patient, first, last, sources.actor)
    low = query.side == "low"
    levels = asking.aims(sources.db, query.patient).levels
    bound = (query.below or levels["low"]) if low else (query.above or levels["high"])
    episodes: list[dict[str, Any]] = []
    before: datetime | None = None
    for moment, value in zip(found["time"], found["value"], strict=True):
        beyond = value < bound if low else value > bound
        if (
            beyond
            and before is not None
            and episodes
            and episodes[-1]["until"] == before
            and moment - before <= timedelta(minutes=30)
        ):
            pick = min if low else max
            episodes[-1] |= {"until": moment, "extreme": pick(episodes[-1]["extreme"], float(value))}
        elif beyond:
            episodes.append({"from": moment, "until": moment, "extreme": float(value)})
        before = moment
    whole = [each for each in episodes if each["until"] - each["from"] >= timedelta(minutes=15)]
    text = [(BELOW if low else ABOVE).format(count=len(whole), level=bound)]
    text += [
        (LOWEST if low else HIGHEST).format(
            start=f"{each['from']:%Y-%m-%d %H:%M}", end=f"{each['until']:%H:%M}", level=each["extreme"]
        )
        for each in whole[-10:]
    ]
    figures = [
        {"from": each["from"].isoformat(), "until": each["until"].isoformat(), "extreme": each["extreme"]} for each in whole
    ]
    return Answer(
        understood=query.said(),
        text=tuple(text),
        unit="mg/dL",
        figures={"episodes": figures},
        basis=(N_("{count:,} readings").format(count=len(found)),),
    )


def _nothing(understood: str, why: str, **figures: Any) -> Answer:
    return Answer(understood=understood, text=(why,), figures=figures, abstains=(why,))


_ANSWERS: dict[str, Callable[[Any, Sources], Answer]] = {
    "forecast": predictions.forecast,
    "counterfactual": predictions.counterfactual,
    "compare_periods": _compare,
    "why": _why,
    "who_needs_a_look": _who,
    "limits": _limits,
    "cohort_replay": _cohort,
    "summary": _summary,
    "plan": _plan,
    "regimen": _regimen,
    "evaluation": _evaluation,
    "episodes": _episodes,
}
