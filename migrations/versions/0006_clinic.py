"""Patients belong to clinics. Whoever is here belongs to the one clinic there was, whose name is empty."""

import sqlalchemy as sa
from alembic import context, op

from careplan.store.reseal import seal_everything

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("patient", sa.Column("clinic", sa.String(), nullable=False, server_default=sa.text("''")))
    op.create_index(op.f("ix_patient_clinic"), "patient", ["clinic"])
    bind = op.get_bind()
    if bind.execute(sa.text("SELECT 1 FROM patient LIMIT 1")).first() is not None:
        seal_everything(bind, context.config.attributes.get("notary"), tables=["patient"], revision=revision)
