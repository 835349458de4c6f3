"""Which table of a Glooko export a file is, and which column is which, in the languages that were seen and, by order, in others.

German and English headers are of the shared demonstration exports; Dutch, Swedish, Italian and Spanish of the public code that
reads such exports. The names of the files (`cgm_data_1.csv`) and the order of the columns are the same in every language.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

# Column -> how headers write it, folded by `fold`: English, its second form, German, Dutch, Swedish, Italian, Spanish.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "time": ("timestamp", "zeitstempel", "tijdstempel", "tidstampel", "dataeora", "marcadetiempo"),
    "glucose": (
        *("cgmglucosevalue", "glucosevalue", "bgvalue", "cgmglukosewert", "glukosewert", "cgmglucosewaarde", "glucosewaarde"),
        *("cgmglukosvarde", "glukosvarde", "valoreglicemiacgm", "valoreglucosio", "valordeglucosacgm", "valordeglucosa"),
    ),
    "type": ("insulintype", "bolustype", "type", "insulintyp", "insulinetype", "tipodiinsulina", "tipodeinsulina"),
    "carbs": (
        *("carbsinput", "carbs", "carbohydrateintake", "kohlenhydrataufnahme", "kh", "invoerkoolhydraatverbruik", "koolhydraten"),
        *(
            "inmatningavkolhydrater",
            "kolhydrater",
            "consumodicarboidrati",
            "carboidrati",
            "ingestadecarbohidratos",
            "carbohidratos",
        ),
    ),
    "delivered": (
        *("insulindelivered", "deliveredinsulin", "dose", "abgegebenesinsulin", "toegediendeinsuline", "insulintillfort"),
        *("insulinaerogata", "insulinaadministrada"),
    ),
    "initial": ("initialdelivery", "anfanglicheabgabe", "eerstetoediening", "administracioninicial"),
    "extended": ("extendeddelivery", "verzogerteabgabe", "uitgebreidetoediening", "administracionextendida"),
    "duration": ("duration", "dauer", "duur", "varaktighet", "durata", "duracion"),
    "percent": ("percentage", "prozentsatz", "percentuale", "porcentaje"),
    "rate": ("rate", "basalrate", "hoeveelheid", "frekvens", "frequenza", "tasa"),
    "name": ("name", "exercisetype", "fooditem", "food", "naam", "namn", "nome", "nombre"),
    "value": ("value", "wert", "waarde", "varde", "valore", "valor"),
    "intensity": ("intensity", "intensitat", "intensiteit", "intensitet", "intensita", "intensidad"),
    "servings": ("numberofservings", "anzahlderportionen"),
}
COLUMN = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings}

# Table -> its columns in order, as every language of the first form has them.
ORDER: dict[str, tuple[str, ...]] = {
    "cgm": ("time", "glucose", "serial"),
    "bg": ("time", "glucose", "manual", "serial"),
    "bolus": ("time", "type", "input", "carbs", "ratio", "delivered", "initial", "extended", "serial"),
    "basal": ("time", "type", "duration", "percent", "rate", "delivered", "serial"),
    "carbs": ("time", "carbs"),
    "food": ("time", "name", "carbs", "fat", "protein", "energy", "serving", "servings"),
    "exercise": ("time", "name", "intensity", "duration", "energy"),
    "manual_insulin": ("time", "name", "value", "type"),
}
NEEDS: dict[str, tuple[str, ...]] = {
    "cgm": ("glucose",),
    "bg": ("glucose",),
    "bolus": ("delivered",),
    "basal": ("duration",),
    "carbs": ("carbs",),
    "food": ("carbs",),
    "exercise": ("duration",),
    "manual_insulin": ("type",),
}
OTHERS = {"alarms": "alarm", "notes": "note", "medication": "medication", "insulin": "daily total"}  # tables of no channel
NAMED = re.compile(
    r"(?:cgm_)?(cgm|bg|bolus|basal|manual_insulin|insulin|carbs|food|exercise|alarms|notes|medication)(?:_data)?(?:_\d+)?"
)
# The first line: a name, and the dates that the export spans, each after a label in the account's language.
ABOVE = re.compile(
    r"[^:]{2,20}:(?P<name>[^\t,;]*)"
    r"(?:[\t,;]\s*[^:\d]{4,30}:\s*(?P<first>\d[\d./-]+\d)\s*[-\u2013]\s*(?P<last>\d[\d./-]+\d).*)?"
)
TOTAL = re.compile("total|gesamt|totaal|totale|totalt")
SENSOR, METER = re.compile("cgm|trend|transmitter|sensor"), re.compile("meter|manu|bg|lesen|smbg|device")


def fold(header: str) -> str:
    """A header as compared: without its unit in brackets, lower case, without accents, letters and digits only."""
    plain = unicodedata.normalize("NFKD", re.sub(r"\(.*?\)", "", header)).casefold()
    return "".join(letter for letter in plain if letter.isalnum())


def is_timed(header: Sequence[str]) -> bool:
    """Whether a header begins with the column of times, in a language that is known."""
    return len(header) > 1 and COLUMN.get(fold(header[0])) == "time"


def table_of(path: Path, header: Sequence[str]) -> str | None:
    """Which table a file is: by its columns where these tell, else by its name; None where neither does."""
    named = NAMED.fullmatch(path.stem.lower().replace(" ", "_"))
    stem = named[1] if named else None
    if sum(bool(TOTAL.search(fold(text))) for text in header) >= 2:
        return "insulin"
    found = {COLUMN.get(fold(text)) for text in header}
    words = " ".join(fold(text) for text in header)
    if "glucose" in found:
        if stem in ("cgm", "bg"):
            return stem
        return "cgm" if SENSOR.search(words) else "bg" if METER.search(words) else None
    if stem is not None:
        return stem
    if "rate" in found or {"duration", "delivered"} <= found:
        return "basal"
    if "delivered" in found:
        return "bolus" if found & {"carbs", "initial", "extended"} else "manual_insulin"
    if "duration" in found and "intensity" in found:
        return "exercise"
    return "carbs" if "carbs" in found else None


def columns_of(table: str, header: Sequence[str]) -> tuple[dict[str, int], bool] | None:
    """Column -> its place in the header, and whether that is by order, the language being unknown; None where neither tells."""
    found: dict[str, int] = {}
    for place, text in enumerate(header):
        if (name := COLUMN.get(fold(text))) is not None:
            found.setdefault(name, place)
    if "time" in found and all(name in found for name in NEEDS[table]):
        return found, False
    order = ORDER[table]
    if len(order) - 1 <= len(header) <= len(order):
        return {name: place for place, name in enumerate(order[: len(header)])}, True
    return None
