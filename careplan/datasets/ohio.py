"""OhioT1DM: an XML file a person, with an element a kind of event (Marling & Bunescu 2020; times day first, on a wall clock).

The basal rate holds until the next, and a temporary rate wins over it. A meal's carbs stand in `meal`; a bolus repeats what was
told its wizard. The weight is a stand-in (99 in every file) and is not read. Rows are counted over the events of the file.
"""

import re
from array import array
from collections import Counter
from pathlib import Path
from xml.parsers import expat

import numpy as np
import pandas as pd

from careplan.records.blocks import Block, where
from careplan.records.clock import DateOrder, local_times, split_stamps, to_utc
from careplan.records.columns import Columns
from careplan.records.correction import Correction
from careplan.records.events import RecordError
from careplan.records.export import SENSOR, ExportRows, Part, add_cells, clocked, glucose_values, latest_of, part_of, reader
from careplan.records.pump import PumpLog
from careplan.records.text import numbers, read_text

MET_AT = (2.0, 8.0)  # MET taken for intensities 1 and 10 of the person's own scale, from light to vigorous
READ = ("glucose_level", "finger_stick", "basal", "temp_basal", "bolus", "meal", "exercise")
ATTRIBUTES = {"ts": "ts", "tbegin": "ts_begin", "ts_begin": "ts_begin", "tend": "ts_end", "ts_end": "ts_end"}
KEPT = ("ts", "ts_begin", "ts_end", "value", "dose", "type", "bwz_carb_input", "carbs", "intensity", "duration")


def recognise(head: str) -> str | None:
    """Why the first lines are those of an OhioT1DM file, or nothing."""
    found = re.search(r"<patient\s[^>]*>", head)
    if found and ("<glucose_level" in head or "insulin_type" in found[0]):
        return "its root is <patient> with OhioT1DM's elements"
    return None


class Events:
    """What the parser has met: the events of the elements that are read, and how many of the others."""

    def __init__(self, file: Path) -> None:
        self.file, self.depth, self.kind, self.count = file, 0, "", 0
        self.person = ""
        self.columns = {kind: Columns(len(KEPT)) for kind in READ}
        self.lines = {kind: array("q") for kind in READ}
        self.others: Counter[str] = Counter()
        self.first: dict[str, int] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Takes an element's beginning. Raises `RecordError` where the root is not OhioT1DM's."""
        self.depth += 1
        if self.depth == 1:
            if name != "patient":
                raise RecordError(f"expected the root <patient> of OhioT1DM, found <{name}>", file=self.file)
            self.person = attributes.get("id", "")
        elif self.depth == 2:
            self.kind = name
        elif name == "event":
            self.count += 1
            if self.kind in READ:
                said = {ATTRIBUTES.get(key, key): value.strip() for key, value in attributes.items()}
                self.columns[self.kind].add([said.get(key, "") for key in KEPT])
                self.lines[self.kind].append(self.count)
            else:
                self.others[self.kind] += 1
                self.first.setdefault(self.kind, self.count)

    def end(self, name: str) -> None:
        self.depth -= 1

    def block(self, kind: str) -> Block:
        columns = dict(zip(KEPT, self.columns.pop(kind).take(), strict=True))
        named = {key: f"{kind} {key}" for key in KEPT}
        return Block(self.file, (), named, tuple(range(len(KEPT))), columns, np.array(self.lines[kind], dtype=np.int64), ",")


def parse(file: Path) -> Events:
    """The file's events. A document type is refused: with it come entities, which can be made to grow without end. Raises
    `RecordError` where the file is not XML.
    """
    text = read_text(file)
    events, parser = Events(file), expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise RecordError("expected plain XML, found a document type", file=file)

    parser.StartDoctypeDeclHandler, parser.EntityDeclHandler = refuse, refuse
    parser.StartElementHandler, parser.EndElementHandler = events.start, events.end
    try:
        parser.Parse(re.sub(r"^\s*<\?xml[^>]*\?>", "", text).encode(), True)
    except RecordError as error:
        raise RecordError(error.problem, file=file, row=parser.CurrentLineNumber) from None
    except expat.ExpatError as error:
        raise RecordError(f"not XML: {expat.ErrorString(error.code)} (cut short?)", file=file, row=error.lineno) from error
    return events


def read_file(file: Path, zone: str, _: bool | None = None) -> Part:
    events = parse(file)
    log, rows = PumpLog(file.name), {}
    for kind in READ:
        block = events.block(kind)
        began = "ts" if kind not in ("temp_basal", "bolus") else "ts_begin"
        rows[kind] = clocked(block, local_of(block, began, file), zone, file, dated=[began])
    for kind, flag in (("glucose_level", ""), ("finger_stick", "fingerstick")):
        text = rows[kind].block.texts("value")
        value, word = glucose_values(text, SENSOR)
        rows[kind].report(text == "", "no amount", "value")
        rows[kind].add(
            text != "", "glucose", "value", value, flag=np.array([f"{flag} {said}".strip() for said in word], dtype=object)
        )
    basal(rows, log, zone, file)
    doses(rows, zone, file)
    part = part_of(file, rows.values(), "mg/dL", person=events.person)
    part.name = f"ohio-{events.person}" if re.fullmatch(r"\w+", events.person) else ""
    part.rows_read += events.others.total()
    part.ignored += events.others
    part.sheet.corrections += [not_read(file, kind, count, events.first[kind]) for kind, count in events.others.items()]
    add_cells(part, *log.cells(latest_of(rows.values())))
    return part


read_ohio = reader("ohio", read_file, patterns=("*.xml",))


def local_of(block: Block, name: str, file: Path) -> pd.Series:
    days, clocks = split_stamps(list(block.texts(name)))
    return local_times(
        days, clocks, DateOrder(always=True), file=file, row=int(block.row[0]) if len(block) else 1, field=block.written(name)
    )


def minutes_to_end(rows: ExportRows, zone: str, file: Path) -> np.ndarray:
    """`[N]` minutes from each event to its `ts_end`; NaN where it has none."""
    end, _, _ = to_utc(local_of(rows.block, "ts_end", file), zone, file=file)
    return (end - rows.time).dt.total_seconds().to_numpy() / 60.0


def basal(rows: dict[str, ExportRows], log: PumpLog, zone: str, file: Path) -> None:
    for kind in ("basal", "temp_basal"):
        mine, rate = rows[kind], numbers(rows[kind].block.texts("value"), decimal_comma=True)
        bad = ~((rate >= 0) & (rate <= 35.0))
        mine.report(bad, "out of range", "value")
        if kind == "basal":
            log.gather(log.changes, mine, ~bad, value=rate)
        else:
            minutes = minutes_to_end(mine, zone, file)
            mine.report(~bad & ~(minutes >= 0), "impossible date", "ts_end")
            sound = ~bad & (minutes >= 0)
            log.gather(
                log.temporary,
                mine,
                sound,
                value=np.nan_to_num(rate),
                share=np.zeros(len(rate), dtype=bool),
                minutes=np.nan_to_num(minutes),
            )


def doses(rows: dict[str, ExportRows], zone: str, file: Path) -> None:
    """Boluses (those named square last to their end), meals and exercise."""
    bolus, meal, exercise = rows["bolus"], rows["meal"], rows["exercise"]
    square = where(bolus.block.texts("type"), lambda word: "square" in word.lower())
    lasts = minutes_to_end(bolus, zone, file)
    filled = bolus.block.texts("dose") != ""
    bolus.report(~filled, "no amount", "dose")
    bolus.dose(
        filled,
        "bolus",
        "dose",
        numbers(bolus.block.texts("dose"), decimal_comma=True),
        duration=np.where(square & (lasts > 0), lasts, 0.0),
    )
    grams = numbers(bolus.block.texts("bwz_carb_input"), decimal_comma=True)
    told_of_meal = near(bolus.time, meal.time[amount(meal, "carbs") > 0], pd.Timedelta(minutes=60))
    alone = (grams > 0) & ~told_of_meal
    bolus.report(
        alone,
        "wizard's carbs",
        "bwz_carb_input",
        lambda i: f"{grams[i]:g} g told the wizard, and no meal within an hour: not counted",
        action="changed",
    )

    eaten = meal.block.texts("carbs") != ""
    meal.report(~eaten, "no amount", "carbs")
    meal.dose(eaten, "carbs", "carbs", amount(meal, "carbs"))
    minutes, intensity = amount(exercise, "duration"), amount(exercise, "intensity")
    exercise.report(~(minutes > 0), "no amount", "duration")
    met = np.interp(np.nan_to_num(intensity, nan=5.0), (1.0, 10.0), MET_AT)
    exercise.add(minutes > 0, "activity", "duration", met, duration=minutes)


def amount(rows: ExportRows, name: str) -> np.ndarray:
    return numbers(rows.block.texts(name), decimal_comma=True)


def near(time: pd.Series, others: pd.Series, within: pd.Timedelta) -> np.ndarray:
    """`[N]` where one of the others is within so long of a time."""
    asked = pd.DataFrame({"time": time, "place": np.arange(len(time))}).dropna().sort_values("time")
    known = pd.DataFrame({"time": others.dropna().sort_values()}).assign(near=True)
    found = pd.merge_asof(asked, known, on="time", direction="nearest", tolerance=within)
    hit = np.zeros(len(time), dtype=bool)
    hit[found["place"][found["near"].notna()]] = True
    return hit


def not_read(file: Path, kind: str, count: int, first: int) -> Correction:
    return Correction("dropped", kind, file.name, first, kind, f"{count:,} events of no channel")
