"""One patient may be treated under several therapies: a course is a patient under one, with the group and the covariates that
were the patient's; regimens and suggestions say which therapy they belong to. All that is there is of the one therapy there was.
"""

import json

import sqlalchemy as sa
from alembic import context, op

from careplan.store.reseal import seal_everything
from migrations.guards import editable, needs_entry

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

THE_ONE = "glucose"


def upgrade() -> None:
    op.create_table(
        "course",
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("therapy", sa.String(), nullable=False),
        sa.Column("group", sa.String(), nullable=False),
        sa.Column("covariates", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["patient"], ["patient.id"], name=op.f("fk_course_patient")),
        sa.PrimaryKeyConstraint("patient", "therapy", name=op.f("pk_course")),
    )
    bind = op.get_bind()
    quoted = bind.dialect.identifier_preparer.quote("group")
    patients = bind.execute(sa.text(f"SELECT id, {quoted}, weight, created FROM patient")).all()
    for patient, group, weight, created in patients:
        covariates = json.dumps({} if weight is None else {"weight": weight})
        values = {"patient": patient, "therapy": THE_ONE, "group": group, "covariates": covariates, "created": created}
        names = f"patient, therapy, {quoted}, covariates, created"
        bind.execute(sa.text(f"INSERT INTO course ({names}) VALUES (:patient, :therapy, :group, :covariates, :created)"), values)
    for name in ("group", "weight"):
        op.drop_column("patient", name)
    for table in ("regimen", "suggestion"):
        op.add_column(table, sa.Column("therapy", sa.String(), nullable=False, server_default=sa.text("''")))
        with editable(table):
            bind.execute(sa.text(f"UPDATE {table} SET therapy = :therapy"), {"therapy": THE_ONE})
    if patients:
        changed = ["patient", "course", "regimen", "suggestion"]
        seal_everything(bind, context.config.attributes.get("notary"), tables=changed, revision=revision)
    needs_entry("course", ("patient", "therapy"))
