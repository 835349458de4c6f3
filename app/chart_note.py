"""What goes into a patient's chart: a plain-text note to paste, and tables as CSV."""

import csv
from io import StringIO

from app.drawings import consensus
from app.paper import NOTICE, PAST, careplan_version
from app.wording import change, line_name, scale, setting_name, when
from careplan.clinic.views import Review, ReviewPage
from careplan.display import SEMICOLON, Unit, clock, listed, sentence
from careplan.language import N_, _, retold
from careplan.suggestion import Decision, Line, Suggestion
from careplan.therapies.glucose.words import because, headline


def note(page: ReviewPage, unit: Unit) -> str:
    """The review as plain text, shorter than a page."""
    summary, suggestion = page.summary, page.suggestion
    judged = [
        _(
            OFF if each.missed else MET,
            name=each.name,
            value=each.value,
            target=each.target,
        )
        for each in consensus(page.recent, unit, page.targets)
    ]
    mean = _("mean {level} {unit}", level=unit.text(page.recent.mean), unit=unit.name)
    lines = [
        _(
            "Patient {patient}: review with careplan {version}. {notice}.",
            patient=summary.patient,
            version=careplan_version(),
            notice=_(NOTICE),
        ),
        _(
            "Readings {first} to {last} ({zone}).",
            first=when(summary.first, summary.zone),
            last=when(summary.last, summary.zone),
            zone=summary.zone,
        ),
        _("Last {days} days: {metrics}.", days=len(page.days), metrics=listed([*judged, mean], SEMICOLON)),
    ]
    for setting, slots in page.regimen.items():
        shown = scale(setting, unit)
        values = listed(f"{clock(start)} {shown.text(value)}" for start, value in slots)
        lines.append(_("{setting}, {unit}: {values}.", setting=setting_name(setting), unit=shown.unit, values=values))
    if suggestion is None:
        return "\n".join([*lines, _("No suggestion was made.")])
    signed = next((review for review in page.history if review.suggestion == suggestion.id), None)
    return "\n".join([*lines, *_suggested(suggestion, signed, unit)])


OFF, MET = N_("{name} {value} (target {target}, off)"), N_("{name} {value} (target {target})")


def _suggested(suggestion: Suggestion, signed: Review | None, unit: Unit) -> list[str]:
    """What is proposed, line by line with its reason and what was decided of it, and the signature."""
    by_key = {} if signed is None else {decision.key: decision for decision in signed.decisions}
    if suggestion.abstained:
        lines = [sentence(_("careplan abstains: {why}", why=retold(reason))) for reason in suggestion.reasons]
    elif not suggestion.lines:
        lines = [_("No change is proposed.")]
    else:
        told = _("Suggestion {suggestion}: {said}", suggestion=suggestion.id, said=headline(suggestion, unit))
        lines = [sentence(told)]
    lines += [_line(line, suggestion, by_key.get(line.key), unit) for line in suggestion.lines]
    if signed is not None:
        told = N_('Signed: {reviewer}, {time} UTC: "{meaning}".')
        lines.append(_(told, reviewer=signed.reviewer, time=when(signed.signed, "UTC"), meaning=_(signed.meaning)))
    elif suggestion.lines:
        lines.append(_("Not decided."))
    return lines


def _line(line: Line, suggestion: Suggestion, decision: Decision | None, unit: Unit) -> str:
    shown = scale(line.setting, unit)
    said = _(
        "- {line}: {current} -> {proposed} {unit} ({change}). {why}",
        line=line_name(line),
        current=shown.text(line.current),
        proposed=shown.text(line.proposed),
        unit=shown.unit,
        change=change(line.setting, line.current, line.proposed, unit),
        why=sentence(because(line, suggestion, unit)),
    )
    if decision is None:
        return said
    verdict, value = _(PAST[decision.verdict]).capitalize(), shown.text(decision.value)
    if decision.reason:
        told = N_(" {verdict}: {value} {unit}, because {reason}.")
        return said + _(told, verdict=verdict, value=value, unit=shown.unit, reason=decision.reason)
    return said + _(" {verdict}: {value} {unit}.", verdict=verdict, value=value, unit=shown.unit)


def days_csv(page: ReviewPage, unit: Unit) -> str:
    """A row a day: metrics, insulin and carbohydrate."""
    head = ["date", "readings", f"mean {unit.name}", "very low %", "low %", "in range %", "high %", "very high %", "cv %"]
    rows = [
        [
            day.date,
            day.metrics.readings,
            "" if day.metrics.mean is None else unit.text(day.metrics.mean),
            *(_rounded(getattr(day.metrics, name)) for name in ("very_low", "low", "in_range", "high", "very_high", "cv")),
            _rounded(sum(units for _, units in day.boluses)),
            _rounded(sum(grams for _, grams in day.carbs)),
        ]
        for day in page.days
    ]
    return _csv([[*head, "bolus U", "carbohydrate g"], *rows])


def settings_csv(page: ReviewPage, unit: Unit) -> str:
    """A row a setting and part of the day: in force, and proposed where a line would change it."""
    lines = {} if page.suggestion is None else {(line.setting, line.start): line for line in page.suggestion.lines}
    rows: list[list[object]] = [["setting", "unit", "from", "in force", "proposed"]]
    for setting, slots in page.regimen.items():
        shown = scale(setting, unit)
        for start, value in slots:
            line = lines.get((setting, start))
            rows.append([setting, shown.unit, clock(start), shown.text(value), "" if line is None else shown.text(line.proposed)])
    return _csv(rows)


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _csv(rows: list[list[object]]) -> str:
    out = StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
