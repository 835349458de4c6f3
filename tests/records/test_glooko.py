"""Glooko's exports, in both English forms and in other languages: what was given comes out, and every row is accounted for."""

import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from careplan.formats.glooko.columns import columns_of, table_of
from careplan.records import PatientRecord, RecordError, Refused, read
from careplan.records.units import MG_PER_MMOL

QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ENGLISH = {
    "cgm_data_1": "Timestamp,CGM Glucose Value (mg/dl),Serial Number",
    "bg_data_1": "Timestamp,Glucose Value (mg/dl),Manual Reading,Serial Number",
    "bolus_data_1": "Timestamp,Insulin Type,Blood Glucose Input (mg/dl),Carbs Input (g),Carbs Ratio,Insulin Delivered (U),"
    "Initial Delivery (U),Extended Delivery (U),Serial Number",
    "basal_data_1": "Timestamp,Insulin Type,Duration (minutes),Percentage (%),Rate,Insulin Delivered (U),Serial Number",
    "carbs_data_1": "Timestamp,Carbs (g)",
    "exercise_data_1": "Timestamp,Name,Intensity,Duration (minutes),Calories Burned",
    "food_data_1": "Timestamp,Name,Carbs (g),Fat,Protein,Calories,Serving Size,Number of Servings",
    "insulin_data_1": "Timestamp,Total Bolus (U),Total Insulin (U),Total Basal (U),Serial Number",
    "manual_insulin_data_1": "Timestamp,Name,Value,Insulin Type",
    "alarms_data_1": "Timestamp,Alarm/Event,Serial Number",
}


def written(folder: Path, tables: dict[str, list[str]], *, above: str = "Name:Anna,Date Range:2024-03-01 - 2024-03-31") -> Path:
    """Tables of rows, each with its header first, in a folder as the export lays it out."""
    for name, lines in tables.items():
        place = folder / ("Insulin data" if name.split("_")[0] in ("bolus", "basal", "insulin") else "")
        place.mkdir(exist_ok=True, parents=True)
        (place / f"{name}.csv").write_text("\n".join([above, *lines]) + "\n", encoding="utf-8")
    return folder


def english(**rows: list[str]) -> dict[str, list[str]]:
    return {f"{name}_data_1": [ENGLISH[f"{name}_data_1"], *lines] for name, lines in rows.items()}


def rules(record: PatientRecord) -> Counter[str]:
    return Counter(correction.rule for correction in record.corrections)


def of(record: PatientRecord, channel: str) -> list[tuple[str, float, float, str]]:
    mine = record.events[record.events["channel"] == channel]
    return [
        (f"{t:%H:%M}", round(v, 3), round(d, 3), f)
        for t, v, d, f in mine[["time", "value", "duration", "flag"]].itertuples(index=False)
    ]


def test_english_and_what_a_pump_did(tmp_path: Path) -> None:
    tables = english(
        cgm=["2024-03-05 08:00:00,120,X", "2024-03-05 08:05:00,Low,X", "2024-03-05 08:10:00,2001,X", "2024-03-05 08:15:00,1,X"],
        bg=["2024-03-05 08:02:00,118,,Y"],
        bolus=[
            "2024-03-05 09:00:00,Normal,0,40,10,4.0,4.0,0.0,P",
            "2024-03-05 10:00:00,Combination,0,0,,5.0,2.0,3.0,P",
            "2024-03-05 11:00:00,Automatic,0,0,,0.3,,,P",
            "2024-03-05 12:00:00,Combination,0,0,,2.5,2.0,3.0,P",
            "2024-03-05 13:00:00,Normal,0,0,,0,0,0,P",
        ],
        basal=[
            "2024-03-05 08:00:00,Scheduled,60,100,0.8,0.8,P",
            "2024-03-05 09:00:00,Temporary,30,50,0.8,0.2,P",
            "2024-03-05 09:30:00,Suspend,15,,,,P",
            "2024-03-05 09:45:00,Automated,5,,0.6,,P",
        ],
        insulin=["2024-03-05 23:59:00,7.2,24.2,17.0,P"],
        food=["2024-03-05 19:00:00,Bread,30,1,2,150,slice,2"],
        manual_insulin=[
            "2024-03-05 22:00:00,Lantus,14,Long Acting",
            "2024-03-05 22:05:00,NovoMix 30,10,Premixed",
            "2024-03-05 22:06:00,,3,Rapid Acting",
            "2024-03-05 22:07:00,Zzz,3,Other",
        ],
        alarms=["2024-03-05 03:00:00,Low battery,P"],
        exercise=["2024-03-05 18:00:00,Bike,High,45,300"],
    )
    [record] = read(written(tmp_path, tables), zone="Europe/Rome")
    assert of(record, "glucose") == [
        ("07:00", 120, 0, ""),
        ("07:02", 118, 0, "fingerstick"),
        ("07:05", 40, 0, "low"),
        ("07:10", 400, 0, "high"),
        ("07:15", 40, 0, "low"),
    ]
    assert of(record, "bolus") == [
        ("08:00", 4.0, 0, ""),
        ("09:00", 2.0, 0, ""),
        ("09:00", 3.0, 120, ""),
        ("10:00", 0.3, 0, "automatic"),
        ("11:00", 2.0, 0, ""),
        ("11:00", 0.5, 120, ""),
        ("21:05", 3.0, 0, ""),
        ("21:06", 3.0, 0, ""),
    ]
    assert of(record, "basal") == [
        ("07:00", 0.8, 60, ""),
        ("08:00", 0.4, 30, ""),
        ("08:30", 0.0, 15, ""),
        ("08:45", 0.6, 5, "automatic"),
    ]
    assert of(record, "carbs") == [("08:00", 40, 0, ""), ("18:00", 30, 0, "")]
    assert of(record, "long_acting") == [("21:00", 14, 0, ""), ("21:05", 7, 0, "")]
    assert of(record, "activity") == [("17:00", 7.0, 45, "")]
    assert rules(record) == {
        "extended bolus": 2, "contradicting parts": 1, "nothing given": 1, "rate against delivery": 1, "daily total": 1,
        "servings": 1, "unknown insulin": 1, "alarm": 1,
    }  # fmt: skip
    assert record.ignored == {"daily total": 1, "alarm": 1}
    assert set(record.events["product"]) == {"", "Lantus", "NovoMix 30"}


LANGUAGES = {
    "de": (
        "Name:Anna,Datumsbereich:01.03.2024 - 31.03.2024",
        "Zeitstempel,CGM-Glukosewert (mg/dl),Seriennummer",
        "Zeitstempel,Insulin-Typ,Blutzuckereingabe (mg/dl),Kohlenhydrataufnahme (g),Kohlenhydratverhältnis,"
        "Abgegebenes Insulin (E),Anfängliche Abgabe (E),Verzögerte Abgabe (E),Seriennummer",
        "05.03.2024 08:00",
    ),
    "nl": (
        "Naam:Anna,Datumbereik:01-03-2024 - 31-03-2024",
        "Tijdstempel,CGM-glucosewaarde (mg/dl),Serienummer",
        "Tijdstempel,Insulinetype,Invoer bloedglucose (mg/dl),Invoer koolhydraatverbruik (g),Koolhydraatratio,"
        "Toegediende insuline (eenh.),Eerste toediening (eenh.),Uitgebreide toediening (eenh.),Serienummer",
        "05-03-2024 08:00",
    ),
    "sv": (
        "Namn:Anna,Datumintervall:2024/03/01 - 2024/03/31",
        "Tidstämpel,CGM-glukosvärde (mg/dl),Serienummer",
        "Tidstämpel,Insulintyp,Blodsocker (mg/dl),Inmatning av kolhydrater (g),Kvot,Insulin tillfört (enh.),Initialt,Förlängt,Nr",
        "2024/03/05 08:00",
    ),
    "it": (
        "Nome:Anna,Intervallo di date:01/03/2024 - 31/03/2024",
        "Data e ora,Valore glicemia CGM (mg/dl),Numero di serie",
        "Data e ora,Tipo di insulina,Immissione glicemia (mg/dl),Consumo di carboidrati (g),Rapporto,Insulina erogata (U),"
        "Erogazione iniziale (U),Erogazione prolungata (U),Numero di serie",
        "05/03/2024 08:00",
    ),
    "es": (
        "Nombre:Anna,Intervalo de fechas:01/03/2024 - 31/03/2024",
        "Marca de tiempo,Valor de glucosa CGM (mg/dl),Número de serie",
        "Marca de tiempo,Tipo de insulina,Entrada valor de glucemia (mg/dl),Ingesta de carbohidratos (g),Índice de carbohidratos,"
        "Insulina administrada (U),Administración inicial (U),Administración extendida (U),Número de serie",
        "05/03/2024 08:00",
    ),
    "unknown": (
        "Imię:Anna,Zakres dat:01.03.2024 - 31.03.2024",
        "Znacznik czasu,Wartość glukozy CGM (mg/dl),Numer seryjny",
        "Znacznik czasu,Typ insuliny,Glukoza (mg/dl),Węglowodany (g),Wskaźnik,Podana insulina (j.),Początkowa (j.),"
        "Przedłużona (j.),Nr",
        "05.03.2024 08:00",
    ),
}


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_a_language_decimal_commas_and_its_dates(tmp_path: Path, language: str) -> None:
    above, cgm, bolus, stamp = LANGUAGES[language]
    tables = {
        "cgm_data_1": [cgm, f'{stamp},"137,0",CamAPS'],
        "bolus_data_1": [bolus, f'{stamp},Normal,"0,0","50,5",,"4,25","4,25",,CamAPS'],
        "alarms_data_1": ["Znacznik czasu,Alarm,Nr"],
    }
    [record] = read(written(tmp_path, tables, above=above), zone="UTC")
    assert f"{record.events['time'].iloc[0]:%Y-%m-%d %H:%M}" == "2024-03-05 08:00"
    assert (of(record, "glucose"), of(record, "bolus")) == ([("08:00", 137, 0, "")], [("08:00", 4.25, 0, "")])
    assert of(record, "carbs") == [("08:00", 50.5, 0, "")]
    assert rules(record) == ({"columns by order": 2} if language == "unknown" else {})


def test_the_second_english_form_alone_and_without_a_line_above(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_text(
        "Timestamp\tGlucose Value (mmol/L)\tTrend Arrow\tTransmitter ID\n2024-03-05 08:00:00\t5.5\tFlat\tX\n"
    )
    [record] = read(tmp_path / "export.csv", zone="UTC")
    assert record.patient == "glooko-export" and of(record, "glucose") == [("08:00", round(5.5 * MG_PER_MMOL, 3), 0, "")]
    above = "Name:A\tDate Range:2024-03-01 - 2024-03-31\n"
    header = "Timestamp\tBolus Type\tDose (units)\tCarbs (g)\tNotes\n"
    (tmp_path / "b.csv").write_text(f"{above}{header}2024-03-05 08:00:00\tNormal\t1.2\t10\tMeal\n")
    [record] = read(tmp_path / "b.csv", zone="UTC")
    assert (of(record, "bolus"), of(record, "carbs")) == ([("08:00", 1.2, 0, "")], [("08:00", 10, 0, "")])
    header = "Timestamp\tBasal Rate (units/hr)\tDuration (min)\tType\n"
    (tmp_path / "c.csv").write_text(f"{above}{header}2024-03-05 08:00:00\t0.47\t5\tScheduled\n")
    [record] = read(tmp_path / "c.csv", zone="UTC")
    assert of(record, "basal") == [("08:00", 0.47, 5, "")]


def test_two_people_in_a_folder_and_one_refused(tmp_path: Path) -> None:
    written(tmp_path / "anna", english(cgm=["2024-03-05 08:00:00,120,X"], bolus=["2024-03-05 08:00:00,N,0,0,,1,1,0,P"]))
    above = "Name:Bob,Date Range:2024-03-01 - 2024-03-31"
    written(
        tmp_path / "bob", {"cgm_data_1": ["Timestamp,CGM Glucose Value (mg/dl),S", "2024-03-05 08:00:00,soon,X"]}, above=above
    )
    refused: Refused = {}
    [record] = read(tmp_path, zone="UTC", refused=refused)
    assert record.patient == "glooko-anna" and len(record.events) == 2
    assert "no usable row" in str(refused["glooko-bob"])
    ambiguous = "Name:Cid"
    written(
        tmp_path / "cid",
        {
            "cgm_data_1": [
                "Timestamp,CGM Glucose Value (mg/dl),S",
                "04/03/2024 08:00,100,X",
                "03/04/2024 08:00,100,X",
                "05/03/2024 08:00,100,X",
            ]
        },
        above=ambiguous,
    )
    with pytest.raises(RecordError, match="day first or month first"):
        read(tmp_path / "cid")
    with pytest.raises(RecordError, match="cannot be told"):
        (tmp_path / "x").mkdir()
        read(written(tmp_path / "x", {"values": ["Timestamp,Glucose Value (mg/dl)", "2024-03-05 08:00:00,100"]}))


def test_tables_are_told_by_their_columns() -> None:
    for name, header in ENGLISH.items():
        kind = name.removesuffix("_data_1")
        assert table_of(Path("export.csv"), header.split(",")) in (kind, None) or kind in ("food", "alarms", "manual_insulin")
        assert table_of(Path(f"{name}.csv"), header.split(",")) == kind
    assert columns_of("cgm", ["Aika", "Glukoosi"]) == ({"time": 0, "glucose": 1}, True)
    assert columns_of("bolus", ["Aika", "Glukoosi"]) is None


cell = st.sampled_from(["", "0", "1.5", "4", "-2", "x", "0,5", "99"])
rows = {
    "cgm": st.tuples(st.sampled_from(["100", "250", "Low", "1", "", "x"]), st.just("S")),
    "bolus": st.tuples(st.sampled_from(["Normal", "Auto"]), st.just(""), cell, st.just(""), cell, cell, cell, st.just("P")),
    "basal": st.tuples(st.sampled_from(["Scheduled", "Suspend"]), cell, st.just(""), cell, cell, st.just("P")),
    "food": st.tuples(st.just("Bread"), cell, *[st.just("")] * 4, cell),
    "manual_insulin": st.tuples(st.sampled_from(["Lantus", "", "NovoMix 30"]), cell, st.sampled_from(["", "Rapid"])),
    "exercise": st.tuples(st.just("Run"), st.just("High"), cell, st.just("")),
    "alarms": st.tuples(st.just("beep"), st.just("P")),
}


@pytest.mark.timeout(600)
@QUICK
@given(st.fixed_dictionaries({name: st.lists(row, max_size=6) for name, row in rows.items()}))
def test_every_row_is_an_event_or_told(tmp_path: Path, tables: dict[str, list[tuple[str, ...]]]) -> None:
    sound = {"cgm": ["100", "S"], "bolus": ["N", "", "20", "", "2", "2", "0", "P"], "basal": ["S", "5", "100", "0.8", "", "P"]}
    lines = {}
    for name, given_rows in tables.items():
        whole = [*map(list, given_rows), *([sound[name]] * 40 if name in sound else [])]
        lines[name] = [
            ",".join([f"2024-03-{5 + n // 280:02} {n // 12 % 24:02}:{n % 12 * 5:02}:00", *(f'"{c}"' for c in row)])
            for n, row in enumerate(whole)
        ]
    folder = written(tmp_path, english(**lines))
    try:
        [record] = read(folder, zone="UTC")
    except RecordError as error:
        event("refused")
        assert "data_1.csv" in str(error)
        return
    event("read")
    gave = set(record.events["origin"])
    dropped = {f"{c.file}:{c.row}" for c in record.corrections if c.action == "dropped" and c.rule not in record.ignored}
    assert record.rows_read == sum(map(len, lines.values()))
    assert len(gave | dropped) + sum(record.ignored.values()) == record.rows_read


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("anja", {"basal": 7798, "bolus": 390, "carbs": 44, "glucose": 13772}),
        ("joshua", {"basal": 7662, "bolus": 358, "carbs": 296, "glucose": 13385}),
        ("stefan", {"basal": 7889, "bolus": 371, "carbs": 101, "glucose": 11881}),
    ],
)
def test_the_shared_demonstration_exports(data: Path, name: str, counts: dict[str, int]) -> None:
    path = data / "device_exports" / "glooko" / f"{name}-demo-data.zip"
    [record] = read(path, zone="Europe/Berlin")
    assert record.events["channel"].value_counts().to_dict() == counts
    assert record.events.loc[record.events["channel"] == "basal", "value"].max() < 3
    with zipfile.ZipFile(path) as archive:
        lines = sum(len(archive.read(each).splitlines()) - 2 for each in archive.namelist())
    assert record.rows_read == lines


def test_windows_letters_and_a_meters_limits(tmp_path: Path) -> None:
    tables = {"cgm_data_1": "120", "bg_data_1": "Hi"}
    for name, value in tables.items():
        lines = ["Name:M\u00fcller,Date Range:2024-03-01 - 2024-03-31", ENGLISH[name], f"2024-03-13 08:00,{value},", ""]
        (tmp_path / f"{name}.csv").write_bytes("\n".join(lines).encode("cp1252"))
    (tmp_path / "bg_data_2.csv").write_bytes((tmp_path / "bg_data_1.csv").read_bytes().replace(b"08:00,Hi", b"09:00,Lo"))
    [record] = read(tmp_path, zone="UTC")
    assert sorted(record.events[["value", "flag"]].itertuples(index=False, name=None)) == [
        (20.0, "fingerstick low"),
        (120.0, ""),
        (600.0, "fingerstick high"),
    ]
