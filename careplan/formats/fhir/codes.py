"""Codes and units of FHIR that readers and writers share. docs/reference/fhir.md lists them with their names."""

from typing import Literal

from careplan.records.units import MG_PER_MMOL

LOINC, UCUM, ATC = "http://loinc.org", "http://unitsofmeasure.org", "http://www.whocc.no/atc"
SYSTEMS = {  # how code systems are written -> their usual name
    **dict.fromkeys((LOINC, "https://loinc.org", "urn:oid:2.16.840.1.113883.6.1"), LOINC),
    **dict.fromkeys((ATC, "https://www.whocc.no/atc", "urn:oid:2.16.840.1.113883.6.73"), ATC),
    "urn:iso:std:iso:11073:10101": "MDC",
    "urn:oid:2.16.840.1.113883.6.24": "MDC",
}
# careplan's own: an identifier's system, those of two tags, and that of a brand beside the class of an insulin
PATIENT, GROUP, FLAG, PRODUCT = "urn:careplan:patient", "urn:careplan:group", "urn:careplan:flag", "urn:careplan:product"
ZONE = "http://hl7.org/fhir/StructureDefinition/timezone"  # the standard extension: an IANA name, as a code

Unit = Literal["mg/dL", "mmol/L", ""]
Measured = Literal["sensor", "fingerstick", "fluid"]

SENSOR_MASS, SENSOR_MOLES, STICK_MASS, CARBS, WEIGHT = "99504-3", "105272-9", "2339-0", "9059-7", "29463-7"
MASS_IN_BLOOD = "2339-0 2340-8 2341-6 2345-7 32016-8 41651-1 41652-9 41653-7 41604-0 74774-1 1556-0 1557-8 1558-6 1521-4 53049-3"
MOLES_IN_BLOOD = "15074-8 14743-9 14749-6 14770-2 14771-0 39480-9 39481-7 51596-5 72516-8"
MDC_BLOOD = "160184 160188 160192 160196 160200 160204 160364 160368"
NO_UNIT = ("109888-8", "110939-6")  # "[Measurement]": the code says no unit

# (system, code) -> what was measured and the unit that the code itself means. "fluid": of the body, which is a sensor's where no
# laboratory measured it.
GLUCOSE: dict[tuple[str, str], tuple[Measured, Unit]] = {
    (LOINC, SENSOR_MASS): ("sensor", "mg/dL"),
    (LOINC, SENSOR_MOLES): ("sensor", "mmol/L"),
    ("MDC", "160212"): ("sensor", ""),
    (LOINC, "2344-0"): ("fluid", "mg/dL"),
    (LOINC, "14745-4"): ("fluid", "mmol/L"),
    **{(LOINC, code): ("fingerstick", "mg/dL") for code in MASS_IN_BLOOD.split()},
    **{(LOINC, code): ("fingerstick", "mmol/L") for code in MOLES_IN_BLOOD.split()},
    **{(LOINC, code): ("fingerstick", "") for code in NO_UNIT},
    **{("MDC", code): ("fingerstick", "") for code in MDC_BLOOD.split()},
}
EATEN = {(LOINC, CARBS), (LOINC, "9060-5"), ("MDC", "8417764")}
WEIGHED = {(LOINC, WEIGHT), (LOINC, "3141-9")}
CONTROL = ("MDC", "160208")  # a meter's control solution

# Of a CGM summary (HL7 CGM IG 1.0.0): no readings.
SUMMARY, RANGES, MEAN_MASS, MEAN_MOLES = "107931-8", "106793-3", "97507-8", "105273-7"
GMI, CV, WORN, ACTIVE = "97506-0", "104638-2", "104636-6", "104637-4"
IN_RANGE, LOW, VERY_LOW, HIGH, VERY_HIGH = "97510-2", "104641-6", "104642-4", "104640-8", "104639-0"
SUMMARIES = {
    *((LOINC, code) for code in (SUMMARY, RANGES, MEAN_MASS, MEAN_MOLES, GMI, CV, WORN, ACTIVE)),
    *((LOINC, code) for code in (IN_RANGE, LOW, VERY_LOW, HIGH, VERY_HIGH, "104643-2", "27353-2", "53553-4")),
}

# Units as they are written, in lower case without spaces -> what one is, in mg/dL, U, U/h, g and kg.
GLUCOSE_UNITS: dict[str, tuple[float, Unit]] = {
    **dict.fromkeys(("mg/dl", "mg/100ml", "mg%"), (1.0, "mg/dL")),
    **dict.fromkeys(("mmol/l", "mmol/dm3"), (MG_PER_MMOL, "mmol/L")),
    "g/l": (100.0, "mg/dL"),
}
DOSE_UNITS = dict.fromkeys(("[iu]", "u", "iu", "ie", "ui", "unit", "units", "{unit}", "{units}", "[usp'u]"), 1.0)
RATE_UNITS = {f"{unit}/{hour}": 1.0 for unit in DOSE_UNITS for hour in ("h", "hr", "hour")}
CARB_UNITS = {"g": 1.0, "gram": 1.0, "grams": 1.0, "mg": 0.001}
WEIGHT_UNITS = {"kg": 1.0, "g": 0.001, "[lb_av]": 0.45359237, "lb": 0.45359237, "lbs": 0.45359237}

# WHO's classes of insulin: fast ones are boluses, intermediate and long ones background; a premix (A10AD) says no shares.
FAST_ATC, BACKGROUND_ATC, INSULIN_ATC = "A10AB", ("A10AC", "A10AE"), "A10A"
