"""Targets are the patient's: what was signed, version by version. Whoever has none is treated to the default of their group."""

import sqlalchemy as sa
from alembic import op

from migrations.guards import append_only, needs_entry

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "targets",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("therapy", sa.String(), nullable=False),
        sa.Column("signed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signer", sa.String(), nullable=False),
        sa.Column("identity", sa.JSON(), nullable=False),
        sa.Column("preset", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["patient"], ["patient.id"], name=op.f("fk_targets_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_targets")),
    )
    op.create_index(op.f("ix_targets_patient_therapy"), "targets", ["patient", "therapy"])
    append_only("targets", ("id",))
    needs_entry("targets", ("id",))
