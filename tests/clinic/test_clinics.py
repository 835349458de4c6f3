"""Nobody reads, searches, counts, plans for or decides about a patient of another clinic, by any use case, on both databases."""

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from careplan import clinic
from careplan.clinic import (
    ask,
    ask_again,
    audit_trail,
    cancel,
    dose_page,
    forget_source,
    import_previewed,
    imports,
    jobs,
    keep_source,
    latest_suggestion,
    load_draft,
    load_record,
    load_regimen,
    load_series,
    load_suggestion,
    mismatches,
    patient_data_hash,
    patient_names,
    patients,
    prescribed,
    previewed_people,
    read_again,
    review_page,
    save_draft,
    save_regimen,
    save_suggestion,
    show,
    sign_review,
    site_at,
    sources,
    store_records,
    take_back,
    worklist,
)
from careplan.clinic.forecasts import forecast_patient
from careplan.clinic.import_preview import PreviewedFiles
from careplan.clinic.overnight import Asked, plan_everyone
from careplan.clinic.people import personalised
from careplan.clinic.planning import plan_regimens, suggest_doses
from careplan.clinic.recordings import read_recording
from careplan.clinic.roles import Forbidden, assign, may
from careplan.clinic.views import WorklistQuery
from careplan.clinic.what_ifs import another_day, open_bench
from careplan.store import Actor, Database, StoreError, open_database, read_events
from careplan.suggestion import Decision
from careplan.therapies.glucose.world import open_world

from ..kept import verified
from ..store.conftest import postgresql, postgresql_url  # noqa: F401  (fixtures)
from .build import REGIMEN, line, record, suggestion

OURS, THEIRS = "north", "south"
EVE = Actor(
    kind="identity provider",
    name="Eve",
    issuer="https://clinic.example",
    subject="eve",
    roles=frozenset({"viewer", "clinician", "researcher", "administrator"}),
    clinics=frozenset({THEIRS}),
)
DECIDED = [Decision(key=line().key, verdict="accept", value=line().proposed)]


@pytest.fixture(params=["sqlite", "postgresql"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """ann is of the north, with a suggestion, a draft, an import and a job; bob of the south, with nothing but a day."""
    if request.param == "postgresql":
        db: Database = request.getfixturevalue("postgresql")
    else:
        db = open_database(str(tmp_path / "store.db"))
    store_records(db.of(OURS), "table", [record("ann", days=2)])
    store_records(db.of(THEIRS), "table", [record("bob", days=1)])
    save_suggestion(db, suggestion(line()))
    save_draft(db, 1, DECIDED, EVE)
    ask(db, ["ann"], "regimen", actor=EVE)
    keep_source(db, "ann", site_at("https://ann.example", "secret"))
    yield db
    assert verified(db).problem is None
    if request.param == "sqlite":
        db.close()


def ours(db: Database) -> str:
    """The import that brought ann in."""
    return next(each.run for each in imports(db) if "ann" in each.events)


Try = Callable[[Database, Database], Any]
DAY_ONE = (datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC))
REFUSED: dict[str, Try] = {
    "ask_again": lambda db, whole: ask_again(db, 1, actor=EVE),
    "ask": lambda db, whole: ask(db, ["ann"], "doses", actor=EVE),
    "cancel": lambda db, whole: cancel(db, 1),
    "dose_page": lambda db, whole: dose_page(db, "ann", actor=EVE),
    "mismatches": lambda db, whole: mismatches(db, PreviewedFiles((record("x", days=1),), {}), 0, "ann"),
    "latest_suggestion": lambda db, whole: latest_suggestion(db, "ann"),
    "load_draft": lambda db, whole: load_draft(db, 1, EVE),
    "load_record": lambda db, whole: load_record(db, "ann"),
    "load_regimen": lambda db, whole: load_regimen(db, "ann"),
    "load_series": lambda db, whole: load_series(db, "ann"),
    "load_suggestion": lambda db, whole: load_suggestion(db, 1),
    "patient_data_hash": lambda db, whole: patient_data_hash(db, "ann"),
    "prescribed": lambda db, whole: prescribed(db, "ann"),
    "review_page": lambda db, whole: review_page(db, "ann", actor=EVE),
    "save_draft": lambda db, whole: save_draft(db, 1, [], EVE),
    "save_regimen": lambda db, whole: save_regimen(db, "ann", REGIMEN),
    "save_suggestion": lambda db, whole: save_suggestion(db, suggestion(line())),
    "show": lambda db, whole: show(db, "ann"),
    "sign_review": lambda db, whole: sign_review(db, 1, DECIDED, EVE, "prescribe as proposed"),
    "take_back": lambda db, whole: take_back(db, ours(whole), reason="mine"),
    "assign": lambda db, whole: assign(db, ["ann"], THEIRS, reason="mine", actor=EVE),
    "forecast_patient": lambda db, whole: forecast_patient(db, "ann", open_world()),
    "personalised": lambda db, whole: personalised(db, ["ann"], open_world()),
    "plan_regimens": lambda db, whole: plan_regimens(db, ["ann"], open_world()),
    "suggest_doses": lambda db, whole: suggest_doses(db, ["ann"], open_world()),
    "read_recording": lambda db, whole: read_recording(db, "ann"),
    "open_bench": lambda db, whole: open_bench(db, "ann"),
    "lived_changes": lambda db, whole: clinic.lived_changes(db, "ann"),
    "forget_source": lambda db, whole: forget_source(db, "ann", "https://ann.example", actor=EVE),
    "keep_source": lambda db, whole: keep_source(db, "ann", site_at("https://ann.example", "secret"), actor=EVE),
    "read_again": lambda db, whole: read_again(db, "ann", actor=EVE),
    "changes": lambda db, whole: clinic.changes(db, "ann"),
    "compare_change": lambda db, whole: clinic.compare_change(db, "ann", actor=EVE),
    "compare_periods": lambda db, whole: clinic.compare_periods(db, "ann", DAY_ONE, DAY_ONE, actor=EVE),
    "sign_targets": lambda db, whole: clinic.sign_targets(db, "ann", preset="older", reason="mine", actor=EVE),
    "targets_in_force": lambda db, whole: clinic.targets_in_force(db, "ann"),
    "timeline": lambda db, whole: clinic.timeline(db, "ann", actor=EVE),
    "another_day": lambda db, whole: another_day(db, "ann", pd.Timestamp("2024-03-02 08:00"), "bolus", 1.0),
}
UNNAMED = {  # use cases about no patient that is stored: what they give holds nothing of ann (`test_nothing_is_listed`)
    *("accept_trail", "previewed_people", "audit_trail", "imports", "import_records", "jobs", "named_format", "open_database"),
    *("import_declared", "happened"),
    *("patient_names", "patients", "read_files", "replace_key", "store_records", "import_previewed", "verify_audit", "worklist"),
    *("local_account", "meaning_of", "read_site", "site_at", "sources", "import_site"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_patient_of_another_clinic_is_not_there(whole: Database, name: str) -> None:
    entries = len(audit_trail(whole, limit=1000))
    with pytest.raises((clinic.ClinicError, StoreError, ValueError)) as refused:
        REFUSED[name](whole.of(THEIRS), whole)
    assert "table" not in str(refused.value) and "140" not in str(refused.value)
    assert len(audit_trail(whole, limit=1000)) == entries, "nothing was written, and no read was made"
    assert latest_suggestion(whole, "ann") is not None and load_draft(whole, 1, EVE) == tuple(DECIDED)


def test_every_use_case_is_tried() -> None:
    cases = {name for name in clinic.__all__ if inspect.isfunction(getattr(clinic, name))}
    assert cases - REFUSED.keys() - UNNAMED == set()


def test_nothing_is_listed_found_or_counted(whole: Database) -> None:
    south = whole.of(THEIRS)
    assert patient_names(south) == ["bob"]
    assert [one.patient for one in patients(south)] == ["bob"]
    page = worklist(south, actor=EVE)
    assert ([row.patient for row in page.rows], page.found, page.statuses) == (["bob"], 1, {"not planned": 1})
    assert worklist(south, WorklistQuery(find="ann")).found == 0
    assert jobs(south) == [] and jobs(south, patient="ann") == []
    assert [list(each.events) for each in imports(south)] == [["bob"]]
    assert {entry.patient for entry in audit_trail(south, limit=1000)} <= {"bob", None}
    assert audit_trail(south, "ann") == [] and sources(south) == sources(south, "ann") == []
    [arrival] = previewed_people(south, PreviewedFiles((record("ann", days=1),), {}))
    assert not arrival.known
    with pytest.raises(clinic.UnknownPatient) as refused:
        show(south, "ann")
    assert str(refused.value).endswith("it holds bob")


def test_a_night_plans_for_nobody_else(whole: Database) -> None:
    night = plan_everyone(whole.of(THEIRS), ["ann"], open_world(), Asked(kind="regimen"))
    assert night.planned == 0 and list(night.failed) == ["ann"]


def test_a_name_that_another_clinic_has_cannot_be_added_and_joins_nothing(whole: Database) -> None:
    south = whole.of(THEIRS)
    before = len(load_record(whole, "ann").events)
    report = import_previewed(south, PreviewedFiles((record("ann", days=3),), {}), {0: "ann"}, actor=EVE, add=frozenset())
    assert "cannot be added under this name" in report.failed["ann"]
    assert "cannot be added" in store_records(south, "table", [record("ann", days=3)], merge=True).failed["ann"]
    assert len(load_record(whole, "ann").events) == before
    with south.read() as session, pytest.raises(StoreError):
        read_events(session, "ann")


def test_a_new_patient_belongs_to_the_clinic_and_moves_on_record(whole: Database) -> None:
    store_records(whole.of(OURS), "table", [record("cyd", days=1)])
    assert patient_names(whole.of(OURS)) == ["ann", "cyd"] and patient_names(whole.of(THEIRS)) == ["bob"]
    assign(whole, ["cyd"], THEIRS, reason="moved house")
    assert patient_names(whole.of(THEIRS)) == ["bob", "cyd"] and patient_names(whole.of(OURS)) == ["ann"]
    [entry] = [each for each in audit_trail(whole, "cyd") if each.action == "clinic changed"]
    assert (entry.detail["before"], entry.detail["after"], entry.detail["reason"]) == (OURS, THEIRS, "moved house")


VIEWER = Actor(kind="identity provider", name="Vic", issuer="i", subject="vic", roles=frozenset({"viewer"}))


@pytest.mark.parametrize(
    "work",
    [
        lambda db: save_draft(db, 1, DECIDED, VIEWER),
        lambda db: sign_review(db, 1, DECIDED, VIEWER, "prescribe as proposed"),
        lambda db: ask(db, ["ann"], "doses", actor=VIEWER),
        lambda db: take_back(db, ours(db), reason="why", actor=VIEWER),
        lambda db: import_previewed(db, PreviewedFiles((record("new", days=1),), {}), {0: "new"}, actor=VIEWER, add=frozenset()),
        lambda db: assign(db, ["ann"], THEIRS, reason="why", actor=VIEWER),
        lambda db: clinic.sign_targets(db, "ann", preset="older", reason="why", actor=VIEWER),
    ],
)
def test_a_viewer_looks_and_changes_nothing(whole: Database, work: Callable[[Database], object]) -> None:
    assert review_page(whole, "ann", actor=VIEWER).suggestion is not None
    with pytest.raises(Forbidden, match="role of"):
        work(whole)


def test_an_account_of_the_machine_may_do_everything() -> None:
    assert may(clinic.local_account(), ("administrator",))
