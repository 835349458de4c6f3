"""What if: edits to a planned or recorded future, in words a person types. A word never decides a dose; it asks a question."""

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from careplan.errors import AskError
from careplan.therapy import Therapy

NEAR = 15.0  # minutes within which an edit replaces the recorded impulses rather than adding one

TIME = r"(?:\d{4}-\d{2}-\d{2}[ T])?\d{1,2}:\d{2}"
AMOUNT = r"(?P<value>\d+(?:\.\d+)?)"
IMPULSE = re.compile(rf"^\s*(?P<channel>\w+)\s+{AMOUNT}\s*\w*\s+at\s+(?P<at>{TIME})\s*$", re.IGNORECASE)
RATE = re.compile(
    rf"^\s*(?P<channel>\w+)\s+(?P<times>x?)\s*{AMOUNT}\s*(?:[A-Za-z]\S*)?(?:\s+from\s+(?P<at>{TIME})\s+to\s+(?P<to>{TIME}))?\s*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Set a channel to `value` (or multiply it) from row `start` up to row `end` of a future; an impulse replaces those
    near it."""

    channel: str
    value: float
    start: int
    end: int
    multiply: bool = False


def parse(text: str, *, therapy: Therapy, at: pd.Timestamp, zone: str, rows: int) -> Edit:
    """`NAME 4 at 12:30` of an impulse, `NAME 0.5 from 12:00 to 14:00` of a rate or a choice, `NAME x1.5 from 12:00 to 14:00` of
    any; without from and to it is for as long as the future lasts.

    Clock times are the patient's, at or after `at`, the first such where no date stands before. Raises `AskError`,
    which says what of the edit is wrong.
    """
    match = IMPULSE.match(text) or RATE.match(text)
    if match is None:
        raise AskError(f"what-if {text!r}: expected {' or '.join(_examples(therapy))}")
    name, value = match["channel"].lower(), float(match["value"])
    if name not in therapy.names or therapy.channel(name).role == "observation":
        given = [channel.name for channel in therapy.channels if channel.role != "observation"]
        raise AskError(f"what-if {text!r}: {name!r} is not one of {', '.join(given)}")
    channel = therapy.channel(name)
    rated, multiply = match.re is RATE, match.re is RATE and bool(match["times"])
    if not multiply and rated == (channel.form == "impulse"):
        raise AskError(
            f"what-if {text!r}: {name} is {'given at once: say at HH:MM' if rated else 'a rate: say from HH:MM to HH:MM'}"
        )
    if multiply and channel.form == "choice":
        raise AskError(f"what-if {text!r}: {name} is chosen, not multiplied")
    if not multiply and not channel.low <= value <= channel.high:
        raise AskError(f"what-if {text!r}: {value:g} {channel.unit} is outside {channel.low:g}..{channel.high:g}")
    throughout = rated and match["at"] is None
    start = 0 if throughout else _row(text, match["at"], therapy, at, zone, rows)
    end = rows if throughout else _row(text, match["to"], therapy, at, zone, rows + 1) if rated else start + 1
    if end <= start:
        raise AskError(f"what-if {text!r}: ends before it begins")
    return Edit(channel=name, value=value, start=start, end=end, multiply=multiply)


def apply(
    edits: list[Edit], values: NDArray[np.float32], mask: NDArray[np.bool_], therapy: Therapy
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The future `[T, C]` with the edits made, as new arrays."""
    values, mask = values.copy(), mask.copy()
    for edit in edits:
        column = therapy.index(edit.channel)
        if therapy.channel(edit.channel).form == "impulse" and not edit.multiply:
            reach = int(NEAR // therapy.step)
            values[max(0, edit.start - reach) : edit.start + reach + 1, column] = 0.0
        rows = slice(edit.start, edit.end)
        values[rows, column] = values[rows, column] * edit.value if edit.multiply else edit.value
        mask[rows, column] = True
    return values, mask


def _examples(therapy: Therapy) -> list[str]:
    """An edit of each kind of channel that this therapy has."""
    edited = [channel for channel in therapy.channels if channel.role != "observation"]
    impulses = [f"'{channel.name} 4 at 12:30'" for channel in edited if channel.form == "impulse"]
    rates = [channel.name for channel in edited if channel.form != "impulse"]
    spans = [f"'{name} {value} from 12:00 to 14:00'" for name in rates[:1] for value in ("0.5", "x1.5")]
    return [*impulses[:2], *spans]


def _row(text: str, clock: str, therapy: Therapy, at: pd.Timestamp, zone: str, rows: int) -> int:
    *day, time = re.split(r"[ Tt]", clock)
    hour, minute = (int(part) for part in time.split(":"))
    if hour > 23 or minute > 59:
        raise AskError(f"what-if {text!r}: {clock} is not a time of day")
    local = at.tz_convert(zone)
    try:
        midnight = pd.Timestamp(day[0]).tz_localize(zone) if day else local.normalize()
    except ValueError:
        raise AskError(f"what-if {text!r}: {day[0]} is not a day") from None
    moment = midnight + pd.Timedelta(hours=hour, minutes=minute)
    if moment < local and not day:
        moment += pd.Timedelta(days=1)
    row = math.floor((moment - local) / pd.Timedelta(minutes=therapy.step))
    if not 0 <= row < rows:
        last = local + pd.Timedelta(minutes=therapy.step * (rows - 1))
        shown = "%Y-%m-%d %H:%M" if day or last - local > pd.Timedelta(days=1) else "%H:%M"
        raise AskError(f"what-if {text!r}: {clock} is not between {local:{shown}} and {last:{shown}}, the hours forecast")
    return row
