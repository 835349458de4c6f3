"""The use cases. The command line, the app and every other face call these.

What a name needs is imported when it is asked for: listing patients waits neither for torch nor for data frames.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from careplan.clinic.audits import accept_trail, replace_key, verify_audit
    from careplan.clinic.decisions import meaning_of
    from careplan.clinic.errors import ClinicError, ReviewError, UnknownPatient
    from careplan.clinic.experiments import lived_changes
    from careplan.clinic.import_history import imports, take_back
    from careplan.clinic.import_preview import PreviewedFiles, import_previewed, mismatches, previewed_people, read_files
    from careplan.clinic.importing import ImportOptions, import_declared, import_records, named_format, store_records
    from careplan.clinic.known import patient_names
    from careplan.clinic.pages import audit_trail, dose_page, review_page
    from careplan.clinic.periods import changes, compare_change, compare_periods
    from careplan.clinic.planning import plan_regimens, suggest_doses
    from careplan.clinic.queue import Job, ask, ask_again, cancel, jobs
    from careplan.clinic.regimens import load_regimen, prescribed, save_regimen
    from careplan.clinic.reviews import load_draft, save_draft, sign_review
    from careplan.clinic.sites import (
        Site,
        Source,
        forget_source,
        import_site,
        keep_source,
        read_again,
        read_site,
        site_at,
        sources,
    )
    from careplan.clinic.stored_records import load_record, load_series, patient_data_hash
    from careplan.clinic.suggestions import latest_suggestion, load_suggestion, save_suggestion
    from careplan.clinic.summaries import patients, show
    from careplan.clinic.targets import sign_targets, targets_in_force
    from careplan.clinic.timelines import happened, timeline
    from careplan.clinic.worklists import worklist
    from careplan.store import Actor, Database, StoreError, Verification, local_account, open_database

_HOME = {
    **dict.fromkeys(("accept_trail", "replace_key", "verify_audit"), "audits"),
    "meaning_of": "decisions",
    **dict.fromkeys(("ClinicError", "ReviewError", "UnknownPatient"), "errors"),
    "lived_changes": "experiments",
    **dict.fromkeys(("imports", "take_back"), "import_history"),
    **dict.fromkeys(("PreviewedFiles", "previewed_people", "mismatches", "read_files", "import_previewed"), "import_preview"),
    **dict.fromkeys(("Job", "ask_again", "ask", "cancel", "jobs"), "queue"),
    "patient_names": "known",
    **dict.fromkeys(("audit_trail", "dose_page", "review_page"), "pages"),
    **dict.fromkeys(("plan_regimens", "suggest_doses"), "planning"),
    **dict.fromkeys(("ImportOptions", "import_declared", "import_records", "named_format", "store_records"), "importing"),
    **dict.fromkeys(("load_record", "load_series", "patient_data_hash"), "stored_records"),
    **dict.fromkeys(("load_regimen", "prescribed", "save_regimen"), "regimens"),
    **dict.fromkeys(("load_draft", "save_draft", "sign_review"), "reviews"),
    **dict.fromkeys(("Site", "Source", "forget_source", "keep_source", "read_again"), "sites"),
    **dict.fromkeys(("read_site", "site_at", "sources", "import_site"), "sites"),
    **dict.fromkeys(("latest_suggestion", "load_suggestion", "save_suggestion"), "suggestions"),
    **dict.fromkeys(("patients", "show"), "summaries"),
    **dict.fromkeys(("sign_targets", "targets_in_force"), "targets"),
    **dict.fromkeys(("changes", "compare_change", "compare_periods"), "periods"),
    "happened": "timelines",
    "timeline": "timelines",
    "worklist": "worklists",
}

__all__ = [
    "Actor",
    "ClinicError",
    "Database",
    "ImportOptions",
    "Job",
    "PreviewedFiles",
    "ReviewError",
    "Site",
    "Source",
    "StoreError",
    "UnknownPatient",
    "Verification",
    "accept_trail",
    "ask",
    "ask_again",
    "audit_trail",
    "cancel",
    "changes",
    "compare_change",
    "compare_periods",
    "dose_page",
    "forget_source",
    "happened",
    "import_declared",
    "import_previewed",
    "import_records",
    "import_site",
    "imports",
    "jobs",
    "keep_source",
    "latest_suggestion",
    "lived_changes",
    "load_draft",
    "load_record",
    "load_regimen",
    "load_series",
    "load_suggestion",
    "local_account",
    "meaning_of",
    "mismatches",
    "named_format",
    "open_database",
    "patient_data_hash",
    "patient_names",
    "patients",
    "plan_regimens",
    "prescribed",
    "previewed_people",
    "read_again",
    "read_files",
    "read_site",
    "replace_key",
    "review_page",
    "save_draft",
    "save_regimen",
    "save_suggestion",
    "show",
    "sign_review",
    "sign_targets",
    "site_at",
    "sources",
    "store_records",
    "suggest_doses",
    "take_back",
    "targets_in_force",
    "timeline",
    "verify_audit",
    "worklist",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = f"careplan.clinic.{_HOME[name]}" if name in _HOME else "careplan.store"
    return getattr(import_module(home), name)
