"""What goes into a patient's chart: a plain-text note to paste, and tables as CSV."""

import csv
from io import StringIO

from app.drawings import consensus
from app.paper import NOTICE, PAST, careplan_version
from app.wording import change, line_name, scale, when
from careplan.clinic.views import ReviewPage
from careplan.display import Unit, clock, sentence
from careplan.therapies.glucose.words import SETTINGS, because, headline


def note(page: ReviewPage, unit: Unit) -> str:
    """The review as plain text, shorter than a page."""
    summary, suggestion = page.summary, page.suggestion
    found = consensus(page.recent, unit, page.targets)
    judged = [f"{each.name} {each.value} (target {each.target}{', off' * each.missed})" for each in found]
    lines = [
        f"Patient {summary.patient}: review with careplan {careplan_version()}. {NOTICE}.",
        f"Readings {when(summary.first, summary.zone)} to {when(summary.last, summary.zone)} ({summary.zone}).",
        f"Last {len(page.days)} days: {'; '.join(judged)}; mean {unit.text(page.recent.mean)} {unit.name}.",
    ]
    for setting, slots in page.regimen.items():
        shown = scale(setting, unit)
        values = ", ".join(f"{clock(start)} {shown.text(value)}" for start, value in slots)
        lines.append(f"{SETTINGS.get(setting, setting)}, {shown.unit}: {values}.")
    if suggestion is None:
        return "\n".join([*lines, "No suggestion was made."])
    signed = next((review for review in page.history if review.suggestion == suggestion.id), None)
    by_key = {} if signed is None else {decision.key: decision for decision in signed.decisions}
    if suggestion.abstained:
        lines += [sentence(f"careplan abstains: {reason}") for reason in suggestion.reasons]
    elif not suggestion.lines:
        lines.append("No change is proposed.")
    else:
        lines.append(sentence(f"Suggestion {suggestion.id}: {headline(suggestion, unit)}"))
    for line in suggestion.lines:
        shown, decision = scale(line.setting, unit), by_key.get(line.key)
        said = f"- {line_name(line)}: {shown.text(line.current)} -> {shown.text(line.proposed)} {shown.unit} "
        said += f"({change(line.setting, line.current, line.proposed, unit)}). {sentence(because(line, suggestion, unit))}"
        if decision is not None:
            reason = f", because {decision.reason}" if decision.reason else ""
            said += f" {PAST[decision.verdict].capitalize()}: {shown.text(decision.value)} {shown.unit}{reason}."
        lines.append(said)
    if signed is not None:
        lines.append(f'Signed: {signed.reviewer}, {when(signed.signed, "UTC")} UTC: "{signed.meaning}".')
    elif suggestion.lines:
        lines.append("Not decided.")
    return "\n".join(lines)


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
