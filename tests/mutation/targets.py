"""What is mutated, and which tests are asked to notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A source file and the tests that answer for it, those that are quick first; `only` its definitions of these names."""

    path: str
    tests: tuple[str, ...]
    only: tuple[str, ...] = ()


TARGETS = {
    "safety": Target("careplan/planning/safety.py", ("tests/planning/test_limits.py", "tests/planning/test_line_limits.py")),
    "actions": Target("careplan/planning/actions.py", ("tests/planning/test_actions.py",)),
    "native": Target("careplan/planning/native.cpp", ("tests/planning/test_native.py", "tests/planning/test_search.py")),
    "glucose": Target("careplan/therapies/glucose/declaration.py", ("tests/therapies/glucose/test_declaration.py",)),
    "decisions": Target("careplan/therapies/glucose/decisions.py", ("tests/therapies/glucose/test_decisions.py",)),
    "names": Target(
        "careplan/therapies/glucose/names.py",
        ("tests/therapies/glucose/test_names.py",),
        only=("SETTINGS", "INSULIN", "raises_insulin"),
    ),
    "verdicts": Target("careplan/clinic/decisions.py", ("tests/therapies/glucose/test_decisions.py",)),
    "reviews": Target(
        "careplan/clinic/reviews.py",
        (
            "tests/clinic/test_signing_edges.py",
            "tests/clinic/test_clinics.py::test_a_viewer_looks_and_changes_nothing",
            "tests/clinic/test_reviews.py",
            "tests/clinic/test_signing.py::test_a_rate_is_held_to_the_fastest_of_the_group",
        ),
    ),
    "standing": Target(
        "careplan/clinic/standing.py",
        (
            "tests/clinic/test_standing.py",
            "tests/clinic/test_signing_edges.py",
            "tests/clinic/test_signing.py",
            "tests/clinic/test_reviews.py",
        ),
    ),
    "audit": Target("careplan/store/audit.py", ("tests/store/test_trail_edges.py", "tests/store/test_audit.py")),
    "seals": Target(
        "careplan/store/seals.py",
        (
            "tests/store/test_trail_edges.py",
            "tests/store/test_audit.py",
            "tests/store/test_postgresql.py::test_a_row_is_read_by_its_key_as_the_database_holds_it",
        ),
    ),
    "chain": Target(
        "careplan/store/verification.py",
        (
            "tests/store/test_verification.py",
            "tests/store/test_hand_edits.py",
            "tests/store/test_trail_edges.py",
            "tests/store/test_audit.py",
            "tests/store/test_attacks.py",
        ),
        only=("_walk", "_entry", "_intact", "_covers", "_names_a_row", "_compare", "_compare_batches", "_count"),
    ),
    "checks": Target(
        "careplan/store/checks.py",
        ("tests/store/test_checks.py", "tests/clinic/test_signing.py", "tests/store/test_hand_edits.py"),
    ),
    "trust": Target("careplan/world/trust.py", ("tests/world/test_trust.py",)),
    "metrics": Target("careplan/therapies/glucose/metrics.py", ("tests/therapies/glucose/test_metrics.py",)),
    "grid": Target("careplan/records/grid.py", ("tests/records/test_grid_edges.py", "tests/records/test_grid.py")),
    "basal": Target(
        "careplan/formats/nightscout/basal.py",
        (
            "tests/records/test_nightscout_basal_edges.py",
            "tests/records/test_nightscout_basal.py",
            "tests/records/test_nightscout.py",
            "tests/records/test_nightscout_kinds.py",
        ),
    ),
}
