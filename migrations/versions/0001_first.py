"""Everything: patients, events, regimens, suggestions, reviews and the audit trail, with the triggers that keep the record."""

import sqlalchemy as sa
from alembic import op

from migrations.guards import append_only

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)

# Tables whose rows nobody changes, with the unique keys by which INSERT OR REPLACE could delete one on SQLite.
APPEND_ONLY = {"audit": ("id",), "suggestion": ("id",), "regimen": ("id",), "review": ("id", "suggestion")}


def upgrade() -> None:
    op.create_table(
        "patient",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("group", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=True),
        sa.Column("created", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_patient"),
    )
    op.create_table(
        "import_batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("corrections", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["patient"], ["patient.id"], name="fk_import_batch_patient"),
        sa.PrimaryKeyConstraint("id", name="pk_import_batch"),
    )
    op.create_index("ix_import_batch_patient", "import_batch", ["patient"])
    op.create_table(
        "event",
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("duration", sa.Double(), nullable=False),
        sa.Column("repeat", sa.SmallInteger(), nullable=False),
        sa.Column("flag", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["patient"], ["patient.id"], name="fk_event_patient"),
        sa.ForeignKeyConstraint(["batch"], ["import_batch.id"], name="fk_event_batch"),
        sa.PrimaryKeyConstraint("patient", "channel", "time", "value", "duration", "repeat", name="pk_event"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "regimen",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("valid_from", TIME, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["patient"], ["patient.id"], name="fk_regimen_patient"),
        sa.PrimaryKeyConstraint("id", name="pk_regimen"),
    )
    op.create_index("ix_regimen_patient_valid_from", "regimen", ["patient", "valid_from"])
    op.create_table(
        "personalisation",
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("model_hash", sa.String(), nullable=False),
        sa.Column("data_hash", sa.String(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("code", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["patient"], ["patient.id"], name="fk_personalisation_patient"),
        sa.PrimaryKeyConstraint("patient", "model_hash", "data_hash", name="pk_personalisation"),
    )
    op.create_table(
        "suggestion",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["patient"], ["patient.id"], name="fk_suggestion_patient"),
        sa.PrimaryKeyConstraint("id", name="pk_suggestion"),
    )
    op.create_index("ix_suggestion_patient_created", "suggestion", ["patient", "created"])
    op.create_table(
        "draft",
        sa.Column("suggestion", sa.Integer(), nullable=False),
        sa.Column("reviewer", sa.String(), nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("decisions", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["suggestion"], ["suggestion.id"], name="fk_draft_suggestion"),
        sa.PrimaryKeyConstraint("suggestion", "reviewer", name="pk_draft"),
    )
    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("suggestion", sa.Integer(), nullable=False),
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("reviewer", sa.String(), nullable=False),
        sa.Column("signed", TIME, nullable=False),
        sa.Column("meaning", sa.String(), nullable=False),
        sa.Column("decisions", sa.JSON(), nullable=False),
        sa.Column("regimen", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["suggestion"], ["suggestion.id"], name="fk_review_suggestion"),
        sa.ForeignKeyConstraint(["patient"], ["patient.id"], name="fk_review_patient"),
        sa.ForeignKeyConstraint(["regimen"], ["regimen.id"], name="fk_review_regimen"),
        sa.PrimaryKeyConstraint("id", name="pk_review"),
        sa.UniqueConstraint("suggestion", name="uq_review_suggestion"),
    )
    op.create_index("ix_review_patient", "review", ["patient"])
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time", TIME, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("patient", sa.String(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_patient", "audit", ["patient"])

    # Alembic's batch mode drops triggers on SQLite: a migration that alters one of these tables creates them again.
    for table, keys in APPEND_ONLY.items():
        append_only(table, keys)
