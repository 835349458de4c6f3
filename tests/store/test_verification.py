"""What verifying finds, part by part and word by word: entries as they follow, rows as entries tell of them, batches, counts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from careplan.store import verification
from careplan.store.audit import DIFFERED, GENESIS, SEALED, digest
from careplan.store.keys import Signer, open_signer
from careplan.store.schema import AuditEntry, Draft, Event, ImportBatch, RegimenVersion, table_of
from careplan.store.seals import seal
from careplan.store.verification import Finding, Since, Walk

NOBODY = cast(Connection, None)  # no database: what it holds is given
NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
SIGNED_BY = ("id", "time", "actor", "action", "patient", "detail", "previous", "identity", "rows")
REGIMEN, DRAFT, EVENT, BATCH = (table_of(each) for each in (RegimenVersion, Draft, Event, ImportBatch))


def trail(signer: Signer, *entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the trail that follow each other, a minute apart, each signed unless it is said not to be."""
    found: list[dict[str, Any]] = []
    for number, changes in enumerate(entries, start=1):
        given = {"id": number, "time": NOW + timedelta(minutes=number), "actor": "dr", "action": "did", "patient": None}
        given |= {"detail": {}, "previous": found[-1]["hash"] if found else GENESIS, "identity": {"kind": "local"}, "rows": None}
        given |= {name: value for name, value in changes.items() if name != "signed"}
        given["hash"] = digest(AuditEntry(**{name: given[name] for name in SIGNED_BY}))
        key = changes.get("signed", True)
        found.append(
            given | {"key": signer.fingerprint if key else None, "signature": signer.sign(given["hash"]) if key else None}
        )
    return found


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return open_signer(tmp_path)


@pytest.fixture
def walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Walks rows of the trail; before: the row that was verified last."""

    def walk(
        rows: Sequence[Mapping[str, Any]],
        *,
        folder: Path | None = tmp_path,
        since: Since | None = None,
        before: Mapping[str, Any] | None = None,
    ) -> Walk:
        monkeypatch.setattr(verification, "_entries", lambda _, after: iter(rows))
        monkeypatch.setattr(verification, "read_rows", lambda *_: iter([] if before is None else [before]))
        return verification._walk(NOBODY, folder, since)

    return walk


def told(walk: Walk) -> list[tuple[int | None, str]]:
    assert all(finding.table == "audit" and finding.key == () for finding in walk.findings)
    return [(finding.entry, finding.problem) for finding in walk.findings]


LEGACY: dict[str, Any] = {"identity": None, "rows": None, "signed": False}  # of before entries were signed


def test_a_whole_trail_is_walked_to_its_end(walked: Any, signer: Signer) -> None:
    rows = trail(signer, {}, {}, {})
    walk = walked(rows)
    assert walk.findings == [] and (walk.number, walk.count, walk.head, walk.signed) == (3, 3, rows[2]["hash"], True)
    assert walk.heads == {row["id"]: row["hash"] for row in rows}


def test_entries_that_are_missing_or_have_no_number_are_told_of_once(walked: Any, signer: Signer) -> None:
    rows = trail(signer, {}, {}, {}, {})
    assert told(walked([rows[0], rows[1], rows[3]])) == [(3, "entry 3 is missing: entry 4 follows 2")]
    assert told(walked([rows[0], rows[1] | {"id": "x"}, rows[1]])) == [(2, "entry 2 is missing: entry x follows 1")]
    assert told(walked(rows[1:])) == [(1, "entry 1 is missing: entry 2 follows 0")]


def test_an_entry_follows_the_one_before(walked: Any, signer: Signer) -> None:
    rows = trail(signer, {}, {}, {"previous": "f" * 64})
    assert told(walked(rows)) == [(3, "entry 3 does not follow entry 2: its previous hash differs")]


def test_an_entry_is_as_its_hash_and_its_signature_say(walked: Any, signer: Signer) -> None:
    rows = trail(signer, {}, {})
    assert told(walked([rows[0], rows[1] | {"action": "saw"}])) == [(2, "entry 2 was changed: its hash does not match")]
    other = rows[1] | {"signature": signer.sign(rows[0]["hash"])}
    assert told(walked([rows[0], other])) == [(2, "entry 2 is not signed by a trusted key: it was forged or rewritten")]
    assert walked([rows[0], other], folder=None).findings == [], "without a folder there is nobody to trust"


@pytest.mark.parametrize(
    ("entries", "unsigned"),
    [
        ((LEGACY, LEGACY), []),
        ((LEGACY, LEGACY, {}, LEGACY), [4]),
        ((LEGACY | {"rows": [{"table": "review"}]},), [1]),
        ((LEGACY | {"identity": {"kind": "local"}},), [1]),
        (({}, LEGACY), [2]),
    ],
)
def test_after_the_first_signature_every_entry_is_signed(
    walked: Any, signer: Signer, entries: tuple[dict[str, Any], ...], unsigned: list[int]
) -> None:
    rows = trail(signer, *entries)
    assert told(walked(rows)) == [(number, f"entry {number} is not signed: it was forged") for number in unsigned]
    assert walked(rows, folder=None).findings == []


@pytest.mark.parametrize("legacy", [True, False])
def test_what_was_verified_before_says_whether_entries_are_signed(walked: Any, signer: Signer, legacy: bool) -> None:
    first, second = trail(signer, LEGACY if legacy else {}, LEGACY)
    since = Since(1, first["hash"])
    expected = [] if legacy else [(2, "entry 2 is not signed: it was forged")]
    assert told(walked([second], since=since, before=first)) == expected
    cut = (1, "entry 1 is not what was verified before: entries were cut off or rewritten")
    assert told(walked([second], since=since, before=first | {"hash": "f" * 64}))[0] == cut
    assert told(walked([second], since=since)) == [cut], "nothing before is known to be signed"


def test_times_go_forward_and_a_key_that_was_replaced_signs_no_more(
    walked: Any, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = trail(signer, {"time": NOW}, {"time": NOW}, {"time": NOW - timedelta(microseconds=1)})
    at, earlier = (time.isoformat(timespec="microseconds") for time in (NOW, NOW - timedelta(microseconds=1)))
    assert told(walked(rows)) == [(3, f"entry 3 is of {earlier}, earlier than the one before, of {at}")]
    monkeypatch.setattr(verification, "retired", lambda _: {signer.fingerprint: at})
    assert walked(rows[:2]).findings == [], "a key signs up to the moment it is replaced"
    monkeypatch.setattr(verification, "retired", lambda _: {signer.fingerprint: earlier})
    replaced = f"is signed by a key that was replaced at {earlier}"
    assert told(walked(rows[:2])) == [(1, f"entry 1 {replaced}"), (2, f"entry 2 {replaced}")]


def test_a_change_of_what_no_entry_made_is_told_of_where_all_were_walked(walked: Any, signer: Signer) -> None:
    first, second = trail(signer, {}, {"patient": "ann", "rows": [{"table": "draft", "key": [1], "op": "changed"}]})
    assert [finding.problem for finding in walked([first, second]).findings] == ["entry 2 changed this row, which no entry made"]
    assert walked([second], since=Since(1, first["hash"]), before=first).findings == []


# What an entry covers.


def covers(walk: Walk, *rows: Any, known: bool = True, number: int = 7, **changes: Any) -> list[Finding]:
    before = len(walk.findings)
    given = {"id": number, "action": "did", "patient": "ann", "detail": {}, "rows": list(rows)} | changes
    verification._covers(walk, AuditEntry(**given), known=known)
    return walk.findings[before:]


def row(table: str, key: Any, op: str) -> dict[str, Any]:
    return {"table": table, "key": [key], "op": op}


def finding(problem: str, table: str = "draft", key: Any = 1) -> Finding:
    return Finding(table=table, key=(key,), patient="ann", entry=7, problem=f"entry 7 {problem}")


def test_a_row_is_made_once_changed_and_removed_and_may_be_made_again() -> None:
    walk = Walk()
    assert covers(walk, row("draft", 1, "made"), row("draft", 2, "made")) == []
    assert covers(walk, row("draft", 1, "changed"), number=8) == []
    assert walk.seals["draft", (1,)] == ({"table": "draft", "key": [1], "op": "changed", "patient": "ann"}, 8)
    assert covers(walk, row("draft", 1, "removed")) == []
    assert set(walk.seals) == {("draft", (2,))} and walk.gone == {("draft", (1,))}
    assert covers(walk, row("draft", 1, "made")) == [] and walk.gone == set() and ("draft", (1,)) in walk.seals
    assert covers(walk, row("draft", 1, "made")) == [finding("made this row anew: the first was deleted past the trail")]
    assert walk.ops == Counter({("draft", "made"): 4, ("draft", "changed"): 1, ("draft", "removed"): 1})


def test_what_was_sealed_by_a_migration_may_be_there_already() -> None:
    walk = Walk()
    assert covers(walk, row("regimen", 1, "sealed")) == covers(walk, row("regimen", 1, "sealed")) == []
    assert set(walk.seals) == {("regimen", (1,))} and walk.ops["regimen", "sealed"] == 2


@pytest.mark.parametrize("op", ["changed", "removed"])
def test_what_no_entry_made_and_what_is_never_changed(op: str) -> None:
    assert covers(Walk(), row("draft", 1, op)) == [finding(f"{op} this row, which no entry made")]
    assert covers(Walk(), row("draft", 1, op), known=False) == []
    assert covers(Walk(), row("regimen", 1, op), known=False) == [finding(f"{op} this row, which is never done", "regimen")]
    walk = Walk()
    assert covers(walk, row("regimen", 1, "made"), row("draft", "regimen", "made")) == []
    assert covers(walk, row("draft", "regimen", op)) == []
    assert covers(walk, row("regimen", 1, op)) == [finding(f"{op} this row, which is never done", "regimen")]


def test_what_a_migration_found_changed_is_told_of_by_row_and_field() -> None:
    differed = {DIFFERED: [row("event", 3, "x") | {"fields": ["flag", "value"]}, {"table": "event"}, row("draft", 4, "x")]}
    problem = "was changed or forged before a migration sealed it in entry 7"
    assert covers(Walk(), action=SEALED, detail=differed) == [
        Finding(table="event", key=(3,), fields=("flag", "value"), entry=7, problem=problem),
        Finding(table="draft", key=(4,), entry=7, problem=problem),
    ]
    assert covers(Walk(), action="did", detail=differed) == [], "no other entry says so"
    for damaged in ({DIFFERED: 5}, ["text"], "text", {}):
        assert covers(Walk(), action=SEALED, detail=damaged) == covers(Walk(), action="did", detail=damaged) == []
    assert covers(Walk(), rows=None) == covers(Walk(), rows=7) == []


@pytest.mark.parametrize(
    ("each", "readable"),
    [
        ({"table": "draft", "key": [1, "Dr Ada"]}, True),
        ({"table": "draft", "key": []}, True),
        ({"table": "draft", "key": [1], "fields": {"a": "b"}}, True),
        ({"table": "draft", "key": [1], "fields": ["a"]}, True),
        ({"table": "draft", "key": [1], "fields": 5}, False),
        ({"table": "draft", "key": [1, {}]}, False),
        ({"table": "draft", "key": [[1], 2]}, False),
        ({"table": "draft", "key": "1"}, False),
        ({"table": "draft"}, False),
        ({"table": 5, "key": [1]}, False),
        ({"key": [1]}, False),
        (["draft", 1], False),
        (None, False),
    ],
)
def test_what_an_entry_says_of_a_row_can_be_read_or_not(each: Any, readable: bool) -> None:
    assert verification._names_a_row(each) is readable


# Rows and their seals.


def regimen(number: int, patient: str = "ann", **changes: Any) -> dict[str, Any]:
    stored = {"id": number, "patient": patient, "valid_from": NOW, "created": NOW, "source": "stated", "body": {}, "therapy": ""}
    return stored | changes


def compared(
    walk: Walk, rows: Iterable[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, *, whole: bool = True
) -> tuple[int, Any]:
    """How many rows, and the keys that were asked for."""
    asked: list[Any] = []

    def read(_: Any, table: Any, keys: Any = None) -> Iterable[dict[str, Any]]:
        assert table is REGIMEN
        asked.append(keys)
        return iter(rows)

    monkeypatch.setattr(verification, "read_rows", read)
    count = verification._compare(NOBODY, REGIMEN, walk, whole)
    return count, asked[0]


def sealed(*rows: dict[str, Any]) -> Walk:
    walk = Walk()
    for number, each in enumerate(rows, start=11):
        walk.seals["regimen", (each["id"],)] = (seal(REGIMEN, each, "made") | {"patient": each["patient"]}, number)
    walk.seals["draft", (9, "Dr Ada")] = ({}, 20)
    return walk


def test_rows_as_they_were_put_on_record_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [regimen(1), regimen(2)]
    walk = sealed(*rows)
    walk.gone = {("regimen", (5,)), ("draft", (6, "Dr Bea"))}
    assert compared(walk, rows, monkeypatch) == (2, None) and walk.findings == []
    count, asked = compared(walk, rows, monkeypatch, whole=False)
    assert count == 2 and sorted(asked) == [(1,), (2,), (5,)] and walk.findings == []


def test_a_row_that_differs_was_forged_is_there_twice_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = regimen(1), regimen(2, "bob"), regimen(3, "cyd")
    walk = sealed(first, second, third)
    rows = [first, first, second | {"source": "estimated", "therapy": "glucose"}, regimen(4, "dan")]
    assert compared(walk, rows, monkeypatch)[0] == 4
    assert walk.findings == [
        Finding(table="regimen", key=(1,), patient="ann", problem="is there more than once"),
        Finding(
            table="regimen", key=(2,), patient="bob", fields=("source", "therapy"), entry=12, problem="differs from entry 12"
        ),
        Finding(table="regimen", key=(4,), patient="dan", problem="no entry of the audit trail made this row: it was forged"),
        Finding(table="regimen", key=(3,), patient="cyd", entry=13, problem="the row that entry 13 put on record is not there"),
    ]


# Batches.


def batches(
    walk: Walk,
    held: Mapping[int, Any],
    found: Mapping[int, Mapping[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    whole: bool = True,
) -> tuple[int, Any, Any]:
    """How many batches, and those that rows and digests were asked of. held: each batch's digest as its row holds it."""
    asked: list[Any] = []

    def read(_: Any, table: Any, keys: Any = None) -> Iterable[dict[str, Any]]:
        assert table is BATCH
        asked.append(keys)
        return iter([{"id": number, "patient": "ann", "digest": digest} for number, digest in held.items()])

    def digests(_: Any, table: Any, chosen: Any = None) -> Mapping[int, Mapping[str, str]]:
        assert table is EVENT
        asked.append(chosen)
        return found

    monkeypatch.setattr(verification, "read_rows", read)
    monkeypatch.setattr(verification, "batch_digests", digests)
    count = verification._compare_batches(NOBODY, EVENT, walk, whole)
    return count, asked[0], asked[1]


def test_batches_are_those_of_the_entries_that_were_walked_or_all(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(seals={("import_batch", (3,)): ({}, 5), ("draft", (8, "Dr Ada")): ({}, 6)})
    held, found = {3: '{"glucose": "a"}', 4: {}}, {3: {"glucose": "a"}}
    assert batches(walk, held, found, monkeypatch) == (2, None, None)
    assert batches(walk, held, found, monkeypatch, whole=False) == (2, [(3,)], [3]) and walk.findings == []


def test_a_batch_whose_rows_differ_is_named_with_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk()
    held = {1: {"glucose": "a", "bolus": "b", "carbs": "c"}, 2: {"glucose": "a"}, 3: "no JSON", 4: {}}
    found = {1: {"glucose": "x", "carbs": "c", "basal": "d"}, 2: {"glucose": "a"}, 3: {"glucose": "a"}, 5: {"glucose": "a"}}
    assert batches(walk, held, found, monkeypatch)[0] == 4
    problem = "rows of this batch were changed, added or deleted: they differ from its digest by channel"
    assert walk.findings == [
        Finding(table="event", key=(1,), patient="ann", fields=("basal", "bolus", "glucose"), problem=problem),
        Finding(table="event", key=(3,), patient="ann", fields=("glucose",), problem=problem),
        Finding(table="event", key=(5,), problem="rows of batch 5, which is not there"),
    ]


# How many rows there are.


class Events:
    """A connection that counts the events of some batches, and which."""

    def __init__(self, events: int | None) -> None:
        self.events = events
        self.of: Any = None

    def scalar(self, statement: Any) -> int | None:
        self.of = next(iter(statement.compile().params.values()))
        return self.events


@pytest.mark.parametrize(
    ("now", "ops", "told"),
    [
        (5, {}, None),
        (7, {"made": 3, "removed": 1}, None),
        (7, {"made": 2}, None),
        (8, {"made": 2}, "has 1 rows more than"),
        (4, {}, "has 1 rows fewer than"),
        (5, {"made": 2}, "has 2 rows fewer than"),
        (9, {"sealed": 1}, None),
        (9, {"changed": 1}, "has 4 rows more than"),
    ],
)
def test_rows_are_as_many_as_the_entries_since_tell_of(
    now: int, ops: Mapping[str, int], told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "count", lambda *_: now)
    walk = Walk(ops=Counter({("draft", op): count for op, count in ops.items()}))
    verification._count(NOBODY, [DRAFT], walk, Since(40, "head", {"draft": 5}))
    problem = f"{told} the entries since 40 tell of: verify all of it"
    assert walk.findings == ([] if told is None else [Finding(table="draft", problem=problem)])
    unknown = Walk()
    verification._count(NOBODY, [DRAFT], unknown, Since(40, "head", {"regimen": 1}))
    assert unknown.findings == [], "how many there were is not known"


@pytest.mark.parametrize(
    ("now", "events", "ops", "told"),
    [
        (130, 30, {"made": 2}, None),
        (100, None, {}, None),
        (131, 30, {"made": 2}, "has 1 rows more than"),
        (99, 0, {}, "has 1 rows fewer than"),
        (90, 0, {"changed": 1}, None),  # a batch that was taken back
        (90, 0, {"sealed": 1}, None),
    ],
)
def test_events_are_as_many_as_those_of_the_batches_since(
    now: int, events: int | None, ops: Mapping[str, int], told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "count", lambda *_: now)
    counted = Counter({("import_batch", op): count for op, count in ops.items()})
    walk = Walk(
        ops=counted, seals={("import_batch", (3,)): ({}, 5), ("import_batch", (4,)): ({}, 6), ("draft", (8, "x")): ({}, 7)}
    )
    connection = Events(events)
    verification._count(cast(Connection, connection), [EVENT], walk, Since(40, "head", {"event": 100}))
    problem = f"{told} the entries since 40 tell of: verify all of it"
    assert walk.findings == ([] if told is None else [Finding(table="event", problem=problem)])
    assert connection.of == (None if {"changed", "sealed"} & set(ops) else [3, 4])
