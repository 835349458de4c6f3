"""Work that goes on by itself (`job`), and the worklist as it is shown (`worklist`): computed, so that no entry covers them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("patients", sa.JSON(), nullable=False),
        sa.Column("actor", sa.JSON(), nullable=False),
        sa.Column("asked", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("doing", sa.String(), nullable=False),
        sa.Column("failed", sa.JSON(), nullable=False),
        sa.Column("problem", sa.String(), nullable=False),
        sa.Column("beat", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancel", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_index(op.f("ix_job_state"), "job", ["state"])
    op.create_table(
        "worklist",
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("therapy", sa.String(), nullable=False),
        sa.Column("group", sa.String(), nullable=False),
        sa.Column("urgency", sa.Double(), nullable=False),
        sa.Column("headline", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=True),
        sa.Column("days", sa.Double(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=True),
        sa.Column("suggestion", sa.Integer(), nullable=True),
        sa.Column("unmet", sa.String(), nullable=False),
        sa.Column("due", sa.Boolean(), nullable=False),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["patient"], ["patient.id"], name=op.f("fk_worklist_patient")),
        sa.PrimaryKeyConstraint("patient", "therapy", name=op.f("pk_worklist")),
    )
    for columns in (["urgency", "patient"], ["last"], ["status"], ["stale"]):
        op.create_index(op.f(f"ix_worklist_{'_'.join(columns)}"), "worklist", columns)
