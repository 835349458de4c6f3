"""Addresses from which a patient's recordings are read again (`source`), each with its token, encrypted."""

import sqlalchemy as sa
from alembic import op

from migrations.guards import needs_entry

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "source",
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=True),
        sa.Column("added", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["patient"], ["patient.id"], name=op.f("fk_source_patient")),
        sa.PrimaryKeyConstraint("patient", "address", name=op.f("pk_source")),
    )
    needs_entry("source", ("patient", "address"))
