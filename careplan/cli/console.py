"""What the command line prints: Rich tables of views."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from careplan.records.correction import rows_told
from careplan.therapies.glucose.bands import ADULTS, LOW, TIGHT

if TYPE_CHECKING:
    from careplan.clinic import Verification
    from careplan.clinic.import_history import Import
    from careplan.clinic.regimens import Prescribed
    from careplan.clinic.views import ImportReport, Night, PatientSummary
    from careplan.records.look import Looked
    from careplan.suggestion import Experiment
    from careplan.targets import Targets
    from careplan.therapies.glucose.views import Metrics

CORRECTION_FIELDS = ("patient", "action", "rule", "file", "row", "field", "detail")


def print_verified(console: Console, result: "Verification") -> None:
    """What was recomputed, and the head to note."""
    console.print(
        f"[green]{result.entries:,} entries, {result.rows:,} rows, the events of {result.batches:,} batches: nothing differs.[/] "
        f"{result.checkpoints:,} signed checkpoints hold. Head: {result.head}",
        soft_wrap=True,
    )


def print_import(console: Console, report: "ImportReport") -> None:
    """What was added, patient by patient, and what it was taken for; then what was dropped or changed, a line a kind."""
    table = Table(title=f"Imported from {report.source}", title_justify="left")
    for name in ("Patient", "Rows read", "Added", "Known", "Dropped", "Changed"):
        table.add_column(name, justify="left" if name in ("Patient", "Added") else "right")
    for patient in report.patients:
        actions = Counter[str]()
        for told, rows in rows_told(patient.corrections, patient.ignored):
            actions[told.action] += rows
        added = ", ".join(f"{count:,} {channel}" for channel, count in patient.events_added.items()) or "nothing new"
        counts = (patient.rows_read, patient.events_known, actions["dropped"], actions["changed"])
        rows_read, known, dropped, changed = (f"{count:,}" for count in counts)
        table.add_row(escape(patient.patient), rows_read, added, known, dropped, changed)
    if report.patients:
        console.print(table)
    taken = dict.fromkeys((patient.source, patient.why) for patient in report.patients if patient.why)
    for source, why in taken:
        console.print(f"Taken for {source}: {escape(why)}.", highlight=False)
    if report.run and any(patient.events_added for patient in report.patients):
        console.print(f"To take this import back: careplan unimport {report.run[:8]} --reason WHY", highlight=False)

    if report.kinds:
        table = Table(title="Rows dropped or changed, by kind", title_justify="left")
        for name in ("Action", "Rule", "Field", "Rows", "Patients", "The first"):
            table.add_column(name, justify="right" if name in ("Rows", "Patients") else "left", overflow="fold")
        for kind in report.kinds:
            texts = (kind.action, kind.rule, kind.field)
            table.add_row(*map(escape, texts), f"{kind.rows:,}", str(kind.patients), escape(kind.example))
        console.print(table)


def print_imports(console: Console, found: "Sequence[Import]") -> None:
    """One row an import."""
    if not found:
        console.print("Nothing was imported yet.")
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("Import", "When (UTC)", "From", "Files", "Patients", "Events", ""):
        table.add_column(name, justify="right" if name in ("Patients", "Events") else "left", overflow="fold")
    for each in found:
        files = ", ".join(each.files[:3]) + (f" and {len(each.files) - 3} more" if len(each.files) > 3 else "")
        counts = (str(len(each.events)), f"{sum(each.events.values()):,}")
        sources = ", ".join(each.sources)
        table.add_row(each.run[:8], f"{each.created:%Y-%m-%d %H:%M}", escape(sources), escape(files), *counts, each.state)
    console.print(table)


def print_look(console: Console, looked: "Looked") -> None:
    """What was found in files, record by record: what it was taken for and why, then its local days."""
    for record in looked.records:
        files = ", ".join(record.files[:4]) + (f" and {len(record.files) - 4} more" if len(record.files) > 4 else "")
        console.print(f"[bold]{escape(record.patient)}[/], {escape(files)}", highlight=False)
        console.print(f"Taken for {record.source}: {escape(record.why)}.", highlight=False)
        flags = ", ".join(f"{count:,} {word}" for word, count in record.flags.items())
        settings = "; settings are stated" if record.regimen else ""
        rows = f"{record.rows_read:,} rows, clock of {record.zone}"
        console.print(rows + (f"; flagged: {flags}" if flags else "") + settings + ".", highlight=False)
        table = Table(box=None, padding=(0, 1, 0, 0), caption="Events, with the mean of a level or rate, the sum of doses.")
        table.add_column("Day")
        for channel in record.counts:
            table.add_column(channel, justify="right")
        for day in record.days:
            cells = (
                f"{day.counts[channel]:,} ({day.amounts[channel]:g})" if channel in day.counts else ""
                for channel in record.counts
            )
            table.add_row(day.date, *cells)
        table.add_section()
        table.add_row("all", *(f"{count:,}" for count in record.counts.values()))
        console.print(table)
        if record.corrected:
            told = ", ".join(f"{rule} ({count:,})" for rule, count in sorted(record.corrected.items()))
            console.print(f"Dropped or changed: {escape(told)}.\n", highlight=False)


def write_corrections(path: Path, report: "ImportReport") -> None:
    """Every dropped or changed row as CSV, with `CORRECTION_FIELDS`."""
    from careplan.interop.tables import guard

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(CORRECTION_FIELDS)
        writer.writerows(map(guard, (patient.patient, *told)) for patient in report.patients for told in patient.corrections)


def print_patients(console: Console, patients: "list[PatientSummary]") -> None:
    """One row a patient."""
    if not patients:
        console.print("No patients yet. Import some: careplan import PATH, or try careplan demo.")
        return
    others = [patient for patient in patients if not _of_glucose(patient)]
    patients = [patient for patient in patients if _of_glucose(patient)]
    if others:
        _print_others(console, others)
    if not patients:
        return
    rows = [("Patient", "Group", "Days", "Until", "Read", "In range", "Below", "Far below", "U/day", "Enough")]
    for patient in patients:
        metrics = patient.metrics
        below = None if metrics is None or metrics.low is None or metrics.very_low is None else metrics.low + metrics.very_low
        seen = (None, None, None) if metrics is None else (metrics.active, metrics.in_range, metrics.very_low)
        numbers = (*seen[:2], below, seen[2], patient.total_daily_dose)
        active, in_range, low, very_low, dose = ("" if number is None else f"{number:.1f}" for number in numbers)
        last = f"{patient.last:%Y-%m-%d}" if patient.last else ""
        enough = "yes" if patient.sufficient else "no"
        rows.append((patient.patient, patient.group, f"{patient.days:.0f}", last, active, in_range, low, very_low, dose, enough))
    header, *lines = aligned(rows, left=(0, 1, 3))
    console.print(header, style="bold", markup=False, highlight=False, soft_wrap=True)
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    told = "Read, in range, below, far below: % of readings; 70-180, <70, <54 mg/dL where no other targets are signed."
    console.print(f"{told} Enough: 14 days, 70 % read.", style="dim", highlight=False)


def _of_glucose(patient: "PatientSummary") -> bool:
    """Whether a patient's metrics are those of glucose, or there are none to read."""
    from careplan.therapies.glucose.views import Metrics

    return patient.metrics is None or isinstance(patient.metrics, Metrics)


def _print_others(console: Console, patients: "Sequence[PatientSummary]") -> None:
    """One row a patient of the other therapies, with what each says of its readings."""
    rows = [("Patient", "Therapy", "Group", "Days", "Until", "Enough", "Readings")]
    for patient in patients:
        last, enough = f"{patient.last:%Y-%m-%d}" if patient.last else "", "yes" if patient.sufficient else "no"
        told = ", ".join(f"{name} {value}" for name, value in measured(patient.metrics, patient.therapy).items())
        rows.append((patient.patient, patient.therapy, patient.group, f"{patient.days:.0f}", last, enough, told))
    header, *lines = aligned(rows, left=(0, 1, 2, 4, 6))
    console.print(header, style="bold", markup=False, highlight=False, soft_wrap=True)
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def measured(metrics: object, therapy: str) -> dict[str, str]:
    """A therapy's own summary of readings, by name: those of its numbers that are known, shares of time in percent."""
    from careplan import therapies

    practice = therapies.practice(therapy)
    shares = {cost.name for cost in practice.therapy.costs if cost.of == "share"} | {"in_range"}
    shares |= {band.field for band in practice.marks.bands} if practice.marks else set()
    told = metrics if isinstance(metrics, Mapping) else getattr(metrics, "__dict__", {})
    numbers = {name: value for name, value in told.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    return {name.replace("_", " "): f"{value:.4g}{' %' * (name in shares)}" for name, value in numbers.items()}


def aligned(rows: Sequence[Sequence[str]], *, left: Sequence[int] = ()) -> list[str]:
    """A line a row: the columns in `left` begin at one place, the others end at one."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    texts = []
    for row in rows:
        spaces = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        each = enumerate(zip(row, spaces, strict=True))
        texts.append("  ".join(cell + space if place in left else space + cell for place, (cell, space) in each).rstrip())
    return texts


def print_summary(
    console: Console, patient: "PatientSummary", prescribed: "Prescribed | None", targets: "Targets" = ADULTS
) -> None:
    """One patient: what is stored, the consensus metrics with their boundaries, gaps, and what is prescribed."""
    weight = "" if patient.weight is None else f", {patient.weight:.0f} kg"
    console.print(
        f"[bold]{escape(patient.patient)}[/] ({patient.group}{weight}), from {escape(patient.source)}, clock of {patient.zone}"
    )
    if patient.first and patient.last:
        console.print(
            f"{patient.days:.1f} days, {patient.first:%Y-%m-%d %H:%M} to {patient.last:%Y-%m-%d %H:%M} UTC", highlight=False
        )
    console.print(
        "Events: " + (", ".join(f"{count:,} {name}" for name, count in patient.events.items()) or "none"), highlight=False
    )
    if not _of_glucose(patient):
        _print_course(console, patient, prescribed)
        return
    dose = "not known" if patient.total_daily_dose is None else f"{patient.total_daily_dose:.1f} U"
    enough = "enough" if patient.sufficient else "[yellow]not enough[/]"
    console.print(f"Total daily dose: {dose}. Data: {enough} for a suggestion (14 days, 70 % of readings).", highlight=False)

    console.print(metrics_table(patient.metrics, targets))
    if patient.gap_count:
        table = Table(title=f"Gaps in glucose over 15 minutes: {patient.gap_count}; the longest", title_justify="left")
        table.add_column("From (UTC)")
        table.add_column("Hours", justify="right")
        for start, minutes in patient.gaps:
            table.add_row(f"{start:%Y-%m-%d %H:%M}", f"{minutes / 60:.1f}")
        console.print(table)
    if prescribed is None:
        console.print("Regimen: none stated, and too little insulin logged to estimate one.")
    else:
        console.print(regimen_table(prescribed))


def _print_course(console: Console, patient: "PatientSummary", prescribed: "Prescribed | None") -> None:
    """What another therapy says of readings, and what is in force, by its own names."""
    from careplan import therapies

    practice = therapies.practice(patient.therapy)
    channel, settings = practice.therapy.channel(practice.therapy.regulated), practice.words.settings if practice.words else {}
    table = Table(title=f"{practice.name}: readings of {channel.name}, {channel.unit}".rstrip(", "), title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    for name, value in measured(patient.metrics, patient.therapy).items():
        table.add_row(escape(name), value)
    console.print(table)
    if not patient.sufficient:
        console.print("[yellow]not enough[/] for a suggestion.")
    if prescribed is None:
        console.print("Regimen: none stated, and none can be told from the record.")
        return
    since = f", since {prescribed.valid_from:%Y-%m-%d %H:%M} UTC" if prescribed.valid_from else ""
    table = Table(title=f"Regimen ({prescribed.source}{since})", title_justify="left")
    table.add_column("Setting")
    table.add_column("In force")
    for name, slots in practice.listed(prescribed.regimen).items():
        table.add_row(escape(settings.get(name, name)), ", ".join(f"{value:g}" for _, value in slots))
    console.print(table)


def experiments_table(experiments: "Sequence[Experiment]") -> Table:
    """Each signed change that was lived with: what it was to do, and what then happened; before and after."""
    table = Table(title="Signed changes: predicted, and lived", title_justify="left")
    for name in ("Since (UTC)", "Changed", *(OUTCOMES[name] for name in experiments[0].outcomes)):
        table.add_column(name)
    for each in experiments:
        cells = [
            f"{'-' if found.predicted is None else '{:.1f} to {:.1f}'.format(*found.predicted)}\n"
            f"{found.lived[0]:.1f} to {found.lived[1]:.1f}"
            for found in each.outcomes.values()
        ]
        table.add_row(f"{each.since:%Y-%m-%d %H:%M}", escape(each.does), *cells)
    return table


OUTCOMES = {"in_range": "In range, %", "below_70": "< 70 mg/dL, %", "above_180": "> 180 mg/dL, %", "mean": "Mean, mg/dL"}


def print_night(console: Console, night: "Night") -> None:
    """What a run over many patients did, what each stage took, and what bounds it."""
    done = f"{night.changed:,} to change, {night.unchanged:,} not, {night.abstained:,} abstained"
    console.print(
        f"{night.patients:,} patients: {night.planned:,} planned ({done}), {night.skipped:,} answered already, "
        f"{len(night.failed):,} failed; {night.personalised:,} personalised anew",
        highlight=False,
    )
    if not night.stages:
        return
    table = Table("Stage", "Seconds", "of processors", "Patients a second", title_justify="left")
    for name, time in night.stages.items():
        table.add_row(name, f"{time.wall:.1f}", f"{time.processor:.1f}", f"{time.patients_a_second:.3g}")
    console.print(table)
    held = f"; at most {night.memory[0]:,.0f} MB in the first block, {night.memory[-1]:,.0f} MB in all" if night.memory else ""
    console.print(
        f"{night.patients_a_second:.3g} patients a second in {night.seconds:.0f} s, blocks of {night.block}, "
        f"bound by {night.bound_by}{held}.",
        highlight=False,
    )


def by_reason(failed: Mapping[str, str]) -> dict[str, list[str]]:
    """Patients by why they failed."""
    found: dict[str, list[str]] = {}
    for patient, reason in failed.items():
        found.setdefault(reason.replace(patient, "..."), []).append(patient)
    return found


def bands_of(targets: "Targets") -> tuple[tuple[str, str, str], ...]:
    """Each band of the metrics with its boundaries and its target."""
    levels, shares = targets.levels, targets.shares
    very_low, low, high, very_high = (f"{levels[name]:g}" for name in ("very_low", "low", "high", "very_high"))

    def most(name: str, beyond: str = "") -> str:
        return f"{beyond}< {shares[name]:g} %" if name in shares else ""

    return (
        ("very_low", f"very low, < {very_low} mg/dL", most("below_54")),
        ("low", f"low, {very_low} to < {low}", most("below_70", f"below {low} in all: ")),
        ("in_range", f"in range, {low} to {high}", f"> {shares['in_range']:g} %"),
        ("tight_range", f"tight range, {LOW:g} to {TIGHT:g}", ""),
        ("high", f"high, > {high} to {very_high}", most("above_180", f"above {high} in all: ")),
        ("very_high", f"very high, > {very_high}", most("above_250")),
    )


def metrics_table(metrics: "Metrics", targets: "Targets" = ADULTS) -> Table:
    """Consensus metrics beside the patient's targets."""
    table = Table(title=f"{metrics.readings:,} readings, {metrics.active:.1f} % of those expected", title_justify="left")
    table.add_column("Glucose")
    table.add_column("", justify="right")
    table.add_column("Target")
    for name, boundaries, target in bands_of(targets):
        table.add_row(boundaries, _percent(getattr(metrics, name)), target)
    table.add_section()
    for label, value, target in (
        ("mean, mg/dL", metrics.mean, ""),
        ("GMI, %", metrics.gmi, ""),
        ("CV, %", metrics.cv, f"<= {targets.shares['cv']:g} %" if "cv" in targets.shares else ""),
        ("GRI", metrics.gri, ""),
        ("LBGI", metrics.lbgi, ""),
        ("HBGI", metrics.hbgi, ""),
    ):
        table.add_row(label, "" if value is None else f"{value:.1f}", target)
    return table


def regimen_table(prescribed: "Prescribed") -> Table:
    """What is prescribed, by time block."""
    regimen = prescribed.regimen
    since = f", since {prescribed.valid_from:%Y-%m-%d %H:%M} UTC" if prescribed.valid_from else ""
    long_acting = f", long-acting {regimen.long_acting:g} U a day" if regimen.long_acting else ""
    table = Table(title=f"Regimen ({prescribed.source}{since}): {regimen.delivery}{long_acting}", title_justify="left")
    for name in ("From", "Basal, U/h", "Carb ratio, g/U", "Correction, mg/dL/U"):
        table.add_column(name, justify="left" if name == "From" else "right")
    for start, *values in zip(regimen.starts, regimen.basal, regimen.carb_ratio, regimen.correction_factor, strict=True):
        table.add_row(f"{start // 60:02d}:{start % 60:02d}", *(f"{value:g}" for value in values))
    return table


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} %"
