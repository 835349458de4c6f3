"""PostgreSQL's triggers look for the audit trail in its own schema, so that no temporary table of its name takes its place."""

from alembic import op

from migrations.guards import look_in_public

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KEYS = {
    "patient": ("id",),
    "course": ("patient", "therapy"),
    "import_batch": ("id",),
    "regimen": ("id",),
    "targets": ("id",),
    "personalisation": ("patient", "model_hash", "data_hash"),
    "suggestion": ("id",),
    "draft": ("suggestion", "reviewer"),
    "review": ("id",),
    "source": ("patient", "address"),
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, key in KEYS.items():
            look_in_public(table, key)
