"""Whatever a FHIR source holds: every resource is an event or has a line, and junk is told or refused."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from careplan.formats.fhir.reader import ABOUT, read_fhir
from careplan.records.events import RecordError
from tests.reached import reached, reaches
from tests.records.fhir_build import ATC, PATIENT, bundle, coded, given_dose, reading, units, write

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
statuses = st.sampled_from(["final"] * 6 + ["amended", "preliminary", "entered-in-error", "oops"])
moments = st.integers(0, 1439).map(lambda minute: f"{minute // 60:02d}:{minute % 60:02d}") | st.sampled_from(
    ["2024-05-02", "2024-05-02T24:10:00Z", "soon", "1901-01-01T00:00:00Z"]
)
observations = st.builds(
    reading,
    st.integers(40, 400) | st.sampled_from([6.5, "121", True, None, 1e400, -4]),
    st.sampled_from(["99504-3"] * 4 + ["105272-9", "2339-0", "9059-7", "97507-8", "8867-4"]),
    st.sampled_from(["mg/dL"] * 4 + ["mmol/L", "g", "", "ounces"]),
    moments,
    status=statuses,
    subject=st.sampled_from([{"reference": "Patient/1"}] * 5 + [{"reference": "Patient/2"}, None]),
)
doses = st.builds(
    given_dose,
    st.sampled_from([{"text": "Fiasp"}, {"text": "Tresiba"}, {"text": "insulin"}, {"text": "Aspirin"}, coded("A10AB", ATC)]),
    st.builds(units, st.integers(1, 20) | st.sampled_from([None, "x"]), st.sampled_from(["[iU]", "U", "mL", ""])),
    status=st.sampled_from(["completed"] * 4 + ["not-done", "in-progress"]),
    effectiveDateTime=moments.map(lambda at: f"2024-05-02T{at}:00Z" if len(at) == 5 else at),
)
others = st.sampled_from([{"resourceType": "Condition"}, {"resourceType": "Device", "id": "d"}, {"resourceType": 7}, "x", None])


@reaches(0.8)
@MANY
@given(resources=st.lists(observations | doses | others, max_size=25))
def test_every_resource_is_an_event_or_has_a_line(tmp_path: Path, resources: list[object]) -> None:
    sound = [reading(100 + index, at=f"2024-06-0{1 + index}T08:00:00Z") for index in range(9)]
    path = write(tmp_path / "b.json", json.dumps(bundle(PATIENT, *sound, *resources)).replace("Infinity", "1e400"))
    try:
        records = read_fhir(path, zone="Europe/Berlin")
    except RecordError as error:
        assert "values have" in error.problem or "no usable row" in error.problem
        return
    reached()
    kept = Counter(int(origin.rpartition(":")[2]) for record in records for origin in record.events["origin"])
    dropped = Counter(c.row for record in records for c in record.corrections if c.action == "dropped")
    about = {
        row
        for row, each in enumerate([PATIENT, *sound, *resources], start=1)
        if isinstance(each, dict) and each.get("resourceType") in ABOUT
    }
    every = Counter(range(1, len(resources) + 11))
    assert kept + dropped + Counter(about) == every


junk = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.just([])
    | st.just({})
    | st.just([[]])
    | st.just({"a": [0]})
)


@reaches(0.4)
@MANY
@given(data=st.data())
def test_junk_in_any_place_is_told_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content: Any = json.loads(
        json.dumps(bundle(PATIENT, reading(), given_dose({"text": "Fiasp"}, units(3)), reading(at="09:00")))
    )
    node, depth = content, data.draw(st.integers(1, 8))
    for level in range(depth):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if level == depth - 1 or not isinstance(node[key], dict | list) or not node[key]:
            node[key] = data.draw(junk)
            break
        node = node[key]
    try:
        records = read_fhir(write(tmp_path / "b.json", content))
        reached()
        assert sum(len(record.events) for record in records) >= 1
    except RecordError as error:
        assert "b.json" in str(error)
