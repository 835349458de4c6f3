"""Every row is covered by the audit trail: entries hold digests of rows and are signed, batches hold a digest of their events and
a state, reviews say how the reviewer is known. What is already there is sealed as it is now."""

import secrets

import sqlalchemy as sa
from alembic import context, op

from careplan.store.reseal import seal_everything
from migrations.guards import needs_entry

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEYS = {
    "patient": ("id",),
    "import_batch": ("id",),
    "regimen": ("id",),
    "personalisation": ("patient", "model_hash", "data_hash"),
    "suggestion": ("id",),
    "draft": ("suggestion", "reviewer"),
    "review": ("id",),
}
NUMBERED = ("import_batch", "regimen", "suggestion", "review")  # by careplan itself from now on, so that an entry can come first


def upgrade() -> None:
    for name, kind in (("identity", sa.JSON()), ("rows", sa.JSON()), ("key", sa.String()), ("signature", sa.String())):
        op.add_column("audit", sa.Column(name, kind, nullable=True))
    op.add_column("review", sa.Column("identity", sa.JSON(), nullable=True))
    op.add_column("import_batch", sa.Column("run", sa.String(), nullable=True))
    op.add_column("import_batch", sa.Column("state", sa.String(), nullable=False, server_default="kept"))
    op.add_column("import_batch", sa.Column("digest", sa.JSON(), nullable=False, server_default="{}"))
    if op.get_bind().dialect.name == "postgresql":
        for table in NUMBERED:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN id DROP DEFAULT")
            op.execute(f"DROP SEQUENCE IF EXISTS {table}_id_seq")
    seal_everything(
        op.get_bind(),
        context.config.attributes.get("notary"),
        tables=list(KEYS),
        batches={"event": ("import_batch", "batch", "channel")},
        revision=revision,
        database=secrets.token_hex(16),  # so that no two databases begin alike
    )
    for table, key in KEYS.items():
        needs_entry(table, key)
