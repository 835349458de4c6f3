"""One door to every format: what a file is, is found by looking at what is in it, never at its name alone."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path

from careplan.datasets import azt1d, ohio, shanghai, t1d_uom, uci
from careplan.formats import clarity, inr, libreview, sidiary, tandem, xdrip
from careplan.formats.carelink import reader as carelink
from careplan.formats.fhir import reader as fhir
from careplan.formats.glooko import reader as glooko
from careplan.formats.nightscout import reader as nightscout
from careplan.formats.table import reader as table
from careplan.formats.tidepool import reader as tidepool
from careplan.records.channels import DEVICE_CHANNELS
from careplan.records.correction import Correction
from careplan.records.events import PatientRecord, RecordError, Refused, shown
from careplan.records.head import head_of, seen
from careplan.records.join import join_people
from careplan.records.text import Source, check_zone
from careplan.records.unpack import Unpacked, unpacked, zipped
from careplan.records.web import Bounds, Web, base_of, is_address
from careplan.therapy import Therapy

Options = dict[str, object]
Recognise = Callable[[str], str | None]
RECORDINGS = {".csv", ".tsv", ".json", ".ndjson", ".jsonl", ".xml", ".xlsx", ".xls", ".ods", ".parquet", ".zip"}


@dataclass(frozen=True)
class Format:
    """One kind of export.

    recognise: the first 64 KiB of a file as text (`head_of`) -> why it is of this format, in words; None where it is not.
    read: a file, a folder or a list of files -> a record a person; keywords among zone, day_first, token, patient, refused.
    site: for a format that is also read from a server, a path below its address and words of which its answer there has one.
    therapy: whose channels it holds, where these are not the ones of device exports.
    """

    name: str
    recognise: Recognise
    read: Callable[..., list[PatientRecord]]
    site: tuple[str, tuple[str, ...]] | None = None
    therapy: str = ""


FORMATS: tuple[Format, ...] = (
    Format("azt1d", azt1d.recognise, azt1d.read_azt1d),
    Format("carelink", carelink.recognise, carelink.read_carelink),
    Format("clarity", clarity.recognise, clarity.read_clarity),
    Format("fhir", fhir.recognise, fhir.read_fhir, site=("metadata", ("CapabilityStatement", "OperationOutcome"))),
    Format("glooko", glooko.recognise, glooko.read_glooko),
    Format("inr", inr.recognise, inr.read_inr, therapy="warfarin"),
    Format("libreview", libreview.recognise, libreview.read_libreview),
    Format(
        "nightscout",
        nightscout.recognise,
        nightscout.read_nightscout,
        site=("api/v1/status.json", ("apiEnabled", "Invalid/Missing")),
    ),
    Format("ohio", ohio.recognise, ohio.read_ohio),
    Format("shanghai", shanghai.recognise, shanghai.read_shanghai),
    Format("sidiary", sidiary.recognise, sidiary.read_sidiary),
    Format("t1d-uom", t1d_uom.recognise, t1d_uom.read_t1d_uom),
    Format("tandem", tandem.recognise, tandem.read_tandem),
    Format("tidepool", tidepool.recognise, tidepool.read_tidepool),
    Format("xdrip", xdrip.recognise, xdrip.read_xdrip),
    Format("uci", uci.recognise, uci.read_uci),
    Format("table", table.recognise, table.read_table),
)


READERS = {kind.name: kind.read for kind in FORMATS}


@dataclass(frozen=True)
class Taken:
    """A file, the format it was taken for ("" where none fits) and why, in words."""

    file: str
    format: str
    why: str


def read(
    path_or_url: str | Path,
    *,
    format: str | None = None,
    zone: str | None = None,
    day_first: bool | None = None,
    patient: str | None = None,
    token: str | None = None,
    prefer: Sequence[str] = (),
    refused: Refused | None = None,
) -> list[PatientRecord]:
    """One record for each person in a file, a folder, a ZIP or at a server's address, whatever its formats.

    Args:
        path_or_url: What to read.
        format: One of `FORMATS`, taken at its word; by default each file's is found by looking.
        zone: The patient's clock where a source does not say.
        day_first: The order of numeric dates where a file cannot tell.
        patient: The person's name, where there is one person; that person's sources are joined.
        token: For a server.
        prefer: Sources that are believed first when they are joined.
        refused: Takes, by person or file, what cannot be read, as long as anything was; without it that raises.

    Returns:
        Records that say their `source` and `why`. A file that no format knows is a correction ("unknown file") of the first.

    Raises:
        RecordError: Two formats fit a file, a source cannot be read or trusted, or nothing was read.
    """
    if zone is not None:
        check_zone(zone, file=path_or_url)
    options: Options = {"zone": zone, "day_first": day_first, "token": token, "patient": patient}
    if is_address(path_or_url):
        kind = format_named(format) if format else at_address(str(path_or_url))
        return named(read_with(kind, str(path_or_url), "its server's answer", options, refused), patient, path_or_url)
    if format is not None and not zipped(path_or_url):
        records = named(read_with(format_named(format), path_or_url, "you said so", options, refused), patient, path_or_url)
        return records if patient is None else join_people(records, prefer=prefer)
    broken: Refused = {}
    with unpacked(path_or_url) as found:
        noted = None if refused is None else broken
        if format is not None:
            records = read_with(format_named(format), found.files, "you said so", options, noted)
        else:
            records = read_found(found, options, noted)
        records = named(records, patient, path_or_url)
        records = records if patient is None else join_people(records, prefer=prefer)
        broken = {name: found.named(error) for name, error in broken.items()}
    if refused is not None:
        refused |= broken
    return records


def read_found(found: Unpacked, options: Options, refused: Refused | None) -> list[PatientRecord]:
    """The records of every file whose format is found, with what is told of the others. Raises `RecordError` where no file has a
    format that is known.
    """
    groups, taken = sort_out(found)
    strangers = [each for each in taken if not each.format]
    if not groups:
        first = strangers[0]
        more = f"; nor is any of the {len(strangers) - 1} other files" if len(strangers) > 1 else ""
        raise RecordError(first.why + more, file=first.file)
    reasons = {each.format: each.why for each in reversed(taken)}
    by_format = {kind: read_with(kind, files, reasons[kind.name], options, refused) for kind, files in groups.items()}
    if options["patient"] is not None and options["zone"] is None:  # one person has one clock: the one that a source states
        known = {record.zone for records in by_format.values() for record in records if not clockless(record)}
        for kind, records in by_format.items():
            if len(known) == 1 and any(map(clockless, records)):
                by_format[kind] = read_with(kind, groups[kind], reasons[kind.name], {**options, "zone": min(known)}, refused)
    why = {(each.format, Path(each.file).name): each.why for each in reversed(taken)}
    records = [
        replace(record, why=next((why[record.source, name] for name in record.files if (record.source, name) in why), record.why))
        for records in by_format.values()
        for record in records
    ]
    for each in strangers:
        if refused is not None and Path(each.file).suffix.lower() in RECORDINGS:
            refused[each.file] = RecordError(each.why, file=each.file)
        elif records:
            noted = Correction("dropped", "unknown file", Path(each.file).name, 0, "", each.why)
            records[0] = replace(records[0], corrections=(*records[0].corrections, noted))
    return records


def clockless(record: PatientRecord) -> bool:
    """Whether the source does not say which zone its clock is in."""
    return any(correction.rule == "no time zone" for correction in record.corrections)


def sort_out(found: Unpacked) -> tuple[dict[Format, list[Path]], list[Taken]]:
    """Files by format, and what each file was taken for. Raises `RecordError` for a file that two formats fit."""
    groups: dict[Format, list[Path]] = {}
    taken = [Taken(name, "", error.problem) for name, error in found.unreadable.items()]
    for file in found.files:
        try:
            head = head_of(file)
        except RecordError as error:
            taken.append(Taken(found.name(file), "", error.problem))
            continue
        fits = recognise(head)
        if len(fits) > 1:
            each = " and ".join(f"{name} ({why})" for name, why in fits.items())
            raise RecordError(f"fits {each}: say which it is with format", file=file)
        if not fits:
            taken.append(Taken(found.name(file), "", f"no known format; it is {seen(head)}"))
        for name, why in fits.items():
            groups.setdefault(format_named(name), []).append(file)
            taken.append(Taken(found.name(file), name, why))
    return groups, taken


def is_of(path: Path, therapy: Therapy) -> bool:
    """Whether what is at a path is of formats that hold a therapy's channels, so that `read` takes it; other tables of it are
    known by the names of its channels. Raises `RecordError` where there is nothing at the path, or two formats fit."""
    with unpacked(path) as found:
        groups, _ = sort_out(found)
    of_devices = {channel.name for channel in DEVICE_CHANNELS} <= set(therapy.names)
    return bool(groups) and all(kind.therapy == therapy.name if kind.therapy else of_devices for kind in groups)


def recognise(head: str) -> dict[str, str]:
    """The formats that a file's first lines fit, and why each does. A table is only what no device's export claims."""
    reasons = ((kind.name, kind.recognise(head)) for kind in FORMATS)
    fits = {name: why for name, why in reasons if why}
    if len(fits) > 1:
        fits.pop("table", None)
    return fits


def format_named(name: str) -> Format:
    """The format of a name; raises `RecordError` where there is none."""
    for kind in FORMATS:
        if kind.name == name:
            return kind
    raise RecordError(f"expected a format of {', '.join(kind.name for kind in FORMATS)}", file=name)


def read_with(kind: Format, source: Source, why: str, options: Options, refused: Refused | None) -> list[PatientRecord]:
    """The records that a format's reader finds, given those of the options that it takes."""
    takes = signature(kind.read).parameters
    given = {name: value for name, value in options.items() if value is not None and name in takes}
    records = kind.read(source, refused=refused, **given)
    return [plain(replace(record, source=kind.name, why=why)) for record in records]


def plain(record: PatientRecord) -> PatientRecord:
    """The record with the texts that came with it as they may be shown and kept."""
    corrections = tuple(
        each._replace(rule=shown(each.rule), file=shown(each.file), field=shown(each.field), detail=shown(each.detail))
        for each in record.corrections
    )
    columns = {
        name: texts.map({text: shown(text) for text in texts.unique()}).astype(texts.dtype)
        for name, texts in (("product", record.events["product"]), ("origin", record.events["origin"]))
        if not all(map(str.isascii, texts.unique()))
    }
    ignored = {shown(kind): count for kind, count in record.ignored.items()}
    return replace(
        record,
        patient=shown(record.patient),
        why=shown(record.why),
        files=tuple(map(shown, record.files)),
        corrections=corrections,
        ignored=ignored,
        events=record.events.assign(**columns) if columns else record.events,
    )


def named(records: Sequence[PatientRecord], patient: str | None, source: object) -> list[PatientRecord]:
    """The records under the name given, if one is; raises `RecordError` where one source holds several people."""
    if patient is None:
        return list(records)
    people = {record.patient for record in records if record.patient != patient}
    for kind in {record.source for record in records}:
        mine = {record.patient for record in records if record.source == kind}
        if len(mine) > 1:
            raise RecordError(f"{len(people)} people ({', '.join(sorted(people)[:5])}) cannot all be {patient!r}", file=source)
    return [replace(record, patient=patient) for record in records]


def at_address(url: str) -> Format:
    """The format of the server at an address, by its answer; raises `RecordError` where it is none that is known."""
    base = re.sub(r"/(?:Patient|Observation|MedicationAdministration)(?:[/?].*)?$", "", base_of(url))
    answers = []
    with Web(base, bounds=Bounds(size=8 * 2**20, seconds=30.0, wait=15.0)) as web:
        for kind in FORMATS:
            if kind.site is None:
                continue
            path, words = kind.site
            answer = web.get(path, headers={"accept": "application/json"})
            if any(word.encode() in answer.body for word in words):
                return kind
            answers.append(f"{path} answered {answer.status}")
    raise RecordError(f"neither a Nightscout site nor a FHIR server ({', '.join(answers)}); say which with format", file=base)
